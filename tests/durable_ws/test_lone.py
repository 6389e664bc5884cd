"""A message that is published while nothing else is under way: written with less ado, and with the same fate as any."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pamqp import commands, frame, header
from pamqp.heartbeat import Heartbeat

from durable_ws import AsyncPublisher, Exchange
from durable_ws.amqp.events import Blocked, ChannelClosed, Confirmed, Declared, Returned, Unblocked
from durable_ws.async_call import AsyncCall
from durable_ws.job import Job
from durable_ws.ledger import Fate, Ledger, Settled
from durable_ws.link import Link
from durable_ws.links import Links
from durable_ws.loan import Burden
from tests.durable_ws import played_link
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker
from tests.durable_ws.observers import Outcomes
from tests.durable_ws.played_link import FOREVER, LinkAlone
from tests.durable_ws.played_loop import PlayedLoop
from tests.durable_ws.played_wire import Line, WireAlone, job_of, settings_of

EXCHANGES = {"pubsub": Exchange("x")}
UNKNOWN = Fate.UNKNOWN
CANCELLED = "the call was cancelled"
NO_ROUTE = "no queue is bound for it (NO_ROUTE)"
NACKED = "the broker could not take responsibility for it (basic.nack)"


def confirmed(text: str, attempts: int = 1) -> tuple[str, Fate, int, str]:
    """What is told of one that the broker has."""
    return (text, Fate.CONFIRMED, attempts, "")


# --- before a link without a socket ---------------------------------------------------------------


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> LinkAlone:
    """One that is open, where the exchange x is declared and a message confirmed; all is quiet."""
    alone = LinkAlone(played_link.play_sessions(monkeypatch))
    alone.publish("first")
    alone.open()
    alone.hear(Declared(2))
    alone.hear(Confirmed(1, 1, False, False))
    assert alone.fates() == [("first", Fate.CONFIRMED, "")]
    alone.session.taken()
    alone.loop.fire()
    assert alone.loop.delays == []
    return alone


def publish_alone(alone: LinkAlone, text: str, to: str = "x", timeout_s: float = FOREVER) -> Job:
    """One that comes while nothing else is done."""
    job = alone.job(text, to, timeout_s)
    played_link.publish_alone(alone.link, job)
    return job


def come_as_expected(alone: LinkAlone, tag: int) -> None:
    """The confirm of that tag comes, which is expected."""
    session = alone.session
    assert session.expected == ("confirm", 1, tag)
    session.expected = None
    session.on_expected()


def test_one_flush_and_one_fate(ready: LinkAlone) -> None:
    """Nothing else is said, the ledger hears nothing of it, and the next one has the next tag."""
    for text, tag in (("a", 2), ("b", 3)):
        job = publish_alone(ready, text)
        message = job.message
        assert ready.session.said == [("publish", 1, message.address, message.header, text.encode()), ("flush",)]
        assert ready.session.taken()
        assert job.link is ready.link
        assert job.entry is None
        assert (ready.link.load, ready.link._ledger.unsettled, ready.link._ledger.unconfirmed) == (1, 0, 0)
        assert ready.settled == []
        come_as_expected(ready, tag)
        assert ready.settled == [Settled(job, Fate.CONFIRMED, 1, "")]
        assert ready.session.said == []
        assert ready.link.load == 0
        ready.settled.clear()
    ready.session.on_expected()  # for nothing
    assert ready.settled == []


def test_when_it_joins_the_others(ready: LinkAlone) -> None:
    """Once, before the ledger has it; not if it is confirmed as expected."""
    publish_alone(ready, "a")
    come_as_expected(ready, 2)
    ready.link.join()
    assert ready.joined == []
    job = publish_alone(ready, "b")
    assert ready.link.lone is job
    for _ in range(2):
        ready.link.join()
        assert ready.joined == [job]
        assert (ready.link.lone, ready.link._ledger.unconfirmed, ready.link.load) == (None, 1, 1)
    assert ready.session.expected is None


def test_it_has_a_timer(ready: LinkAlone) -> None:
    """If none comes earlier; an earlier one that comes for nothing sets the next, and the deadline is the end of it."""
    publish_alone(ready, "a", timeout_s=20.0)
    assert ready.loop.delays == [20.0]
    come_as_expected(ready, 2)
    publish_alone(ready, "b", timeout_s=30.0)
    assert ready.loop.delays == [20.0]
    ready.loop.fire()
    assert ready.loop.delays == [10.0]
    assert ready.session.expected is None
    assert [name for name, *_ in ready.fates()] == ["a"]
    ready.hear(Confirmed(1, 3, False, False))
    assert ready.fates() == [("b", Fate.CONFIRMED, "")]
    publish_alone(ready, "c", timeout_s=5.0)
    assert ready.loop.delays == [5.0]
    ready.loop.fire()
    assert ready.fates() == [("c", UNKNOWN, "the deadline passed without a confirm")]
    assert ready.link.load == 1, "the answer may still come"
    ready.hear(Confirmed(1, 4, False, False))
    assert ready.fates() == []
    assert ready.link.load == 0


def not_ready(alone: LinkAlone) -> Any:
    """The broker has closed the channel."""
    alone.hear(ChannelClosed(1, 406, "NO."))


def given_up(alone: LinkAlone) -> Any:
    """The broker has closed the channel for now: the connection is about to end."""
    alone.hear(ChannelClosed(1, 541, "NO."))


def not_open(alone: LinkAlone) -> Any:
    """The connection is being closed."""
    alone.session.is_open = False


def no_connection(alone: LinkAlone) -> Any:
    """It has ended."""
    alone.end("a cut")


def not_writable(alone: LinkAlone) -> Any:
    """The socket does not keep up."""
    alone.session.writable = False


def broker_blocks(alone: LinkAlone) -> Any:
    """It has an alarm."""
    alone.hear(Blocked("low on disk"))


def in_the_midst(alone: LinkAlone) -> Any:
    """Of a frame, or of a returned message."""
    alone.session.between = False


def past_its_deadline(alone: LinkAlone) -> Any:
    """Something is not answered, but has its fate."""
    alone.publish("late", timeout_s=1.0)
    alone.loop.fire()
    assert alone.fates()[-1][:2] == ("late", UNKNOWN)


def under_way(alone: LinkAlone) -> Any:
    """Something has no fate yet, and is not written."""
    alone.publish("held", to="y")


def too_large(alone: LinkAlone) -> Any:
    """It does not fit into a frame."""
    alone.session.fits = False


def nothing(_alone: LinkAlone) -> Any:
    """All is well."""


@pytest.mark.parametrize(
    ("hindrance", "to", "load", "said"),
    [
        (nothing, "y", 1, [("declare", 2, "y", "direct", False, False, {"alternate-exchange": "x"}), ("flush",)]),
        (not_ready, "x", 1, []),
        (given_up, "x", 1, []),
        (not_open, "x", 1, []),
        (no_connection, "x", 1, []),
        (not_writable, "x", 1, []),
        (broker_blocks, "x", 1, []),
        (in_the_midst, "x", 1, [("publish", 1, b"a"), ("flush",)]),
        (past_its_deadline, "x", 2, [("publish", 1, b"a"), ("flush",)]),
        (under_way, "x", 2, [("publish", 1, b"a"), ("flush",)]),
        (too_large, "x", 0, []),
    ],
)
def test_when_it_is_not_tried(
    ready: LinkAlone, hindrance: Callable[[LinkAlone], Any], to: str, load: int, said: list[Any]
) -> None:
    """It goes the way of any other, at once where that may be, and nothing is expected."""
    hindrance(ready)
    ready.session.taken()
    job = publish_alone(ready, "a", to)
    assert ready.session.expected is None
    assert ready.link._lone is None
    assert job.entry is not None
    assert ready.session.taken() == said
    assert ready.link.load == load
    assert len(ready.sessions) == 1


def test_not_tried_on_a_new_link(ready: LinkAlone) -> None:
    """It connects."""
    alone = LinkAlone(ready.sessions)
    job = publish_alone(alone, "a")
    assert len(ready.sessions) == 2
    assert (alone.session.said, alone.session.expected) == ([], None)
    assert job.entry is not None
    alone.open()
    alone.hear(Declared(2))
    assert alone.session.taken()[-2:] == [("publish", 1, b"a"), ("flush",)]
    alone.hear(Confirmed(1, 1, False, False))
    assert alone.fates() == [("a", Fate.CONFIRMED, "")]


def test_tried_again_once_nothing_hinders(ready: LinkAlone) -> None:
    """As soon as the alarm is over, the socket keeps up, and the late answer has come."""
    ready.hear(Blocked("low on disk"))
    ready.hear(Unblocked())
    publish_alone(ready, "a")
    come_as_expected(ready, 2)
    assert ready.fates() == [("a", Fate.CONFIRMED, "")]
    past_its_deadline(ready)
    ready.hear(Confirmed(1, 3, False, False))
    publish_alone(ready, "b")
    come_as_expected(ready, 4)
    not_writable(ready)
    publish_alone(ready, "c")
    ready.session.writable = True
    ready.session.on_writable()
    ready.hear(Confirmed(1, 5, False, False))
    publish_alone(ready, "d", to="x")
    come_as_expected(ready, 6)
    assert [name for name, *_ in ready.fates()] == ["b", "c", "d"]


def test_one_that_does_not_fit(ready: LinkAlone) -> None:
    """It is refused, as any other; it takes no tag, and the next is lone again."""
    too_large(ready)
    publish_alone(ready, "a")
    ready.loop.soon.pop()()
    ((_, fate, reason),) = ready.fates()
    assert fate is Fate.REFUSED
    assert reason == "its properties do not fit into a frame of 4096 bytes, which is agreed with the broker"
    ready.session.fits = True
    publish_alone(ready, "b")
    come_as_expected(ready, 2)
    assert ready.fates() == [("b", Fate.CONFIRMED, "")]


@pytest.mark.parametrize(
    ("events", "fate"),
    [
        ([Confirmed(1, 2, True, False)], ("a", Fate.CONFIRMED, "")),
        ([Confirmed(1, 0, True, False)], ("a", Fate.CONFIRMED, "")),
        ([Confirmed(1, 2, False, False)], ("a", Fate.CONFIRMED, "")),
        ([Confirmed(1, 2, False, True)], ("a", Fate.NACKED, NACKED)),
        ([Returned(1, "a", "NO_ROUTE"), Confirmed(1, 2, False, False)], ("a", Fate.RETURNED, NO_ROUTE)),
        ([Returned(1, "other", "NO_ROUTE"), Confirmed(1, 2, False, False)], ("a", Fate.CONFIRMED, "")),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_other_answers(ready: LinkAlone, events: list[Any], fate: tuple[str, Fate, str], at_once: bool) -> None:
    """Each as it would be of any other, come they in one piece or not; nothing is expected after the first."""
    job = publish_alone(ready, "a")
    for some in [events] if at_once else [[one] for one in events]:
        assert ready.link._lone == (job, 2) or job.entry is not None
        ready.hear(*some)
        assert ready.session.expected is None
    assert ready.fates() == [fate]
    assert ready.link.load == 0


def test_the_confirm_of_another_is_not_its(ready: LinkAlone) -> None:
    """Nor is it of anybody, here."""
    publish_alone(ready, "a")
    ready.hear(Confirmed(1, 1, False, False), Confirmed(1, 3, False, True))
    assert ready.fates() == []
    assert ready.link.load == 1


def test_cancelled_while_it_is_lone(ready: LinkAlone) -> None:
    """It had been written; another that the link does not have had not, but the lone one is an ordinary one then."""
    job = publish_alone(ready, "a")
    assert ready.link.cancel(job, CANCELLED) is True
    assert ready.fates() == [("a", UNKNOWN, CANCELLED)]
    assert ready.session.expected is None
    assert ready.link.load == 1
    assert ready.link.cancel(job, CANCELLED) is True
    ready.hear(Confirmed(1, 2, False, False))
    assert ready.fates() == []
    other = publish_alone(ready, "b")
    assert ready.link.cancel(ready.job("c", "x", FOREVER), CANCELLED) is False
    assert (ready.session.expected, other.entry is not None) == (None, True)
    ready.hear(Confirmed(1, 3, False, False))
    assert ready.fates() == [("b", Fate.CONFIRMED, "")]
    waits = publish_alone(ready, "d", to="y")
    assert ready.link.cancel(waits, CANCELLED) is False
    assert ready.fates() == [("d", Fate.NOT_SENT, CANCELLED)]


def test_cancelled_once_it_was_returned(ready: LinkAlone) -> None:
    """The broker certainly does not have it."""
    job = publish_alone(ready, "a")
    ready.hear(Returned(1, "a", "NO_ROUTE"))
    assert ready.link.cancel(job, CANCELLED) is False
    assert ready.fates() == [("a", Fate.NOT_SENT, CANCELLED)]


# --- over real connections, byte by byte ----------------------------------------------------------


@pytest.fixture
def wire() -> WireAlone:
    """A link that is connected, where x is declared and one message was confirmed."""
    return made()


def made(**options: Any) -> WireAlone:
    """The same, as it is told to be."""
    alone = WireAlone(**options)
    alone.beside("first")
    alone.ack(alone.attempts[0])
    alone.go_on()
    assert alone.fates() == [confirmed("first")]
    alone.writes.clear()
    return alone


def test_the_bytes(wire: WireAlone) -> None:
    """One write; the broker's confirm by itself is its fate."""
    for number, text in enumerate(("a", "b", "c"), 2):
        wire.alone(text)
        assert wire.is_lone
        assert len(wire.writes) == 1
        (attempt,) = wire.waiting
        assert (attempt.body, attempt.message_id, attempt.tag) == (text.encode(), text, number)
        assert wire.settled == []
        wire.ack(attempt)
        wire.go_on()
        assert not wire.is_lone
        assert wire.fates() == [confirmed(text)]
        assert len(wire.writes) == 1
        assert wire.link.load == 0
        wire.writes.clear()


