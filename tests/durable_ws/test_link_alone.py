"""One link whose loop, clock and connections are played: what it says and when, without any waiting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import durable_ws.link
from durable_ws.amqp.events import (
    Blocked,
    ChannelClosed,
    ClosedByBroker,
    Confirmed,
    Declared,
    Opened,
    Returned,
    Selected,
    Unblocked,
)
from durable_ws.ledger import Fate, Settled
from durable_ws.loan import Burden, Loan
from durable_ws.observe import Connected, Disconnected
from durable_ws.shared_loan import SharedLoan
from tests.durable_ws.played_link import FOREVER, HOST, LinkAlone, play_sessions

Make = Callable[..., LinkAlone]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """What was drawn at random: the lowest is taken."""
    drawn: list[tuple[float, float]] = []
    monkeypatch.setattr(durable_ws.link.random, "uniform", lambda *limits: (drawn.append(limits), limits[0])[1])
    return drawn


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, drawn: list[tuple[float, float]]) -> Make:  # noqa: ARG001
    """Make links alone."""
    sessions = play_sessions(monkeypatch)
    return lambda *hosts, **options: LinkAlone(sessions, *hosts, **options)


@pytest.fixture
def ready(make: Make) -> LinkAlone:
    """One that is open, where the exchange x is declared and a message confirmed."""
    alone = make()
    alone.publish("first")
    alone.open()
    alone.hear(Declared(2))
    alone.hear(Confirmed(1, 1, False, False))
    assert alone.fates() == [("first", Fate.CONFIRMED, "")]
    alone.session.taken()
    alone.loop.fire()
    assert alone.loop.delays == []
    return alone


# --- connecting -----------------------------------------------------------------------------------


def test_a_new_link(make: Make) -> None:
    """It does nothing, and has nothing to tell."""
    alone = make()
    alone.link.pump()
    assert alone.sessions == []
    assert alone.loop.delays == []
    assert alone.link.is_ready is False
    assert alone.link.blocked is None
    assert alone.link.trouble is None
    assert alone.link.load == 0
    alone.link.abort("nothing to abort")


def test_from_the_first_message_to_its_confirm(make: Make) -> None:
    """It connects, opens and selects in one go, declares on the other channel, and publishes when that is answered."""
    alone = make()
    (job,) = alone.publish("a")
    assert (job.link, job.entry is not None) == (alone.link, True)
    assert alone.session.loop is alone.loop
    assert alone.session.at == HOST
    assert alone.session.address.hosts == (HOST,)
    assert alone.loop.delays == [FOREVER]
    assert alone.session.taken() == []
    alone.session.is_open = True
    alone.hear(Opened())
    assert alone.session.taken() == [("open", 1), ("select", 1)]
    assert not alone.link.is_ready
    assert alone.notes.facts == []
    alone.hear(Selected(1))
    assert alone.link.is_ready is True
    assert alone.notes.facts == [Connected(host="h", port=5672)]
    assert alone.session.taken() == [("open", 2), ("declare", 2, "x", "topic", False, True, None), ("flush",)]
    alone.hear(Declared(2))
    message = job.message
    assert alone.session.said == [("publish", 1, message.address, message.header, b"a"), ("flush",)]
    assert (alone.link.load, alone.settled) == (1, [])
    alone.hear(Confirmed(1, 1, False, False))
    assert alone.settled == [Settled(job, Fate.CONFIRMED, 1, "")]
    assert alone.link.load == 0
    assert len(alone.sessions) == 1


# --- what the broker says -------------------------------------------------------------------------


def test_answers_in_their_order(ready: LinkAlone) -> None:
    """Of one message or of all up to it, good and bad; a return belongs to the confirm that comes after it."""
    ready.publish("a", "b", "c", "d", "e", "f")
    assert ready.session.taken() == [*(("publish", 1, one) for one in (b"a", b"b", b"c", b"d", b"e", b"f")), ("flush",)]
    ready.hear(Returned(1, "c", "NO_ROUTE"), Confirmed(1, 4, True, False), Confirmed(1, 6, False, True))
    assert ready.fates() == [
        ("a", Fate.CONFIRMED, ""),
        ("b", Fate.CONFIRMED, ""),
        ("c", Fate.RETURNED, "no queue is bound for it (NO_ROUTE)"),
        ("e", Fate.NACKED, "the broker could not take responsibility for it (basic.nack)"),
    ]
    ready.hear(Confirmed(1, 7, True, True))
    assert [name for name, fate, _ in ready.fates() if fate is Fate.NACKED] == ["d", "f"]
    assert ready.session.taken() == []


def test_the_window(make: Make) -> None:
    """No more than that is unconfirmed; an answer lets the next ones out."""
    alone = make(window=2)
    alone.publish("a", "b", "c")
    alone.open()
    alone.hear(Declared(2))
    alone.session.taken()
    alone.hear(Confirmed(1, 1, False, False))
    assert alone.session.taken() == [("publish", 1, b"c"), ("flush",)]


def test_blocked(ready: LinkAlone) -> None:
    """Nothing is written until it is over; health and observer are told; it ends with the connection, too."""
    told: list[Any] = [Blocked("low on disk")]
    ready.hear(*told)
    assert ready.link.blocked == "low on disk"
    ready.publish("a")
    assert ready.session.taken() == []
    ready.hear(Unblocked())
    assert ready.link.blocked is None
    assert ready.session.taken() == [("publish", 1, b"a"), ("flush",)]
    at = {"host": "h", "port": 5672}
    assert ready.notes.facts[1:] == [
        durable_ws.observe.Blocked(**at, reason="low on disk"),
        durable_ws.observe.Unblocked(**at),
    ]
    ready.hear(*told)
    ready.end("a cut")
    assert ready.link.blocked is None


def test_a_channel_that_is_closed_for_a_message(ready: LinkAlone) -> None:
    """It is opened anew on the same connection, and each message written again, alone: who is alone is to blame."""
    said = "the broker closed the channel: (406) PRECONDITION_FAILED - X"
    ready.publish("a", "b")
    ready.session.taken()
    closed = ChannelClosed(1, 406, "PRECONDITION_FAILED - X.")
    ready.hear(closed)
    assert ready.link.is_ready is False
    assert ready.session.taken() == [("open", 1), ("select", 1)]
    ready.publish("c")
    assert ready.session.taken() == []
    ready.hear(Selected(1))
    assert ready.session.taken() == [("declare", 2, "x", "topic", False, True, None), ("flush",)]
    ready.hear(Declared(2))
    assert ready.session.taken() == [("publish", 1, b"a"), ("flush",)]
    ready.hear(closed)
    assert ready.fates() == [("a", Fate.UNKNOWN, said)], "for b may have been to blame for the first"
    assert len(ready.notes.of(Connected)) == 1
    assert len(ready.sessions) == 1


@pytest.mark.parametrize("code", [311, 320, 506, 541])
def test_a_channel_that_is_closed_for_now(ready: LinkAlone, code: int) -> None:
    """The connection is ended, and the message is written again on the next one."""
    ready.publish("a")
    ready.session.taken()
    ready.hear(ChannelClosed(1, code, "NOT_NOW."))
    said = f"the broker closed the channel: ({code}) NOT_NOW"
    assert ready.session.taken() == [("abort", said)]
    assert ready.link.is_ready is False
    assert ready.link.load == 1
    ready.end(said)
    ready.loop.fire(1)
    assert len(ready.sessions) == 2
    ready.open()
    ready.hear(Declared(2))
    ready.hear(Confirmed(1, 1, False, False))
    assert [(one.fate, one.attempts) for one in ready.settled] == [(Fate.CONFIRMED, 2)]


# --- declarations ---------------------------------------------------------------------------------


def test_declarations_one_at_a_time(ready: LinkAlone, caplog: pytest.LogCaptureFixture) -> None:
    """Each as its exchange says, on the other channel; a refusal is of that exchange, and the channel opened anew."""
    ready.publish("a", to="y")
    assert ready.session.taken() == [
        ("declare", 2, "y", "direct", False, False, {"alternate-exchange": "x"}),
        ("flush",),
    ]
    ready.publish("b", to="p")
    assert ready.session.taken() == []
    said = "the broker closed the channel: (406) PRECONDITION_FAILED - otherwise"
    ready.hear(ChannelClosed(2, 406, "PRECONDITION_FAILED - otherwise."))
    assert ready.fates() == [("a", Fate.REFUSED, said)]
    assert ready.session.taken() == [("open", 2), ("declare", 2, "p", "fanout", True, True, None), ("flush",)]
    assert ready.link.is_ready
    (record,) = (record for record in caplog.records if record.name == "durable_ws.connection")
    assert record.getMessage() == f"h:5672 refused exchange 'y': {said}"
    ready.hear(Declared(2))
    assert ready.session.taken() == [("publish", 1, b"b"), ("flush",)]
    ready.hear(Declared(2))
    assert ready.session.taken() == []


def test_the_default_exchange_is_never_declared(make: Make) -> None:
    """It is always there; what waits for another one does not hold its messages up."""
    alone = make()
    alone.publish("a", to="")
    alone.publish("b", to="y")
    alone.open()
    assert alone.session.taken()[2:] == [
        ("open", 2),
        ("declare", 2, "y", "direct", False, False, {"alternate-exchange": "x"}),
        ("flush",),
        ("publish", 1, b"a"),
        ("flush",),
    ]


def test_the_other_channel_is_closed_for_nothing(ready: LinkAlone, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing is being declared, it is opened with the next declaration, and the log names no exchange."""
    ready.hear(ChannelClosed(2, 320, "BYE."))
    assert ready.session.taken() == []
    assert ready.link.is_ready
    (record,) = (record for record in caplog.records if record.name == "durable_ws.connection")
    assert record.getMessage() == "h:5672: the broker closed the channel: (320) BYE"
    ready.publish("a", to="y")
    assert ready.session.taken()[0] == ("open", 2)


