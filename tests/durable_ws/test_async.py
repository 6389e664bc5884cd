"""The publisher for asyncio on a real broker: the same words and promises, and cancellation that leaves no doubt."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import logging
import random
import time
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from durable_ws import (
    AsyncPublisher,
    BatchError,
    ConfigError,
    Exchange,
    InvalidState,
    Nacked,
    NotSent,
    OutcomeUnknown,
    Publisher,
    Receipt,
    Refused,
    Unroutable,
)
from durable_ws.async_call import AsyncCall

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, Queues, RunScript, Wait

pytestmark = [pytest.mark.broker, pytest.mark.usefixtures("each_loop")]

PATIENCE_S = 60.0

Make = Callable[..., AsyncPublisher]
Using = Callable[[Callable[[Make], Awaitable[None]]], None]


@pytest.fixture
def using(url: str, exchange: Exchange) -> Using:
    """Run a coroutine that makes publishers to the test's exchange; they are closed in the end, and nothing hangs."""

    def using(body: Callable[[Make], Awaitable[None]]) -> None:
        async def main() -> None:
            made: list[AsyncPublisher] = []

            def make(url: str = url, exchanges: Any = None, **options: Any) -> AsyncPublisher:
                options = {"timeout": 20.0, "reconnect_first_s": 0.02, "reconnect_most_s": 0.1, **options}
                made.append(AsyncPublisher(url, {"pubsub": exchange} if exchanges is None else exchanges, **options))
                return made[-1]

            try:
                async with asyncio.timeout(PATIENCE_S):
                    await body(make)
            finally:
                for publisher in made:
                    await publisher.close()

        asyncio.run(main())

    return using


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for what no event tells, such as the broker's or a proxy's state; fails the test after a while."""
    deadline = time.monotonic() + PATIENCE_S / 2
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        await asyncio.sleep(0.005)


def under_way(publisher: AsyncPublisher) -> int:
    """How many messages are, one that is alone among them."""
    return publisher.health().under_way


@pytest.mark.parametrize("name", ["__init__", "publish", "submit", "publish_many", "batch", "close"])
def test_it_has_the_words_of_the_other(name: str) -> None:
    """Arguments, their order and their defaults are the same; so whoever knows one knows both."""
    ours, theirs = (inspect.signature(getattr(kind, name)).parameters for kind in (AsyncPublisher, Publisher))
    assert [(one.name, one.kind, one.default) for one in ours.values()] == [
        (one.name, one.kind, one.default) for one in theirs.values()
    ]


def test_publish(using: Using, queues: Queues, queue: str) -> None:
    """It returns after the confirm, and what was given is in the queue."""

    async def body(make: Make) -> None:
        receipt = await make().publish({"price": 42}, routing_key="ticks", priority=3, message_id="m")
        assert receipt == Receipt("m", routed=True, attempts=1, latency_s=receipt.latency_s)
        assert receipt.latency_s > 0

    using(body)
    (got,) = queues.take(queue)
    assert (got.body, got.routing_key, got.properties.priority) == (b'{"price":42}', "ticks", 3)
    assert (got.properties.message_id, got.properties.delivery_mode) == ("m", 2)


def test_publish_many(using: Using, queues: Queues, queue: str) -> None:
    """Of any iterable, also an asynchronous one, in order."""

    async def numbers() -> AsyncIterator[dict[str, int]]:
        for n in range(300, 600):
            yield {"n": n}
            await asyncio.sleep(0)

    async def body(make: Make) -> None:
        publisher = make()
        assert await publisher.publish_many([]) == []
        receipts = await publisher.publish_many({"n": n} for n in range(300))
        receipts += await publisher.publish_many(numbers())
        assert all(receipt.routed for receipt in receipts)

    using(body)
    assert [json.loads(got.body)["n"] for got in queues.take(queue)] == list(range(600))


def test_a_batch_pipelines_under_the_window(using: Using, link: Link) -> None:
    """Over a long round trip it is far quicker than one by one; and the window is never exceeded."""

    async def body(make: Make) -> None:
        publisher = make(link.url, window=20)
        await publisher.publish("first")
        with link.fault("latency", delay_ms=50):
            before = time.monotonic()
            async with publisher.batch() as batch:
                for n in range(100):
                    await batch.publish({"n": n})
            assert time.monotonic() - before < 100 * 0.1
        assert len(batch.outcomes) == 100
        assert all(isinstance(outcome, Receipt) for outcome in batch.outcomes)

    using(body)
    assert 10 < link.most_unconfirmed <= 20


@pytest.mark.parametrize("window", [1, 3])
def test_many_tasks_and_the_window(using: Using, link: Link, queues: Queues, queue: str, window: int) -> None:
    """However many publish at once, over two connections: no more are under way, and each task keeps its order."""

    async def body(make: Make) -> None:
        publisher = make(link.url, window=window, max_connections=2)

        async def work(task: int) -> None:
            for n in range(15):
                await publisher.publish({"task": task, "n": n})

        await asyncio.gather(*(work(task) for task in range(8)))

    using(body)
    assert link.most_unconfirmed <= window
    arrived: dict[int, list[int]] = defaultdict(list)
    for got in queues.take(queue):
        message = json.loads(got.body)
        arrived[message["task"]].append(message["n"])
    assert arrived == {task: list(range(15)) for task in range(8)}


def test_every_fate(using: Using, queues: Queues, exchange: Exchange) -> None:
    """Confirmed, returned, nacked and refused ones, each to its caller, alone and in a batch."""
    queues.make(exchange, "open")
    queues.make(exchange, "full", x_max_length=1, x_overflow="reject-publish")

    async def body(make: Make) -> None:
        publisher = make(exchanges={"pubsub": exchange, "none": Exchange(f"{exchange.name}-none", passive=True)})
        assert (await publisher.publish("a", routing_key="full")).routed
        assert not (await publisher.publish("a", routing_key="nobody")).routed
        with pytest.raises(Unroutable):
            await publisher.publish("a", routing_key="nobody", require_route=True)
        with pytest.raises(Nacked):
            await publisher.publish("a", routing_key="full")
        with pytest.raises(Refused, match="NOT_FOUND"):
            await publisher.publish("a", to="none")
        with pytest.raises(ConfigError, match="payload"):
            await publisher.publish({1})
        keys = ["open", "full", "nobody", "open"]
        with pytest.raises(BatchError) as caught:  # noqa: PT012
            async with publisher.batch() as batch:
                for key in keys:
                    await batch.publish("a", routing_key=key, require_route=True)
        assert [type(outcome) for outcome in caught.value.outcomes] == [Receipt, Nacked, Unroutable, Receipt]
        assert batch.outcomes == caught.value.outcomes
        with pytest.raises(BatchError, match="1 of 3 messages failed") as many:
            await publisher.publish_many(["a", {1}, "b"], routing_key="open")
        assert isinstance(many.value.outcomes[1], ConfigError)

    using(body)


def test_publish_many_on_a_publisher_that_is_closed_meanwhile(using: Using, queues: Queues, queue: str) -> None:
    """Each payload that was taken has its fate, the one that came too late as well; a first one is the error itself."""

    async def body(make: Make) -> None:
        publisher = make()

        async def payloads() -> AsyncIterator[str]:
            yield "a"
            await publisher.close()
            yield "b"
            yield "c"

        with pytest.raises(BatchError) as caught:
            await publisher.publish_many(payloads())
        first, second = caught.value.outcomes
        assert isinstance(first, Receipt)
        assert isinstance(second, InvalidState)
        assert caught.value.__cause__ is second
        with pytest.raises(InvalidState):
            await publisher.publish_many(["d"])

    using(body)
    assert [got.body for got in queues.take(queue)] == [b"a"]


def test_a_block_or_an_iterable_that_raises(using: Using, queues: Queues, queue: str) -> None:
    """Their own error goes on, with what became of the messages."""

    def payloads() -> Iterator[str]:
        yield "a"
        raise RuntimeError("no more")

    async def body(make: Make) -> None:
        publisher = make()
        with pytest.raises(BatchError, match="cut short after 1 messages, all confirmed"):
            await publisher.publish_many(payloads())
        with pytest.raises(LookupError) as caught:  # noqa: PT012
            async with publisher.batch() as batch:
                await batch.publish("b")
                raise LookupError("mine")
        assert caught.value.__notes__ == ["1 of the 1 messages that the batch had begun were confirmed"]

    using(body)
    assert [got.body for got in queues.take(queue)] == [b"a", b"b"]


def test_a_cut(using: Using, link: Link, queues: Queues, queue: str) -> None:
    """What was unconfirmed is published again under the same id."""

    async def body(make: Make) -> None:
        publisher = make(link.url)
        with link.fault("cut_before_confirm", n=5, down=False) as active:
            receipts = await publisher.publish_many([{"n": n} for n in range(50)])
            assert active.fired
        assert max(receipt.attempts for receipt in receipts) == 2
        assert {receipt.message_id for receipt in receipts} == {got.properties.message_id for got in queues.take(queue)}

    using(body)


def test_the_deadline(using: Using, link: Link) -> None:
    """Not sent for what was never written, unknown for what was, and a full window says so."""

    async def body(make: Make) -> None:
        publisher = make(link.url, window=1)
        with link.fault("refuse"), pytest.raises(NotSent, match="the deadline passed without a connection"):
            await publisher.publish("a", timeout=0.3)
        await publisher.publish("b")
        with link.fault("stall"):
            first = await publisher.submit("c", timeout=2.0)
            with pytest.raises(NotSent, match="the deadline passed in a full window"):
                await publisher.publish("d", timeout=0.1)
            with pytest.raises(OutcomeUnknown, match="the deadline passed without a confirm"):
                await first

    using(body)


# --- cancellation -------------------------------------------------------------------------------------


def test_cancelled_after_it_was_written(using: Using, link: Link, queues: Queues, queue: str) -> None:
    """It is settled as of unknown outcome; the others' outcomes are their own, and nothing is published again."""

    async def body(make: Make) -> None:
        publisher = make(link.url, max_connections=1)
        await publisher.publish("first")
        with link.fault("stall") as active:
            doomed = asyncio.create_task(publisher.publish("doomed", message_id="doomed"))
            await until(lambda: under_way(publisher), "it is taken in")
            others = [await publisher.submit("other", message_id=f"other-{n}") for n in range(3)]
            await until(lambda: active.fired, "they were written")
            doomed.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await doomed
            assert caught.value.__notes__ == ["message doomed: outcome unknown: the call was cancelled"]
            assert under_way(publisher) == 3, "it takes no room any more"
        assert [(await other).message_id for other in others] == ["other-0", "other-1", "other-2"]
        assert (await publisher.publish("last", message_id="doomed")).attempts == 1, "its id is free again"

    using(body)
    bodies = [got.body for got in queues.take(queue)]
    assert bodies == [b"first", b"doomed", b"other", b"other", b"other", b"last"]


