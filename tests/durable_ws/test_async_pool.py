"""The pool of the publisher for asyncio before a broker that is only played: window, cancellation, ends."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from pamqp import body as body_frames
from pamqp import commands

import durable_ws.async_pool
from durable_ws import AsyncPublisher, Exchange, InvalidState, NotSent, OutcomeUnknown, PublishError, Unroutable
from durable_ws.async_pool import AsyncPool
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker, Frame, Talk
from tests.durable_ws.observers import Outcomes
from tests.durable_ws.test_lending import return_it

pytestmark = pytest.mark.usefixtures("each_loop")

LONG_S = 1000.0
CLOCK_S = 0.002  # uvloop's goes by thousandths


class Played:
    """A broker that acks when it is told to, and the publishers of one test on one loop."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.made: list[AsyncPublisher] = []

    def make(self, **options: Any) -> AsyncPublisher:
        """A publisher, which is closed in the end."""
        options = {"timeout": WAIT_S, "reconnect_first_s": 0.02, "reconnect_most_s": 0.1, **options}
        self.made.append(AsyncPublisher(self.broker.url, {"pubsub": Exchange("x")}, **options))
        return self.made[-1]

    async def written(self, count: int) -> None:
        """Wait until so many messages were written."""
        await until(lambda: len(self.broker.of(commands.Basic.Publish)) >= count)

    async def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Confirm what was written on the latest connection."""
        await self.written(tag)
        self.broker.talks[-1].say(1, commands.Basic.Ack(tag, multiple))


def play(body: Callable[[Played], Awaitable[None]]) -> None:
    """Run a test on a loop of its own; nothing hangs."""

    async def main() -> None:
        with FakeBroker(confirms=False) as broker:
            played = Played(broker)
            try:
                async with asyncio.timeout(2 * WAIT_S):
                    await body(played)
            finally:
                for publisher in played.made:
                    if publisher._pool is not None:
                        await publisher._pool.close(0.0)
                    await publisher.close()

    asyncio.run(main())


async def until(condition: Callable[[], object]) -> None:
    """Wait for what no event tells."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.002)


def pool_of(publisher: AsyncPublisher) -> AsyncPool:
    """It has one once it has published."""
    assert publisher._pool is not None
    return publisher._pool


async def waiters(publisher: AsyncPublisher, count: int) -> None:
    """Wait until so many wait for room."""
    await until(lambda: len(pool_of(publisher)._waiting) == count)


# --- the window -----------------------------------------------------------------------------------


def test_what_is_under_way_is_counted() -> None:
    """From the call to the outcome, over any number of rounds."""

    async def body(played: Played) -> None:
        publisher = played.make()
        for round_ in range(3):
            futures = [await publisher.submit("a") for _ in range(3)]
            assert publisher.health().under_way == 3
            await played.ack(round_ * 3 + 1)
            assert (await futures[0]).attempts == 1
            assert publisher.health().under_way == 2
            await played.ack(round_ * 3 + 3, multiple=True)
            assert [(await future).attempts for future in futures] == [1] * 3
            assert publisher.health().under_way == 0

    play(body)


def test_a_reserve_is_taken_in_and_waits_for_its_turn() -> None:
    """A quarter of the window: it is not written before there are confirms."""

    async def body(played: Played) -> None:
        publisher = played.make(window=8, max_connections=1)
        futures = [await publisher.submit("a") for _ in range(10)]
        eleventh = asyncio.create_task(publisher.publish("late"))
        await waiters(publisher, 1)
        await played.written(8)
        assert pool_of(publisher)._under_way == 10
        await played.ack(1)
        await played.written(9)
        await waiters(publisher, 0)
        await played.ack(9, multiple=True)
        await played.ack(11, multiple=True)
        assert [(await one).attempts for one in (*futures, eleventh)] == [1] * 11

    play(body)


