"""The AMQP state machine: what it says, what it hears, and that nothing a peer sends can upset it."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header
from pamqp.heartbeat import Heartbeat

import durable_ws.amqp.connection
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


def start(major: int, minor: int, mechanisms: str = "PLAIN") -> bytes:
    """The broker's first word."""
    return wire((0, commands.Connection.Start(major, minor, {}, mechanisms, "en_US")))


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


CUT_SHORT = "a frame ends in the middle of a field"
NONE_DUE = "content came on channel 1, where none is due"
IN_THE_MIDST = "the peer begins a method in the midst of a returned message"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\n", "the peer does not speak AMQP (it says b'HTTP/1.1')"),
    "another frame type": (
        b"\x07\x00\x00\x00\x00\x00\x00\xce",
        r"the peer does not speak AMQP (it says b'\x07\x00\x00\x00\x00\x00\x00\xce')",
    ),
    "a giant frame": (
        b"\x01\x00\x01\xff\xff\xff\xff\x00",
        "the peer announces a frame of 4,294,967,303 bytes, at most 131,072 are agreed",
    ),
    "a frame without its end": (
        wire((1, commands.Basic.Ack(1)))[:-1] + b"\x00", "a frame of the peer does not end as it should"
    ),
    "an unknown method": (
        b"\x01\x00\x01\x00\x00\x00\x04\x00\x5a\x00\x0a\xce", "the peer sent method 90.10 on a publisher's channel"
    ),
    "a method of a high number": (
        b"\x01\x00\x01\x00\x00\x00\x04\x00\x55\x01\x0b\xce", "the peer sent method 85.267 on a publisher's channel"
    ),
    "a delivery": (
        wire((1, commands.Basic.Deliver("c", 1, False, "x", "k"))),
        "the peer sent method 60.60 on a publisher's channel",
    ),
    "an unknown channel": (wire((9, commands.Basic.Ack(1))), "the peer speaks on channel 9, which is not open"),
    "content without a method": (wire((1, body.ContentBody(b"abc"))), NONE_DUE),
    "a method in the midst of content": (wire(*returned("m", b"abc")[:2], (1, commands.Basic.Ack(1))), IN_THE_MIDST),
    "more body than announced": (wire(*returned("m", b"abc")[:2], (1, body.ContentBody(b"abcd"))), NONE_DUE),
    "a method cut short": (b"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x32\x01\x38\xce", CUT_SHORT),
    "a frame too short for a method": (b"\x01\x00\x01\x00\x00\x00\x03\x00\x3c\x00\xce", CUT_SHORT),
    "a header that ends in its table": (
        wire(returned("m", b"abc")[0]) + b"\x02\x00\x01\x00\x00\x00\x12\x00\x3c\x00\x00" + bytes(8)
        + b"\x20\x00\xff\xff\xff\xff\xce", CUT_SHORT,
    ),
    "a heart-beat with something in it": (
        b"\x08\x00\x00\x00\x00\x00\x01x\xce", "a heart-beat of the peer is not empty"
    ),
    "a handshake again": (wire((0, START)), "the peer sent method 10.10 open"),
    "tune again": (wire(HANDSHAKE[1]), "the peer sent method 10.30 open"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "said"), HOSTILE.values(), ids=list(HOSTILE))
def test_what_breaks_the_protocol(data: bytes, said: str) -> None:
    """One event tells it, the connection is over, and nothing after it counts."""
    connection = opened()
    events = connection.receive(data + wire((1, commands.Basic.Ack(7))))
    assert events == [Failed(said)]
    assert connection.is_dead
    assert connection.receive(wire((1, commands.Basic.Ack(7)))) == connection.tick() == []