@pytest.mark.parametrize("ways", list(itertools.product(("lone", "one", "two", "joined"), repeat=3)))
def test_tags_stay_in_step(wire: WireAlone, ways: tuple[str, ...]) -> None:
    """Lone, ordinary, together, or joined while it is lone, in any order: the broker counts the same."""
    for number, way in enumerate(ways):
        texts = [f"a{number}", f"b{number}"]
        if way == "two":
            wire.beside(*texts)
        elif way == "one":
            wire.beside(*texts[:1])
        else:
            wire.alone(texts[0])
            assert wire.is_lone
            if way == "joined":
                wire.beside(texts[1])
                assert not wire.is_lone
        waiting = list(wire.waiting)
        assert [one.body.decode() for one in waiting] == texts[: 2 if way in ("two", "joined") else 1]
        for one in reversed(waiting):
            wire.ack(one)
            wire.go_on()
            assert wire.fates() == [confirmed(one.body.decode())]
    assert [one.tag for one in wire.attempts] == list(range(1, len(wire.attempts) + 1))
    assert wire.link.load == 0


def test_another_joins_it(wire: WireAlone) -> None:
    """In their order, each in a write of its own; one multiple ack is for both; a third one is not lone either."""
    wire.alone("a")
    wire.beside("b")
    wire.alone("c")
    assert wire.link.load == 3
    assert [one.body for one in wire.waiting] == [b"a", b"b", b"c"]
    assert len(wire.writes) == 3
    wire.ack(*wire.waiting, multiple=True)
    wire.go_on()
    assert wire.fates() == [confirmed("a"), confirmed("b"), confirmed("c")]
    assert wire.link.load == 0
    wire.alone("d")
    assert wire.is_lone


