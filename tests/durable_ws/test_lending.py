"""A publisher that lends its connection to a thread that publishes one message after the other, before a played broker.

What a loan does by itself is in test_loan.py. Here it is what the caller and the broker see of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import trustme
from pamqp import body, commands, header
from pamqp.heartbeat import Heartbeat

import durable_ws.lender
import durable_ws.loan
from durable_ws import (
    Exchange,
    Nacked,
    NotSent,
    OutcomeUnknown,
    Publisher,
    Receipt,
    Refused,
    Unroutable,
)
from durable_ws.amqp.connection import Connection
from durable_ws.loan import CAN_LEND, Loan
from durable_ws.pool import Pool
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker, Frame, Talk
from tests.durable_ws.observers import Notebook

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Wait

pytestmark = pytest.mark.skipif(not CAN_LEND, reason="this system has no poll")

Make = Callable[..., Publisher]

LONG_S = 1000.0
IN_TIME_S = 15.0
"""What ends in a second or two has ended by then, however busy the machine is."""
EXCHANGES = {"pubsub": Exchange("x"), "other": Exchange("y"), "third": Exchange("z")}


class Broker(FakeBroker):
    """Notes what it has heard of whole messages: their ids and bodies, in order, over all connections."""

    @property
    def messages(self) -> list[tuple[str, bytes]]:
        """All that have come, connection by connection."""
        found: list[tuple[str, bytes]] = []
        for talk in list(self.talks):
            for _, one in list(talk.heard):
                if isinstance(one, header.ContentHeader):
                    found.append((str(one.properties.message_id), b""))
                elif isinstance(one, body.ContentBody):
                    message_id, begun = found.pop()
                    found.append((message_id, begun + one.value))
        return found

    @property
    def bodies(self) -> list[str]:
        """Theirs, as text."""
        return [data.decode() for _, data in self.messages]

    def written(self, count: int) -> None:
        """Wait until so many messages have come."""
        self.wait(lambda: len([data for data in self.bodies if data]) >= count, f"{count} messages are written")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a thread is soon back, and the broker's confirm is there in time."""
    monkeypatch.setattr(durable_ws.lender, "_SOON_S", LONG_S)
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 20_000)
    monkeypatch.setattr(durable_ws.lender, "_UNUSED_S", LONG_S)


@pytest.fixture
def impatience(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """As it is in use: 20 ms for a confirm, 0.1 s for the next message."""
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 20)
    monkeypatch.setattr(durable_ws.lender, "_UNUSED_S", 0.1)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """It confirms each message, unless told otherwise."""
    with Broker() as broker:
        yield broker


@contextlib.contextmanager
def publishers(broker: Broker) -> Iterator[Make]:
    """Make publishers, which are closed in the end."""
    made: list[Publisher] = []

    def make(url: str = broker.url, **options: Any) -> Publisher:
        options = {"timeout": WAIT_S, "reconnect_first_s": 0.02, "reconnect_most_s": 0.1, **options}
        made.append(Publisher(url, EXCHANGES, **options))
        return made[-1]

    yield make
    for publisher in made:
        publisher._close_timeout_s = 0.0
        publisher.close()


@pytest.fixture
def make(broker: Broker) -> Iterator[Make]:
    """Makes publishers."""
    with publishers(broker) as make:
        yield make


def pool_of(publisher: Publisher) -> Pool:
    """It has one once it has published."""
    assert publisher._pool is not None
    return publisher._pool


def loan_of(publisher: Publisher) -> Loan:
    """It has one now."""
    loan = pool_of(publisher)._lender.loan
    assert loan is not None
    return loan


def lent(publisher: Publisher, count: int = 9) -> Loan:
    """Publish until the connection is lent: the first message finds none, and is followed by eight in a row."""
    for number in range(count):
        assert publisher.publish(f"before {number}").attempts == 1
    lender = pool_of(publisher)._lender
    while (loan := lender.loan) is None:
        assert durable_ws.lender._UNUSED_S < LONG_S, "else it has not ended already"
        assert publisher.publish("before").attempts == 1
    return loan


class Background(threading.Thread):
    """A call in a thread, with what came of it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Call it."""
        try:
            self._result = self._call()
        except BaseException as exc:  # noqa: BLE001 - it is raised in the test
            self._error = exc

    def result(self) -> Any:
        """What it returned; or what it raised is raised."""
        self.join(IN_TIME_S)
        assert not self.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result


def waiting(publisher: Publisher, broker: Broker, payload: str = "waits", **options: Any) -> Background:
    """A thread that has published by the loan, and waits for the confirm, which the broker withholds."""
    broker.confirms = False
    loan = loan_of(publisher)
    before = loan.uses
    heard = len(broker.bodies)
    thread = Background(lambda: publisher.publish(payload, **options))
    broker.written(heard + 1)
    assert loan.uses == before + 1
    until = time.monotonic() + WAIT_S
    while not loan._waiting:  # it may still be on its way from the write to the wait
        assert time.monotonic() < until
        time.sleep(0.001)
    return thread


# --- when it is lent ------------------------------------------------------------------------------


def test_after_eight_in_a_row(broker: Broker, make: Make) -> None:
    """Not before; from then on each message goes that way, on the same connection, and in order."""
    publisher = make()
    for _ in range(8):
        publisher.publish("before")
        assert pool_of(publisher)._lender.loan is None
    publisher.publish("before")
    loan = loan_of(publisher)
    receipts = [publisher.publish(f"{number}", message_id=f"m{number}") for number in range(200)]
    assert [(one.message_id, one.attempts, one.routed) for one in receipts] == [
        (f"m{number}", 1, True) for number in range(200)
    ]
    assert all(0 < one.latency_s < WAIT_S for one in receipts)
    assert loan.uses == 200
    assert loan_of(publisher) is loan
    assert loan.tag == 210
    assert broker.bodies == ["before"] * 9 + [f"{number}" for number in range(200)]
    assert len(broker.talks) == 1
    assert publisher.health().under_way == 0


