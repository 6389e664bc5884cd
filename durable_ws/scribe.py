"""Writes the log of the I/O thread on a thread of its own, so that no lock of :mod:`logging` can hold the I/O up."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

__all__ = ["Log", "Scribe"]

_log = logging.getLogger("durable_ws.connection")
_MOST_LINES = 10_000  # that wait: some megabytes

Log = Callable[..., None]
"""Writes one line: the logger, and what :meth:`logging.Logger.log` takes."""


class Scribe:
    """A thread that writes log lines, in the order in which they came.

    A signal handler may interrupt the main thread while it holds a lock of :mod:`logging` (that of a handler in the
    midst of a line, or the one of all loggers), and publish. Were the I/O thread to wait for that lock, each of the two
    would wait for the other. Here the scribe waits, and nobody for it. Where it waits for long, for a handler that
    hangs, lines are left out, and their number is told.
    """

    def __init__(self) -> None:
        self._left_out = self._told = 0
        self._lines: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="durable_ws log", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # it may have begun, if it is of a signal handler
            self.end()
            raise

    def log(self, logger: logging.Logger, level: int, text: str, *arguments: Any, **options: Any) -> None:
        """Have a line written; never waits, also in a signal handler. Lost after :meth:`end`."""
        if self._lines.qsize() >= _MOST_LINES:
            self._left_out += 1
            return
        self._lines.put(lambda: logger.log(level, text, *arguments, **options))

    def end(self) -> None:
        """Have the thread end once it has written what it has; does not wait."""
        self._lines.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended, at most so many seconds: who waits may hold the lock that it needs."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (write := self._lines.get()) is not None:
            with contextlib.suppress(Exception):  # of a filter of the program's: it costs the line, and no more
                write()
                self._tell_what_is_missing()

    def _tell_what_is_missing(self) -> None:
        missing = self._left_out - self._told
        if missing:
            self._told += missing
            text = "%d lines of the log were left out, as it took them too slowly"
            _log.warning(text, missing, extra={"event": "left_out", "lines": missing})