def test_the_same_id_again(wire: WireAlone) -> None:
    """The second waits for the first one's answer, and the return is the first one's."""
    wire.alone("a", message_id="same")
    wire.alone("b", message_id="same")
    assert [one.body for one in wire.waiting] == [b"a"]
    (first,) = wire.waiting
    wire.give_back(first)
    wire.ack(first)
    wire.go_on()
    assert wire.fates() == [("a", Fate.RETURNED, 1, NO_ROUTE)]
    assert [one.body for one in wire.waiting] == [b"b"]
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("b")]


def test_the_deadline(wire: WireAlone) -> None:
    """To the second, as of any other; then the link is not idle until the late answer has come."""
    wire.alone("a", timeout_s=5.0)
    wire.pass_time(4.9)
    assert wire.is_lone
    wire.pass_time(0.2)
    assert wire.fates() == [("a", UNKNOWN, 1, "the deadline passed without a confirm")]
    wire.alone("b")
    assert not wire.is_lone
    wire.ack(*wire.waiting, multiple=True)
    wire.go_on()
    assert wire.fates() == [confirmed("b")]
    wire.alone("c")
    assert wire.is_lone


def test_the_connection_is_lost(wire: WireAlone) -> None:
    """It is written again under its id, before what comes in the meantime; the next lone one has the right tag."""
    wire.alone("a")
    wire.cut()
    assert not wire.is_lone
    assert wire.link.load == 1
    wire.alone("b")
    assert [(one.body, one.message_id, one.tag) for one in wire.waiting] == [(b"a", "a", 1), (b"b", "b", 2)]
    wire.ack(*wire.waiting, multiple=True)
    wire.go_on()
    assert wire.fates() == [confirmed("a", 2), confirmed("b")]
    wire.alone("c")
    assert wire.is_lone
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("c")]
    assert wire.attempts[-1].tag == 3


def test_lost_and_late(wire: WireAlone) -> None:
    """Its deadline passes while there is no connection: nobody knows."""
    wire.alone("a", timeout_s=5.0)
    wire.cut()
    wire.loop.fire(wire.loop.delays.index(5.0))
    wire.go_on()
    ((text, fate, attempts, reason),) = wire.fates()
    assert (text, fate, attempts) == ("a", UNKNOWN, 1)
    assert reason.startswith("the deadline passed without a connection (the peer closed the connection")
    assert wire.waiting == []


@pytest.mark.parametrize(("code", "attempts"), [(406, 2), (541, 2)])
def test_the_channel_is_closed(wire: WireAlone, code: int, attempts: int) -> None:
    """It is written again, on a new channel, or connection."""
    wire.alone("a")
    session = wire.session
    wire.close_channel(code, "NO.")
    wire.go_on()
    assert (wire.session is session) == (code == 406)
    assert wire.fates() == []
    assert [(one.body, one.tag) for one in wire.waiting] == [(b"a", 1)]
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("a", attempts)]
    wire.alone("b")
    assert wire.is_lone
    assert wire.waiting[0].tag == 2


def test_the_channel_is_closed_for_it(wire: WireAlone) -> None:
    """It was alone each time, so it is refused the second time, and nobody is in doubt."""
    wire.alone("a")
    for _ in range(2):
        assert wire.fates() == []
        assert [one.body for one in wire.waiting] == [b"a"]
        wire.close_channel(406, "PRECONDITION_FAILED - X.")
        wire.go_on()
    assert wire.fates() == [
        ("a", Fate.REFUSED, 2, "the broker closed the channel: (406) PRECONDITION_FAILED - X"),
    ]
    wire.alone("b")  # the exchange is to be declared again
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("b")]


def test_the_broker_blocks(wire: WireAlone) -> None:
    """What was written is confirmed all the same; what comes meanwhile waits."""
    wire.alone("a")
    wire.block("low on disk")
    wire.go_on()
    assert wire.link.blocked == "low on disk"
    wire.alone("b")
    (first,) = wire.waiting
    wire.ack(first)
    wire.go_on()
    assert wire.fates() == [confirmed("a")]
    assert wire.waiting == []
    wire.block(None)
    wire.go_on()
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("b")]


def test_blocked_for_as_long_as_it_has(wire: WireAlone) -> None:
    """The deadline is told, with the alarm, and that it is not known."""
    wire.alone("a", timeout_s=5.0)
    wire.block("low on disk")
    wire.go_on()
    wire.pass_time(5.0)
    late = "the deadline passed while the broker blocks publishers (low on disk)"
    assert wire.fates() == [("a", UNKNOWN, 1, late)]


ACK, BEAT = frame.marshal(commands.Basic.Ack(2), 1), frame.marshal(Heartbeat(), 0)


def hear(alone: WireAlone, data: bytes) -> None:
    """These bytes come in one read; the broker's own count of what it has answered does not know of them."""
    assert alone.session is not None
    alone.session.get_buffer(-1)[: len(data)] = data
    alone.session.buffer_updated(len(data))


