"""The link is cut once the n-th ACK has gone on to the broker."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import Acting, LinkFault, register
from conformance.faults.cutting import CutAtMark

__all__ = ["CutAfterAck"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CutAfterAck(LinkFault):
    """The tab observes the cut after it has acked; the broker has the ack.

    Attributes:
        n: which one, from 1, counted for each connection.
        reset: cut by a reset, else in an orderly way.
        down: refuse new connections from then on until the fault ends.
    """

    name = "cut_after_ack"
    links = frozenset({"tab"})
    n: Annotated[int, Field(ge=1)] = 1
    reset: bool = True
    down: bool = True

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return CutAtMark("ack", "to_broker", n=self.n, passes=True, reset=self.reset, stays_down=self.down)
