"""The tap of HTTP publishing: what was published, confirmed and returned, whatever the split."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.faults.base import Direction, Piece
from conformance.history.events import ConfirmSeen, PublishSeen, ReturnSeen, digest
from conformance.world.network.http_tap import HttpTap
from conformance.world.network.taps import MOST_BYTES

CONNECTION = 7
PATH = "/api/exchanges/%2F/my.exchange%2F1/publish"


def http(head: str, body: bytes = b"") -> bytes:
    """A message with its length."""
    return f"{head}\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def publish(payload: str = "body", path: str = PATH, **changes: Any) -> bytes:
    """A request that publishes."""
    message = {
        "routing_key": "key",
        "payload": payload,
        "payload_encoding": "string",
        "properties": {"message_id": "m1", "delivery_mode": 2},
    }
    return http(f"POST {path} HTTP/1.1", json.dumps(message | changes).encode())


def answer(told: object, status: str = "200 OK") -> bytes:
    """The broker's answer."""
    return http(f"HTTP/1.1 {status}", json.dumps(told).encode())


def seen(payload: bytes = b"body", tag: int = 1, **changes: Any) -> tuple[type[Any], dict[str, Any]]:
    """What such a request is taken for."""
    fields = {
        "connection": CONNECTION,
        "channel": 0,
        "delivery_tag": tag,
        "message_id": "m1",
        "exchange": "my.exchange/1",
        "routing_key": "key",
        "mandatory": True,
        "delivery_mode": 2,
        "body_digest": digest(payload),
        "properties": {},
    }
    return PublishSeen, fields | changes


def confirmed(payload: bytes = b"body") -> tuple[type[Any], dict[str, Any]]:
    """What the answer is taken for."""
    return ConfirmSeen, {"connection": CONNECTION, "channel": 0, "kind": "ack", "body_digests": (digest(payload),)}


def told(pieces: list[Piece]) -> list[tuple[tuple[str, ...], list[Any]]]:
    """Marks and events."""
    return [(piece.marks, list(piece.seen)) for piece in pieces]


def test_published_and_confirmed() -> None:
    """A request is a publish, an answer that it was routed its confirm."""
    tap = HttpTap(CONNECTION)
    assert told(tap.feed("to_broker", publish())) == [(("publish_begins", "publish"), [seen()])]
    assert told(tap.feed("to_client", answer({"routed": True}))) == [(("confirm",), [confirmed()])]
    assert told(tap.feed("to_broker", publish("b2"))) == [(("publish_begins", "publish"), [seen(b"b2", 2)])]


def test_returned() -> None:
    """Not routed: returned, and acked as AMQP would have it."""
    tap = HttpTap(CONNECTION)
    tap.feed("to_broker", publish())
    fields = {
        "connection": CONNECTION,
        "channel": 0,
        "message_id": "m1",
        "body_digest": digest(b"body"),
        "reply_text": "routed: false",
    }
    assert told(tap.feed("to_client", answer({"routed": False}))) == [
        (("return", "confirm"), [(ReturnSeen, fields), confirmed()])
    ]


def test_nacked() -> None:
    """What a full queue refuses."""
    tap = HttpTap(CONNECTION)
    tap.feed("to_broker", publish())
    told_so = answer({"error": "bad_request", "reason": "rejected Unable to publish message."}, "400 Bad Request")
    event, fields = confirmed()
    assert told(tap.feed("to_client", told_so)) == [(("confirm",), [(event, fields | {"kind": "nack"})])]


def test_bytes_in_base64() -> None:
    """The payload's other encoding."""
    request = publish(base64.b64encode(b"\x00\xff").decode(), payload_encoding="base64")
    assert told(HttpTap(CONNECTION).feed("to_broker", request)) == [
        (("publish_begins", "publish"), [seen(b"\x00\xff")])
    ]


def test_what_is_left_out() -> None:
    """Without properties there is neither id nor persistence: that is seen."""
    (piece,) = HttpTap(CONNECTION).feed("to_broker", publish(properties={}))
    assert list(piece.seen) == [seen(message_id=None, delivery_mode=None)]