@pytest.mark.parametrize(
    "pieces",
    [
        [BEAT, ACK],
        [BEAT + ACK],
        [ACK + BEAT],
        [ACK + ACK],
        [BEAT[:5], BEAT[5:], ACK],
        [BEAT[:5], BEAT[5:] + ACK],
        [ACK + BEAT[:5], BEAT[5:]],
        *([ACK[:cut], ACK[cut:]] for cut in range(1, len(ACK))),
        [ACK[place : place + 1] for place in range(len(ACK))],
        [frame.marshal(commands.Connection.Blocked("low"), 0) + ACK, frame.marshal(commands.Connection.Unblocked(), 0)],
    ],
)
def test_the_confirm_beside_other_bytes(wire: WireAlone, pieces: list[bytes]) -> None:
    """Or in two: it is settled once, and the next one is lone again, with the right tag."""
    wire.alone("a")
    for piece in pieces:
        hear(wire, piece)
    assert wire.fates() == [confirmed("a")]
    assert wire.link.load == 0
    wire.alone("b")
    assert wire.is_lone
    hear(wire, frame.marshal(commands.Basic.Ack(3), 1))
    assert wire.fates() == [confirmed("b")]


@pytest.mark.parametrize("cut", [1, len(BEAT) - 1])
def test_in_the_midst_of_a_frame(wire: WireAlone, cut: int) -> None:
    """Nothing is lone: the confirm would come with the rest of that frame."""
    hear(wire, BEAT[:cut])
    wire.alone("a")
    assert not wire.is_lone
    assert [one.body for one in wire.waiting] == [b"a"]
    hear(wire, BEAT[cut:])
    hear(wire, ACK)
    assert wire.fates() == [confirmed("a")]


def test_in_the_midst_of_a_returned_message() -> None:
    """Nothing is lone, however late the rest of it comes: a confirm amid it is the peer's fault, and not a confirm."""
    wire = made(answers_at_once=True)
    (job,) = wire.beside("late", timeout_s=1.0)
    (late,) = wire.waiting
    wire.pass_time(1.0)
    assert job.future.done() is False
    assert [fate for _, fate, *_ in wire.fates()] == [UNKNOWN]
    wire.ack(late)
    wire.go_on()  # confirmed, and then returned: no broker does that, but a bad one may
    wire.answers_at_once = False
    wire.give_back(late)
    wire.deliver(len(frame.marshal(commands.Basic.Return(312, "NO_ROUTE", "x", ""), 1)))
    assert wire.link.load == 0
    wire.alone("a")
    assert not wire.is_lone
    hear(wire, frame.marshal(commands.Basic.Ack(3), 1))
    assert wire.fates() == []
    wire.answers_at_once = True
    wire.go_on()
    assert wire.link.trouble is not None
    assert wire.link.trouble[1] == "the peer begins a method in the midst of a returned message"
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("a", 2)]


def test_a_return_that_comes_in_pieces(wire: WireAlone) -> None:
    """The lone one is an ordinary one from the first byte on."""
    wire.answers_at_once = False
    wire.alone("a")
    (attempt,) = wire.waiting
    wire.give_back(attempt)
    wire.ack(attempt)
    told = []
    while wire.deliver(1):
        told += wire.fates()
    assert told == [("a", Fate.RETURNED, 1, NO_ROUTE)]
    assert wire.link.load == 0


def test_properties_too_large_for_a_frame(wire: WireAlone) -> None:
    """Refused, without a byte; the tags stay in step."""
    job = wire.alone("a", properties={"headers": {"h": "x" * 5000}})
    assert wire.writes == []
    assert not wire.is_lone
    assert job.entry is not None
    assert wire.fates() == [
        ("a", Fate.REFUSED, 0, "its properties do not fit into a frame of 4096 bytes, which is agreed with the broker")
    ]
    wire.alone("b")
    assert wire.is_lone
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("b")]


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 20_000])
def test_a_body_of_several_frames(wire: WireAlone, size: int) -> None:
    """Or of none: lone all the same, in one write."""
    wire.alone("x" * size, message_id="m")
    assert wire.is_lone
    assert len(wire.writes) == 1
    (attempt,) = wire.waiting
    assert (attempt.body, attempt.message_id, attempt.tag) == (b"x" * size, "m", 2)
    wire.ack(attempt)
    wire.go_on()
    assert wire.fates() == [confirmed("x" * size)]


def test_the_default_exchange(wire: WireAlone) -> None:
    """It is never declared; lone from the second message on."""
    for lone, text in ((False, "a"), (True, "b")):
        wire.alone(text, "")
        assert wire.is_lone is lone
        wire.ack(*wire.waiting)
        wire.go_on()
        assert wire.fates() == [confirmed(text)]


def test_heart_beats_go_on() -> None:
    """A broker that says nothing but confirms is alive for as long as it does; then it is given up."""
    wire = made(heartbeat_s=6)
    session = wire.session
    for number in range(20):
        wire.pass_time(3.0)
        wire.alone(f"m{number}")
        assert wire.is_lone
        wire.ack(*wire.waiting)
        wire.go_on()
    assert wire.session is session
    assert wire.fates() == [confirmed(f"m{number}") for number in range(20)]
    wire.alone("last")
    wire.pass_time(15.0)
    assert wire.session is not session
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("last", 2)]


@pytest.mark.parametrize("answered", [False, True])
def test_closed_while_it_is_lone(wire: WireAlone, answered: bool) -> None:
    """It is unknown at once, and its confirm comes too late; the connection is ended in order."""

    async def main() -> None:
        wire.answers_at_once = False
        wire.alone("a")
        (attempt,) = wire.waiting
        closing = asyncio.create_task(wire.link.close())
        await asyncio.sleep(0)
        assert wire.fates() == [("a", UNKNOWN, 1, "the publisher was closed")]
        assert not wire.is_lone
        if answered:
            wire.ack(attempt)
        wire.answers_at_once = True
        wire.go_on()
        async with asyncio.timeout(WAIT_S):
            await closing
        assert wire.fates() == []

    asyncio.run(main())


def test_a_silence_is_noticed_before_the_next() -> None:
    """A connection on which nothing came for two heart-beats takes none, though its end is not told yet."""
    wire = made(heartbeat_s=6)
    wire.alone("a")
    wire.ack(*wire.waiting)
    wire.go_on()
    session = wire.session
    assert session is not None
    while not session.connection.is_dead:
        wire.loop.fire(wire.loop.delays.index(min(wire.loop.delays)))
    wire.writes.clear()
    played_link.publish_alone(wire.link, job_of(wire.loop, "b"))
    assert (wire.is_lone, wire.writes) == (False, [])
    wire.go_on()
    assert wire.session is not session
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("a"), confirmed("b")]


def test_none_on_a_connection_that_was_given_up(ready: LinkAlone) -> None:
    """Though its end is not told yet."""
    publish_alone(ready, "a")
    come_as_expected(ready, 2)
    ready.session.as_expected = True
    ready.link.abort("why")
    ready.session.taken()
    publish_alone(ready, "b")
    assert (ready.link.lone, ready.session.said) == (None, [])


