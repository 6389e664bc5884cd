"""The tap of a tab's link: any split gives the same pieces, and no byte is changed, whatever it is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.faults.base import Piece
from conformance.stomp.frames import Frame
from conformance.world.network.taps import MOST_BYTES
from conformance.world.network.web_stomp_tap import WebStompTap
from tests.world.network.wire import ANY_TIME, HANDSHAKE_ANSWER, HANDSHAKE_REQUEST, ack, message, stomp, web_socket

HEADS = {"to_broker": HANDSHAKE_REQUEST, "to_client": HANDSHAKE_ANSWER}

masks = st.binary(min_size=4, max_size=4) | st.just(b"")
stomp_frames = st.builds(
    lambda command, text, content: (
        Frame(
            command,
            (("text", text), ("content-length", str(len(content)))),
            content if command in ("MESSAGE", "SEND") else b"",
        )
        if command in ("MESSAGE", "SEND")
        else Frame(command, (("text", text),))
    ),
    st.sampled_from(["MESSAGE", "SEND", "ACK", "RECEIPT", "SUBSCRIBE", "DISCONNECT"]),
    st.text("aé:\\\r\n", max_size=20),
    st.binary(max_size=200) | st.just(b"large" * 14_000),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[bytes, tuple[str, ...]]]:
    """WebSocket frames with the STOMP commands that each of them ends: several in one, one over several, none."""
    units: list[tuple[bytes, tuple[str, ...]]] = []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["frames", "torn", "heart-beat", "ping", "empty"]))
        mask = draw(masks)
        if kind == "frames":
            frames = draw(st.lists(stomp_frames, min_size=1, max_size=3))
            payload = b"".join(frame.serialize() + draw(st.sampled_from([b"", b"\n"])) for frame in frames)
            units.append((web_socket(payload, mask=mask), tuple(frame.command.lower() for frame in frames)))
        elif kind == "torn":
            frame = draw(stomp_frames)
            payload = frame.serialize()
            at = draw(st.integers(0, len(payload) - 1))
            units.append((web_socket(payload[:at], mask=mask, fin=False), ()))
            units.append((web_socket(b"", mask=mask, opcode=9), ()))
            units.append((web_socket(payload[at:], mask=mask, opcode=0), (frame.command.lower(),)))
        elif kind == "heart-beat":
            units.append((web_socket(b"\n", mask=mask), ()))
        elif kind == "ping":
            # A control frame's payload is no STOMP, even if it looks like it.
            units.append((web_socket(Frame("ACK", (("id", "1"),)).serialize(), mask=mask, opcode=9), ()))
        else:
            units.append((web_socket(b"", mask=mask), ()))
    return units


def feed(tap: WebStompTap, direction: str, data: bytes, cuts: list[int]) -> list[Piece]:
    """What the tap makes of the bytes, split there."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces: list[Piece] = []
    for start, end in itertools.pairwise(places):
        pieces += tap.feed(direction, data[start:end])  # type: ignore[arg-type]
    return pieces


@ANY_TIME
@given(
    units=conversations(), direction=st.sampled_from(sorted(HEADS)), cuts=st.lists(st.integers(0, 200_000), max_size=8)
)
def test_any_split_gives_the_same_pieces(
    units: list[tuple[bytes, tuple[str, ...]]], direction: str, cuts: list[int]
) -> None:
    """A piece for the head and one for each WebSocket frame, with the commands that end in it."""
    tap = WebStompTap()
    pieces = feed(tap, direction, HEADS[direction] + b"".join(data for data, _ in units), cuts)
    assert pieces == [Piece(HEADS[direction], ("http",)), *(Piece(data, marks) for data, marks in units)]
    assert tap.rest(direction) == b""  # type: ignore[arg-type]


def test_one_byte_at_a_time() -> None:
    """Nothing is passed before its unit is whole: a fault can act on all of it."""
    tap = WebStompTap()
    stream = HANDSHAKE_ANSWER + message(1, 200) + message(2)
    ends = []
    for place in range(len(stream)):
        ends += [place + 1 for _ in tap.feed("to_client", stream[place : place + 1])]
    assert ends == [len(HANDSHAKE_ANSWER), len(HANDSHAKE_ANSWER) + len(message(1, 200)), len(stream)]


