"""The link is cut while the connection is being made."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from conformance.errors import UsageError
from conformance.faults.base import Acting, Direction, LinkFault, LinkKind, register
from conformance.faults.cutting import CutAtMark

__all__ = ["CutInHandshake"]

_MOMENTS: dict[str, tuple[str, Direction]] = {
    "http": ("http", "to_broker"),
    "connect": ("connected", "to_client"),
    "amqp": ("amqp_open", "to_broker"),
}


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CutInHandshake(LinkFault):
    """The client observes the cut before it is connected.

    Attributes:
        where: ``http`` (the WebSocket's request does not reach the broker), ``connect`` (CONNECTED does not reach the
            tab) or ``amqp`` (a publisher's connection.open does not reach the broker).
        reset: cut by a reset, else in an orderly way.
        down: refuse new connections from then on until the fault ends.
    """

    name = "cut_in_handshake"
    where: Literal["http", "connect", "amqp"] = "http"
    reset: bool = True
    down: bool = True

    def check_link(self, link: LinkKind) -> None:
        """A tab speaks no AMQP, a publisher nothing else."""
        if (link == "publisher") != (self.where == "amqp"):
            fitting = "'amqp'" if link == "publisher" else "'http' or 'connect'"
            raise UsageError(
                "parameters.where", f"{self.where!r} is no moment of a {link}'s handshake", f"Take {fitting}."
            )

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        mark, direction = _MOMENTS[self.where]
        return CutAtMark(mark, direction, reset=self.reset, stays_down=self.down)