def test_none_on_a_socket_that_takes_no_more(wire: WireAlone) -> None:
    """Though it was the expected confirm of the one before that came last: it waits until the socket takes data."""
    wire.alone("a")
    assert wire.is_lone
    assert wire.session is not None
    wire.session.pause_writing()
    wire.ack(*wire.waiting)
    wire.go_on()
    wire.alone("b")
    wire.go_on()
    assert (wire.is_lone, wire.waiting) == (False, [])
    wire.session.resume_writing()
    wire.go_on()
    wire.ack(*wire.waiting)
    wire.go_on()
    assert wire.fates() == [confirmed("a"), confirmed("b")]


def test_none_beside_what_a_loan_has_left(wire: WireAlone) -> None:
    """A thread had written it: it is under way."""
    wire.alone("a")
    wire.ack(*wire.waiting)
    wire.go_on()
    left = job_of(wire.loop, "left")
    loan = SimpleNamespace(tag=7, unsent=b"", received=b"", broken=None, close=lambda: None)
    wire.link.end_loan(loan, Burden([(6, left)], []))  # type: ignore[arg-type]
    wire.alone("b")
    assert not wire.is_lone
    wire.ack(*wire.waiting, multiple=True)
    wire.go_on()
    assert wire.fates() == [confirmed("a"), confirmed("left", 2), confirmed("b")]


# --- several links --------------------------------------------------------------------------------


def test_the_order_of_a_lane() -> None:
    """What follows a lone one in its lane takes the same link, behind it; what does not may take another."""
    loop, told = PlayedLoop(), list[Settled[Job]]()
    links = Links(
        loop,  # type: ignore[arg-type]
        settings_of(),
        max_connections=2,
        window=2,
        on_settled=told.extend,
        on_confirmed=lambda job: told.append(Settled(job, Fate.CONFIRMED, 1, "")),
    )

    def put(text: str, lane: str) -> Job:
        job = job_of(loop, text, lane=lane)
        if links.write_alone(job.message):
            links.expect(job)
        else:
            links.take_in([job])
        for line in lines():
            line.go_on()
        return job

    made_lines: dict[Link, Line] = {}

    def lines() -> list[Line]:
        return [made_lines.setdefault(link, Line(link, loop)) for link in links.all]

    def heard() -> list[list[bytes]]:
        return [[one.body for one in line.waiting] for line in lines()]

    def answer(line: Line) -> list[str]:
        line.ack(*line.waiting, multiple=True)
        line.go_on()
        texts = [one.key.message.body.decode() for one in told]
        assert all(one.fate is Fate.CONFIRMED for one in told)
        told.clear()
        return texts

    put("a", "A")
    put("z", "Z")
    assert heard() == [[b"a"], [b"z"]]
    assert [answer(line) for line in lines()] == [["a"], ["z"]]
    put("b", "A")
    first, second = links.all
    assert first._lone is not None
    assert [link.load for link in links.all] == [1, 0]
    put("c", "A")
    assert first._lone is None
    put("d", "B")
    assert second._lone is None, "only while nothing at all is under way"
    put("e", "A")
    assert heard() == [[b"b", b"c", b"e"], [b"d"]]
    assert answer(lines()[1]) == ["d"]
    put("f", "A")
    assert heard() == [[b"b", b"c", b"e", b"f"], []]
    assert answer(lines()[0]) == ["b", "c", "e", "f"]
    assert not links.jobs
    assert not links._lanes
    put("g", "C")
    assert first._lone is not None
    put("h", "D")
    assert (first._lone, second._lone, second.load) == (None, None, 1)
    assert heard() == [[b"g"], [b"h"]]
    assert answer(lines()[0]) == ["g"]
    assert answer(lines()[1]) == ["h"]


# --- the publisher for asyncio --------------------------------------------------------------------


def play(act: Callable[[AsyncPublisher, FakeBroker], Awaitable[None]], observer: Outcomes | None = None) -> None:
    """Have a publisher that has published once before a broker that confirms nothing more by itself."""

    async def main() -> None:
        with FakeBroker() as broker:
            options: dict[str, Any] = {"timeout": WAIT_S, "reconnect_first_s": 0.02, "observer": observer}
            async with asyncio.timeout(2 * WAIT_S), AsyncPublisher(broker.url, EXCHANGES, **options) as publisher:
                await publisher.publish("first", message_id="first")
                broker.confirms = False
                await act(publisher, broker)

    asyncio.run(main())


def link_of(publisher: AsyncPublisher) -> Link:
    """The one that it has."""
    assert publisher._pool is not None
    (link,) = publisher._pool._links.all
    return link


async def heard(broker: FakeBroker, count: int) -> list[str]:
    """The ids of all that the broker has heard, once it is so many."""
    loop = asyncio.get_running_loop()

    def headers() -> list[Any]:
        return broker.of(header.ContentHeader)

    await loop.run_in_executor(None, broker.wait, lambda: len(headers()) >= count, f"{count} messages")
    return [one.properties.message_id for one in headers()]


def test_cancelled_while_it_is_lone_on_a_loop() -> None:
    """The note says that it is not known; it takes no room any more; and its confirm comes for nothing."""
    notes = Outcomes()

    async def act(publisher: AsyncPublisher, broker: FakeBroker) -> None:
        link = link_of(publisher)
        doomed = asyncio.create_task(publisher.publish("a", message_id="doomed"))
        assert await heard(broker, 2) == ["first", "doomed"]
        assert link._lone is not None
        assert publisher.health().under_way == 1
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await doomed
        assert caught.value.__notes__ == ["message doomed: outcome unknown: the call was cancelled"]
        assert link._lone is None
        assert publisher.health().under_way == 0
        pending = await publisher.submit("b", message_id="next")
        assert await heard(broker, 3) == ["first", "doomed", "next"]
        assert link._lone is None
        broker.talks[-1].say(1, commands.Basic.Ack(3, True))
        assert (await pending).attempts == 1
        future: Any = await publisher.submit("c", message_id="future")
        assert link._lone is None
        assert future.cancel()
        assert future.fate == "outcome unknown"

    play(act, notes)
    assert notes.told == [
        ("first", "confirmed", 1, ""),
        ("doomed", "unknown", 1, CANCELLED),
        ("next", "confirmed", 1, ""),
        ("future", "unknown", 1, CANCELLED),
    ]


