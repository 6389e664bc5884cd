"""One connection whose loop and socket are played: its timers, what it says, and how it ends, without any waiting."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from pamqp import commands, frame
from pamqp.heartbeat import Heartbeat

from durable_ws.address import Address, TlsOptions
from durable_ws.amqp.events import (
    Blocked,
    ClosedByBroker,
    ClosedInOrder,
    Confirmed,
    Event,
    Opened,
    Selected,
    Unblocked,
)
from durable_ws.session import End, Session
from tests.durable_ws.played_loop import PlayedLoop

CONTEXT = ssl.create_default_context()
HANDSHAKE = (
    commands.Connection.Start(0, 9, {}, "PLAIN", "en_US"),
    commands.Connection.Tune(2047, 131072, 60),
    commands.Connection.OpenOk(),
)


class Handle:
    """Another handle of the socket; how it was shut down, and whether that fails as it does once the peer is gone."""

    def __init__(self) -> None:
        self.shut: list[int] = []
        self.gone = False

    def shutdown(self, how: int) -> None:
        """Noted."""
        self.shut.append(how)
        if self.gone:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


class PlayedTransport:
    """Notes what is written, and what is asked of it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.asked: list[str] = []
        self.options: list[tuple[int, int, int]] = []
        self.tls = False
        self.unsent = 0
        self.handle: Handle | None = Handle()

    def get_extra_info(self, name: str) -> Any:
        """The socket, which is this, too; what speaks TLS, if it does."""
        assert name in ("socket", "ssl_object")
        return self if name == "socket" or self.tls else None

    def dup(self) -> Handle:
        """Another handle, if there may be one."""
        if self.handle is None:
            raise OSError(errno.EMFILE, "Too many open files")
        self.asked.append("dup")
        return self.handle

    def get_write_buffer_size(self) -> int:
        """What it has not sent yet."""
        return self.unsent

    def pause_reading(self) -> None:
        """Noted."""
        self.asked.append("pause_reading")

    def resume_reading(self) -> None:
        """Noted."""
        self.asked.append("resume_reading")

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Noted."""
        self.options.append((level, option, value))

    def write(self, data: bytes) -> None:
        """Noted."""
        assert data, "nothing to write"
        self.writes.append(data)

    def close(self) -> None:
        """Noted."""
        self.asked.append("close")

    def abort(self) -> None:
        """Noted."""
        self.asked.append("abort")


class Alone:
    """A session with its loop and its socket; it dials in earnest only where that is looked at."""

    def __init__(self, *, dials: bool = False, **options: Any) -> None:
        self.loop = PlayedLoop()
        self.socket = PlayedTransport()
        self.events: list[Event] = []
        self.ends: list[End] = []
        self.writable_again = 0
        self.came_as_expected = 0
        self.on_heard: Callable[[], None] = lambda: None
        told = {"hosts": (("h", 5672),), "heartbeat": 6, "socket_timeout": 20.0, "stack_timeout": 10.0, **options}
        address = Address(**told)
        self.session = Session(
            self.loop,  # type: ignore[arg-type]
            address,
            "h",
            5672,
            on_events=self.events.extend,
            on_end=self.ends.append,
            on_writable=self._on_writable,
            on_expected=self._on_expected,
            on_heard=lambda: self.on_heard(),
        )
        (self.dialling,) = self.loop.tasks
        if not dials:
            self.dialling.work.close()

    def _on_writable(self) -> None:
        self.writable_again += 1

    def _on_expected(self) -> None:
        self.came_as_expected += 1

    def connect(self) -> None:
        """The socket is there."""
        self.session.connection_made(self.socket)  # type: ignore[arg-type]
        self.dialling.end()

    def hear(self, *frames: Any) -> None:
        """These come from the broker, in one piece."""
        self.hear_bytes(b"".join(frame.marshal(one, 0) for one in frames))

    def hear_bytes(self, data: bytes) -> None:
        """These come from the broker, in one piece."""
        self.session.get_buffer(-1)[: len(data)] = data
        self.session.buffer_updated(len(data))

    def said(self) -> list[Any]:
        """What was written since the last look."""
        data, frames = b"".join(self.socket.writes), []
        self.socket.writes.clear()
        while data:
            size, _, one = frame.unmarshal(data)
            frames.append(one)
            data = data[size:]
        return frames


def opened(**options: Any) -> Alone:
    """A session that is open."""
    alone = Alone(**options)
    alone.connect()
    alone.hear(*HANDSHAKE)
    assert alone.events == [Opened()]
    assert alone.session.is_open
    alone.events.clear()
    alone.said()
    return alone


# --- from dialling to open ------------------------------------------------------------------------


def test_the_limit_of_the_handshake() -> None:
    """One timer from the start; it is gone once the connection is open, where that of the heart-beat is set."""
    alone = Alone()
    assert alone.session.writable
    assert not alone.session.is_open
    assert alone.loop.delays == [10.0]
    alone.connect()
    assert [type(one) for one in alone.said()] == [type(frame.unmarshal(b"AMQP\0\0\x09\x01")[2])]
    alone.hear(*HANDSHAKE[:2])
    assert alone.loop.delays == [10.0]
    alone.hear(HANDSHAKE[2])
    assert alone.session.is_open
    assert alone.loop.delays == [3.0]
    assert alone.events == [Opened()]
    assert alone.ends == []


def test_no_heart_beat_no_timer() -> None:
    """Where it is turned off."""
    assert opened(heartbeat=0).loop.delays == []


def test_a_handshake_that_takes_too_long() -> None:
    """While dialling the task is cancelled, on a socket that is aborted; the reason names the host and the limit."""
    said = "timeout, no AMQP connection to h:5672 in 10 s"
    alone = Alone()
    alone.loop.fire()
    assert alone.dialling.asked_to_stop
    assert alone.ends == []
    alone.dialling.end()
    assert alone.ends == [End(said, opened=False)]
    alone = Alone()
    alone.connect()
    alone.hear(HANDSHAKE[0])
    alone.loop.fire()
    assert alone.socket.asked == ["abort"]
    assert not alone.dialling.asked_to_stop
    alone.session.connection_lost(None)
    assert alone.ends == [End(said, opened=False)]
    assert alone.loop.delays == []


def test_a_socket_that_comes_too_late() -> None:
    """It is given back at once, and nothing is said on it."""
    alone = Alone(tcp_options={"TCP_USER_TIMEOUT": 5000})
    alone.session.abort("enough")
    assert alone.dialling.asked_to_stop
    alone.session.connection_made(alone.socket)  # type: ignore[arg-type]
    assert alone.socket.asked == ["abort"]
    assert alone.socket.writes == []
    assert alone.socket.options == []
    alone.session.connection_lost(None)
    assert alone.ends == [End("enough", opened=False)]


def test_a_loop_that_is_stopped() -> None:
    """Its tasks are cancelled, by whomever; that is told once, and the timer is gone."""
    alone = Alone()
    alone.dialling.cancel()
    alone.dialling.end()
    alone.session.connection_lost(None)
    assert alone.ends == [End("the loop was stopped", opened=False)]
    assert alone.loop.delays == []
    assert not alone.session.writable


def test_dialling_that_fails_as_nobody_thought_of() -> None:
    """It is told all the same, with the host."""
    alone = Alone()
    alone.dialling.error = RuntimeError("no more threads")
    alone.dialling.end()
    assert alone.ends == [End("no more threads (h:5672)", opened=False)]
    alone.session.abort("too late")  # which has nobody to cancel


def test_options_of_the_socket() -> None:
    """Each by its number; keep-alive is turned on for those of keep-alive."""
    alone = Alone(tcp_options={"TCP_USER_TIMEOUT": 5000, "TCP_KEEPIDLE": 60})
    alone.connect()
    assert alone.socket.options == [
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    ]


# --- the end --------------------------------------------------------------------------------------


def test_closed_in_order() -> None:
    """We say so; the broker's answer ends the socket, which has a while for it, and then no longer."""
    alone = opened()
    alone.session.close()
    assert [type(one) for one in alone.said()] == [commands.Connection.Close]
    assert not alone.session.is_open
    assert alone.socket.asked == []
    alone.loop.fire()
    assert alone.loop.delays == [], "and that was the last heart-beat"
    assert alone.said() == []