@pytest.mark.usefixtures("impatience")
def test_by_the_publishers_own_measures(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the times as they are in use, too, most messages go this way, and all are right."""
    monkeypatch.setattr(durable_ws.lender, "_SOON_S", 0.02)
    publisher = make()
    uses = 0
    for number in range(1000):
        before = pool_of(publisher)._lender.loan if publisher._pool else None
        used = before.uses if before else 0
        assert publisher.publish(f"{number}").attempts == 1
        uses += before.uses - used if before else 0
        if uses > 100:
            break
    assert uses > 100
    assert broker.bodies == [f"{one}" for one in range(number + 1)]


def test_it_is_not_lent_to_who_does_not_wait(broker: Broker, make: Make) -> None:
    """Submitted messages, batches and large ones are no reason, nor are those of an observer's publisher."""
    publisher = make()
    for number in range(30):
        if number % 5 == 0:
            publisher.publish_many(["a", "b"])
        elif number % 5 == 3:
            publisher.submit("c").result(WAIT_S)
        else:
            publisher.publish("d")
        assert pool_of(publisher)._lender.loan is None
    for _ in range(12):
        publisher.publish(b"x" * (64 * 1024 + 1))
        assert pool_of(publisher)._lender.loan is None
    assert len(broker.talks) == 1


def test_eight_in_a_row_again_after_who_does_not_wait(broker: Broker, make: Make) -> None:
    """What came before that counts no more."""
    publisher = make()
    for _ in range(5):
        publisher.publish("before")
    assert publisher.submit("submitted").result(WAIT_S).attempts == 1
    for _ in range(8):
        assert pool_of(publisher)._lender.loan is None
        publisher.publish("after")
    assert loan_of(publisher).uses == 0
    assert len(broker.talks) == 1


@pytest.mark.usefixtures("broker")
def test_an_observer(make: Make) -> None:
    """It is told on the I/O thread, which therefore keeps the connection."""
    publisher = make(observer=Notebook())
    for _ in range(20):
        assert publisher.publish("a").attempts == 1
        assert pool_of(publisher)._lender.loan is None


def test_tls(make: Make, tmp_path: Path) -> None:
    """Two threads can't share its state: it is not lent."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Broker(tls=context) as broker:
        publisher = make(f"{broker.url}?cacertfile={tmp_path / 'ca.pem'}")
        for number in range(20):
            assert publisher.publish(f"{number}").attempts == 1
            assert pool_of(publisher)._lender.loan is None
        assert broker.bodies == [f"{number}" for number in range(20)]
        publisher.close()


# --- what ends it ---------------------------------------------------------------------------------


def test_submit_by_the_same_thread(broker: Broker, make: Make) -> None:
    """The I/O thread has the connection again, with the right tag."""
    publisher = make()
    loan = lent(publisher)
    publisher.publish("by the loan")
    futures = [publisher.submit(f"submitted {number}") for number in range(3)]
    assert [future.result(WAIT_S).attempts for future in futures] == [1] * 3
    assert pool_of(publisher)._lender.loan is None
    assert loan.uses == 1
    assert publisher.publish("after").attempts == 1
    assert broker.bodies[9:] == ["by the loan", "submitted 0", "submitted 1", "submitted 2", "after"]
    assert len(broker.talks) == 1


def test_a_threads_order_is_kept(broker: Broker, make: Make, wait: Wait) -> None:
    """What it submits, and publishes right after that, comes in this order, however late the I/O thread hears of it."""
    publisher = make()
    loan = lent(publisher)
    pool = pool_of(publisher)
    busy, go_on = threading.Event(), threading.Event()
    pool._loop.call_soon_threadsafe(busy.set)
    pool._loop.call_soon_threadsafe(go_on.wait, WAIT_S)
    assert busy.wait(WAIT_S)

    def work() -> list[int]:
        future = publisher.submit("submitted")
        receipt = publisher.publish("published")
        return [future.result(WAIT_S).attempts, receipt.attempts]

    thread = Background(work)
    wait(lambda: loan.uses or len(pool._inbox) == 2, "it has published, or waits for the I/O thread")
    go_on.set()
    assert thread.result() == [1, 1]
    assert broker.bodies[9:] == ["submitted", "published"]


def test_another_thread_publishes_meanwhile(broker: Broker, make: Make, wait: Wait) -> None:
    """While the first waits in the loan: that ends, both messages are under way, and both are confirmed."""
    publisher = make()
    lent(publisher)
    first = waiting(publisher, broker)
    second = Background(lambda: publisher.publish("second"))
    broker.written(11)
    assert pool_of(publisher)._lender.loan is None
    wait(lambda: publisher.health().under_way == 2, "both are counted")
    broker.talks[0].say(1, commands.Basic.Ack(11))
    assert second.result().attempts == 1
    assert first.is_alive()
    broker.talks[0].say(1, commands.Basic.Ack(10))
    assert first.result().attempts == 1
    broker.confirms = True
    assert publisher.publish("third").attempts == 1
    assert broker.bodies[9:] == ["waits", "second", "third"]
    assert len(broker.talks) == 1
    wait(lambda: publisher.health().under_way == 0, "all are counted off")
    wait(lambda: not pool_of(publisher)._under_way_bytes, "and so are their bytes")


@pytest.mark.usefixtures("impatience")
def test_many_threads_by_turns(broker: Broker, make: Make, wait: Wait) -> None:
    """Loans come and go; each message is confirmed once, and each thread's order is kept."""
    publisher = make()
    receipts: list[Receipt] = []

    def work(thread: int) -> None:
        for number in range(150):
            receipts.append(publisher.publish(f"{thread} {number}"))
            if thread and number % 30 == 0:
                threading.Event().wait(0.01)

    lent(publisher)
    threads = [Background(lambda thread=thread: work(thread)) for thread in range(3)]  # type: ignore[misc]
    for thread in threads:
        thread.result()
    assert [one.attempts for one in receipts] == [1] * 450
    for number in range(3):
        own = [text for text in broker.bodies if text.startswith(f"{number} ")]
        assert own == [f"{number} {one}" for one in range(150)]
    assert sum(len(talk.of(commands.Connection.Close)) for talk in broker.talks) == 0
    wait(lambda: publisher.health().under_way == 0, "all are counted off")


@pytest.mark.usefixtures("impatience")
def test_nobody_publishes_for_a_while(broker: Broker, make: Make, wait: Wait) -> None:
    """The I/O thread hears the broker again, and the next messages go on with the right tags."""
    publisher = make()
    loan = lent(publisher)
    wait(lambda: loan._socket.fileno() == -1, "it has ended")
    broker.talks[0].say(0, commands.Connection.Blocked("low on memory"))
    wait(lambda: publisher.health().blocked == "low on memory", "it is heard though nobody publishes")
    broker.talks[0].say(0, commands.Connection.Unblocked())
    wait(lambda: publisher.health().blocked is None, "and that, too")
    for number in range(12):
        assert publisher.publish(f"{number}").attempts == 1
    assert len(broker.talks) == 1


def test_slow_confirms(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """They end the loan, and the message is not written again."""
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 20)
    publisher = make()
    lent(publisher)
    broker.confirms = False
    lender = pool_of(publisher)._lender
    tags = iter(range(10, 1000))

    def confirm_late(talk: Talk, channel: int, one: Frame) -> bool:
        if isinstance(one, body.ContentBody):
            wait(lambda: lender.loan is None, "the loan has ended, or there was none")
            talk.say(channel, commands.Basic.Ack(next(tags)))
        return False

    broker.answer = confirm_late
    first = publisher.publish("slow")
    assert first.attempts == 1
    assert first.latency_s >= 0.02
    assert lender.loan is None
    assert [publisher.publish("slow").attempts for _ in range(20)] == [1] * 20
    assert broker.bodies[9:] == ["slow"] * 21
    assert len(broker.talks) == 1


def test_a_slow_confirm_is_followed_by_eight_in_a_row_again(
    broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    """Before the connection is lent anew."""
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 20)
    publisher = make()
    lent(publisher)
    broker.confirms = False
    slow = Background(lambda: publisher.publish("slow").attempts)
    wait(lambda: pool_of(publisher)._lender.loan is None, "the loan has ended")
    broker.confirms = True
    broker.talks[0].say(1, commands.Basic.Ack(10))
    assert slow.result() == 1
    for _ in range(8):
        assert pool_of(publisher)._lender.loan is None
        assert publisher.publish("after").attempts == 1
    assert loan_of(publisher).uses == 0


@pytest.mark.parametrize("size", [1, 4096, 64 * 1024, 64 * 1024 + 1, 1_000_000])
def test_large_bodies(broker: Broker, make: Make, size: int) -> None:
    """Up to 64 KiB they may go that way; each comes whole, and what follows, too."""
    publisher = make()
    loan = lent(publisher)
    payload = os.urandom(size).hex()[:size]
    for _ in range(3):
        assert publisher.publish(payload).attempts == 1
    assert (loan.uses > 0) is (size <= 64 * 1024)
    assert publisher.publish("after").attempts == 1
    assert broker.bodies[9:] == [payload] * 3 + ["after"]


def test_the_broker_does_not_read(broker: Broker, make: Make) -> None:
    """What the socket does not take at once is written by the I/O thread, in one piece with the rest."""
    go_on = threading.Event()
    held = threading.Event()
    publisher = make()
    loan = lent(publisher)
    loan._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def hold(_talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, header.ContentHeader) and one.body_size > 60_000:
            held.set()
            go_on.wait(WAIT_S)
        return False

    broker.answer = hold
    payload = os.urandom(32_000).hex()
    thread = Background(lambda: publisher.publish(payload))
    assert held.wait(WAIT_S)
    go_on.set()
    assert thread.result().attempts == 1
    assert publisher.publish("after").attempts == 1
    assert broker.bodies[9:] == [payload, "after"]


# --- exchanges ------------------------------------------------------------------------------------


def test_several_exchanges(broker: Broker, make: Make) -> None:
    """One that is not declared is declared first, by the I/O thread; then it may go that way as well."""
    publisher = make()
    first = lent(publisher)
    assert publisher.publish("a", to="other").attempts == 1
    assert first.uses == 0
    second = lent(publisher, 12)
    uses = second.uses
    for to in ("other", "pubsub") * 5:
        assert publisher.publish("b", to=to).attempts == 1
    assert second.uses == uses + 10
    assert publisher.publish("c", to="third").attempts == 1
    assert [one.exchange for one in broker.of(commands.Exchange.Declare)] == ["x", "y", "z"]
    assert [one.exchange for one in broker.of(commands.Basic.Publish)][-11:] == ["y", "x"] * 5 + ["z"]


def test_an_exchange_that_is_refused(broker: Broker, make: Make) -> None:
    """Its message is refused, and the others go on."""
    publisher = make()
    lent(publisher)

    def refuse(talk: Talk, channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Exchange.Declare):
            talk.say(channel, commands.Channel.Close(406, "PRECONDITION_FAILED", 40, 10))
        return isinstance(one, commands.Exchange.Declare)

    broker.answer = refuse
    with pytest.raises(Refused, match="PRECONDITION_FAILED"):
        publisher.publish("a", to="other")
    assert publisher.publish("b").attempts == 1


# --- what the broker says instead -----------------------------------------------------------------


def answering(frames: Callable[[int, str], list[Frame]], first_tag: int) -> Callable[[Talk, int, Frame], bool]:
    """Answer each message with these frames, in one piece."""
    tags = iter(range(first_tag, 1000))
    ids: list[str] = []

    def answer(talk: Talk, channel: int, one: Frame) -> bool:
        if isinstance(one, header.ContentHeader):
            ids.append(str(one.properties.message_id))
        if isinstance(one, body.ContentBody):
            talk.say(channel, *frames(next(tags), ids[-1]))
        return False

    return answer


def return_it(tag: int, message_id: str) -> list[Frame]:
    """As the broker does where no queue is bound."""
    properties = commands.Basic.Properties(message_id=message_id)
    return [
        commands.Basic.Return(312, "NO_ROUTE", "x", ""),
        header.ContentHeader(body_size=1, properties=properties),
        body.ContentBody(b"a"),
        commands.Basic.Ack(tag),
    ]


def test_no_queue_is_bound(broker: Broker, make: Make) -> None:
    """It says so in the receipt, and so for each one after; or raises where a route was required."""
    publisher = make()
    lent(publisher)
    broker.confirms = False
    broker.answer = answering(return_it, 10)
    receipt = publisher.publish("a", message_id="m")
    assert (receipt.message_id, receipt.routed, receipt.attempts) == ("m", False, 1)
    for number in range(24):
        receipt = publisher.publish("c", message_id=f"m{number}")
        assert (receipt.message_id, receipt.routed, receipt.attempts) == (f"m{number}", False, 1)
    with pytest.raises(Unroutable, match="NO_ROUTE"):
        publisher.publish("d", require_route=True)


def test_a_route_is_required(broker: Broker, make: Make) -> None:
    """Of the very message that the thread wrote by itself."""
    publisher = make()
    lent(publisher)
    broker.confirms = False
    broker.answer = answering(return_it, 10)
    with pytest.raises(Unroutable, match="NO_ROUTE"):
        publisher.publish("a", require_route=True)


def test_nack(broker: Broker, make: Make) -> None:
    """It raises, and the message is not written again."""
    publisher = make()
    lent(publisher)
    broker.confirms = False
    broker.answer = answering(lambda tag, _: [commands.Basic.Nack(tag)], 10)
    with pytest.raises(Nacked) as caught:
        publisher.publish("a")
    assert caught.value.attempts == 1
    assert broker.bodies[9:] == ["a"]
    broker.answer = lambda *_: False
    broker.confirms = True
    assert publisher.publish("b").attempts == 1


@pytest.mark.parametrize("timeout_s", [0.001, 0.1, 0.5])
def test_the_deadline_passes(broker: Broker, make: Make, timeout_s: float) -> None:
    """The caller hears in time that the outcome is unknown; the confirm that comes late is of no other message."""
    publisher = make()
    lent(publisher)
    broker.confirms = False
    before = time.monotonic()
    with pytest.raises(OutcomeUnknown) as caught:
        publisher.publish("late", timeout=timeout_s)
    assert timeout_s <= time.monotonic() - before < timeout_s + IN_TIME_S
    assert caught.value.attempts == 1
    broker.written(10)
    other = Background(lambda: publisher.publish("other"))
    broker.written(11)
    broker.talks[0].say(1, commands.Basic.Ack(10))
    broker.talks[0].say(1, commands.Basic.Ack(11))
    assert other.result().attempts == 1
    broker.confirms = True
    for _ in range(12):
        assert publisher.publish("after").attempts == 1
    assert broker.bodies[9:11] == ["late", "other"]
    assert len(broker.talks) == 1


def reset(talk: Talk) -> None:
    """End the TCP connection by RST."""
    talk._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk._peer.shutdown(socket.SHUT_RD)  # its thread ends, and closes it
    assert talk.ended.wait(WAIT_S)


TROUBLE: dict[str, Callable[[Talk], None]] = {
    "closes the connection": lambda talk: talk.say(0, commands.Connection.Close(320, "CONNECTION_FORCED", 0, 0)),
    "closes the channel": lambda talk: talk.say(1, commands.Channel.Close(406, "PRECONDITION_FAILED", 60, 40)),
    "hangs up": lambda talk: talk.hang_up(),
    "resets": reset,
    "speaks no AMQP": lambda talk: talk.say_bytes(b"HTTP/1.1 400 Bad Request"),
}


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_trouble_while_a_thread_waits(broker: Broker, make: Make, trouble: Callable[[Talk], None]) -> None:
    """The message is published again under the same id."""
    publisher = make()
    lent(publisher)
    thread = waiting(publisher, broker, message_id="m")
    broker.confirms = True
    trouble(broker.talks[0])
    receipt = thread.result()
    assert (receipt.message_id, receipt.attempts, receipt.routed) == ("m", 2, True)
    assert broker.messages[9:] == [("m", b"waits")] * 2
    lent(publisher, 20)
    assert publisher.publish("after").attempts == 1


@pytest.mark.parametrize("look_s", [LONG_S, 0.1], ids=["a thread meets it", "or the I/O thread"])
@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_trouble_while_nobody_waits(  # noqa: PLR0913, RUF100
    broker: Broker,
    make: Make,
    trouble: Callable[[Talk], None],
    look_s: float,
    monkeypatch: pytest.MonkeyPatch,
    wait: Wait,
) -> None:
    """The next message is confirmed all the same."""
    monkeypatch.setattr(durable_ws.lender, "_UNUSED_S", look_s)
    publisher = make()
    lent(publisher)
    trouble(broker.talks[0])
    if look_s != LONG_S:
        wait(lambda: pool_of(publisher)._lender.loan is None, "the loan has ended")
    receipt = publisher.publish("next", message_id="m")
    assert (receipt.message_id, receipt.routed) == ("m", True)
    assert receipt.attempts in ((1, 2) if look_s != LONG_S else (2,))
    assert broker.messages[-1] == ("m", b"next")
    lent(publisher, 20)


def test_a_channel_that_is_closed_for_the_message(broker: Broker, make: Make) -> None:
    """The second time it is refused, by name; the others go on."""

    def refuse(_tag: int, _message_id: str) -> list[Frame]:
        return [commands.Channel.Close(406, "PRECONDITION_FAILED", 60, 40)]

    publisher = make()
    lent(publisher)
    broker.confirms = False
    broker.answer = answering(refuse, 10)
    with pytest.raises(Refused, match="PRECONDITION_FAILED") as caught:
        publisher.publish("bad", message_id="m")
    assert caught.value.attempts == 2
    assert broker.messages[9:] == [("m", b"bad")] * 2
    broker.answer = lambda *_: False
    broker.confirms = True
    assert publisher.publish("good").attempts == 1


def test_blocked_while_a_thread_waits(broker: Broker, make: Make, wait: Wait) -> None:
    """It waits on, the health says why; nothing more is written until the alarm is over."""
    publisher = make()
    lent(publisher)
    thread = waiting(publisher, broker)
    talk = broker.talks[0]
    talk.say(0, commands.Connection.Blocked("low on memory"))
    wait(lambda: publisher.health().blocked == "low on memory", "it is heard")
    with pytest.raises(NotSent, match="low on memory"):
        publisher.publish("never", timeout=0.1)
    assert thread.is_alive()
    talk.say(0, commands.Connection.Unblocked())
    talk.say(1, commands.Basic.Ack(10))
    assert thread.result().attempts == 1
    broker.confirms = True
    assert publisher.publish("after").attempts == 1
    assert broker.bodies[9:] == ["waits", "after"]


def test_blocked_while_nobody_waits(broker: Broker, make: Make) -> None:
    """The thread that meets it may have written one message; it is confirmed with the rest."""
    publisher = make()
    lent(publisher)
    broker.confirms = False
    talk = broker.talks[0]
    talk.say(0, commands.Connection.Blocked("low on memory"))
    thread = Background(lambda: publisher.publish("a"))
    broker.written(10)
    other = Background(lambda: publisher.publish("b"))
    talk.say(0, commands.Connection.Unblocked())
    talk.say(1, commands.Basic.Ack(10))
    broker.written(11)
    talk.say(1, commands.Basic.Ack(11))
    assert (thread.result().attempts, other.result().attempts) == (1, 1)
    assert sorted(broker.bodies[9:]) == ["a", "b"]


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("beats", [False, True], ids=["a silent broker", "a broker that beats"])
def test_heart_beats(broker: Broker, make: Make, beats: bool) -> None:
    """Whether the connection is lent or idle, neither side takes the other for dead."""
    publisher = make(heartbeat_s=1)
    over = threading.Event()

    def beat() -> None:
        while not over.wait(0.2):
            for talk in broker.talks:
                with contextlib.suppress(OSError):
                    talk.say(0, Heartbeat())

    uses = 0
    lent(publisher)
    try:
        if beats:
            Background(beat)
        until = time.monotonic() + 2.8
        while time.monotonic() < until:
            loan = pool_of(publisher)._lender.loan
            assert publisher.publish("a").attempts == 1
            uses += loan is not None
            over.wait(0.005)
        assert uses > 10
        if beats:
            heard = len(broker.of(Heartbeat))
            broker.wait(lambda: len(broker.of(Heartbeat)) >= heard + 4, "the publisher beats while it has no more")
        assert publisher.publish("b").attempts == 1
    finally:
        over.set()
    assert publisher.health().trouble is None
    assert len(broker.talks) == 1


def test_a_dead_broker_is_noticed(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a thread waits: once the loan has ended, silence counts, and the message goes on by another connection."""
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 20)
    publisher = make(heartbeat_s=1)
    lent(publisher)
    broker.answer = lambda talk, *_: talk is broker.talks[0]
    receipt = publisher.publish("a", message_id="m")
    assert receipt.attempts == 2
    assert broker.messages[9:] == [("m", b"a")] * 2
    assert len(broker.talks) == 2


# --- health ---------------------------------------------------------------------------------------


def test_health(broker: Broker, make: Make, wait: Wait) -> None:
    """What waits in a loan is under way, and its connection is one, before, meanwhile and after."""
    publisher = make()
    lent(publisher)
    told = publisher.health()
    assert (told.connections, told.under_way, told.trouble, told.blocked) == (1, 0, None, None)
    thread = waiting(publisher, broker)
    told = publisher.health()
    assert (told.connections, told.under_way, told.trouble, told.blocked) == (1, 1, None, None)
    other = Background(lambda: publisher.publish("other"))
    broker.written(11)
    wait(lambda: publisher.health().under_way == 2, "two are under way")
    assert publisher.health().connections == 1
    broker.talks[0].say(1, commands.Basic.Ack(11, True))
    assert (thread.result().attempts, other.result().attempts) == (1, 1)
    wait(lambda: publisher.health().under_way == 0, "none is")
    assert pool_of(publisher)._under_way_bytes == 0


# --- the end --------------------------------------------------------------------------------------


def test_close_while_lent(broker: Broker, make: Make) -> None:
    """Nobody is waiting: it ends at once, with a word to the broker."""
    publisher = make(close_timeout_s=LONG_S)
    loan = lent(publisher)
    Background(publisher.close).result()
    broker.wait(lambda: len(broker.of(commands.Connection.Close)) == 1, "the end in order")
    assert loan._socket.fileno() == -1
    assert publisher.health().connections == 0


def test_close_waits_for_a_thread(broker: Broker, make: Make, wait: Wait) -> None:
    """That waits for its confirm in the loan."""
    publisher = make(close_timeout_s=LONG_S)
    lent(publisher)
    thread = waiting(publisher, broker)
    closing = Background(publisher.close)
    wait(lambda: pool_of(publisher)._lender.loan is None, "the I/O thread has it")
    assert closing.is_alive()
    assert thread.is_alive()
    broker.talks[0].say(1, commands.Basic.Ack(10))
    assert thread.result().attempts == 1
    closing.result()
    broker.wait(lambda: len(broker.of(commands.Connection.Close)) == 1, "the end in order")


def test_close_gives_up(broker: Broker, make: Make) -> None:
    """After its time: what waits is unknown."""
    publisher = make(close_timeout_s=0.2)
    lent(publisher)
    thread = waiting(publisher, broker)
    Background(publisher.close).result()
    with pytest.raises(OutcomeUnknown, match="the publisher was closed") as caught:
        thread.result()
    assert caught.value.attempts == 1


def end_io_thread(publisher: Publisher) -> None:
    """As nothing in it does by itself."""
    pool = pool_of(publisher)

    def end() -> None:
        raise SystemExit

    pool._loop.call_soon_threadsafe(end)
    pool._thread.join(WAIT_S)
    assert not pool._thread.is_alive()


def close_what_is_left(publisher: Publisher) -> None:
    """The socket of its link, which nobody else is left to close."""
    (link,) = pool_of(publisher)._links
    assert link._connection is not None
    transport: Any = link._connection._transport
    transport._sock.close()
    transport._sock = None


def test_the_io_thread_ends(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has ended it: who waits in a loan is told, and nothing is left open."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 1000)
    publisher = make()
    loan = lent(publisher)
    thread = waiting(publisher, broker)
    end_io_thread(publisher)
    with pytest.raises(OutcomeUnknown, match="the publisher's I/O thread has ended"):
        thread.result()
    assert loan._socket.fileno() == -1
    with pytest.raises(NotSent):
        publisher.publish("after")
    close_what_is_left(publisher)


def descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list descriptors")
def test_nothing_is_left(broker: Broker, make: Make, wait: Wait) -> None:
    """Twenty publishers that have lent: no thread and no descriptor."""
    make().close()
    threads, before = set(threading.enumerate()), descriptors()
    for number in range(20):
        publisher = make()
        lent(publisher)
        assert [publisher.publish("a").attempts for _ in range(41)] == [1] * 41
        if number % 4 == 1:
            publisher.submit("b")
        if number % 4 == 2:
            broker.talks[-1].hang_up()
        if number % 4 == 3:
            broker.confirms = False
            with pytest.raises(OutcomeUnknown):
                publisher.publish("c", timeout=0.02)
            broker.confirms = True
        publisher._close_timeout_s = 1.0
        publisher.close()
    wait(lambda: descriptors() <= before, "all descriptors are closed")
    wait(lambda: not [one for one in set(threading.enumerate()) - threads if one.is_alive()], "all threads have ended")


# --- held up at work ------------------------------------------------------------------------------


class Held:
    """A thread that is held up at work with the loan, as by a signal handler, until it is let go."""

    class _Free:
        """In place of the token: who takes it to publish is held up then, before the message is written."""

        def __init__(self, token: dict[str, bool], hold: Callable[[], None]) -> None:
            self._token = token
            self._hold = hold

        def __setitem__(self, key: str, value: bool) -> None:
            self._token[key] = value

        def pop(self, key: str, default: bool) -> bool:
            taken = self._token.pop(key, default)
            if taken and threading.current_thread().name != "durable_ws":
                self._hold()
            return taken

    def __init__(self, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, *, written: bool) -> None:
        self._held, self._go_on = threading.Event(), threading.Event()
        self._first = True
        assert publisher._pool is not None
        loan = publisher._pool._lender.loan
        assert loan is not None
        confirm_of = Connection.confirm_of

        def hold_then(*arguments: Any) -> Any:
            self._wait()
            return confirm_of(*arguments)

        if written:
            monkeypatch.setattr(durable_ws.loan, "Connection", SimpleNamespace(confirm_of=hold_then))
        else:
            loan._free = cast("Any", Held._Free(loan._free, self._wait))
        self.thread = Background(lambda: publisher.publish("held", message_id="held"))
        assert self._held.wait(WAIT_S)

    def _wait(self) -> None:
        if self._first:
            self._first = False
            self._held.set()
            assert self._go_on.wait(WAIT_S)

    def let_go(self) -> Receipt:
        """It goes on."""
        self._go_on.set()
        receipt: Receipt = self.thread.result()
        return receipt


@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize("written", [True, False])
def test_a_thread_that_is_held_up(  # noqa: PLR0913, RUF100
    broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait, written: bool, confirmed: bool
) -> None:
    """Others go on without it, on a new connection; and so does it, in the end, and says the truth."""
    publisher = make()
    loan = lent(publisher)
    broker.confirms = confirmed
    held = Held(publisher, monkeypatch, written=written)
    if written:
        broker.written(10)
    if written and confirmed:
        wait(lambda: loan._poll(0), "the confirm has come")
    broker.confirms = True
    before = time.monotonic()
    others = [Background(lambda: publisher.publish("other")) for _ in range(2)]
    assert [other.result().attempts for other in others] == [1, 1]
    assert time.monotonic() - before < IN_TIME_S
    assert len(broker.talks) == 2
    assert publisher.publish("another").attempts == 1
    assert held.thread.is_alive()
    assert publisher.health().trouble == "a thread was held up while it published on the connection"
    receipt = held.let_go()
    assert receipt.message_id == "held"
    copies = broker.messages.count(("held", b"held"))
    assert copies >= 1
    if written:
        assert receipt.attempts == copies == (1 if confirmed else 2)
    for number in range(20):
        assert publisher.publish(f"after {number}").attempts == 1
    assert loan._socket.fileno() == -1
    assert broker.bodies.count("other") == 2
    assert len(broker.talks) == 2


def test_a_loan_that_is_never_given_back(broker: Broker, make: Make) -> None:
    """As an error has struck a thread right after it took it: all go on; its handle is closed with the publisher."""
    publisher = make()
    loan = lent(publisher)
    loan._free.clear()
    assert publisher.publish("a").attempts == 1
    assert len(broker.talks) == 2
    assert loan._socket.fileno() != -1, "its thread may only be held up"
    publisher.close()
    assert loan._socket.fileno() == -1


def test_held_up_until_the_next_loan(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message does not get into the way of a thread that has the new connection, nor does that one's tag."""
    publisher = make()
    lent(publisher)
    held = Held(publisher, monkeypatch, written=False)
    assert publisher.publish("other").attempts == 1
    for number in range(12):
        assert publisher.publish(f"before {number}").attempts == 1
    loan = loan_of(publisher)
    uses = loan.uses
    assert len(broker.talks) == 2
    assert held.let_go().message_id == "held"
    assert (loan.ended or pool_of(publisher)._lender.loan is not loan, loan.uses) == (True, uses), "the loan came first"
    assert [publisher.publish(f"after {number}", timeout=5.0).attempts for number in range(20)] == [1] * 20
    assert publisher.submit("last", timeout=5.0).result(WAIT_S).attempts == 1
    assert [text for text in broker.bodies if not text.startswith("before")] == [
        "other", "held", *(f"after {number}" for number in range(20)), "last",
    ]  # fmt: skip
    assert len(broker.talks) == 2


def test_what_is_not_written_on_a_broken_connection(
    broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that waits while a thread finds the connection broken was never written there, and says so."""
    monkeypatch.setattr(durable_ws.lender, "_AT_WORK_S", LONG_S)
    publisher = make()
    lent(publisher)
    held = Held(publisher, monkeypatch, written=False)
    future = publisher.submit("other")
    reset(broker.talks[0])
    assert held.let_go().attempts in (1, 2)
    assert future.result(WAIT_S).attempts == 1
    assert broker.bodies[9:] == ["held", "other"]


def test_held_up_for_a_moment(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """Others wait for it, and the connection stays."""
    monkeypatch.setattr(durable_ws.lender, "_AT_WORK_S", LONG_S)
    publisher = make()
    loan = lent(publisher)
    held = Held(publisher, monkeypatch, written=True)
    pool = pool_of(publisher)
    limit_of_use = pool._lender._timer
    future = publisher.submit("other")
    wait(lambda: pool._lender._timer is not limit_of_use, "the I/O thread has looked")
    assert loan.wanted
    assert not future.done()
    turn, limit = pool._turn, pool._lender._timer
    third = publisher.submit("third")
    wait(lambda: pool._turn > turn, "it has looked again")
    assert pool._lender._timer is limit, "its time goes on, however many others come"
    assert held.let_go().attempts == 1
    assert [future.result(WAIT_S).attempts, third.result(WAIT_S).attempts] == [1, 1]
    assert broker.bodies[9:] == ["held", "other", "third"]
    assert len(broker.talks) == 1


def test_close_waits_for_a_thread_at_work(
    broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    """Which gives the loan back once it is done, and then the connection ends in order."""
    monkeypatch.setattr(durable_ws.lender, "_AT_WORK_S", LONG_S)
    publisher = make(close_timeout_s=LONG_S)
    loan = lent(publisher)
    held = Held(publisher, monkeypatch, written=True)
    closing = Background(publisher.close)
    wait(lambda: loan.wanted, "the I/O thread wants it")
    assert closing.is_alive()
    assert held.let_go().attempts == 1
    closing.result()
    broker.wait(lambda: len(broker.of(commands.Connection.Close)) == 1, "the end in order")


def test_close_while_a_thread_is_held_up(broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends, and so does the thread once it goes on."""
    publisher = make(close_timeout_s=0.2)
    loan = lent(publisher)
    held = Held(publisher, monkeypatch, written=False)
    Background(publisher.close).result()
    assert not pool_of(publisher)._thread.is_alive()
    with pytest.raises((OutcomeUnknown, NotSent)):
        held.let_go()
    assert broker.bodies[9:] == []
    assert loan._socket.fileno() == -1


# --- signal handlers ------------------------------------------------------------------------------


class Struck(Exception):  # noqa: N818
    """What a signal handler raises."""


@contextlib.contextmanager
def on_signal(handler: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """What to do at SIGUSR1 in the ``with``; gives what sends it to the main thread."""
    before = signal.signal(signal.SIGUSR1, lambda *_: handler())
    try:
        yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_that_publishes(
    broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    """While its thread waits in the loan: both are confirmed."""
    publisher = make()
    loan = lent(publisher)
    broker.confirms = False
    receipts: list[Receipt] = []

    def conduct(send: Callable[[], None]) -> None:
        broker.written(10)
        wait(lambda: loan._waiting, "it waits")
        send()
        broker.written(11)
        broker.talks[0].say(1, commands.Basic.Ack(11, True))

    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 1000)  # for so long the thread waits on after the handler
    with on_signal(lambda: receipts.append(publisher.publish("handler"))) as send:
        conductor = Background(lambda: conduct(send))
        receipts.append(publisher.publish("main"))
        conductor.result()
    assert [one.attempts for one in receipts] == [1, 1]
    assert broker.bodies[9:] == ["main", "handler"]
    assert len(broker.talks) == 1


def test_a_signal_handler_that_raises(broker: Broker, make: Make, wait: Wait) -> None:
    """While its thread waits in the loan: it comes out, and the message is under way all the same."""
    publisher = make()
    loan = lent(publisher)
    broker.confirms = False

    def conduct(send: Callable[[], None]) -> None:
        broker.written(10)
        wait(lambda: loan._waiting, "it waits")
        send()

    def strike() -> None:
        raise Struck

    with on_signal(strike) as send:
        conductor = Background(lambda: conduct(send))
        with pytest.raises(Struck):
            publisher.publish("main")
        conductor.result()
    wait(lambda: pool_of(publisher)._lender.loan is None, "it is handed over")
    wait(lambda: publisher.health().under_way == 1, "it is under way")
    broker.talks[0].say(1, commands.Basic.Ack(10))
    wait(lambda: publisher.health().under_way == 0, "it is confirmed")
    broker.confirms = True
    assert publisher.publish("after").attempts == 1
    assert broker.bodies[9:] == ["main", "after"]
    assert len(broker.talks) == 1


# --- processes ------------------------------------------------------------------------------------

PROGRAM = """
import contextlib, os, sys, threading, time
import durable_ws.loan, durable_ws.lender
from durable_ws import *
durable_ws.lender._SOON_S = durable_ws.lender._UNUSED_S = 1000.0
durable_ws.loan._PATIENCE_MS = 20_000
publisher = Publisher(exchanges={"pubsub": Exchange("x")}, timeout=30, close_timeout_s=0.5)
for _ in range(9):
    publisher.publish("before")
loan = publisher._pool._lender.loan
assert loan is not None
"""


def run(broker: Broker, text: str) -> subprocess.CompletedProcess[str]:
    """A program that has a publisher whose connection is lent, as ``loan``; it must end in time."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning", "-c", PROGRAM + text],
        env={**os.environ, "RABBITMQ_URL": broker.url},
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )


def test_fork_while_lent(broker: Broker) -> None:
    """The child publishes on a connection of its own; the parent goes on with the loan."""
    done = run(
        broker,
        """
pid = os.fork()
if pid == 0:
    for n in range(30):
        assert publisher.publish(f"child {n}").attempts == 1
    assert publisher._pool._lender.loan is not None
    publisher.close()
    os._exit(7)
for n in range(30):
    assert publisher.publish(f"parent {n}").attempts == 1
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
for n in range(30, 60):
    assert publisher.publish(f"parent {n}").attempts == 1
assert publisher._pool._lender.loan is loan
assert loan.uses == 60
publisher.close()
""",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")
    assert [text for text in broker.bodies if text.startswith("parent")] == [f"parent {n}" for n in range(60)]
    assert [text for text in broker.bodies if text.startswith("child")] == [f"child {n}" for n in range(30)]
    assert len(broker.talks) == 2


@pytest.mark.parametrize("waits", [False, True], ids=["idle", "a thread waits"])
def test_an_interpreter_that_ends(broker: Broker, waits: bool) -> None:
    """While the connection is lent: it ends in time, and with a word to the broker."""

    def confirm_not(_talk: Talk, _channel: int, one: Frame) -> bool:
        return isinstance(one, body.ContentBody) and one.value == b"never"

    broker.answer = confirm_not
    text = """
def wait():  # its error is not to be printed: who prints while the interpreter ends may hold the stream's lock for ever
    with contextlib.suppress(PublishError):
        publisher.publish("never")
threading.Thread(target=wait, daemon=True).start()
while not loan._waiting:
    time.sleep(0.001)
"""
    before = time.monotonic()
    done = run(broker, text if waits else "")
    assert time.monotonic() - before < 2 * IN_TIME_S
    assert (done.returncode, done.stderr) == (0, "")
    broker.wait(lambda: len(broker.of(commands.Connection.Close)) == 1, "the end in order")


def test_a_handler_that_publishes_while_its_thread_is_at_work(
    broker: Broker, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known that the thread can't give the loan back before: the connection is given up at once."""
    monkeypatch.setattr(durable_ws.lender, "_AT_WORK_S", LONG_S)
    publisher = make()
    lent(publisher)
    confirm_of = Connection.confirm_of
    inner: list[Receipt | None] = []

    def interrupted(number: int, tag: int) -> bytes:
        if not inner:
            inner.append(None)
            inner.append(publisher.publish("handler", timeout=WAIT_S))
        return confirm_of(number, tag)

    monkeypatch.setattr(Connection, "confirm_of", staticmethod(interrupted))
    outer = publisher.publish("main", timeout=WAIT_S)
    assert inner[1] is not None
    assert inner[1].attempts == 1
    assert outer.attempts in (1, 2)
    assert {"handler", "main"} <= set(broker.bodies)
    assert len(broker.talks) == 2
