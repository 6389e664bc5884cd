"""Bytes arrive in very small segments."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import PASS, Acting, Action, Connection, Direction, LinkFault, Piece, Trickle, register

__all__ = ["Slicer"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Slicer(LinkFault):
    """Both ends get frames in many segments, and have to put them together.

    Attributes:
        size_bytes: of a segment as it is written; TCP may join some on their way.
    """

    name = "slicer"
    size_bytes: Annotated[int, Field(ge=1)] = 1

    def acting(self, rng: random.Random) -> Acting:
        """See :meth:`LinkFault.acting`."""
        return _Slicer(self, rng)


class _Slicer(Acting):
    def __init__(self, fault: Slicer, rng: random.Random) -> None:
        super().__init__()
        self._fault = fault
        self._rng = rng

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:  # noqa: ARG002
        if len(piece.data) <= self._fault.size_bytes:
            return PASS
        self.counts["sliced"] += 1
        return Trickle(self._fault.size_bytes)
