"""The matrix as text, Markdown, JSON and HTML."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from textwrap import dedent
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from conformance.catalogue.result import CheckResult
from conformance.errors import UsageError
from conformance.matrix.cells import Cell, Column, Matrix, Outcome, outcome_of
from conformance.report.certificate import certificate_json
from conformance.report.matrix import (
    build_matrix,
    cell_lines,
    headings,
    headline,
    make_matrix_html,
    prepare_report,
    write_matrix,
)
from conformance.report.matrix_text import matrix_markdown, print_matrix

Result = Callable[..., CheckResult]
Refused = Callable[[str], Outcome]


def _built(matrix: Matrix, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "command": ["/x/durable-ws", "matrix"], "versions": {"python": "3.11"},
        "began": datetime(2026, 1, 2, tzinfo=UTC), "report": Path("out"),
    }  # fmt: skip
    return build_matrix(matrix, **(values | changes))


def _printed(matrix: Matrix, width: int = 80, **options: Any) -> list[str]:
    out = io.StringIO()
    print_matrix(matrix, console=Console(file=out, width=width, markup=False, emoji=False, highlight=False), **options)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_terminals_table(matrix: Matrix) -> None:
    """At 80 columns, without colour: how many of how many, by play, and the cause."""
    assert (
        _printed(matrix, quiet=True)
        == dedent(
            """\
        recipe              3.10.8              4.3.6               img:none
        ───────────────────────────────────────────────────────────────────────────────
        gem                 ✓ 3/3               ✗ 0/3               - not checked
                                                exclusive-queue
        durable-false       ✗ 3/3, restart 0/3  ! refused: ERROR    - not checked
                            transient-queue     precondition_failed

        VIOLATED: of 6 cells, 2 broke the promise, 1 refused by the broker, 2 not
        checked, 1 certified.
        """
        ).splitlines()
    )


def test_the_rest_of_the_terminals_words(matrix: Matrix) -> None:
    """What marks and recipes mean, what to change, what the broker said, what could not be had, where it all is."""
    told = "\n".join(_printed(matrix, report=Path("out")))
    for words in (
        "✗ VIOLATED, ! refused, - not checked, ✓ certified",
        "x-max-priority:10",
        "gem            base: the gem's own headers",
        "4.3.6: img:new (docker)",
        "exclusive-queue: gem on 4.3.6",
        "Change it.",
        "durable-false on 4.3.6: ERROR: precondition_failed: no",
        "No broker for img:none: no such image",
        "Report: out/matrix.html",
    ):
        assert words in told
    assert max(len(line) for line in told.splitlines()) <= 80


def test_many_brokers_are_told_in_several_tables(matrix: Matrix) -> None:
    """Where the columns do not fit beside each other."""
    told = _printed(matrix, width=60, quiet=True)
    assert sum(line.startswith("recipe") for line in told) == 2
    assert max(len(line) for line in told) <= 60


def test_markdown(matrix: Matrix) -> None:
    """A table of its own; what is not certified is bold, and nothing breaks a cell."""
    assert matrix_markdown(matrix) == dedent(
        """\
        | recipe | 3.10.8 | 4.3.6 | img:none |
        | --- | --- | --- | --- |
        | **gem**: base: the gem's own headers | 3/3 | **0/3**: exclusive-queue | **not checked** |
        | **durable-false**: recommended + durable:false | **3/3, restart 0/3**: transient-queue | **refused: ERROR precondition_failed** | **not checked** |
        """  # noqa: E501
    )


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("ERROR: precondition_failed: PRECONDITION_FAILED - x", ["refused: ERROR", "precondition_failed"]),
        ("ERROR: Bad CONNECT: x", ["refused: ERROR"]),
        ("the broker closed the WebSocket (1000, STOMP died)", ["refused: closed", "without ERROR"]),
    ],
)
def test_how_a_broker_refused(says: str, told: list[str], refused: Refused, matrix: Matrix) -> None:
    """In a word or two; the whole of it stands below the table."""
    assert cell_lines(Cell(recipe=matrix.recipes[0], column="old", outcomes=(refused(says),))) == told


def test_plays_that_were_not_made_are_named(result: Result, matrix: Matrix) -> None:
    """A cell does not pass for the half that was played; settings are told only where they do not hold."""

    def lines(*results: CheckResult) -> list[str]:
        outcomes = tuple(outcome_of(one, []) for one in results)
        return cell_lines(Cell(recipe=matrix.recipes[0], column="old", outcomes=outcomes))

    assert lines(result(), result("restart", "not_checked")) == ["3/3, restart not checked"]
    assert lines(result(verdict="inconclusive")) == ["inconclusive"]
    assert lines(result(), result("settings/as-asked")) == ["3/3"]
    ignored = result("settings/as-asked", "violated", kind="ignored", cause="header-ignored")
    assert lines(result(), ignored) == ["3/3, as-asked", "header-ignored"]


def test_headings_tell_columns_apart() -> None:
    """The version alone where that does; never a password."""
    columns = [
        Column(id="a", label="img:a", version="4.0.5"),
        Column(id="b", label="img:b", version="4.0.5"),
        Column(id="c", label="auto", version="3.10.8"),
        Column(id="d", label="amqp://u:secret@h/", error="x"),
    ]
    matrix = Matrix(recipes=[], columns=columns, cells=[])
    assert headings(matrix) == ["4.0.5 img:a", "4.0.5 img:b", "3.10.8", "amqp://u:***@h/"]


def test_headlines(matrix: Matrix) -> None:
    """Of a matrix that holds, and of one that was cut short."""
    held = replace(matrix, cells=[matrix.cells[0]])
    assert headline(held) == "CERTIFIED: the one cell held."
    short = replace(matrix, cells=[matrix.cells[0], matrix.cells[4]], interrupted=True)
    assert headline(short) == "INCONCLUSIVE: the run was interrupted; of 2 cells, 1 not checked, 1 certified."


def test_the_json_is_as_its_schema_says(matrix: Matrix) -> None:
    """And can be read back."""
    document = _built(matrix)
    schema = json.loads(files("conformance.report").joinpath("matrix.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(certificate_json(document)), schema)
    assert document["cells"][1]["text"] == "0/3, exclusive-queue"
    assert document["cells"][1]["plays"][0]["delivered"] == 0
    assert [broker["error"] for broker in document["brokers"]] == [None, None, "no such image"]


def test_a_replay_asks_for_the_same_broker(matrix: Matrix, result: Result) -> None:
    """The command names image and file, as seen from the report's folder; a URL's password is hidden."""
    path = Path("out/evidence/old/gem/cut/scenario.json")
    outcome = outcome_of(replace(result(), scenario_path=path), [])
    cell = Cell(recipe=matrix.recipes[0], column="old", outcomes=(outcome,))
    column = replace(matrix.columns[0], options=("--broker", "amqp://u:secret@h/"))
    document = _built(replace(matrix, recipes=[cell.recipe], columns=[column], cells=[cell]))
    replay = document["cells"][0]["plays"][0]["replay"]
    assert replay.startswith("durable-ws replay evidence/old/gem/cut/scenario.json --broker ")
    assert "secret" not in json.dumps(document)


def test_the_page(matrix: Matrix) -> None:
    """Self-contained, with a link from each cell of the table to what became of it."""
    page = make_matrix_html(_built(matrix), matrix)
    assert not re.search(r'(?:src|href)="(?!#|https://www\.rabbitmq\.com/)', page)
    linked = {target.replace("%40", "@") for target in re.findall(r'<td class="\w+"><a href="#([^"]+)"', page)}
    assert linked == set(re.findall(r'<details id="([^"]+)"', page)) == {cell.id for cell in matrix.cells}
    assert "Content-Security-Policy" in page


def test_the_page_escapes_what_others_say(matrix: Matrix, refused: Refused) -> None:
    """A broker's words are text."""
    hostile = Cell(recipe=matrix.recipes[0], column="old", outcomes=(refused("<script>alert(1)</script>\x1b[2J"),))
    evil = replace(matrix, recipes=matrix.recipes[:1], columns=matrix.columns[:1], cells=[hostile])
    page = make_matrix_html(_built(evil), evil)
    assert "<script>alert" not in page
    assert "\x1b" not in page


def test_the_files(matrix: Matrix, tmp_path: Path) -> None:
    """An earlier matrix goes before anything is played, and both files are written."""
    (tmp_path / "matrix.json").write_text("earlier")
    prepare_report(tmp_path)
    assert not list(tmp_path.iterdir())
    write_matrix(tmp_path, _built(matrix), matrix)
    assert {path.name for path in tmp_path.iterdir()} == {"matrix.json", "matrix.html"}
    (tmp_path / "f").write_text("")
    with pytest.raises(UsageError, match="--report"):
        prepare_report(tmp_path / "f" / "r")


def test_the_order_is_that_of_the_rows(matrix: Matrix) -> None:
    """However the cells came."""
    turned: Sequence[Cell] = list(reversed(matrix.cells))
    assert _built(replace(matrix, cells=turned))["cells"] == _built(matrix)["cells"]
