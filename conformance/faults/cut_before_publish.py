"""The link is cut as the n-th basic.publish reaches the proxy: the broker never has it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.errors import UsageError
from conformance.faults.base import Acting, LinkFault, LinkKind, register
from conformance.faults.cutting import CutAtMark

__all__ = ["CutBeforePublish"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CutBeforePublish(LinkFault):
    """The publisher observes the cut after it has written the message.

    Attributes:
        n: which one, from 1, counted for each connection.
        reset: cut by a reset, else in an orderly way.
        down: refuse new connections from then on until the fault ends.
        times: how many connections are cut so, one after the other; more than one only where ``down`` is false.
    """

    name = "cut_before_publish"
    links = frozenset({"publisher"})
    n: Annotated[int, Field(ge=1)] = 1
    reset: bool = True
    down: bool = True
    times: Annotated[int, Field(ge=1, le=1000)] = 1

    def check_link(self, link: LinkKind) -> None:  # noqa: ARG002 - it is about the fault's own parameters
        """See :meth:`Fault.check_link`."""
        if self.down and self.times > 1:
            raise UsageError(
                "parameters.times",
                f"a link that stays down after the first cut can't be cut {self.times} times",
                'Write "down": false, or leave times out.',
            )

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return CutAtMark(
            "publish_begins",
            "to_broker",
            n=self.n,
            passes=False,
            reset=self.reset,
            stays_down=self.down,
            times=self.times,
        )
