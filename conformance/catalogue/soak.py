"""A soak: searches one after the other until the time is up, that go on after a violation.

Each new cause is shrunk and replayed once; from then on it is counted. Nothing is retried away: what was violated once
is a violation, with k of n replays beside it. Memory does not grow with time: of a play only counts stay, of a
violation's cause one scenario with its verdict; histories are on disk, and go as soon as nobody needs them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from conformance.catalogue.found import Causes, name_of, ways_of
from conformance.catalogue.generated import Budget, Rounds, Search, replayed, search
from conformance.contract.duration import text_of
from conformance.engine.play import Played
from conformance.scenario.coverage import Coverage
from conformance.scenario.steps import Scenario

__all__ = ["KeepSmallest", "Soak", "SoakProgress", "soak"]

_SHRINK_SHARE = 0.1
"""Of the soak's time, at most, for shrinking one cause."""
_MOST_BROKEN = 20
"""Plays in a row that raise end a soak: the broker is gone, or the disk is full."""


@dataclass(slots=True, kw_only=True)
class Soak:
    """What a soak did and found; ``total`` sums up its searches."""

    total: Search = field(default_factory=Search)
    causes: Causes = field(default_factory=Causes)


KeepSmallest = Callable[[Scenario, Played], Any]
"""Keeps the smallest of a new cause on disk; what it returns becomes the cause's ``files``."""


def soak(
    rounds: Rounds,
    play: Callable[[Scenario], Played],
    *,
    run_seed: int,
    budget: Budget,
    stop: Callable[[], bool] = lambda: False,
    on_play: Callable[[Played], object] = lambda _: None,
    on_drawn: Callable[[Played], object] = lambda _: None,
    causes: Causes | None = None,
    keep_smallest: KeepSmallest = lambda _, __: None,
    discard: Callable[[Played], object] = lambda _: None,
) -> Soak:
    """Search until ``budget.generate_s`` is over.

    Args:
        rounds: what is drawn from.
        play: plays one scenario.
        run_seed: fixes what is drawn.
        budget: how long; shrinking a cause takes a tenth of it at most.
        stop: asked before each play; True ends the soak.
        on_play: called after each play, replays left out.
        on_drawn: called after each play of a fresh draw.
        causes: takes in what is violated; None: one that keeps nothing on disk.
        keep_smallest: called with the smallest of each new cause.
        discard: called with each violated play that was kept for the shrinker and is not needed any more.
    """
    told = Soak(causes=Causes() if causes is None else causes)
    ends = time.monotonic() + budget.generate_s
    number = broken = 0
    while (left_s := ends - time.monotonic()) > 0 and not stop():
        once = search(
            rounds,
            play,
            run_seed=run_seed,
            budget=replace(budget, generate_s=left_s, shrink_s=min(budget.shrink_s, budget.generate_s * _SHRINK_SHARE)),
            stop=stop,
            on_play=on_play,
            on_drawn=on_drawn,
            on_violation=told.causes.take,
            wants=told.causes.wants,
            same=told.causes.same,
            first_round=number,
        )
        number += once.rounds
        _sum_up(told.total, once)
        if once.found is not None:
            told.causes.shrunk(
                *once.found,
                replays=once.replayed,
                again=once.again,
                first_steps=once.first_steps,
                files=keep_smallest(*once.found),
            )
            for played in once.spare:
                discard(played)
        if once.broke is None:
            broken = 0
        else:
            broken += 1
            told.total.played["inconclusive"] += 1
            told.total.inconclusive[f"a play broke off: {once.broke}"] += 1
            if broken >= _MOST_BROKEN:
                told.total.broke = once.broke
                break
    for cause in [*told.causes]:
        if not cause.replayed:  # met while another was shrunk, and never again
            cause.replayed, _, again = replayed(play, cause.scenario, budget.replays, stop, told.causes.take)
            cause.failed_again = again[cause.broke]
    return told


def _sum_up(total: Search, once: Search) -> None:
    total.played.update(once.played)
    total.seconds.extend(once.seconds)
    total.spent_s += once.spent_s
    total.confirmed += once.confirmed
    total.inconclusive.update(once.inconclusive)
    total.rounds += once.rounds


class SoakProgress:
    """Tells now and then how far a soak is. Safe for threads: several checks report to one.

    Args:
        lasts_s: how long the soak is to last.
        coverage: of all its checks.
        tell: takes a line.
        every_s: the least time between two lines.
        clock: seconds, never falling.
    """

    def __init__(
        self,
        lasts_s: float,
        coverage: Coverage,
        tell: Callable[[str], object],
        *,
        every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lasts_s = lasts_s
        self._coverage = coverage
        self._tell = tell
        self._every_s = every_s
        self._clock = clock
        self._began = self._told_at = clock()
        self._lock = threading.Lock()
        self._plays = 0
        self._violated: Counter[str] = Counter()

    def drawn(self, played: Played) -> None:
        """A fresh draw was played: it alone counts, for a step of shrinking shows again what is known."""
        with self._lock:
            self._plays += 1
            self._violated.update(map(name_of, ways_of(played.verdict)))
        self.look()

    def look(self) -> None:
        """Tell how far it is, if it is time to."""
        with self._lock:
            now = self._clock()
            if now - self._told_at >= self._every_s:
                self._told_at = now
                self._tell(self.line(now - self._began))

    def line(self, elapsed_s: float) -> str:
        """How far it is: elapsed and left, scenarios and their rate, coverage, violations."""
        left_s = max(0.0, self._lasts_s - elapsed_s)
        rate = self._plays / elapsed_s if elapsed_s else 0.0
        found = ", ".join(f"{name} {count}" for name, count in self._violated.most_common(3))
        return (
            f"soak: {text_of(round(elapsed_s))} gone, {text_of(round(left_s))} left, {self._plays} plays "
            f"({rate:.1f}/s), {self._coverage.share():.1%} of pairs, "
            + (f"violated: {found}" if found else "none violated")
        )