def test_cancelled_before_it_was_written(using: Using, link: Link, queues: Queues, queue: str) -> None:
    """It never is."""

    async def body(make: Make) -> None:
        publisher = make(link.url)
        with link.fault("refuse") as active:
            doomed = asyncio.create_task(publisher.publish("doomed", message_id="m"))
            kept = asyncio.create_task(publisher.publish("kept"))
            await until(lambda: active.counts.get("refused"), "it tries to connect")
            doomed.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await doomed
            assert caught.value.__notes__ == ["message m: not sent: the call was cancelled"]
        assert (await kept).attempts == 1

    using(body)
    assert [got.body for got in queues.take(queue)] == [b"kept"]


def test_cancelled_in_a_full_window(using: Using, link: Link, queues: Queues, queue: str) -> None:
    """It was never taken in, and who waits behind it is let in."""

    async def body(make: Make) -> None:
        publisher = make(link.url, window=1)
        await publisher.publish("first")
        with link.fault("stall"):
            inside = await publisher.submit("inside")
            waiting = [asyncio.create_task(publisher.publish(text)) for text in ("doomed", "behind")]
            await until(lambda: publisher._pool and len(publisher._pool._waiting) == 2, "both wait")
            waiting[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting[0]
        assert (await inside).routed
        assert (await waiting[1]).routed
        assert under_way(publisher) == 0

    using(body)
    assert [got.body for got in queues.take(queue)] == [b"first", b"inside", b"behind"]


def test_cancelled_at_once(using: Using, queues: Queues, queue: str) -> None:
    """Also what was only just submitted, before the loop came round, is not sent; a settled one can't be cancelled."""

    async def body(make: Make) -> None:
        publisher = make()
        future = await publisher.submit("doomed")
        assert future.cancel()
        assert not future.cancel()
        done = await publisher.submit("kept")
        await done
        assert not done.cancel()
        assert under_way(publisher) == 0

    using(body)
    assert [got.body for got in queues.take(queue)] == [b"kept"]


@pytest.mark.parametrize("seed", range(3))
def test_cancelled_at_any_time(using: Using, queues: Queues, queue: str, seed: int) -> None:
    """Whoever is cancelled whenever: all others are confirmed, and what is said of the cancelled is true."""
    draw = random.Random(seed)
    told: dict[str, str] = {}

    async def body(make: Make) -> None:
        publisher = make(window=20)

        async def publish(message_id: str) -> None:
            try:
                receipt = await publisher.publish("a", message_id=message_id)
            except asyncio.CancelledError as exc:
                told[message_id] = "".join(getattr(exc, "__notes__", ["not sent"]))
                raise
            assert receipt.message_id == message_id
            told[message_id] = "confirmed"

        tasks = [asyncio.create_task(publish(f"m{n}")) for n in range(200)]
        while not all(task.done() for task in tasks):
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            if draw.random() < 0.3:
                draw.choice(tasks[1:]).cancel()  # the first one always lives to see its confirm
            await asyncio.sleep(0.0005)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in outcomes if isinstance(one, Exception)]
        assert under_way(publisher) == 0
        assert (await publisher.publish("last")).attempts == 1

    using(body)
    arrived = [got.properties.message_id for got in queues.take(queue)]
    assert len(arrived) == len(set(arrived))
    for n in range(200):
        said = told.get(f"m{n}", "not sent")  # cancelled before it began
        if "confirmed" in said:
            assert f"m{n}" in arrived
        elif "not sent" in said:
            assert f"m{n}" not in arrived, said
        else:
            assert "outcome unknown" in said
    assert "confirmed" in told.values()