def test_a_channel_is_closed_amid_a_declaration(ready: LinkAlone, caplog: pytest.LogCaptureFixture) -> None:
    """The log does not lay it to the exchange, whose answer still counts."""
    ready.publish("a", to="y")
    ready.session.taken()
    ready.hear(ChannelClosed(1, 406, "NO."))
    (record,) = (record for record in caplog.records if record.name == "durable_ws.connection")
    assert record.getMessage() == "h:5672: the broker closed the channel: (406) NO"
    ready.hear(Selected(1))
    assert ready.session.taken() == [("open", 1), ("select", 1)]
    ready.hear(Declared(2))
    assert ready.session.taken() == [("publish", 1, b"a"), ("flush",)]


# --- writing --------------------------------------------------------------------------------------


def test_a_socket_that_does_not_keep_up(ready: LinkAlone) -> None:
    """What it does not take is not written, until it is writable again."""
    ready.session.writable = False
    ready.publish("a", "b")
    assert ready.session.taken() == []
    ready.session.writable = True
    ready.session.on_writable()
    assert ready.session.taken() == [("publish", 1, b"a"), ("publish", 1, b"b"), ("flush",)]


def test_how_much_goes_into_one_write(ready: LinkAlone, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it has become more than the limit, the socket is asked before the next message; empty ones count, too."""
    monkeypatch.setattr(durable_ws.link, "_ONE_WRITE_BYTES", 10)
    ready.publish("aaaa", "bbbb", "cccc", "dddd", "eeee")
    assert [one[-1] for one in ready.session.taken()] == [b"aaaa", b"bbbb", b"cccc", "flush", b"dddd", b"eeee", "flush"]
    ready.publish("aaaaaaaaa", "b")
    assert [one[-1] for one in ready.session.taken()] == [b"aaaaaaaaa", b"b", "flush"]
    ready.publish("aaaaaaaaaa", "c")
    assert [one[-1] for one in ready.session.taken()] == [b"aaaaaaaaaa", "flush", b"c", "flush"]


def test_what_does_not_fit_into_a_frame(ready: LinkAlone) -> None:
    """It is refused, and its caller told by the next turn of the loop; the others go on."""
    ready.session.fits = False
    ready.publish("a")
    assert ready.session.taken() == []
    assert ready.loop.soon == [ready.link.pump]
    ready.loop.soon.pop()()
    assert ready.fates() == [
        ("a", Fate.REFUSED, "its properties do not fit into a frame of 4096 bytes, which is agreed with the broker")
    ]
    assert ready.loop.soon == []
    assert ready.link.load == 0
    ready.session.fits = True
    ready.publish("b")
    assert ready.session.taken() == [("publish", 1, b"b"), ("flush",)]


def test_cancelled(ready: LinkAlone) -> None:
    """Unknown where it was written, never sent where it was not; the caller is told at once."""
    (written,) = ready.publish("a")
    ready.session.writable = False
    (waiting,) = ready.publish("b")
    for job in (written, waiting):
        ready.link.cancel(job, "enough")
    assert ready.fates() == [("a", Fate.UNKNOWN, "enough"), ("b", Fate.NOT_SENT, "enough")]
    assert ready.link.load == 1, "the answer to the first may still come"
    ready.hear(Confirmed(1, 2, False, False))
    assert ready.fates() == []
    assert ready.link.load == 0
    unknown = ready.job("c", "x", FOREVER)
    ready.link.cancel(unknown, "of which it knows nothing")
    assert ready.fates() == []


# --- time -----------------------------------------------------------------------------------------


def test_deadlines(make: Make) -> None:
    """One timer, for the next of them; an earlier one takes its place, a later one waits its turn."""
    alone = make()
    alone.publish("a", timeout_s=20.0)
    alone.publish("b", timeout_s=30.0)
    assert alone.loop.delays == [20.0]
    alone.publish("c", timeout_s=10.0)
    assert alone.loop.delays == [10.0]
    alone.loop.fire()
    late = "the deadline passed without a connection (no connection yet)"
    assert alone.fates() == [("c", Fate.NOT_SENT, late)]
    assert alone.loop.delays == [10.0]
    alone.loop.fire()
    assert alone.fates() == [("a", Fate.NOT_SENT, late)]
    assert alone.loop.delays == [10.0]
    alone.loop.fire()
    assert alone.fates() == [("b", Fate.NOT_SENT, late)]
    assert alone.loop.delays == []
    alone.publish("d", timeout_s=5.0)
    assert alone.loop.delays == [5.0]
    assert len(alone.sessions) == 1


def test_a_timer_that_comes_for_nothing(ready: LinkAlone) -> None:
    """What it was set for is settled by then: it sets the next one."""
    ready.publish("a", timeout_s=10.0)
    ready.publish("b", timeout_s=20.0)
    ready.hear(Confirmed(1, 2, False, False))
    assert [name for name, _, _ in ready.fates()] == ["a"]
    assert ready.loop.delays == [10.0]
    ready.loop.fire()
    assert ready.fates() == []
    assert ready.loop.delays == [10.0]


# --- the end of a connection ----------------------------------------------------------------------


def test_pauses(make: Make, drawn: list[tuple[float, float]]) -> None:
    """Doubled each time up to the most, a random part of up to a half taken off; short again after a success."""
    alone = make(reconnect_first_s=1.0, reconnect_most_s=5.0)
    alone.publish("a")
    for n, pause_s in enumerate((0.5, 1.0, 2.0, 2.5, 2.5), 1):
        assert len(alone.sessions) == n
        alone.end("no way", opened=False)
        assert alone.loop.delays[1:] == [pause_s]
        alone.link.pump()
        assert len(alone.sessions) == n, "nobody connects in the pause"
        alone.loop.fire(1)
    assert drawn == [(0.5, 1.0)] * 5
    alone.open()
    alone.end("a cut")
    assert alone.loop.delays[1:] == [0.5]
    assert alone.link.trouble is not None
    assert alone.link.trouble[1] == "a cut"
    assert [(fact.reason, fact.opened, fact.in_order) for fact in alone.notes.of(Disconnected)] == [
        *([("no way", False, False)] * 5), ("a cut", True, False),
    ]  # fmt: skip


def test_very_many_attempts(make: Make) -> None:
    """The pause is a number all the same."""
    alone = make(reconnect_first_s=1.0, reconnect_most_s=1e30)
    alone.publish("a")
    alone.link._failures = 5000
    alone.end("no way", opened=False)
    assert alone.loop.delays[1:] == [2.0**29]


def test_each_host_before_the_pause(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """At once one after the other; the pause grows by the round."""
    caplog.set_level("INFO", "durable_ws.connection")
    alone = make(("h", 1), ("h", 2), ("h", 3))
    alone.publish("a")
    pauses = []
    for _ in range(7):
        alone.end("no way", opened=False)
        pauses.append(alone.loop.delays[1])
        alone.loop.fire(1)
    assert pauses == [0.0, 0.0, 0.5, 0.0, 0.0, 1.0, 0.0]
    assert [session.at[1] for session in alone.sessions] == [1, 2, 3, 1, 2, 3, 1, 2]
    told: list[Any] = [record for record in caplog.records if record.event == "pause"]  # type: ignore[attr-defined]
    assert [(record.pause_s, record.attempt) for record in told] == [(0.5, 3), (1.0, 6)]
    alone.open()
    alone.end("a cut")
    assert alone.loop.delays[1:] == [0.0]
    alone.loop.fire(1)
    assert alone.session.at == ("h", 3)


def test_nobody_connects_for_nothing(ready: LinkAlone) -> None:
    """After the pause only what waits makes it connect."""
    ready.end("a cut")
    assert ready.link.is_ready is False
    ready.loop.fire()
    assert len(ready.sessions) == 1
    ready.publish("a")
    assert len(ready.sessions) == 2
    ready.session.is_open = True
    ready.hear(Opened())
    ready.hear(Selected(1))
    assert ready.session.taken() == [
        ("open", 1), ("select", 1), ("open", 2), ("declare", 2, "x", "topic", False, True, None), ("flush",),
    ]  # fmt: skip


def test_lost_amid_a_declaration(ready: LinkAlone) -> None:
    """It is begun anew on the next connection."""
    ready.publish("a", to="y")
    ready.end("a cut")
    ready.loop.fire(1)
    ready.open()
    ready.hear(Declared(2))
    assert ready.session.taken()[2:] == [
        ("open", 2),
        ("declare", 2, "y", "direct", False, False, {"alternate-exchange": "x"}),
        ("flush",),
        ("publish", 1, b"a"),
        ("flush",),
    ]


@pytest.mark.parametrize(
    ("how", "trouble"),
    [
        ({"opened": False}, "can't connect: why"),
        ({"opened": True}, "why"),
        ({"opened": True, "closed": ClosedByBroker(320, "BYE", 0)}, "why"),
        ({"opened": False, "closed": ClosedByBroker(530, "connection limit (1) is reached", 0)}, "can't connect: why"),
    ],
    ids=["dialling", "open", "closed for now", "at its limit"],
)
def test_what_a_message_is_told_at_its_deadline(make: Make, how: dict[str, Any], trouble: str) -> None:
    """Why there is no connection."""
    alone = make()
    alone.publish("a", timeout_s=10.0)
    alone.end("why", **how)
    alone.loop.fire(0)
    assert alone.fates() == [("a", Fate.NOT_SENT, f"the deadline passed without a connection ({trouble})")]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            {"closed": ClosedByBroker(530, "NOT_ALLOWED - no vhost X.", 10)},
            "the broker refused the connection: (530) NOT_ALLOWED - no vhost X",
        ),
        ({"refused": True}, "why"),
    ],
    ids=["by the broker", "by us"],
)
def test_a_refusal_for_good(make: Make, how: dict[str, Any], said: str) -> None:
    """It is told once each host has said so; a host that may yet take us keeps all waiting."""
    alone = make(("h", 1), ("h", 2))
    alone.publish("a", timeout_s=1000.0)
    refusal = {"opened": False, **how}
    alone.end("why", **refusal)
    assert alone.fates() == []
    alone.loop.fire(1)
    alone.end("no way", opened=False)
    assert alone.fates() == []
    assert alone.loop.delays[1:] == [0.5]
    alone.loop.fire(1)
    alone.end("no way", opened=False)
    alone.loop.fire(1)
    alone.end("why", **refusal)
    assert alone.fates() == []
    alone.loop.fire(1)
    alone.end("why", **refusal)
    assert alone.fates() == [("a", Fate.REFUSED, said)]
    pauses = [alone.loop.delays[-1]]
    alone.loop.fire(-1)
    alone.publish("b")
    alone.end("why", **refusal)
    assert alone.fates() == [], "each is asked anew"
    pauses.append(alone.loop.delays[-1])
    assert pauses == ([0.5, 0.0] if "refused" in how else [0.0, 2.0]), "who is told at once waits no longer each time"


def test_what_a_host_that_refuses_adds(make: Make) -> None:
    """Its refusal is the trouble that is told at the deadline."""
    alone = make(("h", 1), ("h", 2))
    alone.publish("a", timeout_s=10.0)
    alone.end("why", opened=False, closed=ClosedByBroker(530, "NOT_ALLOWED.", 10))
    alone.loop.fire(0)
    said = "the broker refused the connection: (530) NOT_ALLOWED"
    assert alone.fates() == [("a", Fate.NOT_SENT, f"the deadline passed without a connection ({said})")]


@pytest.mark.parametrize("class_id", [40, 60])
def test_a_connection_that_is_closed_for_a_declaration(ready: LinkAlone, class_id: int) -> None:
    """If it is the class of exchanges that the broker minds, the exchange is refused, and else it was a message."""
    ready.publish("a", to="y")
    ready.publish("b")
    ready.publish("late", timeout_s=0.25)
    ready.end("why", closed=ClosedByBroker(503, "COMMAND_INVALID", class_id))
    assert ready.fates() == ([("a", Fate.REFUSED, "why")] if class_id == 40 else [])
    ready.loop.fire()
    assert ready.fates() == [("late", Fate.UNKNOWN, "the deadline passed without a connection (why)")]
    ready.loop.fire()
    ready.open()
    ready.hear(Declared(2))
    ready.hear(Declared(2))
    bodies = [one[-1] for one in ready.session.taken() if one[0] == "publish"]
    assert bodies == ([b"b"] if class_id == 40 else [b"a"]), "of which the one is tried alone"


@pytest.mark.parametrize("code", [320, 541])
def test_a_connection_that_is_closed_for_now(ready: LinkAlone, code: int) -> None:
    """Whatever was under way is not to blame, however often it happens, nor is what was being declared."""
    ready.publish("a", "b")
    ready.publish("c", to="y")
    for written in ([b"c"], [b"a", b"b"], [b"c"]):  # while the other exchange is being declared
        ready.session.taken()
        ready.end("why", closed=ClosedByBroker(code, "NOT_NOW", 40))
        assert ready.fates() == []
        ready.loop.fire(1)
        ready.open()
        ready.hear(Declared(2))
        assert [one[-1] for one in ready.session.taken() if one[0] == "publish"] == written


def test_a_connection_that_is_closed_for_a_message(ready: LinkAlone) -> None:
    """It is written once more, alone; if that ends the connection again, it is refused."""
    ready.publish("a")
    closed = ClosedByBroker(505, "UNEXPECTED_FRAME", 60)
    ready.end("why", closed=closed)
    assert ready.fates() == []
    ready.loop.fire(1)
    ready.open()
    ready.hear(Declared(2))
    ready.publish("b")
    assert [one[-1] for one in ready.session.taken() if one[0] == "publish"] == [b"a"]
    ready.end("why", closed=closed)
    assert ready.fates() == [("a", Fate.REFUSED, "why")]


# --- close ----------------------------------------------------------------------------------------


async def soon() -> None:
    """What is ready by now has its turn, and so has what that makes ready."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_close(ready: LinkAlone) -> None:
    """What is under way is given up, the connection closed in order, and its end waited for."""
    ready.publish("a")
    ready.session.taken()
    (job,) = ready.publish("b", to="y")
    ready.session.taken()

    async def main() -> None:
        closing = asyncio.create_task(ready.link.close())
        await asyncio.sleep(0)
        assert ready.session.taken() == [("close",)]
        assert ready.fates() == [
            ("a", Fate.UNKNOWN, "the publisher was closed"), ("b", Fate.NOT_SENT, "the publisher was closed"),
        ]  # fmt: skip
        assert ready.loop.delays == []
        assert not closing.done()
        ready.end("the publisher was closed")
        await soon()
        assert closing.done()

    asyncio.run(main())
    assert job.link is ready.link
    assert ready.loop.delays == []
    assert ready.link.trouble is None
    assert ready.notes.facts[-1] == Disconnected(
        host="h", port=5672, reason="the publisher was closed", opened=True, in_order=True
    )


def test_close_while_the_broker_closes(ready: LinkAlone) -> None:
    """That is no end in order, and is told as it is."""

    async def main() -> None:
        closing = asyncio.create_task(ready.link.close())
        await asyncio.sleep(0)
        ready.end("why", closed=ClosedByBroker(320, "BYE", 0))
        await soon()
        assert closing.done()

    asyncio.run(main())
    assert ready.notes.facts[-1].in_order is False
    assert ready.link.trouble is not None
    assert ready.loop.delays == []


def test_close_in_a_pause(make: Make) -> None:
    """There is nobody to close, and nobody connects any more."""
    alone = make()
    alone.publish("a")
    alone.end("no way", opened=False)
    asyncio.run(alone.link.close())
    assert [fate for _, fate, _ in alone.fates()] == [Fate.NOT_SENT]
    assert alone.loop.delays == []
    alone.publish("b")
    assert len(alone.sessions) == 1


def test_close_of_one_that_did_nothing(make: Make) -> None:
    """Is done at once."""
    alone = make()
    asyncio.run(alone.link.close())
    assert alone.sessions == []


def test_aborted(ready: LinkAlone) -> None:
    """Without a word to the broker; what was unconfirmed is written again."""
    ready.publish("a")
    ready.session.taken()
    ready.link.abort("a test")
    assert ready.session.taken() == [("abort", "a test")]
    ready.end("a test")
    ready.loop.fire(1)
    ready.open()
    ready.hear(Declared(2))
    assert [one[-1] for one in ready.session.taken() if one[0] == "publish"] == [b"a"]


# --- lending --------------------------------------------------------------------------------------


@pytest.fixture
def handle(ready: LinkAlone) -> Iterator[socket.socket]:
    """What the session lends."""
    ours, theirs = socket.socketpair()
    ready.session.handle = ours
    yield ours
    ours.close()
    theirs.close()


def test_what_is_lent(ready: LinkAlone, handle: socket.socket) -> None:
    """With all that is agreed on the connection, and where its tags have come to."""
    given_back: list[Loan] = []
    loan = ready.link.lend(given_back.append, shared=False)
    assert loan is not None
    assert (loan._socket, loan._channel, loan.tag, loan._frame_max) == (handle, 1, 2, 4096)
    assert loan._exchanges == {"x"}
    loan._end()
    assert given_back == [loan]


@pytest.mark.parametrize("why", ["channel", "connection", "amid a frame", "under way"])
@pytest.mark.usefixtures("handle")
def test_what_is_not_lent(ready: LinkAlone, why: str) -> None:
    """Where anything else goes on, the session is not even asked."""
    if why == "channel":
        ready.hear(ChannelClosed(1, 404, "NOT_FOUND"))
    elif why == "under way":
        ready.publish("a")
    else:
        ready.session.is_open, ready.session.between = why != "connection", why != "amid a frame"
    assert ready.link.lend(lambda _: None, shared=False) is None
    assert ("lend",) not in ready.session.said


@pytest.mark.parametrize("broken", [None, "the connection is broken"])
def test_a_loan_ends(ready: LinkAlone, handle: socket.socket, broken: str | None) -> None:
    """What it leaves is dealt with, then a connection that is of no use any more is given up, for that reason."""
    loan = ready.link.lend(lambda _: None, shared=False)
    assert loan is not None
    ready.session.taken()
    loan.unsent, loan.received, loan.broken = b"unsent", b"received", broken
    ready.link.end_loan(loan, loan.surrender())
    assert ready.session.said == [("take back", b"unsent", b"received"), *([("abort", broken)] if broken else [])]
    assert handle.fileno() == -1


def burden_of(ready: LinkAlone, written: str, unwritten: str) -> Burden:
    """Messages of a letter each; the first of them has the tag 2."""
    jobs = {name: ready.job(name, "x", FOREVER) for name in written + unwritten}
    return Burden([(tag, jobs[name]) for tag, name in enumerate(written, 2)], [jobs[name] for name in unwritten])


def lent(ready: LinkAlone, *, tag: int) -> Loan:
    """A shared loan whose next tag is this one."""
    loan = ready.link.lend(lambda _: None, shared=True)
    assert isinstance(loan, SharedLoan)
    assert (loan.tag, loan._window) == (2, 100)
    loan.tag = tag
    ready.session.taken()
    return loan


@pytest.mark.usefixtures("handle")
def test_what_a_shared_loan_leaves(ready: LinkAlone) -> None:
    """What was written is confirmed by its tags, and what was not is written next."""
    loan = lent(ready, tag=4)
    ready.link.end_loan(loan, burden_of(ready, "ab", "cd"))
    assert ready.session.taken() == [
        ("take back", b"", b""), ("publish", 1, b"c"), ("publish", 1, b"d"), ("flush",)
    ]  # fmt: skip
    ready.hear(Confirmed(1, 3, False, False), Confirmed(1, 4, True, False))
    assert sorted(name for name, fate, _ in ready.fates() if fate is Fate.CONFIRMED) == ["a", "b", "c"]
    ready.hear(Confirmed(1, 5, False, False))
    assert ready.fates() == [("d", Fate.CONFIRMED, "")]


@pytest.mark.parametrize("when", ["as its connection ends", "after its connection", "on the next connection"])
@pytest.mark.usefixtures("handle")
def test_a_loan_that_outlives_its_connection(ready: LinkAlone, when: str) -> None:
    """No confirm will come for what was written: all of it goes out again, in its order."""
    loan, burden = lent(ready, tag=4), burden_of(ready, "ab", "c")

    def connect() -> None:
        ready.open()
        ready.hear(Declared(2))

    if when == "as its connection ends":
        ready.session.is_open = False
        ready.link.end_loan(loan, burden)
        ready.end("it has ended")
        ready.loop.fire(1)
        connect()
    elif when == "after its connection":
        ready.end("it has ended")
        ready.link.end_loan(loan, burden)
        ready.loop.fire()
        connect()
    else:
        ready.publish("before")
        ready.end("it has ended")
        ready.loop.fire(1)
        connect()
        ready.session.taken()
        ready.link.end_loan(loan, burden)
    assert len(ready.sessions) == 2
    bodies = [one[-1] for one in ready.session.taken() if one[0] == "publish"]
    assert bodies == [b"a", b"b", b"c"]
    ready.hear(Confirmed(1, 4, True, False))
    assert {name for name, fate, _ in ready.fates() if fate is Fate.CONFIRMED} >= {"a", "b", "c"}


@pytest.mark.usefixtures("handle")
def test_nothing_is_written_on_a_broken_connection(ready: LinkAlone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is heard as it is taken back."""
    loan = lent(ready, tag=3)
    loan.broken = "Connection reset by peer"
    take_back = ready.session.take_back

    def hear(unsent: bytes, received: bytes) -> None:
        take_back(unsent, received)
        ready.hear(Confirmed(1, 2, False, False))

    monkeypatch.setattr(ready.session, "take_back", hear)
    ready.link.end_loan(loan, burden_of(ready, "a", "b"))
    assert ready.session.taken() == [("take back", b"", b""), ("abort", "Connection reset by peer")]
    assert ready.fates() == [("a", Fate.CONFIRMED, "")]
    ready.end("Connection reset by peer")
    ready.loop.fire(1)
    ready.open()
    ready.hear(Declared(2))
    assert [one[-1] for one in ready.session.taken() if one[0] == "publish"] == [b"b"]


@pytest.mark.usefixtures("handle")
def test_what_is_rescued_of_a_loan(ready: LinkAlone) -> None:
    """It goes out again on the next connection; none of it counts as unconfirmed on the one that was given up."""
    lent(ready, tag=4)
    ready.link.abort("held up")
    ready.link.adopt(burden_of(ready, "ab", "c"))
    ready.link.pump()
    assert ready.session.taken() == [("abort", "held up")]
    assert ready.link._ledger.unconfirmed == 0
    ready.end("held up")
    ready.loop.fire(1)
    ready.open()
    ready.hear(Declared(2))
    assert [one[-1] for one in ready.session.taken() if one[0] == "publish"] == [b"a", b"b", b"c"]
