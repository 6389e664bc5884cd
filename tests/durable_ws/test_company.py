"""A publisher that lends its connection to several threads that publish in company, before a played broker.

What a shared loan does by itself is in test_shared_loan.py. Here it is what the callers and the broker see of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

import durable_ws.lender
import durable_ws.loan
from durable_ws import NotSent, OutcomeUnknown, Publisher, Receipt, Unroutable
from durable_ws.loan import CAN_LEND
from durable_ws.outcome import Call
from durable_ws.shared_loan import SharedLoan
from tests.durable_ws.fake_broker import WAIT_S, Talk
from tests.durable_ws.test_lending import (
    LONG_S,
    TROUBLE,
    Background,
    Broker,
    Make,
    close_what_is_left,
    end_io_thread,
    pool_of,
    publishers,
    reset,
    return_it,
)

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Wait

pytestmark = pytest.mark.skipif(not CAN_LEND, reason="this system has no poll")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, the broker's confirm is there in time."""
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 3000)
    monkeypatch.setattr(durable_ws.lender, "_DRAIN_S", WAIT_S / 4)  # less than the deadline, or nothing is drained
    monkeypatch.setattr(durable_ws.lender, "_UNUSED_S", LONG_S)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """It confirms each message, unless told otherwise."""
    with Broker() as broker:
        yield broker


@pytest.fixture
def make(broker: Broker) -> Iterator[Make]:
    """Makes publishers."""
    with publishers(broker) as make:
        yield make


def shared(publisher: Publisher) -> SharedLoan:
    """Publish in three threads until the connection is shared."""
    publisher.publish("first")
    pool = pool_of(publisher)
    end = time.monotonic() + 2 * WAIT_S
    seen = threading.Event()  # by one of them: two that go would leave the third without company

    def work(name: str) -> None:
        number = 0
        while not seen.is_set():
            assert time.monotonic() < end
            assert publisher.publish(f"before {name} {number}").attempts == 1
            number += 1
            if isinstance(pool._lender.loan, SharedLoan):
                seen.set()

    loan = None
    while not isinstance(loan, SharedLoan):  # it may have ended again
        seen.clear()
        for thread in [Background(lambda name=name: work(name)) for name in "abc"]:  # type: ignore[misc]
            thread.result()
        loan = pool._lender.loan
    while pool._under_way:  # the last that came by the I/O thread is yet to be counted off
        assert time.monotonic() < end
        time.sleep(0.001)
    return loan


def waiting(publisher: Publisher, broker: Broker, loan: SharedLoan, names: str = "xyz") -> list[Background]:
    """Threads that have published by the loan, in this order, and wait for their confirms, which are withheld.

    None of them writes any more, not even what another one leaves to it.
    """
    broker.confirms = False
    threads, waits, wait = [], threading.Semaphore(0), loan._wait

    def note(call: Call, lane: Hashable, timeout_s: float) -> None:
        waits.release()
        wait(call, lane, timeout_s)

    loan._wait = note  # type: ignore[method-assign]
    for name in names:
        heard = len(broker.bodies)
        threads.append(Background(lambda name=name: publisher.publish(name, message_id=name)))  # type: ignore[misc]
        broker.written(heard + 1)
        assert waits.acquire(timeout=WAIT_S)
    loan._wait = wait  # type: ignore[method-assign]
    assert loan.under_way == len(names)
    return threads


def hold_up(loan: SharedLoan, write: Callable[[bytes], int] = len) -> tuple[threading.Event, threading.Event]:
    """Hold up the thread that writes next: the first event tells that it is, the second lets it go on with ``write``.

    ``len`` is for a connection that was given up meanwhile: nothing can be written on it.
    """
    held, go_on, send = threading.Event(), threading.Event(), loan._send

    def hold(data: bytes) -> int:
        loan._send = send
        held.set()
        assert go_on.wait(2 * WAIT_S)
        return write(data)

    loan._send = hold
    return held, go_on


def test_a_loan_that_is_given_back_by_all(broker: Broker, make: Make) -> None:
    """As by each who has waited for too long: it ends once, and nothing is written again."""
    publisher = make()
    loan = shared(publisher)
    threads = waiting(publisher, broker, loan)
    lender = pool_of(publisher)._lender
    for _ in threads:
        lender._give_back(loan)
    future = publisher.submit("after")
    broker.wait(lambda: broker.bodies[-1] == "after", "the I/O thread has it")
    broker.talks[0].say(1, commands.Basic.Ack(len(broker.bodies), True))
    assert [thread.result().attempts for thread in threads] == [1] * 3
    assert future.result(WAIT_S).attempts == 1
    assert len(broker.talks) == 1


