"""A link whose connections are real but for the socket: a broker that is only played reads and says each byte."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pamqp import body, commands, frame, header
from pamqp.heartbeat import Heartbeat

from durable_ws.address import Address
from durable_ws.amqp.connection import FRAME_MIN
from durable_ws.job import Job
from durable_ws.ledger import Fate, Settled
from durable_ws.link import Link, LinkSettings
from durable_ws.message import build
from durable_ws.session import Session
from tests.durable_ws.played_link import EXCHANGES, FOREVER, publish_alone
from tests.durable_ws.played_loop import PlayedLoop, PlayedTask

__all__ = ["Attempt", "Line", "WireAlone", "job_of", "settings_of"]


@dataclass
class Attempt:
    """A message as the broker has read it, and what was said of it so far: said and come are two things."""

    body: bytes
    message_id: str
    tag: int
    return_said: bool = False
    answered: str | None = None  # ``"ack"`` or ``"nack"``


def settings_of(*, window: int = 100, heartbeat_s: int = 0) -> LinkSettings:
    """A link's, without a pause before it connects anew, and without a log."""
    address = Address(hosts=(("h", 5672),), heartbeat=heartbeat_s, socket_timeout=20.0, stack_timeout=10.0)
    return LinkSettings(address, EXCHANGES, window, 0.0, 0.0, log=lambda *_, **__: None)


def job_of(loop: PlayedLoop, text: str, to: str = "x", *, timeout_s: float = FOREVER, **options: Any) -> Job:
    """One that nobody has yet; its id is its text unless another is given, its lane is None."""
    lane = options.pop("lane", None)
    message = build(text, exchange=to, **{"message_id": text, **options})
    return Job(message, loop.now, loop.now + timeout_s, lane, False, Future())


