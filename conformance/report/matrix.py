"""A matrix as words, as JSON and as one HTML page.

The form of ``matrix.json`` is the JSON Schema in ``matrix.schema.json`` beside this file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from conformance.contract.loader import contract_to_dict
from conformance.errors import UsageError
from conformance.matrix.cells import Cell, CellVerdict, Column, Matrix, Outcome
from conformance.matrix.recipes import BASE, Recipe
from conformance.report import view
from conformance.report.certificate import certificate_json, check_entry, clean
from conformance.report.html import script, style, templates
from conformance.report.plain import redact
from conformance.report.whole import write_whole

__all__ = [
    "CELL_WORDS",
    "MARKS",
    "SCHEMA",
    "build_matrix",
    "cause_groups",
    "cell_lines",
    "cell_text",
    "headings",
    "headline",
    "make_matrix_html",
    "prepare_report",
    "refusal",
    "troubles",
    "write_matrix",
]

SCHEMA = 1
"""The number of the form of ``matrix.json``; it changes only where a reader would break."""

CELL_WORDS: Final[dict[CellVerdict, str]] = {
    "violated": "VIOLATED",
    "refused": "refused",
    "inconclusive": "inconclusive",
    "not_checked": "not checked",
    "certified": "certified",
}
"""Each verdict as it is shown."""

MARKS: Final[dict[CellVerdict, str]] = {
    "violated": "✗",
    "refused": "!",
    "inconclusive": "?",
    "not_checked": "-",
    "certified": "✓",
}
"""Each verdict in one character: a matrix is read without colours, too."""

_FILES = ("matrix.json", "matrix.html")


# --- words -------------------------------------------------------------------------------------------------------


def headings(matrix: Matrix) -> list[str]:
    """What each column is called: its version; where two have the same or there is none, what was asked for."""
    versions = [column.version for column in matrix.columns]
    found = []
    for column in matrix.columns:
        if not column.version:
            found.append(column.label)
        elif versions.count(column.version) > 1:
            found.append(f"{column.version} {column.label}")
        else:
            found.append(column.version)
    return [redact(one) for one in found]


def cell_lines(cell: Cell) -> list[str]:
    """A cell in a line or two: how many of how many were delivered, by play, and what the cause was."""
    if cell.verdict == "refused" and cell.worst is not None:
        kind, _, word = refusal(cell.worst).partition(" ")
        return [f"refused: {kind}", word] if word else [f"refused: {kind}"]
    if not cell.outcomes:
        return ["not checked"]
    told = ", ".join(filter(None, (_told(outcome, first=n == 0) for n, outcome in enumerate(cell.outcomes))))
    causes = dict.fromkeys(
        cause for outcome in cell.outcomes if outcome.verdict == cell.verdict == "violated" for cause in outcome.causes
    )
    return [told, *causes]


def cell_text(cell: Cell) -> str:
    """The same in one line."""
    return (" " if cell.verdict == "refused" else ", ").join(cell_lines(cell))


def _told(outcome: Outcome, *, first: bool) -> str:
    name = outcome.result.id.rpartition("/")[2]
    cuts = f", {outcome.cuts} cuts" if outcome.result.id == "flapping" and outcome.cuts else ""
    if outcome.verdict in ("inconclusive", "not_checked"):
        word = CELL_WORDS[outcome.verdict]
        return word if first else f"{name} {word}"
    if "/" in outcome.result.id:  # a check of the settings: told where it does not hold
        return "" if outcome.verdict == "certified" else name
    counted = f"{outcome.delivered}/{outcome.owed}{cuts}"
    return counted if first or cuts else f"{name} {counted}"


def refusal(outcome: Outcome) -> str:
    """How the broker refused, in a word or two: ``ERROR precondition_failed``, ``closed without ERROR``."""
    kind, _, rest = outcome.broker_says.partition(": ")
    if kind != "ERROR":
        return "closed without ERROR"
    word = rest.partition(":")[0].strip()
    return f"ERROR {word}" if word and " " not in word else "ERROR"


def headline(matrix: Matrix) -> str:
    """The matrix in a sentence."""
    totals, whole = matrix.totals, len(matrix.cells)
    cells = "1 cell" if whole == 1 else f"{whole} cells"
    if matrix.verdict == "certified":
        return f"CERTIFIED: {'the one cell' if whole == 1 else f'all {cells}'} held."
    words = {
        "violated": "broke the promise",
        "refused": "refused by the broker",
        "inconclusive": "inconclusive",
        "not_checked": "not checked",
        "certified": "certified",
    }
    parts = [f"{totals[verdict]} {said}" for verdict, said in words.items() if totals[verdict]]  # type: ignore[index]
    word = "VIOLATED" if matrix.verdict == "violated" else "INCONCLUSIVE"
    beside = "the run was interrupted; " if matrix.interrupted else ""
    return f"{word}: {beside}of {cells}, {', '.join(parts) or 'none was played'}."


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CauseGroup:
    """A cause, where it was found, and what to change."""

    cause: str
    advice: str
    source: str
    where: str


def cause_groups(matrix: Matrix) -> list[CauseGroup]:
    """The causes of what was lost, in the order of the rows."""
    titles = dict(zip((column.id for column in matrix.columns), headings(matrix), strict=True))
    found: dict[str, tuple[str, str, dict[str, list[str]]]] = {}
    for recipe, cell in _by_row(matrix):
        for outcome in cell.outcomes if cell.verdict == "violated" else ():
            detail = outcome.result.detail
            for violation in () if detail is None else detail.violations:
                _, _, where = found.setdefault(violation.cause, (violation.advice, violation.source, {}))
                seen = where.setdefault(recipe.id, [])
                if titles[cell.column] not in seen:
                    seen.append(titles[cell.column])
    return [
        CauseGroup(
            cause=cause,
            advice=advice,
            source=source,
            where="; ".join(f"{recipe} on {', '.join(seen)}" for recipe, seen in where.items()),
        )
        for cause, (advice, source, where) in found.items()
    ]


def troubles(matrix: Matrix) -> list[str]:
    """What the brokers refused and what could not be shown, a sentence each."""
    titles = dict(zip((column.id for column in matrix.columns), headings(matrix), strict=True))
    found = [f"No broker for {redact(column.label)}: {column.error}" for column in matrix.columns if column.error]
    told = {column.error for column in matrix.columns if column.error}
    for recipe, cell in _by_row(matrix):
        where = f"{recipe.id} on {titles[cell.column]}"
        if not cell.outcomes and cell.why_not not in told:
            found.append(f"{where}: {cell.why_not}")
        found += [
            f"{where}: {outcome.broker_says}"
            if outcome.verdict == "refused"
            else f"{where}, {outcome.result.id}: {outcome.result.summary}"
            for outcome in cell.outcomes
            if outcome.verdict in ("refused", "inconclusive", "not_checked")
        ]
    return found


def _by_row(matrix: Matrix) -> list[tuple[Recipe, Cell]]:
    return [(recipe, matrix.cell(recipe, column)) for recipe in matrix.recipes for column in matrix.columns]


# --- JSON --------------------------------------------------------------------------------------------------------


def build_matrix(
    matrix: Matrix,
    *,
    command: Sequence[str],
    versions: Mapping[str, str],
    began: datetime,
    report: Path | None = None,
) -> dict[str, Any]:
    """Put a matrix together as plain data that JSON can hold, without a password anywhere.

    Args:
        matrix: all cells.
        command: the command line; of its first word only the program's name is kept.
        versions: program name to version.
        began: when, with its time zone.
        report: the folder that the evidence's paths become relative to; None: they stay as they stand.
    """
    return clean(
        {
            "schema": SCHEMA,
            "verdict": matrix.verdict,
            "summary": headline(matrix),
            "interrupted": matrix.interrupted,
            "began": began.isoformat(timespec="seconds"),
            "seconds": matrix.seconds,
            "seed": matrix.seed,
            "command": [Path(command[0]).name, *command[1:]] if command else [],
            "versions": versions,
            "totals": matrix.totals,
            "brokers": [_broker(column, title) for column, title in zip(matrix.columns, headings(matrix), strict=True)],
            "recipes": [_recipe(recipe) for recipe in matrix.recipes],
            "cells": [
                _cell(cell, column, report)
                for recipe in matrix.recipes
                for column in matrix.columns
                for cell in (matrix.cell(recipe, column),)
            ],
        }
    )


def _broker(column: Column, title: str) -> dict[str, Any]:
    return {
        "id": column.id,
        "title": title,
        "asked_for": column.label,
        "version": column.version or None,
        "broker": column.broker,
        "error": column.error or None,
        "timings": column.timings,
    }


def _recipe(recipe: Recipe) -> dict[str, Any]:
    return {
        "id": recipe.id,
        "title": recipe.title,
        "file": None if recipe.file is None else str(recipe.file),
        "contract": contract_to_dict(recipe.contract),
        "plays": [{"id": play.id, "rule": play.rule, "expectation": play.expectation} for play in recipe.plays],
    }


def _cell(cell: Cell, column: Column, report: Path | None) -> dict[str, Any]:
    return {
        "recipe": cell.recipe.id,
        "broker": column.id,
        "verdict": cell.verdict,
        "text": cell_text(cell),
        "summary": cell.summary,
        "plays": [
            check_entry(outcome.result, report, ("durable-ws", *column.options))
            | {
                "verdict": outcome.verdict,
                "owed": outcome.owed,
                "delivered": outcome.delivered,
                "cuts": outcome.cuts,
                "broker_says": outcome.broker_says or None,
                "queue": outcome.queue,
            }
            for outcome in cell.outcomes
        ],
    }


# --- files -------------------------------------------------------------------------------------------------------


def prepare_report(folder: Path) -> None:
    """Make the folder and see that it can be written to, without an earlier run's matrix.

    Raises:
        UsageError: it can't.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
    except OSError as exc:
        raise UsageError(
            "--report", f"{str(folder)!r} can't be written ({exc.strerror})", "Name a folder that is yours."
        ) from exc
    write_whole(folder / ".writable", "")
    (folder / ".writable").unlink()


