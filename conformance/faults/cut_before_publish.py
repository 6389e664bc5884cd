"""The link is cut as the n-th basic.publish reaches the proxy: the broker never has it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from conformance.faults.base import Acting, register
from conformance.faults.cutting import CutAtMark, CutInPublishing

__all__ = ["CutBeforePublish"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CutBeforePublish(CutInPublishing):
    """The publisher observes the cut after it has written the message.

    Attributes:
        n: which one, from 1, counted for each connection.
        reset, down, times: see :class:`CutInPublishing`.
    """

    name = "cut_before_publish"

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return CutAtMark(
            "publish_begins", "to_broker", n=self.n, reset=self.reset, stays_down=self.down, times=self.times
        )
