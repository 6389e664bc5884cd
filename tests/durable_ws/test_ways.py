"""All ways to publish say the same to the broker: each argument reaches it, whichever publisher and method is used."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pamqp import body, commands, header

from durable_ws import (
    AsyncPublisher,
    BatchError,
    Exchange,
    Health,
    InvalidState,
    NotSent,
    Observer,
    Publisher,
    PublishError,
    Receipt,
    Unroutable,
)
from durable_ws.observe import MessageSettled, MessageTaken
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker, Frame, Talk

Way = Callable[..., Receipt]

EXCHANGES = {"pubsub": Exchange("x"), "other": Exchange("y", "direct")}
LONG_S = 1000.0


def one_of(receipts: list[Receipt]) -> Receipt:
    """The only one."""
    (receipt,) = receipts
    return receipt


def outcome_of(outcomes: tuple[Any, ...]) -> Receipt:
    """The only one, raised if it is an error."""
    (outcome,) = outcomes
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome, Receipt)
    return outcome


def with_publish(publisher: Publisher, *arguments: Any, **options: Any) -> Receipt:
    """By Publisher.publish."""
    return publisher.publish(*arguments, **options)


def with_submit(publisher: Publisher, *arguments: Any, **options: Any) -> Receipt:
    """By Publisher.submit."""
    return publisher.submit(*arguments, **options).result(WAIT_S)


def with_many(publisher: Publisher, payload: object, *arguments: Any, **options: Any) -> Receipt:
    """By Publisher.publish_many."""
    try:
        return one_of(publisher.publish_many([payload], *arguments, **options))
    except BatchError as exc:
        return outcome_of(exc.outcomes)


def with_batch(publisher: Publisher, *arguments: Any, **options: Any) -> Receipt:
    """By Publisher.batch."""
    batch = publisher.batch()
    batch.publish(*arguments, **options)
    return outcome_of(batch.wait())


async def async_publish(publisher: AsyncPublisher, *arguments: Any, **options: Any) -> Receipt:
    """By AsyncPublisher.publish."""
    return await publisher.publish(*arguments, **options)


async def async_submit(publisher: AsyncPublisher, *arguments: Any, **options: Any) -> Receipt:
    """By AsyncPublisher.submit."""
    return await (await publisher.submit(*arguments, **options))


async def async_many(publisher: AsyncPublisher, payload: object, *arguments: Any, **options: Any) -> Receipt:
    """By AsyncPublisher.publish_many."""
    try:
        return one_of(await publisher.publish_many([payload], *arguments, **options))
    except BatchError as exc:
        return outcome_of(exc.outcomes)


async def async_batch(publisher: AsyncPublisher, *arguments: Any, **options: Any) -> Receipt:
    """By AsyncPublisher.batch."""
    batch = publisher.batch()
    await batch.publish(*arguments, **options)
    return outcome_of(await batch.wait())


ALL = [with_publish, with_submit, with_many, with_batch, async_publish, async_submit, async_many, async_batch]


def call(
    way: Callable[..., Any], url: str, *arguments: Any, made: dict[str, Any] | None = None, **options: Any
) -> Receipt:
    """Publish one message by a publisher of its own, made with the options ``made``."""
    made = {"timeout": WAIT_S, "reconnect_first_s": 0.01, "reconnect_most_s": 0.05, **(made or {})}
    if not asyncio.iscoroutinefunction(way):
        with Publisher(url, EXCHANGES, **made) as publisher:
            receipt: Receipt = way(publisher, *arguments, **options)
            return receipt

    async def main() -> Receipt:
        async with AsyncPublisher(url, EXCHANGES, **made) as publisher:
            receipt: Receipt = await way(publisher, *arguments, **options)
            return receipt

    return asyncio.run(main())


ways = pytest.mark.parametrize("way", ALL, ids=lambda way: way.__name__)


def return_all(talk: Talk, channel: int, one: Frame) -> bool:
    """No queue is bound for anything."""
    if isinstance(one, header.ContentHeader):
        returned = commands.Basic.Properties(message_id=one.properties.message_id)
        talk.say(
            channel,
            commands.Basic.Return(312, "NO_ROUTE", "x", ""),
            header.ContentHeader(0, 1, returned),
            body.ContentBody(b"a"),
            commands.Basic.Ack(len(talk.of(commands.Basic.Publish))),
        )
    return False


@ways
def test_what_the_broker_is_told(way: Way) -> None:
    """Exchange, key, id and properties, by position or by name; what is not said has its default."""
    with FakeBroker() as broker:
        receipt = call(way, broker.url, "a", "other", "key", message_id="m", priority=3, headers={"h": "v"})
        assert (receipt.message_id, receipt.routed, receipt.attempts) == ("m", True, 1)
        plain = call(way, broker.url, "b")
        (first, second), (told, usual) = broker.of(commands.Basic.Publish), broker.of(header.ContentHeader)
        assert (first.exchange, first.routing_key, first.mandatory) == ("y", "key", True)
        assert (second.exchange, second.routing_key, second.mandatory) == ("x", "", True)
        properties = told.properties
        assert (properties.message_id, properties.priority, properties.headers) == ("m", 3, {"h": "v"})
        assert (properties.delivery_mode, usual.properties.delivery_mode) == (2, 2)
        assert usual.properties.message_id == plain.message_id != receipt.message_id


@ways
@pytest.mark.parametrize(
    ("of_publisher", "of_call", "raises"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_whether_a_route_is_required(way: Way, of_publisher: bool, of_call: bool | None, raises: bool) -> None:
    """As the call says, and else as the publisher does."""
    with FakeBroker(return_all, confirms=False) as broker:
        options: dict[str, Any] = {} if of_call is None else {"require_route": of_call}
        made = {"require_route": of_publisher}
        if raises:
            with pytest.raises(Unroutable):
                call(way, broker.url, "a", made=made, **options)
        else:
            assert not call(way, broker.url, "a", made=made, **options).routed


@ways
@pytest.mark.parametrize(("of_publisher", "of_call"), [(LONG_S, 0.05), (0.05, None)])
def test_whose_deadline_it_is(way: Way, of_publisher: float, of_call: float | None) -> None:
    """The call's, and else the publisher's."""
    options: dict[str, Any] = {} if of_call is None else {"timeout": of_call}
    with FakeBroker(confirms=False) as broker, pytest.raises(PublishError, match="the deadline passed"):
        call(way, broker.url, "a", made={"timeout": of_publisher, "close_timeout_s": 0.1}, **options)


class Naming(Observer):
    """Gives each message a header, and notes what it is told."""

    def __init__(self) -> None:
        self.facts: list[Any] = []

    def taken(self, fact: MessageTaken, /) -> dict[str, str]:
        """Noted."""
        self.facts.append(fact)
        return {"trace": "t"}

    def settled(self, fact: MessageSettled, /) -> None:
        """Noted."""
        self.facts.append(fact)


@ways
def test_the_observer_is_told(way: Way) -> None:
    """Of each message, before it is written; its headers go with it."""
    notes = Naming()
    with FakeBroker() as broker:
        call(way, broker.url, "abc", "other", "key", message_id="m", made={"observer": notes})
        (told,) = broker.of(header.ContentHeader)
        assert told.properties.headers == {"trace": "t"}
    taken, settled = notes.facts
    assert (taken.message_id, taken.exchange, taken.routing_key, taken.size_bytes) == ("m", "y", "key", 3)
    assert settled.message is taken
    assert (settled.outcome, settled.attempts, settled.reason) == ("confirmed", 1, "")


# --- the life of a publisher ----------------------------------------------------------------------


def test_the_life_of_one_for_threads() -> None:
    """Nothing before the first message; one pool for all; closed for good."""
    with FakeBroker() as broker:
        publisher = Publisher(broker.url, EXCHANGES, max_connections=3)
        fresh = Health(connections=0, most_connections=3, blocked=None, trouble=None, under_way=0, closed=False)
        assert publisher.health() == fresh
        assert publisher._pool is None
        publisher.publish("a")
        pool = publisher._pool
        publisher.publish("a")
        assert publisher._pool is pool
        assert publisher.health().connections == 1
        publisher.close()
        closed = publisher.health()
        assert (closed.connections, closed.closed) == (0, True)
        for use in (publisher.publish, publisher.submit, lambda text: publisher.publish_many([text])):
            with pytest.raises(InvalidState, match=r"^the publisher is closed: make a new one$"):
                use("b")
        never = Publisher(broker.url, EXCHANGES)
        never.close()
        assert never.health().closed


def test_the_life_of_one_for_asyncio() -> None:
    """The same."""

    async def main() -> None:
        publisher = AsyncPublisher(broker.url, EXCHANGES, max_connections=3)
        fresh = Health(connections=0, most_connections=3, blocked=None, trouble=None, under_way=0, closed=False)
        assert publisher.health() == fresh
        await publisher.publish("a")
        pool = publisher._pool
        await publisher.publish("a")
        assert publisher._pool is pool
        assert publisher.health().connections == 1
        publisher._inherited = True  # as it looks in a child
        assert publisher.health() == Health(
            connections=0, most_connections=3, blocked=None, trouble=None, under_way=0, closed=True
        )
        with pytest.raises(
            InvalidState, match=r"^this publisher is the parent's of before a fork: make one in this pr"
        ):
            await publisher.publish("b")
        publisher._inherited = False
        await publisher.close()
        closed = publisher.health()
        assert (closed.connections, closed.closed) == (0, True)
        for use in (publisher.publish, publisher.submit, lambda text: publisher.publish_many([text])):
            with pytest.raises(InvalidState, match=r"^the publisher is closed: make a new one$"):
                await use("b")
        never = AsyncPublisher(broker.url, EXCHANGES)
        assert never.health().closed is False
        await never.close()
        assert never.health().closed
        assert never.health().connections == 0

    with FakeBroker() as broker:
        asyncio.run(main())


def test_another_loop_is_told() -> None:
    """It does not hang."""
    with FakeBroker() as broker:
        publisher = AsyncPublisher(broker.url, EXCHANGES)
        with asyncio.Runner() as runner:
            runner.run(publisher.publish("a"))
            with pytest.raises(InvalidState, match=r"^this publisher belongs to another event loop: make one for each"):
                asyncio.run(publisher.publish("b"))
            with pytest.raises(InvalidState, match="belongs to another event loop"):
                asyncio.run(publisher.close())
            runner.run(publisher.close())


def test_an_iterable_that_raises() -> None:
    """What was taken from it is published, and its error is the cause, for both."""

    def payloads() -> Any:
        yield "a"
        raise LookupError("no more")

    async def main() -> None:
        async with AsyncPublisher(broker.url, EXCHANGES) as publisher:
            await publisher.publish_many(payloads())

    def by_threads() -> None:
        with Publisher(broker.url, EXCHANGES) as publisher:
            publisher.publish_many(payloads())

    with FakeBroker() as broker:
        for use in (by_threads, lambda: asyncio.run(main())):
            with pytest.raises(BatchError) as caught:
                use()
            assert isinstance(caught.value.__cause__, LookupError)
            assert len(caught.value.outcomes) == 1


def test_a_task_that_publishes_many_is_cancelled() -> None:
    """So is what it has under way."""

    async def main() -> None:
        async with AsyncPublisher(broker.url, EXCHANGES, timeout=WAIT_S) as publisher:
            task = asyncio.create_task(publisher.publish_many(["a", "b"]))
            written = lambda: len(broker.of(commands.Basic.Publish)) == 2  # noqa: E731
            await asyncio.to_thread(broker.wait, written, "they are written")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert publisher.health().under_way == 0

    with FakeBroker(confirms=False) as broker:
        asyncio.run(main())


def test_close_waits_for_as_long_as_it_was_told() -> None:
    """``close_timeout_s``, and else as long as the timeout of each publish."""
    with FakeBroker(confirms=False) as broker:
        for options in ({"timeout": LONG_S, "close_timeout_s": 0.05}, {"timeout": 0.05}):
            publisher = Publisher(broker.url, EXCHANGES, **options)
            future = publisher.submit("a", timeout=LONG_S)
            closing = threading.Thread(target=publisher.close, daemon=True)
            closing.start()
            closing.join(WAIT_S)
            assert not closing.is_alive()
            with pytest.raises((PublishError, NotSent), match="the publisher was closed"):
                future.result(0)