@pytest.mark.parametrize(
    ("exchange_has_queue", "said"), [(True, "confirmed"), (False, "confirmed, but no queue is bound for it")]
)
def test_cancelled_just_as_the_confirm_came(  # noqa: PLR0913, RUF100
    using: Using,
    queues: Queues,
    exchange: Exchange,
    monkeypatch: pytest.MonkeyPatch,
    exchange_has_queue: bool,
    said: str,
) -> None:
    """The note says what the caller did not live to see."""
    queue = queues.make(exchange, "#" if exchange_has_queue else "other")
    notes: list[str] = []

    async def body(make: Make) -> None:
        publisher = make()

        async def publish() -> None:
            try:
                await publisher.publish("a", message_id="m")
            except asyncio.CancelledError as exc:
                notes.extend(exc.__notes__)
                raise

        set_result = AsyncCall.set_result

        def cancel_then(call: AsyncCall, receipt: Receipt) -> None:
            set_result(call, receipt)
            task.cancel()

        monkeypatch.setattr(AsyncCall, "set_result", cancel_then)
        task = asyncio.create_task(publish())
        await asyncio.gather(task, return_exceptions=True)

    using(body)
    assert notes == [f"message m: {said}: the call was cancelled"]
    assert [got.body for got in queues.take(queue)] == ([b"a"] if exchange_has_queue else [])


