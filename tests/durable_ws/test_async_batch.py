"""A batch for asyncio over a publisher that is only played; the real one is in test_async.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

from durable_ws import BatchError, ConfigError, InvalidState, Nacked, Receipt
from durable_ws.async_batch import AsyncBatch
from tests.durable_ws.leaping_clock import run


class Played:
    """Takes what a batch submits, and settles it as the payload says: an error is raised, else it is confirmed."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.pending: list[asyncio.Future[Receipt]] = []

    async def submit(
        self, lane: object, payload: object, to: str, routing_key: str, **options: Any
    ) -> asyncio.Future[Receipt]:
        """As the publisher's own."""
        if isinstance(payload, ConfigError | InvalidState):
            raise payload
        self.calls.append((lane, payload, to, routing_key, options))
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        if isinstance(payload, Exception):
            future.set_exception(payload)
        elif payload == "pending":
            self.pending.append(future)
        else:
            future.set_result(receipt(payload))
        return future


def receipt(payload: object) -> Receipt:
    """The receipt of a played message."""
    return Receipt(str(payload), routed=True, attempts=1, latency_s=0.0)


async def one_by_one(payloads: Iterable[object]) -> AsyncIterator[object]:
    """The payloads as an asynchronous generator."""
    for payload in payloads:
        await asyncio.sleep(0)
        yield payload


@pytest.fixture
def played() -> Played:
    """The played publisher."""
    return Played()


@pytest.fixture
def batch(played: Played) -> AsyncBatch:
    """A batch on it."""
    return AsyncBatch(played.submit)


def test_calls_are_passed_on_in_order(played: Played, batch: AsyncBatch) -> None:
    """Everything goes to the publisher as it was given, in the batch's own lane."""

    async def main() -> None:
        async with batch as entered:
            assert entered is batch
            await batch.publish("a")
            await batch.publish("b", "broadcast", "key", priority=3)

    run(main())
    assert played.calls == [(batch, "a", "pubsub", "", {}), (batch, "b", "broadcast", "key", {"priority": 3})]
    assert batch.outcomes == (receipt("a"), receipt("b"))


@pytest.mark.parametrize("form", [list, one_by_one])
def test_publish_each(played: Played, batch: AsyncBatch, form: Any) -> None:
    """Takes payloads of both kinds, one by one, with what goes for all of them; a bad one is an outcome."""
    bad = ConfigError("payload['x']", "is bad", "Mend it.")

    async def main() -> tuple[object, ...]:
        await batch.publish_each(form(["a", bad, "c"]), "broadcast", "key", priority=3)
        return await batch.wait()

    assert run(main()) == (receipt("a"), bad, receipt("c"))
    assert played.calls == [(batch, name, "broadcast", "key", {"priority": 3}) for name in ("a", "c")]


def test_publish_each_stops_where_no_payload_is_at_fault(batch: AsyncBatch) -> None:
    """An option that can't be used would fail for each."""

    async def main() -> None:
        with pytest.raises(ConfigError):
            await batch.publish_each(["a", ConfigError("to", "is unknown", "Mend it."), "c"], "pubsub", "")
        assert await batch.wait() == (receipt("a"),)

    run(main())


def test_publish_each_tells_what_became_of_the_one_that_came_too_late(batch: AsyncBatch, played: Played) -> None:
    """The publisher was closed meanwhile: the error goes on, and is that payload's outcome; a first one has none."""
    closed = InvalidState("the publisher is closed")

    async def main() -> None:
        with pytest.raises(InvalidState) as caught:
            await batch.publish_each(["a", closed, "c"], "pubsub", "")
        assert caught.value is closed
        assert await batch.wait() == (receipt("a"), closed)
        fresh = AsyncBatch(played.submit)
        with pytest.raises(InvalidState):
            await fresh.publish_each([closed], "pubsub", "")
        assert await fresh.wait() == ()

    run(main())


def test_every_fate_in_order(batch: AsyncBatch) -> None:
    """The error holds receipts and errors, each in its place; the batch holds them too."""
    nacked = Nacked("b", "full", attempts=1)

    async def main() -> BatchError:
        with pytest.raises(BatchError) as caught:
            async with batch:
                await batch.publish_each(["a", nacked, "c"], "pubsub", "")
        return caught.value

    assert run(main()).outcomes == batch.outcomes == (receipt("a"), nacked, receipt("c"))


def test_a_block_that_raises_keeps_its_error(played: Played, batch: AsyncBatch) -> None:
    """It waits all the same, and the note says what became of the messages."""

    def payloads() -> Iterator[object]:
        yield from ["a", Nacked("b", "full"), "pending"]
        asyncio.get_running_loop().call_later(5.0, lambda: played.pending[0].set_result(receipt("late")))
        raise KeyError("mine")

    async def main() -> KeyError:
        with pytest.raises(KeyError) as caught:
            async with batch:
                await batch.publish_each(payloads(), "pubsub", "")
        assert asyncio.get_running_loop().time() == 5.0
        return caught.value

    assert run(main()).__notes__ == ["2 of the 3 messages that the batch had begun were confirmed"]


def test_outcomes_of_what_is_under_way(played: Played, batch: AsyncBatch) -> None:
    """They are there once they are waited for."""

    async def main() -> None:
        await batch.publish_each(["a", ConfigError("payload", "is bad", "Mend it."), "pending"], "pubsub", "")
        with pytest.raises(InvalidState, match=r"^some messages of the batch are under way: await batch\.wait\(\)$"):
            _ = batch.outcomes
        asyncio.get_running_loop().call_later(5.0, lambda: played.pending[0].set_result(receipt("late")))
        assert (await batch.wait())[2] == receipt("late") == batch.outcomes[2]

    run(main())


@pytest.mark.parametrize("cancelled_in", ["the block", "the end"])
def test_a_cancelled_task_cancels_what_is_under_way(played: Played, batch: AsyncBatch, cancelled_in: str) -> None:
    """Each message of the batch; what was confirmed before stays so."""

    async def publish() -> None:
        async with batch:
            await batch.publish_each(["a", ConfigError("payload", "is bad", "Mend it."), "pending"], "pubsub", "")
            if cancelled_in == "the block":
                await asyncio.get_running_loop().create_future()

    async def main() -> None:
        task = asyncio.ensure_future(publish())
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert played.pending[0].cancelled()
        assert batch.outcomes[0] == receipt("a")
        assert str(batch.outcomes[2]) == "the call was cancelled"

    run(main())


def test_another_error_than_ours_gets_out(batch: AsyncBatch) -> None:
    """It is no outcome: something is broken."""

    async def main() -> None:
        await batch.publish(KeyError("broken"))
        with pytest.raises(KeyError, match="broken"):
            await batch.wait()

    run(main())
