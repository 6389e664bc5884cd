"""What a tab takes from a MESSAGE frame."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from conformance.errors import UsageError
from conformance.history.events import digest
from conformance.world.tab.dial import ws_address
from conformance.world.tab.message import read_message, routing_key_of
from conformance.world.tab.page import reconnect_delays


def test_all_that_a_message_tells() -> None:
    """The publisher's id, the ack id, and what the broker says of the delivery."""
    headers = {
        "subscription": "t1",
        "destination": "/exchange/ex/a%2Fb.c",
        "message-id": "T_t1@@session@@1",
        "amqp-message-id": "m-1",
        "ack": "T_t1@@session@@1",
        "redelivered": "true",
        "x-delivery-count": "3",
        "persistent": "true",
    }
    message = read_message(headers.get, b"\xff\x00")
    assert message.message_id == "m-1"
    assert message.ack_id == "T_t1@@session@@1"
    assert message.redelivered
    assert message.delivery_count == 3
    assert message.persistent
    assert message.routing_key == "a/b.c"
    assert message.body_digest == digest(b"\xff\x00")


def test_a_bare_message() -> None:
    """What is not there is None, empty or False."""
    message = read_message({"x-delivery-count": "many"}.get, b"")
    assert (message.message_id, message.ack_id, message.redelivered) == (None, "", False)
    assert (message.delivery_count, message.persistent, message.routing_key) == (None, False, None)


@pytest.mark.parametrize(
    ("destination", "key"),
    [
        ("/exchange/ex/a.b", "a.b"),
        ("/exchange/ex/", ""),
        ("/exchange/e%2Fx/a%2Fb.%2520%C3%A9", "a/b.%20é"),
        ("/topic/news", "news"),
        ("/exchange/ex", None),
        ("/queue/q", None),
        ("", None),
    ],
)
def test_routing_keys(destination: str, key: str | None) -> None:
    """The last part of the destinations that have one; percent-encoded as RabbitMQ does in a MESSAGE."""
    assert routing_key_of(destination) == key


def test_reconnect_delays_grow_with_jitter_that_the_seed_repeats() -> None:
    """Doubled up to the most; between half and all of it."""
    delays = list(islice(reconnect_delays(0.1, 1.0, random.Random(7)), 8))
    for delay, most in zip(delays, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0], strict=True):
        assert most / 2 <= delay <= most
    assert delays == list(islice(reconnect_delays(0.1, 1.0, random.Random(7)), 8))
    assert delays != list(islice(reconnect_delays(0.1, 1.0, random.Random(8)), 8))


def test_addresses() -> None:
    """Host, port with its default, and TLS or not."""
    assert ws_address("ws://127.0.0.1:15674/ws") == ("127.0.0.1", 15674, False)
    assert ws_address("wss://[::1]/ws") == ("::1", 443, True)
    assert ws_address("ws://host") == ("host", 80, False)


@pytest.mark.parametrize("url", ["http://host/ws", "ws://", "host:1", "ws://host:port/", "ws://h:99999/", "ws://[::1"])
def test_wrong_addresses(url: str) -> None:
    """What is no WebSocket URL is the user's mistake, and is told with a way out."""
    with pytest.raises(UsageError, match="Write ws://HOST:PORT/ws"):
        ws_address(url)
