"""Times over all checks: pooled by weight, recoveries by kind of fault."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

from conformance.catalogue.result import CheckResult
from conformance.checker.verdict import Distribution, Recovery, Times
from conformance.report.distributions import distributions
from conformance.report.latency import latencies, recoveries
from conformance.report.plots import MOST_POINTS, recovery_plot

Make = Callable[..., CheckResult]


def timed(check: CheckResult, times: Times) -> CheckResult:
    """The check with other times."""
    assert check.detail is not None
    return replace(check, detail=replace(check.detail, times=times))


def measured(*sample_ms: float, count: int | None = None) -> Times:
    """Delivery latencies, of which there may be more than were kept."""
    ordered = sorted(sample_ms)
    return Times(
        delivery=Distribution(
            count=count or len(ordered), min_ms=ordered[0], median_ms=0, p95_ms=0, p99_ms=0, max_ms=ordered[-1],
            sample_ms=tuple(ordered),
        )
    )  # fmt: skip


def recovered(fault: str, caught_up_s: float | None, tab: str | None = "t") -> Recovery:
    """A recovery; the tab was back after half of it."""
    back_s = None if caught_up_s is None else caught_up_s / 2
    return Recovery(
        fault=fault, target="x", tab=tab, index=1, back_s=back_s, caught_up_s=caught_up_s if tab is not None else None
    )


def test_a_check_counts_as_much_as_it_measured(certified: Make, drawn: Make) -> None:
    """Two values that stand for 98 messages beside two for themselves: quantiles are of a hundred."""
    results = [timed(certified("a"), measured(1, 2, count=98)), timed(certified("b"), measured(10, 20)), drawn()]
    (pool,) = latencies(results)
    assert (pool.name, pool.count) == ("delivery", 100)
    assert [pool.quantile(part) for part in (0.0, 0.49, 0.5, 0.98, 0.99, 1.0)] == [1, 1, 2, 2, 10, 20]


def test_recoveries_are_told_by_kind_of_fault(certified: Make) -> None:
    """Over all checks, rising; what never caught up is counted; the publisher's stand apart, until its next confirm."""
    results = [
        timed(certified("a"), Times(recoveries=(recovered("rst", 4), recovered("flap", None)))),
        timed(certified("b"), Times(recoveries=(recovered("rst", 2), recovered("rst", 6, tab=None)))),
    ]
    found = [(row.fault, row.back_s, row.caught_up_s, row.never) for row in recoveries(results)]
    assert found == [("flap", [], [], 1), ("rst", [1, 2], [2, 4], 0), ("rst (publisher)", [3], [3], 0)]


def test_the_plots_say_what_the_tables_say(certified: Make) -> None:
    """A plot of each, the numbers beside it; a fault that nobody recovered from is in the table alone."""
    times = replace(measured(1, 2, 3, 400), recoveries=(recovered("rst", 4), recovered("flap", None)))
    latency, recovery = distributions([timed(certified(), times)], {"recovery": "1m"})
    assert latency.rows == [["delivery", "4", "1.00 ms", "2.00 ms", "400 ms", "400 ms", "400 ms"]]
    assert [row[:4] for row in recovery.rows] == [["flap", "1", "1", ""], ["rst", "1", "0", "2.00 s"]]
    assert ">rst</text>" in recovery.svg
    assert ">flap</text>" not in recovery.svg


def test_nothing_measured_is_no_plot(certified: Make) -> None:
    """Not an empty frame."""
    assert distributions([timed(certified(), Times())], {"recovery": 60.0}) == []


def test_a_plot_is_the_same_each_time_and_takes_its_colours_from_the_page(certified: Make) -> None:
    """Stable ids, no date, no colour or font of its own, hostile names escaped, a bounded number of points."""
    times = Times(recoveries=tuple(recovered("<b>$x^2$\x1b", number / 100) for number in range(500)))
    rows = recoveries([timed(certified(), times)])
    one = recovery_plot(rows, 60)
    assert one == recovery_plot(rows, 60)
    assert not re.search(r"#[0-9a-f]{6}\b|metadata|font-family|<style|<b>|\x1b", one)
    assert "var(--mark)" in one
    assert "&lt;b&gt;$x^2$\\x1b" in one
    assert one.split('id="recovery-recovery-0"')[1].split("</g>")[0].count("<use") <= MOST_POINTS


def test_the_command_line_starts_without_matplotlib() -> None:
    """It is imported where a plot is made."""
    code = "import sys, conformance.cli.main, conformance.cli.certify; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
