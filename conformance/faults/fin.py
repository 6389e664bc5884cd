"""The connection is closed in an orderly way."""

from __future__ import annotations

import random
from dataclasses import dataclass

from conformance.faults.base import Acting, LinkFault, register
from conformance.faults.cutting import CutNow

__all__ = ["Fin"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Fin(LinkFault):
    """Both ends observe the end of the stream (FIN).

    Attributes:
        down: refuse new connections until the fault ends.
    """

    name = "fin"
    down: bool = True

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return CutNow(reset=False, stays_down=self.down)
