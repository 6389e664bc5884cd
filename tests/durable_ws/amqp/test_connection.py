"""The AMQP state machine: what it says, what it hears, and that nothing a peer sends can upset it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header
from pamqp.heartbeat import Heartbeat

from durable_ws.amqp.connection import Connection, Offer
from durable_ws.amqp.content import encode_address, encode_properties
from durable_ws.amqp.events import (
    Blocked,
    ChannelClosed,
    ClosedByBroker,
    ClosedInOrder,
    Confirmed,
    Declared,
    Event,
    Failed,
    Opened,
    Returned,
    Selected,
    Unblocked,
)

START = commands.Connection.Start(0, 9, {"product": "x", "capabilities": {"a": True}}, "PLAIN EXTERNAL", "en_US")
HANDSHAKE: list[tuple[int, Any]] = [
    (0, START), (0, commands.Connection.Tune(2047, 131072, 60)), (0, commands.Connection.OpenOk()),
]  # fmt: skip


def wire(*told: tuple[int, Any]) -> bytes:
    """The frames as a broker sends them, by pamqp."""
    return b"".join(frame.marshal(one, channel) for channel, one in told)


def heard(connection: Connection) -> list[tuple[int, Any]]:
    """What the connection says now, as a broker reads it, by pamqp."""
    data, read = connection.take(), []
    while data:
        size, channel, one = frame.unmarshal(data)
        read.append((channel, one))
        data = data[size:]
    return read


def opened(**offer: Any) -> Connection:
    """A connection that is open, with a publishing channel in confirm mode."""
    connection = Connection(Offer(**offer))
    assert connection.receive(wire(*HANDSHAKE)) == [Opened()]
    connection.open_channel(1)
    connection.select_confirms(1)
    assert connection.receive(wire((1, commands.Channel.OpenOk()), (1, commands.Confirm.SelectOk()))) == [Selected(1)]
    connection.take()
    return connection


def returned(message_id: str | None, content: bytes, pieces: Iterable[int] = ()) -> list[tuple[int, Any]]:
    """The frames of a basic.return whose body is cut at these places."""
    properties = commands.Basic.Properties(message_id=message_id or "", headers={"a": 1}, priority=3, content_type="t")
    cuts = sorted({0, len(content), *(place % (len(content) + 1) for place in pieces)})
    bodies = [body.ContentBody(content[a:b]) for a, b in itertools.pairwise(cuts)]
    method = commands.Basic.Return(312, "NO_ROUTE", "x", "k")
    return [(1, one) for one in (method, header.ContentHeader(0, len(content), properties), *bodies)]


def test_the_handshake() -> None:
    """Header, start-ok, tune-ok and open, each as the broker reads it."""
    connection = Connection(
        Offer(response=b"\0me\0secret", virtual_host="v", heartbeat_s=7, client_properties={"connection_name": "mine"})
    )
    assert connection.take() == b"AMQP\x00\x00\x09\x01"
    assert connection.receive(wire(HANDSHAKE[0])) == []
    ((_, start_ok),) = heard(connection)
    assert (start_ok.mechanism, start_ok.response, start_ok.locale) == ("PLAIN", "\0me\0secret", "en_US")
    assert start_ok.client_properties["connection_name"] == "mine"
    assert start_ok.client_properties["capabilities"]["connection.blocked"] is True
    assert connection.receive(wire(HANDSHAKE[1])) == []
    (_, tune_ok), (_, open_) = heard(connection)
    assert (tune_ok.channel_max, tune_ok.frame_max, tune_ok.heartbeat) == (2047, 131072, 7)
    assert open_.virtual_host == "v"
    assert not connection.is_open
    assert connection.receive(wire(HANDSHAKE[2])) == [Opened()]
    assert connection.is_open


@pytest.mark.parametrize(
    ("theirs", "ours", "agreed"), [(0, 4096, 4096), (8192, 4096, 4096), (4096, 131072, 4096), (0, 131072, 131072)]
)
def test_the_lower_frame_max_counts(theirs: int, ours: int, agreed: int) -> None:
    """And 0 is no limit."""
    connection = Connection(Offer(frame_max=ours))
    connection.receive(wire(HANDSHAKE[0], (0, commands.Connection.Tune(0, theirs, 0))))
    assert [one.frame_max for _, one in heard(connection) if isinstance(one, commands.Connection.TuneOk)] == [agreed]
    assert connection.frame_max == agreed


def test_external_login() -> None:
    """The mechanism is named, and nothing is said of a user."""
    connection = Connection(Offer(mechanism="EXTERNAL", response=b""))
    connection.take()
    connection.receive(wire(HANDSHAKE[0]))
    ((_, start_ok),) = heard(connection)
    assert (start_ok.mechanism, start_ok.response) == ("EXTERNAL", "")


def test_a_mechanism_that_the_broker_has_not() -> None:
    """Trying on would not help, and the password is not sent."""
    connection = Connection(Offer(mechanism="EXTERNAL"))
    connection.take()
    start = commands.Connection.Start(0, 9, {}, "PLAIN AMQPLAIN", "en_US")
    assert connection.receive(wire((0, start))) == [
        Failed("the broker has no EXTERNAL login, only PLAIN AMQPLAIN", refused=True)
    ]
    assert connection.take() == b""


def test_declaring() -> None:
    """On a channel that is opened for it."""
    connection = opened()
    connection.open_channel(2)
    connection.declare(2, "news", "fanout", passive=True, durable=True, arguments={"alternate-exchange": "rest"})
    (channel, _), (_, declare) = heard(connection)
    assert channel == 2
    told = (declare.exchange, declare.exchange_type, declare.passive, declare.durable, declare.auto_delete)
    assert told == ("news", "fanout", True, True, False)
    assert declare.arguments == {"alternate-exchange": "rest"}
    assert connection.receive(wire((2, commands.Channel.OpenOk()), (2, commands.Exchange.DeclareOk()))) == [Declared(2)]


def test_a_channel_that_the_broker_closes() -> None:
    """It is answered; its number can be opened anew."""
    connection = opened()
    closed = commands.Channel.Close(404, "NOT_FOUND - no exchange 'x'", 60, 40)
    assert connection.receive(wire((1, closed))) == [ChannelClosed(1, 404, "NOT_FOUND - no exchange 'x'")]
    ((channel, answer),) = heard(connection)
    assert (channel, type(answer)) == (1, commands.Channel.CloseOk)
    connection.open_channel(1)
    connection.select_confirms(1)
    assert connection.receive(wire((1, commands.Channel.OpenOk()), (1, commands.Confirm.SelectOk()))) == [Selected(1)]


def test_what_comes_on_a_channel_that_we_close_is_nothing() -> None:
    """Until its close-ok, whatever it is."""
    connection = opened()
    connection.close_channel(1)
    assert connection.receive(wire((1, commands.Basic.Ack(5)), *returned("m", b"abc"))) == []
    assert connection.receive(wire((1, commands.Channel.CloseOk()))) == []
    assert isinstance(connection.receive(wire((1, commands.Basic.Ack(5))))[0], Failed)


def test_the_broker_closes_the_connection() -> None:
    """It is answered, and over."""
    connection = opened()
    closed = commands.Connection.Close(320, "CONNECTION_FORCED - bye", 40, 10)
    events = connection.receive(wire((0, closed), (1, commands.Basic.Ack(1))))
    assert events == [ClosedByBroker(320, "CONNECTION_FORCED - bye", 40)]
    assert [type(one) for _, one in heard(connection)] == [commands.Connection.CloseOk]
    assert connection.is_dead
    assert connection.receive(wire((1, commands.Basic.Ack(1)))) == []


def test_an_orderly_close() -> None:
    """What still comes before the answer is read and passed over."""
    connection = opened()
    connection.close()
    assert [one.reply_code for _, one in heard(connection)] == [200]
    late = [(0, commands.Connection.Blocked("x")), (0, Heartbeat()), *returned("m", b"abc")]
    events = connection.receive(wire(*late, (0, commands.Connection.CloseOk())))
    assert events[-1] == ClosedInOrder()
    assert connection.is_dead


def test_blocked_and_unblocked() -> None:
    """With the broker's reason."""
    told = wire((0, commands.Connection.Blocked("low on memory")), (0, commands.Connection.Unblocked()))
    assert opened().receive(told) == [Blocked("low on memory"), Unblocked()]


