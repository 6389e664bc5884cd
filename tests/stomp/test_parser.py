"""Bytes into frames, whatever the bytes and however they are split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.stomp.errors import (
    BodyTooLarge,
    InvalidState,
    LineTooLong,
    MalformedFrame,
    ProtocolError,
    TooManyHeaders,
    TruncatedFrame,
    UndefinedEscape,
)
from conformance.stomp.frames import COMMANDS_WITH_BODY, COMMANDS_WITHOUT_ESCAPES, Frame
from conformance.stomp.parser import HeartBeat, Limits, Parser

SMALL = Limits(headers=3, line_bytes=40, body_bytes=50)
Result = tuple[list[Frame | HeartBeat], type[ProtocolError] | None, str]


def parse(data: bytes, cuts: list[int] | None = None, *, limits: Limits | None = None, eof: bool = True) -> Result:
    """What comes out of the bytes cut at these places: frames, the error's class, its text."""
    parser = Parser(limits)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    events: list[Frame | HeartBeat] = []
    for begin, end in pairwise(edges):
        parser.receive_data(data[begin:end])
        events += parser.events()
    if eof:
        parser.receive_eof()
    events += parser.events()
    return events, type(parser.error) if parser.error else None, str(parser.error or "")


WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\n:"), max_size=12)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Any frame that can be said."""
    command = draw(st.sampled_from(["CONNECT", "CONNECTED", "SEND", "MESSAGE", "ERROR", "RECEIPT", "ACK", "SUBSCRIBE"]))
    text = PLAIN if command in COMMANDS_WITHOUT_ESCAPES else WORD
    names = text.filter(lambda name: name not in ("", "content-length"))
    headers = tuple(draw(st.lists(st.tuples(names, text), max_size=4)))
    return Frame(command, headers, draw(st.binary(max_size=40)) if command in COMMANDS_WITH_BODY else b"")


def without_length(event: Frame | HeartBeat) -> Frame | HeartBeat:
    """The frame as it was before its content-length was added."""
    if isinstance(event, HeartBeat):
        return event
    headers = tuple(header for header in event.headers if header[0] != "content-length")
    return Frame(event.command, headers, event.body)


PIECES = st.lists(st.one_of(frames(), st.just(HeartBeat())), max_size=6)


@given(PIECES, st.lists(st.integers(min_value=0), max_size=8), st.booleans())
def test_frames_round_trip_however_they_are_split(pieces: list[Frame | HeartBeat], cuts: list[int], crlf: bool) -> None:
    """What was serialized comes out again, with heart-beats between, from any split of the bytes."""
    eol = b"\r\n" if crlf else b"\n"
    data = b"".join(eol if isinstance(piece, HeartBeat) else piece.serialize() for piece in pieces)
    events, error, _ = parse(data, cuts)
    assert error is None
    assert [without_length(event) for event in events] == pieces


NEARLY = [
    b"MESSAGE\n",
    b"ERROR\r\n",
    b"a:b\n",
    b"a\\t:b\n",
    b"content-length:3\n",
    b"content-length:99999999999999999999\n",
    b"RECEIPT\nreceipt-id:1\n\n\x00",
    b"\n",
    b"\r",
    b"\x00",
    b"x" * 45,
]
GARBAGE = st.lists(
    st.one_of(st.binary(max_size=60), st.sampled_from(NEARLY), frames().map(Frame.serialize)), max_size=8
).map(b"".join)


@given(GARBAGE, st.lists(st.integers(min_value=0), max_size=10), st.booleans())
@example(b"MESSAGE\n" + b"\r" * 41, [9], False)
@example(b"x" * 41 + b"\x00", [41], False)
@example(b"x" * 40 + b"\n", [40], True)
def test_garbage_is_never_raised_and_never_depends_on_the_split(data: bytes, cuts: list[int], eof: bool) -> None:
    """Any bytes give the same frames and the same stored error from any split."""
    whole = parse(data, limits=SMALL, eof=eof)
    assert parse(data, cuts, limits=SMALL, eof=eof) == whole
    assert parse(data, list(range(len(data))), limits=SMALL, eof=eof) == whole


