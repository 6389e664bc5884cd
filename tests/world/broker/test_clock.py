"""A node's clock can be moved on: it shows, queues expire by it, and a restart keeps it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pika
import pytest

from conformance.errors import BrokerUnavailable, HarnessError, UsageError
from conformance.world.broker import faketime_library
from conformance.world.broker.apt import Apt
from conformance.world.broker.base import Broker
from conformance.world.broker.choose import choose_broker
from conformance.world.broker.faketime import MovedClock, environment, offset_text, time_by_http

if TYPE_CHECKING:
    from tests.world.broker.conftest import Wait

DAY_S = 86_400.0


# --- without a broker ----------------------------------------------------------------------------


def test_jumps_add_up_and_are_waited_for() -> None:
    """The file holds the whole offset; a broker that shows it late, or can't be asked for a while, is waited for."""
    put: list[str] = []
    answers = iter([None, 0.0, 10.0, 10.0, 5000.0])

    def now() -> float | None:
        ahead = next(answers)
        return None if ahead is None else time.time() + ahead

    clock = MovedClock(put.append, now)
    clock.advance(10.5)
    clock.advance(4989.5)
    assert put == ["+10.500\n", "+5000.000\n"]
    assert clock.ahead_s == 5000.0
    assert next(answers, "all were asked for") == "all were asked for"


def test_a_clock_that_does_not_move_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library without effect must not pass for a day gone by."""
    monkeypatch.setattr("conformance.world.broker.faketime._SHOWS_S", 0.1)
    with pytest.raises(HarnessError, match="was to be ahead by 86400 s, but it is ahead by 0 s"):
        MovedClock(lambda _: None, time.time).advance(DAY_S)
    with pytest.raises(HarnessError, match="but it can't be asked"):
        MovedClock(lambda _: None, lambda: None).advance(DAY_S)


def test_a_broker_that_is_away_tells_no_time() -> None:
    """None, and no error."""
    assert time_by_http("http://127.0.0.1:1") is None


def test_only_the_erlang_machine_lives_by_it() -> None:
    """The scripts around it, epmd and the tools keep the real time."""
    needed = environment("/lib/f.so", "/clock")
    assert (needed["LD_PRELOAD"], needed["FAKETIME_TIMESTAMP_FILE"]) == ("/lib/f.so", "/clock")
    assert needed["FAKETIME_ONLY_CMDS"] == "beam.smp"
    assert offset_text(0) == "+0.000\n"


def test_a_file_that_is_no_library_does_not_work(tmp_path: Path) -> None:
    """Whether it works is seen by its effect."""
    fake = tmp_path / "libfaketimeMT.so.1"
    fake.write_bytes(b"no library")
    assert not faketime_library.works(fake)


def test_what_can_not_be_fetched_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No error where the package is not to be had, and no second try on the same day."""
    tries: list[str] = []

    def fail(_: Apt) -> None:
        tries.append("update")
        raise BrokerUnavailable("no network")

    monkeypatch.setattr(faketime_library, "_PLACES", ("nowhere/lib.so",))
    monkeypatch.setattr(Apt, "is_there", staticmethod(lambda: True))
    monkeypatch.setattr(Apt, "update", fail)
    told: list[str] = []
    assert faketime_library.faketime_library(tmp_path, told.append) is None
    assert faketime_library.faketime_library(tmp_path, told.append) is None
    assert tries == ["update"]
    assert told == ["fetching libfaketime, which moves a broker's clock"]


# --- with a broker -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def timeless() -> Iterator[Broker]:
    """A node whose clock can be moved."""
    broker = choose_broker("auto", wishes=frozenset({"clock"}))
    if "clock" not in broker.capabilities:
        pytest.skip("libfaketime is not to be had here")
    broker.start()
    yield broker
    broker.stop()


Span = tuple[float, float]
PATIENCE_S = 30.0


def ahead_s(ask: Callable[[], float | None], blur_s: float) -> Span:
    """By how much a clock is ahead of ours, at least and at most; it shows up to so much less than its time."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        before = time.time()
        told = ask()
        after = time.time()
        if told is not None:
            return told - after, told + blur_s - before
        assert time.monotonic() < deadline, "its clock can't be asked"
        time.sleep(0.1)


def shown_ahead_s(broker: Broker) -> Span:
    """By how much it is ahead by the Date of its answers: whole seconds, renewed once a second."""
    return ahead_s(lambda: time_by_http(broker.addresses.management or ""), 2.0)


def can_differ_by(before: Span, after: Span, seconds: float) -> bool:
    """Whether the clock may have been moved on by so much."""
    return after[0] - before[1] <= seconds <= after[1] - before[0]


@contextlib.contextmanager
def channel(broker: Broker) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    """An AMQP channel of the test's own."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.addresses.amqp))
    try:
        yield connection.channel()
    finally:
        connection.close()


@pytest.mark.broker
def test_the_clock_moves_at_once_and_a_restart_keeps_it(timeless: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows in what the node says, without a wait; killed and started again, it goes on from there."""
    monkeypatch.setattr("conformance.world.broker.faketime._SHOWS_S", PATIENCE_S)
    before = shown_ahead_s(timeless)
    timeless.advance_clock(DAY_S)
    assert can_differ_by(before, shown_ahead_s(timeless), DAY_S)
    by_itself = ahead_s(lambda: int(timeless.ctl("eval", "erlang:system_time(second).")), 1.0)
    assert can_differ_by(before, by_itself, DAY_S)
    timeless.kill()
    timeless.revive()
    assert can_differ_by(before, shown_ahead_s(timeless), DAY_S)


@pytest.mark.broker
def test_queues_expire_by_it_and_looking_does_not_renew_them(timeless: Broker, wait: Wait, namespace: str) -> None:
    """After 0.95 of its expiry a queue and its message are there; from that look on it counts anew."""
    with channel(timeless) as ch:
        ch.queue_declare(namespace, durable=True, arguments={"x-expires": int(DAY_S * 1000)})
        ch.basic_publish("", namespace, b"waits", pika.BasicProperties(delivery_mode=2))
    timeless.advance_clock(0.95 * DAY_S)
    assert timeless.queue_exists(namespace)
    assert timeless.ready_count(namespace) == 1  # an AMQP look: it renews the expiry
    timeless.advance_clock(0.95 * DAY_S)
    assert timeless.queue_exists(namespace)  # a look by management: it does not
    timeless.advance_clock(0.1 * DAY_S)
    wait(lambda: not timeless.queue_exists(namespace), "the queue to expire")


@pytest.mark.broker
def test_a_broker_that_was_not_started_for_it_refuses(node: Broker) -> None:
    """Others share it: its clock is left alone."""
    with pytest.raises(UsageError, match="not for that"):
        node.advance_clock(1.0)
