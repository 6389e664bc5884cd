"""What is told on standard error while a run is under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich import progress as rich_progress
from rich.console import Console
from rich.text import Text

from conformance.catalogue.result import CheckResult
from conformance.report.console import make_console
from conformance.report.plain import plain
from conformance.report.view import VERDICT_WORDS, span

__all__ = ["Progress"]

_EVERY_S = 10.0


class Progress:
    """A bar on a terminal, a line now and then without one, nothing where it is not enabled.

    Use it as a context manager. Its methods may be called from any thread. A check that is not certified is told at
    once, in a line that stays.

    Args:
        enabled: False prints nothing at all (``--quiet``, ``--json``).
        console: where to; None: standard error.
        clock: seconds, never falling.
    """

    def __init__(
        self, *, enabled: bool = True, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._enabled = enabled
        self._console = console or make_console(stderr=True)
        self._clock = clock
        self._began = self._said_at = clock()
        self._lock = threading.RLock()
        self._total: int | None = None
        self._waiting: dict[str, None] = {}
        self._done = 0
        self._stopped = False
        self._bar: rich_progress.Progress | None = None
        self._task = rich_progress.TaskID(0)
        if enabled and self._console.is_terminal:
            self._bar = rich_progress.Progress(
                rich_progress.SpinnerColumn(),
                rich_progress.BarColumn(bar_width=24),
                rich_progress.MofNCompleteColumn(),
                rich_progress.TimeElapsedColumn(),
                rich_progress.TextColumn("{task.description}", markup=False),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, total: int, names: Sequence[str] = ()) -> None:
        """The checks begin.

        Args:
            total: how many there are.
            names: their ids in the order in which they are awaited, to tell what runs; empty: the last one done is
                told instead.
        """
        with self._lock:
            self._total = total
            self._waiting = dict.fromkeys(names)
            if self._bar is not None:
                self._bar.update(self._task, total=total)
            self.phase(self._now("checking"))

    def phase(self, text: str) -> None:
        """Something new begins: ``starting the broker``."""
        with self._lock:
            if self._bar is not None:
                self._bar.update(self._task, description=plain(text))
            else:
                self._say(text)

    def check_done(self, result: CheckResult) -> None:
        """A check is over."""
        with self._lock:
            self._done += 1
            self._waiting.pop(result.id, None)
            if result.verdict != "certified":
                self._say(f"{VERDICT_WORDS[result.verdict]} {result.id}: {result.summary}")
            if self._bar is not None:
                last = f"{result.id} {VERDICT_WORDS[result.verdict]}"
                self._bar.update(self._task, completed=self._done, description=plain(self._now(last)))
            elif self._clock() - self._said_at >= _EVERY_S or self._done == self._total:
                self._say(self._now(""))

    def stop(self) -> None:
        """Take the bar away. Safe to call twice."""
        with self._lock:
            if self._bar is not None and not self._stopped:
                self._bar.stop()
            self._stopped = True

    def _now(self, otherwise: str) -> str:
        """The check that runs; ``otherwise`` where its name is not known."""
        return next(iter(self._waiting), otherwise)

    def _say(self, text: str) -> None:
        if not self._enabled:
            return
        self._said_at = self._clock()
        where = "" if self._total is None else f"{self._done} of {self._total} checks, "
        if self._bar is not None:
            self._bar.console.print(Text(plain(text)), soft_wrap=True)
        else:
            told = f"[{where}{span(self._said_at - self._began)}] {plain(text)}".rstrip()
            self._console.print(Text(told), soft_wrap=True)
