"""Many threads, many publishers: how connections are shared, and how many there are."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from durable_ws import Publisher, PublishError, Receipt

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues, Wait

pytestmark = pytest.mark.broker


def test_many_threads_share_one_publisher(publisher: Publisher, queues: Queues, queue: str) -> None:
    """Each message is confirmed to the thread that published it, once, and each thread's order is kept."""

    def work(thread: int) -> list[Receipt]:
        return [publisher.publish({"thread": thread, "n": n}, message_id=f"{thread}-{n}") for n in range(40)]

    with ThreadPoolExecutor(16) as threads:
        receipts = list(threads.map(work, range(16)))
    assert [[receipt.message_id for receipt in own] for own in receipts] == [
        [f"{thread}-{n}" for n in range(40)] for thread in range(16)
    ]
    arrived = defaultdict(list)
    for got in queues.take(queue):
        message = json.loads(got.body)
        arrived[message["thread"]].append(message["n"])
    assert arrived == {thread: list(range(40)) for thread in range(16)}


def test_many_threads_over_a_cut(make_publisher: MakePublisher, link: Link, queues: Queues, queue: str) -> None:
    """Each thread's messages survive the loss of the connections."""
    publisher = make_publisher(link.url, max_connections=3, window=6)

    def work(thread: int) -> list[Receipt]:
        return [publisher.publish({"thread": thread, "n": n}) for n in range(40)]

    with ThreadPoolExecutor(8) as threads, link.fault("cut_before_confirm", n=20, down=False) as active:
        receipts = [receipt for own in threads.map(work, range(8)) for receipt in own]
        assert active.fired
    assert all(receipt.routed for receipt in receipts)
    assert {receipt.message_id for receipt in receipts} == {got.properties.message_id for got in queues.take(queue)}


@pytest.mark.parametrize(
    ("argument", "environment", "most"),
    [(3, "2", 3), (1, None, 1), (None, "2", 2), (None, " 4 ", 4), (None, None, 5), (None, "", 5)],
    ids=["argument", "one", "MAX_THREADS", "MAX_THREADS with spaces", "default", "MAX_THREADS empty"],
)
def test_the_most_connections(  # noqa: PLR0913, RUF100
    make_publisher: MakePublisher,
    link: Link,
    wait: Wait,
    monkeypatch: pytest.MonkeyPatch,
    argument: int | None,
    environment: str | None,
    most: int,
) -> None:
    """The argument, else ``MAX_THREADS``, else 5: as many are opened while more threads wait, and no more."""
    monkeypatch.delenv("MAX_THREADS", raising=False)
    if environment is not None:
        monkeypatch.setenv("MAX_THREADS", environment)
    publisher = make_publisher(link.url, max_connections=argument, window=10)
    with ThreadPoolExecutor(10) as threads:
        with link.fault("stall"):
            futures = [threads.submit(publisher.publish, "a") for _ in range(10)]
            wait(lambda: link.proxy.connections >= most, "so many connections are opened")
            wait(lambda: publisher._pool is not None and publisher._pool._under_way == 10, "all messages are taken in")
        for future in futures:
            future.result()
    assert link.proxy.connections == most


def test_no_more_connections_for_messages_past_their_deadline(make_publisher: MakePublisher, link: Link) -> None:
    """What was given up, and may still be answered, takes no room in the window, and is no reason for one more."""
    publisher = make_publisher(link.url, max_connections=2, window=2)

    def give_up(_: object) -> None:
        with pytest.raises(PublishError):
            publisher.publish("a", timeout=0.2)

    publisher.publish("first")
    with link.fault("stall"), ThreadPoolExecutor(2) as threads:
        for _ in range(3):
            list(threads.map(give_up, range(2)))
        pool = publisher._pool
        assert pool is not None
        assert len(pool._links) <= 2
    assert publisher.publish("last").attempts == 1


def test_one_connection_as_long_as_it_keeps_up(make_publisher: MakePublisher, link: Link) -> None:
    """One thread after the other, or one with much to say: one connection serves them all."""
    publisher = make_publisher(link.url)
    for _ in range(3):
        thread = threading.Thread(target=publisher.publish, args=("a",))
        thread.start()
        thread.join()
    publisher.publish_many([{"n": n} for n in range(300)])
    assert link.proxy.connections == 1


def names_since(before: set[threading.Thread]) -> list[str]:
    """What the threads are called that publishers have started since; others may come and go."""
    begun = [thread.name for thread in threading.enumerate() if thread not in before]
    return sorted(name for name in begun if name.startswith("durable_ws"))


def test_it_connects_with_the_first_message(make_publisher: MakePublisher, link: Link) -> None:
    """Making a publisher costs nothing: no thread, no connection."""
    before = set(threading.enumerate())
    publisher = make_publisher(link.url)
    assert not names_since(before)
    assert link.proxy.connections == 0
    publisher.publish("a")
    assert names_since(before) == ["durable_ws", "durable_ws log"]
    assert link.proxy.connections == 1


def test_many_publishers(make_publisher: MakePublisher, queues: Queues, queue: str) -> None:
    """Publishers know nothing of each other; closing one leaves the others alone."""
    publishers = [make_publisher() for _ in range(12)]
    futures = [publisher.submit({"n": n}) for n, publisher in enumerate(publishers)]
    assert all(future.result().routed for future in futures)
    for publisher in publishers[::2]:
        publisher.close()
    futures = [publisher.submit({"n": n}) for n, publisher in enumerate(publishers[1::2], 12)]
    assert all(future.result().routed for future in futures)
    assert sorted(json.loads(got.body)["n"] for got in queues.take(queue)) == list(range(18))


@pytest.mark.usefixtures("queue")
def test_the_same_message_id_from_many_threads(publisher: Publisher) -> None:
    """Each of them gets a receipt of its own: a return or confirm is never taken for another's."""
    with ThreadPoolExecutor(8) as threads:
        calls = [
            threads.submit(publisher.publish, "a", to="pubsub", message_id="same", routing_key="k") for _ in range(40)
        ]
    assert [call.result().message_id for call in calls] == ["same"] * 40
    assert all(call.result().routed for call in calls)


def test_messages_of_one_id_some_of_which_nobody_gets(publisher: Publisher, queues: Queues, exchange: object) -> None:
    """Returned and routed ones of one id, all under way at once, are told apart."""
    queues.make(exchange, "bound")  # type: ignore[arg-type]
    keys = ["bound", "not"] * 30
    futures = [publisher.submit("a", routing_key=key, message_id="same") for key in keys]
    assert [future.result().routed for future in futures] == [key == "bound" for key in keys]