@pytest.mark.parametrize(
    ("told", "failed"),
    [
        (b"AMQP\x00\x01\x00\x00", Failed("the peer speaks another version of AMQP (00010000)")),
        (b"AMQQ\x00\x01\x00\x00", Failed("the peer does not speak AMQP (it says b'AMQQ\\x00\\x01\\x00\\x00')")),
        (
            wire(HANDSHAKE[0]) + b"AMQP\x00\x00\x09\x01",
            Failed(r"the peer does not speak AMQP (it says b'AMQP\x00\x00\t\x01')"),
        ),
        (start(0, 8), Failed("the peer speaks AMQP 0.8, not 0.9")),
        (start(1, 9), Failed("the peer speaks AMQP 1.9, not 0.9")),
        (
            wire(HANDSHAKE[0], (0, commands.Connection.Tune(1, 0, 0))),
            Failed("the broker allows one channel a connection, and two are needed", refused=True),
        ),
        (
            wire(HANDSHAKE[0], (0, commands.Connection.Tune(0, 4095, 0))),
            Failed("the peer asks for frames of at most 4095 bytes, fewer than AMQP allows"),
        ),
        (
            wire(HANDSHAKE[0], (0, commands.Connection.Tune(0, 1, 0))),
            Failed("the peer asks for frames of at most 1 bytes, fewer than AMQP allows"),
        ),
        (wire(HANDSHAKE[1]), Failed("the peer sent method 10.30 before connection.start")),
        (wire(HANDSHAKE[0], HANDSHAKE[2]), Failed("the peer sent method 10.41 before connection.tune")),
        (wire(*HANDSHAKE[:2], HANDSHAKE[1]), Failed("the peer sent method 10.30 before connection.open-ok")),
        (wire((0, commands.Connection.Blocked("low"))), Failed("the peer sent method 10.60 before connection.start")),
        (wire((0, commands.Connection.Unblocked())), Failed("the peer sent method 10.61 before connection.start")),
        (wire((0, commands.Connection.CloseOk())), Failed("the peer sent method 10.51 before connection.start")),
        (wire((1, commands.Basic.Ack(1))), Failed("the peer speaks on channel 1, which is not open")),
        (wire((1, body.ContentBody(b"a"))), Failed("content came on channel 1, where none is due")),
    ],
)  # fmt: skip
def test_a_handshake_that_breaks_the_protocol(told: bytes, failed: Failed) -> None:
    """It ends with a word of why."""
    connection = Connection(Offer())
    assert connection.receive(told) == [failed]
    assert connection.is_dead
    assert not connection.is_open


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


def test_each_byte_of_the_handshake() -> None:
    """As pamqp writes it."""
    connection = Connection(Offer(response=b"\0me\0secret", virtual_host="v", heartbeat_s=7, channel_max=9))
    assert connection.take() == b"AMQP\x00\x00\x09\x01"
    assert connection.take() == b""
    connection.receive(wire(HANDSHAKE[0]))
    said = connection.take()
    assert said[:3] + said[7:11] == b"\x01\x00\x00" + b"\x00\x0a\x00\x0b"
    assert len(said) == int.from_bytes(said[3:7], "big") + 8
    assert said.endswith(b"\x05PLAIN" + b"\x00\x00\x00\x0a\0me\0secret" + b"\x05en_US" + b"\xce")
    connection.receive(wire(HANDSHAKE[1]))
    assert connection.take() == wire((0, commands.Connection.TuneOk(9, 131072, 7)), (0, commands.Connection.Open("v")))


def test_what_the_library_says_of_itself() -> None:
    """For the broker's list of connections; and the capabilities, without which RabbitMQ tells neither of nacks nor of
    alarms."""
    connection = Connection(Offer(client_properties={"product": "mine", "connection_name": "tick"}))
    connection.take()
    connection.receive(wire(HANDSHAKE[0]))
    ((_, start_ok),) = heard(connection)
    about = durable_ws.amqp.connection._about()
    assert about == {
        "product": "durable_ws",
        "version": metadata.version("durable-ws"),
        "platform": f"Python {platform.python_version()}",
        "capabilities": {
            "authentication_failure_close": True,
            "basic.nack": True,
            "connection.blocked": True,
            "publisher_confirms": True,
        },
    }
    assert start_ok.client_properties == {**about, "product": "mine", "connection_name": "tick"}


