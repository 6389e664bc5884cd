"""A method's arguments, read one by one; what is cut short or can't be is a :class:`Malformed`."""

from __future__ import annotations

__all__ = ["Malformed", "Payload"]


class Malformed(Exception):  # noqa: N818 - it is what the bytes are
    """The peer's bytes are no AMQP, or come at the wrong time; the text says which. Never leaves the package."""


class Payload:
    """The payload of one frame, read from front to back.

    Args:
        data: the payload.
        start: where to begin.
    """

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._place = start

    def _take(self, size: int) -> bytes:
        end = self._place + size
        if end > len(self._data):
            raise Malformed("a frame ends in the middle of a field")
        taken = self._data[self._place : end]
        self._place = end
        return taken

    def integer(self, size: int) -> int:
        """An unsigned integer of so many bytes."""
        return int.from_bytes(self._take(size), "big")

    def short_text(self) -> str:
        """A short string; what is not UTF-8 in it is shown as U+FFFD."""
        return self._take(self.integer(1)).decode(errors="replace")

    def long_text(self) -> str:
        """A long string; what is not UTF-8 in it is shown as U+FFFD."""
        return self._take(self.integer(4)).decode(errors="replace")

    def skip_table(self) -> None:
        """A table that nobody asks for, unread."""
        self._take(self.integer(4))

    def message_id(self) -> str | None:
        """The message-id among a content header's flags and properties; None: there is none.

        Source: AMQP 0-9-1, 4.2.6.1 and 1.8.3. What stands behind it is left unread.
        """
        flags = more = self.integer(2)
        while more & 1:  # further words of flags, which class basic does not use
            more = self.integer(2)
        for flag in range(15, 7, -1):
            if not flags >> flag & 1:
                continue
            if flag == 13:  # headers
                self.skip_table()
            elif flag in (12, 11):  # delivery mode, priority
                self._take(1)
            else:
                self._take(self.integer(1))
        return self.short_text() if flags >> 7 & 1 else None
