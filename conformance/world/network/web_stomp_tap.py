"""The tap of a tab's link: HTTP's head, then WebSocket frames, then the STOMP frames within.

Where the head does not lead to a WebSocket (another protocol, TLS, an HTTP error with its page), all passes unread.

Sources: RFC 6455 section 4 (head), section 5.2 (frames), section 5.3 (masking); STOMP 1.2.
"""

from __future__ import annotations

import re

from conformance.faults.base import Direction, Piece
from conformance.stomp.frames import Frame
from conformance.stomp.parser import Parser
from conformance.world.network.taps import MOST_BYTES, Raw

__all__ = ["WebStompTap"]

_HEAD_END = b"\r\n\r\n"
_MOST_HEAD_BYTES = 64 * 1024
_BEGINNINGS: dict[Direction, re.Pattern[bytes]] = {
    "to_broker": re.compile(rb"[A-Z]{1,16}(?: |\Z)"),
    "to_client": re.compile(rb"HTTP/|H(?:T(?:TP?)?)?\Z"),
}
"""What a head, or the first bytes of one, begins with."""
_BEGINNING_BYTES = 17
_UPGRADES: dict[Direction, re.Pattern[bytes]] = {
    "to_broker": re.compile(rb"^upgrade:[^\r\n]*\bwebsocket\b", re.IGNORECASE | re.MULTILINE),
    "to_client": re.compile(rb"\AHTTP/1\.[01] 101\b"),
}
"""What a head holds that is followed by WebSocket frames."""
_DATA_OPCODES = (0x0, 0x1, 0x2)
_MASKED = 0x80


class WebStompTap:
    """Implements :class:`conformance.world.network.taps.Tap`. Marks: ``http`` and lower-case STOMP commands."""

    def __init__(self) -> None:
        self._ways: dict[Direction, _Way] = {"to_broker": _Way("to_broker"), "to_client": _Way("to_client")}

    def feed(self, direction: Direction, data: bytes) -> list[Piece]:
        """See :meth:`Tap.feed`."""
        return self._ways[direction].feed(data)

    def rest(self, direction: Direction) -> bytes:
        """See :meth:`Tap.rest`."""
        return self._ways[direction].rest()


class _Way:
    """One direction."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._buffer = bytearray()
        self._in_head = True
        self._parser = Parser()
        self._raw: Raw | None = None

    def feed(self, data: bytes) -> list[Piece]:
        if self._raw is not None:
            return self._raw.feed(data)
        self._buffer += data
        pieces = []
        while (piece := self._next()) is not None:
            pieces.append(piece)
        return pieces

    def rest(self) -> bytes:
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _next(self) -> Piece | None:
        if self._raw is not None or not self._buffer:
            return Piece(self.rest()) if self._buffer else None
        if self._in_head:
            return self._head()
        size = self._frame_size()
        if size is None:
            return None
        if size > MOST_BYTES:
            return self._give_up()
        return self._frame(self._take(size)) if len(self._buffer) >= size else None

    def _head(self) -> Piece | None:
        """The head, once it is whole."""
        if not _BEGINNINGS[self._direction].match(self._buffer[:_BEGINNING_BYTES]):
            return self._give_up()
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return self._give_up() if len(self._buffer) > _MOST_HEAD_BYTES else None
        self._in_head = False
        head = self._take(end + len(_HEAD_END))
        if not _UPGRADES[self._direction].search(head):
            self._raw = Raw()
        return Piece(head, ("http",))

    def _frame_size(self) -> int | None:
        """The whole WebSocket frame's size, header included; None: its header is not whole yet."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, extended = buffer[1] & 0x7F, {126: 2, 127: 8}.get(buffer[1] & 0x7F, 0)
        header = 2 + extended
        if len(buffer) < header:
            return None
        if extended:
            length = int.from_bytes(buffer[2:header], "big")
        return header + (4 if buffer[1] & _MASKED else 0) + length

    def _frame(self, data: bytes) -> Piece:
        if data[0] & 0x0F not in _DATA_OPCODES:
            return Piece(data)
        self._parser.receive_data(_payload(data))
        marks = tuple(event.command.lower() for event in self._parser.events() if isinstance(event, Frame))
        return Piece(data, marks)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _give_up(self) -> Piece:
        self._raw = Raw()
        return Piece(self.rest())


def _payload(frame: bytes) -> bytes:
    """A whole frame's payload, unmasked."""
    start = 2 + {126: 2, 127: 8}.get(frame[1] & 0x7F, 0)
    if not frame[1] & _MASKED:
        return frame[start:]
    mask, payload = frame[start : start + 4], frame[start + 4 :]
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