def test_a_copy_of_the_sources_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and works."""

    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    about = durable_ws.amqp.connection._about()
    assert (about["product"], about["version"]) == ("durable_ws", "unknown")


@pytest.mark.parametrize(("theirs", "ours", "agreed"), [(0, 9, 9), (9, 0xFFFF, 9), (2, 2, 2), (0xFFFF, 9, 9)])
def test_the_lower_channel_max_counts(theirs: int, ours: int, agreed: int) -> None:
    """And 0 is no limit; two channels are enough."""
    connection = Connection(Offer(channel_max=ours))
    connection.receive(wire(HANDSHAKE[0], (0, commands.Connection.Tune(theirs, 0, 0))))
    assert [one.channel_max for _, one in heard(connection) if isinstance(one, commands.Connection.TuneOk)] == [agreed]


def test_a_mechanism_among_others() -> None:
    """As a whole word only."""
    connection = Connection(Offer())
    assert connection.receive(start(0, 9, "AMQPLAIN EXTERNAL PLAIN")) == []
    assert Connection(Offer()).receive(start(0, 9, "AMQPLAIN")) == [
        Failed("the broker has no PLAIN login, only AMQPLAIN", refused=True)
    ]


def test_each_byte_on_the_channels() -> None:
    """As pamqp writes it, where there are several to tell apart."""
    connection = opened()
    connection.open_channel(2)
    connection.select_confirms(2)
    channel_open = b"\x01\x00\x02\x00\x00\x00\x05\x00\x14\x00\x0a\x00\xce"  # pamqp's writes out a reserved field
    assert connection.take() == channel_open + wire((2, commands.Confirm.Select()))
    for passive, durable in itertools.product([True, False], repeat=2):
        connection.declare(2, "news", "fanout", passive=passive, durable=durable)
        declare = commands.Exchange.Declare(
            exchange="news", exchange_type="fanout", passive=passive, durable=durable, arguments={}
        )
        assert connection.take() == wire((2, declare))
    connection.close_channel(2)
    assert connection.take() == wire((2, commands.Channel.Close(200, "", 0, 0)))
    closed = (1, commands.Channel.Close(404, "NOT_FOUND", 60, 40))
    connection.receive(wire(closed))
    assert connection.take() == wire((1, commands.Channel.CloseOk()))
    connection.open_channel(0xFFFF)
    assert connection.take() == b"\x01\xff\xff" + channel_open[3:]
    connection.close()
    assert connection.take() == wire((0, commands.Connection.Close(200, "", 0, 0)))
    connection.receive(wire((0, commands.Connection.Close(320, "bye", 0, 0))))
    assert connection.take() == wire((0, commands.Connection.CloseOk()))


def test_a_close_after_the_end_says_nothing() -> None:
    """Nobody listens any more."""
    connection = opened()
    connection.receive(b"nonsense")
    connection.close()
    assert connection.take() == b""
    assert connection.is_dead


def test_publishing() -> None:
    """In the agreed frames, on its channel; and the caller learns that it is on its way."""
    connection = opened(frame_max=4096)
    assert connection.publish(1, encode_address("x", "k"), encode_properties({"message_id": "m"}), b"a" * 5000) is True
    (number, method), (_, head), *bodies = heard(connection)
    assert (number, method.exchange, method.routing_key, head.properties.message_id) == (1, "x", "k", "m")
    assert [len(one.value) for _, one in bodies] == [4088, 912]
    assert (
        connection.publish(1, encode_address("x", ""), encode_properties({"headers": {"a": "x" * 5000}}), b"") is False
    )


@pytest.mark.parametrize(
    ("size", "events"),
    [
        (4096, []),
        (4097, [Failed("the peer announces a frame of 4,097 bytes, at most 4,096 are agreed")]),
    ],
)
def test_the_largest_frame(size: int, events: list[Event]) -> None:
    """What is agreed is allowed, and no byte more."""
    connection = opened(frame_max=4096)
    head = header.ContentHeader(0, 10_000, commands.Basic.Properties(message_id="m"))
    told = wire((1, commands.Basic.Return(312, "NO_ROUTE", "x", "k")), (1, head))
    assert connection.receive(told + wire((1, body.ContentBody(b"x" * (size - 8))))) == events


@pytest.mark.parametrize("nack", [False, True])
@pytest.mark.parametrize(("bits", "multiple"), [(0, False), (1, True), (2, False), (3, True)])
def test_the_bits_of_a_confirm(nack: bool, bits: int, multiple: bool) -> None:
    """The first says ``multiple``; a nack's second, requeue, is nothing to a publisher."""
    method = b"\x00\x3c\x00\x78" if nack else b"\x00\x3c\x00\x50"
    told = b"\x01\x00\x01\x00\x00\x00\x0d" + method + (2**40 + 3).to_bytes(8, "big") + bytes((bits,)) + b"\xce"
    assert opened().receive(told) == [Confirmed(1, 2**40 + 3, multiple, nack)]


