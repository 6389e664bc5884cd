"""How far the generated checks went, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from conformance.report.plain import plain

__all__ = ["MOST_MISSING", "coverage_lines", "coverage_table"]

MOST_MISSING: Final = 8
"""How many missing pairs are named."""

_COLUMNS: Final = {"tab": "phase of the tab", "message": "of the message", "away": "who is away"}


def coverage_table(coverage: Mapping[str, Any]) -> Table:
    """A row for each fault: how many of its pairs with each other dimension were met, of how many that can be.

    Args:
        coverage: as it stands in the certificate.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("Pairs met", overflow="fold", header_style="bold")
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in coverage["rows"]:
        cells = [Text("{}/{}".format(*row[key]), "" if row[key][0] == row[key][1] else "yellow") for key in _COLUMNS]
        table.add_row(Text(f"  {plain(row['fault'])}"), *cells)
    return table


def coverage_lines(coverage: Mapping[str, Any]) -> list[str]:
    """The shares in a sentence, and the first of what is missing in another."""
    shares = [
        f"{coverage[size]['met']:,} of {coverage[size]['can_be_met']:,} {size} ({coverage[size]['share']:.1%})"
        for size in ("pairs", "triples")
    ]
    lines = [f"{coverage['scenarios']:,} plays met {' and '.join(shares)} of fault, tab, message and who is away."]
    missing = [" + ".join(pair.values()) for pair in coverage["missing_pairs"]]
    if missing:
        more = f" and {len(missing) - MOST_MISSING} more" if len(missing) > MOST_MISSING else ""
        lines.append(f"Not met: {', '.join(missing[:MOST_MISSING])}{more}.")
    return lines