@pytest.mark.usefixtures("hasty")
def test_messages_of_several_threads(broker: Broker, make: Make) -> None:
    """Each is confirmed once, in each thread's order, over one connection; a loan is shared meanwhile."""
    publisher = make()
    loan = shared(publisher)
    before = len(broker.bodies)
    receipts: list[Receipt] = []

    def work(name: int) -> None:
        receipts.extend(publisher.publish(f"{name} {number}") for number in range(100))

    for thread in [Background(lambda name=name: work(name)) for name in range(5)]:  # type: ignore[misc]
        thread.result()
    assert [one.attempts for one in receipts] == [1] * 500
    assert loan.uses >= 500
    assert pool_of(publisher)._lender.loan is loan
    texts = broker.bodies[before:]
    assert len(texts) == 500
    for name in range(5):
        assert [one for one in texts if one.startswith(f"{name} ")] == [f"{name} {number}" for number in range(100)]
    assert len(broker.talks) == 1
    assert publisher.health().under_way == 0
    assert (pool_of(publisher)._under_way, pool_of(publisher)._under_way_bytes) == (0, 0)


def test_only_for_those_who_wait(broker: Broker, make: Make) -> None:
    """A submitted message begins the count anew; one that is submitted ends the loan, and all go on."""
    publisher = make()
    lender = pool_of_first(publisher)._lender
    publisher.publish_many([f"{number}" for number in range(200)])
    assert (lender._in_company, lender.loan) == (0, None)
    loan = shared(publisher)
    threads = waiting(publisher, broker, loan)
    assert publisher.health().under_way == 3
    heard = len(broker.bodies)
    future = publisher.submit("submitted")
    broker.written(heard + 1)
    assert lender.loan is None
    assert publisher.health().under_way == 4
    broker.talks[0].say(1, commands.Basic.Ack(len(broker.bodies), True))
    assert [thread.result().attempts for thread in threads] == [1] * 3
    assert future.result(WAIT_S).attempts == 1
    assert broker.bodies[-4:] == ["x", "y", "z", "submitted"]
    assert loan._socket.fileno() == -1


def pool_of_first(publisher: Publisher) -> Any:
    """Its pool, once it has published."""
    publisher.publish("first")
    return pool_of(publisher)


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_trouble_while_they_wait(broker: Broker, make: Make, trouble: Callable[[Talk], None]) -> None:
    """All are published again under the same ids, in their order."""
    publisher = make()
    loan = shared(publisher)
    threads = waiting(publisher, broker, loan)
    broker.confirms = True
    trouble(broker.talks[0])
    receipts = [thread.result() for thread in threads]
    assert [(one.message_id, one.attempts) for one in receipts] == [("x", 2), ("y", 2), ("z", 2)]
    assert [text for text in broker.bodies if text in "xyz"] == ["x", "y", "z"] * 2
    assert publisher.publish("after").attempts == 1
    shared(publisher)


def test_slow_confirms(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """They end the loan, nothing is written again, and the next one comes later."""
    publisher = make()
    loan = shared(publisher)
    lender = pool_of(publisher)._lender
    before = lender._from
    monkeypatch.setattr(durable_ws.lender, "_WORTH_IT", loan.uses + 2)
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 20)
    broker.confirms = False
    thread = Background(lambda: publisher.publish("x"))
    wait(lambda: lender._from == 2 * before, "the loan has ended")
    assert lender.loan is None
    broker.wait(lambda: broker.bodies[-1] == "x", "it is written")
    broker.talks[0].say(1, commands.Basic.Ack(len(broker.bodies)))
    assert thread.result().attempts == 1
    assert broker.bodies.count("x") == 1


