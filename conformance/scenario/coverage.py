"""How far generated scenarios went: pairs and triples of a situation's values, met of those that can be met."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Any

from conformance.contract.model import Contract
from conformance.scenario.cues import CUES, cues_for
from conformance.scenario.situations import AWAY, MESSAGE_PHASES, SLOW, TAB_PHASES, Situation, label_of

__all__ = ["RULES", "Combination", "Coverage", "Rule", "Universe", "combinations_of"]

DIMENSIONS = Situation._fields

Combination = tuple[tuple[str, str], ...]
"""Two or three (dimension, value), in the order of :data:`DIMENSIONS`."""

_HOLDS_A_PAGE = frozenset({"unacked", "redelivered"})
_OUT = frozenset({"away", "resubscribing"})
_SUBSCRIBED = frozenset({"idle", "with unacked", "two pages", "ghost"})
_NEW = frozenset({"connecting", "subscribing"})
_ON_A_TAB = frozenset(cue.fault for cue in CUES if "tab" in cue.on)
_BROKER_IS_THERE = frozenset({"administrator", "alarm", "limits"})
_AT_ANY_TIME = frozenset(cue.fault for cue in CUES if cue.waits_for == "nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Why some situations can't be met."""

    why: str
    bars: Callable[[Situation], bool]


RULES = (
    Rule(
        why="A tab that is away, or only subscribing again, is itself one of those who are away.",
        bars=lambda s: s.tab in _OUT and s.away in ("nobody", "publisher"),
    ),
    Rule(
        why="Where all tabs are away none is subscribed.",
        bars=lambda s: s.tab in _SUBSCRIBED and s.away == "all tabs",
    ),
    Rule(
        why="What is unacked is with a page, which is subscribed: it goes back to the queue with the connection.",
        bars=lambda s: s.message in _HOLDS_A_PAGE and s.tab not in ("with unacked", "two pages", "ghost"),
    ),
    Rule(
        why="Nothing is owed to a tab before it was first subscribed.",
        bars=lambda s: s.tab in _NEW and s.message != "none",
    ),
    Rule(
        why="A fault goes on the link of a tab that has been subscribed; before that its obligations have not begun.",
        bars=lambda s: s.fault in _ON_A_TAB and s.tab in _NEW,
    ),
    Rule(
        why="A link that is only slow is not away, and has one fault at a time.",
        bars=lambda s: (
            s.fault.removesuffix(" (publisher)") in SLOW
            and s.fault.endswith("(publisher)")
            and s.away in ("publisher", "publisher and tabs")
        ),
    ),
    Rule(
        why="Of two pages with one id either may get a message, so only faults that wait for none are put on them.",
        bars=lambda s: s.tab == "two pages" and s.fault in _ON_A_TAB - _AT_ANY_TIME,
    ),
    Rule(
        why="A link has one fault at a time: the ghost's is its blackhole.",
        bars=lambda s: s.tab == "ghost" and s.fault in _ON_A_TAB - {"blackhole"},
    ),
    Rule(
        why="A tab with unacked messages has messages under way.",
        bars=lambda s: s.tab == "with unacked" and s.message == "none",
    ),
    Rule(
        why="The broker has one fault at a time; with these it can be reached.",
        bars=lambda s: s.fault in _BROKER_IS_THERE and s.away == "broker",
    ),
    Rule(
        why="A node that is down or stands still answers nobody who connects.",
        bars=lambda s: s.tab in ("subscribing", "resubscribing") and s.away == "broker",
    ),
)
"""What bars situations, in the order in which it is told."""


def combinations_of(situation: Situation, size: int) -> Iterator[Combination]:
    """The pairs (size 2) or triples (3) of a situation's values."""
    return combinations(zip(DIMENSIONS, situation, strict=True), size)