def test_the_end_after_a_close_in_order() -> None:
    """The broker's answer ends the socket, and the end is told when that has ended."""
    alone = opened(heartbeat=0)
    alone.session.close()
    alone.said()
    alone.hear(commands.Connection.CloseOk())
    assert alone.events == [ClosedInOrder()]
    assert alone.socket.asked == ["close"]
    assert alone.loop.delays == [1.0]
    alone.loop.fire()
    assert alone.socket.asked == ["close", "abort"]
    assert alone.ends == []
    alone.session.connection_lost(OSError(errno.EPIPE, "broken"))
    assert alone.ends == [End("the publisher was closed", opened=True)]


@pytest.mark.parametrize("connected", [False, True])
def test_closed_before_it_was_open(connected: bool) -> None:
    """There is nobody yet to say it to."""
    alone = Alone()
    if connected:
        alone.connect()
        alone.said()
    alone.session.close()
    assert alone.said() == []
    if connected:
        assert alone.socket.asked == ["abort"]
        alone.session.connection_lost(None)
    else:
        alone.dialling.end()
    assert alone.ends == [End("the publisher was closed", opened=False)]


def test_closed_by_the_broker() -> None:
    """It gets its answer and the end of the socket; the timers are gone but for that of the farewell, set once."""
    alone = opened(blocked_connection_timeout=30.0)
    alone.hear(commands.Connection.Blocked("low on disk"))
    assert alone.loop.delays == [3.0, 30.0]
    alone.hear(commands.Connection.Close(320, "CONNECTION_FORCED - bye X.", 40, 10))
    closed = ClosedByBroker(320, "CONNECTION_FORCED - bye X.", 40)
    assert alone.events == [Blocked("low on disk"), closed]
    assert [type(one) for one in alone.said()] == [commands.Connection.CloseOk]
    assert alone.socket.asked == ["close"]
    assert alone.loop.delays == [1.0]
    alone.hear(Heartbeat())
    assert alone.socket.asked == ["close"]
    assert alone.loop.delays == [1.0]
    alone.session.abort("too late to be the reason")
    alone.session.connection_lost(None)
    said = "the broker closed the connection: (320) CONNECTION_FORCED - bye X"
    assert alone.ends == [End(said, opened=True, closed=closed)]
    assert alone.loop.delays == []
    assert not alone.session.is_open
    assert not alone.session.writable


