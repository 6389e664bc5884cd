"""What publishers saw of the faults of a soak."""

from __future__ import annotations

import threading
from collections import Counter

from benchmarks.soak_publishers.plan import Kind
from benchmarks.soak_publishers.records import ConnectionFact

__all__ = ["SEEN_BY", "Seen"]

SEEN_BY: dict[Kind, tuple[str, str]] = {
    "kill": ("lost", ""),
    "pause": ("lost", "heart-beats"),
    "memory alarm": ("blocked", ""),
    "disk alarm": ("blocked", ""),
    "close": ("lost", "CONNECTION_FORCED"),
}
"""What a publisher's observer is told of at least once, if the fault was there: the event, and a part of its reason."""


class Seen:
    """What was seen of the faults. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now: Kind = "calm"
        self.times: Counter[Kind] = Counter()
        self.lost: Counter[Kind] = Counter()
        self.not_connected: Counter[Kind] = Counter()
        self.blocked: Counter[Kind] = Counter()
        self.effect: Counter[Kind] = Counter()

    def begin(self, kind: Kind) -> None:
        """From now on this is what happens."""
        with self._lock:
            self.now = kind
            self.times[kind] += 1

    def take(self, fact: ConnectionFact) -> None:
        """A publisher's observer was told of this."""
        with self._lock:
            kind = self.now
            self.lost[kind] += fact.event == "lost"
            self.not_connected[kind] += fact.event == "not connected"
            self.blocked[kind] += fact.event == "blocked"
            event, part = SEEN_BY.get(kind, ("", ""))
            self.effect[kind] += fact.event == event and part in fact.reason
