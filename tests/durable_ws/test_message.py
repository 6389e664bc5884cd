"""What a payload and its properties become, without I/O. What is refused is in test_bad_input.py."""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.data import decode_table

import durable_ws.message
from durable_ws.amqp.content import encode_address, encode_properties
from durable_ws.amqp.table import encode_table
from durable_ws.exceptions import ConfigError
from durable_ws.message import build, encode_payload, with_headers
from durable_ws.table import checked_table


@pytest.mark.parametrize(
    ("payload", "body", "content_type"),
    [
        (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
        (bytearray(b"ab"), b"ab", "application/octet-stream"),
        (memoryview(b"abcd")[::2], b"ac", "application/octet-stream"),
        (b"", b"", "application/octet-stream"),
        ("Grüße 🐇\0", "Grüße 🐇\0".encode(), "text/plain"),
        ("", b"", "text/plain"),
        ({"price": 42, "name": "é"}, '{"price":42,"name":"é"}'.encode(), "application/json"),
        ([1, 2.5, None, True, ("a",)], b'[1,2.5,null,true,["a"]]', "application/json"),
        (None, b"null", "application/json"),
        (0, b"0", "application/json"),
        (False, b"false", "application/json"),
        (OrderedDict(b=1, a=2), b'{"b":1,"a":2}', "application/json"),
        ({1: "a", None: "b", 2.5: "c"}, b'{"1":"a","null":"b","2.5":"c"}', "application/json"),
    ],
)
def test_payloads(payload: object, body: bytes, content_type: str) -> None:
    """Bytes stay, text becomes UTF-8, all else becomes compact JSON; the content type says which."""
    assert encode_payload(payload) == (body, content_type)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON.filter(lambda value: not isinstance(value, str)))
def test_json_comes_back(value: Any) -> None:
    """Whatever JSON knows is read back equal."""
    body, content_type = encode_payload(value)
    assert json.loads(body) == value
    assert content_type == "application/json"


_ANYTHING = st.recursive(
    st.integers() | st.floats() | st.text(st.characters(), max_size=5) | st.just({1}) | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.tuples(), inner, max_size=3),
    max_leaves=8,
)


@given(_ANYTHING)
def test_a_payload_is_encoded_or_refused(value: object) -> None:
    """There is no third: no other error gets out."""
    with contextlib.suppress(ConfigError):
        body, _ = encode_payload(value)
        assert isinstance(body, bytes)


def test_defaults() -> None:
    """Persistent, typed, with a new random message id and nothing else."""
    first, second = build("a", exchange="x"), build("a", exchange="x")
    assert UUID(first.message_id).version == 4
    assert first.message_id != second.message_id
    assert first.properties == {"delivery_mode": 2, "content_type": "text/plain", "message_id": first.message_id}
    assert (first.exchange, first.routing_key, first.body) == ("x", "", b"a")


GIVEN: dict[str, Any] = {
    "content_type": "application/x-tick",
    "content_encoding": "gzip",
    "correlation_id": "c-1",
    "reply_to": "answers",
    "type": "tick",
    "user_id": "guest",
    "app_id": "the app",
    "cluster_id": "k",
    "headers": {
        "text": "é", "bytes": b"\xff", "flag": True, "int": -5, "long": 2**62, "none": None, "decimal": Decimal("1.25"),
        "time": datetime(2030, 1, 2, tzinfo=UTC), "list": [1, "a", [None]], "table": {"inside": {"x": 1}},
    },
    "delivery_mode": 1,
    "priority": 255,
    "expiration": "60000",
    "timestamp": 1234567890,
}  # fmt: skip


def test_properties_go_through() -> None:
    """Each property is set as it was given."""
    message = build("a", exchange="x", message_id="mine", properties=GIVEN)
    assert message.message_id == "mine"
    assert message.properties == {"message_id": "mine", **GIVEN}


@pytest.mark.parametrize("name", list(GIVEN))
def test_none_counts_as_not_given(name: str) -> None:
    """``priority=None`` is as if it were left out, and so takes no default away."""
    plain, told = (
        build("a", exchange="x", message_id="m"),
        build("a", exchange="x", message_id="m", properties={name: None}),
    )
    assert plain.properties == told.properties


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (0, "0"),
        (1500, "1500"),
        ("007", "7"),
        ("4294967295", "4294967295"),
        (timedelta(seconds=1, microseconds=1500), "1002"),
        (timedelta(minutes=1, milliseconds=5), "60005"),
        (2**32 - 1, "4294967295"),
    ],
)
def test_expirations(given: object, sent: str) -> None:
    """Milliseconds as a number, as text, or a timedelta."""
    assert build("a", exchange="x", properties={"expiration": given}).properties["expiration"] == sent


