"""Certificates compared: verdicts, causes, times and the setup."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from conformance.report.certificate_file import Certificate
from conformance.report.comparison import Comparison, compare
from conformance.report.comparison_text import comparison_headline, comparison_json, print_comparison

REAL_RUNS: list[dict[str, list[float | None]]] = json.loads(
    Path(__file__).with_name("data").joinpath("repeated_runs.json").read_text()
)
"""Times of five runs of one setup on a busy machine: seconds, median ms to the confirm and to the delivery."""


def check(
    check_id: str,
    verdict: str = "certified",
    *causes: str,
    seconds: float = 1.0,
    confirm: float | None = None,
    delivery: float | None = None,
) -> dict[str, Any]:
    """A check as a certificate has it, as far as it is compared."""
    return {
        "id": check_id,
        "verdict": verdict,
        "summary": f"{check_id} is {verdict}",
        "accepted": "known" if verdict == "accepted" else None,
        "times": {
            "seconds": seconds,
            "confirm": None if confirm is None else {"median_ms": confirm},
            "delivery": None if delivery is None else {"median_ms": delivery},
        },
        "tally": [{"kind": "lost", "cause": cause, "count": 1} for cause in causes],
    }


def certificate(*checks: dict[str, Any], **changes: Any) -> Certificate:
    """A certificate with these checks."""
    data = {
        "schema": 1,
        "verdict": "certified",
        "summary": "so it is",
        "began": "2026-01-01T00:00:00+00:00",
        "publisher": "durable_ws",
        "client": "websocket-client",
        "broker": {"version": "3.10.8", "provider": "provisioned"},
        "contract": {"tab": {"ack": "client-individual"}},
        "checks": list(checks),
    }
    return Certificate.model_validate({**data, **changes})


def one(old: Sequence[dict[str, Any]] | dict[str, Any] | None, new: dict[str, Any] | None) -> Comparison:
    """One check, in one or several old runs and in the new one."""
    olds = [old] if isinstance(old, dict) or old is None else old
    return compare(
        [certificate(*([entry] if entry else [])) for entry in olds], certificate(*([new] if new is not None else []))
    )


LISTS = ("better", "worse", "newly_accepted", "newly_unchecked", "newly_checked")


def in_lists(comparison: Comparison) -> list[str]:
    """The lists that hold something; ``same`` where none does."""
    return [name for name in LISTS if getattr(comparison, name)] or (["same"] if comparison.same else [])


@pytest.mark.parametrize(
    ("old", "new", "where", "regression"),
    [
        ("certified", "certified", "same", False),
        ("certified", "violated", "worse", True),
        ("accepted", "violated", "worse", True),
        ("inconclusive", "violated", "worse", True),
        (None, "violated", "worse", True),
        ("violated", "certified", "better", False),
        ("accepted", "certified", "better", False),
        ("violated", "violated", "same", False),
        ("certified", "accepted", "newly_accepted", False),
        ("violated", "accepted", "newly_accepted", False),
        ("accepted", "not_checked", "newly_unchecked", True),
        ("accepted", "accepted", "same", False),
        ("certified", "inconclusive", "newly_unchecked", True),
        ("certified", "not_checked", "newly_unchecked", True),
        ("violated", None, "newly_unchecked", True),
        ("not_checked", "certified", "newly_checked", False),
        (None, "certified", "newly_checked", False),
        ("not_checked", "inconclusive", "same", False),
    ],
)
def test_verdicts(old: str | None, new: str | None, where: str, regression: bool) -> None:
    """Each pair of verdicts has its place, and only what is worse or no longer checked is a regression."""
    comparison = one(None if old is None else check("a/1", old), None if new is None else check("a/1", new))
    assert in_lists(comparison) == [where]
    assert comparison.regression() == regression
    assert comparison.regression(unchecked=False) == (where == "worse")


def test_another_cause_is_worse() -> None:
    """A check that was violated already can still get worse, or better."""
    both = check("a/1", "violated", "auto-delete-queue", "message-ttl")
    comparison = one(check("a/1", "violated", "auto-delete-queue"), both)
    assert [change.why for change in comparison.worse] == ["another cause: lost (message-ttl)"]
    comparison = one(both, check("a/1", "violated", "auto-delete-queue"))
    assert [change.why for change in comparison.better] == ["no longer: lost (message-ttl)"]


@pytest.mark.parametrize("was", ["violated", "accepted"])
def test_another_cause_of_what_is_accepted_is_worse(was: str) -> None:
    """An acceptance that was widened, or that takes whatever comes, hides nothing."""
    two = check("a/1", "accepted", "auto-delete-queue", "message-ttl")
    comparison = one(check("a/1", was, "auto-delete-queue"), two)
    assert [change.why for change in comparison.worse] == ["another cause, accepted: lost (message-ttl)"]
    assert comparison.regression()
    assert in_lists(one(check("a/1", was, "auto-delete-queue"), check("a/1", "accepted", "message-ttl"))) == ["worse"]


def test_a_cause_less_of_what_is_accepted_is_better() -> None:
    """As of what is violated."""
    comparison = one(check("a/1", "accepted", "x", "y"), check("a/1", "accepted", "x"))
    assert [change.why for change in comparison.better] == ["no longer: lost (y)"]


def test_a_check_that_is_unsteady_in_the_old_runs() -> None:
    """What failed now and then before is told as such; it is neither worse nor better, whichever way it falls."""
    olds = [check("a/1"), check("a/1", "violated", "message-ttl"), check("a/1")]
    for new in (check("a/1"), check("a/1", "violated", "message-ttl")):
        comparison = one(olds, new)
        assert (comparison.unsteady, in_lists(comparison)) == (("a/1",), ["same"])
    assert in_lists(one(olds, check("a/1", "violated", "max-length"))) == ["worse"]


def test_what_old_runs_did_not_always_show_either() -> None:
    """It is unsteady, and not newly unchecked."""
    comparison = one([check("a/1", "inconclusive"), check("a/1"), check("a/1")], check("a/1", "inconclusive"))
    assert (comparison.unsteady, in_lists(comparison)) == (("a/1",), ["same"])


def test_the_setup() -> None:
    """Version, publisher and every key of the contract that differs."""
    new = certificate(
        publisher="mine",
        broker={"version": "4.0.5", "provider": "provisioned"},
        contract={"tab": {"ack": "auto", "headers": {"durable": "true"}}},
    )
    assert [
        (difference.what, difference.old, difference.new) for difference in compare([certificate()], new).setup
    ] == [
        ("broker version", "3.10.8", "4.0.5"),
        ("publisher", "durable_ws", "mine"),
        ("contract tab.ack", "client-individual", "auto"),
        ("contract tab.headers.durable", None, "true"),
    ]


# --- times ---------------------------------------------------------------------------------------


def real(number: int, *, factor: float = 1.0, only: str | None = None) -> Certificate:
    """A real run; ``factor`` makes all its checks, or ``only`` one, slower."""
    checks = []
    for check_id, (seconds, confirm, delivery) in REAL_RUNS[number].items():
        by = factor if only in (None, check_id) else 1.0
        checks.append(
            check(
                check_id,
                seconds=(seconds or 0) * by,
                confirm=None if confirm is None else confirm * by,
                delivery=None if delivery is None else delivery * by,
            )
        )
    return certificate(*checks)


@pytest.mark.parametrize("number", range(len(REAL_RUNS)))
def test_a_repeated_run_raises_no_alarm(number: int) -> None:
    """Each real run against the others: nothing is slower or faster than the noise of a busy machine."""
    others = [real(other) for other in range(len(REAL_RUNS)) if other != number]
    comparison = compare(others, real(number))
    assert (comparison.slower, comparison.faster, comparison.times_not_judged) == ((), (), None)


@pytest.mark.parametrize("number", range(len(REAL_RUNS)))
def test_one_check_that_takes_ten_times_as_long(number: int) -> None:
    """It alone is told; the run as a whole is not."""
    others = [real(other) for other in range(len(REAL_RUNS)) if other != number]
    comparison = compare(others, real(number, factor=10, only="delivery/bandwidth"))
    assert {one.id for one in comparison.slower} == {"delivery/bandwidth"}
    assert comparison.faster == ()
    assert not comparison.regression()
    assert comparison.regression(slower=True)


@pytest.mark.parametrize(("factor", "where"), [(3.0, "slower"), (1 / 3, "faster")])
def test_a_run_that_is_slower_or_faster_as_a_whole(factor: float, where: str) -> None:
    """Where every check moves, the run as a whole is told."""
    comparison = compare([real(number) for number in range(4)], real(4, factor=factor))
    assert None in {one.id for one in getattr(comparison, where)}


def test_without_repeated_runs_times_are_not_judged() -> None:
    """However slow: one or two runs say nothing about noise."""
    for count in (1, 2):
        comparison = compare([real(number) for number in range(count)], real(4, factor=100))
        assert (comparison.slower, comparison.faster) == ((), ())
        assert "give at least 3 runs" in (comparison.times_not_judged or "")


def test_what_is_drawn_takes_the_time_it_is_given() -> None:
    """The generated checks' seconds are the budget's."""
    olds = [certificate(check("generated/links", seconds=seconds)) for seconds in (5.0, 5.1, 5.2)]
    assert compare(olds, certificate(check("generated/links", seconds=60.0))).slower == ()


# --- coverage ------------------------------------------------------------------------------------


def covered(met: int, can: int = 100, *, missing: Sequence[str] = (), scenarios: int = 70) -> Certificate:
    """A run whose generated checks met so many pairs."""
    return certificate(
        check("generated/links"),
        coverage={
            "scenarios": scenarios,
            "pairs": {"met": met, "can_be_met": can, "share": met / can},
            "missing_pairs": [{"fault": fault, "away": "broker"} for fault in missing],
        },
    )


def test_fewer_pairs_met_are_told() -> None:
    """Below every old run, with the pairs that each of them met; a regression where that is asked for."""
    olds = [covered(97, missing=["rst"]), covered(95, missing=["fin"])]
    comparison = compare(olds, covered(90, missing=["rst", "fin", "refuse"], scenarios=12))
    less = comparison.less_covered
    assert less is not None
    assert (less.old, less.new, less.scenarios_old, less.scenarios_new) == ((95, 100), (90, 100), 70, 12)
    assert (less.missing, less.more) == (("refuse + broker",), 0)
    assert not comparison.regression()
    assert comparison.regression(covered=True)
    assert comparison_headline(comparison, regression=False) == "NO REGRESSION: fewer pairs met, 1 as before."
    printed = io.StringIO()
    print_comparison(comparison, Console(file=printed, width=80), regression=False)
    assert "pairs met: 95 of 100 (95.0%) → 90 of 100 (90.0%), in 70 → 12 scenarios" in printed.getvalue()
    assert "no longer met: refuse + broker" in printed.getvalue()
    assert json.loads(comparison_json(comparison, regression=False))["less_covered"]["new"] == [90, 100]


@pytest.mark.parametrize(
    ("new", "is_less"),
    [
        (covered(95), False),
        (covered(96), False),
        (covered(94), True),
        (covered(60, 60), True),  # a promise that was narrowed: all of less
        (covered(96, 200), True),  # a promise that was widened, and not met
        (certificate(check("generated/links")), True),
    ],
)
def test_when_less_is_covered(new: Certificate, is_less: bool) -> None:
    """Pairs and their share both count; chance among the old runs does not."""
    assert (compare([covered(97), covered(95)], new).less_covered is not None) == is_less


def test_without_coverage_before_nothing_is_said_of_it() -> None:
    """There is nothing to compare with."""
    assert compare([certificate(check("a/1"))], covered(10)).less_covered is None


# --- what is said --------------------------------------------------------------------------------


def test_the_outcome_in_a_sentence_and_as_json() -> None:
    """The gravest first; JSON has the same."""
    comparison = compare(
        [certificate(check("a/1"), check("a/2", "violated"), check("a/3"))],
        certificate(check("a/1", "violated", "message-ttl"), check("a/2"), check("a/3")),
    )
    headline = comparison_headline(comparison, regression=True)
    assert headline == "REGRESSION: 1 worse, 1 better, 1 as before."
    document = json.loads(comparison_json(comparison, regression=True))
    assert (document["regression"], document["summary"], document["same"]) == (True, headline, 1)
    assert document["worse"] == [{"id": "a/1", "old": "certified", "new": "violated", "why": "a/1 is violated"}]