def test_properties() -> None:
    """As they stand in the request."""
    given = {"message_id": "m1", "delivery_mode": 2, "priority": 3, "headers": {"tries": 1}}
    (piece,) = HttpTap(CONNECTION).feed("to_broker", publish(properties=given))
    assert list(piece.seen) == [seen(properties={"priority": 3, "headers": {"tries": 1}})]


@pytest.mark.parametrize(
    "request_",
    [
        http("GET /api/overview HTTP/1.1"),
        publish(path="/api/exchanges/%2F/publish"),
        http(f"POST {PATH} HTTP/1.1", b"no json"),
        http(f"POST {PATH} HTTP/1.1", b"[]"),
        publish(properties=[]),
        publish(payload=7),  # type: ignore[arg-type]
        publish("%%%", payload_encoding="base64"),
    ],
)
def test_what_publishes_nothing(request_: bytes) -> None:
    """It passes without marks, and its answer confirms nothing."""
    tap = HttpTap(CONNECTION)
    assert told(tap.feed("to_broker", request_)) == [((), [])]
    assert told(tap.feed("to_client", answer({"routed": True}))) == [((), [])]


@pytest.mark.parametrize(
    "reply",
    [
        answer({"error": "not_found"}, "404 Object Not Found"),
        answer({"routed": True}, "503 Service Unavailable"),
        answer({"error": "bad_request", "reason": "not_json"}, "400 Bad Request"),
        answer({"routed": "yes"}),
        answer([]),
        http("HTTP/1.1 200 OK", b"{"),
    ],
)
def test_answers_that_confirm_nothing(reply: bytes) -> None:
    """Nor does what comes next confirm it in their place."""
    tap = HttpTap(CONNECTION)
    tap.feed("to_broker", publish())
    assert told(tap.feed("to_client", reply)) == [((), [])]
    assert told(tap.feed("to_client", answer({"routed": True}))) == [((), [])]


def test_an_interim_answer_is_none() -> None:
    """``100 Continue`` comes before the answer."""
    tap = HttpTap(CONNECTION)
    tap.feed("to_broker", publish())
    assert told(tap.feed("to_client", b"HTTP/1.1 100 Continue\r\n\r\n" + answer({"routed": True}))) == [
        ((), []),
        (("confirm",), [confirmed()]),
    ]


@given(st.lists(st.text(max_size=50), min_size=1, max_size=4), st.data())
def test_any_split(payloads: list[str], data: st.DataObject) -> None:
    """The same pieces, whose bytes are all that came, in order."""
    stream = b"".join(publish(payload) for payload in payloads)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=8)))
    tap = HttpTap(CONNECTION)
    pieces = [
        piece for begin, end in pairwise([0, *cuts, len(stream)]) for piece in tap.feed("to_broker", stream[begin:end])
    ]
    assert [piece.marks for piece in pieces] == [("publish_begins", "publish")] * len(payloads)
    assert [piece.seen[0][1]["body_digest"] for piece in pieces] == [digest(one.encode()) for one in payloads]
    assert b"".join(piece.data for piece in pieces) + tap.rest("to_broker") == stream


@pytest.mark.parametrize(
    "stream",
    [
        b"AMQP\x00\x00\x09\x01",
        b"\x16\x03\x01\x02\x00",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: " + str(MOST_BYTES).encode() + b"\r\n\r\n",
        b"GET /" + b"x" * 70_000,
    ],
)
@pytest.mark.parametrize("direction", ["to_broker"])
def test_what_can_not_be_read_passes(stream: bytes, direction: Direction) -> None:
    """At once, as does all that follows."""
    tap = HttpTap(CONNECTION)
    assert [piece.data for piece in tap.feed(direction, stream)] == [stream]
    assert tap.feed(direction, publish()) == [Piece(publish())]


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes, nothing is lost and nothing is raised."""
    tap = HttpTap(CONNECTION)
    for direction in ("to_broker", "to_client"):
        assert b"".join(piece.data for piece in tap.feed(direction, data)) + tap.rest(direction) == data  # type: ignore[arg-type]
