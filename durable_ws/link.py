"""A link: one connection with one confirm-mode channel, on an asyncio loop, kept up while there is something to send.

It turns what the broker says into the ledger's inputs, in the one order in which the broker sent it (a return before
its confirm), and writes what the ledger lets through. Everything here runs on the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from durable_ws.address import Address
from durable_ws.amqp.events import (
    Blocked,
    ChannelClosed,
    Confirmed,
    Declared,
    Event,
    Opened,
    Returned,
    Selected,
    Unblocked,
)
from durable_ws.exchanges import Exchange
from durable_ws.job import Job
from durable_ws.ledger import Ledger, Settled
from durable_ws.loan import Burden, Loan
from durable_ws.message import Message
from durable_ws.scribe import Log
from durable_ws.session import End, Session
from durable_ws.shared_loan import SharedLoan
from durable_ws.telling import ConnectionTeller, Guarded

__all__ = ["Link", "LinkSettings"]

_TRANSIENT_CODES = frozenset((311, 320, 506, 541))
"""Reply codes that say nothing against what was asked for: 320 connection-forced (the broker stops), 506
resource-error, 541 internal-error. 311 is content-too-large of the spec, which RabbitMQ does not send."""

_EXCHANGE_CLASS = 40  # AMQP 0-9-1's class id of exchange.declare, in connection.close
_ONE_WRITE_BYTES = 256 * 1024
_PUBLISHING, _DECLARING = 1, 2  # the channels; what is refused to the second does not end the first


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What every link of a publisher shares.

    Attributes:
        address: where and how to connect.
        exchanges: the declarations by their names at the broker.
        window: the most unconfirmed messages on a channel.
        reconnect_first_s, reconnect_most_s: the pause before the n-th attempt to connect in a row grows from the first
            to the most, doubled each time; a random part of up to a half is taken off it. Where there are several
            hosts, all of them are tried before each pause.
        observer: whom to tell; None: nobody.
        log: what writes the log of the connections.
        on_heard: see :class:`Session`.
    """

    address: Address
    exchanges: dict[str, Exchange]
    window: int
    reconnect_first_s: float
    reconnect_most_s: float
    observer: Guarded | None = None
    log: Log = logging.Logger.log
    on_heard: Callable[[], None] = field(default=lambda: None, compare=False)


