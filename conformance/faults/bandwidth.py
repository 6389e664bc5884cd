"""The link is narrow."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import PASS, Acting, Action, Connection, Direction, LinkFault, Piece, Trickle, register

__all__ = ["Bandwidth"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth(LinkFault):
    """Both ends observe that bytes trickle.

    Attributes:
        bytes_per_s: in each direction.
    """

    name = "bandwidth"
    bytes_per_s: Annotated[int, Field(ge=100)] = 10_000

    def acting(self, rng: random.Random) -> Acting:
        """See :meth:`LinkFault.acting`."""
        return _Bandwidth(self, rng)


class _Bandwidth(Acting):
    def __init__(self, fault: Bandwidth, rng: random.Random) -> None:
        super().__init__()
        self._fault = fault
        self._rng = rng

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:  # noqa: ARG002
        if not piece.data:
            return PASS
        self.counts["narrowed"] += 1
        return Trickle(max(1, self._fault.bytes_per_s // 20), 0.05)
