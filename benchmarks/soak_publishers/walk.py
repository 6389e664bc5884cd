"""After which byte of which direction the next connection is cut. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from conformance.faults.base import Direction

__all__ = ["CutPoint", "Walk", "frame_name"]

_FAR_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class CutPoint:
    """Cut once so many bytes have passed that way.

    Attributes:
        direction: of the bytes.
        after_bytes: how many of them pass; 0: none.
    """

    direction: Direction
    after_bytes: int


class Walk:
    """Goes over every byte of a conversation again and again, in both directions.

    Two connections of three are cut where the walk stands, the third further on (at random), so that messages pass
    even while the walk goes through the handshake.

    Args:
        conversation: how many bytes pass each way until the first message is confirmed.
        rng: says where further on is.
    """

    def __init__(self, conversation: Mapping[Direction, int], rng: random.Random) -> None:
        self.conversation = dict(conversation)
        self._rng = rng
        self._left: dict[Direction, dict[int, None]] = {way: {} for way in conversation}  # in the order of their turns
        self._hit: dict[Direction, set[int]] = {way: set() for way in conversation}
        self._turn = 0

    def next(self) -> CutPoint:
        """Where to cut the next connection. A point that is not hit has its turn again."""
        self._turn += 1
        ways = list(self.conversation)
        if self._turn % 3 == 0:
            direction = self._rng.choice(ways)
            return CutPoint(direction, self.conversation[direction] + self._rng.randrange(_FAR_BYTES))
        direction = ways[self._turn % 3 - 1]
        left = self._left[direction]
        if not left:
            left.update(dict.fromkeys(range(self.conversation[direction])))
        point = next(iter(left))
        del left[point]
        left[point] = None  # behind all others
        return CutPoint(direction, point)

    def hit(self, point: CutPoint) -> None:
        """A connection was cut there."""
        if point.after_bytes < self.conversation[point.direction]:
            self._hit[point.direction].add(point.after_bytes)
            self._left[point.direction].pop(point.after_bytes, None)

    def missed(self, direction: Direction) -> list[int]:
        """The bytes of the conversation after which no connection was cut yet."""
        return [point for point in range(self.conversation[direction]) if point not in self._hit[direction]]


_METHODS = {
    (10, 10): "connection.start", (10, 11): "connection.start-ok", (10, 30): "connection.tune",
    (10, 31): "connection.tune-ok", (10, 40): "connection.open", (10, 41): "connection.open-ok",
    (10, 50): "connection.close", (10, 51): "connection.close-ok", (10, 60): "connection.blocked",
    (10, 61): "connection.unblocked", (20, 10): "channel.open", (20, 11): "channel.open-ok",
    (20, 40): "channel.close", (20, 41): "channel.close-ok", (40, 10): "exchange.declare",
    (40, 11): "exchange.declare-ok", (60, 40): "basic.publish", (60, 50): "basic.return", (60, 80): "basic.ack",
    (60, 120): "basic.nack", (85, 10): "confirm.select", (85, 11): "confirm.select-ok",
}  # fmt: skip
_KINDS = {2: "content header", 3: "content body", 8: "heart-beat"}


def frame_name(data: bytes) -> str:
    """What a piece of a conversation is: an AMQP method, or another frame.

    Source: AMQP 0-9-1, 2.3.5 (frames) and the methods' class and method ids.
    """
    if data.startswith(b"AMQP"):
        return "protocol header"
    if len(data) >= 11 and data[0] == 1:
        ids = int.from_bytes(data[7:9], "big"), int.from_bytes(data[9:11], "big")
        return _METHODS.get(ids, f"method {ids[0]}.{ids[1]}")
    return _KINDS.get(data[0], "other bytes") if data else "other bytes"
