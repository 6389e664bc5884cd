"""What all faults that cut have in common: how they cut, and whether the link stays down."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.errors import UsageError
from conformance.faults.base import PASS, Acting, Action, Connection, Cut, Direction, LinkFault, LinkKind, Piece

__all__ = ["CutAtMark", "CutInPublishing", "CutNow", "Cutter"]


class Cutter(Acting):
    """Cuts.

    Args:
        reset: by a reset, else in an orderly way.
        stays_down: refuse new connections from the cut until the fault ends.
    """

    def __init__(self, *, reset: bool, stays_down: bool) -> None:
        super().__init__()
        self.reset = reset
        self._stays_down = stays_down

    def cut(self, pass_bytes: int | None) -> Cut:
        """The action of cutting; counts it."""
        self.note_cut()
        return Cut(pass_bytes, self.reset)

    def note_cut(self) -> None:
        """A cut was made."""
        self.counts["cut"] += 1
        self.down = self._stays_down


class CutNow(Cutter):
    """Cuts what is open as the fault begins; where nothing is, the next connection."""

    def begin(self, connections: Collection[Connection]) -> None:
        """See :meth:`Acting.begin`."""
        for connection in connections:
            self.note_cut()
            connection.cut(reset=self.reset)

    def connect(self, connection: Connection) -> bool:
        """See :meth:`Acting.connect`."""
        if not self.fired:
            self.note_cut()
            connection.cut(reset=self.reset)
            return False
        return super().connect(connection)


class CutAtMark(Cutter):
    """Cuts once, at the n-th piece with a mark.

    Args:
        mark: which.
        direction: of the piece.
        n: from 1.
        passes: whether that piece is passed on before the cut.
        times: how many connections in a row are cut so; counting begins anew for each.
    """

    def __init__(
        self,
        mark: str,
        direction: Direction,
        *,
        reset: bool,
        stays_down: bool,
        n: int = 1,
        passes: bool = False,
        times: int = 1,
    ) -> None:
        super().__init__(reset=reset, stays_down=stays_down)
        self._mark = mark
        self._direction = direction
        self._n = n
        self._passes = passes
        self._times = times
        self._met: dict[int, int] = {}

    @property
    def fired(self) -> bool:
        """Whether it has cut as often as it was to."""
        return self.counts["cut"] >= self._times

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:
        """See :meth:`Acting.act`."""
        if self.fired or direction != self._direction or self._mark not in piece.marks:
            return PASS
        met = self._met.get(connection.number, 0) + piece.marks.count(self._mark)
        self._met[connection.number] = met
        if met < self._n:
            return PASS
        return self.cut(None if self._passes else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutInPublishing(LinkFault):
    """A fault that cuts a publisher's link at the n-th message of a connection.

    Attributes:
        n: which one, from 1.
        reset: cut by a reset, else in an orderly way.
        down: refuse new connections from then on until the fault ends.
        times: how many connections are cut so, one after the other; more than one only where ``down`` is false.
    """

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