def test_a_broker_that_has_no_such_login() -> None:
    """Trying on would not help, and the host is named."""
    alone = Alone()
    alone.connect()
    alone.hear(commands.Connection.Start(0, 9, {}, "EXTERNAL", "en_US"))
    alone.session.connection_lost(None)
    said = "the broker has no PLAIN login, only EXTERNAL (h:5672)"
    assert alone.ends == [End(said, opened=False, refused=True)]


def test_a_peer_that_breaks_the_protocol() -> None:
    """Once it is open, the reason is told as it is, and it may be tried again."""
    alone = opened()
    alone.session.get_buffer(-1)[:15] = b"\x01\x00\x00\x00\x00\x00\x04" + bytes(8)
    alone.session.buffer_updated(15)
    assert alone.loop.delays == [1.0]
    alone.session.connection_lost(None)
    (end,) = alone.ends
    assert (end.opened, end.refused, end.closed) == (True, False, None)
    assert "h:5672" not in end.reason


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "the peer closed the connection without a word"),
        (ConnectionResetError(errno.ECONNRESET, "as asyncio puts it"), "[Errno 104] Connection reset by peer"),
    ],
)
def test_a_socket_that_ends(error: Exception | None, said: str) -> None:
    """What the system says is the reason; it is told once, and the timers are gone."""
    alone = opened()
    alone.session.connection_lost(error)
    alone.session.connection_lost(None)
    assert alone.ends == [End(said, opened=True)]
    assert alone.loop.delays == []
    assert not alone.session.is_open
    assert alone.session.writable is False


# --- while it is open -----------------------------------------------------------------------------