class Universe:
    """The situations that can be met at all.

    Args:
        faults: their labels (:func:`conformance.scenario.situations.label_of`).
        node: whether the broker's node may go down.
        ghosts: whether tabs may leave ghosts behind.
    """

    def __init__(self, faults: Iterable[str], *, node: bool, ghosts: bool) -> None:
        self.faults = tuple(dict.fromkeys(faults))
        tabs = [phase for phase in TAB_PHASES if ghosts or phase != "ghost"]
        away = [who for who in AWAY if node or who != "broker"]
        self.barred: Counter[str] = Counter()
        self._can: list[Situation] = []
        for values in product(self.faults, tabs, MESSAGE_PHASES, away):
            situation = Situation(*values)
            rule = next((rule for rule in RULES if rule.bars(situation)), None)
            if rule is None:
                self._can.append(situation)
            else:
                self.barred[rule.why] += 1

    @classmethod
    def of(cls, contract: Contract, *, broker_faults: Iterable[str] = ()) -> Universe:
        """What scenarios drawn for the contract can meet.

        Args:
            contract: the contract.
            broker_faults: labels of the faults of the broker that are drawn besides.
        """
        cues = cues_for(contract)
        tab = [cue.fault for cue in cues if "tab" in cue.on]
        publisher = [label_of(cue.fault, "publisher") for cue in cues if "publisher" in cue.on]
        of_broker = tuple(broker_faults)
        return cls(
            [*tab, *publisher, *of_broker],
            node=bool({"restart", "kill", "pause"}.intersection(of_broker)),
            ghosts="blackhole" in tab,
        )

    @cached_property
    def pairs(self) -> frozenset[Combination]:
        """The pairs that can be met."""
        return frozenset(pair for situation in self._can for pair in combinations_of(situation, 2))

    @cached_property
    def triples(self) -> frozenset[Combination]:
        """The triples that can be met."""
        return frozenset(triple for situation in self._can for triple in combinations_of(situation, 3))


class Coverage:
    """What was met so far. Safe for threads; its size is bounded by the number of combinations that there are."""

    def __init__(self, universe: Universe) -> None:
        self.universe = universe
        self._lock = threading.Lock()
        self._met: dict[int, set[Combination]] = {2: set(), 3: set()}
        self.scenarios = 0

    def add(self, situations: Iterable[Situation]) -> int:
        """Take in what a play has met; how many pairs are new."""
        met = [*situations]
        with self._lock:
            before = len(self._met[2])
            for situation in met:
                for size, known in self._met.items():
                    known.update(combinations_of(situation, size))
            self.scenarios += 1
            return len(self._met[2]) - before

    def missing(self) -> list[Combination]:
        """The pairs that can be met and have not been, in a fixed order."""
        with self._lock:
            return sorted(self.universe.pairs - self._met[2])

    def share(self, size: int = 2) -> float:
        """The share of the pairs (or triples) that can be met that has been, from 0 to 1."""
        met, can = self._count(size)
        return met / can if can else 1.0

    def _count(self, size: int) -> tuple[int, int]:
        can = self.universe.pairs if size == 2 else self.universe.triples
        with self._lock:
            return len(can & self._met[size]), len(can)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the certificate: counts of pairs and triples, a row for each fault, what is missing."""
        missing = self.missing()
        pairs, triples = self._count(2), self._count(3)
        with self._lock:
            beyond = len(self._met[2] - self.universe.pairs)
        return {
            "scenarios": self.scenarios,
            "pairs": {"met": pairs[0], "can_be_met": pairs[1], "share": round(self.share(2), 4)},
            "triples": {"met": triples[0], "can_be_met": triples[1], "share": round(self.share(3), 4)},
            "rows": [*self._rows()],
            "missing_pairs": [dict(pair) for pair in missing],
            "barred_situations": dict(self.universe.barred),
            "beyond": beyond,
        }

    def _rows(self) -> Iterator[dict[str, Any]]:
        """By fault, and then all pairs without a fault: met and can be met with each other dimension."""
        with self._lock:
            met = set(self._met[2])
        for fault in self.universe.faults:
            row: dict[str, Any] = {"fault": fault}
            for dimension in DIMENSIONS[1:]:
                can = {pair for pair in self.universe.pairs if pair[0] == ("fault", fault) and pair[1][0] == dimension}
                row[dimension] = [len(can & met), len(can)]
            yield row