def test_a_batch_that_is_cancelled(using: Using, link: Link, queues: Queues, queue: str) -> None:
    """Its messages are cancelled with it; the publisher goes on."""

    async def body(make: Make) -> None:
        publisher = make(link.url, window=2, max_connections=1)  # so that the last comes last
        await publisher.publish("first")

        async def work() -> None:
            async with publisher.batch() as batch:
                for text in ("a", "b", "c"):
                    await batch.publish(text)

        with link.fault("stall"):
            tasks = [asyncio.create_task(work()), asyncio.create_task(publisher.publish_many(["d", "e"]))]
            await until(lambda: publisher._pool and publisher._pool._waiting, "they wait in the window")
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(outcome, asyncio.CancelledError)
            assert under_way(publisher) == 0
        assert (await publisher.publish("last")).routed

    using(body)
    bodies = [got.body for got in queues.take(queue)]
    assert (bodies[0], bodies[-1]) == (b"first", b"last")
    assert set(bodies[1:-1]) <= {b"a", b"b"}


# --- the end ------------------------------------------------------------------------------------------


def test_close_waits_and_can_be_cancelled(using: Using, link: Link, queues: Queues, queue: str) -> None:
    """While the confirm is held up it does not return; a close that is cancelled goes on behind, for the next one."""

    async def body(make: Make) -> None:
        publisher = make(link.url)
        await publisher.publish("a")
        with link.fault("stall"):
            future = await publisher.submit("b")
            closing = asyncio.create_task(publisher.close())
            _, waits = await asyncio.wait([closing], timeout=0.1)
            assert waits
            with pytest.raises(InvalidState, match=r"^the publisher is closed: make a new one$"):
                await publisher.publish("c")
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert not future.done()
        await asyncio.gather(publisher.close(), publisher.close())
        assert future.result().routed

    using(body)
    assert [got.body for got in queues.take(queue)] == [b"a", b"b"]


