"""The bodies that the engine publishes: each is unique, so that its digest alone identifies the message."""

from __future__ import annotations

from conformance.scenario.steps import BodyKind

__all__ = ["make_body"]

_UNICODE = "žluťoučký kůň ☃ 漢字 🐇 "
_BINARY = bytes(byte for byte in range(256) if byte != 0) + b"\x00\xff\xfe\n\r\n:\\"
_STOMP = b"\n\nRECEIPT\nreceipt-id:1\n\n\x00\nERROR\nmessage:no\ncontent-length:0\n\n\x00\r\nack:1\\c\\n\r\n\r\n"
_LINE_ENDS = b"\r\n\n\r \t\xc2\x85\xe2\x80\xa8\n"


def make_body(message_id: str, size_bytes: int, kind: BodyKind) -> bytes:
    """A body that is ``size_bytes`` long (at least as long as what makes it unique) and holds its message's id.

    ``text``, ``unicode`` and ``binary`` begin with the id: ``unicode`` is valid UTF-8 beyond ASCII, padded with dots so
    that no character is cut, ``binary`` holds every byte, NUL included, and is no UTF-8. ``nul`` begins with a NUL and
    has more around the id, ``stomp`` looks like STOMP frames (UTF-8), ``line_ends`` begins and ends with line breaks
    and blanks of all sorts (UTF-8). ``empty`` is empty whatever the size: a scenario can hold it once.
    """
    if kind == "empty":
        return b""
    start = message_id.encode() + b" "
    if kind == "nul":
        start = b"\x00" + start + b"\x00"
        return start + b"\x00" * max(0, size_bytes - len(start))
    if kind == "stomp":
        start = b"MESSAGE\nmessage-id:" + start + _STOMP
        return start + b"." * max(0, size_bytes - len(start))
    if kind == "line_ends":
        start = _LINE_ENDS + start
        return start + b"." * max(0, size_bytes - len(start) - len(_LINE_ENDS)) + _LINE_ENDS
    room = max(0, size_bytes - len(start))
    if kind == "text":
        return start + b"." * room
    if kind == "binary":
        return start + (_BINARY * (room // len(_BINARY) + 1))[:room]
    character_bytes = _UNICODE.encode()
    whole = character_bytes * (room // len(character_bytes))
    return start + whole + b"." * (room - len(whole))
