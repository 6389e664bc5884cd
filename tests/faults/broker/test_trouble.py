"""Faults of the node itself: each has an effect that can be measured, and none after its end."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pika
import pytest
from pika.exceptions import AMQPError, NackError

from conformance.errors import UsageError
from conformance.faults.broker.looking import until
from conformance.history.events import BrokerChanged
from tests.faults.broker.conftest import SEEN_S

if TYPE_CHECKING:
    from tests.faults.broker.conftest import Bench

pytestmark = pytest.mark.broker


@pytest.mark.parametrize("name", ["memory_alarm", "disk_alarm"])
def test_an_alarm_blocks_who_publishes_and_nobody_else(bench: Bench, name: str) -> None:
    """A publish gets no confirm until the alarm goes; a consumer is served; the limit is what it was before."""
    bench.begin(name)
    assert bench.fired()
    outcome: list[str] = []
    publisher = threading.Thread(target=lambda: (bench.publish(bench.channel), outcome.append("confirmed")))
    publisher.start()
    consumer = bench.connect()
    assert consumer.basic_get(bench.queue, auto_ack=True)[0] is not None
    assert until(
        lambda: bench.broker.ctl("list_connections", "--silent", "state").split().count("blocked") == 1, SEEN_S
    )
    publisher.join(1.0)
    assert (publisher.is_alive(), outcome) == (True, [])
    ended = bench.end()
    publisher.join(SEEN_S)
    assert outcome == ["confirmed"]
    assert (ended.fired, ended.counts) == (True, {"alarms": 1, "connections blocked": 1})
    assert bench.broker.ask("GET", "/health/checks/alarms")["status"] == "ok"


def test_a_paused_node_answers_nobody(bench: Bench) -> None:
    """No handshake and no confirm; it lasts as long as it should; then all goes on where it stood."""
    began = time.monotonic()
    bench.begin("pause", at_least_s=5)
    assert bench.fired()
    assert bench.refused() == {"tab", "publisher"}
    ended = bench.end()
    assert time.monotonic() - began >= 5.0
    assert ended.counts == {"silent": 1}
    assert until(lambda: bench.refused() == set(), SEEN_S)
    bench.publish(bench.channel)


@pytest.mark.parametrize("of", ["vhost", "user"])
def test_beyond_the_limit_nobody_connects(bench: Bench, of: str) -> None:
    """Who is connected stays; at the end there is no limit, as before."""
    bench.begin("limit_connections", of=of)
    assert bench.fired()
    assert bench.refused() == {"tab", "publisher"}
    bench.publish(bench.channel)
    assert bench.end().counts == {"tabs refused": 1, "publishers refused": 1}
    assert until(lambda: bench.refused() == set(), SEEN_S)
    assert bench.broker.ask("GET", f"/{of}-limits/{'%2F' if of == 'vhost' else 'guest'}") in ([], [{}])


def test_a_limit_that_was_there_is_put_back(bench: Bench) -> None:
    """The user's own limit is theirs."""
    path = "/vhost-limits/%2F/max-connections"
    bench.broker.ask("PUT", path, {"value": 500})
    try:
        bench.begin("limit_connections")
        bench.end()
        (limits,) = bench.broker.ask("GET", "/vhost-limits/%2F")
        assert limits["value"] == {"max-connections": 500}
    finally:
        bench.broker.ask("DELETE", path)


def test_without_files_nobody_connects(bench: Bench) -> None:
    """No handshake is answered; at the end there are clients and queues again, after a restart if a queue fell."""
    bench.begin("limit_files")
    assert bench.fired()
    assert "tab" in bench.refused()
    ended = bench.end()
    assert ended.counts["tabs not let in"] >= 2
    assert until(lambda: bench.refused() == set(), SEEN_S)
    assert bench.broker.ready_count(bench.queue) == 1


def test_a_full_disk_takes_no_messages(bench: Bench) -> None:
    """Messages are not confirmed, or the node falls; at the end there is room, and what was confirmed is there."""
    bench.begin("disk_full")
    confirmed = 1
    with contextlib.suppress(AMQPError, OSError):
        for _ in range(20):
            with contextlib.suppress(NackError):
                bench.publish(bench.channel, 100_000)
                confirmed += 1
    assert confirmed < 21
    ended = bench.end()
    assert ended.counts["filled"] == 1
    assert until(lambda: bench.refused() == set(), SEEN_S)
    assert (bench.broker.ready_count(bench.queue) or 0) >= confirmed
    bench.publish(bench.connect(), 100_000)
    changes = [event.state for event in bench.events if isinstance(event, BrokerChanged)]
    assert changes in ([], ["down", "up"])


def test_a_broker_without_a_small_disk_is_not_filled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filling the disk that everybody uses is out of the question."""
    monkeypatch.setattr(bench.broker, "_wishes", frozenset(), raising=False)
    monkeypatch.setattr(bench.broker, "_disk", None, raising=False)
    with pytest.raises(UsageError):
        bench.broker.fill_disk(leave_bytes=0)


def test_until_gives_up() -> None:
    """What never shows ends the looking."""
    began = time.monotonic()
    assert not until(lambda: False, 0.3)
    assert time.monotonic() - began < 5.0


def test_pika_is_not_waited_for_without_end(bench: Bench) -> None:
    """A handshake with a paused node ends: pika alone would wait for it."""
    bench.begin("pause")
    began = time.monotonic()
    assert bench.node.refusal("publisher") is not None
    assert time.monotonic() - began < 30.0
    bench.end()
    pika.BlockingConnection(pika.URLParameters(bench.broker.addresses.amqp)).close()
