"""What a soak came to. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.soak_publishers.judge import SLACK_S, Totals, Wrong
from benchmarks.soak_publishers.leaks import Memory
from benchmarks.soak_publishers.seen import Seen
from benchmarks.soak_publishers.walk import Walk

__all__ = ["Outcome"]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a soak came to.

    Attributes:
        wrongs: what is wrong, the first of each kind in words.
        count: how often each kind was found.
        inconclusive: why the soak says nothing, or less than it should.
        totals: of calls and messages.
        seen: of the faults.
        cuts: by what was cut.
        walk: where connections were cut; None: none were.
        memory: by program.
        rounds: that were settled.
        seconds: that it took.
        slack_s: so much after its deadline a call might end.
        loads: the machine's load (1 minute) at the end of each round.
    """

    wrongs: list[Wrong] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)
    inconclusive: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    seen: Seen = field(default_factory=Seen)
    cuts: Counter[str] = field(default_factory=Counter)
    walk: Walk | None = None
    memory: dict[str, Memory | None] = field(default_factory=dict)
    rounds: int = 0
    seconds: float = 0.0
    loads: list[float] = field(default_factory=list)
    slack_s: float = SLACK_S

    def add(self, wrongs: Iterable[Wrong]) -> None:
        """Take in what is wrong; of each kind the first ten stay in words."""
        for wrong in wrongs:
            self.count[wrong.kind] += 1
            if self.count[wrong.kind] <= _IN_WORDS:
                self.wrongs.append(wrong)

    @property
    def exit_status(self) -> int:
        """0: all is well; 1: something is wrong; 3: inconclusive."""
        return 1 if self.count else 3 if self.inconclusive else 0


_IN_WORDS = 10