def test_what_is_said_goes_out_in_one_write() -> None:
    """And nothing is written where there is nothing to say."""
    alone = opened()
    alone.session.connection.open_channel(1)
    alone.session.connection.select_confirms(1)
    alone.session.flush()
    assert len(alone.socket.writes) == 1
    assert [type(one) for one in alone.said()] == [commands.Channel.Open, commands.Confirm.Select]
    alone.session.flush()
    alone.hear(Heartbeat())
    assert alone.said() == []
    assert alone.events == []


def test_a_socket_that_does_not_keep_up() -> None:
    """It is not writable until it takes data again, which is told."""
    alone = opened()
    alone.session.pause_writing()
    assert alone.session.writable is False
    assert alone.writable_again == 0
    alone.session.resume_writing()
    assert alone.session.writable is True
    assert alone.writable_again == 1


def test_heart_beats() -> None:
    """One at each half of its time unless something else was said; the peer may miss two, and then it is given up."""
    alone = opened()
    alone.loop.fire()
    assert alone.said() == [], "the handshake was said since"
    for _ in range(3):
        assert alone.loop.delays == [3.0]
        alone.loop.fire()
        assert [type(one) for one in alone.said()] == [Heartbeat]
    assert alone.socket.asked == []
    alone.hear(Heartbeat())
    for _ in range(5):
        assert alone.socket.asked == []
        assert alone.loop.delays == [3.0]
        alone.loop.fire()
    assert alone.socket.asked == ["abort"]
    assert alone.loop.delays == []
    alone.session.connection_lost(None)
    assert alone.ends == [End("nothing was heard for two heart-beats of 6 s", opened=True)]


def test_the_limit_of_blocking() -> None:
    """From the latest word of the broker on; there is none where none is set."""
    alone = opened(heartbeat=0, blocked_connection_timeout=30.0)
    alone.hear(commands.Connection.Unblocked())
    assert alone.loop.delays == []
    alone.hear(commands.Connection.Blocked("low on memory"))
    assert alone.loop.delays == [30.0]
    alone.hear(Heartbeat(), commands.Connection.Blocked("low on disk"))
    assert alone.loop.delays == [30.0]
    alone.hear(commands.Connection.Unblocked())
    assert alone.loop.delays == []
    alone.hear(commands.Connection.Blocked("low on disk"))
    alone.loop.fire()
    assert alone.socket.asked == ["abort"]
    alone.session.connection_lost(None)
    assert alone.ends == [End("the broker has blocked publishers for 30 s (low on disk)", opened=True)]
    alone = opened(heartbeat=0, blocked_connection_timeout=0.0)
    alone.hear(commands.Connection.Blocked("low on disk"))
    assert alone.loop.delays == [0.0]
    alone = opened(heartbeat=0)
    alone.hear(commands.Connection.Blocked("low on disk"), commands.Connection.Unblocked())
    assert alone.loop.delays == []
    assert alone.events == [Blocked("low on disk"), Unblocked()]


# --- lending --------------------------------------------------------------------------------------


def lent() -> Alone:
    """A session whose socket is lent."""
    alone = opened()
    assert alone.session.lend() is alone.socket.handle
    assert alone.socket.asked == ["dup", "pause_reading"]
    alone.socket.asked.clear()
    return alone


def test_what_is_to_be_said_goes_out_before_the_socket_is_lent() -> None:
    """Or it would come behind what others say."""
    alone = opened()
    alone.session.connection.open_channel(1)
    assert alone.session.lend() is alone.socket.handle
    assert [type(one) for one in alone.said()] == [commands.Channel.Open]


def test_lent_once_at_a_time() -> None:
    """And again once it was taken back."""
    alone = lent()
    assert alone.session.lend() is None
    assert alone.socket.asked == []
    alone.session.take_back(b"", b"")
    assert alone.socket.asked == ["resume_reading"]
    assert alone.said() == []
    assert alone.session.lend() is alone.socket.handle


def test_where_there_is_no_socket_none_is_lent() -> None:
    """Not before it is connected, nor once it has ended."""
    alone = Alone()
    assert alone.session.lend() is None
    alone = opened()
    alone.session.connection_lost(None)
    assert alone.session.lend() is None
    assert alone.socket.asked == []