def test_it_was_worth_it(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """With so many messages; then the connection is shared again as soon as at first."""
    publisher = make()
    loan = shared(publisher)
    lender = pool_of(publisher)._lender
    lender._from = 512
    monkeypatch.setattr(durable_ws.lender, "_WORTH_IT", loan.uses)
    assert publisher.submit("submitted").result(WAIT_S).attempts == 1
    wait(lambda: lender.loan is None, "the loan has ended")
    assert lender._from == 64
    assert broker.bodies[-1] == "submitted"
    shared(publisher)


def test_the_deadline_of_one(broker: Broker, make: Make) -> None:
    """It is told in time, whoever reads; the others go on."""
    publisher = make()
    loan = shared(publisher)
    threads = waiting(publisher, broker, loan)
    heard = len(broker.bodies)
    late = Background(lambda: publisher.publish("late", timeout=0.05))
    broker.written(heard + 1)
    with pytest.raises(OutcomeUnknown):
        late.result()
    assert all(thread.is_alive() for thread in threads)
    broker.talks[0].say(1, commands.Basic.Ack(len(broker.bodies), True))
    assert [thread.result().attempts for thread in threads] == [1] * 3
    assert broker.bodies[-4:] == ["x", "y", "z", "late"]


def test_a_thread_is_held_up(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """All others go on without it, what they wait for as well, on a new connection; and so does it in the end."""
    publisher = make()
    loan = shared(publisher)
    threads = waiting(publisher, broker, loan)
    held, go_on = hold_up(loan)
    monkeypatch.setattr(durable_ws.lender, "_AT_WORK_S", 0.2)
    stuck = Background(lambda: publisher.publish("stuck", message_id="stuck"))
    assert held.wait(WAIT_S)
    broker.confirms = True
    assert publisher.submit("submitted").result(WAIT_S).attempts == 1
    assert [thread.result().attempts for thread in threads] == [2] * 3
    assert publisher.health().trouble == "a thread was held up while it published on the connection"
    assert loan._socket.fileno() != -1, "its thread is at work with it"
    go_on.set()
    assert stuck.result().message_id == "stuck"
    assert "stuck" in broker.bodies
    wait(lambda: loan._socket.fileno() == -1, "the handle is closed")
    assert len(broker.talks) == 2


@pytest.mark.parametrize(("least_s", "timeout_s"), [(0.0, LONG_S), (LONG_S, 0.05)])
def test_a_thread_has_its_time(  # noqa: PLR0913, RUF100
    broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait, least_s: float, timeout_s: float
) -> None:
    """Before which it is not taken for held up: a moment at least, however near somebody's deadline is."""
    monkeypatch.setattr(durable_ws.lender, "_AT_WORK_S", LONG_S)
    monkeypatch.setattr(durable_ws.lender, "_AT_WORK_LEAST_S", least_s)
    publisher = make(timeout=LONG_S)
    loan = shared(publisher)
    lender = pool_of(publisher)._lender
    held, go_on = hold_up(loan, loan._send)
    slow = Background(lambda: publisher.publish("slow"))
    assert held.wait(WAIT_S)
    future = publisher.submit("submitted", timeout=timeout_s)
    wait(lambda: lender._awaited is loan, "the I/O thread wants it")
    assert lender._awaited_until > time.monotonic() + LONG_S / 2
    go_on.set()
    assert slow.result().attempts == 1
    assert len(broker.talks) == 1
    assert future.exception(WAIT_S) is None or timeout_s < LONG_S


@pytest.mark.parametrize("way", ["with them", "submitted", "submitted last"])
def test_deadlines_while_a_thread_is_held_up(  # noqa: PLR0913, RUF100
    broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait, way: str
) -> None:
    """Who has less time than that thread is given, is told in time, whichever way its message goes."""
    monkeypatch.setattr(durable_ws.lender, "_AT_WORK_S", LONG_S)
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 20)
    publisher = make(timeout=LONG_S)
    loan = shared(publisher)
    held, go_on = hold_up(loan)
    stuck = Background(lambda: publisher.publish("stuck"))
    assert held.wait(WAIT_S)
    if way == "submitted last":
        lender = pool_of(publisher)._lender
        patient = publisher.submit("patient")
        wait(lambda: lender._awaited is loan, "the I/O thread wants it")
    broker.confirms = False
    began = time.monotonic()
    publish = publisher.publish if way == "with them" else lambda *a, **k: publisher.submit(*a, **k).result(WAIT_S)
    late = Background(lambda: publish("late", timeout=0.3))
    with pytest.raises((NotSent, OutcomeUnknown)):
        late.result()
    assert 0.3 <= time.monotonic() - began < WAIT_S
    broker.confirms = True
    go_on.set()
    if way == "submitted last":
        broker.wait(lambda: len(broker.talks) > 1, "all goes on with another connection")
        broker.talks[-1].hang_up()
        assert patient.result(WAIT_S).message_id
    assert stuck.result().message_id


def test_a_route_is_required(broker: Broker, make: Make) -> None:
    """Of one message; the others have what they asked for."""
    publisher = make()
    loan = shared(publisher)
    threads = waiting(publisher, broker, loan, "xy")
    required = Background(lambda: publisher.publish("z", require_route=True, message_id="z"))
    broker.wait(lambda: broker.bodies[-1] == "z", "it is written")
    tag = len(broker.bodies)
    for one in return_it(tag, "z"):
        broker.talks[0].say(1, one)
    with pytest.raises(Unroutable, match="NO_ROUTE"):
        required.result()
    assert all(thread.is_alive() for thread in threads)
    broker.talks[0].say(1, commands.Basic.Ack(tag - 1, True))
    assert [thread.result().routed for thread in threads] == [True] * 2


def test_close_waits_for_them(broker: Broker, make: Make, wait: Wait) -> None:
    """What is under way is confirmed, then the connection ends in order."""
    publisher = make(close_timeout_s=LONG_S)
    loan = shared(publisher)
    threads = waiting(publisher, broker, loan)
    closing = Background(publisher.close)
    wait(lambda: pool_of(publisher)._lender.loan is None, "the I/O thread has it")
    assert closing.is_alive()
    broker.talks[0].say(1, commands.Basic.Ack(len(broker.bodies), True))
    assert [thread.result().attempts for thread in threads] == [1] * 3
    closing.result()
    broker.wait(lambda: len(broker.of(commands.Connection.Close)) == 1, "the end in order")


def test_the_io_thread_ends(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """Whatever has ended it: all who wait are told, and the handle is closed."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    publisher = make()
    loan = shared(publisher)
    loan._window = 2
    threads = waiting(publisher, broker, loan, "xy")
    unwritten = Background(lambda: publisher.publish("z"))
    wait(lambda: loan._outbox, "it is in the outbox")
    end_io_thread(publisher)
    broker.talks[0].hang_up()
    for thread in threads:
        with pytest.raises(OutcomeUnknown, match="the publisher's I/O thread has ended") as caught:
            thread.result()
        assert caught.value.attempts == 1
    with pytest.raises(NotSent, match="the publisher's I/O thread has ended") as not_sent:
        unwritten.result()
    assert not_sent.value.attempts == 0
    assert loan._socket.fileno() == -1
    with pytest.raises(NotSent):
        publisher.publish("after")
    close_what_is_left(publisher)


def test_until_nothing_is_under_way(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is shared, what comes is left for a moment, but not beyond its deadline, nor for long."""
    monkeypatch.setattr(durable_ws.lender, "_DRAIN_S", 0.05)
    publisher = make()
    pool = pool_of_first(publisher)
    lender = pool._lender
    broker.confirms = False
    first = Background(lambda: publisher.publish("first"))
    broker.written(2)
    lender._in_company = 64
    second = Background(lambda: publisher.publish("second"))
    broker.written(3)  # in the usual way, once the moment is over
    assert (lender.loan, lender.drains, lender._from, lender._in_company) == (None, False, 128, 1)
    lender._in_company = 128
    monkeypatch.setattr(durable_ws.lender, "_DRAIN_S", LONG_S)
    hasty = Background(lambda: publisher.publish("hasty", timeout=WAIT_S / 2))
    broker.written(4)
    broker.talks[0].say(1, commands.Basic.Ack(4, True))
    assert [one.result().attempts for one in (first, second, hasty)] == [1] * 3


def test_once_nothing_is_under_way(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """What was left for a moment then goes by the loan."""
    monkeypatch.setattr(durable_ws.lender, "_DRAIN_S", WAIT_S / 2)
    publisher = make()
    lender = pool_of_first(publisher)._lender
    broker.confirms = False
    first = Background(lambda: publisher.publish("first"))
    broker.written(2)
    lender._in_company = 64
    second = Background(lambda: publisher.publish("second", timeout=LONG_S))
    wait(lambda: lender.drains, "it is left for a moment")
    assert broker.bodies == ["first", "first"]
    broker.talks[0].say(1, commands.Basic.Ack(2))
    broker.written(3)
    assert isinstance(lender.loan, SharedLoan)
    assert lender._in_company == 0
    broker.talks[0].say(1, commands.Basic.Ack(3))
    assert [one.result().attempts for one in (first, second)] == [1] * 2
    assert (lender.drains, lender._from) == (False, 64)


def test_a_connection_that_ends_while_nobody_publishes(broker: Broker, make: Make) -> None:
    """The next messages are confirmed all the same."""
    publisher = make()
    shared(publisher)
    reset(broker.talks[0])
    assert publisher.publish("next").attempts == 2
    shared(publisher)