@pytest.mark.parametrize("length", [12, 14])
def test_a_confirm_of_another_length(length: int) -> None:
    """There is none."""
    told = b"\x01\x00\x01\x00\x00\x00" + bytes((length,)) + b"\x00\x3c\x00\x50" + bytes(length - 4) + b"\xce"
    assert opened().receive(told) == [Failed("the peer sent method 60.80 on a publisher's channel")]


def test_confirms_of_several_channels() -> None:
    """Each is told of its own."""
    connection = opened()
    connection.open_channel(300)
    told = [(1, commands.Basic.Ack(1)), (300, commands.Basic.Ack(2)), (0, Heartbeat()), (300, commands.Basic.Nack(3))]
    assert connection.receive(wire((300, commands.Channel.OpenOk()), *told)) == [
        Confirmed(1, 1, False, False), Confirmed(300, 2, False, False), Confirmed(300, 3, False, True),
    ]  # fmt: skip


def test_a_confirm_in_the_midst_of_content() -> None:
    """Neither before the header nor within the body may one come."""
    for frames in (1, 2):
        connection = opened()
        assert connection.receive(wire(*returned("m", b"abc")[:frames])) == []
        assert connection.receive(wire((1, commands.Basic.Ack(1)))) == [Failed(IN_THE_MIDST)]


def test_bodies() -> None:
    """As long as announced, in pieces of at least a byte, after the header and not before it."""
    none_due = [Failed(NONE_DUE)]
    told = returned("m", b"abc")
    assert opened().receive(wire(*told)) == [Returned(1, "m", "NO_ROUTE")]
    assert opened().receive(wire(*told[:2], *[(1, body.ContentBody(b"x"))] * 3)) == [Returned(1, "m", "NO_ROUTE")]
    assert opened().receive(wire(*told[:2], (1, body.ContentBody(b"")))) == none_due
    assert opened().receive(wire(told[0], told[2])) == none_due
    assert opened().receive(wire(*told[:2], told[1])) == none_due
    assert opened().receive(wire(told[1])) == none_due
    assert opened().receive(wire(*returned("m", b""))) == [Returned(1, "m", "NO_ROUTE")]


def test_two_returns_one_after_the_other() -> None:
    """Nothing of the first is left for the second."""
    told = wire(*returned("m", b"abc"), *returned(None, b""), (1, commands.Basic.Ack(2, True)))
    assert opened().receive(told) == [
        Returned(1, "m", "NO_ROUTE"), Returned(1, None, "NO_ROUTE"), Confirmed(1, 2, True, False),
    ]  # fmt: skip


def test_a_broker_that_closes_a_channel_that_we_close() -> None:
    """The two cross: it is answered and not told, and the channel is gone."""
    connection = opened()
    connection.close_channel(1)
    connection.take()
    assert connection.receive(wire((1, commands.Channel.Close(404, "NOT_FOUND", 0, 0)))) == []
    assert connection.take() == wire((1, commands.Channel.CloseOk()))
    assert connection.receive(wire((1, commands.Channel.CloseOk()))) == [
        Failed("the peer speaks on channel 1, which is not open")
    ]


def test_what_comes_between_our_close_and_its_answer() -> None:
    """Is nothing to anybody, whatever the peer says on whatever channel; a channel's close is answered even then."""
    connection = opened()
    connection.close()
    connection.take()
    late = [
        (0, commands.Connection.Blocked("low")), (0, commands.Connection.Unblocked()), (0, HANDSHAKE[1][1]),
        (1, commands.Exchange.DeclareOk()), *returned("m", b"abc"), (9, body.ContentBody(b"a")),
        (1, commands.Channel.Close(404, "NOT_FOUND", 0, 0)),
    ]  # fmt: skip
    assert connection.receive(wire(*late)) == []
    assert connection.take() == wire((1, commands.Channel.CloseOk()))
    assert not connection.is_dead
    assert connection.receive(wire((0, commands.Connection.CloseOk()))) == [ClosedInOrder()]


