"""The connection is reset."""

from __future__ import annotations

import random
from dataclasses import dataclass

from conformance.faults.base import Acting, LinkFault, register
from conformance.faults.cutting import CutNow

__all__ = ["Rst"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Rst(LinkFault):
    """Both ends observe a reset; what was on its way is lost.

    Attributes:
        down: refuse new connections until the fault ends.
    """

    name = "rst"
    down: bool = True

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return CutNow(reset=True, stays_down=self.down)