@given(GARBAGE)
def test_nothing_comes_after_an_error(data: bytes) -> None:
    """Once there is an error the parser is closed and drops what follows."""
    parser = Parser(SMALL)
    parser.receive_data(data)
    parser.receive_data(b"HELLO\n")
    parser.receive_data(b"\x00\x00")
    if parser.error is None:  # the garbage ended inside a body
        return
    error = parser.error
    parser.events()
    parser.receive_data(b"\nRECEIPT\nreceipt-id:1\n\n\x00")
    assert parser.closed
    assert parser.events() == []
    assert parser.error is error


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"HELLO\n\n\x00", MalformedFrame, "unknown command 'HELLO'"),
        (b"message\n\n\x00", MalformedFrame, "unknown command"),
        (b"\x00", MalformedFrame, "NUL before the end"),
        (b"ERROR\x00\n\n", MalformedFrame, "NUL before the end"),
        (b"ERROR\nno-colon\n\n\x00", MalformedFrame, "without a name and a colon"),
        (b"ERROR\n:value\n\n\x00", MalformedFrame, "without a name and a colon"),
        (b"ERROR\na:\xff\n\n\x00", MalformedFrame, "not UTF-8"),
        (b"ERROR\na:b\rc\n\n\x00", MalformedFrame, "CR inside"),
        (b"ERROR\na:\\t\n\n\x00", UndefinedEscape, "undefined escape"),
        (b"MESSAGE\ncontent-length:x\n\n\x00", MalformedFrame, "no number"),
        (b"MESSAGE\ncontent-length:-1\n\n\x00", MalformedFrame, "no number"),
        (b"MESSAGE\ncontent-length:2\n\nabc\x00", MalformedFrame, "no NUL at the end"),
        (b"RECEIPT\ncontent-length:1\n\na\x00", MalformedFrame, "a RECEIPT frame with a body"),
        (b"RECEIPT\n\na\x00", MalformedFrame, "no NUL at the end"),
        (b"ERROR\n" + b"a:b\n" * 4, TooManyHeaders, "more than 3 headers"),
        (b"ERROR\n" + b"a" * 41, LineTooLong, "more than 40 bytes"),
        (b"M" * 41, LineTooLong, "more than 40 bytes"),
        (b"MESSAGE\ncontent-length:51\n\n", BodyTooLarge, "more than 50 bytes"),
        (b"MESSAGE\ncontent-length:" + b"9" * 20 + b"\n\n", BodyTooLarge, "more than 50 bytes"),
        (b"MESSAGE\n\n" + b"a" * 51, BodyTooLarge, "more than 50 bytes"),
    ],
)
def test_what_is_wrong_is_named_at_once(data: bytes, error: type[ProtocolError], text: str) -> None:
    """Each kind of wrong bytes has its error, without waiting for the stream's end."""
    _, found, message = parse(data, limits=SMALL, eof=False)
    assert found is error
    assert text in message


@pytest.mark.parametrize(
    "data",
    [
        b"ERROR\n" + b"a:b\n" * 3 + b"\n\x00",
        b"ERROR\na:" + b"b" * 38 + b"\n\n\x00",
        b"MESSAGE\ncontent-length:50\n\n" + b"\x00" * 51,
        b"MESSAGE\n\n" + b"a" * 50 + b"\x00",
    ],
)
def test_a_limit_itself_is_allowed(data: bytes) -> None:
    """A limit is the largest value that passes."""
    events, error, _ = parse(data, limits=SMALL)
    assert error is None
    assert len(events) == 1


@pytest.mark.parametrize("data", [b"M", b"\r", b"MESSAGE\n", b"MESSAGE\n\n", b"MESSAGE\ncontent-length:3\n\nab"])
def test_an_end_inside_a_frame_is_an_error(data: bytes) -> None:
    """A cut frame is told from a clean end."""
    assert parse(data)[1] is TruncatedFrame
    assert parse(b"\n\n")[1] is None


def test_a_body_may_hold_nuls_where_its_length_is_given() -> None:
    """content-length counts octets, NULs among them (Header content-length)."""
    events, _, _ = parse(b"MESSAGE\ncontent-length:3\n\n\x00\n\x00\x00\n")
    assert events == [Frame("MESSAGE", (("content-length", "3"),), b"\x00\n\x00"), HeartBeat()]


def test_connected_keeps_backslashes_and_colons() -> None:
    """CONNECTED has no escapes, and a bare colon in a value is taken."""
    events, _, _ = parse(b"CONNECTED\nserver:a:b\\c\n\n\x00")
    assert events == [Frame("CONNECTED", (("server", "a:b\\c"),))]


def test_what_came_before_an_error_is_kept() -> None:
    """A good frame before a bad one in the same bytes is not lost."""
    events, error, _ = parse(b"RECEIPT\nreceipt-id:1\n\n\x00\nHELLO\n")
    assert events == [Frame("RECEIPT", (("receipt-id", "1"),)), HeartBeat()]
    assert error is MalformedFrame


def test_data_after_the_end_is_the_callers_mistake() -> None:
    """Misuse is raised, unlike what the peer does."""
    parser = Parser()
    parser.receive_eof()
    assert parser.closed
    with pytest.raises(InvalidState):
        parser.receive_data(b"\n")