def test_the_window_counts_bytes_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits exactly is taken in, and not a byte more, also after others have come and gone."""
    monkeypatch.setattr(durable_ws.async_pool, "WINDOW_BYTES", 1000)

    async def body(played: Played) -> None:
        publisher = played.make()
        for tag in (1, 2):
            large = await publisher.submit(b"x" * 5000)
            await played.ack(tag)
            await large
        for size in (300, 299):
            await publisher.submit(b"x" * size)
        with pytest.raises(NotSent, match="full window"):
            await publisher.publish(b"x" * 402, timeout=0.05)
        futures = [await publisher.submit(b"x" * 401)]
        behind = [asyncio.create_task(publisher.publish(b"x" * size)) for size in (501, 500, 1)]
        await waiters(publisher, 3)
        await played.ack(4, multiple=True)  # 401 are left, and 501 more are let in, but not 500 more
        await played.written(6)
        assert pool_of(publisher)._under_way_bytes == 902
        assert len(pool_of(publisher)._waiting) == 2
        await played.ack(5)
        await played.ack(6)
        await played.ack(8, multiple=True)
        assert [(await one).attempts for one in (*futures, *behind)] == [1] * 4
        assert pool_of(publisher)._under_way_bytes == 0

    play(body)


def test_first_come_first_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is let in before those that wait, small as it may be."""
    monkeypatch.setattr(durable_ws.async_pool, "WINDOW_BYTES", 1000)

    async def body(played: Played) -> None:
        publisher = played.make(max_connections=1)
        await publisher.submit(b"x" * 600, message_id="first")
        large = asyncio.create_task(publisher.publish(b"x" * 600))
        await waiters(publisher, 1)
        small = asyncio.create_task(publisher.publish(b"x"))
        await waiters(publisher, 2)
        await played.ack(1)
        await played.written(3)
        assert not pool_of(publisher)._waiting
        await played.ack(3, multiple=True)
        assert [(await task).attempts for task in (large, small)] == [1, 1]

    play(body)


def test_a_full_window_waits_until_the_deadline() -> None:
    """No longer and no less; then it says so to the caller and the observer, and nobody waits any more."""
    notes = Outcomes()

    async def body(played: Played) -> None:
        publisher = played.make(window=2, observer=notes, max_connections=1)
        under_way = [await publisher.submit("a", message_id=message_id) for message_id in "ab"]
        before = time.monotonic()
        with pytest.raises(NotSent, match=r"^message late: not sent: the deadline passed in a full window$") as caught:
            await publisher.publish("late", timeout=0.1, message_id="late")
        assert time.monotonic() - before > 0.1 - CLOCK_S
        assert caught.value.attempts == 0
        future = await publisher.submit("late", timeout=0.1, message_id="late")
        assert future.done()
        with pytest.raises(NotSent, match="the deadline passed in a full window"):
            await future
        assert not pool_of(publisher)._waiting
        await played.ack(2, multiple=True)
        assert [(await one).attempts for one in under_way] == [1, 1]
        assert publisher.health().under_way == 0

    play(body)
    late = ("late", "not sent", 0, "the deadline passed in a full window")
    assert notes.told == [late, late, ("a", "confirmed", 1, ""), ("b", "confirmed", 1, "")]
    assert all(0 < latency_s < WAIT_S for latency_s in notes.latencies)
    assert notes.latencies[0] > 0.1 - CLOCK_S


def test_who_waits_is_let_in_as_room_comes() -> None:
    """As many as there is room for, in their order."""

    async def body(played: Played) -> None:
        publisher = played.make(window=2, max_connections=1)
        for _ in range(2):
            await publisher.submit("a")
        tasks = [asyncio.create_task(publisher.publish(f"{n}", message_id=f"{n}")) for n in range(3)]
        await waiters(publisher, 3)
        await played.ack(1)
        await played.written(3)
        assert publisher.health().under_way == 2
        assert len(pool_of(publisher)._waiting) == 2
        await played.ack(3, multiple=True)
        await played.written(5)
        assert publisher.health().under_way == 2
        await played.ack(5, multiple=True)
        assert [(await task).message_id for task in tasks] == ["0", "1", "2"]
        assert publisher.health().under_way == 0

    play(body)


def test_what_is_submitted_in_one_round_goes_together() -> None:
    """A message alone goes at once; more of them, in the same round of the loop, in one piece behind it, or in several
    if they are many, lest the broker stands idle meanwhile."""

    async def body(played: Played) -> None:
        publisher = played.make()
        played.broker.confirms = True
        await publisher.publish("first")
        pool, taken = pool_of(publisher), []
        take_in = pool._links.take_in

        def note(jobs: Any) -> None:
            taken.append(len(jobs))
            take_in(jobs)

        pool._links.take_in = note  # type: ignore[method-assign]
        for count in (5, 5, 40):
            futures = [await publisher.submit("a") for _ in range(count)]
            assert [(await future).attempts for future in futures] == [1] * count
        assert taken == [1, 4] * 2 + [1, 32, 7]

    play(body)


