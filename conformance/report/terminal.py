"""The end of a run in the terminal: the checks, the story of what was lost, the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from conformance.catalogue.result import CheckResult, CheckVerdict
from conformance.checker.verdict import Verdict, Violation
from conformance.report.console import make_console
from conformance.report.coverage_text import coverage_lines, coverage_table
from conformance.report.plain import plain
from conformance.report.progress import Progress
from conformance.report.view import (
    VERDICT_WORDS,
    acceptance_lines,
    areas,
    made_by,
    moments,
    named_counts,
    replay_command,
    replays,
    span,
    steps,
    worst_first,
)

__all__ = ["MOST_STORIES", "MOST_VIOLATIONS", "Progress", "print_check", "print_report", "print_verdict"]

MOST_STORIES: Final = 3
"""How many violated checks are told in full."""

MOST_VIOLATIONS: Final = 10
"""How many further violations of one check are told, a line each."""

_STYLES: Final[dict[CheckVerdict, str]] = {
    "violated": "bold red",
    "inconclusive": "bold yellow",
    "not_checked": "yellow",
    "accepted": "bold magenta",
    "certified": "bold green",
}
_INDENT: Final = (0, 0, 0, 2)


def print_report(
    certificate: Mapping[str, Any],
    results: Sequence[CheckResult],
    *,
    report: Path | None = None,
    quiet: bool = False,
    console: Console | None = None,
) -> None:
    """Print a run's end to standard output.

    Args:
        certificate: as :func:`conformance.report.certificate.build_certificate` made it of ``results``.
        results: the checks.
        report: the folder with the report; None: there is none.
        quiet: print what is violated and the verdict, nothing else.
        console: where to; None: standard output.
    """
    console = console or make_console()
    command = certificate["command"]
    if not quiet:
        _print_checks(console, results)
        _print_coverage(console, certificate.get("coverage"))
    violated = worst_first(results)
    for result in violated[:MOST_STORIES]:
        print_check(result, command=command, console=console)
    if len(violated) > MOST_STORIES:
        _print_rest(console, violated[MOST_STORIES:], report, listed=not quiet)
    if violated or not quiet:
        console.print(Rule(style="dim"))
    if not quiet:
        _print_run(console, certificate)
        for line in acceptance_lines(certificate["acceptances"]):
            _say(console, line, _STYLES["accepted"])
    _say(console, certificate["summary"], _STYLES[certificate["verdict"]])
    if not quiet and report is not None:
        _say(console, f"Report: {report / 'report.html'}")


def print_check(result: CheckResult, *, command: Sequence[str] = (), console: Console | None = None) -> None:
    """Print all there is to say of one check: rule, counts, the first violation's story, what to change, how to replay.

    Args:
        result: of any verdict.
        command: the run's command line, for what a replay has to repeat of it.
        console: where to; None: standard output.
    """
    console = console or make_console()
    _title(console, result.id, result.verdict)
    _say(console, result.rule)
    _say(console, result.summary)
    if result.detail is not None:
        _print_detail(console, result.detail)
    if result.accepted is not None:
        _say(console, f"Accepted: {result.accepted}", "bold")
    if result.source:
        _line(console, f"Source of the rule: {result.source}")
    if result.verdict != "certified":
        _print_replay(console, result, command)


def print_verdict(name: str, verdict: Verdict, *, console: Console | None = None) -> None:
    """Print what the checker says of one history: counts, the first violation's story, what to change.

    Args:
        name: of what was played.
        verdict: with stories, where there are violations.
        console: where to; None: standard output.
    """
    console = console or make_console()
    _title(console, name, verdict.verdict)
    _say(console, f"{verdict.summary}.")
    _print_detail(console, verdict)


# --- the checks --------------------------------------------------------------------------------------------------


def _print_checks(console: Console, results: Sequence[CheckResult]) -> None:
    held = [result for result in results if result.verdict == "certified"]
    others = [result for verdict in VERDICT_WORDS for result in results if result.verdict == verdict != "certified"]
    if others:
        _heading(console, "Not certified")
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for result in others:
            grid.add_row(Text(VERDICT_WORDS[result.verdict], _STYLES[result.verdict]), Text(plain(result.id), "bold"))
            if seen := _seen(result):
                grid.add_row("", Text(seen))
            grid.add_row("", Text(plain(result.summary)))
            if result.stderr is not None:
                grid.add_row("", Text(plain(f"The program's standard error: {result.stderr}")))
            if result.accepted is not None:
                grid.add_row("", Text(plain(f"Accepted: {result.accepted}")))
        console.print(Padding(grid, _INDENT))
    if others and held:
        console.print()
    if held:
        _print_held(console, held)


def _seen(result: CheckResult) -> str:
    if result.detail is None:
        return ""
    c = result.detail.counts
    by = f", {made_by(result)}" if made_by(result) else ""
    return f"{c.confirmed} confirmed, {c.delivered} delivered, {c.lost} lost; {span(result.seconds)}{by}"


def _print_held(console: Console, held: Sequence[CheckResult]) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="", pad_edge=False)
    table.add_column("Certified", overflow="fold", header_style="bold")
    for heading in ("confirmed", "delivered", "lost", "time"):
        table.add_column(heading, justify="right", no_wrap=True, header_style="dim")
    for number, group in enumerate(areas(held).values()):
        if number:
            table.add_row()
        for result in group:
            name = Text(f"  {plain(result.id)}")
            if result.detail is not None:
                c = result.detail.counts
                seen = (f"{c.confirmed}", f"{c.delivered}", f"{c.lost}")
                name.append(f" ({made_by(result)})" if made_by(result) else "", "dim")
            else:
                drawn = result.evidence.get("scenarios")
                name.append(f" ({drawn} scenarios)" if drawn is not None else "", "dim")
                seen = ("", "", "")
            table.add_row(name, *seen, span(result.seconds))
    console.print(table)


def _print_coverage(console: Console, coverage: Mapping[str, Any] | None) -> None:
    if coverage is None or not coverage["scenarios"]:
        return
    console.print()
    console.print(coverage_table(coverage))
    for line in coverage_lines(coverage):
        _say(console, line)


def _print_rest(console: Console, rest: Sequence[CheckResult], report: Path | None, *, listed: bool) -> None:
    """Name the violated checks that are not told in full; with ``listed`` they stand in the table above."""
    where = f", told in {report / 'report.html'}" if report is not None else ""
    console.print(Rule(style="dim"))
    _say(console, f"And {len(rest)} more violated{where}" + ("." if listed else ":"))
    for result in () if listed else rest:
        console.print(Padding(Text(plain(f"{result.id}: {result.summary}")), _INDENT))


# --- one check ---------------------------------------------------------------------------------------------------


def _title(console: Console, name: str, verdict: CheckVerdict) -> None:
    console.print(Rule(style="dim"))
    console.print(Text.assemble((plain(name), "bold"), "  ", (VERDICT_WORDS[verdict], _STYLES[verdict])))


def _print_detail(console: Console, detail: Verdict) -> None:
    _say(console, "Counts: " + ", ".join(f"{name} {value}" for name, value in named_counts(detail.counts)))
    _print_violations(console, detail)
    for reason in detail.inconclusive_reasons:
        _say(console, f"Missing evidence: {reason}.")
    for note in detail.notes:
        _say(console, f"Note: {note}.")


def _print_violations(console: Console, detail: Verdict) -> None:
    if not detail.violations:
        return
    first, more = detail.violations[0], detail.violations[1 : 1 + MOST_VIOLATIONS]
    console.print()
    _say(console, f"{first.kind}: {first.summary}.", "bold")
    _print_story(console, first)
    _print_cause(console, first)
    told = {first.cause}
    for violation in more:
        if violation.cause in told:
            about = [violation.message_id or "", f"tab {violation.tab}" if violation.tab else ""]
            _say(console, f"Also {violation.kind} ({violation.cause}): {', '.join(filter(None, about))}")
        else:
            told.add(violation.cause)
            _say(console, f"Also {violation.kind}: {violation.summary}.", "bold")
            _print_cause(console, violation)
    rest = sum(entry.count for entry in detail.tally) - 1 - len(more)
    if rest > 0:
        _say(console, f"And {rest} more.")
    console.print()


def _print_story(console: Console, violation: Violation) -> None:
    if not violation.story:
        return
    _say(console, "What happened (times count from the line at 0):")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for moment in moments(violation):
        style = "bold" if moment.pinned else ""
        grid.add_row(Text(moment.when, style or "dim"), Text(plain(moment.text), style))
    console.print(Padding(grid, _INDENT))


def _print_cause(console: Console, violation: Violation) -> None:
    _say(console, f"Cause: {violation.cause}")
    _say(console, f"What to change: {violation.advice}", "bold")
    if violation.source:
        _line(console, f"See: {violation.source}")


def _print_replay(console: Console, result: CheckResult, command: Sequence[str]) -> None:
    if result.scenario is not None:
        again = replays(result)
        _say(console, "What was played" + (f" ({again}):" if again else ":"))
        for step in steps(result):
            console.print(Padding(Text(plain(step)), _INDENT))
    if result.scenario_path is not None:
        _line(console, f"Replay: {replay_command(result.scenario_path, command)}")
    if result.history is not None:
        _line(console, f"History: {result.history}")
    if result.stderr is not None:
        _line(console, f"The program's standard error: {result.stderr}")


# --- the run -----------------------------------------------------------------------------------------------------


def _print_run(console: Console, certificate: Mapping[str, Any]) -> None:
    broker = certificate["broker"]
    version = broker.get("version") or "of unknown version"
    how = broker.get("provider")
    _say(
        console,
        f"RabbitMQ {version}{f' ({how})' if how else ''}, publisher {certificate['publisher']}, "
        f"client {certificate['client']}, seed {certificate['seed']}",
    )
    spent = ", ".join(f"{name} {span(seconds)}" for name, seconds in certificate["timings"].items())
    _say(console, f"Time: {span(certificate['seconds'])} in all" + (f" ({spent})" if spent else ""))


def _heading(console: Console, text: str) -> None:
    console.print(Text(text, "bold"))


def _say(console: Console, text: str, style: str = "") -> None:
    """A paragraph, wrapped to the width; nothing for an empty one."""
    if text:
        console.print(Text(plain(text), style))


def _line(console: Console, text: str) -> None:
    """A line that is there to be copied: never broken."""
    console.print(Text(plain(text)), soft_wrap=True)
