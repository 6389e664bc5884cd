"""``durable-ws cases``: the catalogue, listed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from conformance.catalogue.case import Case
from conformance.catalogue.result import area_of
from conformance.catalogue.select import all_checks, select
from conformance.catalogue.session import Check
from conformance.report.console import make_console

__all__ = ["cases"]

_INDENT = (0, 0, 0, 2)


def cases(
    globs: Annotated[list[str] | None, typer.Argument(metavar="GLOB", help="Only ids that match.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Not these (repeatable).")] = None,
    only_areas: Annotated[bool, typer.Option("--areas", help="Only the areas, with how many checks each has.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> int:
    """List the checks: id, rule, source and what must be seen."""
    chosen = select(all_checks(), only=globs or (), exclude=exclude or (), option="GLOB")
    areas = Counter(area_of(check.id) for check in chosen)
    if as_json:
        listed = dict(areas) if only_areas else [_row(check) for check in chosen]
        sys.stdout.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
        return 0
    console = make_console()
    for check in () if only_areas else chosen:
        console.print(Text(check.id, "bold"))
        console.print(Padding(Text(check.rule), _INDENT))
        console.print(Padding(Text(f"Expected: {check.expectation}"), _INDENT))
        console.print(Text(f"  Source: {check.source}", "dim"), soft_wrap=True)
    if only_areas:
        sys.stdout.write("".join(f"{count:>3}  {area}\n" for area, count in areas.items()))
        sys.stdout.write(f"{len(chosen):>3}  in all\n")
    return 0


def _row(check: Check) -> dict[str, object]:
    return {
        "id": check.id,
        "area": area_of(check.id),
        "rule": check.rule,
        "source": check.source,
        "expectation": check.expectation,
        "asks": sorted(check.asks) if isinstance(check, Case) else [],
    }
