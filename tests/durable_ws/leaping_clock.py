"""An asyncio loop whose clock leaps to the next timer instead of waiting for it: seconds cost nothing and are exact."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class _Leaping(selectors.SelectSelector):
    """Never waits; a wait is time that has gone by."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("the loop would wait for ever: nothing is due")
        self.now += timeout
        return super().select(0)


class LeapingLoop(asyncio.SelectorEventLoop):
    """Its clock begins at 0."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        """The played seconds."""
        return self._leaping.now


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run it on such a loop; a wait for what never comes is an error at once."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(coroutine)
