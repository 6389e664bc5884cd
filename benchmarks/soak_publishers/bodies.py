"""Bodies that tell which message they are, and whether they are whole. Pure."""

from __future__ import annotations

import hashlib

__all__ = ["LEAST_BYTES", "body_of", "read_body"]

LEAST_BYTES = 64


def body_of(tag: str, size_bytes: int) -> bytes:
    """The body of the message of that tag: tag and size, and bytes that follow from them.

    Args:
        tag: no spaces, at most 40 characters.
        size_bytes: at least :data:`LEAST_BYTES`.
    """
    head = f"{tag} {size_bytes} ".encode()
    pattern = hashlib.sha256(head).digest()
    return (head + pattern * (size_bytes // len(pattern) + 1))[:size_bytes]


def read_body(body: bytes) -> tuple[str, bool]:
    """The tag that a body names (as far as it can be read), and whether it is that message's body to the last byte."""
    words = body[:80].split(b" ", 2)
    tag = words[0].decode("utf-8", "replace")
    if len(words) < 3 or not words[1].isdigit():
        return tag, False
    return tag, int(words[1]) == len(body) and body == body_of(tag, len(body))
