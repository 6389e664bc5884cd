"""Distributions as SVG to stand in a page: drawn by Matplotlib, coloured by the page's own style sheet.

Import this module where a plot is made, not before: Matplotlib takes most of a second to import.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from conformance.report.latency import Pool, Recoveries
from conformance.report.plain import plain
from conformance.report.view import span

__all__ = ["FLOOR_MS", "LEAST_BOXED", "MOST_POINTS", "latency_plot", "recovery_plot"]

FLOOR_MS: Final = 0.1
"""Shorter times are drawn here: the axis is logarithmic."""

LEAST_BOXED: Final = 5
"""Of fewer recoveries no box is drawn: the points say more."""

MOST_POINTS: Final = 60
"""Of more recoveries from one kind of fault, so many are drawn, at even ranks; the box is of them all."""

_COLOURS: Final = {
    "#010101": "var(--text)",
    "#020202": "var(--soft)",
    "#030303": "var(--line)",
    "#040404": "var(--mark)",
    "#050505": "var(--second)",
    "#060606": "var(--hot)",
}
"""What Matplotlib is told, and what the page makes of it."""

_TEXT, _SOFT, _GRID, _FIRST, _SECOND, _LIMIT = _COLOURS
_LOOKS = {"delivery": (_FIRST, "-"), "confirm": (_SECOND, (0, (5, 2)))}
_RC: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "durable-ws",
    "text.parse_math": False,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _SOFT,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "grid.color": _GRID,
    "font.size": 10,
}

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its font cache is no news for who certifies


def latency_plot(pools: Sequence[Pool]) -> Markup:
    """The empirical distribution functions of latencies, with their median, 95th and 99th percentile marked."""
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(8.2, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for pool in pools:
            colour, dashes = _LOOKS[pool.name]
            values = [max(value, FLOOR_MS) for value in pool.values_ms]
            drawn = axes.ecdf(values, pool.weights, color=colour, linestyle=dashes, linewidth=2)
            drawn.set_gid(f"ecdf-{pool.name}")
            drawn.set_label(f"{pool.name} (n = {pool.count:,})")
            for part, mark in ((0.5, "o"), (0.95, "s"), (0.99, "D")):
                axes.plot(max(pool.quantile(part), FLOOR_MS), part, mark, color=colour, gid=f"p{part:g}-{pool.name}")
        for part in (0.5, 0.95, 0.99):
            axes.axhline(part, color=_GRID, linewidth=1, zorder=0)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 0.95], ["0 %", "25 %", "50 %", "75 %", "95 %"])
        axes.set_ylim(0, 1.04)
        axes.set_ylabel("of all messages")
        _times(axes)
        axes.legend(frameon=False, loc="lower right")
        return _svg(figure, "latency", "Distribution of delivery and confirm latency; the table below has its numbers")


def recovery_plot(rows: Sequence[Recoveries], promised_s: float) -> Markup:
    """For each kind of fault every time to catch up, and the box of their 5th, 25th, 50th, 75th and 95th percentile.

    Args:
        rows: what to draw, at least one.
        promised_s: the contract's ``promise.recovery``, drawn as a line.
    """
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(8.2, 1.2 + 0.34 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            values = [max(value * 1e3, FLOOR_MS) for value in row.caught_up_s]
            if not values:
                continue
            if len(values) >= LEAST_BOXED:
                line = {"color": _TEXT, "linewidth": 1.2}
                axes.boxplot(
                    values, positions=[place], orientation="horizontal", widths=0.55, whis=(5, 95), showfliers=False,
                    boxprops=line, whiskerprops=line, capprops=line, medianprops={"color": _TEXT, "linewidth": 2.5},
                    manage_ticks=False,
                )  # fmt: skip
            kept = [values[n * (len(values) - 1) // max(MOST_POINTS - 1, 1)] for n in range(MOST_POINTS)]
            points = values if len(values) <= MOST_POINTS else kept
            # a fixed zigzag keeps equal times apart
            spread = [place + (0.0, 0.14, -0.14, 0.07, -0.07)[n % 5] for n in range(len(points))]
            axes.plot(points, spread, "o", color=_FIRST, markersize=4, zorder=3, gid=f"recovery-{place}")
        axes.axvline(promised_s * 1e3, color=_LIMIT, linestyle=(0, (5, 2)), linewidth=1.5, gid="promised")
        axes.annotate(
            "promise.recovery ", (promised_s * 1e3, 1), xycoords=("data", "axes fraction"), ha="right", va="bottom",
            color=_LIMIT,
        )  # fmt: skip
        axes.set_yticks(range(len(rows)), [plain(row.fault) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        _times(axes)
        return _svg(figure, "recovery", "Time to recover by kind of fault; the table below has its numbers")


def _times(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: span(value / 1e3) if value >= 1 else f"{value:g} ms"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", which="major")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _svg(figure: Figure, name: str, words: str) -> Markup:
    """The figure as an element of the page: ids of its own, no size, background or meta-data, the page's colours."""
    written = io.StringIO()
    none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(written, format="svg", transparent=True, metadata=none)
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)[ >].*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r" font-family: [^;\"]*;", "", text)  # the page's own
    text = re.sub(r"(\.\d\d)\d+", r"\1", text)
    text = re.sub(
        r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>",
        rf'<svg class="plot" viewBox="\1" role="img" aria-label="{words}">',
        text,
        count=1,
    )
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|xlink:href="#)', rf"\g<1>{name}-", text).replace("xlink:href", "href")
    for told, meant in _COLOURS.items():
        text = text.replace(told, meant)
    return Markup(text.rstrip())  # noqa: S704 - Matplotlib has escaped every text
