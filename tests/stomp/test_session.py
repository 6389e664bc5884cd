"""A client's side of a conversation, without a server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.stomp.errors import (
    InvalidState,
    MalformedFrame,
    ProtocolError,
    TruncatedFrame,
    UnexpectedFrame,
    VersionRefused,
)
from conformance.stomp.frames import Frame
from conformance.stomp.parser import HeartBeat, Parser
from conformance.stomp.session import (
    ClientSession,
    Connected,
    ErrorReceived,
    HeartBeatTimes,
    MessageReceived,
    ReceiptReceived,
    State,
)

CONNECTED = b"CONNECTED\nversion:1.2\nheart-beat:5000,20000\nserver:RabbitMQ/3.10.8\n\n\x00\n"


def sent(data: bytes) -> Frame:
    """The one frame in these bytes."""
    parser = Parser()
    parser.receive_data(data)
    (frame,) = parser.events()
    assert isinstance(frame, Frame)
    return frame


def connected() -> ClientSession:
    """A session that is connected."""
    session = ClientSession(heart_beat_ms=10_000)
    session.connect(host="/", login="me", passcode="secret")
    session.receive_data(CONNECTED)
    session.events()
    return session


def test_connect_offers_version_and_heart_beats() -> None:
    """CONNECT names 1.2 alone, the virtual host, the credentials and the heart-beats."""
    frame = sent(ClientSession(heart_beat_ms=10_000).connect(host="/v", login="me", passcode="p:w"))
    assert frame == Frame(
        "CONNECT",
        (
            ("accept-version", "1.2"),
            ("host", "/v"),
            ("heart-beat", "10000,10000"),
            ("login", "me"),
            ("passcode", "p:w"),
        ),
    )


def test_a_whole_conversation() -> None:
    """CONNECT, SUBSCRIBE, a MESSAGE before the RECEIPT, ACK, NACK, DISCONNECT and its RECEIPT."""
    session = ClientSession(heart_beat_ms=10_000)
    session.connect(host="/", login="me", passcode="secret")
    session.receive_data(CONNECTED)
    assert session.events() == [Connected(HeartBeatTimes(20_000, 10_000), "RabbitMQ/3.10.8"), HeartBeat()]
    subscribe = sent(session.subscribe(destination="/d", subscription="s", receipt="r", headers={"ack": "client"}))
    assert subscribe.headers == (("id", "s"), ("destination", "/d"), ("receipt", "r"), ("ack", "client"))
    message = Frame("MESSAGE", (("ack", "a:1"), ("content-length", "1")), b"x")
    session.receive_data(message.serialize() + b"\nRECEIPT\nreceipt-id:r\n\n\x00\n")
    assert session.events() == [MessageReceived(message), HeartBeat(), ReceiptReceived("r"), HeartBeat()]
    assert sent(session.ack("a:1")) == Frame("ACK", (("id", "a:1"),))
    assert sent(session.nack("a:1")) == Frame("NACK", (("id", "a:1"),))
    assert sent(session.disconnect(receipt="bye")) == Frame("DISCONNECT", (("receipt", "bye"),))
    session.receive_data(message.serialize() + b"RECEIPT\nreceipt-id:bye\n\n\x00")
    assert session.events() == [MessageReceived(message), ReceiptReceived("bye")]
    assert session.state is State.CLOSED
    assert session.error is None


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"CONNECTED\nversion:1.1\n\n\x00", VersionRefused, "'1.1'"),
        (b"CONNECTED\n\n\x00", VersionRefused, "'1.0'"),
        (b"CONNECTED\nversion:1.2\nheart-beat:x\n\n\x00", MalformedFrame, "heart-beat"),
        (b"MESSAGE\n\n\x00", UnexpectedFrame, "MESSAGE frame while connecting"),
        (b"RECEIPT\nreceipt-id:1\n\n\x00", UnexpectedFrame, "RECEIPT frame while connecting"),
        (b"GARBAGE\n", MalformedFrame, "unknown command"),
        (CONNECTED + CONNECTED, UnexpectedFrame, "CONNECTED frame while connected"),
        (CONNECTED + b"SEND\n\n\x00", UnexpectedFrame, "SEND frame"),
        (CONNECTED + b"RECEIPT\n\n\x00", MalformedFrame, "without receipt-id"),
    ],
)
def test_what_the_server_does_wrong_is_stored(data: bytes, error: type[ProtocolError], text: str) -> None:
    """A wrong server ends the session with an error and is never raised."""
    session = ClientSession()
    session.connect(host="/", login="", passcode="")
    session.receive_data(data)
    assert isinstance(session.error, error)
    assert text in str(session.error)
    assert session.state is State.CLOSED
    session.events()
    session.receive_data(b"\n")
    assert session.events() == []


def test_error_closes_the_session() -> None:
    """After ERROR the server says nothing more (ERROR), and we neither."""
    session = connected()
    session.receive_data(b"ERROR\nmessage:not_found\n\ndetail\x00MESSAGE\n\n\x00")
    assert session.events() == [ErrorReceived(Frame("ERROR", (("message", "not_found"),), b"detail"))]
    assert session.state is State.CLOSED
    with pytest.raises(InvalidState):
        session.ack("1")


def test_the_end_of_the_stream_closes_the_session() -> None:
    """A clean end is no error, one inside a frame is."""
    clean, cut = connected(), connected()
    clean.receive_eof()
    cut.receive_data(b"MESSAGE\n")
    cut.receive_eof()
    assert (clean.state, clean.error) == (State.CLOSED, None)
    assert isinstance(cut.error, TruncatedFrame)


@pytest.mark.parametrize(
    "call",
    [
        lambda session: session.ack("1"),
        lambda session: session.nack("1"),
        lambda session: session.disconnect(receipt="r"),
        lambda session: session.subscribe(destination="/d", subscription="s", receipt="r", headers={}),
    ],
)
def test_a_call_out_of_order_is_raised(call: Callable[[ClientSession], bytes]) -> None:
    """Misuse by the caller raises."""
    with pytest.raises(InvalidState, match="the session is new, not connected"):
        call(ClientSession())


@pytest.mark.parametrize(
    ("ours", "header", "times"),
    [
        (10_000, "5000,20000", (20_000, 10_000)),
        (10_000, "0,0", (0, 0)),
        (10_000, "0,3", (10_000, 0)),
        (10_000, "30000,0", (0, 30_000)),
        (0, "5000,5000", (0, 0)),
    ],
)
def test_heart_beats_are_agreed_on(ours: int, header: str, times: tuple[int, int]) -> None:
    """The larger of what one can and the other wants; none where either says 0 (Heart-beating)."""
    assert HeartBeatTimes.agree(ours, header) == HeartBeatTimes(*times)


@given(st.text(max_size=30))
def test_any_heart_beat_header_is_agreed_on_or_malformed(header: str) -> None:
    """No header of a server can make us fail in another way."""
    try:
        times = HeartBeatTimes.agree(1000, header)
    except MalformedFrame:
        return
    assert times.send_ms >= 0
    assert times.expect_ms >= 0


def test_heart_beat_times_are_pure() -> None:
    """When to send and when to give up follow from the agreed times alone."""
    times = HeartBeatTimes(send_ms=2000, expect_ms=5000)
    assert times.next_send(100.0) == 102.0
    assert times.silence_limit_s() == 10.0
    assert HeartBeatTimes().next_send(100.0) is None
    assert HeartBeatTimes().silence_limit_s() is None


@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_never_raised(data: bytes, after_connected: bool) -> None:
    """Whatever the server sends, receiving does not raise."""
    session = connected() if after_connected else ClientSession()
    session.receive_data(data)
    session.receive_eof()
    assert session.state is State.CLOSED
