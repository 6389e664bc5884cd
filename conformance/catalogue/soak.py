"""A soak: searches one after the other until the time is up, that go on after a violation.

Each new cause is shrunk and replayed once; from then on it is counted. Nothing is retried away: what was violated once
is a violation, with k of n replays beside it. Memory does not grow with time: of a play only counts stay, of a
violation's cause one scenario with its verdict; histories are on disk.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from conformance.catalogue.generated import Budget, Rounds, Search, replayed, search
from conformance.checker.verdict import Tally, Verdict
from conformance.contract.duration import text_of
from conformance.engine.play import Played
from conformance.scenario.coverage import Coverage
from conformance.scenario.steps import Scenario

__all__ = ["Cause", "Keep", "Soak", "SoakProgress", "cause_of", "soak"]

_SHRINK_SHARE = 0.1
"""Of the soak's time, at most, for shrinking one cause."""
_MOST_CAUSES = 100
_MOST_VIOLATIONS = 3
"""Of each cause are told."""
_MOST_BROKEN = 20
"""Plays in a row that raise end a soak: the broker is gone, or the disk is full."""


@dataclass(slots=True, kw_only=True)
class Cause:
    """Violations of one kind with one cause.

    Attributes:
        name: ``kind-cause``.
        seen: in how many scenarios, shrinking and replays not counted.
        scenario: the smallest that failed; None: it has not been shrunk yet.
        verdict: of the scenario's failing play.
        first_steps: the number of steps of the first that failed.
        failed_again, replayed: k of n replays of the smallest.
        shrunk: whether it was.
        files: where the smallest's scenario and history are, if they were kept.
    """

    name: str
    seen: int = 0
    scenario: Scenario | None = None
    verdict: Verdict | None = None
    first_steps: int = 0
    failed_again: int = 0
    replayed: int = 0
    shrunk: bool = False
    files: Any = None

    @property
    def is_intermittent(self) -> bool:
        """Whether some replay passed: it is a violation all the same."""
        return self.failed_again < self.replayed

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a check's evidence."""
        return {
            "cause": self.name,
            "seen": self.seen,
            "replays": self.replayed,
            "replays_violated": self.failed_again,
            "intermittent": self.is_intermittent,
            "steps_at_first": self.first_steps,
            "steps": len(self.scenario.steps) if self.scenario is not None else None,
            "summary": self.verdict.summary if self.verdict is not None else "",
        }


@dataclass(slots=True, kw_only=True)
class Soak:
    """What a soak did and found; ``total`` sums up its searches."""

    total: Search = field(default_factory=Search)
    causes: dict[str, Cause] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict | None:
        """Every cause in one verdict, the first that was found first; None: nothing was violated."""
        found = [cause.verdict for cause in self.causes.values() if cause.verdict is not None]
        if not found:
            return None
        tally: Counter[tuple[Any, str]] = Counter()
        for verdict in found:
            for entry in verdict.tally:
                tally[entry.kind, entry.cause] += entry.count
        return replace(
            found[0],
            violations=tuple(chain.from_iterable(verdict.violations[:_MOST_VIOLATIONS] for verdict in found)),
            tally=tuple(Tally(kind=kind, cause=cause, count=count) for (kind, cause), count in tally.items()),
        )


Keep = Callable[[Cause, Scenario, Played], Any]
"""Keeps a violating play on disk at once; what it returns becomes the cause's ``files``."""


def cause_of(verdict: Verdict) -> str:
    """What a violation is filed under: the gravest kind and its cause."""
    return f"{verdict.tally[0].kind}-{verdict.tally[0].cause}" if verdict.tally else "violated"


def soak(
    rounds: Rounds,
    play: Callable[[Scenario], Played],
    *,
    run_seed: int,
    budget: Budget,
    stop: Callable[[], bool] = lambda: False,
    on_play: Callable[[Played], object] = lambda _: None,
    keep: Keep = lambda _, __, ___: None,
) -> Soak:
    """Search until ``budget.generate_s`` is over.

    Args:
        rounds: what is drawn from.
        play: plays one scenario.
        run_seed: fixes what is drawn.
        budget: how long; shrinking a cause takes a tenth of it at most.
        stop: asked before each play; True ends the soak.
        on_play: called after each play.
        keep: called with each violating play as it happens, and with the smallest of each new cause.
    """
    told = Soak()
    ends = time.monotonic() + budget.generate_s
    number = 0

    def is_new(scenario: Scenario, played: Played) -> bool:
        name = cause_of(played.verdict)
        fresh = name not in told.causes
        if fresh and len(told.causes) >= _MOST_CAUSES:
            name, fresh = next(reversed(told.causes)), False  # counted with the last one: memory stays bounded
            told.causes[name].shrunk = True
        cause = told.causes.setdefault(name, Cause(name=name, verdict=played.verdict, scenario=scenario))
        cause.seen += 1
        kept = keep(cause, scenario, played)
        cause.files = cause.files or kept
        if fresh:
            cause.first_steps = len(scenario.steps)
        return not cause.shrunk

    broken = 0
    while (left_s := ends - time.monotonic()) > 0 and not stop():
        once = search(
            rounds,
            play,
            run_seed=run_seed,
            budget=replace(budget, generate_s=left_s, shrink_s=min(budget.shrink_s, budget.generate_s * _SHRINK_SHARE)),
            stop=stop,
            on_play=on_play,
            on_violation=is_new,
            same=lambda played: cause_of(played.verdict),
            first_round=number,
        )
        number += once.rounds
        _sum_up(told.total, once)
        if once.found is not None:
            scenario, played = once.found
            cause = told.causes[cause_of(played.verdict)]
            cause.scenario, cause.verdict, cause.first_steps = scenario, played.verdict, once.first_steps
            cause.failed_again, cause.replayed, cause.shrunk = once.failed_again, once.replayed, True
            cause.files = keep(cause, scenario, played) or cause.files
        if once.broke is None:
            broken = 0
        else:
            broken += 1
            told.total.played["inconclusive"] += 1
            told.total.inconclusive[f"a play broke off: {once.broke}"] += 1
            if broken >= _MOST_BROKEN:
                break
    for cause in told.causes.values():
        if cause.scenario is not None and not cause.replayed:  # met while another was shrunk, and never again
            cause.replayed, cause.failed_again = replayed(play, cause.scenario, budget.replays, stop)
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

    def played(self, played: Played) -> None:
        """A scenario was played."""
        with self._lock:
            self._plays += 1
            if played.verdict.verdict == "violated":
                self._violated[cause_of(played.verdict)] += 1
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