@pytest.mark.parametrize(("count", "pieces"), [(3, [3]), (40, [32, 8])])
def test_who_is_told_together_publishes_together(count: int, pieces: list[int]) -> None:
    """At the end of the callback that has heard the confirm, behind what is under way: in one piece, or a few."""

    async def body(played: Played) -> None:
        publisher, loop = played.make(), asyncio.get_running_loop()
        taken: list[int] = []
        seen: list[str] = []

        async def call() -> None:
            await publisher.publish("first")
            seen.append("told")
            await publisher.publish("second")

        tasks = [asyncio.create_task(call()) for _ in range(count + 1)]
        await played.written(count + 1)
        pool = pool_of(publisher)
        take_in, heard = pool._links.take_in, pool._links.all[0]._on_events

        def note(jobs: Any) -> None:
            taken.append(len(jobs))
            take_in(jobs)

        def hear(events: Any) -> None:
            loop.call_soon(seen.append, "the next turn")
            heard(events)
            seen.append("all is dealt with")

        pool._links.take_in = note  # type: ignore[method-assign]
        session = pool._links.all[0]._connection
        assert session is not None
        session._on_events = hear
        await played.ack(count, multiple=True)
        await played.written(2 * count + 1)
        assert seen == ["all is dealt with", *["told"] * count, "the next turn"]
        assert taken == pieces
        await played.ack(count + 1)
        await played.ack(2 * count + 2, multiple=True)
        await asyncio.gather(*tasks)

    play(body)


def test_one_of_two_who_are_told_publishes_again() -> None:
    """It is alone now, and takes the shorter way."""

    async def body(played: Played) -> None:
        publisher = played.make()
        played.broker.confirms = True
        await publisher.publish("first")
        played.broker.confirms = False
        done: list[float] = []

        async def call(again: bool) -> None:
            await publisher.publish("a")
            if again:
                await publisher.publish("b")
            done.append(time.monotonic())

        tasks = [asyncio.create_task(call(again)) for again in (False, True)]
        await played.written(3)
        played.broker.talks[-1].say(1, commands.Basic.Ack(3, True))
        await played.written(4)
        links = pool_of(publisher)._links
        assert len(done) == 1
        assert links._alone is not None
        assert links._alone.lone is not None
        played.broker.talks[-1].say(1, commands.Basic.Ack(4))
        await asyncio.gather(*tasks)

    play(body)


@pytest.mark.parametrize("require_route", [False, True])
@pytest.mark.parametrize("returned", [False, True])
def test_one_that_is_alone(returned: bool, require_route: bool) -> None:
    """It is told as any other, whether a queue is bound for it or not."""

    async def body(played: Played) -> None:
        publisher = played.make()
        played.broker.confirms = True
        await publisher.publish("first")
        played.broker.confirms = False
        began = time.monotonic()
        task = asyncio.create_task(publisher.publish("a", message_id="m", require_route=require_route))
        await played.written(2)
        links = pool_of(publisher)._links
        assert links._alone is not None
        assert links._alone.lone is not None
        answer = return_it(2, "m") if returned else [commands.Basic.Ack(2)]
        played.broker.talks[-1].say(1, *answer)
        if returned and require_route:
            with pytest.raises(Unroutable, match=r"NO_ROUTE"):
                await task
        else:
            receipt = await task
            assert receipt[:3] == ("m", not returned, 1)
            assert 0 < receipt.latency_s <= time.monotonic() - began

    play(body)


