"""Frames as values and bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.stomp.errors import InvalidFrame, UndefinedEscape
from conformance.stomp.frames import Frame, escape, unescape

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_serialize_writes_the_wire_format() -> None:
    """Command, headers in order, content-length, an empty line, the body, a NUL (STOMP Frames)."""
    frame = Frame("SEND", (("destination", "/queue/a"), ("content-type", "text/plain")), b"hello")
    assert frame.serialize() == (b"SEND\ndestination:/queue/a\ncontent-type:text/plain\ncontent-length:5\n\nhello\x00")


def test_a_frame_without_a_body_has_no_content_length() -> None:
    """Only a body needs one, and the given one is not believed."""
    assert Frame("ACK", (("id", "1"), ("content-length", "9"))).serialize() == b"ACK\nid:1\n\n\x00"


def test_the_escapes_of_the_specification() -> None:
    """CR, LF, colon and backslash are written as two octets each (Value Encoding)."""
    assert escape("a\r\n:\\b") == r"a\r\n\c\\b"
    assert Frame("SEND", (("k:1", "v\n"),)).serialize() == b"SEND\nk\\c1:v\\n\n\n\x00"


@pytest.mark.parametrize("command", ["CONNECT", "CONNECTED"])
def test_connect_has_no_escapes(command: str) -> None:
    """CONNECT and CONNECTED stand as they are; what they can't say is refused."""
    assert Frame(command, (("passcode", "a:\\n"),)).serialize() == f"{command}\npasscode:a:\\n\n\n\x00".encode()
    for header in (("a", "b\nc:d"), ("a", "b\r"), ("a:b", "c")):
        with pytest.raises(InvalidFrame, match="escape"):
            Frame(command, (header,)).serialize()


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (Frame("HELLO"), "no STOMP command"),
        (Frame("ACK", (), b"x"), "has no body"),
        (Frame("SEND", (("", "x"),)), "without a name"),
        (Frame("SEND", (("a", "\x00"),)), "NUL"),
        (Frame("SEND", (("a", "\ud800"),)), "UTF-8"),
    ],
)
def test_what_stomp_cannot_say_is_refused(frame: Frame, problem: str) -> None:
    """A frame of ours that has no bytes is the caller's mistake."""
    with pytest.raises(InvalidFrame, match=problem):
        frame.serialize()


@given(TEXT)
def test_escapes_round_trip(text: str) -> None:
    """unescape is the inverse of escape, whose result holds no octet that a header can't have."""
    assert unescape(escape(text)) == text
    assert {"\r", "\n", ":"}.isdisjoint(escape(text))


@pytest.mark.parametrize("text", ["\\", "a\\t", "\\\\\\", "\\x41", "\\\n"])
def test_an_undefined_escape_is_an_error(text: str) -> None:
    """ "Undefined escape sequences such as \\t MUST be treated as a fatal protocol error" (Value Encoding)."""
    with pytest.raises(UndefinedEscape):
        unescape(text)


def test_the_first_of_a_repeated_header_counts() -> None:
    """Repeated Header Entries: only the first one is used."""
    frame = Frame("MESSAGE", (("foo", "World"), ("foo", "Hello")))
    assert frame.get("foo") == "World"
    assert frame.get("bar") is None
    assert frame.get("bar", "none") == "none"


def test_a_long_frame_is_shown_without_its_middle() -> None:
    """A log line stays one short line that begins with the command and ends with the body's end."""
    text = str(Frame("MESSAGE", (("destination", "/topic/" + "a" * 500),), b"x" * 5000 + b"end"))
    assert text.startswith("MESSAGE destination:")
    assert " … " in text
    assert len(text) <= 165
    assert "\n" not in str(Frame("SEND", (("a", "b\nc"),), b"d\ne"))


def test_a_passcode_is_never_shown() -> None:
    """What goes to a log has no secret in it."""
    assert "secret" not in str(Frame("CONNECT", (("login", "me"), ("passcode", "secret"))))
