"""Batches, publish_many and submit on a real broker: every message's fate, under a bounded window."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import durable_ws.pool
from durable_ws import BatchError, ConfigError, Exchange, InvalidState, Nacked, NotSent, Publisher, Receipt, Unroutable

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues, Wait

pytestmark = pytest.mark.broker


def numbers(queues: Queues, queue: str) -> list[int]:
    """The ``n`` of each message in the queue."""
    return [json.loads(got.body)["n"] for got in queues.take(queue)]


def test_publish_many(publisher: Publisher, queues: Queues, queue: str) -> None:
    """Receipts come in the order of the payloads, and so do the messages; any iterable will do."""
    receipts = publisher.publish_many(({"n": n} for n in range(500)), routing_key="k", priority=2)
    got = queues.take(queue)
    assert [one.properties.message_id for one in got] == [receipt.message_id for receipt in receipts]
    assert [json.loads(one.body)["n"] for one in got] == list(range(500))
    assert {(one.routing_key, one.properties.priority) for one in got} == {("k", 2)}


def test_publish_nothing(make_publisher: MakePublisher, link: Link) -> None:
    """Nothing is no error, and connects to nothing."""
    publisher = make_publisher(link.url)
    assert publisher.publish_many([]) == []
    with publisher.batch() as batch:
        pass
    assert batch.outcomes == ()
    assert link.proxy.connections == 0


def test_a_batch(publisher: Publisher, queues: Queues, queue: str) -> None:
    """The end of the block waits for every confirm; outcomes tell each."""
    with publisher.batch() as batch:
        for n in range(100):
            batch.publish({"n": n}, routing_key="k", message_id=f"m{n}")
    assert [outcome.message_id for outcome in batch.outcomes if isinstance(outcome, Receipt)] == [
        f"m{n}" for n in range(100)
    ]
    assert numbers(queues, queue) == list(range(100))


def test_a_batch_pipelines(make_publisher: MakePublisher, link: Link) -> None:
    """Over a long round trip, a batch takes about as long as one message; and the window is never exceeded."""
    publisher = make_publisher(link.url, window=20)
    publisher.publish("first")
    with link.fault("latency", delay_ms=150), publisher.batch() as batch:
        before = time.monotonic()
        for n in range(100):
            batch.publish({"n": n})
        batch.wait()
        spent = time.monotonic() - before
    assert spent < 100 * 0.3 / 2, "one by one it would take 30 s, by windows of 20 it takes 1.5 s"
    assert 10 < link.most_unconfirmed <= 20


@pytest.mark.parametrize("window", [1, 3])
def test_the_window_is_never_exceeded(make_publisher: MakePublisher, link: Link, window: int) -> None:
    """Whoever submits, over any number of connections: no more are under way than the window allows."""
    publisher = make_publisher(link.url, window=window, max_connections=2)
    threads = [threading.Thread(target=publisher.publish_many, args=([{"n": n} for n in range(40)],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(link.published) == 160
    assert link.most_unconfirmed <= window


def test_a_full_window_waits_in_the_call(make_publisher: MakePublisher, link: Link) -> None:
    """``submit`` blocks while the window is full, until its own deadline, and then says what it waited for."""
    publisher = make_publisher(link.url, window=2)
    publisher.publish("first")
    with link.fault("stall"):
        under_way = [publisher.submit({"n": n}) for n in range(2)]
        before = time.monotonic()
        late = publisher.submit("late", timeout=0.2)
        assert time.monotonic() - before >= 0.2
        assert late.done()
        with pytest.raises(NotSent, match=r"^message \S+: not sent: the deadline passed in a full window$"):
            late.result()
        with pytest.raises(NotSent):
            publisher.publish("late", timeout=0.01)
    assert len({future.result().message_id for future in under_way}) == 2
    assert publisher.publish("after").attempts == 1


def test_a_full_window_lets_in_as_it_empties(make_publisher: MakePublisher, link: Link, wait: Wait) -> None:
    """Who waits goes on as soon as there is room."""
    publisher = make_publisher(link.url, window=1)
    publisher.publish("first")
    receipts = []
    with link.fault("stall") as active:
        under_way = publisher.submit("a")
        assert active.wait_fired(20.0)
        thread = threading.Thread(target=lambda: receipts.append(publisher.publish("b")))
        thread.start()
        wait(lambda: publisher._pool is not None and publisher._pool._waiters, "it waits in the window")
        assert receipts == []
    thread.join()
    assert under_way.result().attempts == receipts[0].attempts == 1


def test_the_window_counts_bytes_too(
    make_publisher: MakePublisher, link: Link, monkeypatch: pytest.MonkeyPatch, queues: Queues, queue: str
) -> None:
    """Large bodies wait before their number does; one that is larger than all the room goes alone."""
    monkeypatch.setattr(durable_ws.pool, "WINDOW_BYTES", 1000)
    publisher = make_publisher(link.url)
    publisher.publish(b"x" * 5000)
    with link.fault("stall"):
        under_way = publisher.submit(b"x" * 600)
        with pytest.raises(NotSent, match="full window"):
            publisher.publish(b"x" * 600, timeout=0.05)
    assert under_way.result().routed
    assert [len(got.body) for got in queues.take(queue)] == [5000, 600]


def test_an_error_in_the_middle(publisher: Publisher, queues: Queues, queue: str) -> None:
    """A payload that is not JSON-able is its own outcome; all others are confirmed."""
    with pytest.raises(
        BatchError, match=r"1 of 5 messages failed, .* number 2: payload: .* is not JSON-able"
    ) as caught:
        publisher.publish_many([{"n": 0}, {"n": 1}, {1, 2}, {"n": 3}, {"n": 4}])
    assert isinstance(caught.value.outcomes[2], ConfigError)
    assert [isinstance(outcome, Receipt) for outcome in caught.value.outcomes] == [True, True, False, True, True]
    assert list(caught.value.failures) == [2]
    assert numbers(queues, queue) == [0, 1, 3, 4]


def test_mixed_fates(publisher: Publisher, queues: Queues, exchange: Exchange) -> None:
    """Confirmed, returned and nacked ones in one batch, each in its place."""
    open_queue = queues.make(exchange, "open")
    queues.make(exchange, "full", x_max_length=1, x_overflow="reject-publish")
    keys = ["open", "full", "nobody", "open", "full", "nobody", "open"]
    with pytest.raises(BatchError) as caught, publisher.batch() as batch:
        [batch.publish("a", routing_key=key, require_route=True) for key in keys]
    assert [type(outcome) for outcome in caught.value.outcomes] == [
        Receipt, Receipt, Unroutable, Receipt, Nacked, Unroutable, Receipt,
    ]  # fmt: skip
    assert batch.outcomes == caught.value.outcomes
    assert len(queues.take(open_queue)) == 3


def test_an_iterable_that_raises(publisher: Publisher, queues: Queues, queue: str) -> None:
    """The fates of what was taken from it are told, and its own error is the cause."""

    def payloads() -> Iterator[dict[str, int]]:
        yield {"n": 0}
        yield {"n": 1}
        raise RuntimeError("no more ticks")

    with pytest.raises(BatchError, match="cut short after 2 messages, all confirmed") as caught:
        publisher.publish_many(payloads())
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert all(isinstance(outcome, Receipt) for outcome in caught.value.outcomes)
    assert numbers(queues, queue) == [0, 1]


def test_an_option_that_can_not_be_used(make_publisher: MakePublisher, link: Link) -> None:
    """Where no payload is at fault, the error is raised as publish would, and nothing was sent."""
    publisher = make_publisher(link.url)
    for options, field in (({"to": "nowhere"}, "to"), ({"priority": 300}, "priority"), ({"lane": 1}, "lane")):
        with pytest.raises(ConfigError) as caught:
            publisher.publish_many(["a", "b"], **options)
        assert caught.value.field == field
    assert link.proxy.connections == 0


def test_a_block_that_raises(publisher: Publisher, queues: Queues, queue: str) -> None:
    """Its own error goes on, once the messages are settled, with a note of them."""

    def block() -> None:
        with publisher.batch() as batch:
            batch.publish({"n": 0})
            raise LookupError("mine")

    with pytest.raises(LookupError) as caught:
        block()
    assert caught.value.__notes__ == ["1 of the 1 messages that the batch had begun were confirmed"]
    assert numbers(queues, queue) == [0]


def test_batches_of_many_threads_keep_their_order(publisher: Publisher, queues: Queues, queue: str) -> None:
    """Each batch is a lane of its own, also over several connections."""

    def work(thread: int) -> None:
        with publisher.batch() as batch:
            for n in range(100):
                batch.publish({"n": thread * 100 + n})

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    arrived = numbers(queues, queue)
    for thread in range(6):
        own = [n for n in arrived if n // 100 == thread]
        assert own == list(range(thread * 100, thread * 100 + 100))


def test_a_batch_of_a_closed_publisher(publisher: Publisher) -> None:
    """It says what to do."""
    batch = publisher.batch()
    publisher.close()
    with pytest.raises(InvalidState, match="the publisher is closed: make a new one"):
        batch.publish("a")
    with pytest.raises(InvalidState):
        publisher.publish_many(["a"])
    assert batch.wait() == ()
