"""Bodies that the engine makes."""

from __future__ import annotations

from typing import Literal

import pytest

from conformance.engine.bodies import make_body


@pytest.mark.parametrize("kind", ["text", "unicode", "binary"])
@pytest.mark.parametrize("size_bytes", [20, 21, 700, 4096])
def test_bodies_have_their_size_and_begin_with_the_id(
    kind: Literal["text", "unicode", "binary"], size_bytes: int
) -> None:
    """The size is exact, and two messages never share a body."""
    body = make_body("n1-00001", size_bytes, kind)
    assert len(body) == size_bytes
    assert body.startswith(b"n1-00001 ")
    assert body != make_body("n1-00002", size_bytes, kind)


def test_a_body_is_never_shorter_than_its_id() -> None:
    """Size 0 leaves the id, which makes the body unique."""
    assert make_body("n1-00001", 0, "text") == b"n1-00001 "


def test_kinds_of_bodies() -> None:
    """Unicode is valid UTF-8, binary is not and holds a NUL."""
    make_body("i", 900, "unicode").decode("utf-8")
    binary = make_body("i", 900, "binary")
    assert b"\x00" in binary
    with pytest.raises(UnicodeDecodeError):
        binary.decode("utf-8")


@pytest.mark.parametrize("kind", ["nul", "stomp", "line_ends"])
def test_strange_bodies_have_their_size_and_hold_the_id(kind: Literal["nul", "stomp", "line_ends"]) -> None:
    """The size is exact where there is room, and two messages never share a body."""
    body = make_body("n1-00001", 700, kind)
    assert len(body) == 700
    assert b"n1-00001 " in body
    assert body != make_body("n1-00002", 700, kind)
    assert make_body("n1-00001", 0, kind) != make_body("n1-00002", 0, kind)


def test_what_strange_bodies_are_made_of() -> None:
    """A NUL at both ends; whole frames; line breaks at both ends; nothing."""
    assert make_body("i", 0, "nul").strip(b"\x00") == b"i "
    assert b"\nERROR\nmessage:no\ncontent-length:0\n\n\x00" in make_body("i", 0, "stomp")
    lines = make_body("i", 60, "line_ends").decode("utf-8")
    assert lines.startswith("\r\n")
    assert lines.endswith("\u2028\n")
    assert make_body("i", 60, "empty") == b""