def write_matrix(folder: Path, document: Mapping[str, Any], matrix: Matrix) -> None:
    """Write ``matrix.json`` and ``matrix.html``, each whole or not at all.

    Raises:
        UsageError: the folder can't be written to.
    """
    write_whole(folder / "matrix.json", certificate_json(document))
    write_whole(folder / "matrix.html", make_matrix_html(document, matrix))


def make_matrix_html(document: Mapping[str, Any], matrix: Matrix) -> str:
    """The page's text; its links are relative to the report's folder.

    Args:
        document: as :func:`build_matrix` made it of ``matrix``.
        matrix: all cells.
    """
    text, digest = script("matrix.js")
    return (
        templates()
        .get_template("matrix.html.j2")
        .render(
            document=document,
            matrix=matrix,
            entries={(entry["recipe"], entry["broker"]): entry for entry in document["cells"]},
            titles=dict(zip((column.id for column in matrix.columns), headings(matrix), strict=True)),
            base=BASE,
            built_in=[recipe for recipe in matrix.recipes if recipe.file is None],
            groups=cause_groups(matrix),
            troubles=troubles(matrix),
            lines=cell_lines,
            text=cell_text,
            marks=MARKS,
            words=CELL_WORDS,
            view=view,
            style=style("base.css", "matrix.css"),
            script=text,
            script_digest=digest,
        )
    )
