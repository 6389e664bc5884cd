"""From a play to a cell: what is counted, and which verdict decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from conformance.catalogue.result import CheckResult
from conformance.history.events import FaultEnded, QueueObserved, TabRefused
from conformance.matrix.cells import Cell, Matrix, Outcome, outcome_of
from conformance.matrix.recipes import BUILT_IN

Result = Callable[..., CheckResult]
Refused = Callable[[str], Outcome]
OfCells = Callable[[Sequence[Sequence[Outcome]]], Matrix]


def _queue(**changes: object) -> QueueObserved:
    values: dict[str, object] = {
        "index": 1, "time_ns": 1, "when": "subscribed", "tab": "t", "queue": "q", "exists": True, "durable": True,
        "exclusive": False,
    }  # fmt: skip
    return QueueObserved(**(values | changes))  # type: ignore[arg-type]


def test_what_a_play_counts(result: Result) -> None:
    """Delivered of owed, the cuts, and the queue as the broker made it; a later look at it changes nothing."""
    cut = FaultEnded(index=2, time_ns=2, fault_id=1, fault="flap", target="tab:t", fired=True, counts={"cut": 21})
    outcome = outcome_of(result(verdict="violated", lost=1), [_queue(), cut, _queue(durable=False)])
    assert (outcome.delivered, outcome.owed, outcome.cuts) == (2, 3, 21)
    assert outcome.queue == {"durable": True, "exclusive": False}


def test_what_is_still_in_the_queue_has_not_come(result: Result) -> None:
    """Of an inconclusive play it counts as neither lost nor delivered."""
    assert outcome_of(result(verdict="inconclusive", undrained=2), []).delivered == 1


def test_a_refusal_has_the_brokers_words(result: Result) -> None:
    """Not those with which it cut a connection that had no part in it."""
    refused = result(verdict="violated", kind="refused", cause="subscription-refused", owed=0, attempted=3)
    events = [
        TabRefused(index=1, time_ns=1, tab="t", session=1, during="subscribe", detail="ERROR: no"),
        TabRefused(index=2, time_ns=2, tab="t", session=2, during="connect", detail="reset"),
    ]
    outcome = outcome_of(refused, events)
    assert (outcome.verdict, outcome.broker_says) == ("refused", "ERROR: no")
    assert (outcome.delivered, outcome.owed) == (0, 3)


def test_a_play_that_was_not_made_counts_nothing(result: Result) -> None:
    """Nothing is owed."""
    outcome = outcome_of(result(verdict="not_checked"), [])
    assert (outcome.verdict, outcome.owed, outcome.delivered) == ("not_checked", 0, 0)


@pytest.mark.parametrize("verdict", ["accepted", "inconclusive"])
def test_what_a_contract_accepts_is_a_violation_here(result: Result, verdict: str) -> None:
    """A matrix asks what a recipe does; also where the acceptance leaves the rest of the check unshown."""
    accepted = replace(result(verdict="violated", lost=1), verdict=cast("Any", verdict), accepted="known")
    assert outcome_of(accepted, []).verdict == "violated"


def test_the_worst_play_decides(result: Result, refused: Refused) -> None:
    """Violated beats refused beats inconclusive beats not checked beats certified."""
    plays = {
        "certified": outcome_of(result(), []),
        "not_checked": outcome_of(result(verdict="not_checked"), []),
        "inconclusive": outcome_of(result(verdict="inconclusive"), []),
        "refused": refused("ERROR: no"),
        "violated": outcome_of(result(verdict="violated", lost=1), []),
    }
    so_far: list[Outcome] = []
    for verdict, outcome in plays.items():
        so_far.append(outcome)
        cell = Cell(recipe=BUILT_IN["gem"], column="c", outcomes=tuple(so_far))
        assert cell.verdict == verdict
        assert cell.worst is outcome


def test_a_cell_without_plays_is_not_checked() -> None:
    """And says why."""
    cell = Cell(recipe=BUILT_IN["gem"], column="c", why_not="no such image")
    assert (cell.verdict, cell.summary) == ("not_checked", "no such image")


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        (["certified", "certified"], "certified"),
        (["certified", "inconclusive"], "inconclusive"),
        (["certified", "not_checked"], "inconclusive"),
        (["violated", "inconclusive"], "violated"),
        (["refused", "certified"], "violated"),
        ([], "inconclusive"),
    ],
)
def test_the_whole_matrix(verdicts: list[str], whole: str, result: Result, refused: Refused, of_cells: OfCells) -> None:
    """Certified only if every cell is."""
    rows = [
        [refused("ERROR: no") if verdict == "refused" else outcome_of(result(verdict=verdict, lost=0), [])]
        for verdict in verdicts
    ]
    assert of_cells(rows).verdict == whole