@pytest.mark.parametrize("why", ["TLS", "unsent", "full", "too many files"])
def test_a_socket_that_is_not_lent(why: str) -> None:
    """The session goes on with it, and lends it later if it can."""
    alone = opened()
    handle = alone.socket.handle
    alone.socket.tls = why == "TLS"
    alone.socket.unsent = int(why == "unsent")
    if why == "full":
        alone.session.pause_writing()
    if why == "too many files":
        alone.socket.handle = None
    assert alone.session.lend() is None
    assert alone.socket.asked == []
    alone.socket.tls, alone.socket.unsent, alone.socket.handle = False, 0, handle
    alone.session.resume_writing()
    assert alone.session.lend() is handle


def test_what_a_loan_leaves() -> None:
    """What was not sent is sent, then what was received is dealt with."""
    alone = lent()
    alone.session.connection.open_channel(1)
    unsent = alone.session.connection.take()
    alone.session.take_back(unsent, frame.marshal(commands.Connection.Blocked("low on disk"), 0))
    assert alone.socket.writes == [unsent]
    assert alone.socket.asked == ["resume_reading"]
    assert alone.events == [Blocked("low on disk")]


def test_what_a_loan_leaves_when_the_connection_has_ended() -> None:
    """Nobody wants it any more."""
    alone = lent()
    alone.session.connection_lost(None)
    alone.session.take_back(b"unsent", frame.marshal(commands.Connection.Blocked("low on disk"), 0))
    assert alone.socket.writes == []
    assert alone.socket.asked == []
    assert alone.events == []


def test_heart_beats_while_the_socket_is_lent() -> None:
    """Who has it says and hears enough; with its end, the peer's time begins anew."""
    alone = lent()
    for _ in range(10):
        alone.loop.fire()
    alone.session.take_back(b"", b"")
    alone.loop.fire()
    assert alone.said() == []
    assert alone.socket.asked == ["resume_reading"]
    alone.loop.fire()
    assert [type(one) for one in alone.said()] == [Heartbeat]


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("way", ["abort", "close", "lost"])
def test_who_has_the_socket_hears_of_the_end(way: str, gone: bool) -> None:
    """At once, whatever the session would have said in order; also where the peer is gone already."""
    alone = lent()
    handle = alone.socket.handle
    assert handle is not None
    handle.gone = gone
    if way == "lost":
        alone.session.connection_lost(None)
    elif way == "abort":
        alone.session.abort("given up")
    else:
        alone.session.close()
    assert handle.shut == [socket.SHUT_RDWR]
    assert alone.said() == []
    assert alone.socket.asked == ([] if way == "lost" else ["abort"])
    reason = {"abort": "given up", "close": "the publisher was closed"}.get(way)
    alone.session.connection_lost(None)
    assert alone.ends == [End(reason or "the peer closed the connection without a word", opened=True)]


def test_once_it_was_taken_back_nobody_has_it() -> None:
    """The handle is its owner's, whatever ends the session."""
    alone = lent()
    alone.session.take_back(b"", b"")
    alone.session.abort("given up")
    alone.session.connection_lost(None)
    assert alone.socket.handle is not None
    assert alone.socket.handle.shut == []


# --- what is expected -----------------------------------------------------------------------------


def confirming() -> tuple[Alone, bytes]:
    """A session with a channel in confirm mode that expects the confirm of tag 7; and that confirm."""
    alone = opened()
    alone.session.connection.open_channel(1)
    alone.hear_bytes(frame.marshal(commands.Channel.OpenOk(), 1) + frame.marshal(commands.Confirm.SelectOk(), 1))
    assert alone.events == [Selected(1)]
    alone.events.clear()
    alone.said()
    confirm = alone.session.connection.confirm_of(1, 7)
    alone.session.expect(confirm)
    return alone, confirm


CONFIRMED = Confirmed(1, 7, False, False)


