"""The link stalls: bytes are held, and passed on in order once the fault ends."""

from __future__ import annotations

import random
from dataclasses import dataclass

from conformance.faults.base import HOLD, Acting, Action, Connection, Direction, LinkFault, Piece, register

__all__ = ["Stall"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(LinkFault):
    """Both ends observe silence, then everything at once. Back-pressure holds: what no buffer takes is not read."""

    name = "stall"

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return _Stall()


class _Stall(Acting):
    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:  # noqa: ARG002
        self.counts["held"] += 1
        return HOLD