def test_close_gives_up_after_its_timeout(using: Using, link: Link) -> None:
    """Then every caller is told what is known; who waits in the window at once."""

    async def body(make: Make) -> None:
        publisher = make(link.url, window=1, close_timeout_s=0.3)
        await publisher.publish("a")
        with link.fault("blackhole", new_connections="blackhole"):
            written = await publisher.submit("b")
            waiting = asyncio.create_task(publisher.publish("c"))
            await until(lambda: publisher._pool and publisher._pool._waiting, "it waits")
            closing = asyncio.create_task(publisher.close())
            with pytest.raises(NotSent, match="the publisher was closed"):
                await waiting
            await closing
            with pytest.raises(OutcomeUnknown, match="the publisher was closed"):
                written.result()

    using(body)


@pytest.mark.parametrize("way", ["quiet", "cut", "refused", "unreachable"])
def test_nothing_is_left(using: Using, url: str, link: Link, caplog: pytest.LogCaptureFixture, way: str) -> None:
    """No task, no socket and no word in the log, whatever the publisher went through."""
    addresses = {
        "cut": link.url, "refused": url.replace("guest:guest", "guest:wrong"), "unreachable": "amqp://127.0.0.1:1",
    }  # fmt: skip

    async def body(make: Make) -> None:
        tasks = asyncio.all_tasks()
        publisher = make(addresses.get(way, url), timeout=0.3 if way == "unreachable" else 20.0)
        if way in ("refused", "unreachable"):
            with pytest.raises(NotSent):
                await publisher.publish("a")
        else:
            await publisher.publish_many([{"n": n} for n in range(50)])
        if way == "cut":
            with link.fault("cut_before_confirm", down=False):
                await publisher.publish("again")
        await publisher.close()
        assert asyncio.all_tasks() == tasks

    using(body)
    gc.collect()  # a transport that is left would warn
    told = [record for record in caplog.records if not record.name.startswith(("pika", "durable_ws.connection"))]
    assert [record.getMessage() for record in told if record.levelno >= logging.WARNING] == []


def test_a_forgotten_publisher_warns(exchange: Exchange, link: Link, wait: Wait) -> None:
    """It tells so; its connection ends with the loop."""

    async def forget() -> None:
        publisher = AsyncPublisher(link.url, {"pubsub": exchange})
        await publisher.publish("a")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(forget())
        gc.collect()
        told = [(one.category, str(one.message)) for one in caught]
        caught.clear()  # which hold the publisher
        gc.collect()
    assert [text for _, text in told if "AsyncPublisher" in text]
    assert {category for category, _ in told} == {ResourceWarning}
    wait(lambda: not link.proxy.connections, "the connection is gone")


def test_one_loop(url: str, exchange: Exchange) -> None:
    """Another loop is told to make one of its own; it does not hang."""
    publisher = AsyncPublisher(url, {"pubsub": exchange})
    with asyncio.Runner() as runner:
        runner.run(publisher.publish("a"))
        uses: list[Coroutine[Any, Any, object]] = [
            publisher.publish("b"),
            publisher.publish_many("b"),
            publisher.close(),
        ]
        for use in uses:
            with pytest.raises(InvalidState, match="belongs to another event loop"):
                asyncio.run(use)
        runner.run(publisher.close())


def test_fork(run_script: RunScript, queues: Queues, queue: str) -> None:
    """In a child it says whose it is, a new one works there, and the parent's goes on undisturbed."""
    done = run_script(
        """
import asyncio
async def publish(publisher, text):
    return (await publisher.publish(text)).attempts
async def child():
    async with AsyncPublisher(exchanges=EXCHANGES) as own:
        assert await publish(own, "child") == 1
publisher = AsyncPublisher(exchanges=EXCHANGES)
with asyncio.Runner() as runner:
    runner.run(publish(publisher, "parent before"))
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(publish(publisher, "never"))
        except InvalidState as exc:
            print(exc, flush=True)
        asyncio.run(child())
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert runner.run(publish(publisher, "parent after")) == 1
    runner.run(publisher.close())
print(status)
""",
        timeout_s=60.0,
    )
    assert done.stderr == ""
    assert done.stdout == "this publisher is the parent's of before a fork: make one in this process\n0\n"
    assert [got.body for got in queues.take(queue)] == [b"parent before", b"child", b"parent after"]