def test_what_is_expected_comes() -> None:
    """Once that is told, and nothing else; the next time the same bytes are an event, as each that is not expected."""
    alone, confirm = confirming()
    alone.hear_bytes(confirm)
    assert (alone.came_as_expected, alone.events, alone.said()) == (1, [], [])
    alone.hear_bytes(confirm)
    assert (alone.came_as_expected, alone.events) == (1, [CONFIRMED])
    alone.session.expect(confirm)
    alone.session.expect(alone.session.connection.confirm_of(1, 8))
    alone.hear_bytes(confirm)
    assert (alone.came_as_expected, alone.events) == (1, [CONFIRMED, CONFIRMED])


def test_what_comes_last_of_all() -> None:
    """All that was heard is dealt with by then, the broker's close answered and the socket closed."""
    alone, confirm = confirming()
    seen: list[Any] = []
    alone.on_heard = lambda: seen.append((list(alone.events), alone.said(), list(alone.socket.asked)))
    alone.hear_bytes(confirm)
    assert seen == [], "what was expected has come"
    alone.hear_bytes(confirm)
    alone.hear(commands.Connection.Close(320, "shutdown", 0, 0))
    closed = [CONFIRMED, ClosedByBroker(320, "shutdown", 0)]
    assert [(events, asked) for events, _, asked in seen] == [([CONFIRMED], []), (closed, ["close"])]
    assert [[type(one) for one in said] for _, said, _ in seen] == [[], [commands.Connection.CloseOk]]


def test_whether_all_is_as_expected() -> None:
    """Once it has come; not while the socket takes no more, whichever of the two was first."""
    alone, confirm = confirming()
    assert not alone.session.as_expected
    alone.hear_bytes(confirm)
    assert alone.session.as_expected
    alone.session.pause_writing()
    assert not alone.session.as_expected
    alone.session.expect(confirm)
    alone.hear_bytes(confirm)
    assert (alone.came_as_expected, alone.session.as_expected) == (2, False)


def test_what_was_in_the_buffer_before_is_not_what_comes() -> None:
    """Only as much of it is looked at as has come."""
    alone, confirm = confirming()
    alone.hear_bytes(confirm)
    alone.session.expect(confirm)
    alone.hear_bytes(confirm[:4])
    assert (alone.came_as_expected, alone.events) == (1, [])
    alone.hear_bytes(confirm[4:])
    assert (alone.came_as_expected, alone.events) == (1, [CONFIRMED])


BEAT = frame.marshal(Heartbeat(), 0)
CONFIRM = frame.marshal(commands.Basic.Ack(7), 1)


@pytest.mark.parametrize(
    ("pieces", "events"),
    [
        ([BEAT, CONFIRM], [CONFIRMED]),
        ([BEAT + CONFIRM], [CONFIRMED]),
        ([CONFIRM + BEAT], [CONFIRMED]),
        ([CONFIRM + CONFIRM], [CONFIRMED, CONFIRMED]),
        *(([CONFIRM[:cut], CONFIRM[cut:]], [CONFIRMED]) for cut in range(1, len(CONFIRM))),
        ([CONFIRM + BEAT[:3], BEAT[3:]], [CONFIRMED]),
        ([frame.marshal(commands.Basic.Ack(7, True), 1)], [Confirmed(1, 7, True, False)]),
        ([frame.marshal(commands.Basic.Nack(7, False, False), 1)], [Confirmed(1, 7, False, True)]),
        ([frame.marshal(commands.Basic.Ack(8), 1)], [Confirmed(1, 8, False, False)]),
        ([frame.marshal(commands.Connection.Blocked("low"), 0), CONFIRM], [Blocked("low"), CONFIRMED]),
    ],
)
def test_anything_else_comes_first(pieces: list[bytes], events: list[Event]) -> None:
    """Then it is not expected any more, and all that comes is an event, in its order."""
    alone, _ = confirming()
    for data in pieces:
        alone.hear_bytes(data)
    assert (alone.came_as_expected, alone.events) == (0, events)
    assert alone.session.is_open
    assert alone.session.connection.is_between(1)