def test_one_after_the_other_and_in_company() -> None:
    """Each is confirmed at its first attempt, in the order of its task, whichever way it goes."""
    notes = Outcomes()

    async def act(publisher: AsyncPublisher, broker: FakeBroker) -> None:
        broker.confirms = True
        link = link_of(publisher)
        lone: list[str] = []
        expect = link.expect

        def note(job: Job) -> None:
            lone.append(job.message.message_id)
            expect(job)

        link.expect = note  # type: ignore[method-assign]
        for number in range(8):
            assert (await publisher.publish("a", message_id=f"lone {number}")).attempts == 1
            receipts = await asyncio.gather(
                *(publisher.publish("b", message_id=f"beside {number} {place}") for place in range(number % 3))
            )
            assert [receipt.attempts for receipt in receipts] == [1] * (number % 3)
        assert [one for one in lone if one.startswith("lone")] == [f"lone {number}" for number in range(8)]
        ids = [one.properties.message_id for one in broker.of(header.ContentHeader)]
        assert [one for one in ids if one.startswith("lone")] == [f"lone {number}" for number in range(8)]
        assert len(ids) == len(set(ids)) == 1 + 8 + 7

    play(act, notes)
    assert all(told[1:] == ("confirmed", 1, "") for told in notes.told)
    assert len(notes.told) == 16


def test_lost_while_it_is_lone_on_a_loop() -> None:
    """It is written again under its id, and the receipt counts both."""

    async def act(publisher: AsyncPublisher, broker: FakeBroker) -> None:
        call = asyncio.create_task(publisher.publish("a", message_id="a"))
        assert await heard(broker, 2) == ["first", "a"]
        assert link_of(publisher)._lone is not None
        broker.confirms = True
        broker.talks[-1].hang_up()
        receipt = await call
        assert (receipt.attempts, receipt.routed) == (2, True)
        assert await heard(broker, 3) == ["first", "a", "a"]

    play(act)


def test_closed_while_it_is_lone_on_a_loop() -> None:
    """Closing waits for its confirm."""

    async def act(publisher: AsyncPublisher, broker: FakeBroker) -> None:
        call = asyncio.create_task(publisher.publish("a", message_id="a"))
        assert await heard(broker, 2) == ["first", "a"]
        assert link_of(publisher)._lone is not None
        closing = asyncio.create_task(publisher.close())
        await asyncio.sleep(0)  # a turn of the loop, in which it begins to close
        assert not closing.done()
        broker.talks[-1].say(1, commands.Basic.Ack(2))
        assert (await call).attempts == 1
        async with asyncio.timeout(WAIT_S / 2):  # and not for as long as it might
            await closing

    play(act)


@pytest.mark.unmutated
def test_nothing_is_left_of_it() -> None:
    """A message leaves no ring of references behind, which would be there until the collector comes."""

    def alive() -> list[object]:
        return [one for one in gc.get_objects() if isinstance(one, AsyncCall | Job)]

    async def act(publisher: AsyncPublisher, broker: FakeBroker) -> None:
        broker.confirms = True
        await publisher.publish("a")
        gc.collect()
        of_others = alive()  # kept, so that none of them has a place that is taken again
        gc.disable()
        try:
            for _ in range(3):
                await publisher.publish("b")
            await asyncio.sleep(0)  # until now it runs in the callback that has told it
            assert [one for one in alive() if not any(one is other for other in of_others)] == []
        finally:
            gc.enable()

    play(act)


# --- the ledger alone -----------------------------------------------------------------------------


def test_when_a_ledger_is_idle() -> None:
    """Only while a message for that exchange would be written at once, and nothing of another is unanswered."""
    ledger: Ledger[str] = Ledger(10)
    assert ledger.is_idle("x") is False
    ledger.declared("x")
    assert ledger.is_idle("x") is False, "not open"
    ledger.opened()
    assert ledger.is_idle("x") is True
    assert ledger.is_idle("y") is False, "not declared"
    ledger.blocked("low on disk")
    assert ledger.is_idle("x") is False
    ledger.unblocked()
    assert ledger.is_idle("x") is True
    entry = ledger.publish("a", "a", "y", FOREVER)
    assert ledger.is_idle("x") is False, "one waits"
    ledger.cancel(entry, "")
    assert ledger.is_idle("x") is True
    ledger.publish("b", "b", "x", 1.0)
    assert ledger.write() == "b"
    ledger.tick(1.0)
    assert (ledger.unsettled, ledger.unconfirmed) == (0, 1)
    assert ledger.is_idle("x") is False, "one is not answered"
    ledger.ack(1)
    assert ledger.is_idle("x") is True
    ledger.lost("a cut")
    assert ledger.is_idle("x") is False


def test_what_a_ledger_adopts() -> None:
    """It counts as one that was published and written once, with that tag; its deadline takes its place."""
    ledger: Ledger[str] = Ledger(10)
    ledger.opened()
    ledger.declared("x")
    for tag in (1, 2, 3):
        assert ledger.next_tag == tag
        ledger.write_alone()
    assert (ledger.unsettled, ledger.unconfirmed, ledger.next_deadline()) == (0, 0, None)
    entry = ledger.adopt("a", "id", "x", 50.0, 3)
    assert (entry.attempts, entry.doubts, entry.alone) == (1, 1, False)
    assert (ledger.unsettled, ledger.unconfirmed, ledger.next_deadline()) == (1, 1, 50.0)
    ledger.publish("b", "b", "x", 20.0)
    assert ledger.next_deadline() == 20.0
    assert ledger.write() == "b"
    ledger.publish("c", "id", "x", 90.0)
    assert ledger.write() is None, "its id is taken"
    ledger.ack(4)
    assert ledger.settled() == [Settled("b", Fate.CONFIRMED, 1, "")]
    ledger.returned("id", "NO_ROUTE")
    ledger.ack(2)
    assert ledger.settled() == []
    ledger.ack(3)
    assert ledger.settled() == [Settled("a", Fate.RETURNED, 1, NO_ROUTE)]
    assert ledger.write() == "c"
    ledger.ack(5)
    assert ledger.settled() == [Settled("c", Fate.CONFIRMED, 1, "")]


@pytest.mark.parametrize("deadlines", list(itertools.permutations((10.0, 20.0, 30.0))))
def test_adopted_deadlines(deadlines: tuple[float, ...]) -> None:
    """In whatever order they come, each is settled at its own."""
    ledger: Ledger[float] = Ledger(10)
    ledger.opened()
    ledger.declared("x")
    first, *others = deadlines
    ledger.adopt(first, "first", "x", first, ledger.write_alone())
    for one in others:
        ledger.publish(one, str(one), "x", one)
    for due in (10.0, 20.0, 30.0):
        assert ledger.next_deadline() == due
        ledger.tick(due)
        (settled,) = ledger.settled()
        assert settled.key == due
        assert settled.fate is (UNKNOWN if due == first else Fate.NOT_SENT)
    assert ledger.next_deadline() is None


# --- any sequence of all of it --------------------------------------------------------------------


Told = tuple[str, str, float, bool]
"""Of a message: its id, its exchange, how long it has, and whether it is too large for a frame."""


