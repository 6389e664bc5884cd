"""Wakes the loop of the I/O thread from other threads, at half the price of :meth:`asyncio.loop.call_soon_threadsafe`.

That one makes a handle and a context for each call, and its loop reads until there is nothing more to read; at each of
these reads the I/O thread lets go of the interpreter, for which all who were just told wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

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
        loop.add_reader(self._hears, self._on_readable)

    def wake(self) -> None:
        """Any thread may call it, and a signal handler amid it; once it is closed, nothing happens."""
        try:
            self._says.send(b"\0")
        except OSError as exc:
            if exc.__traceback__ is not None and exc.__traceback__.tb_next is not None:
                raise  # it is none of the socket's, but comes out of a signal handler
            # else it is closed, or full of what the loop has not read yet, and will

    def close(self) -> None:
        """Before the loop is closed."""
        self._loop.remove_reader(self._hears)
        self._hears.close()
        self._says.close()

    def _on_readable(self) -> None:
        with contextlib.suppress(BlockingIOError):  # select(2): "may report readable, and a read blocks nevertheless"
            self._hears.recv(_RECEIVE_BYTES)
        self._on_woken()