def test_heart_beats() -> None:
    """One is sent when nothing else was; four ticks of silence, two heart-beats, are the end."""
    connection = opened(heartbeat_s=4)
    assert connection.tick_every_s == 2.0
    connection.tick()
    connection.take()
    for _ in range(3):
        assert connection.tick() == []
        assert [type(one) for _, one in heard(connection)] == [Heartbeat]
    connection.receive(wire((0, Heartbeat())))
    for _ in range(4):
        assert connection.tick() == []
        connection.take()
    assert connection.tick() == [Failed("nothing was heard for two heart-beats of 4 s")]
    assert connection.is_dead


def test_no_heart_beat_beside_other_words() -> None:
    """What is published says that we are alive."""
    connection = opened()
    connection.tick()
    connection.publish(1, encode_address("x", ""), encode_properties({}), b"a")
    connection.take()
    connection.tick()
    assert connection.take() == b""


def test_properties_that_do_not_fit() -> None:
    """Nothing is sent of such a message."""
    connection = opened(frame_max=4096)
    properties = encode_properties({"headers": {"a": "x" * 5000}})
    assert not connection.publish(1, encode_address("x", ""), properties, b"a")
    assert connection.take() == b""


ACKS = st.builds(
    lambda tag, multiple: [(1, commands.Basic.Ack(tag, multiple))], st.integers(0, 2**63 - 1), st.booleans()
)
NACKS = st.builds(lambda tag, multiple: [(1, commands.Basic.Nack(tag, multiple))], st.integers(0, 9), st.booleans())
IDS = st.none() | st.sampled_from(["m", "é" * 100])
RETURNS = st.builds(returned, IDS, st.binary(max_size=50), st.lists(st.integers(0, 50), max_size=3))
OTHERS = st.sampled_from([Heartbeat(), commands.Connection.Blocked("low"), commands.Connection.Unblocked()])
CONVERSATION = st.lists(ACKS | NACKS | RETURNS | OTHERS.map(lambda one: [(0, one)]), max_size=12)


