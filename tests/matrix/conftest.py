"""Matrices made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from conformance.catalogue.result import CheckResult, CheckVerdict
from conformance.checker.verdict import Counts, Kind, Tally, Verdict, Violation
from conformance.matrix.cells import Cell, Column, Matrix, Outcome, outcome_of
from conformance.matrix.recipes import BUILT_IN


def make_result(
    play: str = "cut",
    verdict: CheckVerdict = "certified",
    *,
    kind: Kind = "lost",
    cause: str = "exclusive-queue",
    owed: int = 3,
    lost: int = 0,
    summary: str = "",
    **counts: int,
) -> CheckResult:
    """A play's result; ``inconclusive`` and ``not_checked`` without counts are plays that were not made."""
    if verdict in ("inconclusive", "not_checked") and not counts:
        return CheckResult(id=play, verdict=verdict, summary=summary or "nothing to tell.")
    violations: tuple[Violation, ...] = ()
    if verdict == "violated":
        violations = (
            Violation(
                kind=kind,
                cause=cause,
                summary="what happened",
                advice="Change it.",
                source="https://www.rabbitmq.com/docs/queues",
                message_id="m-1",
                body_digest="00ff",
                tab="n1-t1",
                index=1,
            ),
        )
    detail = Verdict(
        verdict="inconclusive" if verdict == "not_checked" else verdict,
        summary=summary or verdict,
        counts=Counts(**{"attempted": owed, "obligations": owed, "lost": lost} | counts),
        violations=violations,
        tally=tuple(Tally(kind=kind, cause=cause, count=lost or 1) for _ in violations),
    )
    return CheckResult(id=play, verdict=verdict, summary=detail.summary, rule="A rule.", detail=detail, seconds=1.5)


def make_refused(says: str) -> Outcome:
    """A play whose subscription the broker refused."""
    result = make_result(verdict="violated", kind="refused", cause="subscription-refused", owed=0, attempted=3)
    return Outcome(result=result, owed=3, broker_says=says)


def make_matrix(**changes: Any) -> Matrix:
    """Two recipes on three brokers, one of which could not be had."""
    recipes = [BUILT_IN["gem"], BUILT_IN["durable-false"]]
    gem, durable = recipes
    docker: dict[str, object] = {"provider": "docker"}
    columns = [
        Column(id="old", label="img:old", options=("--image", "img:old"), version="3.10.8", broker=docker),
        Column(id="new", label="img:new", options=("--image", "img:new"), version="4.3.6", broker=docker),
        Column(id="none", label="img:none", options=("--image", "img:none"), error="no such image"),
    ]
    restart = make_result("restart", "violated", cause="transient-queue", lost=3)

    def cell(recipe: Any, column: str, *results: CheckResult) -> Cell:
        return Cell(recipe=recipe, column=column, outcomes=tuple(outcome_of(result, []) for result in results))

    cells = [
        cell(gem, "old", make_result()),
        cell(durable, "old", make_result(), restart),
        cell(gem, "new", make_result(verdict="violated", lost=3)),
        Cell(recipe=durable, column="new", outcomes=(make_refused("ERROR: precondition_failed: no"),)),
        *(Cell(recipe=recipe, column="none", why_not="no such image") for recipe in recipes),
    ]
    values: dict[str, Any] = {"recipes": recipes, "columns": columns, "cells": cells, "seed": 7, "seconds": 61.0}
    return Matrix(**(values | changes))


@pytest.fixture
def matrix() -> Matrix:
    """Two recipes on three brokers, one of which could not be had."""
    return make_matrix()


@pytest.fixture
def result() -> Callable[..., CheckResult]:
    """Makes a play's result."""
    return make_result


@pytest.fixture
def refused() -> Callable[[str], Outcome]:
    """Makes a play that was refused with these words."""
    return make_refused


@pytest.fixture
def of_cells() -> Callable[[Sequence[Sequence[Outcome]]], Matrix]:
    """Makes a matrix of one column from the outcomes of each row."""

    def make(rows: Sequence[Sequence[Outcome]]) -> Matrix:
        recipes = list(BUILT_IN.values())[: len(rows)]
        return make_matrix(
            recipes=recipes,
            columns=[Column(id="c", label="c", version="4.0.5")],
            cells=[Cell(recipe=one, column="c", outcomes=tuple(row)) for one, row in zip(recipes, rows, strict=True)],
        )

    return make
