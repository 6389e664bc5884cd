"""The broker's confirms are held back."""

from __future__ import annotations

import random
from dataclasses import dataclass

from conformance.faults.base import HOLD, PASS, Acting, Action, Connection, Direction, LinkFault, Piece, register

__all__ = ["HoldConfirms"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HoldConfirms(LinkFault):
    """The broker has the messages, and the publisher is not told until the fault ends; then it is, in order.

    From the first confirm on, nothing that the broker sends on that connection passes. It happens once a confirm is
    held: by then the message is safe, and its publisher can't know.
    """

    name = "hold_confirms"
    links = frozenset({"publisher"})

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return _HoldConfirms()


class _HoldConfirms(Acting):
    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:  # noqa: ARG002
        if direction != "to_client" or "confirm" not in piece.marks:
            return PASS
        self.counts["held"] += 1
        return HOLD