class Link:
    """One connection over its reconnects.

    Args:
        loop: the running loop; every method must be called on its thread.
        settings: see there.
        on_settled: gets what was settled, each job that was given to :meth:`publish` once.
        on_confirmed: gets a job that was given to :meth:`expect` and confirmed as expected; called last of all.
        on_joined: gets one that was not: from here on it is as one that was given to :meth:`publish`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: LinkSettings,
        *,
        on_settled: Callable[[list[Settled[Job]]], None],
        on_confirmed: Callable[[Job], None],
        on_joined: Callable[[Job], None],
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._on_settled = on_settled
        self._on_confirmed = on_confirmed
        self._on_joined = on_joined
        self._ledger: Ledger[Job] = Ledger(settings.window)
        self._connection: Session | None = None  # dialling, open, or closing
        self._host = 0  # which of the hosts is connected to, or was last
        self._refusing: set[int] = set()  # hosts that said no for good, when they were asked last
        self._ready = False  # the publishing channel is open and confirms
        self._declaring_open = False  # the other channel is open
        self._declaring: str | None = None  # one declaration at a time: then a refusal names its exchange
        self._failures = 0  # connections in a row that never came to a channel
        self._retry: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._lone: tuple[Job, int] | None = None  # written with that tag while nothing else was under way
        self._quiet = False  # nothing was done here since a lone message was confirmed
        self._lent: tuple[Loan, Session] | None = None
        self._closing = False
        self._closed = asyncio.Event()
        self._teller = ConnectionTeller(settings.observer, settings.log)
        self.blocked: str | None = None
        """Why the broker takes no messages at present; None: it does. Any thread may look."""

    @property
    def is_ready(self) -> bool:
        """Whether it can be published on. Any thread may look."""
        return self._ready

    @property
    def trouble(self) -> tuple[float, str] | None:
        """When, on :func:`time.monotonic`, and why the latest connection ended or failed. Any thread may look."""
        return self._teller.trouble

    @property
    def load(self) -> int:
        """How much is under way here: messages without a fate, and writes without an answer."""
        return max(self._ledger.unsettled, self._ledger.unconfirmed) + (self._lone is not None)

    def publish(self, job: Job) -> None:
        """Take in a job; its deadline is on the loop's clock. Call :meth:`pump` after a run of these."""
        self.join()
        message = job.message
        job.link = self
        job.entry = self._ledger.publish(job, message.message_id, message.exchange, job.deadline)

    def write_alone(self, message: Message) -> bool:
        """Write a message, if nothing else is under way here and that can be done at once; whether it was.

        Call :meth:`expect` with its job before anything else. It costs half the time of :meth:`publish`: all that is
        kept of it is the one answer that is expected. Whatever else happens first, the ledger adopts it before.
        """
        session, ledger = self._connection, self._ledger
        if session is None:
            return False
        if self._quiet and session.as_expected and message.exchange in ledger.declared_exchanges:
            pass  # all is as it was when the one before was written
        elif not (self._is_quiet(session) and ledger.is_idle(message.exchange)):
            return False
        frames = session.connection.message(_PUBLISHING, message.address, message.header, message.body)
        if frames is None:
            return False
        self._quiet = False
        ledger.write_alone()
        session.send(frames)
        return True

    def _is_quiet(self, session: Session) -> bool:
        """Whether the connection could take a message at once, and nobody is amid anything."""
        if not (self._lone is None and self._ready and session.writable and session.is_open):
            return False
        return session.connection.is_between(_PUBLISHING)

    def expect(self, job: Job) -> None:
        """Take in the job of the message that was just written; its deadline is on the loop's clock."""
        tag = self._ledger.next_tag - 1
        job.link = self
        self._lone = (job, tag)
        session = self._connection
        if session is not None:
            session.expect(session.connection.confirm_of(_PUBLISHING, tag))
        if job.deadline < self._timer_at:
            self._set_timer(job.deadline)

    @property
    def lone(self) -> Job | None:
        """The job that is expected to be confirmed; None: there is none, or it has joined the others."""
        return None if self._lone is None else self._lone[0]

    def join(self) -> None:
        """The lone message, if there is one, is not alone any more, or not as expected."""
        self._quiet = False
        if self._lone is None:
            return
        (job, tag), self._lone = self._lone, None
        if self._connection is not None:
            self._connection.expect(None)
        self._on_joined(job)
        self._adopt(job, tag)

    def cancel(self, job: Job, reason: str) -> bool:
        """Settle a job now: as unknown if it was written, else it never is. Returns whether it was written."""
        self.join()
        written = job.entry is not None and job.entry.doubts > 0
        if job.entry is not None:
            self._ledger.cancel(job.entry, reason)
            self.pump()
        return written

    def pump(self) -> None:
        """Do all that can be done now: hand out fates, connect, declare, write, and set the timer."""
        ledger = self._ledger
        if events := ledger.settled():
            self._on_settled(events)
        connection = self._connection
        if connection is not None:
            if self._ready and connection.is_open:
                self._declare_next(connection)
                self._write(connection)
        elif self._retry is None and ledger.unsettled and not self._closing:
            self._connect()
        deadline = ledger.next_deadline()
        if deadline is not None and deadline < self._timer_at:
            self._set_timer(deadline)

    async def close(self) -> None:
        """Give up on what is not settled, close the connection in order, and wait for its end."""
        self._closing = True
        self.join()
        self._ledger.close("the publisher was closed")
        self.pump()
        for handle in (self._retry, self._timer):
            if handle is not None:
                handle.cancel()
        if self._connection is None:
            return
        self._connection.close()
        await self._closed.wait()

    def abort(self, reason: str) -> None:
        """End the connection without a word to the broker; what was unconfirmed on it is written again."""
        self._ready = self._quiet = False  # nothing more is written on it until its end is told
        if self._connection is not None:
            self._connection.abort(reason)

    # --- lending ----------------------------------------------------------------------------------

    def lend(self, give_back: Callable[[Loan], None], *, shared: bool) -> Loan | None:
        """Lend the connection, if nothing is under way on it; until :meth:`end_loan` nothing may be asked of it.

        Args:
            give_back: called by threads that have ended the loan, or find it wanted; see there.
            shared: to several threads, by a :class:`SharedLoan`.
        """
        session, ledger = self._connection, self._ledger
        exchanges = frozenset(ledger.declared_exchanges)
        if session is None or not (self._ready and session.is_open and session.connection.is_between(_PUBLISHING)):
            return None
        if self._lone is not None or not any(map(ledger.is_idle, exchanges)):
            return None
        handle = session.lend()
        if handle is None:
            return None
        kind = partial(SharedLoan, window=self._settings.window) if shared else Loan
        loan = kind(
            handle,
            channel=_PUBLISHING,
            tag=ledger.next_tag,
            exchanges=exchanges,
            frame_max=session.connection.frame_max,
            give_back=give_back,
        )
        self._lent = (loan, session)
        return loan

    def end_loan(self, loan: Loan, burden: Burden) -> None:
        """Go on with the messages that a loan has, which has ended; where the connection has not, with that too."""
        session: Session | None = None
        if self._lent is not None and self._lent[0] is loan:
            session, self._lent = self._lent[1], None
        goes_on = session is not None and session is self._connection and session.is_open
        if goes_on:
            self._ledger.skip_to(loan.tag)
        self.adopt(burden, with_tags=goes_on)
        if session is not None:
            if loan.broken is not None:
                self._ready = False  # nothing more is written on it
            session.take_back(loan.unsent, loan.received)
            if loan.broken is not None:
                self.abort(loan.broken)
        loan.close()
        self.pump()

    def adopt(self, burden: Burden, *, with_tags: bool = False) -> None:
        """Take in what others had under way, on this connection, or on one that is lost; then call :meth:`pump`."""
        for tag, job in burden.written:
            self._adopt(job, tag if with_tags else None)
        for job in burden.unwritten:
            self.publish(job)

    # --- connecting -------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._retry = None
        address = self._settings.address
        host, port = address.hosts[self._host]
        self._teller.dialling(host, port)
        self._connection = Session(
            self._loop, address, host, port,
            on_events=self._on_events, on_end=self._on_end, on_writable=self.pump, on_expected=self._on_expected,
            on_heard=self._settings.on_heard,
        )  # fmt: skip

    def _on_expected(self) -> None:
        """The lone message was confirmed."""
        if self._lone is not None:
            job, _ = self._lone
            self._lone = None
            self._quiet = True
            self._on_confirmed(job)

    def _adopt(self, job: Job, tag: int | None) -> None:
        self._quiet = False
        message = job.message
        job.link = self
        job.entry = self._ledger.adopt(job, message.message_id, message.exchange, job.deadline, tag)

    def _on_events(self, events: list[Event]) -> None:
        self.join()
        ledger = self._ledger
        for event in events:
            if isinstance(event, Confirmed):
                if event.nack:
                    ledger.nack(event.tag, multiple=event.multiple)
                else:
                    ledger.ack(event.tag, multiple=event.multiple)
            elif isinstance(event, Returned):
                ledger.returned(event.message_id, event.text)
            else:
                self._on_change(event)
        self.pump()

    def _on_change(self, event: Event) -> None:
        """Something has happened to the connection or a channel."""
        ledger = self._ledger
        match event:
            case Opened():
                self._open_publishing()
            case Selected():
                self._failures = 0
                self._ready = True
                ledger.opened()
                self._teller.connected()
            case Declared():
                if self._declaring is not None:
                    ledger.declared(self._declaring)
                    self._declaring = None
            case ChannelClosed(channel, code, text):
                self._on_channel_closed(channel, code, f"the broker closed the channel: ({code}) {text.rstrip('.')}")
            case Blocked(reason):
                ledger.blocked(reason)
                self.blocked = reason
                self._teller.blocked(reason)
            case Unblocked():
                ledger.unblocked()
                self.blocked = None
                self._teller.unblocked()

    def _open_publishing(self) -> None:
        if self._connection is not None:
            self._connection.connection.open_channel(_PUBLISHING)
            self._connection.connection.select_confirms(_PUBLISHING)

    def _on_end(self, end: End) -> None:
        """The connection has ended: connect again, after a pause if each host has had its turn, if something waits."""
        self.join()
        self._ready = self._declaring_open = False  # before anybody hears of it, who may ask for the health
        closed = end.closed
        in_order = self._closing and closed is None
        self._teller.disconnected(end.reason, in_order=in_order, unconfirmed=self._ledger.unconfirmed)
        permanent = closed is not None and closed.code not in _TRANSIENT_CODES
        hosts = len(self._settings.address.hosts)
        refusal = _refusal(end)
        if refusal is None:
            self._refusing.discard(self._host)
        else:
            self._refusing.add(self._host)
        if refusal is not None and len(self._refusing) == hosts:
            self._refusing.clear()  # for the next message each is asked anew
            if end.refused:
                self._failures = hosts - 1  # who is told at once need not wait longer each time
            self._ledger.refused(refusal)
        elif not end.opened:
            self._ledger.trouble(refusal or f"can't connect: {end.reason}")
        elif closed is None or not permanent:
            self._ledger.lost(end.reason)
        elif self._declaring is not None and closed.class_id == _EXCHANGE_CLASS:
            self._ledger.exchange_refused(self._declaring, end.reason)  # such as an unknown exchange type
            self._ledger.lost(end.reason)
        else:
            self._ledger.poisoned(end.reason)
            self._ledger.lost(end.reason)
        self._connection = None
        self._declaring = self.blocked = self._lent = None
        if self._closing:
            self._closed.set()
            return
        self._host = (self._host + 1) % hosts
        self._failures += 1
        if self._failures % hosts:
            self._retry = self._loop.call_later(0.0, self._after_pause)
        else:
            settings = self._settings
            doublings = min(self._failures // hosts - 1, 30)
            pause_s = min(settings.reconnect_most_s, settings.reconnect_first_s * 2.0**doublings)
            pause_s *= random.uniform(0.5, 1.0)
            self._teller.pausing(pause_s, self._failures)
            self._retry = self._loop.call_later(pause_s, self._after_pause)
        self.pump()

    def _after_pause(self) -> None:
        self._retry = None
        self.pump()

    # --- on the channels --------------------------------------------------------------------------

    def _write(self, session: Session) -> None:
        ledger, publish = self._ledger, session.connection.publish
        unsent = 0
        while session.writable and (job := ledger.write()) is not None:
            message = job.message
            if publish(_PUBLISHING, message.address, message.header, message.body):
                unsent += len(message.body) + 1
                if unsent > _ONE_WRITE_BYTES:  # before more is taken for written than the socket takes
                    session.flush()
                    unsent = 0
            else:
                most = session.connection.frame_max
                ledger.unwritten(
                    f"its properties do not fit into a frame of {most} bytes, which is agreed with the broker"
                )
                self._loop.call_soon(self.pump)
        if unsent:
            session.flush()

    def _on_channel_closed(self, channel: int, code: int, reason: str) -> None:
        self._teller.channel_closed(reason, self._declaring if channel == _DECLARING else None)
        if channel == _DECLARING:
            self._declaring_open = False
            if self._declaring is not None:
                self._ledger.exchange_refused(self._declaring, reason)
                self._declaring = None
            return
        self._ready = False
        if code in _TRANSIENT_CODES:
            self.abort(reason)  # with the pause before the next connection
        else:
            self._ledger.poisoned(reason)
            self._open_publishing()

    def _declare_next(self, session: Session) -> None:
        """On a channel of its own, so that a refusal does not end the publishing one."""
        waiting = self._ledger.undeclared
        if "" in waiting:  # the broker's default exchange, which is always there
            self._ledger.declared("")
            waiting = self._ledger.undeclared
        if not waiting or self._declaring is not None:
            return
        self._declaring = name = waiting[0]
        exchange = self._settings.exchanges[name]
        if not self._declaring_open:
            self._declaring_open = True
            session.connection.open_channel(_DECLARING)
        session.connection.declare(
            _DECLARING,
            name,
            exchange.type,
            passive=exchange.passive,
            durable=exchange.durable,
            arguments=exchange.arguments,
        )
        session.flush()

    # --- time -------------------------------------------------------------------------------------

    def _set_timer(self, deadline: float) -> None:
        """Wake at the next deadline; an earlier timer is left to fire and set the next one."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self.join()
        self._ledger.tick(self._loop.time())
        self.pump()


def _refusal(end: End) -> str | None:
    """Why a host will not have us, however long we wait; None: it may yet."""
    if end.opened:
        return None
    closed = end.closed
    if closed is not None and closed.code not in _TRANSIENT_CODES and "limit" not in closed.text:
        return f"the broker refused the connection: ({closed.code}) {closed.text.rstrip('.')}"
    return end.reason if end.refused else None
