"""Signals that ask the program to end: the first ends it in good order, another one at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["INTERRUPTS", "Interrupted", "Interrupts"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_S = 1.0
"""A program that runs this one (tox, timeout, a shell) passes on what the terminal has sent already."""


_WAKE = signal.SIGURG
"""Nobody else's here, and ignored unless it is taken."""


class Interrupted(KeyboardInterrupt):
    """One of the signals came."""


class Interrupts:
    """What signals came, and whether they may cut off what is being done.

    Attributes:
        number: the first signal that came; None: none yet.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._at = 0.0
        self._held = False

    @property
    def exit_status(self) -> int:
        """130 for Ctrl-C; for another signal what a shell would say of a program that it ended."""
        return 128 + (self.number or signal.SIGINT)

    def take(self) -> None:
        """Take the signals from now on, but for those that the program was started to ignore (nohup, ``&``)."""
        self.number, self._held = None, False
        for number in _SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._take)
        _wake_main_thread()

    def hold(self) -> None:
        """All is done: from now on a first signal does nothing any more."""
        self._held = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is done inside is done whole: a first signal waits for its end (see ``number``)."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before

    def _take(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.number is None:
            self.number, self._at = number, now
            if not self._held:
                raise Interrupted
        elif now - self._at > _SAME_S:
            os._exit(self.exit_status)  # the brokers' supervisors see it, and leave nothing behind


def _wake_main_thread() -> None:
    """See to it that a signal reaches the main thread, where Python handles it, whichever thread the system gave it to.

    A main thread that waits for a lock (a check's result) would not notice one that another thread has got.
    """
    listen, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(_WAKE, lambda *_: None)
    before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    if before != -1:
        os.close(before)  # its thread ends

    def relay() -> None:
        while came := os.read(listen, 1):
            if came[0] != _WAKE:
                signal.pthread_kill(threading.main_thread().ident or 0, _WAKE)
        os.close(listen)

    threading.Thread(target=relay, name="signals", daemon=True).start()


INTERRUPTS = Interrupts()
"""The program's."""
