"""A session: one AMQP connection on one socket of an asyncio loop, from dialling to its end.

It moves bytes between the socket and :class:`durable_ws.amqp.connection.Connection`, one write for all that is to be
said at once, keeps the heart-beat and the time limits, and tells its end exactly once, whatever brought it about.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from durable_ws.address import Address
from durable_ws.amqp.connection import Connection
from durable_ws.amqp.events import Blocked, ClosedByBroker, ClosedInOrder, Event, Failed, Opened, Unblocked

__all__ = ["End", "Session"]

_RECEIVE_BYTES = 32 * 1024
_FAREWELL_S = 1.0  # for a peer that has ended the conversation to take our last word


@dataclass(frozen=True, slots=True)
class End:
    """How a session ended.

    Attributes:
        reason: in one line, in the broker's words where they are its.
        opened: whether the connection was open for use before.
        closed: the broker's connection.close, where it sent one.
        refused: trying on would not help, as the peer can't be trusted or does not offer what is asked for.
    """

    reason: str
    opened: bool
    closed: ClosedByBroker | None = None
    refused: bool = False


class Session(asyncio.BufferedProtocol):
    """One connection; it begins to dial at once. All of it runs on the loop's thread.

    Args:
        loop: the running loop.
        address: how to connect.
        host, port: which of the address's hosts.
        on_events: gets what the broker says, in its order; what it asks of ``connection`` meanwhile is sent at once.
        on_end: called once, last of all.
        on_writable: called when the socket takes data again after ``writable`` was False.
        on_expected: called when what is expected has come, see :meth:`expect`.
        on_heard: called last of all, once what the broker said is dealt with; not after ``on_expected``.
    """

    def __init__(  # noqa: PLR0913, RUF100
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        host: str,
        port: int,
        *,
        on_events: Callable[[list[Event]], None],
        on_end: Callable[[End], None],
        on_writable: Callable[[], None],
        on_expected: Callable[[], None],
        on_heard: Callable[[], None],
    ) -> None:
        self.connection = Connection(address.offer())
        self._buffer = memoryview(bytearray(_RECEIVE_BYTES))
        self.writable = True
        """Whether the socket keeps up; what is published while it does not, waits here instead of being sent."""
        self._loop = loop
        self._address = address
        self._where = f"{host}:{port}"
        self._on_events = on_events
        self._on_end = on_end
        self._on_writable = on_writable
        self._on_expected = on_expected
        self._on_heard = on_heard
        self._expected: bytes | None = None
        self.as_expected = False
        """Whether it is writable, and since what was expected has come nothing has happened but what the owner did."""
        self._lent: socket.socket | None = None
        self._transport: asyncio.Transport | None = None
        self._opened = False
        self._reason: str | None = None  # what ended it, where that is known before the socket tells
        self._refused = False
        self._closed: ClosedByBroker | None = None
        self._ended = False
        self._ticking: asyncio.TimerHandle | None = None
        self._blocked_limit: asyncio.TimerHandle | None = None
        self._limit: asyncio.TimerHandle | None = loop.call_later(address.stack_timeout, self._on_limit)
        self._dialling: asyncio.Task[None] | None = loop.create_task(self._dial(host, port))
        self._dialling.add_done_callback(self._on_dialled)

    @property
    def is_open(self) -> bool:
        """Whether the connection is open for use."""
        return self.connection.is_open and not self._ended

    def flush(self) -> None:
        """Send what the connection has to say."""
        data = self.connection.take()
        if data and self._transport is not None:
            self._transport.write(data)

    def send(self, data: bytes) -> None:
        """Send bytes from :meth:`Connection.message`, of an open connection."""
        assert self._transport is not None  # noqa: S101 - it is open
        self._transport.write(data)

    def expect(self, data: bytes | None) -> None:
        """If these very bytes come next, ``on_expected`` is called instead of ``on_events``; None: nothing is expected.

        They are whole frames, and the connection must be between frames.
        """
        self._expected = data

    def lend(self) -> socket.socket | None:
        """Another handle of the socket, for who reads and writes in place of the session until :meth:`take_back`.

        None: not this one (TLS), or not now, as there is something to send.
        """
        self.flush()
        transport = self._transport
        if transport is None or self._lent is not None or not self.writable:  # as it is not once it has ended
            return None
        if transport.get_extra_info("ssl_object") is not None or transport.get_write_buffer_size():
            return None
        try:
            self._lent = transport.get_extra_info("socket").dup()
        except OSError:  # too many open files
            return None
        transport.pause_reading()
        return self._lent

    def take_back(self, unsent: bytes, received: bytes) -> None:
        """Go on after :meth:`lend`, with what could not be sent meanwhile, and what was received and not dealt with."""
        self._lent = None
        if self._transport is None or self._ended:
            return
        self.connection.conversed()
        if unsent:
            self._transport.write(unsent)
        self._transport.resume_reading()
        if received:
            self._receive(received)

    def close(self) -> None:
        """End in order, with a word to the broker; where there is nobody yet to say it to, at once."""
        if not self.connection.is_open or self._lent is not None:
            self.abort("the publisher was closed")
            return
        self.connection.close()
        self.flush()

    def abort(self, reason: str) -> None:
        """End at once, without a word."""
        self._because(reason)
        self._shut()
        if self._transport is not None:
            self._transport.abort()
        elif self._dialling is not None:
            self._dialling.cancel()

    # --- asyncio's protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)
        if self._reason is not None:  # it was given up in the meantime
            self._transport.abort()
            return
        raw = transport.get_extra_info("socket")
        for name, value in self._address.tcp_options.items():
            if name.startswith("TCP_KEEP"):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio gives it
        """See :class:`asyncio.BufferedProtocol`.

        A plain :class:`asyncio.Protocol` would have a quarter of a megabyte allocated and given back for each confirm.
        """
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See :class:`asyncio.BufferedProtocol`."""
        connection = self.connection
        expected, self._expected = self._expected, None
        if expected is not None and self._buffer[:nbytes] == expected:
            connection.heard()
            self.as_expected = self.writable
            self._on_expected()
            return
        self._receive(bytes(self._buffer[:nbytes]))
        self._on_heard()

    def _receive(self, data: bytes) -> None:
        self.as_expected = False
        connection = self.connection
        events = connection.receive(data)
        if not self._opened or connection.is_dead:
            self._look(events)
        elif self._address.blocked_connection_timeout is not None:
            self._watch_blocking(events)
        if events:
            self._on_events(events)
        self.flush()
        if connection.is_dead and self._transport is not None and self._limit is None:
            self._transport.close()
            self._limit = self._loop.call_later(_FAREWELL_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._end(self._reason or (_describe(exc) if exc else "the peer closed the connection without a word"))

    def pause_writing(self) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self.writable = self.as_expected = False

    def resume_writing(self) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self.writable = True
        self._on_writable()

    # --- inside -----------------------------------------------------------------------------------

    async def _dial(self, host: str, port: int) -> None:
        tls = self._address.ssl_options
        try:
            async with asyncio.timeout(self._address.socket_timeout):
                if tls is None:
                    await self._loop.create_connection(lambda: self, host, port)
                else:
                    name = tls.server_hostname or host
                    await self._loop.create_connection(lambda: self, host, port, ssl=tls.context, server_hostname=name)
        except TimeoutError:
            self._end(self._reason or f"timeout, no connection to {self._where} in {self._address.socket_timeout:g} s")
        except ssl.SSLCertVerificationError as exc:
            self._refused = True
            self._end(f"the broker's certificate can't be trusted: {exc.verify_message}")
        except (OSError, ValueError) as exc:  # ValueError: a name that can't be one
            self._end(self._reason or f"{_describe(exc)} ({self._where})")

    def _on_dialled(self, dialling: asyncio.Task[None]) -> None:
        self._dialling = None
        if dialling.cancelled():
            self._end(self._reason or "the loop was stopped")
        elif (error := dialling.exception()) is not None:
            self._end(f"{_describe(error)} ({self._where})")

    def _look(self, events: list[Event]) -> None:
        """Note what ends the connection, and that it is open."""
        for event in events:
            match event:
                case Opened():
                    self._opened = True
                    self._drop_limits()
                    if self.connection.tick_every_s:
                        self._ticking = self._loop.call_later(self.connection.tick_every_s, self._tick)
                case ClosedByBroker(code, text):
                    self._closed = event
                    self._drop_limits()
                    self._because(f"the broker closed the connection: ({code}) {text.rstrip('.')}")
                case ClosedInOrder():
                    self._because("the publisher was closed")
                case Failed(reason, refused):
                    self._refused = refused
                    self._drop_limits()
                    self._because(reason if self._opened else f"{reason} ({self._where})")
        if self._address.blocked_connection_timeout is not None:
            self._watch_blocking(events)

    def _watch_blocking(self, events: list[Event]) -> None:
        limit_s = self._address.blocked_connection_timeout or 0.0
        for event in events:
            if isinstance(event, Blocked | Unblocked) and self._blocked_limit is not None:
                self._blocked_limit.cancel()
            if isinstance(event, Blocked):
                reason = f"the broker has blocked publishers for {limit_s:g} s ({event.reason})"
                self._blocked_limit = self._loop.call_later(limit_s, self.abort, reason)

    def _tick(self) -> None:
        if self._lent is not None:  # whoever has it says and hears enough
            self.connection.conversed()
        self._look(self.connection.tick())
        self.flush()
        if self.connection.is_dead and self._transport is not None:
            self.as_expected = False
            self._transport.abort()
        elif self.connection.is_open:
            self._ticking = self._loop.call_later(self.connection.tick_every_s, self._tick)

    def _on_limit(self) -> None:
        self._limit = None
        self.abort(f"timeout, no AMQP connection to {self._where} in {self._address.stack_timeout:g} s")

    def _shut(self) -> None:
        """Whoever has the socket is to hear of the end."""
        if self._lent is not None:
            with contextlib.suppress(OSError):  # it has ended already
                self._lent.shutdown(socket.SHUT_RDWR)

    def _because(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason

    def _drop_limits(self) -> None:
        for handle in (self._limit, self._ticking, self._blocked_limit):
            if handle is not None:
                handle.cancel()
        self._limit = self._ticking = self._blocked_limit = None

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        self.writable = False
        self._shut()
        self._drop_limits()
        self._on_end(End(reason, self._opened, self._closed, self._refused))


def _describe(error: BaseException) -> str:
    """One line of a system's error; asyncio's own text leaves out what the system says."""
    if isinstance(error, ssl.SSLError):
        return f"SSL: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        with contextlib.suppress(ValueError, OverflowError):
            return f"[Errno {error.errno}] {os.strerror(error.errno)}"
    text = str(error).strip()
    return text or type(error).__name__
