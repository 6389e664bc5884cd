"""What became of one check: what stands in the certificate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from conformance.checker.verdict import Tally, Verdict, Violation
from conformance.scenario.steps import Scenario

__all__ = ["CheckResult", "CheckVerdict", "area_of", "overall", "with_violations"]

CheckVerdict = Literal["certified", "violated", "inconclusive", "not_checked", "accepted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check of a run.

    Attributes:
        id: the case's id.
        verdict: ``not_checked`` where it could not be made, with the reason in ``summary``; ``accepted`` where it is
            violated and the contract accepts that.
        summary: one sentence.
        rule, source, expectation: what it held the setup to.
        detail: the checker's whole verdict, where a scenario was played.
        evidence: facts beside the counts: how many scenarios, k of n replays, what was observed.
        scenario: what was played.
        history: the JSONL file, where it was kept.
        stderr: what the publisher's program wrote on its standard error, where it did.
        seconds: how long the play took.
        accepted: why the contract accepts the deviation, of an ``accepted`` one.
    """

    id: str
    verdict: CheckVerdict
    summary: str
    rule: str = ""
    source: str = ""
    expectation: str = ""
    detail: Verdict | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    scenario: Scenario | None = None
    scenario_path: Path | None = None
    history: Path | None = None
    stderr: Path | None = None
    seconds: float = 0.0
    accepted: str | None = None


def area_of(check_id: str) -> str:
    """The check's area: what stands before the first slash of its id."""
    return check_id.partition("/")[0]


def overall(results: list[CheckResult]) -> Literal["certified", "violated", "inconclusive"]:
    """The certificate's verdict: violated beats inconclusive beats certified.

    What was not checked is inconclusive. An accepted deviation stands in no certificate's way, but shows nothing that
    holds: where there is nothing else, the run is inconclusive.
    """
    verdicts = {result.verdict for result in results}
    if "violated" in verdicts:
        return "violated"
    if "certified" not in verdicts or not verdicts <= {"certified", "accepted"}:
        return "inconclusive"
    return "certified"


def with_violations(verdict: Verdict, more: list[Violation]) -> Verdict:
    """The checker's verdict with what a case found beyond it; what is a violation now is no note any more."""
    if not more:
        return verdict
    told = {violation.summary for violation in more}
    tally = Counter((violation.kind, violation.cause) for violation in more)
    return replace(
        verdict,
        verdict="violated",
        summary=more[0].summary if verdict.verdict != "violated" else verdict.summary,
        violations=(*verdict.violations, *more),
        tally=(
            *verdict.tally,
            *(Tally(kind=kind, cause=cause, count=count) for (kind, cause), count in tally.items()),
        ),
        notes=tuple(note for note in verdict.notes if note not in told),
    )
