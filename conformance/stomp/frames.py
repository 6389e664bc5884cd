"""A STOMP 1.2 frame as a value, and its bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, overload

from conformance.stomp.errors import InvalidFrame, UndefinedEscape

__all__ = ["COMMANDS", "COMMANDS_WITHOUT_ESCAPES", "COMMANDS_WITH_BODY", "HEART_BEAT", "Frame", "escape", "unescape"]

HEART_BEAT: Final = b"\n"
"""A heart-beat on the wire: one EOL (Heart-beating)."""

_CLIENT_COMMANDS = frozenset(
    ("CONNECT", "STOMP", "SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT", "DISCONNECT")
)
COMMANDS: Final = _CLIENT_COMMANDS | {"CONNECTED", "MESSAGE", "RECEIPT", "ERROR"}
"""Every command of the specification's Augmented BNF."""

COMMANDS_WITH_BODY: Final = frozenset(("SEND", "MESSAGE", "ERROR"))
""" "Only the SEND, MESSAGE, and ERROR frames MAY have a body" (Body)."""

COMMANDS_WITHOUT_ESCAPES: Final = frozenset(("CONNECT", "CONNECTED"))
"""Their headers stand as they are, for the sake of STOMP 1.0 (Value Encoding)."""

_ESCAPES = {"\r": "\\r", "\n": "\\n", ":": "\\c", "\\": "\\\\"}
_UNESCAPES = {escaped: octet for octet, escaped in _ESCAPES.items()}
_NEEDS_ESCAPE = re.compile(r"[\r\n:\\]")
_ESCAPE_SEQUENCE = re.compile(r"\\.?", re.DOTALL)
_SHOWN = 160  # characters of a frame in a log line


def escape(text: str) -> str:
    """Header text as it stands on the wire in every frame but CONNECT and CONNECTED (Value Encoding)."""
    return _NEEDS_ESCAPE.sub(lambda match: _ESCAPES[match[0]], text)


def unescape(text: str) -> str:
    """The inverse of :func:`escape`.

    Raises:
        UndefinedEscape: a backslash stands before nothing, or before an octet that has no meaning there.
    """
    if "\\" not in text:
        return text

    def resolve(match: re.Match[str]) -> str:
        try:
            return _UNESCAPES[match[0]]
        except KeyError:
            raise UndefinedEscape(f"undefined escape {match[0]!r} in a header") from None

    return _ESCAPE_SEQUENCE.sub(resolve, text)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        command: one of :data:`COMMANDS`.
        headers: (name, value) pairs as text without escapes, in wire order; repetitions are kept.
        body: the bytes between the head and the NUL.
    """

    command: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The header's value; of a repeated header the first one counts (Repeated Header Entries)."""
        return next((value for key, value in self.headers if key == name), default)

    def serialize(self) -> bytes:
        """The frame on the wire, NUL included.

        ``content-length`` is written where there is a body, and only then; one in ``headers`` is passed over.

        Raises:
            InvalidFrame: unknown command, a body where none may be, an empty header name, a NUL in a header, or (in
                CONNECT and CONNECTED, which have no escapes) a line end in a header or a colon in its name.
        """
        if self.command not in COMMANDS:
            raise InvalidFrame(f"{self.command!r} is no STOMP command")
        if self.body and self.command not in COMMANDS_WITH_BODY:
            raise InvalidFrame(f"a {self.command} frame has no body")
        lines = [self.command]
        lines += (self._line(name, value) for name, value in self.headers if name != "content-length")
        if self.body:
            lines.append(f"content-length:{len(self.body)}")
        try:
            head = "\n".join(lines).encode()
        except UnicodeEncodeError as exc:
            raise InvalidFrame(f"a header can't be said in UTF-8: {exc.reason}") from exc
        return head + b"\n\n" + self.body + b"\x00"

    def _line(self, name: str, value: str) -> str:
        if not name:
            raise InvalidFrame("a header without a name")
        if "\x00" in name or "\x00" in value:
            raise InvalidFrame(f"the header {name!r} holds a NUL, which ends a frame")
        if self.command not in COMMANDS_WITHOUT_ESCAPES:
            return f"{escape(name)}:{escape(value)}"
        if ":" in name or not {"\r", "\n"}.isdisjoint(name + value):
            raise InvalidFrame(f"the header {name!r} needs an escape, which {self.command} has not")
        return f"{name}:{value}"

    def __str__(self) -> str:
        """The frame for a log: one line, its middle left out where it is long, never a passcode."""
        headers = " ".join(f"{name}:{'***' if name == 'passcode' else value!r}" for name, value in self.headers)
        body = f" [{len(self.body)} bytes] {self.body[:_SHOWN]!r}" if self.body else ""
        text = f"{self.command} {headers}{body}".rstrip()
        if len(text) <= _SHOWN:
            return text
        return f"{text[: _SHOWN * 2 // 3]} … {text[-_SHOWN // 3 + 3 :]}"
