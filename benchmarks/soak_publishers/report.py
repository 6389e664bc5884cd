"""What a soak came to, as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.soak_publishers.leaks import MOST_GROWTH_BYTES
from benchmarks.soak_publishers.outcome import Outcome

__all__ = ["report"]

_OUTCOMES = ("confirmed", "unrouted", "unroutable", "not sent", "refused", "nacked", "unknown", "nothing", "cancelled")
_MIB = 1024 * 1024


def report(outcome: Outcome) -> str:
    """The tables, and the verdict in the last line."""
    totals = outcome.totals
    parts = [
        _calls(outcome),
        (
            f"{totals.again:,} messages took more than one attempt, {sum(totals.cancelled.values()):,} were cancelled; "
            f"{totals.found:,} were found in the queues, {totals.copies:,} of them copies that such attempts explain."
        ),
        _faults(outcome),
        _cuts(outcome),
        f"The latest call ended {totals.latest_s:+.2f} s after its deadline ({outcome.slack_s:g} s are allowed).",
        _memory(outcome),
        f"{outcome.rounds} rounds in {outcome.seconds / 60:.1f} minutes, load {_span(outcome.loads)}.",
        _verdict(outcome),
    ]
    return "\n\n".join(part for part in parts if part)


def _calls(outcome: Outcome) -> str:
    totals = outcome.totals
    told = [one for one in _OUTCOMES if any(what == one for (*_, what) in totals.messages)]
    told += sorted({what for (*_, what) in totals.messages} - set(told))
    rows = [["program", "way", "calls", *told]]
    for program, way in sorted(totals.calls):
        counts = [totals.messages[program, way, what] for what in told]
        rows.append([program, way, f"{totals.calls[program, way]:,}", *(f"{count:,}" for count in counts)])
    return _table(rows)


def _faults(outcome: Outcome) -> str:
    seen = outcome.seen
    rows = [["fault", "times", "connections lost", "not made", "blocked", "seen"]]
    for kind in seen.times:
        effect = {"calm": "", "cuts": f"{sum(outcome.cuts.values()):,}"}.get(kind, f"{seen.effect[kind]:,}")
        counts = (seen.times[kind], seen.lost[kind], seen.not_connected[kind], seen.blocked[kind])
        rows.append([kind, *(f"{count:,}" for count in counts), effect])
    return _table(rows)


def _cuts(outcome: Outcome) -> str:
    walk = outcome.walk
    if walk is None or not outcome.cuts:
        return ""
    rows = [["cut within", "times"], *([name, f"{count:,}"] for name, count in sorted(outcome.cuts.items()))]
    lines = []
    for direction, size in walk.conversation.items():
        missed = len(walk.missed(direction))
        way = direction.replace("_", " ")
        lines.append(f"{way}: cut after {size - missed} of the {size} bytes until the first confirm")
    return _table(rows) + "\n\n" + "\n".join(lines)


def _memory(outcome: Outcome) -> str:
    lines = []
    for program, memory in outcome.memory.items():
        if memory is None:
            lines.append(f"Memory of {program}: not compared, there are too few rounds.")
            continue
        third, end = memory.third, memory.end
        grown, blocks = (end.rss_bytes - third.rss_bytes) / _MIB, end.blocks - third.blocks
        lines.append(
            f"Memory of {program}: {third.rss_bytes / _MIB:.1f} MiB after {third.messages:,} messages, "
            f"{end.rss_bytes / _MIB:.1f} MiB after {end.messages:,} ({grown:+.1f} MiB, {MOST_GROWTH_BYTES / _MIB:g} "
            f"are allowed; {blocks:+,} allocated blocks)."
        )
    return "\n".join(lines)


def _verdict(outcome: Outcome) -> str:
    lines = [f"WRONG: {kind} ({count} times)" for kind, count in outcome.count.most_common()]
    lines += [f"  {wrong.kind}: {wrong.text}" for wrong in outcome.wrongs]
    lines += [f"inconclusive: {why}" for why in outcome.inconclusive]
    if outcome.count:
        return "\n".join([*lines, f"The soak found {outcome.count.total()} things that are wrong."])
    if outcome.inconclusive:
        return "\n".join([*lines, "Nothing was found wrong, but the soak did not see all that it should."])
    return (
        "Nothing is wrong: each call ended by its deadline, each confirmed message was in the queue, each outcome\n"
        "told was true, memory stayed flat, no thread, task or file descriptor is left."
    )


def _span(values: list[float]) -> str:
    return f"{min(values):.1f}–{max(values):.1f}" if values else "unknown"


def _table(rows: Iterable[list[str]]) -> str:
    rows = list(rows)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    texts = sum(not any(row[place].replace(",", "").isdigit() for row in rows) for place in range(len(widths)))
    return "\n".join(
        "  ".join(cell.ljust(width) if place < texts else cell.rjust(width) for place, (cell, width) in enumerate(
            zip(row, widths, strict=True)
        )).rstrip()
        for row in rows
    )  # fmt: skip
