"""One message to a real broker: what arrives, and what the receipt says."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future
from datetime import UTC, datetime
from decimal import Decimal
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from durable_ws import Exchange, Publisher, Receipt, Unroutable

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues

pytestmark = pytest.mark.broker


@pytest.mark.parametrize(
    ("payload", "body", "content_type"),
    [
        (b"\x00\xff\xce", b"\x00\xff\xce", "application/octet-stream"),
        ("Grüße \0 🐇", "Grüße \0 🐇".encode(), "text/plain"),
        ({"price": 42, "name": "é"}, '{"price":42,"name":"é"}'.encode(), "application/json"),
        (None, b"null", "application/json"),
        (b"", b"", "application/octet-stream"),
        (b"x" * 1_000_000, b"x" * 1_000_000, "application/octet-stream"),
    ],
    ids=["bytes", "text", "json", "null", "empty", "large"],
)
def test_payloads_arrive(
    publisher: Publisher, queues: Queues, queue: str, payload: object, body: bytes, content_type: str
) -> None:
    """What is in the queue is what was given, with its type."""
    publisher.publish(payload)
    (got,) = queues.take(queue)
    assert got.body == body
    assert got.properties.content_type == content_type


def test_a_message_is_persistent_and_has_a_message_id(publisher: Publisher, queues: Queues, queue: str) -> None:
    """The id is made, told by the receipt, and stands in the message; nothing else is added."""
    receipt = publisher.publish("a", routing_key="ticks.eur")
    (got,) = queues.take(queue)
    assert got.routing_key == "ticks.eur"
    assert UUID(receipt.message_id).version == 4
    told = {name: value for name, value in vars(got.properties).items() if value is not None}
    assert told == {"delivery_mode": 2, "content_type": "text/plain", "message_id": receipt.message_id}


def test_a_given_message_id_is_kept(publisher: Publisher, queues: Queues, queue: str) -> None:
    """The caller's id is the message's, non-ASCII too, and may come again once the first is confirmed."""
    assert [publisher.publish("a", message_id="näme-1").message_id for _ in range(2)] == ["näme-1"] * 2
    assert [got.properties.message_id for got in queues.take(queue)] == ["näme-1"] * 2


def test_a_message_is_mandatory(make_publisher: MakePublisher, link: Link) -> None:
    """On the wire it asks to be returned, without which nobody would learn that no queue is bound."""
    make_publisher(link.url).publish("a")
    ((_, fields),) = [one for one in link.seen if one[0].__name__ == "PublishSeen"]
    assert fields["mandatory"]
    assert fields["delivery_mode"] == 2
    assert fields["delivery_tag"] == 1, "the channel confirms"


def test_properties_pass_through_unchanged(publisher: Publisher, queues: Queues, queue: str) -> None:
    """Every property of AMQP, and every kind of header, is in the queue as it was given."""
    given: dict[str, Any] = {
        "content_type": "application/x-tick",
        "content_encoding": "identity",
        "correlation_id": "c-é",
        "reply_to": "answers",
        "type": "tick",
        "user_id": "guest",
        "app_id": "the app",
        "cluster_id": "k",
        "headers": {
            "text": "é",
            "bytes": b"\xff",
            "flag": True,
            "int": -5,
            "long": 2**62,
            "none": None,
            "decimal": Decimal("1.25"),
            "time": datetime(2030, 1, 2, tzinfo=UTC),
            "list": [1, "a", [None]],
            "table": {"inside": {"x": 1}},
        },
        "delivery_mode": 1,
        "priority": 255,
        "expiration": "60000",
        "timestamp": 1234567890,
    }
    publisher.publish("a", message_id="m", **given)
    (got,) = queues.take(queue)
    assert vars(got.properties) == {"message_id": "m", **given}


def test_an_expired_message_is_gone(publisher: Publisher, queues: Queues, queue: str) -> None:
    """``expiration`` reaches the broker as the broker means it: 0 is at once, a minute is later."""
    publisher.publish("gone", expiration=0)
    publisher.publish("here", expiration=60_000)
    assert [got.body for got in queues.take(queue)] == [b"here"]


def test_priorities_order_a_priority_queue(publisher: Publisher, queues: Queues, exchange: Exchange) -> None:
    """``priority`` is what the broker orders by."""
    queue = queues.make(exchange, x_max_priority=10)
    for priority in (1, 9, 5):
        publisher.publish({"p": priority}, priority=priority)
    assert [json.loads(got.body)["p"] for got in queues.take(queue)] == [9, 5, 1]


@pytest.mark.usefixtures("queue")
def test_a_receipt(publisher: Publisher) -> None:
    """It tells id, route, attempts, and the time from the call to the confirm."""
    before = time.monotonic()
    receipt = publisher.publish("a", message_id="m")
    spent = time.monotonic() - before
    assert receipt == Receipt("m", routed=True, attempts=1, latency_s=receipt.latency_s)
    assert 0 < receipt.latency_s <= spent


def test_a_message_that_nobody_gets(publisher: Publisher, queues: Queues, exchange: Exchange) -> None:
    """The receipt says so, and the next message is not mistaken for it."""
    queue = queues.make(exchange, "ticks")
    routed = [publisher.publish("a", routing_key=key).routed for key in ("news", "ticks", "news", "ticks")]
    assert routed == [False, True, False, True]
    assert len(queues.take(queue)) == 2


def test_require_route(publisher: Publisher, queues: Queues, exchange: Exchange) -> None:
    """Where nobody is bound it raises, with the broker's word; where somebody is, it does not."""
    queue = queues.make(exchange, "ticks")
    with pytest.raises(Unroutable, match=r"^message m: returned by the broker: no queue is bound for it \(NO_ROUTE\)$"):
        publisher.publish("a", routing_key="news", message_id="m", require_route=True)
    assert publisher.publish("a", routing_key="ticks", require_route=True).routed
    assert len(queues.take(queue)) == 1


