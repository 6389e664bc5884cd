"""What a message and a table become on the wire, read back by pamqp and pika."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header
from pika.data import decode_table

from durable_ws.amqp.content import encode_address, encode_content, encode_properties
from durable_ws.amqp.table import encode_short, encode_table, encode_value

SHORT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
PROPERTIES: dict[str, st.SearchStrategy[Any]] = {
    "content_type": SHORT,
    "content_encoding": SHORT,
    "headers": st.dictionaries(
        SHORT.filter(bool), st.booleans() | st.integers(-(2**63), 2**63 - 1) | SHORT, max_size=3
    ),
    "delivery_mode": st.integers(1, 2),
    "priority": st.integers(0, 255),
    "correlation_id": SHORT,
    "reply_to": SHORT,
    "expiration": SHORT,
    "message_id": SHORT,
    "timestamp": st.integers(0, 2**32 - 1),
    "type": SHORT,
    "user_id": SHORT,
    "app_id": SHORT,
    "cluster_id": SHORT,
}
THEIR_NAMES = {"type": "message_type"}  # pamqp's


def frames(data: bytes) -> list[tuple[int, Any]]:
    """Channel and frame, one after the other, by pamqp."""
    read = []
    while data:
        size, channel, one = frame.unmarshal(data)
        read.append((channel, one))
        data = data[size:]
    return read


@given(
    channel=st.integers(1, 65535),
    exchange=SHORT,
    routing_key=SHORT,
    properties=st.fixed_dictionaries({}, optional=PROPERTIES),
    content=st.binary(max_size=300),
    frame_max=st.sampled_from([0, 4096, 131072]) | st.integers(1200, 1500),
)
def test_a_message_is_read_back(  # noqa: PLR0913, RUF100
    channel: int, exchange: str, routing_key: str, properties: dict[str, Any], content: bytes, frame_max: int
) -> None:
    """Method, header and body are there as pamqp reads them, on their channel, and no frame is too large."""
    content *= 20
    encoded = encode_content(
        channel, encode_address(exchange, routing_key), encode_properties(properties), content, frame_max
    )
    if encoded is None:
        assert len(encode_properties(properties)) + 20 > frame_max > 0
        return
    (on, method), (_, head), *bodies = frames(encoded)
    assert {number for number, _ in frames(encoded)} == {channel} == {on}
    assert isinstance(method, commands.Basic.Publish)
    assert (method.exchange, method.routing_key, method.mandatory, method.immediate) == (
        exchange, routing_key, True, False,
    )  # fmt: skip
    assert isinstance(head, header.ContentHeader)
    assert head.body_size == len(content)
    for name, value in properties.items():
        found = getattr(head.properties, THEIR_NAMES.get(name, name))
        assert (found.timestamp() if isinstance(found, datetime) else found) == value
    assert all(isinstance(one, body.ContentBody) for _, one in bodies)
    assert b"".join(one.value for _, one in bodies) == content
    if frame_max:
        assert all(len(one.value) + 8 <= frame_max for _, one in bodies)
        assert len(bodies) == -(-len(content) // (frame_max - 8))
    else:
        assert len(bodies) == bool(content)


@given(st.fixed_dictionaries({}, optional={name: PROPERTIES[name] for name in PROPERTIES if name != "headers"}))
def test_properties_are_as_pamqp_writes_them(properties: dict[str, Any]) -> None:
    """Byte by byte. (pamqp leaves out empty texts, which AMQP can say, and takes a datetime.)"""
    told = {name: value for name, value in properties.items() if value != ""}
    theirs = {
        THEIR_NAMES.get(name, name): datetime.fromtimestamp(value, UTC) if name == "timestamp" else value
        for name, value in told.items()
    }
    # pamqp's own constructor refuses a cluster_id.
    made = commands.Basic.Properties(**{name: value for name, value in theirs.items() if name != "cluster_id"})
    made.cluster_id = theirs.get("cluster_id", "")
    assert encode_properties(told) == made.marshal()


def test_an_empty_body_has_no_frame() -> None:
    """AMQP has no empty body frames."""
    encoded = encode_content(1, encode_address("", "k"), encode_properties({}), b"", 4096)
    assert encoded is not None
    assert len(frames(encoded)) == 2


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | SHORT | st.binary(max_size=5)
    | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))  # noqa: DTZ001, E501, RUF100
    | st.builds(Decimal, st.integers(-(2**31), 2**31 - 1)).map(lambda one: one.scaleb(-2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(SHORT, VALUES, max_size=4))
def test_tables_are_read_back(table: dict[str, Any]) -> None:
    """By pika's decoder, equal and in their order, to the last byte."""
    encoded = encode_table(table)
    read, end = decode_table(encoded, 0)
    assert (read, end) == (table, len(encoded))
    assert list(read) == list(table)