def expected(told: list[tuple[int, Any]]) -> list[Event]:
    """The events that frames stand for."""
    events: list[Event] = []
    message_id = None
    due = -1
    for channel, one in told:
        match one:
            case commands.Basic.Ack() | commands.Basic.Nack():
                nack = isinstance(one, commands.Basic.Nack)
                events.append(Confirmed(channel, one.delivery_tag, one.multiple, nack))
            case commands.Connection.Blocked():
                events.append(Blocked(one.reason))
            case commands.Connection.Unblocked():
                events.append(Unblocked())
            case header.ContentHeader():
                message_id, due = one.properties.message_id or None, one.body_size
            case body.ContentBody():
                due -= len(one.value)
        if due == 0:
            events.append(Returned(channel, message_id, "NO_ROUTE"))
            due = -1
    return events


@given(told=CONVERSATION, cuts=st.lists(st.integers(0, 2000), max_size=8), every=st.booleans())
def test_any_split_gives_the_same_events(told: list[list[tuple[int, Any]]], cuts: list[int], every: bool) -> None:
    """The stream may come byte by byte or all at once."""
    flat = [one for some in told for one in some]
    data = wire(*flat)
    places = list(range(len(data) + 1)) if every else sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    connection = opened()
    events = [event for a, b in itertools.pairwise(places) for event in connection.receive(data[a:b])]
    assert events == expected(flat)


@given(cuts=st.lists(st.integers(0, 500), max_size=5))
def test_any_split_of_the_handshake(cuts: list[int]) -> None:
    """Also the handshake may come in any pieces."""
    data = wire(*HANDSHAKE)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    connection = Connection(Offer())
    events = [event for a, b in itertools.pairwise(places) for event in connection.receive(data[a:b])]
    assert events == [Opened()]