def test_a_peer_that_is_heard_now_and_then() -> None:
    """Three silent ticks and a word, again and again: it is alive. Nothing is asked of time before the connection is
    open."""
    young = Connection(Offer())
    young.take()
    for _ in range(9):
        assert young.tick() == []
    assert young.take() == b""
    connection = opened()
    for _ in range(5):
        connection.receive(wire((0, Heartbeat())))
        for _ in range(4):
            assert connection.tick() == []
    assert connection.tick() == [Failed("nothing was heard for two heart-beats of 5 s")]


def test_a_heart_beat_on_a_channel() -> None:
    """There is none (4.2.7)."""
    assert opened().receive(b"\x08\x00\x01\x00\x00\x00\x00\xce") == [Failed("a heart-beat of the peer is not empty")]


def test_the_failure_ends_all() -> None:
    """What was left of the bytes is let go of."""
    connection = opened()
    connection.receive(b"\x01\x00")
    connection.receive(b"nonsense")
    assert connection._rest == b""


# --- what need not be taken in --------------------------------------------------------------------


@pytest.mark.parametrize("tag", [1, 255, 256, 2**32, 2**63 - 1])
@pytest.mark.parametrize("channel", [1, 2, 0xFFFF])
def test_the_confirm_of_one_message(channel: int, tag: int) -> None:
    """It is what a broker sends, byte by byte, and is that confirm and no other to who takes it in."""
    connection = opened()
    connection.open_channel(channel)
    data = connection.confirm_of(channel, tag)
    assert data == wire((channel, commands.Basic.Ack(tag, False)))
    assert connection.receive(data) == [Confirmed(channel, tag, False, False)]
    assert connection.is_between(channel)


def test_between() -> None:
    """Only on a channel that is open and that we do not close."""
    connection = Connection(Offer())
    assert connection.is_between(1) is False
    connection.receive(wire(*HANDSHAKE))
    assert connection.is_between(1) is False
    connection.open_channel(1)
    assert connection.is_between(1) is True
    assert connection.is_between(2) is False
    connection.open_channel(2)
    connection.close_channel(1)
    assert [connection.is_between(number) for number in (1, 2)] == [False, True]
    connection.receive(wire((1, commands.Channel.CloseOk())))
    assert connection.is_between(1) is False


@pytest.mark.parametrize(
    "told",
    [(0, Heartbeat()), (1, commands.Basic.Ack(7)), (0, commands.Connection.Blocked("low")), (2, commands.Basic.Ack(7))],
)
def test_not_between_in_a_frame(told: tuple[int, Any]) -> None:
    """On whatever channel it is: the next bytes are the rest of it."""
    data = wire(told)
    connection = opened()
    connection.open_channel(2)
    for place in range(len(data)):
        assert connection.is_between(1) is (place == 0)
        connection.receive(data[place : place + 1])
    assert connection.is_between(1) is True


def test_not_between_in_a_returned_message() -> None:
    """From its first frame to its last, between these too; on its own channel only."""
    connection = opened()
    connection.open_channel(2)
    frames = returned("m", b"abcdef", [2, 4])
    assert len(frames) == 5
    for one in frames[:-1]:
        assert connection.receive(wire(one)) == []
        assert [connection.is_between(number) for number in (1, 2)] == [False, True]
    assert connection.receive(wire(frames[-1])) == [Returned(1, "m", "NO_ROUTE")]
    assert connection.is_between(1) is True
    method, head = returned("m", b"")
    connection.receive(wire(method))
    assert connection.is_between(1) is False
    assert connection.receive(wire(head)) == [Returned(1, "m", "NO_ROUTE")]
    assert connection.is_between(1) is True


def test_heard_without_being_taken_in() -> None:
    """It is a sign of life, and no event; what comes after it is taken in as ever."""
    connection = opened()
    for _ in range(3):
        connection.heard()
        for _ in range(4):
            assert connection.tick() == []
    assert connection.tick() == [Failed("nothing was heard for two heart-beats of 5 s")]
    connection = opened()
    connection.heard()
    assert connection.is_between(1) is True
    assert connection.receive(wire((1, commands.Basic.Ack(2)))) == [Confirmed(1, 2, False, False)]
