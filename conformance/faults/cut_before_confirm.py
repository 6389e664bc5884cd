"""The publisher's link is cut after the broker has confirmed the n-th message, before the publisher learns of it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from conformance.faults.base import Acting, register
from conformance.faults.cutting import CutAtMark, CutInPublishing

__all__ = ["CutBeforeConfirm"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CutBeforeConfirm(CutInPublishing):
    """The publisher observes the cut with the message's outcome unknown; the broker has the message.

    Attributes:
        n: the confirm that does not pass is the one with which so many messages of a connection are confirmed.
        reset, down, times: see :class:`CutInPublishing`.
    """

    name = "cut_before_confirm"

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return CutAtMark("confirm", "to_client", n=self.n, reset=self.reset, stays_down=self.down, times=self.times)
