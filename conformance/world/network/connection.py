"""One proxied connection: two pumps that ask the link's fault about every piece."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from conformance.faults.base import PASS, Action, Cut, Delay, Direction, Hold, Piece, Trickle, Vanish
from conformance.world.network.taps import Tap

if TYPE_CHECKING:
    from conformance.world.network.proxy import LinkProxy

__all__ = ["ProxiedConnection"]

_CHUNK_BYTES = 64 * 1024
_CONNECT_S = 10.0
_MOST_QUEUED = 1024  # pieces on their way over a link with latency, before it pushes back

_Queue = asyncio.Queue[tuple[float, bytes, Trickle | None, asyncio.Event]]
"""When to write (on the loop's clock), what, whether in segments, and what is set once the fault has ended: then it
is written at once and as a whole."""


class ProxiedConnection:
    """Implements :class:`conformance.faults.base.Connection`. Lives on the network's loop."""

    def __init__(
        self,
        proxy: LinkProxy,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tap: Tap,
    ) -> None:
        self.number = number
        self.over = asyncio.Event()
        self._proxy = proxy
        self._tap = tap
        self._readers: dict[Direction, asyncio.StreamReader] = {"to_broker": reader}
        self._writers: dict[Direction, asyncio.StreamWriter] = {"to_client": writer}
        self._silent: set[Direction] = set()
        self._over: set[Direction] = set()
        self._ended = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._broker_ends = False  # it was cut behind bytes that pass to the broker, which ends by itself

    @property
    def ended(self) -> bool:
        """Whether it is over, but for what a side has still to take."""
        return self._ended.is_set()

    # --- what a fault may do ---------------------------------------------------------------------

    def cut(self, *, reset: bool) -> None:
        """See :meth:`Connection.cut`."""
        for writer in self._writers.values():
            _end(writer, reset=reset)
        self._ended.set()

    def cut_soon(self, delay_s: float, *, reset: bool, then: Callable[[], None]) -> None:
        """See :meth:`Connection.cut_soon`."""
        active = self._proxy.active

        def cut() -> None:
            if self._proxy.active is active and not self._ended.is_set():
                self.cut(reset=reset)
                then()
                active.look()

        self._soon = asyncio.get_running_loop().call_later(delay_s, cut)

    def silence(self, directions: Collection[Direction]) -> None:
        """See :meth:`Connection.silence`."""
        self._silent.update(directions)

    # --- the pumps -------------------------------------------------------------------------------

    async def run(self, target: tuple[str, int]) -> None:
        """Connect to the target and pass bytes on until both sides have ended or the connection is cut.

        Returns once both sockets are closed: a side that is sent an orderly end first has to take what it was sent, and
        a broker that is cut behind bytes for it has to end.
        """
        cut = asyncio.create_task(self._ended.wait())
        try:
            if await self._connect(target, cut):
                await self._pump_both(cut)
                await self._discard()
            else:
                self.cut(reset=True)
        finally:
            cut.cancel()
            if self._soon is not None:
                self._soon.cancel()
            self.cut(reset=False)
            await asyncio.gather(*(writer.wait_closed() for writer in self._writers.values()), return_exceptions=True)
            self.over.set()

    def abort(self) -> None:
        """Close both sockets now, even if a side has not yet taken all that it was sent. Call after ``cut``."""
        for writer in self._writers.values():
            writer.transport.abort()

    async def _connect(self, target: tuple[str, int], cut: asyncio.Task[Any]) -> bool:
        connecting = asyncio.create_task(asyncio.open_connection(*target))
        await asyncio.wait({connecting, cut}, timeout=_CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
        connecting.cancel()  # nothing, if it is done
        await asyncio.wait({connecting})
        if connecting.cancelled() or connecting.exception() is not None:
            return False
        self._readers["to_client"], self._writers["to_broker"] = connecting.result()
        for stream in self._writers.values():
            with contextlib.suppress(OSError):  # it has gone again already
                stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True

    async def _pump_both(self, cut: asyncio.Task[Any]) -> None:
        pumps = [asyncio.create_task(self._pump("to_broker")), asyncio.create_task(self._pump("to_client"))]
        pumping: set[asyncio.Task[Any]] = set(pumps)
        try:
            while pumping and not cut.done():
                done, _ = await asyncio.wait({cut, *pumping}, return_when=asyncio.FIRST_COMPLETED)
                pumping -= done
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, direction: Direction) -> None:
        """Read, ask the fault, queue; what is delayed waits in the queue while reading goes on."""
        queue: _Queue = asyncio.Queue(_MOST_QUEUED)
        writing = asyncio.create_task(self._write_queued(direction, queue))
        reader = self._readers[direction]
        reset = False
        try:
            while True:
                try:
                    data = await reader.read(_CHUNK_BYTES)
                except OSError:
                    data, reset = b"", True
                for piece in self._tap.feed(direction, data):
                    await self._pass(direction, piece, queue)
                if not data:
                    break
            await self._pass(direction, Piece(self._tap.rest(direction), ("end",)), queue)
            await _drained(queue, writing)
        finally:
            writing.cancel()
            await asyncio.wait({writing})
        self._over.add(direction)
        if direction not in self._silent:
            self._pass_end(direction, reset=reset)

    async def _pass(self, direction: Direction, piece: Piece, queue: _Queue) -> None:
        """Do with one piece what the fault says."""
        if self._ended.is_set() or direction in self._silent:
            return
        active = self._proxy.active
        action: Action = active.acting.act(self, direction, piece)
        if not isinstance(action, Cut):
            active.look()
        if isinstance(action, Hold):
            await active.released.wait()
            action = PASS
        if isinstance(action, Vanish) or direction in self._silent:
            return
        now = asyncio.get_running_loop().time()
        if isinstance(action, Cut):
            passed = piece.data[: action.pass_bytes]
            if action.pass_bytes is None:
                self._record(piece)
            await queue.put((now, passed, None, active.released))
            await queue.join()
            self._cut_behind(direction, reset=action.reset)
            active.look()
            return
        self._record(piece)
        due = now + action.delay_s if isinstance(action, Delay) else now
        await queue.put((due, piece.data, action if isinstance(action, Trickle) else None, active.released))

    def _record(self, piece: Piece) -> None:
        """Before it is written: what follows from a frame must not stand before it in the history."""
        for event_type, fields in piece.seen:
            self._proxy.record(event_type, fields)

    async def _write_queued(self, direction: Direction, queue: _Queue) -> None:
        loop, writer = asyncio.get_running_loop(), self._writers[direction]
        back: Direction = "to_client" if direction == "to_broker" else "to_broker"
        while True:
            due, data, trickle, released = await queue.get()
            if due > loop.time():
                await _pause(due - loop.time(), released)
            with contextlib.suppress(OSError):
                if writer.is_closing():
                    pass  # the far side has gone: its own pump says so, unless it had seen the end before
                elif trickle is None:
                    writer.write(data)
                    await writer.drain()
                else:
                    await _trickle(writer, data, trickle, released)
            queue.task_done()
            if writer.is_closing() and back in self._over and back not in self._silent:
                self.cut(reset=True)

    def _pass_end(self, direction: Direction, *, reset: bool) -> None:
        """One side has ended: so does the other, in the same way."""
        if reset:
            self.cut(reset=True)
            return
        with contextlib.suppress(OSError, RuntimeError):
            self._writers[direction].write_eof()

    def _cut_behind(self, direction: Direction, *, reset: bool) -> None:
        """Cut with bytes on their way: the side they went to gets an orderly end, which discards none of them."""
        for way, writer in self._writers.items():
            if way != direction:
                _end(writer, reset=reset)
            elif way == "to_broker":
                with contextlib.suppress(OSError, RuntimeError):  # it has gone by itself
                    writer.write_eof()
                self._broker_ends = True
            else:
                _end(writer, reset=False)
        self._ended.set()

    async def _discard(self) -> None:
        """Read on from a broker that was sent bytes and an end, until it ends, too.

        To close a socket that has something unread, or to which something comes later, is to reset it (RFC 1122,
        4.2.2.13), and who is reset may lose what it has not read yet. (A client is better off with a reset: it may go
        on to write for long before it reads.)
        """
        if self._broker_ends:
            with contextlib.suppress(OSError):
                while await self._readers["to_client"].read(_CHUNK_BYTES):
                    pass


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """End one side, once."""
    if writer.transport.is_closing():
        return
    if reset:
        with contextlib.suppress(OSError):
            # SO_LINGER with no time: closing sends a reset (tcp(7), socket(7)).
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


async def _trickle(writer: asyncio.StreamWriter, data: bytes, trickle: Trickle, released: asyncio.Event) -> None:
    for start in range(0, len(data), trickle.segment_bytes):
        if released.is_set():
            writer.write(data[start:])
            await writer.drain()
            return
        segment = data[start : start + trickle.segment_bytes]
        writer.write(segment)
        await writer.drain()
        # Even without a pause the loop must turn, or the segments leave as one.
        await _pause(trickle.pause_s * len(segment) / trickle.segment_bytes, released)


async def _pause(seconds: float, released: asyncio.Event) -> None:
    """Sleep, but not beyond the end of the fault."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    with contextlib.suppress(TimeoutError):
        # Not wait_for(): before Python 3.12 it swallows a cancellation that comes with what it waits for.
        async with asyncio.timeout(seconds):
            await released.wait()


async def _drained(queue: _Queue, writing: asyncio.Task[None]) -> None:
    """Wait until the queue is written, or the writer has failed."""
    joined = asyncio.create_task(queue.join())
    try:
        await asyncio.wait({joined, writing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        joined.cancel()
        await asyncio.wait({joined})
