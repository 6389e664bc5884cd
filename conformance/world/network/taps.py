"""Taps find the protocol units in a link's bytes, without sockets: bytes in, pieces out; what can't be read passes.

A tap keeps back a unit until it is whole, so that a fault can act before any byte of it has passed.
"""

from __future__ import annotations

from typing import Protocol

from conformance.faults.base import Direction, Piece

__all__ = ["MOST_BYTES", "Raw", "Tap"]

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
