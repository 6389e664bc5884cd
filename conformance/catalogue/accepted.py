"""Accepted deviations: what the contract accepts of a check is told as such, never passed over in silence.

An ``[[accepted]]`` accepts one kind of violation with one cause. What else breaks the same check stays a violation, and
the whole check with it. What it leaves open of kind and cause must be unambiguous in the check: where two kinds or
causes would do, it accepts neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from conformance.catalogue.result import CheckResult
from conformance.checker.verdict import Kind, Tally
from conformance.contract.model import AcceptedSection, Contract

__all__ = ["Acceptance", "AcceptanceState", "acceptances", "accepted_ways", "with_acceptance"]

AcceptanceState = Literal["deviated", "stale", "expired", "not_checked"]
"""``stale``: every check that it names was made, and none deviated so; ``expired``: its last day is over;
``not_checked``: none deviated so, and some were not made, showed nothing, or broke for what is not accepted."""

_Pair: TypeAlias = tuple[Kind, str]
"""A kind of violation and its cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What became of one ``[[accepted]]`` of the contract.

    Attributes:
        case, kind, cause, reason, until: as the contract has them.
        checks: the ids of those that deviated so.
        deviations: the kinds and causes that it met there, as ``lost (max-length)``.
        beyond: what broke the checks that it names and is accepted by no ``[[accepted]]``, as
            ``reconnection/ghost: lost (max-length)``.
    """

    case: str
    kind: str | None
    cause: str | None
    reason: str
    until: date | None
    state: AcceptanceState
    checks: tuple[str, ...]
    deviations: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()


def with_acceptance(result: CheckResult, contract: Contract, today: date) -> CheckResult:
    """The result, ``accepted`` instead of ``violated`` where all that broke it is accepted on that day.

    Where evidence is missing beside it, the result is ``inconclusive``: an acceptance is no evidence for the rest.
    """
    if result.verdict != "violated" or result.detail is None:
        return result
    broken = _broken(result)
    reasons = _reasons(result.id, broken, contract, today)
    if not broken or len(reasons) < len(broken):
        return result
    accepted, missing = "; ".join(dict.fromkeys(reasons.values())), result.detail.inconclusive_reasons
    if missing:
        summary = f"{result.summary}: accepted, but what else the check is to show was not shown: {'; '.join(missing)}"
        return replace(result, verdict="inconclusive", summary=summary, accepted=accepted)
    return replace(result, verdict="accepted", accepted=accepted)


def accepted_ways(check_id: str, tally: Sequence[Tally], contract: Contract, today: date) -> set[_Pair]:
    """The kinds and causes of the tally that are accepted on that day."""
    return set(_reasons(check_id, _pairs(tally), contract, today))


def acceptances(results: Sequence[CheckResult], contract: Contract, today: date) -> list[Acceptance]:
    """What became of each acceptance of the contract, in its order; not of those whose checks the run left out."""
    found = []
    for accepted in contract.accepted:
        named = [result for result in results if _names(accepted, result.id)]
        if named:
            taken = {result.id: _taken(accepted, _broken(result)) for result in named}
            met = {check_id: pair for check_id, pair in taken.items() if pair is not None}
            state: AcceptanceState = (
                "expired"
                if _expired(accepted, today)
                else "deviated"
                if met
                else "stale"
                if all(result.verdict in ("certified", "accepted") for result in named)
                else "not_checked"
            )
            found.append(
                Acceptance(
                    case=accepted.case,
                    kind=accepted.kind,
                    cause=accepted.cause,
                    reason=accepted.reason,
                    until=accepted.until,
                    state=state,
                    checks=tuple(met),
                    deviations=tuple(dict.fromkeys(_text(pair) for pair in met.values())),
                    beyond=tuple(
                        f"{result.id}: {_text(pair)}" for result in named for pair in _beyond(result, contract, today)
                    ),
                )
            )
    return found


def _beyond(result: CheckResult, contract: Contract, today: date) -> list[_Pair]:
    """What broke the check and is not accepted."""
    reasons = _reasons(result.id, _broken(result), contract, today)
    return [pair for pair in _broken(result) if pair not in reasons]


def _reasons(check_id: str, pairs: Sequence[_Pair], contract: Contract, today: date) -> dict[_Pair, str]:
    """Of these pairs those that are accepted in this check on that day, and why: the first acceptance speaks."""
    reasons: dict[_Pair, str] = {}
    for accepted in contract.accepted:
        if _names(accepted, check_id) and not _expired(accepted, today):
            taken = _taken(accepted, pairs)
            if taken is not None:
                reasons.setdefault(taken, accepted.reason)
    return reasons


def _taken(accepted: AcceptedSection, pairs: Sequence[_Pair]) -> _Pair | None:
    """What it accepts of a check that it names: the one pair that it fits; None: it fits none, or several."""
    fitting = [
        (kind, cause) for kind, cause in pairs if accepted.kind in (None, kind) and accepted.cause in (None, cause)
    ]
    return fitting[0] if len(fitting) == 1 else None


def _broken(result: CheckResult) -> list[_Pair]:
    """What broke it; nothing where nothing did."""
    return [] if result.detail is None or result.verdict == "certified" else _pairs(result.detail.tally)


def _pairs(tally: Sequence[Tally]) -> list[_Pair]:
    return list(dict.fromkeys((entry.kind, entry.cause) for entry in tally))


def _text(pair: _Pair) -> str:
    return "{} ({})".format(*pair)


def _names(accepted: AcceptedSection, check_id: str) -> bool:
    return fnmatchcase(check_id, accepted.case)


def _expired(accepted: AcceptedSection, today: date) -> bool:
    return accepted.until is not None and accepted.until < today
