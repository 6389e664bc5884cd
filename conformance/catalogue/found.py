"""What searches find: an entry for each kind and cause of violation, also for one that only comes beside a graver one.

Memory does not grow with the number of plays: of an entry stays one scenario with its verdict; histories are on disk.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from conformance.checker.verdict import Kind, Tally, Verdict, Violation
from conformance.engine.play import Played
from conformance.scenario.steps import Scenario

__all__ = ["Broke", "Cause", "Causes", "How", "Keep", "name_of", "ways_of"]

How = Literal["drawn", "shrinking", "replay"]
"""How a play came about: from a fresh draw, as a step of shrinking another, or as a replay."""

Broke: TypeAlias = tuple[Kind, str]
"""A kind of violation and its cause."""

_MOST_VIOLATIONS = 3
"""Of each cause are told."""

_NAMED = 5
"""So many causes stand in a summary, with how many more there are."""


_UNNAMED: tuple[Broke, ...] = (("lost", "unexplained"),)
"""What a violated verdict is filed under that names nothing: a violation is never dropped for want of a name."""


def ways_of(verdict: Verdict) -> tuple[Broke, ...]:
    """Every kind and cause of a verdict's violations, the gravest kind first; none where it is not violated."""
    if verdict.verdict != "violated":
        return ()
    return tuple(dict.fromkeys((entry.kind, entry.cause) for entry in verdict.tally)) or _UNNAMED


def name_of(broke: Broke) -> str:
    """As a file's name may have it: ``lost-max-length``."""
    return "-".join(broke)


@dataclass(slots=True, kw_only=True)
class Cause:
    """Violations of one kind with one cause.

    Attributes:
        broke: kind and cause.
        scenario: the smallest that showed it; until there is one, the first.
        verdict: of that scenario's violated play, all of it.
        seen: in how many drawn scenarios.
        beside: in how many plays that were a step of shrinking, or a replay.
        first_steps: the number of steps of the first that failed.
        failed_again, replayed: in how many of how many replays of the smallest it showed again.
        shrunk: whether the scenario is a smallest one.
        kept: how many plays' histories were kept.
        files: where the scenario and the history are, if they were kept.
    """

    broke: Broke
    scenario: Scenario
    verdict: Verdict
    seen: int = 0
    beside: int = 0
    first_steps: int = 0
    failed_again: int = 0
    replayed: int = 0
    shrunk: bool = False
    kept: int = 0
    files: Any = None

    @property
    def name(self) -> str:
        """``kind-cause``."""
        return name_of(self.broke)

    @property
    def is_intermittent(self) -> bool:
        """Whether some replay passed: it is a violation all the same."""
        return self.failed_again < self.replayed

    @property
    def count(self) -> int:
        """How many such violations its play had."""
        return sum(entry.count for entry in self.verdict.tally if (entry.kind, entry.cause) == self.broke)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a check's evidence."""
        return {
            "cause": self.name,
            "seen": self.seen,
            "seen_while_shrinking": self.beside,
            "replays": self.replayed,
            "replays_violated": self.failed_again,
            "intermittent": self.is_intermittent,
            "steps_at_first": self.first_steps,
            "steps": len(self.scenario.steps),
            "summary": self.verdict.summary,
        }


Keep = Callable[[Cause, Scenario, Played, bool], Any]
"""Keeps a violating play on disk at once, under the first of its causes; the flag says whether the search still needs
its file. What it returns becomes the ``files`` of its causes; None: it was not kept."""


