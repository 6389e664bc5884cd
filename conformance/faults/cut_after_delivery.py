"""The link is cut once the n-th MESSAGE has reached the tab, before its ack can pass."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import (
    HOLD,
    PASS,
    VANISH,
    Acting,
    Action,
    Connection,
    Direction,
    LinkFault,
    Piece,
    register,
)
from conformance.faults.cutting import Cutter

__all__ = ["CutAfterDelivery"]

_GRACE_S = 0.1
"""How long the tab has to take the message in before the cut, where it sends no ack that would show it."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CutAfterDelivery(LinkFault):
    """The tab has the message, and observes the cut as it acks it (or a tenth of a second later).

    Attributes:
        n: which message, from 1, counted for each connection.
        reset: cut by a reset, else in an orderly way.
        down: refuse new connections from then on until the fault ends.
    """

    name = "cut_after_delivery"
    links = frozenset({"tab"})
    n: Annotated[int, Field(ge=1)] = 1
    reset: bool = True
    down: bool = True

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return _CutAfterDelivery(self.n, reset=self.reset, stays_down=self.down)


class _CutAfterDelivery(Cutter):
    """Counts the cut when it is made, not when it is due: whoever heals at that sign finds the ack not passed on."""

    def __init__(self, n: int, *, reset: bool, stays_down: bool) -> None:
        super().__init__(reset=reset, stays_down=stays_down)
        self._n = n
        self._met: dict[int, int] = {}
        self._doomed: set[int] = set()

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:
        if "end" in piece.marks:
            return PASS  # it went by itself
        if connection.number in self._doomed:
            if direction == "to_client":
                return HOLD  # until the cut; passed on if the fault ends before it
            connection.cut(reset=self.reset)
            self.note_cut()
            return VANISH
        if self.fired or direction != "to_client" or "message" not in piece.marks:
            return PASS
        met = self._met.get(connection.number, 0) + piece.marks.count("message")
        self._met[connection.number] = met
        if met >= self._n:
            self._doomed.add(connection.number)
            connection.cut_soon(_GRACE_S, reset=self.reset, then=self.note_cut)
        return PASS