def test_timestamps() -> None:
    """Seconds, or an aware datetime."""
    moment = datetime(2030, 1, 2, 3, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert build("a", exchange="x", properties={"timestamp": moment}).properties["timestamp"] == 1893546245
    assert build("a", exchange="x", properties={"timestamp": 7}).properties["timestamp"] == 7


def test_limits_are_met_exactly() -> None:
    """The largest body and the longest key are allowed."""
    message = build(b"12345", exchange="x", routing_key="é" * 127 + "a", message_id="m" * 255, max_size_bytes=5)
    assert len(message.routing_key.encode()) == len(message.message_id) == 255
    with pytest.raises(ConfigError, match=r"the body has 6 bytes, the largest allowed is 5\. Publish a reference"):
        build("123456", exchange="x", max_size_bytes=5)


def test_numbers_at_their_limits() -> None:
    """Both ends are allowed, and nothing beyond."""
    for name, least, most in (("priority", 0, 255), ("delivery_mode", 1, 2), ("timestamp", 0, 2**63 - 1)):
        for number in (least, most):
            assert build("a", exchange="x", properties={name: number}).properties[name] == number
        for number in (least - 1, most + 1):
            with pytest.raises(ConfigError, match=f"^{name}: {number} is not an integer of {least}–{most}"):
                build("a", exchange="x", properties={name: number})


def test_headers_at_their_limit() -> None:
    """As many bytes as are said to fit."""
    room = 100_000 - len(encode_table({"a": ""}))
    assert len(encode_table(build("a", exchange="x", properties={"headers": {"a": "x" * room}}).properties["headers"]))
    with pytest.raises(ConfigError, match=r"^headers: take 100,001 bytes, at most 100,000 fit into a frame"):
        build("a", exchange="x", properties={"headers": {"a": "x" * (room + 1)}})


def test_more_headers() -> None:
    """The message's own stay as they are, and all of them are on the wire."""
    message = build("a", exchange="x", message_id="m", properties={"headers": {"a": 1}, "priority": 3})
    more = with_headers(message, {"a": 2, "b": 3})
    assert more.properties == {**message.properties, "headers": {"b": 3, "a": 1}}
    assert more.header == encode_properties(more.properties)
    assert more._replace(properties=message.properties, header=message.header) == message
    bare = with_headers(build("a", exchange="x"), {"b": 3})
    assert bare.properties["headers"] == {"b": 3}
    with pytest.raises(ConfigError, match=r"^headers\['b'\]: is the float"):
        with_headers(message, {"b": 1.5})


def test_the_wire_says_what_the_fields_say() -> None:
    """Address and header are made of the other fields."""
    message = build("a", exchange="x", routing_key="k", message_id="m", properties={"priority": 3})
    assert message.address == encode_address("x", "k")
    assert message.header == encode_properties(message.properties)
    assert message.taken is None


@pytest.mark.parametrize(
    ("random", "made"),
    [
        ("000102030405060708090a0b0c0d0e0f", "00010203-0405-4607-8809-0a0b0c0d0e0f"),
        ("fedcba9876543210fedcba9876543210", "fedcba98-7654-4210-bedc-ba9876543210"),
        ("ffffffffffffffff5fffffffffffffff", "ffffffff-ffff-4fff-9fff-ffffffffffff"),
        ("ffffffffffffffffafffffffffffffff", "ffffffff-ffff-4fff-afff-ffffffffffff"),
    ],
)
def test_new_ids(monkeypatch: pytest.MonkeyPatch, random: str, made: str) -> None:
    """Of 122 random bits; the others say that they are random (RFC 9562, 5.4)."""

    def urandom(size: int) -> bytes:
        assert size == 16
        return bytes.fromhex(random)

    monkeypatch.setattr(durable_ws.message.os, "urandom", urandom)
    assert build("a", exchange="x").message_id == made
    assert str(UUID(bytes=bytes.fromhex(random), version=4)) == made


def test_the_callers_headers_are_not_held() -> None:
    """What the caller does to the dict afterwards does not change the message."""
    headers = {"a": 1}
    message = build("a", exchange="x", properties={"headers": headers})
    headers["a"] = 2
    assert message.properties["headers"] == {"a": 1}


_TABLES = st.recursive(
    st.none()
    | st.booleans()
    | st.text()
    | st.binary()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=300), _TABLES, max_size=3))
def test_a_table_is_refused_or_can_be_sent(table: dict[str, Any]) -> None:
    """What the check lets through is encoded without an error, in as many bytes as it says, and can be read back."""
    try:
        plain, size = checked_table("headers", table)
    except ConfigError:
        return
    encoded = encode_table(plain)
    assert size == len(encoded)
    read, end = decode_table(encoded, 0)  # by pika, which RabbitMQ's users have long relied on
    assert end == size
    assert list(read) == list(table)


def test_names_in_a_table_at_their_limit() -> None:
    """255 bytes, as AMQP allows."""
    assert list(checked_table("headers", {"é" * 127 + "a": 1})[0]) == ["é" * 127 + "a"]


def test_a_table_as_deep_as_allowed() -> None:
    """Fifty levels go, one more is refused by name."""
    deep: dict[str, Any] = {}
    for _ in range(50):
        deep = {"a": deep}
    checked_table("headers", deep)
    lists: dict[str, Any] = {"a": []}
    for _ in range(49):
        lists = {"a": [lists["a"]]}
    checked_table("headers", lists)
    with pytest.raises(ConfigError, match=r"^headers: is nested too deep"):
        checked_table("headers", {"a": [lists["a"]]})
    with pytest.raises(ConfigError, match=r"^headers: is nested too deep"):
        checked_table("headers", {"a": deep})
