"""Everything comes later, by a time that changes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import PASS, Acting, Action, Connection, Delay, Direction, LinkFault, Piece, register

__all__ = ["Jitter"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter(LinkFault):
    """Both ends observe a round trip that varies; nothing is lost or reordered.

    Attributes:
        most_ms: the longest delay in each direction; drawn evenly from 0 for each piece.
    """

    name = "jitter"
    most_ms: Annotated[int, Field(ge=0, le=60_000)] = 50

    def acting(self, rng: random.Random) -> Acting:
        """See :meth:`LinkFault.acting`."""
        return _Jitter(self, rng)


class _Jitter(Acting):
    def __init__(self, fault: Jitter, rng: random.Random) -> None:
        super().__init__()
        self._fault = fault
        self._rng = rng

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:  # noqa: ARG002
        if not self._fault.most_ms:
            return PASS
        self.counts["delayed"] += 1
        return Delay(self._rng.uniform(0, self._fault.most_ms) / 1000)