class Line:
    """The broker's side of a link: it answers all but messages, and of these it does as the test says.

    Args:
        link: whose connections these are; it may find its loop played.
        loop: that of the link.
        answers_at_once: whether what it answers comes at once; else the test calls :meth:`deliver`.
    """

    def __init__(self, link: Link, loop: PlayedLoop, *, answers_at_once: bool = True) -> None:
        self.link = link
        self.loop = loop
        self.answers_at_once = answers_at_once
        self.writes: list[bytes] = []
        """Each write to the present socket since the last look."""
        self.attempts: list[Attempt] = []
        """All messages, in the order in which they came, over all connections."""
        self.session: Session | None = None
        self.waiting: list[Attempt] = []
        """Those of the present channel that are not answered yet."""
        self.declared: set[str] = set()
        """What the link knows to be declared."""
        self.amid = False
        """Whether the link has heard a part of a returned message, or of a frame."""
        self.closing = False
        """Whether the broker has closed the channel, and was not answered yet."""
        self.alarm = False
        """Whether the broker takes no messages."""
        self.blocks = False
        """Whether the link has heard of that."""
        self.says: list[tuple[bytes, Callable[[], None] | None]] = []
        """What was said and has not come, or not all of it; and what is done right before the link has it."""
        self._come = 0  # bytes of the first of these that have come
        self._reset()

    def _reset(self) -> None:
        self._read = b""
        self._tag = 0
        self.closing = False
        self._attempt: Attempt | None = None
        self._due = 0
        self._returning = False
        self.says.clear()
        self._come = 0
        self.waiting = []
        self.declared = set()
        self.amid = self.blocks = self.alarm = False

    # --- asyncio's transport ----------------------------------------------------------------------

    def get_extra_info(self, name: str) -> Any:
        """The socket, which is of no use here."""
        assert name == "socket"

    def write(self, data: bytes) -> None:
        """Noted, and read."""
        assert data
        self.writes.append(data)
        self._read += data

    def close(self) -> None:
        """As asyncio does it: soon."""
        self.abort()

    def abort(self) -> None:
        """As asyncio does it: soon."""
        session = self.session
        self.loop.call_soon(lambda: self.cut() if self.session is session else None)

    # --- the connection ---------------------------------------------------------------------------

    def go_on(self) -> None:
        """All that can happen without a word of the test does: connecting, answers, what the loop was asked for."""
        while True:
            while self.loop.soon:
                self.loop.soon.pop(0)()
            while (delays := self.loop.delays) and min(delays) <= 0.0:
                self.loop.fire(delays.index(min(delays)))
            session = self.link._connection
            if session is not None and session is not self.session:
                self._connect(session)
            self._hear()
            if self.answers_at_once:
                self.deliver()
            if not (self.loop.soon or self._read or (self.answers_at_once and self.says)):
                break

    def _connect(self, session: Session) -> None:
        task = session._dialling
        assert isinstance(task, PlayedTask)
        task.work.close()
        self.session = session
        self._reset()
        self.writes.clear()
        session.connection_made(self)
        task.end()

    def cut(self) -> None:
        """The connection ends without a word; what was said and has not come never does."""
        session, self.session = self.session, None
        assert session is not None
        self._reset()
        session.connection_lost(None)

    def pass_time(self, seconds: float) -> None:
        """The timers that are due by then come, in their order."""
        until = self.loop.now + seconds
        while (delays := self.loop.delays) and self.loop.now + min(delays) <= until:
            self.loop.fire(delays.index(min(delays)))
            self.go_on()
        self.loop.now = until

    # --- what it says -----------------------------------------------------------------------------

    def say(self, channel: int, one: Any, then: Callable[[], None] | None = None) -> None:
        """Say a frame; it comes with :meth:`deliver`, which calls the other right before the link has it."""
        self.says.append((frame.marshal(one, channel), then))

    def deliver(self, most: int | None = None) -> bytes:
        """So many bytes of what was said, or all, come in one read; these."""
        data = b"".join(said for said, _ in self.says)[self._come :][:most]
        if not data:
            return data
        self._come += len(data)
        while self.says and self._come >= len(self.says[0][0]):
            said, then = self.says.pop(0)
            self._come -= len(said)
            if then is not None:
                then()
        self.amid = self._returning or self._come > 0
        assert self.session is not None
        self.session.get_buffer(-1)[: len(data)] = data
        self.session.buffer_updated(len(data))
        return data

    def ack(self, *attempts: Attempt, multiple: bool = False, nack: bool = False, tag: int | None = None) -> None:
        """Answer these, which are on the present channel; the last one's tag is said, unless another is given."""
        kind = commands.Basic.Nack if nack else commands.Basic.Ack
        for attempt in attempts:
            self.waiting.remove(attempt)
            attempt.answered = "nack" if nack else "ack"
        self.say(1, kind(attempts[-1].tag if tag is None else tag, multiple))

    def give_back(self, attempt: Attempt) -> None:
        """Return this."""
        attempt.return_said = True
        properties = commands.Basic.Properties(message_id=attempt.message_id)
        frames: list[Any] = [commands.Basic.Return(312, "NO_ROUTE", "x", "")]
        frames.append(header.ContentHeader(0, len(attempt.body), properties))
        if attempt.body:
            frames.append(body.ContentBody(attempt.body))
        for one in frames:
            self.say(1, one, lambda amid=one is not frames[-1]: setattr(self, "_returning", amid))  # type: ignore[misc]

    def block(self, reason: str | None) -> None:
        """An alarm is raised; None: it is over."""
        self.alarm = reason is not None
        one = commands.Connection.Unblocked() if reason is None else commands.Connection.Blocked(reason)
        self.say(0, one, lambda: setattr(self, "blocks", reason is not None))

    def beat(self) -> None:
        """A heart-beat."""
        self.say(0, Heartbeat())

    def close_channel(self, code: int, text: str) -> None:
        """For an error; what the link writes until it has heard of it is nothing to anybody."""
        self.closing = True
        self.waiting = []
        self.say(1, commands.Channel.Close(code, text, 60, 40), self.declared.clear)

    # --- what it hears ----------------------------------------------------------------------------

    def _hear(self) -> None:
        data, self._read = self._read, b""
        while data:
            size, channel, one = frame.unmarshal(data)
            data = data[size:]
            self._answer(channel, one)
        assert self._attempt is None, "a part of a message"

    def _answer(self, channel: int, one: Any) -> None:  # noqa: C901 - one case for each frame
        match one:
            case header.ProtocolHeader():
                self.say(0, commands.Connection.Start(0, 9, {}, "PLAIN", "en_US"))
            case commands.Connection.StartOk():
                self.say(0, commands.Connection.Tune(2047, FRAME_MIN, 60))
            case commands.Connection.Open():
                self.say(0, commands.Connection.OpenOk())
            case commands.Connection.Close():
                self.say(0, commands.Connection.CloseOk())
            case commands.Channel.Open():
                self.say(channel, commands.Channel.OpenOk())
            case commands.Channel.CloseOk():
                assert channel == 1
                self.closing = False
            case commands.Confirm.Select():
                self._tag = 0
                self.say(1, commands.Confirm.SelectOk())
            case commands.Exchange.Declare(exchange=name):
                self.say(2, commands.Exchange.DeclareOk(), lambda: self.declared.add(name))
            case commands.Basic.Publish(exchange=name):
                assert channel == 1
                assert not self.blocks
                assert name in self.declared or name == ""
                self._tag += 1
                self._attempt = Attempt(b"", "", self._tag)
            case header.ContentHeader():
                assert self._attempt is not None
                self._attempt.message_id = one.properties.message_id or ""
                self._due = one.body_size
                self._take_in()
            case body.ContentBody():
                assert self._attempt is not None
                self._attempt.body += one.value
                self._due -= len(one.value)
                self._take_in()
            case Heartbeat() | commands.Connection.TuneOk():
                pass
            case _:
                raise AssertionError(one)

    def _take_in(self) -> None:
        if self._attempt is not None and self._due <= 0:
            assert self._due == 0
            self.attempts.append(self._attempt)
            if not self.closing:
                self.waiting.append(self._attempt)
            self._attempt = None


class WireAlone(Line):
    """A link with its loop, the broker's side of it, and what was settled."""

    def __init__(self, *, answers_at_once: bool = True, **settings: Any) -> None:
        self.settled: list[Settled[Job]] = []
        loop = PlayedLoop()
        link = Link(
            loop,  # type: ignore[arg-type]
            settings_of(**settings),
            on_settled=self.settled.extend,
            on_confirmed=lambda job: self.settled.append(Settled(job, Fate.CONFIRMED, 1, "")),
            on_joined=lambda _: None,
        )
        super().__init__(link, loop, answers_at_once=answers_at_once)

    def alone(self, text: str, to: str = "x", **options: Any) -> Job:
        """A job that comes while nothing else is done."""
        job = job_of(self.loop, text, to, **options)
        publish_alone(self.link, job)
        self.go_on()
        return job

    def beside(self, *texts: str, to: str = "x", **options: Any) -> list[Job]:
        """Jobs that come together."""
        jobs = [job_of(self.loop, text, to, **options) for text in texts]
        for job in jobs:
            self.link.publish(job)
        self.link.pump()
        self.go_on()
        return jobs

    @property
    def is_lone(self) -> bool:
        """Whether a message is out of which the ledger knows nothing."""
        return self.link._lone is not None

    def fates(self) -> list[tuple[str, Fate, int, str]]:
        """What was settled since the last look: by its text, with its attempts."""
        told = [(one.key.message.body.decode(), one.fate, one.attempts, one.reason) for one in self.settled]
        self.settled.clear()
        return told
