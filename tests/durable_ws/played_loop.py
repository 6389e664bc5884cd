"""An event loop that is only played: the test says when each timer comes, and nothing is waited for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["PlayedLoop", "PlayedTask", "Timer"]


class Timer:
    """What a loop gives for a ``call_at``."""

    def __init__(self, at: float, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        assert callable(callback)
        self.at = at
        self._callback = callback
        self._arguments = arguments
        self.over = False

    def cancel(self) -> None:
        """It never comes."""
        self.over = True

    def fire(self) -> None:
        """Its time has come."""
        assert not self.over
        self.over = True
        self._callback(*self._arguments)


class PlayedTask:
    """What a loop gives for a ``create_task``; the test says how the task goes, or runs ``work`` itself."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self.work = work
        self.asked_to_stop = False
        self.error: BaseException | None = None
        self._done: Callable[[Any], None] | None = None

    def cancel(self) -> None:
        """As a task is cancelled: soon."""
        self.asked_to_stop = True

    def add_done_callback(self, done: Callable[[Any], None]) -> None:
        """For :meth:`end`."""
        self._done = done

    def cancelled(self) -> bool:
        """As a task says it."""
        return self.asked_to_stop

    def exception(self) -> BaseException | None:
        """As a task says it."""
        return self.error

    def end(self) -> None:
        """It is done, however it was."""
        assert self._done is not None
        self._done(self)


class PlayedLoop:
    """A clock that goes on only with the timers, and a list of these."""

    def __init__(self) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], object]] = []
        """What was asked for by ``call_soon``."""
        self.tasks: list[PlayedTask] = []
        self._timers: list[Timer] = []

    def time(self) -> float:
        """See asyncio."""
        return self.now

    def call_at(self, at: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        """See asyncio."""
        self._timers.append(Timer(at, callback, arguments))
        return self._timers[-1]

    def call_later(self, delay_s: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        """See asyncio."""
        return self.call_at(self.now + delay_s, callback, *arguments)

    def call_soon(self, callback: Callable[[], object]) -> None:
        """See asyncio."""
        self.soon.append(callback)

    def create_task(self, work: Coroutine[Any, Any, None]) -> PlayedTask:
        """See asyncio."""
        self.tasks.append(PlayedTask(work))
        return self.tasks[-1]

    @property
    def delays(self) -> list[float]:
        """In how many seconds each timer comes that may still come, in the order in which they were set."""
        return [round(timer.at - self.now, 6) for timer in self._timers if not timer.over]

    def fire(self, index: int = 0) -> None:
        """The time of one of these has come."""
        timer = [timer for timer in self._timers if not timer.over][index]
        self.now = max(self.now, timer.at)
        timer.fire()
