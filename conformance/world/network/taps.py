"""Taps find the protocol units in a link's bytes, without sockets: bytes in, pieces out; what can't be read passes.

A tap keeps back a unit until it is whole, so that a fault can act before any byte of it has passed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from conformance.faults.base import Direction, Piece

__all__ = ["MOST_BYTES", "BufferedTap", "Raw", "Tap"]

MOST_BYTES = 32 * 1024 * 1024
"""A unit that claims to be larger than this is not waited for: the tap lets everything pass unread from there on."""


class Tap(Protocol):
    """Reads one connection, both directions."""

    def feed(self, direction: Direction, data: bytes) -> list[Piece]:
        """The pieces that are whole with these bytes, in order."""
        ...

    def rest(self, direction: Direction) -> bytes:
        """What was kept back and never became whole: for the end of the stream."""
        ...


class Raw:
    """One direction that is not read: every chunk is a piece without marks."""

    def feed(self, data: bytes) -> list[Piece]:
        """See :meth:`Tap.feed`."""
        return [Piece(data)] if data else []

    def rest(self) -> bytes:
        """See :meth:`Tap.rest`."""
        return b""


class BufferedTap(ABC):
    """Implements :class:`Tap` for a protocol that is read alike in both directions: each has a buffer of its own.

    Args:
        connection: the number that stands in the wire events.
    """

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self._buffers: dict[Direction, bytearray] = {"to_broker": bytearray(), "to_client": bytearray()}
        self._raw: dict[Direction, Raw] = {}

    def feed(self, direction: Direction, data: bytes) -> list[Piece]:
        """See :meth:`Tap.feed`."""
        if direction in self._raw:
            return self._raw[direction].feed(data)
        self._buffers[direction] += data
        pieces = []
        while (piece := self._next(direction)) is not None:
            pieces.append(piece)
        return pieces

    def rest(self, direction: Direction) -> bytes:
        """See :meth:`Tap.rest`."""
        rest = bytes(self._buffers[direction])
        self._buffers[direction].clear()
        return rest

    @abstractmethod
    def _next(self, direction: Direction) -> Piece | None:
        """Take the next piece off the buffer, if it is whole."""

    def _give_up(self, direction: Direction) -> Piece:
        """The direction is not read from here on: all that was kept back passes."""
        self._raw[direction] = Raw()
        return Piece(self.rest(direction))
