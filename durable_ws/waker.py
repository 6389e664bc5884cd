"""Wakes the loop of the I/O thread from other threads, for less than :meth:`asyncio.loop.call_soon_threadsafe` takes.

That one makes a handle and a context for each call, and its loop reads until there is nothing more to read; at each of
these reads the I/O thread lets go of the interpreter, for which all who were just told wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from durable_ws.interrupts import is_of_the_call
from durable_ws.loop import tell

__all__ = ["Waker"]

_RECEIVE_BYTES = 4096  # what more has come, the loop tells of again


class Waker:
    """Made before the loop runs, and closed once it does so no more.

    Args:
        loop: of the I/O thread.
        on_woken: called there, once or more after each :meth:`wake`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_woken: Callable[[], None]) -> None:
        self._loop = loop
        self._on_woken = on_woken
        self._hears, self._says = socket.socketpair()
        self._hears.setblocking(False)
        self._says.setblocking(False)
        with contextlib.suppress(OSError):  # on Windows these are TCP, and a byte would wait for the last one's answer
            self._says.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add_reader(self._hears, self._on_readable)

    def wake(self) -> None:
        """Any thread may call it, and a signal handler amid it; once it is closed, nothing happens."""
        try:
            self._says.send(b"\0")
        except OSError as exc:
            if not is_of_the_call(exc):
                raise
            if not isinstance(exc, BlockingIOError):  # which means: there is much that the loop has not read yet
                tell(self._loop, self._on_woken)  # the system has no room for a byte, or it is closed

    def close(self) -> None:
        """Once the loop does not run any more, and before it is closed.

        In this order, or a thread that is amid :meth:`wake` might find that nobody reads, which is a SIGPIPE for some.
        (Should it find another socket under the number of this one, that gets a byte; asyncio's own has the same gap.)
        """
        self._loop.remove_reader(self._hears)
        self._says.close()
        self._hears.close()

    def _on_readable(self) -> None:
        with contextlib.suppress(BlockingIOError):  # select(2): "may report readable, and a read blocks nevertheless"
            self._hears.recv(_RECEIVE_BYTES)
        self._on_woken()