HOSTILE: dict[str, tuple[bytes, str]] = {
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\n", "does not speak AMQP"),
    "another frame type": (b"\x07\x00\x00\x00\x00\x00\x00\xce", "does not speak AMQP"),
    "a giant frame": (b"\x01\x00\x01\xff\xff\xff\xff\x00", "a frame of 4,294,967,303 bytes, at most 131,072"),
    "a frame without its end": (wire((1, commands.Basic.Ack(1)))[:-1] + b"\x00", "does not end as it should"),
    "an unknown method": (b"\x01\x00\x01\x00\x00\x00\x04\x00\x5a\x00\x0a\xce", "method 90.10"),
    "a delivery": (wire((1, commands.Basic.Deliver("c", 1, False, "x", "k"))), "method 60.60"),
    "an unknown channel": (wire((9, commands.Basic.Ack(1))), "on channel 9, which is not open"),
    "content without a method": (wire((1, body.ContentBody(b"abc"))), "where none is due"),
    "a method in the midst of content": (
        wire(*returned("m", b"abc")[:2], (1, commands.Basic.Ack(1))), "in the midst of a returned message",
    ),
    "more body than announced": (wire(*returned("m", b"abc")[:2], (1, body.ContentBody(b"abcd"))), "none is due"),
    "a method cut short": (b"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x32\x01\x38\xce", "in the middle of a field"),
    "a frame too short for a method": (b"\x01\x00\x01\x00\x00\x00\x02\x00\x3c\xce", "in the middle of a field"),
    "a header that ends in its table": (
        wire(returned("m", b"abc")[0]) + b"\x02\x00\x01\x00\x00\x00\x12\x00\x3c\x00\x00" + bytes(8)
        + b"\x20\x00\xff\xff\xff\xff\xce", "in the middle of a field",
    ),
    "a heart-beat with something in it": (b"\x08\x00\x00\x00\x00\x00\x01x\xce", "is not empty"),
    "a handshake again": (wire((0, START)), "method 10.10 open"),
    "tune again": (wire(HANDSHAKE[1]), "method 10.30 open"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "said"), HOSTILE.values(), ids=list(HOSTILE))
def test_what_breaks_the_protocol(data: bytes, said: str) -> None:
    """One event tells it, the connection is over, and nothing after it counts."""
    connection = opened()
    events = connection.receive(data + wire((1, commands.Basic.Ack(7))))
    assert len(events) == 1
    assert isinstance(events[0], Failed)
    assert said in events[0].reason
    assert connection.is_dead
    assert connection.receive(wire((1, commands.Basic.Ack(7)))) == connection.tick() == []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (b"AMQP\x00\x01\x00\x00", "another version of AMQP (00010000)"),
        (wire((0, commands.Connection.Start(0, 8, {}, "PLAIN", "en_US"))), "AMQP 0.8, not 0.9"),
        (wire(HANDSHAKE[0], (0, commands.Connection.Tune(1, 0, 0))), "one channel a connection"),
        (wire(HANDSHAKE[0], (0, commands.Connection.Tune(0, 100, 0))), "frames of at most 100 bytes"),
        (wire(HANDSHAKE[1]), "before connection.start"),
        (wire(HANDSHAKE[0], HANDSHAKE[2]), "before connection.tune"),
        (wire((1, commands.Basic.Ack(1))), "channel 1, which is not open"),
    ],
)
def test_a_handshake_that_breaks_the_protocol(told: bytes, said: str) -> None:
    """It ends with a word of why."""
    (event,) = Connection(Offer()).receive(told)
    assert isinstance(event, Failed)
    assert said in event.reason


@given(
    st.lists(
        st.binary(max_size=40)
        | st.builds(lambda some: wire(*some), CONVERSATION.map(lambda told: itertools.chain(*told))),
        max_size=6,
    )
)
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    """Whatever comes: at most one failure, the last event of all."""
    connection = opened()
    events = [event for piece in pieces for event in connection.receive(piece)]
    assert [type(event) for event in events].count(Failed) <= 1
    assert not any(isinstance(event, Failed) for event in events[:-1])


@given(data=st.data())
def test_no_changed_byte_raises(data: st.DataObject) -> None:
    """Also where a sound conversation is spoilt in one place."""
    told = wire(*HANDSHAKE, (0, commands.Connection.Blocked("low")), (0, commands.Connection.Close(320, "x", 0, 0)))
    place = data.draw(st.integers(0, len(told) - 1))
    spoilt = told[:place] + bytes((data.draw(st.integers(0, 255)),)) + told[place + 1 :]
    Connection(Offer()).receive(spoilt)


def test_a_returned_body_is_not_kept() -> None:
    """However much a peer sends back, it is counted only."""
    connection = opened()
    head = header.ContentHeader(0, 2**40, commands.Basic.Properties(message_id="m"))
    connection.receive(wire((1, commands.Basic.Return(312, "NO_ROUTE", "x", "k")), (1, head)))
    piece = wire((1, body.ContentBody(b"x" * 100_000)))
    for _ in range(50):
        assert connection.receive(piece) == []
    assert len(connection._rest) == 0