def test_require_route_of_the_publisher(make_publisher: MakePublisher) -> None:
    """It is the default of each publish, which may say otherwise."""
    publisher = make_publisher(require_route=True)
    with pytest.raises(Unroutable) as caught:
        publisher.publish("a")
    assert caught.value.attempts == 1
    assert not publisher.publish("a", require_route=False).routed


def test_it_returns_after_the_confirm(make_publisher: MakePublisher, link: Link, queues: Queues, queue: str) -> None:
    """While the broker's word is held up, the future is not done, though the message is in the queue."""
    publisher = make_publisher(link.url)
    publisher.publish("first")
    with link.fault("hold_confirms") as active:
        future = publisher.submit("second")
        assert active.wait_fired(20.0)
        assert not future.done()
    assert future.result().routed
    with link.fault("latency", delay_ms=150):
        assert publisher.publish("third").latency_s >= 0.3, "there and back"
    assert [got.body for got in queues.take(queue)] == [b"first", b"second", b"third"]


def test_one_threads_messages_keep_their_order(publisher: Publisher, queues: Queues, queue: str) -> None:
    """What one thread submits arrives in that order, whatever else is under way."""
    futures = [publisher.submit({"n": n}) for n in range(300)]
    assert all(future.result().routed for future in futures)
    assert [json.loads(got.body)["n"] for got in queues.take(queue)] == list(range(300))


def test_a_callback_may_submit(make_publisher: MakePublisher, queues: Queues, queue: str) -> None:
    """Callbacks run on the I/O thread, where a submit does not wait for the window (it would wait for itself)."""
    publisher = make_publisher(window=1)
    following: SimpleQueue[Future[Receipt]] = SimpleQueue()

    def submit_more(first: Future[Receipt]) -> None:
        assert threading.current_thread().name == "durable_ws"
        following.put(publisher.submit(first.result().message_id))
        following.put(publisher.submit("third"))

    publisher.submit("first", message_id="second").add_done_callback(submit_more)
    assert [following.get(timeout=20.0).result().routed for _ in range(2)] == [True, True]
    assert [got.body for got in queues.take(queue)] == [b"first", b"second", b"third"]


@pytest.mark.usefixtures("queue")
def test_a_future_can_not_be_cancelled(publisher: Publisher) -> None:
    """What may have been written can't be taken back, so nobody is told that it was."""
    future = publisher.submit("a")
    assert not future.cancel()
    assert future.result().routed


def test_the_environments_url(monkeypatch: pytest.MonkeyPatch, url: str, exchange: Exchange, queues: Queues) -> None:
    """``Publisher()`` takes ``RABBITMQ_URL``, and the argument wins over it."""
    queue = queues.make(exchange)
    monkeypatch.setenv("RABBITMQ_URL", url)
    with Publisher(exchanges={"pubsub": exchange}) as publisher:
        assert publisher.publish("a").routed
    monkeypatch.setenv("RABBITMQ_URL", "amqp://127.0.0.1:1")
    with Publisher(url, {"pubsub": exchange}) as publisher:
        assert publisher.publish("a").routed
    assert len(queues.take(queue)) == 2