def test_nothing_is_expected_any_more() -> None:
    """As it is told."""
    alone, confirm = confirming()
    alone.session.expect(None)
    alone.hear_bytes(confirm)
    assert (alone.came_as_expected, alone.events) == (0, [CONFIRMED])


def test_what_was_expected_is_heard_too() -> None:
    """A peer that says nothing else is alive; when it has ended even that, it is given up as any other."""
    alone, confirm = confirming()
    for _ in range(12):
        alone.session.expect(confirm)
        alone.hear_bytes(confirm)
        alone.loop.fire()
        assert (alone.socket.asked, alone.loop.delays) == ([], [3.0])
    for _ in range(3):
        alone.loop.fire()
        assert alone.socket.asked == []
    alone.loop.fire()
    assert alone.socket.asked == ["abort"]
    assert alone.events == []
    assert alone.came_as_expected == 12


@pytest.mark.parametrize("then", ["another word", "nothing is taken", "silence"])
def test_until_when_all_is_as_expected(then: str) -> None:
    """Until anything else has happened: then the owner has to look again."""
    alone, confirm = confirming()
    assert alone.session.as_expected is False
    alone.hear_bytes(confirm)
    assert alone.session.as_expected is True
    if then == "another word":
        alone.hear_bytes(BEAT)
    elif then == "nothing is taken":
        alone.session.pause_writing()
        alone.session.resume_writing()
    else:
        while not alone.socket.asked:
            assert alone.session.as_expected is True
            alone.loop.fire()
    assert alone.session.as_expected is False


# --- dialling -------------------------------------------------------------------------------------


def dialled(alone: Alone, error: BaseException | None) -> list[tuple[Any, ...]]:
    """Dial, which ends so; what the loop was asked for."""
    asked: list[tuple[Any, ...]] = []

    async def create_connection(factory: Callable[[], object], *arguments: Any, **options: Any) -> None:
        asked.append((factory(), arguments, options))
        if error is not None:
            raise error

    alone.loop.create_connection = create_connection  # type: ignore[attr-defined]
    asyncio.run(alone.dialling.work)
    return asked


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, {}),
        ({"ssl_options": TlsOptions(CONTEXT)}, {"ssl": CONTEXT, "server_hostname": "h"}),
        ({"ssl_options": TlsOptions(CONTEXT, "other")}, {"ssl": CONTEXT, "server_hostname": "other"}),
    ],
    ids=["plain", "TLS", "TLS by another name"],
)
def test_what_is_dialled(options: dict[str, Any], asked: dict[str, Any]) -> None:
    """The host, and by TLS its name or that which it was given."""
    alone = Alone(dials=True, **options)
    assert dialled(alone, None) == [(alone.session, ("h", 5672), asked)]
    assert alone.ends == []


UNTRUSTED = ssl.SSLCertVerificationError("as ssl puts it")
UNTRUSTED.verify_message = "self-signed certificate"


@pytest.mark.parametrize(
    ("error", "said", "refused"),
    [
        (TimeoutError(), "timeout, no connection to h:5672 in 20 s", False),
        (UNTRUSTED, "the broker's certificate can't be trusted: self-signed certificate", True),
        (OSError(errno.ECONNREFUSED, "as asyncio puts it"), "[Errno 111] Connection refused (h:5672)", False),
        (UnicodeError("label too long"), "label too long (h:5672)", False),
    ],
    ids=["timeout", "certificate", "system", "name"],
)
def test_dialling_in_vain(error: Exception, said: str, refused: bool) -> None:
    """Why, in one line; only a certificate that can't be trusted is for good."""
    alone = Alone(dials=True)
    dialled(alone, error)
    assert alone.ends == [End(said, opened=False, refused=refused)]
    assert alone.loop.delays == []
    if not refused:
        given_up = Alone(dials=True)
        given_up.session.abort("given up")
        dialled(given_up, error)
        assert given_up.ends == [End("given up", opened=False)]


def test_how_long_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the address says."""
    told: list[float] = []
    timeout = asyncio.timeout
    monkeypatch.setattr("durable_ws.session.asyncio.timeout", lambda limit_s: (told.append(limit_s), timeout(None))[1])
    dialled(Alone(dials=True), None)
    assert told == [20.0]
