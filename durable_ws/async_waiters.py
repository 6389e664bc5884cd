"""The tasks that wait for outcomes, and when they go on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["Waiters"]

_T = TypeVar("_T")


class Waiters:
    """Wakes the tasks of one loop; all of it runs on the loop's thread.

    asyncio wakes a task in the loop's next turn, and what it publishes then would be written in the turn after. Before
    each of these turns the loop asks the system what else there is, while the broker stands idle. So who is told what
    the broker has said goes on within the callback that has heard it, once nothing else is left to do there::

        with waiters:  # the last that a callback of the loop does, outside of any task
            ...  # outcomes are told, and wake is called for each

    Where the block raises, or a task raises what ends the loop (KeyboardInterrupt, SystemExit), whoever has not gone on
    yet does so in the loop's next turn.

    Args:
        loop: of the tasks.
        on_woken: called when those who were told in a block have gone on to their next wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_woken: Callable[[], None]) -> None:
        self.loop = loop
        self._on_woken = on_woken
        self._hearing = False
        self._told: deque[tuple[Callable[[Any], object], Any, Context]] = deque()
        self.waking = False
        """Whether tasks go on at present; ``on_woken`` is called after them."""

    def wake(self, wake: Callable[[_T], object], told: _T, context: Context) -> None:
        """Have ``wake(told)`` called in a context: at the end of the block, and outside of one in the next turn."""
        if self._hearing:
            self._told.append((wake, told, context))
        else:
            self.loop.call_soon(wake, told, context=context)

    def wake_now(self, wake: Callable[[_T], object], told: _T, context: Context) -> None:
        """Call ``wake(told)`` in a context at once; for a callback of the loop that has nothing left to do."""
        try:
            context.run(wake, told)
        except BaseException as exc:  # noqa: BLE001 - see _end
            self._end(exc)

    def __enter__(self) -> None:
        self._hearing = True

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hearing = False
        if exc_type is not None:
            self._wake_in_next_turn()
        elif self._told:
            self._wake_now()

    def _wake_now(self) -> None:
        told = self._told
        self.waking = True
        try:
            while told:
                wake, one, context = told.popleft()
                context.run(wake, one)
        except BaseException as exc:  # noqa: BLE001 - see _end
            self.waking = False
            self._wake_in_next_turn()
            self.loop.call_soon(self._on_woken)
            self._end(exc)
        else:
            self.waking = False
            self._on_woken()

    def _end(self, error: BaseException) -> None:
        """Have the loop end with it: asyncio's own do if it comes out, others take it for a failed connection then."""
        if isinstance(self.loop, asyncio.BaseEventLoop):
            raise error
        self.loop.call_soon(_raise, error)

    def _wake_in_next_turn(self) -> None:
        while self._told:
            wake, one, context = self._told.popleft()
            self.loop.call_soon(wake, one, context=context)


def _raise(error: BaseException) -> None:
    raise error
