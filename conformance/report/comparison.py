"""Two certificates compared: what got better, worse or slower, and what is no longer checked. Pure.

Times are judged against the noise of repeated runs and not otherwise. Noise is learnt from the old runs alone: each is
held against the median of the others, check by check; a time counts as slower only where it lies outside the range that
the check itself had, and its ratio to the median is beyond what any check showed in any of the old runs, with a margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from conformance.report.certificate_file import Certificate, CheckEntry

__all__ = ["FEWEST_RUNS", "Change", "Comparison", "Difference", "LessCovered", "Slower", "compare"]

FEWEST_RUNS: Final = 3
"""So many old runs it takes to know what is noise."""

_MARGIN: Final = 1.25
"""What is slower must exceed the noise by this factor (of the logarithm of the ratio)."""

_LEAST_RATIO: Final = 1.3
"""Less is never told, however steady the old runs were."""

_LEAST_RATIO_OF_ALL: Final = 1.5
"""The same for the run as a whole: what else the machine has to do moves all checks at once."""

_SHOWN: Final = ("certified", "violated", "accepted")

_BROKEN: Final = ("violated", "accepted")

_MOST_MISSING: Final = 8
"""So many pairs that are not met any more are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A check whose verdict or causes changed; a verdict of None: it is not in that run."""

    id: str
    old: str | None
    new: str | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slower:
    """A time that left the noise. ``id`` None: the run as a whole, and the times are the median ratio to the old ones.

    ``ratio`` is new to old; ``noise`` the largest ratio that the old runs showed among themselves.
    """

    id: str | None
    what: str
    old: float
    new: float
    ratio: float
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something about the setup that is not the same."""

    what: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LessCovered:
    """The generated checks went less far than in any old run.

    Attributes:
        old, new: pairs met and pairs that can be, of the old run that met fewest, and now; None: nothing was drawn.
        scenarios_old, scenarios_new: how many scenarios these were met by.
        missing: the pairs that every old run met and the new one did not, the first few.
        more: how many more of these there are.
    """

    old: tuple[int, int]
    new: tuple[int, int] | None
    scenarios_old: int
    scenarios_new: int
    missing: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that is to be said.

    Attributes:
        better, worse: by verdict, or by the causes of what is violated, or accepted, in both.
        newly_accepted: certified once, an accepted deviation now; or violated, for no other causes.
        newly_unchecked: was shown to hold or not, and is not any more.
        newly_checked: the other way round, where it is no violation.
        unsteady: checks whose verdict differed between the old runs.
        slower, faster: beyond the noise.
        times_not_judged: why times could not be judged; None: they were.
        less_covered: that fewer pairs were met by what was drawn; None: it is not so. Chance and a slower machine
            move it, too, so it is told and no regression unless that is asked for.
        setup: what differs in contract, broker, publisher, client.
        same: how many checks are as they were.
    """

    better: tuple[Change, ...]
    worse: tuple[Change, ...]
    newly_accepted: tuple[Change, ...]
    newly_unchecked: tuple[Change, ...]
    newly_checked: tuple[Change, ...]
    unsteady: tuple[str, ...]
    slower: tuple[Slower, ...]
    faster: tuple[Slower, ...]
    times_not_judged: str | None
    less_covered: LessCovered | None
    setup: tuple[Difference, ...]
    same: int

    def regression(self, *, unchecked: bool = True, slower: bool = False, covered: bool = False) -> bool:
        """Whether something got worse; with the flags also where a check is missing, by times, by what was met."""
        return bool(
            self.worse
            or (unchecked and self.newly_unchecked)
            or (slower and self.slower)
            or (covered and self.less_covered)
        )


def compare(old: Sequence[Certificate], new: Certificate) -> Comparison:
    """Compare a run with one earlier run or with several repeated ones of the same setup (at least one)."""
    before = [{check.id: check for check in run.checks} for run in old]
    after = {check.id: check for check in new.checks}
    found: dict[str, list[Change]] = {
        "better": [], "worse": [], "newly_accepted": [], "newly_unchecked": [], "newly_checked": []
    }  # fmt: skip
    unsteady, same = [], 0
    for check_id in dict.fromkeys([*(one for run in before for one in run), *after]):
        earlier = [run[check_id] for run in before if check_id in run]
        if len({check.verdict for check in earlier}) > 1:
            unsteady.append(check_id)
        where, why = _changed(earlier, after.get(check_id))
        if where == "same":
            same += 1
            continue
        was, now = _of_all(earlier), after.get(check_id)
        found[where].append(Change(id=check_id, old=was, new=now.verdict if now else None, why=why))
    slower, faster, not_judged = _times(before, after)
    return Comparison(
        **{name: tuple(changes) for name, changes in found.items()},
        unsteady=tuple(unsteady),
        slower=tuple(slower),
        faster=tuple(faster),
        times_not_judged=not_judged,
        less_covered=_less_covered(old, new),
        setup=tuple(_setup(old[-1], new)),
        same=same,
    )


def _of_all(checks: Sequence[CheckEntry]) -> str | None:
    """One verdict for repeated runs: the gravest that was shown."""
    found = {check.verdict for check in checks}
    order = ("violated", "accepted", "certified", "inconclusive", "not_checked")
    return next((verdict for verdict in order if verdict in found), None)


def _changed(earlier: Sequence[CheckEntry], now: CheckEntry | None) -> tuple[str, str]:
    """Which list of the comparison a check belongs to (``same``: none), and why."""
    was = _of_all(earlier)
    shown_before, shown_now = was in _SHOWN, now is not None and now.verdict in _SHOWN
    if now is None or not shown_now:
        if not shown_before or not all(check.verdict in _SHOWN for check in earlier):
            return "same", ""  # what old runs did not always show either is told as unsteady
        return "newly_unchecked", now.summary if now is not None else "it is not in the new run"
    if now.verdict == "violated" and was != "violated":
        return "worse", now.summary
    if now.verdict in _BROKEN and was in _BROKEN:
        return _causes_changed(earlier, now, was)
    if was == "violated" and now.verdict == "certified":
        return ("better", "it holds") if all(check.verdict == "violated" for check in earlier) else ("same", "")
    if was == "certified" and now.verdict == "accepted":
        return "newly_accepted", now.accepted or ""
    if was == "accepted" and now.verdict == "certified":
        return "better", "it holds, and need not be accepted any more"
    return ("same", "") if shown_before else ("newly_checked", now.summary)


def _causes_changed(earlier: Sequence[CheckEntry], now: CheckEntry, was: str | None) -> tuple[str, str]:
    """Of a check that is broken in both: a cause that is new is worse, whether or not the contract accepts it."""
    known = {(entry.kind, entry.cause) for check in earlier for entry in check.tally}
    own = {(entry.kind, entry.cause) for entry in now.tally}
    accepted = now.verdict == "accepted"
    if news := own - known:
        return "worse", f"another cause{', accepted' if accepted else ''}: {_causes(news)}"
    if was == "violated" and accepted:
        return "newly_accepted", now.accepted or ""
    steady = all(check.verdict == now.verdict for check in earlier)
    if (gone := known - own) and steady and len(earlier) == 1:
        return "better", f"no longer: {_causes(gone)}"
    return "same", ""


def _causes(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{kind} ({cause})" for kind, cause in sorted(pairs))


# --- times -------------------------------------------------------------------------------------------------------

_Measure = Callable[[CheckEntry], float | None]

_MEASURES: Final[tuple[tuple[str, float, _Measure], ...]] = (
    ("seconds", 1.0, lambda check: check.times.seconds or None),
    ("confirm, median ms", 10.0, lambda check: check.times.confirm.median_ms if check.times.confirm else None),
    ("delivery, median ms", 10.0, lambda check: check.times.delivery.median_ms if check.times.delivery else None),
)
"""Name, the least difference that anybody would care for, and where it stands."""

_Run = Mapping[str, CheckEntry]


def _times(before: Sequence[_Run], after: _Run) -> tuple[list[Slower], list[Slower], str | None]:
    if len(before) < FEWEST_RUNS:
        runs = "one old run says" if len(before) == 1 else f"{len(before)} old runs say"
        return [], [], f"{runs} too little about noise; give at least {FEWEST_RUNS} runs of the old setup"
    slower: list[Slower] = []
    faster: list[Slower] = []
    for what, least, measure in _MEASURES:
        olds = _old_values(before, after, measure)
        if not olds:
            continue
        noise = max(_own_ratios(values) for values in olds.values()) * _MARGIN
        limit = max(noise, math.log(_LEAST_RATIO))
        for check_id, values in olds.items():
            middle, now = median(values), measure(after[check_id])
            if now is None or abs(now - middle) < least or min(values) <= now <= max(values):
                continue
            ratio = math.log(now / middle)
            if abs(ratio) > limit:
                told = Slower(
                    id=check_id, what=what, old=middle, new=now, ratio=now / middle, noise=math.exp(noise / _MARGIN)
                )
                (slower if ratio > 0 else faster).append(told)
        whole = _whole(what, olds, after, measure)
        if whole is not None:
            (slower if whole.ratio > 1 else faster).append(whole)
    return slower, faster, None


def _old_values(before: Sequence[_Run], after: _Run, measure: _Measure) -> dict[str, list[float]]:
    """Of each check that held in every run, its times in the old ones; what was drawn takes the time it is given."""
    found: dict[str, list[float]] = {}
    for check_id, now in after.items():
        checks = [run[check_id] for run in before if check_id in run]
        if len(checks) < len(before) or check_id.startswith("generated/"):
            continue
        values = [value for check in checks if (value := measure(check)) is not None and value > 0]
        held = all(check.verdict == "certified" for check in [*checks, now])
        if held and len(values) == len(before) and (measure(now) or 0) > 0:
            found[check_id] = values
    return found


def _own_ratios(values: Sequence[float]) -> float:
    """How far, at most, one of the repeated values is from the median of the others (absolute log of the ratio)."""
    return max(
        abs(math.log(value / median([*values[:number], *values[number + 1 :]]))) for number, value in enumerate(values)
    )


def _whole(what: str, olds: Mapping[str, list[float]], after: _Run, measure: _Measure) -> Slower | None:
    """The run as a whole: the median over all checks of the ratio to the old median, against the same of the old runs.

    It sees what moved every check a little, where none alone leaves the noise.
    """
    if len(olds) < 10:  # a median over a handful of checks is one check's noise
        return None
    runs = len(next(iter(olds.values())))
    noise = max(
        abs(
            median(
                math.log(values[number] / median([*values[:number], *values[number + 1 :]])) for values in olds.values()
            )
        )
        for number in range(runs)
    )
    news = [(measure(after[check_id]) or 0.0, median(values)) for check_id, values in olds.items()]
    ratio = median(math.log(now / middle) for now, middle in news)
    if abs(ratio) <= max(2 * noise, math.log(_LEAST_RATIO_OF_ALL)):
        return None
    return Slower(id=None, what=what, old=1.0, new=math.exp(ratio), ratio=math.exp(ratio), noise=math.exp(noise))


# --- coverage ----------------------------------------------------------------------------------------------------


def _less_covered(old: Sequence[Certificate], new: Certificate) -> LessCovered | None:
    """Whether fewer pairs were met, or a smaller share of those that can be, than in any old run."""
    before = [run.coverage for run in old if run.coverage is not None]
    if not before:
        return None
    least, now = min(before, key=lambda one: one.pairs.met), new.coverage
    if now is not None and now.pairs.met >= least.pairs.met and now.pairs.share >= min(c.pairs.share for c in before):
        return None
    missing_before = {_pair(pair) for coverage in before for pair in coverage.missing_pairs}
    missing = [] if now is None else [name for pair in now.missing_pairs if (name := _pair(pair)) not in missing_before]
    return LessCovered(
        old=(least.pairs.met, least.pairs.can_be_met),
        new=None if now is None else (now.pairs.met, now.pairs.can_be_met),
        scenarios_old=least.scenarios,
        scenarios_new=0 if now is None else now.scenarios,
        missing=tuple(missing[:_MOST_MISSING]),
        more=max(0, len(missing) - _MOST_MISSING),
    )


def _pair(pair: Mapping[str, str]) -> str:
    return " + ".join(pair.values())


# --- the setup ---------------------------------------------------------------------------------------------------


def _setup(old: Certificate, new: Certificate) -> list[Difference]:
    """What differs, by the words of the contract file; of the broker, its version and how it was run."""
    before, after = _flat(old.contract), _flat(new.contract)
    pairs = [
        *((f"broker {key}", old.broker.get(key), new.broker.get(key)) for key in ("version", "provider", "image")),
        ("publisher", old.publisher, new.publisher),
        ("client", old.client, new.client),
        *((f"contract {key}", before.get(key), after.get(key)) for key in dict.fromkeys([*before, *after])),
    ]
    return [Difference(what=what, old=was, new=now) for what, was, now in pairs if was != now]


def _flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, below in value.items():
        name = f"{path}.{key}" if path else key
        flat |= _flat(below, name) if isinstance(below, Mapping) else {name: below}
    return flat
