"""No fault at all: for comparing with."""

from __future__ import annotations

import random
from dataclasses import dataclass

from conformance.faults.base import Acting, LinkFault, register

__all__ = ["Noop"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Noop(LinkFault):
    """Neither tab nor publisher observes anything; it counts as fired from the start."""

    name = "noop"

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        acting = Acting()
        acting.counts["nothing"] = 1
        return acting