@pytest.mark.parametrize("struck", [0, 1, 2])
def test_a_task_that_ends_the_loop_as_it_is_told(struck: int) -> None:
    """What the others publish goes its way once the loop runs on, also what was published before the error came."""
    loop = asyncio.new_event_loop()
    with FakeBroker(confirms=False) as broker, asyncio.Runner(loop_factory=lambda: loop) as runner:
        publisher = AsyncPublisher(broker.url, {"pubsub": Exchange("x")}, timeout=WAIT_S)

        async def call(number: int) -> None:
            await publisher.publish("first")
            if number == struck:
                raise KeyboardInterrupt("now")
            await publisher.publish("second")

        async def begin() -> list[asyncio.Task[None]]:
            tasks = [asyncio.create_task(call(number)) for number in range(4)]
            await until(lambda: len(broker.of(commands.Basic.Publish)) == 4)
            return tasks

        async def end(tasks: list[asyncio.Task[None]]) -> None:
            await until(lambda: len(broker.of(body_frames.ContentBody)) == 6)
            broker.talks[-1].say(1, commands.Basic.Ack(6, True))
            await until(lambda: len(broker.of(body_frames.ContentBody)) == 7)
            broker.talks[-1].say(1, commands.Basic.Ack(7))
            await asyncio.gather(*tasks)
            await publisher.close()

        tasks = runner.run(begin())
        broker.talks[-1].say(1, commands.Basic.Ack(3, True))
        with pytest.raises(KeyboardInterrupt, match="now"):
            loop.run_forever()
        with pytest.raises(KeyboardInterrupt, match="now"):
            tasks.pop(struck).result()
        runner.run(end(tasks))
        assert len(broker.talks) == 1


def test_each_task_keeps_to_one_connection() -> None:
    """Two tasks with half of the window each have one each; what one of them has under way stays together."""

    async def body(played: Played) -> None:
        publisher = played.make(window=4, max_connections=2)

        async def work() -> list[Any]:
            return [await publisher.submit("a") for _ in range(2)]

        futures = [*await asyncio.create_task(work()), *await asyncio.create_task(work())]
        await until(lambda: [len(talk.of(commands.Basic.Publish)) for talk in played.broker.talks] == [2, 2])
        assert publisher.health().connections == 2
        for talk in played.broker.talks:
            talk.say(1, commands.Basic.Ack(2, True))
        assert [(await future).attempts for future in futures] == [1] * 4

    play(body)


# --- cancellation ---------------------------------------------------------------------------------


def test_cancelled_after_it_was_written(caplog: pytest.LogCaptureFixture) -> None:
    """Its outcome is unknown, it takes no room any more, and nobody else is touched; observer and log hear of it."""
    notes = Outcomes()

    async def body(played: Played) -> None:
        publisher = played.make(observer=notes)
        doomed = asyncio.create_task(publisher.publish("a", message_id="doomed"))
        await played.written(1)
        other = await publisher.submit("b", message_id="other")
        await played.written(2)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await doomed
        assert caught.value.__notes__ == ["message doomed: outcome unknown: the call was cancelled"]
        assert publisher.health().under_way == 1
        await played.ack(2, multiple=True)
        assert (await other).attempts == 1
        assert publisher.health().under_way == 0

    with caplog.at_level(logging.INFO, "durable_ws.async_pool"):
        play(body)
    assert notes.told == [("doomed", "unknown", 1, "the call was cancelled"), ("other", "confirmed", 1, "")]
    told = [one.getMessage() for one in caplog.records if one.name == "durable_ws.async_pool"]
    assert told == ["message doomed was cancelled: unknown"]


def test_cancelled_before_it_was_written() -> None:
    """It never is: while there is no connection, or the loop has not come round to it."""
    notes = Outcomes()

    async def body(played: Played) -> None:
        held = threading.Event()

        def hold(_talk: Talk, _channel: int, one: Frame) -> bool:
            if not isinstance(one, commands.Connection.Open):
                return False
            held.set()
            return True

        played.broker.answer = hold
        publisher = played.make(observer=notes)
        waits = await publisher.submit("a", message_id="waits")
        kept = await publisher.submit("b", message_id="kept")
        inbox = await publisher.submit("c", message_id="inbox")
        assert inbox.cancel()
        assert not inbox.cancel()
        assert inbox.fate == "not sent"
        assert inbox.message_id == "inbox"
        assert kept.fate is None
        await until(held.is_set)
        assert publisher.health().under_way == 2
        assert waits.cancel()
        assert waits.fate == "not sent"
        assert publisher.health().under_way == 1
        played.broker.talks[-1].say(0, commands.Connection.OpenOk())
        await played.ack(1)
        assert (await kept).attempts == 1
        assert not kept.cancel()
        assert kept.fate is None
        assert len(played.broker.of(commands.Basic.Publish)) == 1

    play(body)
    assert notes.told == [
        ("inbox", "not sent", 0, "the call was cancelled"),
        ("waits", "not sent", 0, "the call was cancelled"),
        ("kept", "confirmed", 1, ""),
    ]