class AgainstABroker(RuleBasedStateMachine):
    """Two links side by side, of which the one never publishes anything alone, hear the same from two brokers.

    Whatever happens they write the same bytes, and settle the same in the same order; and each fate is true, by what
    the broker knows. A message is lone whenever it may be.
    """

    def __init__(self) -> None:
        super().__init__()
        self.published: dict[int, list[Job]] = {}  # in both, by their numbers
        self.settled: dict[int, Settled[Job]] = {}
        self.lone = 0
        self.joined = 0

    @initialize(window=st.integers(1, 4), heartbeat_s=st.sampled_from([0, 6]))
    def begin(self, window: int, heartbeat_s: int) -> None:
        """Both have published one already."""
        options: dict[str, Any] = {"answers_at_once": False, "window": window, "heartbeat_s": heartbeat_s}
        self.wires = [WireAlone(**options) for _ in range(2)]
        self.put([("p", "x", FOREVER, False)], alone=True)
        self.drain()

    @property
    def wire(self) -> WireAlone:
        """The one that publishes alone."""
        return self.wires[0]

    @property
    def connected(self) -> bool:
        """Whether there is somebody to say something to."""
        return self.wire.session is not None and self.wire.session is self.wire.link._connection

    def each(self, act: Callable[[WireAlone], object], *, goes_on: bool = True) -> None:
        """The same with both; then all is compared."""
        first, second = (act(wire) for wire in self.wires)
        assert first == second
        if goes_on:
            for wire in self.wires:
                wire.go_on()
        self.compare()

    def compare(self) -> None:
        """Both have done the same, and what was settled is true."""
        one, other = self.wires
        assert one.attempts == other.attempts
        assert one.loop.now == other.loop.now
        assert one.loop.delays == other.loop.delays
        assert b"".join(one.writes) == b"".join(other.writes)
        for wire in self.wires:
            wire.writes.clear()
        assert other.link._lone is None
        assert len(one.settled) == len(other.settled)
        for event_, twin in zip(one.settled, other.settled, strict=True):
            number = number_of(event_.key)
            assert event_.key is self.published[number][0]
            assert twin.key is self.published[number][1]
            assert event_[1:] == twin[1:]
            assert number not in self.settled, "settled twice"
            self.settled[number] = event_
            self.check_truth(number, event_)
        for wire in self.wires:
            wire.settled.clear()

    def check_truth(self, number: int, event_: Settled[Job]) -> None:
        """The fate that is told, against what the broker did."""
        attempts = [one for one in self.wire.attempts if one.body == f"{number}".encode()]
        assert event_.attempts == len(attempts)
        last = attempts[-1] if attempts else None
        match event_.fate:
            case Fate.CONFIRMED:
                assert last is not None
                assert (last.answered, last.return_said, event_.reason) == ("ack", False, "")
            case Fate.RETURNED:
                assert last is not None
                assert (last.answered, last.return_said) == ("ack", True)
            case Fate.NACKED:
                assert last is not None
                assert last.answered == "nack"
            case Fate.NOT_SENT | Fate.REFUSED:
                assert all(one.answered is None or one.return_said for one in attempts)
            case Fate.UNKNOWN:
                assert attempts

    # --- what is asked of the link ----------------------------------------------------------------

    def put(self, told: list[Told], *, alone: bool) -> None:
        """Publish these."""
        numbers = [len(self.published) + place for place in range(len(told))]
        may = alone and self.may_be_lone(told[0][1], told[0][3])
        was_lone = self.wire.is_lone
        for wire in self.wires:
            jobs = []
            for number, (message_id, to, timeout_s, large) in zip(numbers, told, strict=True):
                properties = {"headers": {"h": "x" * 5000}} if large else {}
                options: dict[str, Any] = {"message_id": message_id, "properties": properties}
                jobs.append(job_of(wire.loop, str(number), to, timeout_s=timeout_s, **options))
                self.published.setdefault(number, []).append(jobs[-1])
            if alone and wire is self.wire:
                played_link.publish_alone(wire.link, *jobs)
            else:
                for job in jobs:
                    wire.link.publish(job)
                wire.link.pump()
        assert self.wire.is_lone is may
        assert [wire.link.load for wire in self.wires] == [self.wire.link.load] * 2
        self.lone += may
        self.joined += was_lone
        assert not (was_lone and self.wire.is_lone)
        self.each(lambda _: None)

    def may_be_lone(self, to: str, large: bool) -> bool:
        """Whether one that is published alone now must be."""
        wire = self.wire
        if not (self.connected and wire.session is not None and wire.session.writable and wire.session.is_open):
            return False
        known = to in wire.declared if to else "" in wire.link._ledger._declared  # which nobody declares
        busy = wire.link.load or wire.amid or wire.blocks or not wire.link.is_ready
        return known and not busy and not large

    messages: ClassVar = st.tuples(
        st.sampled_from(["p", "q", "r", "s"]),
        st.sampled_from(["x", "x", "x", "y", ""]),
        st.sampled_from([1.0, 5.0, 20.0, FOREVER]),
        st.sampled_from([False] * 9 + [True]),
    )
    perhaps_one: ClassVar = st.one_of(st.none(), messages)

    def quiet(self, to: str) -> None:
        """All is well, and nothing is under way."""
        self.drain()
        if not self.may_be_lone(to, large=False):
            self.put([("p", to, FOREVER, False)], alone=False)
            self.drain()
        assert self.may_be_lone(to, large=False)

    def begin_with(self, lone: Told | None) -> None:
        """One that is lone, unless it is None or too large; for what happens then."""
        if lone is not None:
            self.quiet(lone[1])
            self.put([lone], alone=True)

    @rule(told=messages)
    def publish_alone(self, told: Told) -> None:
        """One that may be lone."""
        self.put([told], alone=True)

    @rule(told=messages, quiet=st.booleans())
    def publish_and_answer(self, told: Told, quiet: bool) -> None:
        """One that may be lone, and its confirm by itself, as it nearly always is."""
        if quiet:
            self.quiet(told[1])
        self.put([told], alone=True)
        if self.wire.is_lone and self.wire.waiting:  # there it is not while the broker closes the channel
            number, by_itself = len(self.published) - 1, not self.wire.says
            self.each(lambda wire: wire.ack(wire.waiting[-1]))
            self.each(lambda wire: wire.deliver())
            assert self.settled[number].fate is Fate.CONFIRMED
            assert (self.published[number][0].entry is None) is by_itself, "the ledger need not hear of it"

    @rule(told=messages, cut=st.integers(1, 7))
    def publish_amid_a_frame(self, told: Told, cut: int) -> None:
        """One that must not be lone, though all is quiet."""
        self.quiet(told[1])
        self.each(lambda wire: wire.beat())
        self.each(lambda wire: wire.deliver(cut))
        self.put([told], alone=True)
        assert not self.wire.is_lone

    @rule(told=st.lists(messages, min_size=1, max_size=3), lone=perhaps_one)
    def publish(self, told: list[Told], lone: Told | None) -> None:
        """Some in company."""
        self.begin_with(lone)
        self.put(told, alone=False)

    @rule(data=st.data(), lone=perhaps_one)
    def cancel(self, data: st.DataObject, lone: Told | None) -> None:
        """A caller wants no more of its message."""
        self.begin_with(lone)
        if len(self.settled) == len(self.published):
            return
        number = data.draw(st.sampled_from([number for number in self.published if number not in self.settled]))
        jobs = dict(zip(map(id, self.wires), self.published[number], strict=True))
        written: list[bool] = []

        def act(wire: WireAlone) -> bool:
            written.append(wire.link.cancel(jobs[id(wire)], CANCELLED))
            return written[-1]

        self.each(act)
        event_ = self.settled[number]
        assert event_.fate is (UNKNOWN if written[0] else Fate.NOT_SENT)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 10.0]), lone=perhaps_one)
    def pass_time(self, seconds: float, lone: Told | None) -> None:
        """Deadlines come, and heart-beats, or none."""
        self.begin_with(lone)
        self.each(lambda wire: wire.pass_time(seconds))
        for number, (job, _) in self.published.items():
            assert job.deadline > self.wire.loop.now or number in self.settled

    # --- what the broker says ---------------------------------------------------------------------

    @rule(
        data=st.data(),
        kind=st.sampled_from(["ack", "ack", "ack", "nack", "return"]),
        how=st.integers(0, 3),
        lone=perhaps_one,
    )
    def answer(self, data: st.DataObject, kind: str, how: int, lone: Told | None) -> None:
        """Of one, or of all up to one."""
        self.begin_with(lone)
        if not (self.connected and self.wire.waiting):
            return
        place = data.draw(st.integers(0, len(self.wire.waiting) - 1))

        def act(wire: WireAlone) -> None:
            multiple = how >= 2
            covered = wire.waiting[: place + 1] if multiple else [wire.waiting[place]]
            for one in covered:
                if kind == "return" and not one.return_said:
                    wire.give_back(one)
            tag = 0 if how == 3 and len(covered) == len(wire.waiting) else None
            wire.ack(*covered, multiple=multiple, nack=kind == "nack", tag=tag)

        self.each(act)
        if how == 3:  # before something else is written, which the broker did not know of
            self.each(lambda wire: wire.deliver())

    @rule(data=st.data(), lone=perhaps_one)
    def give_back(self, data: st.DataObject, lone: Told | None) -> None:
        """A return may come long before its confirm."""
        self.begin_with(lone)
        if not (self.connected and self.wire.waiting):
            return
        place = data.draw(st.integers(0, len(self.wire.waiting) - 1))
        if not self.wire.waiting[place].return_said:
            self.each(lambda wire: wire.give_back(wire.waiting[place]))

    @rule(lone=perhaps_one)
    def beat(self, lone: Told | None) -> None:
        """A heart-beat."""
        self.begin_with(lone)
        if not self.connected:
            return
        self.each(lambda wire: wire.beat())

    @rule(on=st.booleans(), lone=perhaps_one)
    def block(self, on: bool, lone: Told | None) -> None:
        """An alarm is raised, or over."""
        self.begin_with(lone)
        if not (self.connected and self.wire.link.is_ready):
            return
        self.each(lambda wire: wire.block("low on disk" if on else None))

    @rule(most=st.one_of(st.none(), st.none(), st.integers(1, 60)), lone=perhaps_one)
    def deliver(self, most: int | None, lone: Told | None) -> None:
        """Some of what was said comes, or all."""
        self.begin_with(lone)
        if not self.connected:
            return
        self.each(lambda wire: wire.deliver(most))

    @rule(code=st.sampled_from([406, 541]), rarely=st.integers(0, 2), lone=perhaps_one)
    def close_channel(self, code: int, rarely: int, lone: Told | None) -> None:
        """For an error; one that blocks publishers reads nothing to find fault with."""
        self.begin_with(lone)
        if not (self.connected and self.wire.link.is_ready and not self.wire.alarm and not self.wire.closing):
            return
        if rarely == 0:
            self.each(lambda wire: wire.close_channel(code, "NO."))

    @rule(at_once=st.booleans(), lone=perhaps_one)
    def lose(self, at_once: bool, lone: Told | None) -> None:
        """The connection is cut; what is not heard yet never is."""
        self.begin_with(lone)
        if not self.connected:
            return
        self.each(lambda wire: wire.cut(), goes_on=at_once)

    @rule(lone=perhaps_one)
    def choke(self, lone: Told | None) -> None:
        """The socket takes no more, or takes data again."""
        self.begin_with(lone)
        if not (self.connected and self.wire.link.is_ready):
            return

        def act(wire: WireAlone) -> None:
            assert wire.session is not None
            (wire.session.pause_writing if wire.session.writable else wire.session.resume_writing)()

        self.each(act)

    def drain(self) -> None:
        """The broker answers everything, and all of it comes."""
        for _ in range(4 * len(self.published) + 20):
            self.each(lambda _: None)
            if self.connected and self.wire.session is not None:
                if self.wire.session.writable is False and self.wire.session.is_open:
                    self.each(lambda wire: wire.session.resume_writing())  # type: ignore[union-attr]
                if self.wire.blocks:
                    self.each(lambda wire: wire.block(None))
                while self.connected and self.wire.waiting:
                    self.each(lambda wire: wire.ack(wire.waiting[0]))
                self.each(lambda wire: wire.deliver())
            if not self.wire.link.load and not self.wire.amid:
                break
        assert set(self.settled) == set(self.published)

    @invariant()
    def the_same_load(self) -> None:
        """However a message is published, it counts."""
        if hasattr(self, "wires"):
            one, other = (wire.link for wire in self.wires)
            assert one.load == other.load
            assert one.load >= len(self.published) - len(self.settled)
            assert one.is_ready == other.is_ready
            assert one.blocked == other.blocked

    def teardown(self) -> None:
        """In the end each has its one fate, without its deadline, and a further message is lone."""
        if not hasattr(self, "wires"):
            return
        self.quiet("x")
        before = self.lone
        self.put([("z", "x", FOREVER, False)], alone=True)
        assert self.lone == before + 1
        self.each(lambda wire: wire.ack(*wire.waiting))
        self.each(lambda wire: wire.deliver())
        assert len(self.settled) == len(self.published)
        assert [wire.link.load for wire in self.wires] == [0, 0]
        event(f"lone: {min(before // 2 * 2, 8)} or more, joined by another: {min(self.joined, 3)} or more")


def number_of(job: Job) -> int:
    """Its number, which is its body."""
    return int(job.message.body)


TestAgainstABroker: Any = AgainstABroker.TestCase
TestAgainstABroker.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


def test_an_alarm_outlives_a_channel() -> None:
    """connection.blocked holds until connection.unblocked: nothing is written on the channel that is opened anew."""
    wire = WireAlone()
    wire.beside("first")
    wire.ack(*wire.waiting)
    wire.go_on()
    wire.alone("a")
    wire.block("low on disk")
    wire.go_on()
    wire.close_channel(406, "NO.")
    wire.blocks = False  # or the played broker itself protests
    wire.go_on()
    assert wire.link.blocked == "low on disk"
    assert [one.body for one in wire.waiting] == []
