"""Which faults come when, drawn by a seed. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

__all__ = ["BIG", "ROUND_S", "Act", "Kind", "Plan"]

Kind = Literal["calm", "cuts", "kill", "pause", "memory alarm", "disk alarm", "close"]

BIG: tuple[Kind, ...] = ("kill", "pause", "memory alarm", "disk alarm", "close")
"""The faults of the node; each is dealt once before any is dealt again."""

ROUND_S = 45.0
"""How long a round is about to last, its settlement included."""

_LASTS_S: dict[Kind, tuple[float, float]] = {
    "kill": (0.0, 3.0),  # before it is started again
    "pause": (7.0, 9.0),  # a publisher with heart-beats of 2 s gives up after 4 to 5
    "memory alarm": (2.0, 5.0),
    "disk alarm": (2.0, 5.0),
    "close": (0.5, 2.0),  # after it
}


@dataclass(frozen=True, slots=True)
class Act:
    """One fault, or none.

    Attributes:
        kind: ``calm`` (none), ``cuts`` (each connection, somewhere), ``kill`` (-9, and started again), ``pause``
            (SIGSTOP and SIGCONT), ``memory alarm``, ``disk alarm``, ``close`` (an administrator closes all
            connections).
        seconds: how long, at least.
        cutting: connections are cut meanwhile, too.
    """

    kind: Kind
    seconds: float
    cutting: bool = False


class Plan:
    """Deals rounds.

    Args:
        seed: fixes them all.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/plan")
        self._deck: list[Kind] = []

    def round(self, seconds: float) -> list[Act]:
        """The acts of a round that lasts about so long: cuts between two faults of the node (one, if it is short)."""
        big = [self._deal() for _ in range(2 if seconds > 30 else 1)]
        spent = sum(act.seconds + 6.0 for act in big)  # a few seconds for rabbitmqctl, or for the node to be up again
        cuts_s = max(3.0, (seconds - spent) / (len(big) + 1) - 1.0)
        acts = [Act("calm", 1.0), Act("cuts", cuts_s, cutting=True)]
        for one in big:
            acts += [one, Act("calm", 1.0), Act("cuts", cuts_s, cutting=True)]
        return acts

    def _deal(self) -> Act:
        if not self._deck:
            self._deck = list(BIG)
            self._rng.shuffle(self._deck)
        kind = self._deck.pop()
        return Act(kind, self._rng.uniform(*_LASTS_S[kind]), cutting=self._rng.random() < 0.4)
