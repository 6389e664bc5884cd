"""The results as Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.publishers.found import YARDSTICK
from benchmarks.publishers.player import WARM_UP_S, Turn


@dataclass(frozen=True)
class Played:
    """A peer's turn in a round; ``broker_cpu_s``: of the whole turn, its warm-up with it."""

    round: int
    turn: Turn
    broker_cpu_s: float | None


def table(played: dict[str, list[Played]]) -> list[str]:
    """The lines for one work; ``played``: the turns by the peer's name."""
    lines = [
        "| client | min/s | median/s | max/s | share of C | middle half | client CPU | broker CPU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    yardstick = {one.round: one.turn.rate for one in played.get(YARDSTICK, []) if one.turn.rate}
    for name, turns in played.items():
        rates = sorted(one.turn.rate for one in turns)
        messages = sum(one.turn.messages for one in turns) or math.inf
        client = sum(one.turn.client_cpu_s for one in turns) / messages * 100_000
        lines.append(
            f"| {name} | {rates[0]:,.0f} | {median(rates):,.0f} | {rates[-1]:,.0f} "
            f"| {_shares([one.turn.rate / yardstick[one.round] for one in turns if one.round in yardstick])} "
            f"| {client:.1f} s | {_broker_cpu(turns, messages)} |"
        )
    return lines


def _shares(shares: list[float]) -> str:
    """The median, and what the middle half of the rounds had."""
    if len(shares) < 2:
        return f"{shares[0]:.2f} | –" if shares else "– | –"
    low, middle, high = quantiles(shares, n=4, method="inclusive")
    return f"{middle:.2f} | {low:.2f}–{high:.2f}"


def _broker_cpu(turns: list[Played], messages: float) -> str:
    told = [one.broker_cpu_s for one in turns if one.broker_cpu_s is not None]
    if not told:
        return "–"
    # Messages of the warm-up are not counted, so it has its share of the CPU left out, by time.
    share = sum(one.turn.seconds for one in turns) / sum(one.turn.seconds + WARM_UP_S for one in turns)
    return f"{sum(told) * share / messages * 100_000:.1f} s"
