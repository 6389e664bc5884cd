"""A matrix on a terminal, and as a Markdown table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conformance.matrix.cells import CELL_VERDICTS, Cell, CellVerdict, Matrix
from conformance.matrix.recipes import BASE
from conformance.report.console import make_console
from conformance.report.matrix import (
    CELL_WORDS,
    MARKS,
    cause_groups,
    cell_lines,
    cell_text,
    headings,
    headline,
    troubles,
)
from conformance.report.plain import plain
from conformance.report.view import span

__all__ = ["matrix_markdown", "print_matrix"]

_STYLES: Final[dict[CellVerdict, str]] = {
    "violated": "bold red",
    "refused": "bold red",
    "inconclusive": "bold yellow",
    "not_checked": "yellow",
    "certified": "green",
}
_SPECIAL: Final = re.compile(r"[\\|*`<>\[\]]|\b_|_\b")
"""What Markdown takes for more than text; an underscore inside a word is text."""

_ROW_WIDTH, _CELL_WIDTH = 19, 19
"""In characters: with three columns a matrix fits 80, and the longest id of a built-in recipe is not folded."""


def print_matrix(
    matrix: Matrix, *, report: Path | None = None, quiet: bool = False, console: Console | None = None
) -> None:
    """Print the table, what its words mean, the causes and what to change.

    Args:
        matrix: all cells.
        report: the folder with the report; None: there is none.
        quiet: the table and the verdict, nothing else.
        console: where to; None: standard output.
    """
    console = console or make_console()
    columns = list(zip(matrix.columns, headings(matrix), strict=True))
    at_once = max(1, (console.width - _ROW_WIDTH) // (_CELL_WIDTH + 1))
    for chunk in [columns[start : start + at_once] for start in range(0, len(columns), at_once)]:
        table = Table(box=SIMPLE, padding=0, pad_edge=False, show_edge=False)
        table.add_column("recipe", overflow="fold", width=_ROW_WIDTH)
        for _, title in chunk:
            table.add_column(Text(plain(title)), overflow="fold", width=_CELL_WIDTH)
        for recipe in matrix.recipes:
            table.add_row(Text(plain(recipe.id)), *(_cell(matrix.cell(recipe, column)) for column, _ in chunk))
        console.print(table)
        console.print()
    if not quiet:
        _print_legend(console, matrix)
        _print_causes(console, matrix)
    style = {"certified": "bold green", "violated": "bold red"}.get(matrix.verdict, "bold yellow")
    console.print(Text(plain(headline(matrix)), style))
    if not quiet and report is not None:
        console.print(
            Text(plain(f"Report: {report / 'matrix.html'} (evidence and replay of every cell)")), soft_wrap=True
        )


def _cell(cell: Cell) -> Text:
    first, *rest = cell_lines(cell)
    text = Text(f"{MARKS[cell.verdict]} {plain(first)}", _STYLES[cell.verdict])
    for line in rest:
        text.append(f"\n{plain(line)}", "not bold")
    return text


def _print_legend(console: Console, matrix: Matrix) -> None:
    found = {cell.verdict for cell in matrix.cells}
    marks = ", ".join(f"{MARKS[one]} {CELL_WORDS[one]}" for one in CELL_VERDICTS if one in found)
    _say(console, f"{marks}. k/n: k of n messages that the tab was owed reached it.")
    if any(recipe.file is None for recipe in matrix.recipes):
        headers = " ".join(f"{name}:{value}" for name, value in BASE.items())
        _say(
            console,
            "A cut: the tab's link is reset with one message delivered and unacked, two more are published while it is "
            f"away, then it comes back. The base: ack:client-individual {headers} x-queue-name.",
        )
    grid = Table.grid(padding=(0, 2, 0, 0))
    for recipe in matrix.recipes:
        grid.add_row(Text(plain(recipe.id)), Text(plain(recipe.title), "dim"))
    console.print(Padding(grid, (1, 0, 1, 2)))
    for column, title in zip(matrix.columns, headings(matrix), strict=True):
        how = column.broker.get("provider", "")
        if not column.error:
            _say(console, f"{title}: {column.label}" + (f" ({how})" if how not in ("", column.label) else ""))
    _say(console, f"Seed {matrix.seed}, {span(matrix.seconds)}.")
    console.print()


def _print_causes(console: Console, matrix: Matrix) -> None:
    groups, trouble = cause_groups(matrix), troubles(matrix)
    for group in groups:
        console.print(Text.assemble((plain(group.cause), "bold"), f": {plain(group.where)}"))
        console.print(Padding(Text(plain(group.advice)), (0, 0, 0, 2)))
    if groups and trouble:
        console.print()
    for sentence in trouble:
        _say(console, sentence)
    if groups or trouble:
        console.print()


def _say(console: Console, text: str) -> None:
    for line in text.splitlines():
        console.print(Text(plain(line)))


def matrix_markdown(matrix: Matrix) -> str:
    """The table in Markdown, with a line break at its end."""
    rows = [["recipe", *headings(matrix)], ["---"] * (1 + len(matrix.columns))]
    for recipe in matrix.recipes:
        cells = [matrix.cell(recipe, column) for column in matrix.columns]
        rows.append([f"**{_escaped(recipe.id)}**: {_escaped(recipe.title)}", *(_marked(cell) for cell in cells)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _marked(cell: Cell) -> str:
    if cell.verdict == "refused":
        return f"**{_escaped(cell_text(cell))}**"
    first, *rest = (_escaped(line) for line in cell_lines(cell))
    told = first if cell.verdict == "certified" else f"**{first}**"
    return f"{told}{': ' if rest else ''}{', '.join(rest)}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", plain(text))
