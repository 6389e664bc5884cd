"""How a frame's payload is read: every field to its last byte, and the message-id among any other properties."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from durable_ws.amqp.content import encode_properties
from durable_ws.amqp.payload import Malformed, Payload

CUT_SHORT = "^a frame ends in the middle of a field$"
BEFORE_IT: dict[str, Any] = {
    "content_type": "text/plain",
    "content_encoding": "gzip",
    "headers": {"a": 1},
    "delivery_mode": 2,
    "priority": 9,
    "correlation_id": "c",
    "reply_to": "answers",
    "expiration": "1000",
}
AFTER_IT: dict[str, Any] = {"timestamp": 7, "type": "tick", "cluster_id": "k"}


def test_field_after_field() -> None:
    """From where it is told to begin, else from the front."""
    assert Payload(b"\x01").integer(1) == 1
    payload = Payload(b"xx\x01\x02\x03\x02hi\0\0\0\x03abc\0\0\0\x02??\x04", 2)
    assert (payload.integer(1), payload.integer(2)) == (1, 0x203)
    assert (payload.short_text(), payload.long_text()) == ("hi", "abc")
    payload.skip_table()
    assert payload.integer(1) == 4
    with pytest.raises(Malformed, match=CUT_SHORT):
        payload.integer(1)


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"\x01", lambda payload: payload.integer(2)),
        (b"\x03hi", Payload.short_text),
        (b"\0\0\0\x03hi", Payload.long_text),
        (b"\0\0\0\x03hi", Payload.skip_table),
        (b"\x80", Payload.message_id),
        (b"\x00\x80\x02m", Payload.message_id),
        (b"\x00\x01\x00\x01", Payload.message_id),
    ],
)
def test_what_is_cut_short(data: bytes, read: Any) -> None:
    """It is the peer's fault, and said so."""
    with pytest.raises(Malformed, match=CUT_SHORT):
        read(Payload(data))


def test_text_that_is_no_utf8() -> None:
    """What the broker says is shown as far as it can be."""
    assert Payload(b"\x03a\xffb").short_text() == "a\ufffdb"
    assert Payload(b"\0\0\0\x03a\xffb").long_text() == "a\ufffdb"


@pytest.mark.parametrize("with_id", [True, False])
def test_the_message_id_among_others(with_id: bool) -> None:
    """Whichever of the properties before it are there."""
    for chosen in itertools.product([True, False], repeat=len(BEFORE_IT)):
        properties = {name: value for (name, value), there in zip(BEFORE_IT.items(), chosen, strict=True) if there}
        properties |= {"message_id": "mine"} if with_id else {}
        encoded = encode_properties({**properties, **AFTER_IT})
        assert Payload(encoded).message_id() == ("mine" if with_id else None), list(properties)


def test_further_words_of_flags() -> None:
    """They are passed over (4.2.6.1): the last one has its lowest bit clear."""
    assert Payload(b"\x00\x81\x00\x03\x80\x02\x04mine").message_id() == "mine"
    assert Payload(b"\x00\x01\x00\x02").message_id() is None