class Causes:
    """Takes in violated plays, and says which is worth shrinking.

    Args:
        keep: called with the first few plays of each cause as they happen.
        most_kept: so many of each.
        discard: called with a violated play that nobody needs any more.
        accepted: what of a verdict the contract accepts: it is filed like the rest, and not shrunk.
    """

    def __init__(
        self,
        *,
        keep: Keep = lambda _, __, ___, ____: None,
        most_kept: int = 3,
        discard: Callable[[Played], object] = lambda _: None,
        accepted: Callable[[Verdict], Collection[Broke]] = lambda _: (),
    ) -> None:
        self.by_way: dict[Broke, Cause] = {}
        """In the order in which they were found. There are as many as the checker knows kinds and causes, at most."""
        self._keep = keep
        self._most_kept = most_kept
        self._discard = discard
        self._accepted = accepted
        self._target: Broke | None = None

    def __iter__(self) -> Iterator[Cause]:
        return iter(self.by_way.values())

    def __len__(self) -> int:
        return len(self.by_way)

    def wants(self, played: Played) -> bool:
        """Whether a drawn play that is violated is to be shrunk: something of it has not been, and is not accepted."""
        done = {way for way, cause in self.by_way.items() if cause.shrunk}.union(self._accepted(played.verdict))
        self._target = next((way for way in ways_of(played.verdict) if way not in done), None)
        return self._target is not None

    @property
    def target(self) -> str:
        """The name of what is being shrunk, or was last; empty: nothing was."""
        return "" if self._target is None else name_of(self._target)

    def same(self, played: Played) -> bool:
        """Whether a violated play shows what is being shrunk."""
        return self._target in ways_of(played.verdict)

    def take(self, scenario: Scenario, played: Played, how: How, needed: bool) -> None:
        """File a violated play under every kind and cause of it.

        Args:
            scenario: what was played.
            played: how it went.
            how: why it was played.
            needed: whether its history stays where it is until :meth:`shrunk` (or :meth:`discard`) has it.
        """
        causes = [self._filed(way, scenario, played, how) for way in ways_of(played.verdict)]
        most = self._most_kept if how == "drawn" else 1
        wanting = next((cause for cause in causes if cause.kept < most), None)
        if wanting is not None:
            wanting.kept += 1
            files = self._keep(wanting, scenario, played, needed)
            for cause in causes:
                cause.kept = max(cause.kept, 1)
                cause.files = cause.files or files
        if not needed:
            self._discard(played)

    def _filed(self, way: Broke, scenario: Scenario, played: Played, how: How) -> Cause:
        cause = self.by_way.get(way)
        if cause is None:
            cause = Cause(broke=way, scenario=scenario, verdict=played.verdict, first_steps=len(scenario.steps))
            self.by_way[way] = cause
        if how == "drawn":
            cause.seen += 1
        else:
            cause.beside += 1
        return cause

    def shrunk(
        self, scenario: Scenario, played: Played, *, replays: int, again: Counter[Broke], first_steps: int, files: Any
    ) -> None:
        """The smallest of what was being shrunk: of every cause that shows in it, which has none yet.

        Args:
            scenario: the smallest.
            played: its violated play.
            replays: how often it was replayed.
            again: in how many of these each kind and cause showed again.
            first_steps: of the first that failed.
            files: where it was kept; None: it was not.
        """
        for way in ways_of(played.verdict):
            cause = self.by_way[way]
            if cause.shrunk:
                continue
            cause.scenario, cause.verdict, cause.shrunk = scenario, played.verdict, True
            cause.replayed, cause.failed_again = replays, again[way]
            cause.files = files or cause.files
            if way == self._target:
                cause.first_steps = first_steps

    def first(self) -> Cause | None:
        """The one to tell first: one that was shrunk, the earliest of them; None: nothing was found."""
        return next((cause for cause in self if cause.shrunk), next(iter(self), None))

    @property
    def verdict(self) -> Verdict | None:
        """Every cause in one verdict, the one to tell first in front; None: nothing was violated."""
        first = self.first()
        if first is None:
            return None
        causes = [first, *(cause for cause in self if cause is not first)]
        return replace(
            first.verdict,
            summary=self._summary(causes),
            violations=tuple(itertools.chain.from_iterable(_own(cause) for cause in causes)),
            tally=tuple(Tally(kind=cause.broke[0], cause=cause.broke[1], count=cause.count) for cause in causes),
        )

    @staticmethod
    def _summary(causes: list[Cause]) -> str:
        """That of the one play where there is one cause, else all causes by how often each came."""
        if len(causes) == 1:
            return causes[0].verdict.summary
        told = [f"{cause.broke[0]} ({cause.broke[1]}) {_times(cause)}" for cause in causes[:_NAMED]]
        more = [f"and {len(causes) - _NAMED} more"] if len(causes) > _NAMED else []
        return f"{len(causes)} causes: {'; '.join([*told, *more])}"


def _own(cause: Cause) -> Sequence[Violation]:
    """The first violations of this kind and cause."""
    own = [one for one in cause.verdict.violations if (one.kind, one.cause) == cause.broke]
    return own[:_MOST_VIOLATIONS]


def _times(cause: Cause) -> str:
    if not cause.seen:
        return "while another was shrunk or replayed"
    return f"in {cause.seen} scenario{'s' * (cause.seen != 1)}"