def test_cancelled_in_a_full_window() -> None:
    """It was never taken in, and who waits behind it is let in; the observer hears of it."""
    notes = Outcomes()

    async def body(played: Played) -> None:
        publisher = played.make(window=1, observer=notes)
        await publisher.submit("a", message_id="inside")
        tasks = [asyncio.create_task(publisher.publish("b", message_id=name)) for name in ("doomed", "behind")]
        await waiters(publisher, 2)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await tasks[0]
        assert not hasattr(caught.value, "__notes__")
        await waiters(publisher, 1)
        await played.ack(1)
        await played.ack(2)
        assert (await tasks[1]).attempts == 1
        assert publisher.health().under_way == 0

    play(body)
    assert notes.told == [
        ("doomed", "not sent", 0, "the call was cancelled"),
        ("inside", "confirmed", 1, ""),
        ("behind", "confirmed", 1, ""),
    ]


def test_cancelled_just_as_room_came() -> None:
    """The room goes to the next one."""

    async def body(played: Played) -> None:
        publisher = played.make(window=1)
        inside = await publisher.submit("a")
        tasks = [asyncio.create_task(publisher.publish(b"x" * 10)) for _ in range(2)]
        await waiters(publisher, 2)
        inside.add_done_callback(lambda _: tasks[0].cancel())  # comes before the task that was let in goes on
        await played.ack(1)
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        await played.ack(2)
        assert (await tasks[1]).attempts == 1
        assert publisher.health().under_way == 0
        assert pool_of(publisher)._under_way_bytes == 0

    play(body)


def test_cancelled_and_passed_over() -> None:
    """Room comes after it was cancelled, and before it has gone: the next one has it."""

    async def body(played: Played) -> None:
        publisher = played.make(window=1)
        inside = await publisher.submit("a")
        await until(lambda: len(played.broker.of(commands.Basic.Publish)) == 1)
        tasks = [asyncio.create_task(publisher.publish("b")) for _ in range(2)]
        await waiters(publisher, 2)
        tasks[0].cancel()
        assert inside.cancel("no more")
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        with pytest.raises(asyncio.CancelledError, match="no more"):
            await inside
        played.broker.confirms = True
        played.broker.talks[-1].say(1, commands.Basic.Ack(0, multiple=True))
        assert (await tasks[1]).attempts == 1
        assert publisher.health().under_way == 0

    play(body)


def test_room_that_comes_with_the_deadline() -> None:
    """In the same round of the loop: it is taken, and given back when the message is given up."""

    async def body(played: Played) -> None:
        publisher = played.make(window=1)
        await publisher.submit("a")
        await played.written(1)
        late = asyncio.create_task(publisher.publish("late", timeout=0.3))
        await waiters(publisher, 1)
        await played.ack(1)
        time.sleep(0.4)  # noqa: ASYNC251 - the loop is busy, and finds both at once
        with pytest.raises(PublishError):
            await late
        await until(lambda: publisher.health().under_way == 0)
        played.broker.confirms = True
        assert (await publisher.publish("b")).attempts == 1

    play(body)


# --- the end --------------------------------------------------------------------------------------


def test_close_waits_for_the_confirm() -> None:
    """Not shorter, and no longer; whoever else closes waits with it, and one that is cancelled goes on."""

    async def body(played: Played) -> None:
        publisher = played.make(close_timeout_s=LONG_S)
        futures = [await publisher.submit("a") for _ in range(2)]
        await played.written(2)
        closings = [asyncio.create_task(publisher.close()) for _ in range(3)]
        await played.ack(1)
        await futures[0]
        closings[0].cancel()
        await asyncio.wait(closings[:1])
        assert [task.done() for task in closings] == [True, False, False]
        with pytest.raises(InvalidState, match=r"^the publisher is closed: make a new one$"):
            await publisher.publish("late")
        await played.ack(2)
        await asyncio.gather(*closings[1:])
        assert futures[1].result().attempts == 1
        await until(lambda: len(played.broker.of(commands.Connection.Close)) == 1)

    play(body)


