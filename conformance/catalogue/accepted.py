"""Accepted deviations: a violated check that the contract accepts is told as such, and never passed over in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal

from conformance.catalogue.result import CheckResult
from conformance.contract.model import AcceptedSection, Contract

__all__ = ["Acceptance", "AcceptanceState", "acceptances", "with_acceptance"]

AcceptanceState = Literal["deviated", "stale", "expired", "not_checked"]
"""``stale``: every check that it names was made and held; ``expired``: its last day is over; ``not_checked``: of the
checks that it names, none deviated and some were not made or showed nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What became of one ``[[accepted]]`` of the contract; ``checks``: the ids of those that deviated."""

    case: str
    reason: str
    until: date | None
    state: AcceptanceState
    checks: tuple[str, ...]


def with_acceptance(result: CheckResult, contract: Contract, today: date) -> CheckResult:
    """The result, ``accepted`` instead of ``violated`` where the contract accepts its deviation on that day."""
    if result.verdict != "violated":
        return result
    holding = (one for one in contract.accepted if _names(one, result.id) and not _expired(one, today))
    accepted = next(holding, None)
    if accepted is None:
        return result
    return replace(result, verdict="accepted", accepted=accepted.reason)


def acceptances(results: Sequence[CheckResult], contract: Contract, today: date) -> list[Acceptance]:
    """What became of each acceptance of the contract, in its order; not of those whose checks the run left out."""
    found = []
    for accepted in contract.accepted:
        named = [result for result in results if _names(accepted, result.id)]
        if named:
            deviated = tuple(result.id for result in named if result.verdict in ("accepted", "violated"))
            state: AcceptanceState = (
                "expired"
                if _expired(accepted, today)
                else "deviated"
                if deviated
                else "stale"
                if all(result.verdict == "certified" for result in named)
                else "not_checked"
            )
            found.append(
                Acceptance(
                    case=accepted.case, reason=accepted.reason, until=accepted.until, state=state, checks=deviated
                )
            )
    return found


def _names(accepted: AcceptedSection, check_id: str) -> bool:
    return fnmatchcase(check_id, accepted.case)


def _expired(accepted: AcceptedSection, today: date) -> bool:
    return accepted.until is not None and accepted.until < today