@ANY_TIME
@given(
    data=st.binary(max_size=400)
    | st.builds(lambda head, rest: head + rest, st.sampled_from(list(HEADS.values())), st.binary()),
    direction=st.sampled_from(sorted(HEADS)),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
@example(data=HANDSHAKE_ANSWER + b"\x81\xff" + b"\xff" * 8 + b"more", direction="to_client", cuts=[])
@example(data=HANDSHAKE_ANSWER + web_socket(b"MESSAGE\n\n\xff\x00") + ack(1), direction="to_client", cuts=[])
def test_garbage_passes_unharmed(data: bytes, direction: str, cuts: list[int]) -> None:
    """Every byte comes out in its place, at the end of the stream at the latest; nothing is raised."""
    tap = WebStompTap()
    pieces = feed(tap, direction, data, cuts)
    assert b"".join(piece.data for piece in pieces) + tap.rest(direction) == data  # type: ignore[arg-type]
    assert tap.rest(direction) == b""  # type: ignore[arg-type]


@ANY_TIME
@given(content=st.binary(min_size=1, max_size=100), cuts=st.lists(st.integers(0, 400), max_size=4))
def test_bad_stomp_ends_the_marks_alone(content: bytes, cuts: list[int]) -> None:
    """After STOMP that can't be read, WebSocket frames are still pieces, unchanged, without marks."""
    bad = web_socket(b"NO SUCH COMMAND\n" + content)
    tap = WebStompTap()
    pieces = feed(tap, "to_client", HANDSHAKE_ANSWER + message(1) + bad + message(2), cuts)
    assert pieces[1:] == [Piece(message(1), ("message",)), Piece(bad), Piece(message(2))]


@pytest.mark.parametrize(
    ("direction", "first"),
    [
        ("to_broker", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("to_client", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"),
        ("to_broker", b"AMQP\x00\x00\x09\x01"),
        ("to_client", b"+OK ready\r\n"),
        ("to_broker", b"\x00"),
    ],
)
def test_what_is_no_http_is_not_kept_waiting(direction: str, first: bytes) -> None:
    """TLS, or any other protocol, passes at once, from its first byte on."""
    tap = WebStompTap()
    assert b"".join(piece.data for piece in tap.feed(direction, first)) == first  # type: ignore[arg-type]
    assert tap.feed(direction, b"more") == [Piece(b"more")]  # type: ignore[arg-type]


def test_an_answer_without_a_web_socket_is_not_kept_waiting() -> None:
    """The body of an HTTP error passes at once: whoever reads it must not wait for the end of the stream."""
    head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n"
    for cuts in ([], [10], [len(head) - 1], [len(head) + 1]):
        tap = WebStompTap()
        pieces = feed(tap, "to_client", head + b"not found", cuts)
        assert pieces[0] == Piece(head, ("http",))
        assert b"".join(piece.data for piece in pieces[1:]) == b"not found"


def test_a_request_for_no_web_socket_is_not_kept_waiting() -> None:
    """A plain HTTP request's body and the request after it pass at once."""
    tap = WebStompTap()
    request = b"POST /api HTTP/1.1\r\nContent-Length: 4\r\n\r\n"
    assert [piece.data for piece in tap.feed("to_broker", request + b"body")] == [request, b"body"]
    assert [piece.data for piece in tap.feed("to_broker", request)] == [request]


def test_the_header_for_the_upgrade_is_read_as_http_does() -> None:
    """Names and the token in any case, with or without a space."""
    for upgrade in (b"upgrade:websocket", b"UPGRADE:  WebSocket", b"Upgrade: foo, websocket"):
        tap = WebStompTap()
        pieces = tap.feed("to_broker", b"GET /ws HTTP/1.1\r\n" + upgrade + b"\r\n\r\n" + ack(1))
        assert [piece.marks for piece in pieces] == [("http",), ("ack",)]


def test_a_head_without_end_is_passed_on() -> None:
    """After 64 KiB of it the tap gives up reading, and what follows passes at once."""
    tap = WebStompTap()
    data = b"GET /ws HTTP/1.1\r\nx: " + b"a" * 70_000
    assert b"".join(piece.data for piece in tap.feed("to_broker", data)) == data
    assert tap.feed("to_broker", b"\r\n\r\n") == [Piece(b"\r\n\r\n")]


def test_a_frame_that_claims_to_be_huge_is_passed_on() -> None:
    """It is not waited for; from there on everything passes unread, and the other way is still read."""
    tap = WebStompTap()
    huge = b"\x81\x7f" + (MOST_BYTES + 1).to_bytes(8, "big") + b"begins"
    pieces = tap.feed("to_client", HANDSHAKE_ANSWER + message(1) + huge)
    assert [piece.marks for piece in pieces] == [("http",), ("message",), ()]
    assert pieces[-1].data == huge
    assert tap.feed("to_client", message(2)) == [Piece(message(2))]
    assert [piece.marks for piece in tap.feed("to_broker", HANDSHAKE_REQUEST + ack(1))] == [("http",), ("ack",)]


def test_a_large_message_over_many_reads() -> None:
    """Five megabytes in reads of 64 KiB are one piece with one mark."""
    tap = WebStompTap()
    tap.feed("to_client", HANDSHAKE_ANSWER)
    large = stomp("MESSAGE", ("ack", "1"), ("content-length", "5000000"), content=b"\x00" * 5_000_000)
    pieces = [
        piece for start in range(0, len(large), 65536) for piece in tap.feed("to_client", large[start : start + 65536])
    ]
    assert pieces == [Piece(large, ("message",))]


def test_the_rest_of_a_torn_frame() -> None:
    """What never became whole is given out once, at the end of the stream."""
    tap = WebStompTap()
    tap.feed("to_client", HANDSHAKE_ANSWER)
    assert tap.feed("to_client", message(1)[:-1]) == []
    assert tap.rest("to_broker") == b""
    assert tap.rest("to_client") == message(1)[:-1]
    assert tap.rest("to_client") == b""
