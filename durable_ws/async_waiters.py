"""The tasks that wait for outcomes, and when they go on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

__all__ = ["Waiters"]

_T = TypeVar("_T")


class Waiters:
    """Wakes the tasks of one loop; all of it runs on the loop's thread.

    asyncio wakes a task in the loop's next turn, and what it publishes then would be written in the turn after. Before
    each of these turns the loop asks the system what else there is, while the broker stands idle. So who is told what
    the broker has said goes on at the end of the callback that has heard it, by :meth:`go_on`. Whoever has not by then,
    as that raised something, or as it was another callback in which he was told, goes on in the loop's next turn.

    Args:
        loop: of the tasks.
        on_woken: called when those who were told have gone on to their next wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_woken: Callable[[], None]) -> None:
        self.loop = loop
        self._on_woken = on_woken
        self._told: deque[tuple[Callable[[Any], object], Any, Context]] = deque()
        self._due = False  # the loop will call _in_next_turn

    def wake(self, wake: Callable[[_T], object], told: _T, context: Context) -> None:
        """Have ``wake(told)`` called in a context; see the class."""
        self._told.append((wake, told, context))
        if not self._due:
            self._call_soon()

    def wake_now(self, wake: Callable[[_T], object], told: _T, context: Context) -> None:
        """Call ``wake(told)`` in a context at once; for a callback of the loop that has nothing left to do."""
        try:
            context.run(wake, told)
        except BaseException as exc:  # noqa: BLE001 - see _end
            self._end(exc)

    def go_on(self) -> None:
        """Wake who was told by now; the last that a callback of the loop does."""
        if self._told:
            self._wake_all()

    def _wake_all(self) -> None:
        told = self._told
        count = len(told)  # not those who are told by them
        try:
            while told and count:  # one of them may run the loop meanwhile, which wakes the others
                count -= 1
                wake, one, context = told.popleft()
                context.run(wake, one)
                del wake, one, context  # as an error that was told has this frame among those of its traceback
        except BaseException as exc:  # noqa: BLE001 - see _end
            self._call_soon()
            self._end(exc)
        else:
            self._on_woken()

    def _call_soon(self) -> None:
        self.loop.call_soon(self._in_next_turn)
        self._due = True

    def _in_next_turn(self) -> None:
        self._due = False
        self._wake_all()

    def _end(self, error: BaseException) -> None:
        """Have the loop end with KeyboardInterrupt or SystemExit: one that is not asyncio's own takes it for a failed
        connection if it comes out."""
        if isinstance(self.loop, asyncio.BaseEventLoop):
            raise error
        self.loop.call_soon(_raise, error)


def _raise(error: BaseException) -> None:
    raise error
