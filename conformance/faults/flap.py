"""The tab's link is cut again and again, each time as the first message comes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import Acting, LinkFault, register
from conformance.faults.cutting import CutAtMark

__all__ = ["Flap"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Flap(LinkFault):
    """The tab connects, subscribes, and is cut before its first MESSAGE has arrived, over and over.

    Attributes:
        times: how many connections are cut so; the ones after that are left alone.
        reset: cut by a reset, else in an orderly way.
    """

    name = "flap"
    links = frozenset({"tab"})
    times: Annotated[int, Field(ge=1)] = 10
    reset: bool = True

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return CutAtMark("message", "to_client", times=self.times, reset=self.reset, stays_down=False)
