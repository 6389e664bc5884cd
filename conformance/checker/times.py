"""Times: distributions of latencies, and how long a tab took to recover."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass

from conformance.checker.verdict import Distribution, Recovery

__all__ = ["MOST_SAMPLES", "CatchUp", "Healing", "distribution"]

MOST_SAMPLES = 200
"""Of more latencies than that, a distribution keeps so many, at even ranks."""


def distribution(latencies_ns: array[int]) -> Distribution | None:
    """The distribution of latencies given in nanoseconds (nearest rank); None for none at all."""
    if not latencies_ns:
        return None
    ordered = sorted(latencies_ns)

    def at(percent: int) -> float:
        return ordered[(len(ordered) - 1) * percent // 100] / 1e6

    count = len(ordered)
    kept = min(count, MOST_SAMPLES)
    ranks = (number * (count - 1) // max(kept - 1, 1) for number in range(kept))
    return Distribution(
        count=count,
        min_ms=at(0),
        median_ms=at(50),
        p95_ms=at(95),
        p99_ms=at(99),
        max_ms=at(100),
        sample_ms=tuple(round(ordered[rank] / 1e6, 3) for rank in ranks),
    )


@dataclass(slots=True, eq=False)
class Healing:
    """A recovery under way: the fault's end and, in nanoseconds since the run began, what followed."""

    fault: str
    target: str
    tab: str | None
    index: int
    healed_ns: int
    back_ns: int | None = None
    caught_up_ns: int | None = None

    def recovery(self) -> Recovery:
        """What the verdict says of it."""
        back, caught_up = (
            None if at is None else (at - self.healed_ns) / 1e9 for at in (self.back_ns, self.caught_up_ns)
        )
        return Recovery(
            fault=self.fault, target=self.target, tab=self.tab, index=self.index, back_s=back, caught_up_s=caught_up
        )


class CatchUp:
    """When one tab has caught up after each of its recoveries, in constant time a step.

    What a tab is owed is counted by generation; each return from a fault opens the next one. A return has caught up
    once no generation up to its own holds anything that is still owed.
    """

    __slots__ = ("_away", "_back", "_oldest", "_owed")

    def __init__(self) -> None:
        self._owed = [0]
        self._oldest = 0
        self._away: list[Healing] = []
        self._back: deque[tuple[int, Healing]] = deque()

    def owe(self) -> int:
        """One more is owed. Returns its generation, for ``settle``."""
        self._owed[-1] += 1
        return len(self._owed) - 1

    def settle(self, generation: int, now_ns: int) -> None:
        """One that was owed is owed no more."""
        self._owed[generation] -= 1
        if generation == self._oldest:
            self._advance(now_ns)

    def healed(self, healing: Healing, *, subscribed: bool) -> None:
        """A fault is over; ``subscribed``: the tab outlived it."""
        self._away.append(healing)
        if subscribed:
            self.returned(healing.healed_ns)

    def returned(self, now_ns: int) -> None:
        """The tab is subscribed (again)."""
        if not self._away:
            return
        for healing in self._away:
            healing.back_ns = now_ns
            self._back.append((len(self._owed) - 1, healing))
        self._away.clear()
        self._owed.append(0)
        self._advance(now_ns)

    def _advance(self, now_ns: int) -> None:
        while self._oldest < len(self._owed) - 1 and not self._owed[self._oldest]:
            self._oldest += 1
        while self._back and self._back[0][0] < self._oldest:
            self._back.popleft()[1].caught_up_ns = now_ns
