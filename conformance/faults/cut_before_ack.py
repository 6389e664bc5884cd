"""The link is cut as the n-th ACK reaches the proxy: the broker never has it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import Acting, LinkFault, register
from conformance.faults.cutting import CutAtMark

__all__ = ["CutBeforeAck"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CutBeforeAck(LinkFault):
    """The tab observes the cut after it has acked; the broker delivers the message again.

    Attributes:
        n: which one, from 1, counted for each connection.
        reset: cut by a reset, else in an orderly way.
        down: refuse new connections from then on until the fault ends.
    """

    name = "cut_before_ack"
    links = frozenset({"tab"})
    n: Annotated[int, Field(ge=1)] = 1
    reset: bool = True
    down: bool = True

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return CutAtMark("ack", "to_broker", n=self.n, passes=False, reset=self.reset, stays_down=self.down)
