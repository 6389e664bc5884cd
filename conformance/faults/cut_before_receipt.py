"""The link is cut after SUBSCRIBE has gone on to the broker, before its RECEIPT reaches the tab."""

from __future__ import annotations

import random
from dataclasses import dataclass

from conformance.faults.base import Acting, LinkFault, register
from conformance.faults.cutting import CutAtMark

__all__ = ["CutBeforeReceipt"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CutBeforeReceipt(LinkFault):
    """The tab observes the cut, and can't know that the broker has declared and bound its queue.

    Attributes:
        reset: cut by a reset, else in an orderly way.
        down: refuse new connections from then on until the fault ends.
    """

    name = "cut_before_receipt"
    links = frozenset({"tab"})
    reset: bool = True
    down: bool = True

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return CutAtMark("receipt", "to_client", reset=self.reset, stays_down=self.down)
