"""Faults of a publisher's link that the suite has no use for elsewhere: a cut after the n-th byte, and a look."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.soak_publishers.walk import CutPoint, Walk, frame_name
from conformance.faults.base import PASS, Acting, Action, Connection, Cut, Direction, LinkFault, Piece

__all__ = ["CutWalking", "Measure", "Sever"]


@dataclass(frozen=True)
class CutWalking(LinkFault):
    """Each connection is cut once, where the walk says; what is open as the fault begins, too.

    The publisher observes a connection that ends anywhere: within a frame, before the first byte, after the last one of
    a message whose confirm then never comes. By turns with a reset and in order.
    """

    name: ClassVar[str] = "cut_walking"
    walk: Walk
    hits: Counter[str]
    """By what was cut."""

    def acting(self, rng: random.Random) -> Acting:
        """See :meth:`LinkFault.acting`."""
        return _CutWalking(self.walk, self.hits, rng)


class _CutWalking(Acting):
    def __init__(self, walk: Walk, hits: Counter[str], rng: random.Random) -> None:
        super().__init__()
        self._walk = walk
        self._hits = hits
        self._rng = rng
        self._points: dict[int, CutPoint] = {}  # by connection; those that are not cut yet
        self._passed: Counter[int] = Counter()  # of each connection, in its point's direction

    def begin(self, connections: Collection[Connection]) -> None:
        """See :meth:`Acting.begin`."""
        for connection in connections:
            self._points[connection.number] = CutPoint(self._rng.choice(("to_broker", "to_client")), 1_000)

    def connect(self, connection: Connection) -> bool:
        """See :meth:`Acting.connect`."""
        self._points[connection.number] = self._walk.next()
        return True

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:
        """See :meth:`Acting.act`."""
        point = self._points.get(connection.number)
        if point is None or point.direction != direction or not piece.data:
            return PASS
        passed = self._passed[connection.number]
        self._passed[connection.number] = passed + len(piece.data)
        if passed + len(piece.data) <= point.after_bytes:
            return PASS
        del self._points[connection.number]
        name = frame_name(piece.data)
        self.counts["cut"] += 1
        self._hits[f"{direction.replace('_', ' ')}: {name}"] += 1
        self._walk.hit(point)
        return Cut(point.after_bytes - passed, self._rng.random() < 0.5)


@dataclass(frozen=True)
class Measure(LinkFault):
    """Nothing happens; how many bytes of the next connection pass each way until the first confirm, it included.

    ``known`` is set once they are known.
    """

    name: ClassVar[str] = "measure"
    bytes: Counter[Direction]
    known: threading.Event

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return _Measure(self)


class _Measure(Acting):
    def __init__(self, fault: Measure) -> None:
        super().__init__()
        self._fault = fault

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:  # noqa: ARG002
        """See :meth:`Acting.act`."""
        if not self._fault.known.is_set():
            self._fault.bytes[direction] += len(piece.data)
            if "confirm" in piece.marks:
                self._fault.known.set()
        return PASS


@dataclass(frozen=True)
class Sever(LinkFault):
    """All connections are reset, and none is let in until the fault ends."""

    name: ClassVar[str] = "sever"

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return _Sever()


class _Sever(Acting):
    def begin(self, connections: Collection[Connection]) -> None:
        """See :meth:`Acting.begin`."""
        self.down = True
        for connection in connections:
            connection.cut(reset=True)
