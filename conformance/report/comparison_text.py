"""A comparison of two certificates, for a terminal and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from conformance.report.comparison import Change, Comparison, LessCovered, Slower
from conformance.report.plain import plain

__all__ = ["comparison_headline", "comparison_json", "print_comparison"]

_INDENT = (0, 0, 0, 2)
_DEEPER = (0, 0, 0, 4)


def comparison_headline(comparison: Comparison, *, regression: bool) -> str:
    """The outcome in one sentence."""
    counted = [
        ("worse", comparison.worse),
        ("newly unchecked", comparison.newly_unchecked),
        ("slower", comparison.slower),
        ("newly accepted", comparison.newly_accepted),
        ("better", comparison.better),
        ("newly checked", comparison.newly_checked),
        ("faster", comparison.faster),
    ]
    parts = [f"{len(found)} {name}" for name, found in counted if found] + [f"{comparison.same} as before"]
    if comparison.less_covered is not None:
        parts.insert(-1, "fewer pairs met")
    return f"{'REGRESSION' if regression else 'NO REGRESSION'}: {', '.join(parts)}."


def comparison_json(comparison: Comparison, *, regression: bool) -> str:
    """The comparison as JSON text, with a line break at its end."""
    document: dict[str, Any] = {
        "schema": 1,
        "regression": regression,
        "summary": comparison_headline(comparison, regression=regression),
        **dataclasses.asdict(comparison),
    }
    return json.dumps(document, indent=2, allow_nan=False, default=str) + "\n"


def print_comparison(comparison: Comparison, console: Console, *, regression: bool) -> None:
    """Print it: what the setups differ in, what is worse, the rest, the outcome."""
    if comparison.setup:
        console.print(Text("Different setup", "bold"))
        for one in comparison.setup:
            _line(console, f"{one.what}: {_shown(one.old)} → {_shown(one.new)}")
    _changes(console, "Worse", "bold red", comparison.worse)
    _changes(console, "Newly unchecked", "bold yellow", comparison.newly_unchecked)
    _slower(console, "Slower", "bold yellow", comparison.slower)
    _less_covered(console, comparison.less_covered)
    _changes(console, "Newly accepted deviations", "bold magenta", comparison.newly_accepted)
    _changes(console, "Better", "bold green", comparison.better)
    _changes(console, "Newly checked", "bold green", comparison.newly_checked)
    _slower(console, "Faster", "bold green", comparison.faster)
    if comparison.unsteady:
        console.print(Text("Not the same in every old run", "bold yellow"))
        for check_id in comparison.unsteady:
            _line(console, check_id)
    if comparison.times_not_judged:
        console.print(Text(f"Times were not judged: {comparison.times_not_judged}."))
    style = "bold red" if regression else "bold green"
    console.print(Text(comparison_headline(comparison, regression=regression), style))


def _changes(console: Console, title: str, style: str, changes: Sequence[Change]) -> None:
    if not changes:
        return
    console.print(Text(title, style))
    for change in changes:
        _line(console, f"{change.id}: {_word(change.old)} → {_word(change.new)}")
        if change.new is not None:  # else the line above has said it
            console.print(Padding(Text(plain(change.why), "dim"), _DEEPER))


def _slower(console: Console, title: str, style: str, times: Sequence[Slower]) -> None:
    if not times:
        return
    console.print(Text(title, style))
    for one in times:
        noise = f"the old runs differ by {one.noise:.2f} at most"
        if one.id is None:
            _line(console, f"all checks, {one.what}: {one.ratio:.2f} times the old in the middle ({noise})")
        else:
            _line(console, f"{one.id}, {one.what}: {one.old:.4g} → {one.new:.4g}, {one.ratio:.2f} times ({noise})")


def _less_covered(console: Console, less: LessCovered | None) -> None:
    if less is None:
        return
    console.print(Text("Less covered by what was drawn", "bold yellow"))
    if less.new is None:
        _line(console, f"pairs met: {_met(less.old)} → nothing was drawn")
        return
    scenarios = f"in {less.scenarios_old} → {less.scenarios_new} scenarios"
    _line(console, f"pairs met: {_met(less.old)} → {_met(less.new)}, {scenarios}")
    if less.missing:
        more = f" and {less.more} more" if less.more else ""
        console.print(Padding(Text(plain(f"no longer met: {', '.join(less.missing)}{more}"), "dim"), _DEEPER))


def _met(pairs: tuple[int, int]) -> str:
    met, can = pairs
    return f"{met} of {can} ({met / can:.1%})" if can else f"{met} of {can}"


def _word(verdict: str | None) -> str:
    return "not there" if verdict is None else verdict.replace("_", " ")


def _shown(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def _line(console: Console, text: str) -> None:
    console.print(Padding(Text(plain(text)), _INDENT))
