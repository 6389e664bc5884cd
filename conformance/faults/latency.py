"""Everything comes later, by the same time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import PASS, Acting, Action, Connection, Delay, Direction, LinkFault, Piece, register

__all__ = ["Latency"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(LinkFault):
    """Both ends observe a longer round trip; nothing is lost or reordered.

    Attributes:
        delay_ms: in each direction.
    """

    name = "latency"
    delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 50

    def acting(self, rng: random.Random) -> Acting:
        """See :meth:`LinkFault.acting`."""
        return _Latency(self, rng)


class _Latency(Acting):
    def __init__(self, fault: Latency, rng: random.Random) -> None:
        super().__init__()
        self._fault = fault
        self._rng = rng

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:  # noqa: ARG002
        if not self._fault.delay_ms:
            return PASS
        self.counts["delayed"] += 1
        return Delay(self._fault.delay_ms / 1000)