@pytest.mark.parametrize("number", [0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, -(2**63)])
def test_integers_at_their_limits(number: int) -> None:
    """Each is read back equal."""
    assert decode_table(encode_table({"n": number}), 0)[0] == {"n": number}


@pytest.mark.parametrize(
    "value", [1.5, object(), {1}, 2**63, -(2**63) - 1, Decimal("nan"), Decimal(2**31), Decimal("1e-300"), "\ud800"]
)
def test_what_a_table_can_not_hold(value: object) -> None:
    """It is an error of a kind that the caller knows."""
    with pytest.raises((TypeError, ValueError, ArithmeticError, struct.error)):
        encode_table({"x": value})


def test_what_a_table_can_not_hold_is_named() -> None:
    """A type that AMQP does not have, and a decimal that is no number."""
    with pytest.raises(TypeError, match=r"^a set is no value of an AMQP table$"):
        encode_value({1})
    with pytest.raises(ValueError, match=r"^AMQP has no -Infinity$"):
        encode_value(Decimal("-inf"))


def test_a_time_before_1970() -> None:
    """AMQP counts seconds since then, without a sign."""
    assert encode_value(datetime(1970, 1, 1, tzinfo=UTC)) == b"T" + bytes(8)
    with pytest.raises(struct.error):
        encode_value(datetime(1969, 12, 31, tzinfo=UTC))


def test_a_short_string_that_is_too_long() -> None:
    """255 bytes go, 256 do not."""
    assert len(encode_short("é" * 127 + "a")) == 256
    with pytest.raises(ValueError, match="byte"):
        encode_short("é" * 128)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, b"V"),
        (True, b"t\x01"),
        (False, b"t\x00"),
        ("é", b"S\x00\x00\x00\x02\xc3\xa9"),
        (b"\xff\x00", b"x\x00\x00\x00\x02\xff\x00"),
        (-2, b"I\xff\xff\xff\xfe"),
        (2**31 - 1, b"I\x7f\xff\xff\xff"),
        (2**31, b"l\x00\x00\x00\x00\x80\x00\x00\x00"),
        (Decimal("1.250"), b"D\x02\x00\x00\x00\x7d"),
        (Decimal("1E-255"), b"D\xff\x00\x00\x00\x01"),
        (Decimal("-0.5"), b"D\x01\xff\xff\xff\xfb"),
        (Decimal(100), b"D\x00\x00\x00\x00\x64"),
        (datetime(2030, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC), b"T" + (1893553445).to_bytes(8, "big")),
        (datetime(2030, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))), b"T" + (1893553445).to_bytes(8, "big")),
        ([], b"A\x00\x00\x00\x00"),
        ([None, True], b"A\x00\x00\x00\x03Vt\x01"),
        ({}, b"F\x00\x00\x00\x00"),
        ({"ab": None}, b"F\x00\x00\x00\x04\x02abV"),
    ],
)
def test_each_byte_of_a_value(value: object, encoded: bytes) -> None:
    """The type's letter as RabbitMQ has it (https://www.rabbitmq.com/amqp-0-9-1-errata#section_3), and the value."""
    assert encode_value(value) == encoded


def test_properties_that_just_fit() -> None:
    """Into one frame with its 20 bytes around them, and one byte more does not; without a limit all do."""
    for channel, size, fits in ((1, 4076, True), (1, 4077, False)):
        encoded = encode_content(channel, encode_address("", "k"), b"p" * size, b"", 4096)
        assert (encoded is not None) is fits
    assert encode_content(1, encode_address("", "k"), b"p" * 10_000, b"", 0) is not None


@pytest.mark.parametrize(
    ("size", "frame_max", "sizes"),
    [
        (1, 0, [1]),
        (0, 0, []),
        (4088, 4096, [4088]),
        (4089, 4096, [4088, 1]),
        (8176, 4096, [4088, 4088]),
        (9000, 0, [9000]),
    ],
)
def test_bodies_are_cut_at_the_limit(size: int, frame_max: int, sizes: list[int]) -> None:
    """In as few frames as it takes, and nothing stands between them."""
    address, properties = encode_address("x", "k"), encode_properties({"message_id": "m"})
    encoded = encode_content(3, address, properties, b"b" * size, frame_max)
    assert encoded is not None
    assert [len(one.value) for _, one in frames(encoded)[2:]] == sizes
    start = b"\x01\x00\x03\x00\x00\x00\x0b\x00\x3c\x00\x28\x00\x00\x01x\x01k\x01\xce"
    head = b"\x02\x00\x03\x00\x00\x00\x10\x00\x3c\x00\x00" + size.to_bytes(8, "big") + b"\x00\x80\x01m\xce"
    bodies = [b"\x03\x00\x03" + one.to_bytes(4, "big") + b"b" * one + b"\xce" for one in sizes]
    assert encoded == b"".join([start, head, *bodies])
