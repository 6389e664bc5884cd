"""What is told while a run is under way."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from conformance.catalogue.result import CheckResult
from conformance.report.console import make_console
from conformance.report.progress import Progress

Make = Callable[..., CheckResult]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now_s


def test_lines_now_and_then_without_a_terminal(certified: Make, violated: Make) -> None:
    """Phases at once, certified checks every ten seconds, others at once, and the end."""
    out, clock = io.StringIO(), Clock()
    with Progress(console=Console(file=out, width=80), clock=clock) as progress:
        progress.phase("starting the broker")
        clock.now_s += 6
        progress.start(4, ["a/1", "a/2", "a/3", "a/4"])
        progress.check_done(certified("a/1"))
        clock.now_s += 11
        progress.check_done(certified("a/2"))
        progress.check_done(violated("a/3"))
        progress.check_done(certified("a/4"))
    assert out.getvalue().splitlines() == [
        "[0 ms] starting the broker",
        "[0 of 4 checks, 6.00 s] a/1",
        "[2 of 4 checks, 17.0 s] a/3",
        "[3 of 4 checks, 17.0 s] VIOLATED a/3: 1 of 1 owed lost (auto-delete-queue)",
        "[4 of 4 checks, 17.0 s]",
    ]


def test_a_bar_on_a_terminal(violated: Make, certified: Make) -> None:
    """The bar counts the checks, names the one that runs, and is gone at the end; what is violated stays."""
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system=None, legacy_windows=False)
    with Progress(console=console) as progress:
        progress.phase("starting the broker")
        progress.start(2, ["a/1", "a/2"])
        progress.check_done(violated("a/1"))
        progress.check_done(certified("a/2"))
    drawn = out.getvalue()
    assert "VIOLATED a/1: 1 of 1 owed lost (auto-delete-queue)\n" in drawn
    assert "2/2" in drawn
    assert "a/2 certified" in drawn
    assert drawn.endswith("\x1b[2K")


def test_nothing_where_it_is_not_wanted(violated: Make) -> None:
    """With --quiet and --json not even a violation is told on the way."""
    out = io.StringIO()
    with Progress(enabled=False, console=Console(file=out, force_terminal=True)) as progress:
        progress.phase("starting the broker")
        progress.start(1)
        progress.check_done(violated())
        progress.stop()
    assert out.getvalue() == ""


def test_hostile_text_stays_text(violated: Make) -> None:
    """A broker's error neither recolours the terminal nor is taken for markup."""
    out = io.StringIO()
    with Progress(console=Console(file=out, width=80), clock=Clock()) as progress:
        progress.check_done(violated(summary="[red]x[/] \x1b[31m\nforged"))
    assert out.getvalue() == "[0 ms] VIOLATED cut/rst/while-away: [red]x[/] \\x1b[31m\\nforged\n"


def test_the_console_without_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """80 columns and no colour into a pipe; COLUMNS may say otherwise; progress goes to standard error."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    console = make_console()
    assert (console.width, console.color_system) == (80, None)
    monkeypatch.setenv("COLUMNS", "120")
    assert make_console().width == 120
    make_console(stderr=True).print("aside")
    assert capsys.readouterr() == ("", "aside\n")
