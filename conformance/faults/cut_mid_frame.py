"""The link is cut in the middle of a message's frame."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import PASS, Acting, Action, Connection, Direction, LinkFault, Piece, register
from conformance.faults.cutting import Cutter

__all__ = ["CutMidFrame"]

_MARKS: dict[str, Direction] = {"message": "to_client", "publish_begins": "to_broker"}


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CutMidFrame(LinkFault):
    """A tab gets the beginning of a MESSAGE, or the broker that of a basic.publish, and then the end of the stream.

    Attributes:
        after_bytes: how many bytes of the frame pass (at most all but one).
        reset: cut by a reset, else in an orderly way.
        down: refuse new connections from then on until the fault ends.
    """

    name = "cut_mid_frame"
    after_bytes: Annotated[int, Field(ge=1)] = 16
    reset: bool = True
    down: bool = True

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return _CutMidFrame(self.after_bytes, reset=self.reset, stays_down=self.down)


class _CutMidFrame(Cutter):
    def __init__(self, after_bytes: int, *, reset: bool, stays_down: bool) -> None:
        super().__init__(reset=reset, stays_down=stays_down)
        self._after_bytes = after_bytes

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:  # noqa: ARG002
        if self.fired or not any(_MARKS.get(mark) == direction for mark in piece.marks):
            return PASS
        return self.cut(min(self._after_bytes, len(piece.data) - 1))
