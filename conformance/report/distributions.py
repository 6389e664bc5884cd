"""What a report says of times: a plot of each distribution, and its numbers as a table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from conformance.catalogue.result import CheckResult
from conformance.contract.duration import parse_duration
from conformance.errors import UsageError
from conformance.report.latency import Pool, Recoveries, latencies, recoveries
from conformance.report.view import span
from conformance.world.broker.cache import cache_folder

__all__ = ["Plot", "distributions"]

_PARTS = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A plot with its title, a sentence on how to read it, and the same in numbers."""

    title: str
    words: str
    svg: Markup
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def distributions(results: Sequence[CheckResult], promise: Mapping[str, Any]) -> list[Plot]:
    """The plots of a run; none of what was not measured.

    Args:
        results: the checks.
        promise: the contract's, as :func:`conformance.contract.loader.contract_to_dict` writes it.
    """
    pools, rows = latencies(results), recoveries(results)
    drawn_rows = [row for row in rows if row.caught_up_s]
    if not pools and not drawn_rows:
        return []
    _keep_to_the_cache()
    from conformance.report import plots  # it imports Matplotlib, which takes most of a second

    found = []
    if pools:
        found.append(
            Plot(
                title="Delivery latency",
                words="From publish to the first delivery to a tab, also where the tab was away meanwhile; confirm: "
                "from publish to the publisher's confirm. The line says which part of all messages took no longer, "
                "over all checks; marked are the median (●), 95 % (■) and 99 % (◆). "
                f"The axis is logarithmic; less than {plots.FLOOR_MS:g} ms is drawn at its end.",
                svg=plots.latency_plot(pools),
                heads=("latency", "messages", "shortest", "median", "95 %", "99 %", "longest"),
                rows=[_latency_row(pool) for pool in pools],
            )
        )
    if drawn_rows:
        found.append(
            Plot(
                title="Recovery after each kind of fault",
                words="From the end of a fault until the tab had handled all that it was owed at its return (of the "
                "publisher: until its next confirm), over all checks. The points are single recoveries, at most "
                f"{plots.MOST_POINTS} a line; of {plots.LEAST_BOXED} and more a box holds the middle half with the "
                "median in it, its whiskers reach from 5 % to 95 %. The axis is logarithmic; less than "
                f"{plots.FLOOR_MS:g} ms is drawn at its end. The table also has the time until the tab was "
                "subscribed again.",
                svg=plots.recovery_plot(drawn_rows, _seconds(promise["recovery"])),
                heads=(
                    "fault",
                    "recoveries",
                    "never",
                    "back: median",
                    "caught up: shortest",
                    "median",
                    "95 %",
                    "longest",
                ),
                rows=[_recovery_row(row) for row in rows],
            )
        )
    return found


def _seconds(told: object) -> float:
    return parse_duration(told) if isinstance(told, str) else float(str(told))


def _latency_row(pool: Pool) -> list[str]:
    return [pool.name, f"{pool.count:,}", *(_ms(pool.quantile(part)) for part in (0.0, *_PARTS, 1.0))]


def _recovery_row(row: Recoveries) -> list[str]:
    caught = row.caught_up_s
    return [
        row.fault,
        str(len(caught) + row.never),
        str(row.never),
        span(_rank(row.back_s, 50)) if row.back_s else "",
        *(span(_rank(caught, percent)) if caught else "" for percent in (0, 50, 95, 100)),
    ]


def _rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[(len(ordered) - 1) * percent // 100]


def _ms(value: float) -> str:
    return f"{value:.2f} ms" if value < 10 else span(value / 1000)


def _keep_to_the_cache() -> None:
    """Matplotlib's list of fonts goes to the suite's own folder, unless ``MPLCONFIGDIR`` names another."""
    with contextlib.suppress(UsageError):  # without a cache folder Matplotlib finds itself another place
        os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))