def test_close_takes_in_what_was_let_in() -> None:
    """What was submitted just before is published."""

    async def body(played: Played) -> None:
        publisher = played.make(close_timeout_s=WAIT_S)
        futures = [await publisher.submit("a") for _ in range(3)]
        closing = asyncio.create_task(publisher.close())
        await played.ack(3, multiple=True)
        await closing
        assert [future.result().attempts for future in futures] == [1] * 3

    play(body)


def test_close_gives_up() -> None:
    """After its time, with what is known: unknown for what was written; who waits for room is told at once."""
    notes = Outcomes()

    async def body(played: Played) -> None:
        publisher = played.make(window=1, close_timeout_s=0.3, observer=notes)
        future = await publisher.submit("a", message_id="written")
        await played.written(1)
        waits = [asyncio.create_task(publisher.publish("b", message_id="waits")) for _ in range(2)]
        await waiters(publisher, 2)
        before = time.monotonic()
        closing = asyncio.create_task(publisher.close())
        for task in waits:
            with pytest.raises(NotSent, match=r"^message waits: not sent: the publisher was closed$"):
                await task
        await closing
        assert time.monotonic() - before > 0.3 - CLOCK_S
        with pytest.raises(OutcomeUnknown, match="the publisher was closed"):
            future.result()
        assert publisher.health().under_way == 0

    play(body)
    waits = ("waits", "not sent", 0, "the publisher was closed")
    assert notes.told == [waits, waits, ("written", "unknown", 1, "the publisher was closed")]


def test_one_that_was_alone_takes_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """From when another comes: with a window of one that waits, as it does for the bytes of the first."""
    monkeypatch.setattr(durable_ws.async_pool, "WINDOW_BYTES", 1000)

    async def body(played: Played) -> None:
        for window, size in ((1, 1), (10, 600)):
            before = len(played.broker.of(commands.Basic.Publish))
            publisher = played.make(window=window)
            pool = partial(pool_of, publisher)
            first = asyncio.create_task(publisher.publish(b"a"))
            await played.written(before + 1)
            await played.ack(1)
            await first
            alone = asyncio.create_task(publisher.publish(b"x" * size))
            await played.written(before + 2)
            assert (pool()._under_way, pool()._links.is_idle, publisher.health().under_way) == (0, False, 1)
            other = asyncio.create_task(publisher.publish(b"x" * size))
            await waiters(publisher, 1)
            assert (pool()._under_way, pool()._under_way_bytes, publisher.health().under_way) == (1, size, 1)
            await played.ack(2)
            await alone
            await played.written(before + 3)
            assert (pool()._under_way, pool()._under_way_bytes) == (1, size)
            await played.ack(3)
            await other
            assert (pool()._under_way, pool()._under_way_bytes, publisher.health().under_way) == (0, 0, 0)

    play(body)


def test_the_order_of_what_one_task_submits_and_publishes() -> None:
    """What waits for the end of the loop's turn goes before what is published in the same turn."""

    async def body(played: Played) -> None:
        publisher = played.make()
        played.broker.confirms = True
        await publisher.publish("0")
        futures = [await publisher.submit(f"{number}") for number in range(1, 4)]
        await publisher.publish("4")
        assert all(map(asyncio.Future.done, futures))
        assert [one.value for one in played.broker.of(body_frames.ContentBody)] == [b"0", b"1", b"2", b"3", b"4"]

    play(body)


def test_a_pool_that_closes_takes_nothing_in() -> None:
    """Who was about to submit as another closed is told so."""
    notes = Outcomes()

    async def body(played: Played) -> None:
        publisher = played.make(observer=notes)
        played.broker.confirms = True
        await publisher.publish("a", message_id="a")
        await pool_of(publisher).close(0.0)
        with pytest.raises(NotSent, match=r"^message b: not sent: the publisher was closed$"):
            await publisher.publish("b", message_id="b")

    play(body)
    assert notes.told[1:] == [("b", "not sent", 0, "the publisher was closed")]
