"""Finds frames and heart-beats in a stream of bytes, however it is split.

Wrong bytes never raise: the parser keeps the first thing that is wrong as :attr:`Parser.error` and takes no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.stomp.errors import (
    BodyTooLarge,
    InvalidState,
    LineTooLong,
    MalformedFrame,
    ProtocolError,
    TooManyHeaders,
    TruncatedFrame,
)
from conformance.stomp.frames import COMMANDS, COMMANDS_WITH_BODY, COMMANDS_WITHOUT_ESCAPES, Frame, unescape

__all__ = ["HeartBeat", "Limits", "Parser"]

_LONGEST_NUMBER = 18  # digits; more can't be a length, and int() refuses thousands of them


@dataclass(frozen=True, slots=True)
class HeartBeat:
    """An EOL between frames. The one that may follow a frame's NUL looks the same, and is as good a sign of life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest frame that is taken (Size Limits).

    Attributes:
        headers: header lines in a frame. AMQP headers come as STOMP headers, so there can be many.
        line_bytes: bytes in a command or header line, without its LF.
        body_bytes: bytes in a body. The default is the largest message that RabbitMQ 3.8 to 3.13 take
            (``max_message_size``, https://www.rabbitmq.com/docs/configure); 4.0 and later take less.
    """

    headers: int = 1000
    line_bytes: int = 64 * 1024
    body_bytes: int = 128 * 1024 * 1024


class Parser:
    """Feed it with ``receive_data`` and ``receive_eof``, then take what was found with ``events``.

    Once :attr:`error` is set, whatever else the peer sends is dropped. Lenient in one thing: a header's value may
    hold a bare colon, which servers send in CONNECTED, where it has no escape. Strict in one that the grammar leaves
    open: a NUL in a head is an error, because no frame that was cut short should swallow the next one.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._buffer = bytearray()
        self._scanned = 0  # the buffer's first bytes in which the end of the line or body was looked for in vain
        self._command = ""  # empty: between frames
        self._headers: list[tuple[str, str]] = []
        self._in_body = False
        self._body_bytes: int | None = None  # None: the body ends at the first NUL
        self._events: list[Frame | HeartBeat] = []
        self._error: ProtocolError | None = None
        self._eof = False

    @property
    def error(self) -> ProtocolError | None:
        """The first thing that was wrong with what the peer sent."""
        return self._error

    @property
    def closed(self) -> bool:
        """Whether no more frames can come: after an error or the stream's end."""
        return self._eof or self._error is not None

    def receive_data(self, data: bytes) -> None:
        """Take bytes as they came, split anywhere.

        Raises:
            InvalidState: after ``receive_eof``.
        """
        if self._eof:
            raise InvalidState("data after the end of the stream")
        if self._error is not None:
            return
        self._buffer += data
        try:
            while self._take_body() if self._in_body else self._take_line():
                pass
        except ProtocolError as exc:
            self._fail(exc)

    def receive_eof(self) -> None:
        """The stream has ended; inside a frame that is an error."""
        self._eof = True
        if self._error is None and (self._buffer or self._command):
            self._fail(TruncatedFrame(f"the stream ended inside a frame ({self._command or 'its command'})"))

    def events(self) -> list[Frame | HeartBeat]:
        """What was found since the last call, in order; what came before an error is there."""
        events, self._events = self._events, []
        return events

    def _fail(self, error: ProtocolError) -> None:
        self._error = error
        self._buffer.clear()

    def _take_line(self) -> bool:
        """Take a line of the head, or an EOL between frames; False: it is not whole yet."""
        limit = self._limits.line_bytes
        end = self._buffer.find(b"\n", self._scanned, limit + 1)
        if self._buffer.find(b"\x00", self._scanned, limit + 1 if end < 0 else end) >= 0:
            raise MalformedFrame("a NUL before the end of a frame's headers")
        if end < 0:
            if len(self._buffer) > limit:
                raise LineTooLong(f"a line of more than {limit} bytes")
            self._scanned = len(self._buffer)
            return False
        line = self._text(self._consume(end))
        if not self._command:
            self._begin_frame(line)
        elif line:
            self._add_header(line)
        else:
            self._begin_body()
        return True

    def _consume(self, size: int) -> bytes:
        """Cut ``size`` bytes and the octet after them off the buffer."""
        taken = bytes(self._buffer[:size])
        del self._buffer[: size + 1]
        self._scanned = 0
        return taken

    @staticmethod
    def _text(line: bytes) -> str:
        line = line.removesuffix(b"\r")  # EOL = [CR] LF
        if b"\r" in line:
            raise MalformedFrame("a CR inside a line")
        try:
            return line.decode()
        except UnicodeDecodeError as exc:
            raise MalformedFrame(f"a line that is not UTF-8: {exc.reason}") from exc

    def _begin_frame(self, line: str) -> None:
        if not line:
            self._events.append(HeartBeat())
        elif line in COMMANDS:
            self._command = line
        else:
            raise MalformedFrame(f"unknown command {line[:40]!r}")

    def _add_header(self, line: str) -> None:
        if len(self._headers) >= self._limits.headers:
            raise TooManyHeaders(f"more than {self._limits.headers} headers")
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise MalformedFrame(f"a header line without a name and a colon: {line[:40]!r}")
        if self._command not in COMMANDS_WITHOUT_ESCAPES:
            name, value = unescape(name), unescape(value)
        self._headers.append((name, value))

    def _begin_body(self) -> None:
        length = next((value for name, value in self._headers if name == "content-length"), None)
        if length is not None and not (length.isascii() and length.isdigit()):
            raise MalformedFrame(f"content-length is no number: {length[:40]!r}")
        if length is None:
            self._body_bytes = None if self._command in COMMANDS_WITH_BODY else 0
        elif len(length) > _LONGEST_NUMBER or int(length) > self._limits.body_bytes:
            raise self._body_too_large()
        elif int(length) and self._command not in COMMANDS_WITH_BODY:
            raise MalformedFrame(f"a {self._command} frame with a body")
        else:
            self._body_bytes = int(length)
        self._in_body = True

    def _take_body(self) -> bool:
        """Take the body and its NUL; False: they are not whole yet."""
        size = self._body_bytes
        if size is None:
            limit = self._limits.body_bytes
            size = self._buffer.find(b"\x00", self._scanned, limit + 1)
            if size < 0:
                if len(self._buffer) > limit:
                    raise self._body_too_large()
                self._scanned = len(self._buffer)
                return False
        elif len(self._buffer) <= size:
            return False
        elif self._buffer[size]:
            raise MalformedFrame(f"no NUL at the end of the {self._command} frame")
        frame = Frame(self._command, tuple(self._headers), self._consume(size))
        self._command, self._headers, self._in_body = "", [], False
        self._events.append(frame)
        return True

    def _body_too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"a body of more than {self._limits.body_bytes} bytes")
