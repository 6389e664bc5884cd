"""A time axis to scale, but for long pauses in which nothing happens: each is cut to a stub that names its length."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

__all__ = ["BREAK", "Axis", "Break", "make_axis"]

BREAK: Final = 36
"""How wide a pause is that was cut."""

_MOST_BREAKS = 6
_LONG, _MUCH_LONGER = 0.3, 10
"""A pause is long if it takes this part of what is left to draw, and so many times as long as the median one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A pause that was cut: its middle on the axis, and how long it was."""

    x: float
    length_ns: int


@dataclass(frozen=True, slots=True)
class Axis:
    """Time to place: between two of ``times_ns`` it is to scale; outside of them it is held to the ends."""

    times_ns: list[int]
    xs: list[float]
    breaks: list[Break] = field(default_factory=list)

    def x(self, time_ns: int) -> float:
        """Where a moment is."""
        at = min(max(bisect_right(self.times_ns, time_ns) - 1, 0), len(self.times_ns) - 2)
        (t0, t1), (x0, x1) = self.times_ns[at : at + 2], self.xs[at : at + 2]
        part = (min(max(time_ns, t0), t1) - t0) / max(t1 - t0, 1)
        return round(x0 + part * (x1 - x0), 1)

    def time_ns(self, x: float) -> int:
        """Which moment is there."""
        at = min(max(bisect_right(self.xs, x) - 1, 0), len(self.xs) - 2)
        (t0, t1), (x0, x1) = self.times_ns[at : at + 2], self.xs[at : at + 2]
        return round(t0 + (x - x0) / max(x1 - x0, 1e-9) * (t1 - t0))

    def in_break(self, x: float) -> bool:
        """Whether a place is in a pause that was cut."""
        return any(abs(x - gap.x) < BREAK for gap in self.breaks)


def make_axis(moments_ns: Iterable[int], left: float, right: float) -> Axis:
    """The axis from the first of some moments to the last.

    Args:
        moments_ns: all at which something happens, in any order; at least one.
        left, right: where it begins and ends.
    """
    moments = sorted(set(moments_ns))
    if len(moments) == 1:
        moments.append(moments[0] + 1)
    rest_ns = moments[-1] - moments[0]
    cut: set[tuple[int, int]] = set()
    lengths_ns = sorted(later - earlier for earlier, later in itertools.pairwise(moments))
    least_ns = _MUCH_LONGER * lengths_ns[(len(lengths_ns) - 1) // 2]
    for gap in sorted(itertools.pairwise(moments), key=lambda gap: gap[0] - gap[1]):
        length_ns = gap[1] - gap[0]
        if length_ns < max(_LONG * rest_ns, least_ns) or len(cut) == _MOST_BREAKS:
            break
        cut.add(gap)
        rest_ns -= length_ns
    per_ns = (right - left - BREAK * len(cut)) / rest_ns
    xs, breaks = [left], []
    for gap in itertools.pairwise(moments):
        width: float = BREAK if gap in cut else (gap[1] - gap[0]) * per_ns
        if gap in cut:
            breaks.append(Break(x=round(xs[-1] + width / 2, 1), length_ns=gap[1] - gap[0]))
        xs.append(xs[-1] + width)
    return Axis(moments, xs, breaks)
