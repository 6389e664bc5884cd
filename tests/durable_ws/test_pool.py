"""The pool of the publisher for threads before a broker that is only played: its window, its wake-ups, its ends."""

from __future__ import annotations

import errno
import gc
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

import durable_ws.pool
from durable_ws import Exchange, InvalidState, NotSent, OutcomeUnknown, Publisher, Receipt
from durable_ws.loop import Loop
from durable_ws.pool import Pool
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker
from tests.durable_ws.observers import Outcomes, log_is_written

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Wait

Make = Callable[..., Publisher]

LONG_S = 1000.0


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    """It answers all but the messages; those are acked by the test."""
    with FakeBroker(confirms=False) as broker:
        yield broker


@pytest.fixture
def make(broker: FakeBroker) -> Iterator[Make]:
    """Make publishers, which are closed in the end."""
    made: list[Publisher] = []

    def make(url: str = broker.url, **options: Any) -> Publisher:
        options = {"timeout": WAIT_S, "reconnect_first_s": 0.02, "reconnect_most_s": 0.1, **options}
        made.append(Publisher(url, {"pubsub": Exchange("x")}, **options))
        return made[-1]

    yield make
    for publisher in made:
        publisher._close_timeout_s = 0.0
        publisher.close()


def written(broker: FakeBroker, count: int) -> None:
    """Wait until so many messages were written."""
    broker.wait(lambda: len(broker.of(commands.Basic.Publish)) >= count, f"{count} messages are written")


def ack(broker: FakeBroker, tag: int, *, multiple: bool = False) -> None:
    """Confirm what was written on the latest connection."""
    written(broker, tag)
    broker.talks[-1].say(1, commands.Basic.Ack(tag, multiple))


def pool_of(publisher: Publisher) -> Pool:
    """It has one once it has published."""
    assert publisher._pool is not None
    return publisher._pool


def in_thread(call: Callable[[], object]) -> threading.Thread:
    """Start it."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def joined(*threads: threading.Thread) -> bool:
    """Whether they have ended, soon."""
    for thread in threads:
        thread.join(WAIT_S)
    return not any(thread.is_alive() for thread in threads)


# --- the window -----------------------------------------------------------------------------------


def test_what_is_under_way_is_counted(broker: FakeBroker, make: Make, wait: Wait) -> None:
    """From the call to the outcome, over any number of rounds."""
    publisher = make()
    for round_ in range(3):
        futures = [publisher.submit("a") for _ in range(3)]
        assert publisher.health().under_way == 3
        ack(broker, round_ * 3 + 1)
        assert futures[0].result(WAIT_S).attempts == 1
        wait(lambda: publisher.health().under_way == 2, "one has left")
        ack(broker, round_ * 3 + 3, multiple=True)
        assert [future.result(WAIT_S).routed for future in futures] == [True] * 3
        wait(lambda: publisher.health().under_way == 0, "all have left")


def test_the_window_counts_bytes_to_the_last(
    broker: FakeBroker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    """What fits exactly is taken in, and not a byte more, also after others have come and gone."""
    monkeypatch.setattr(durable_ws.pool, "WINDOW_BYTES", 1000)
    publisher = make()
    for tag in (1, 2):
        publisher.submit(b"x" * 5000)
        ack(broker, tag)
        wait(lambda: publisher.health().under_way == 0, "it has left")
    for size in (300, 299):
        publisher.submit(b"x" * size, timeout=LONG_S)  # so that no deadline makes room
    with pytest.raises(NotSent, match="full window"):
        publisher.publish(b"x" * 402, timeout=0.05)
    exact = publisher.submit(b"x" * 401)
    ack(broker, 5, multiple=True)
    assert exact.result(WAIT_S).attempts == 1
    wait(lambda: publisher.health().under_way == 0, "all have left")
    wait(lambda: not pool_of(publisher)._under_way_bytes, "and so have their bytes")


def test_a_full_window_waits_until_the_deadline(broker: FakeBroker, make: Make) -> None:
    """No longer and no less; then it says so to the caller and the observer, and nobody waits any more."""
    notes = Outcomes()
    publisher = make(window=2, observer=notes)
    under_way = [publisher.submit("a", message_id="a"), publisher.submit("b", message_id="b")]
    for put in (publisher.publish, lambda *a, **o: publisher.submit(*a, **o).result(0)):
        before = time.monotonic()
        with pytest.raises(NotSent, match=r"^message late: not sent: the deadline passed in a full window$") as caught:
            put("late", timeout=0.1, message_id="late")
        assert time.monotonic() - before >= 0.1
        assert caught.value.attempts == 0
    assert len(pool_of(publisher)._waiters) == 0
    ack(broker, 2, multiple=True)
    assert [future.result(WAIT_S).attempts for future in under_way] == [1, 1]
    publisher._close_timeout_s = WAIT_S
    publisher.close()
    late = ("late", "not sent", 0, "the deadline passed in a full window")
    assert notes.told == [late, late, ("a", "confirmed", 1, ""), ("b", "confirmed", 1, "")]
    assert all(0 < latency_s < WAIT_S for latency_s in notes.latencies)
    assert notes.latencies[0] >= 0.1


def test_who_waits_is_woken(broker: FakeBroker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """As many as there is room for, each once and at once, without looking by itself."""
    monkeypatch.setattr(durable_ws.pool, "_LOOK_AGAIN_S", LONG_S)
    waits: list[int] = []
    wait_for_room = Pool._wait_for_room

    def note(pool: Pool, size: int, timeout_s: float) -> None:
        waits.append(size)
        wait_for_room(pool, size, timeout_s)

    looks: list[None] = []  # in vain
    admits = Pool._admits

    def look(pool: Pool, size: int) -> bool:
        admitted = admits(pool, size)
        if not admitted:
            looks.append(None)
        return admitted

    monkeypatch.setattr(Pool, "_wait_for_room", note)
    monkeypatch.setattr(Pool, "_admits", look)
    publisher = make(window=2, max_connections=1)
    futures = [publisher.submit("a"), publisher.submit("a")]
    receipts: list[Receipt] = []
    threads = [in_thread(lambda: receipts.append(publisher.publish("b"))) for _ in range(4)]
    wait(lambda: len(looks) == 2 * 4, "they have looked for room, once more as they begin to wait, and wait")
    ack(broker, 1)
    written(broker, 3)
    assert len(pool_of(publisher)._waiters) == 3
    for tag in (3, 5, 6):
        ack(broker, tag, multiple=True)
    assert joined(*threads)
    assert [receipt.attempts for receipt in receipts] == [1] * 4
    assert len(waits) == 4, "nobody was woken in vain"
    assert all(future.result(0).routed for future in futures)
    assert len(pool_of(publisher)._waiters) == 0


def test_a_wake_up_that_was_lost(broker: FakeBroker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """As by Ctrl-C in the midst of it: who waits looks by itself after a while."""
    monkeypatch.setattr(durable_ws.pool, "_LOOK_AGAIN_S", 0.2)
    publisher = make(window=1, max_connections=1)
    publisher.submit("a")
    waiting = in_thread(lambda: publisher.publish("b"))
    wait(lambda: pool_of(publisher)._waiters, "it waits")
    pool_of(publisher)._waiters.clear()
    ack(broker, 1)
    ack(broker, 2)
    assert joined(waiting)


def test_who_need_not_wait_does_not(
    broker: FakeBroker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    """Where room came, or the end, between looking for room and beginning to wait for it."""
    monkeypatch.setattr(durable_ws.pool, "_LOOK_AGAIN_S", LONG_S)
    publisher = make(window=1)
    publisher.submit("a")
    ack(broker, 1)
    wait(lambda: publisher.health().under_way == 0, "there is room")
    pool = pool_of(publisher)
    room = in_thread(lambda: pool._wait_for_room(1, LONG_S))
    assert joined(room)
    publisher.submit("b")
    pool._closing = True
    end = in_thread(lambda: pool._wait_for_room(1, LONG_S))
    assert joined(end)
    assert len(pool._waiters) == 0


def test_ctrl_c_in_a_full_window(broker: FakeBroker, make: Make, wait: Wait) -> None:
    """It comes through; the observer hears that the message was never sent."""
    notes = Outcomes()
    publisher = make(window=1, observer=notes)
    publisher.submit("a", message_id="a")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        wait(lambda: pool_of(publisher)._waiters, "it waits")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    helper = in_thread(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            publisher.publish("b", message_id="b")
    finally:
        joined(helper)
        signal.signal(signal.SIGINT, before)
    assert notes.told == [("b", "not sent", 0, "the call was interrupted in a full window")]
    assert len(pool_of(publisher)._waiters) == 0
    assert publisher.health().under_way == 1
    ack(broker, 1)


def test_a_reserve_is_taken_in_and_waits_for_its_turn(broker: FakeBroker, make: Make, wait: Wait) -> None:
    """A quarter of the window: it is not written before there are confirms, and then without the callers' help."""
    publisher = make(window=8, max_connections=1)
    futures = [publisher.submit("a") for _ in range(10)]
    eleventh = in_thread(lambda: futures.append(publisher.submit("late")))
    wait(lambda: len(pool_of(publisher)._waiters) == 1, "the eleventh waits")
    written(broker, 8)
    assert len(broker.of(commands.Basic.Publish)) == 8
    ack(broker, 1)
    assert joined(eleventh)
    written(broker, 9)
    assert len(broker.of(commands.Basic.Publish)) == 9
    ack(broker, 9, multiple=True)
    ack(broker, 11, multiple=True)
    assert [future.result(WAIT_S).attempts for future in futures] == [1] * 11


# --- wake-ups of the I/O thread -------------------------------------------------------------------


def test_one_wake_up_for_all_that_comes_meanwhile(
    broker: FakeBroker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    """While the I/O thread is busy it is called once, whatever is submitted; and again for what comes later."""
    publisher = make()
    publisher.submit("first")
    ack(broker, 1)
    wait(lambda: publisher.health().under_way == 0, "it is confirmed")
    pool = pool_of(publisher)
    busy, go_on, calls = threading.Event(), threading.Event(), []
    pool._loop.call_soon_threadsafe(lambda: (busy.set(), go_on.wait(WAIT_S)))
    assert busy.wait(WAIT_S)
    wake = pool._waker.wake
    monkeypatch.setattr(pool._waker, "wake", lambda: (calls.append(None), wake()))
    futures = [publisher.submit("a") for _ in range(5)]
    go_on.set()
    ack(broker, 6, multiple=True)
    assert [future.result(WAIT_S).attempts for future in futures] == [1] * 5
    assert len(calls) == 1
    last = publisher.submit("last")
    ack(broker, 7)
    assert last.result(WAIT_S).attempts == 1
    assert len(calls) == 2


@pytest.fixture
def publisher(broker: FakeBroker, make: Make) -> Publisher:
    """One that is connected, to a broker that confirms."""
    publisher = make()
    broker.confirms = True
    publisher.publish("first")
    return publisher


def test_who_calls_the_io_thread_holds_nobody_up(
    broker: FakeBroker, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is amid the call has no lock: others are served meanwhile, and so is its own message."""
    pool = pool_of(publisher)
    wake, amid, go_on = pool._waker.wake, threading.Event(), threading.Event()

    def hang() -> None:
        monkeypatch.setattr(pool._waker, "wake", wake)
        amid.set()
        assert go_on.wait(WAIT_S)

    monkeypatch.setattr(pool._waker, "wake", hang)
    hanging = in_thread(lambda: publisher.publish("a"))
    assert amid.wait(WAIT_S)
    assert publisher.publish("b").attempts == 1
    broker.wait(lambda: len(broker.of(commands.Basic.Publish)) == 3, "both are written")
    go_on.set()
    assert joined(hanging)


def test_a_signal_handler_publishes_amid_a_call_of_the_io_thread(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message does not rely on the call that it has interrupted, and which comes later."""
    pool = pool_of(publisher)
    wake, receipts = pool._waker.wake, []

    def interrupted() -> None:
        monkeypatch.setattr(pool._waker, "wake", wake)
        receipts.append(publisher.publish("by the handler"))
        wake()

    monkeypatch.setattr(pool._waker, "wake", interrupted)
    receipts.append(publisher.publish("a"))
    assert [receipt.attempts for receipt in receipts] == [1, 1]


@pytest.mark.parametrize("window", [1, 1000])
def test_an_interrupted_call_of_the_io_thread_is_made_by_who_comes_next(
    broker: FakeBroker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait, window: int
) -> None:
    """Ctrl-C before the I/O thread was called: the message goes out with the next one, though it fills the window."""
    publisher = make(window=window)
    broker.confirms = True
    publisher.publish("first")
    pool = pool_of(publisher)
    wait(lambda: publisher.health().under_way == 0, "it is counted off")
    wake = pool._waker.wake

    def interrupted() -> None:
        monkeypatch.setattr(pool._waker, "wake", wake)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool._waker, "wake", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publisher.publish("a")
    assert publisher.publish("b").attempts == 1
    assert len(broker.of(commands.Basic.Publish)) == 3
    wait(lambda: publisher.health().under_way == 0, "both are counted off")


def test_who_has_put_something_in_before_the_io_thread_has_ended(
    broker: FakeBroker, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And calls it afterwards: it was taken in, and nobody is told twice."""
    notes = Outcomes()
    publisher = make(observer=notes)
    broker.confirms = True
    publisher.publish("first")
    pool = pool_of(publisher)
    monkeypatch.setattr(pool._waker, "wake", publisher.close)
    assert publisher.submit("a").result(0).attempts == 1
    assert not pool._thread.is_alive()
    assert [told[1:] for told in notes.told] == [("confirmed", 1, "")] * 2


def test_who_puts_something_in_when_the_io_thread_has_ended(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that holds the lock for longer than the end waits for it, as in a signal handler, is told by itself."""
    pool = pool_of(publisher)

    def too_late(_: int) -> bool:
        pool.stop_soon()
        pool._thread.join(WAIT_S)
        return True

    monkeypatch.setattr(pool, "_admits", too_late)
    future = publisher.submit("a")
    with pytest.raises(NotSent, match="the publisher's I/O thread has ended"):
        future.result(0)
    assert not pool._inbox


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_signal_handler_that_raises_amid_close(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Its error comes out, whatever it is, and the next close ends the I/O thread."""
    pool = pool_of(publisher)
    tell = pool._loop.call_soon_threadsafe

    def interrupted(*_: object) -> None:
        monkeypatch.setattr(pool._loop, "call_soon_threadsafe", tell)
        raise error

    monkeypatch.setattr(pool._loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(error):
        publisher.close()
    publisher.close()
    assert not pool._thread.is_alive()
    publisher.close()


OPEN_FILES = Path("/proc/self/fd")


def fail_to_start(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """No thread of that name can be started."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == name:
            raise error
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)


@pytest.mark.parametrize("name", ["durable_ws", "durable_ws log"])
@pytest.mark.parametrize("text", ["can't start new thread", "can't create new thread at interpreter shutdown"])
def test_there_are_no_more_threads(
    make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait, name: str, text: str
) -> None:
    """Neither a thread nor a descriptor is left, and the next publish tries anew."""
    threads, descriptors = set(threading.enumerate()), len(list(OPEN_FILES.iterdir()))
    publisher = make()
    with monkeypatch.context() as patch:
        fail_to_start(patch, name, RuntimeError(text))
        for _ in range(2):
            with pytest.raises(RuntimeError, match=text):
                publisher.publish("a")
        wait(lambda: set(threading.enumerate()) <= threads, "the log's threads have ended")
        assert len(list(OPEN_FILES.iterdir())) <= descriptors
    publisher.submit("a")
    assert pool_of(publisher)._thread.is_alive()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_as_the_io_thread_starts(
    make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait, error: type[BaseException]
) -> None:
    """By a signal handler: it may have begun, and is told to end; the next publish tries anew."""
    threads, pools = set(threading.enumerate()), list[Pool]()
    start, stop = threading.Thread.start, Pool.stop_soon

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "durable_ws":
            raise error

    def noted(pool: Pool) -> None:
        pools.append(pool)
        stop(pool)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    monkeypatch.setattr(Pool, "stop_soon", noted)
    publisher = make()
    for count in (1, 2):
        with pytest.raises(error):
            publisher.publish("a")
        assert len(pools) == count
    wait(lambda: set(threading.enumerate()) <= threads, "all have ended")
    assert all(pool._loop.is_closed() for pool in pools)


def test_interrupted_as_the_logs_thread_starts(make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """It ends, too."""
    threads, start = set(threading.enumerate()), threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "durable_ws log":
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make().publish("a")
    wait(lambda: set(threading.enumerate()) <= threads, "it has ended")


def test_too_many_files_for_an_io_thread(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's error comes out, and nothing is left: no thread, and no loop that was not closed."""
    threads, loops = set(threading.enumerate()), list[Loop]()

    def fail(loop: Loop, _: object) -> None:
        loops.append(loop)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("durable_ws.pool.Waker", fail)
    with pytest.raises(OSError, match="Too many open files"):
        make().publish("a")
    assert set(threading.enumerate()) <= threads
    assert [loop.is_closed() for loop in loops] == [True]


def test_a_lock_that_is_held_does_not_stop_the_io_thread(broker: FakeBroker, make: Make, wait: Wait) -> None:
    """As by a signal handler that publishes from within a publish: its message goes out, and is counted off later."""
    publisher = make(window=2)
    publisher.submit("first")
    ack(broker, 1)
    wait(lambda: publisher.health().under_way == 0, "it is confirmed")
    pool = pool_of(publisher)
    with pool._lock:
        for tag in (2, 3):
            future = publisher.submit("a")
            ack(broker, tag)
            assert future.result(WAIT_S).attempts == 1
        assert publisher.health().under_way == 2, "nobody counts while the lock is held"
    wait(lambda: publisher.health().under_way == 0, "they are counted off")
    wait(lambda: not pool._under_way_bytes, "and so are their bytes")
    futures = [publisher.submit("b"), publisher.submit("b")]
    ack(broker, 5, multiple=True)
    assert [one.result(WAIT_S).attempts for one in futures] == [1, 1]
    wait(lambda: publisher.health().under_way == 0, "they are counted off")


def test_a_callback_may_publish_in_a_full_window(broker: FakeBroker, make: Make) -> None:
    """On the I/O thread nothing waits for room: nobody else could make it."""
    publisher = make(window=1)
    broker.confirms = True
    more: list[Any] = []
    came = threading.Event()

    def publish_more(_: object) -> None:
        more.extend(publisher.submit("more") for _ in range(3))
        came.set()

    publisher.submit("a").add_done_callback(publish_more)
    assert came.wait(WAIT_S)
    assert [future.result(WAIT_S).attempts for future in more] == [1] * 3


def test_a_future_can_not_be_cancelled(broker: FakeBroker, make: Make) -> None:
    """What may be written has an outcome, and that is told."""
    future = make().submit("a")
    assert not future.cancel()
    ack(broker, 1)
    assert future.result(WAIT_S).attempts == 1
    assert not future.cancelled()


# --- connections ----------------------------------------------------------------------------------


def test_each_thread_keeps_to_one_connection(broker: FakeBroker, make: Make) -> None:
    """Two threads with half of the window each have one each; what one of them has under way stays together."""
    publisher = make(window=4, max_connections=2)
    done = threading.Event()

    def work() -> None:
        for _ in range(2):
            publisher.submit("a")
        done.wait(WAIT_S)  # else the next thread may have its number

    threads = []
    for count in (2, 4):
        threads.append(in_thread(work))
        written(broker, count)
    broker.wait(lambda: [len(talk.of(commands.Basic.Publish)) for talk in broker.talks] == [2, 2], "two on each")
    assert publisher.health().connections == 2
    for talk in broker.talks:
        talk.say(1, commands.Basic.Ack(2, True))
    done.set()
    assert joined(*threads)


def test_each_call_keeps_to_one_connection(broker: FakeBroker, make: Make) -> None:
    """The same for ``publish``."""
    publisher = make(window=2, max_connections=2)
    threads = [in_thread(lambda: publisher.publish("a")) for _ in range(2)]
    broker.wait(lambda: [len(talk.of(commands.Basic.Publish)) for talk in broker.talks] == [1, 1], "one on each")
    for talk in broker.talks:
        talk.say(1, commands.Basic.Ack(1))
    assert joined(*threads)


def test_its_thread_holds_nothing_up(make: Make) -> None:
    """It has a name that tells whose it is, and an interpreter that ends does not wait for it."""
    publisher = make()
    publisher.submit("a")
    thread = pool_of(publisher)._thread
    assert thread.daemon
    assert thread.name == "durable_ws"


# --- the end --------------------------------------------------------------------------------------


def test_close_waits_for_the_confirm(broker: FakeBroker, make: Make, wait: Wait) -> None:
    """Not shorter, and no longer."""
    publisher = make(close_timeout_s=LONG_S)
    futures = [publisher.submit("a"), publisher.submit("b")]
    written(broker, 2)
    closing = in_thread(publisher.close)
    wait(lambda: pool_of(publisher)._closing, "close has begun")
    ack(broker, 1)
    futures[0].result(WAIT_S)
    assert closing.is_alive()
    assert publisher.health().closed
    ack(broker, 2)
    assert joined(closing)
    assert futures[1].result(0).attempts == 1
    broker.wait(lambda: len(broker.of(commands.Connection.Close)) == 1, "the end in order")
    with pytest.raises(InvalidState):
        publisher.publish("c")


def test_close_takes_in_what_was_let_in(broker: FakeBroker, make: Make, wait: Wait) -> None:
    """Though the I/O thread hears of the end before it hears of the message."""
    publisher = make()
    publisher.submit("first")
    ack(broker, 1)
    pool = pool_of(publisher)
    wait(lambda: publisher.health().under_way == 0, "it is confirmed")
    with pool._lock:
        pool._woken_for = pool._turn  # as if it had been woken, and not yet come to it
        future = publisher.submit("a")
    publisher._close_timeout_s = WAIT_S
    closing = in_thread(publisher.close)
    ack(broker, 2)
    assert joined(closing)
    assert future.result(0).attempts == 1


def test_close_gives_up(broker: FakeBroker, make: Make) -> None:
    """After its time, with what is known: unknown for what was written."""
    notes = Outcomes()
    publisher = make(close_timeout_s=0.2, observer=notes)
    future = publisher.submit("a", message_id="m")
    written(broker, 1)
    before = time.monotonic()
    publisher.close()
    assert time.monotonic() - before >= 0.2
    with pytest.raises(OutcomeUnknown, match=r"^message m: outcome unknown.*the publisher was closed") as caught:
        future.result(0)
    assert caught.value.attempts == 1
    assert notes.told == [("m", "unknown", 1, "the publisher was closed")]


def test_a_second_close_may_have_less_patience(broker: FakeBroker, make: Make, wait: Wait) -> None:
    """As an interpreter that ends after Ctrl-C has ended a close: it does not wait for as long as that would have."""
    publisher = make(close_timeout_s=LONG_S)
    future = publisher.submit("a")
    written(broker, 1)
    closing = in_thread(publisher.close)
    wait(lambda: pool_of(publisher)._stopping.is_set(), "close has begun")
    publisher._end(0.1)
    assert joined(closing)
    with pytest.raises(OutcomeUnknown, match="the publisher was closed"):
        future.result(0)


def test_a_second_close_may_not_have_more(broker: FakeBroker, make: Make, wait: Wait) -> None:
    """The first has told when it ends."""
    publisher = make(close_timeout_s=0.2)
    publisher.submit("a")
    written(broker, 1)
    closing = in_thread(publisher.close)
    wait(lambda: pool_of(publisher)._stopping.is_set(), "close has begun")
    later = in_thread(lambda: publisher._end(LONG_S))
    assert joined(closing, later)


def test_close_ends_the_wait_for_room(
    broker: FakeBroker, make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    """All that wait are told at once, and the observer with them."""
    monkeypatch.setattr(durable_ws.pool, "_LOOK_AGAIN_S", LONG_S)
    notes = Outcomes()
    publisher = make(window=1, close_timeout_s=LONG_S, observer=notes)
    publisher.submit("a", message_id="a")
    errors: list[str] = []

    def publish(message_id: str) -> None:
        with pytest.raises(NotSent) as caught:
            publisher.publish("b", message_id=message_id)
        errors.append(str(caught.value))

    threads = [in_thread(lambda n=n: publish(f"b{n}")) for n in range(3)]  # type: ignore[misc]
    wait(lambda: len(pool_of(publisher)._waiters) == 3, "they wait")
    closing = in_thread(publisher.close)
    assert joined(*threads)
    assert closing.is_alive()
    assert sorted(errors) == [f"message b{n}: not sent: the publisher was closed" for n in range(3)]
    assert sorted(notes.told) == [(f"b{n}", "not sent", 0, "the publisher was closed") for n in range(3)]
    ack(broker, 1)
    assert joined(closing)
    assert notes.told[-1] == ("a", "confirmed", 1, "")


def test_a_callback_may_close(broker: FakeBroker, make: Make) -> None:
    """On the I/O thread, close does not wait for itself; another waits for the end of the thread."""
    broker.confirms = True
    publisher = make()
    closed = threading.Event()
    publisher.submit("a").add_done_callback(lambda _: (publisher.close(), closed.set()))
    assert closed.wait(WAIT_S)
    publisher._close_timeout_s = WAIT_S
    publisher.close()
    pool = pool_of(publisher)
    assert not pool._thread.is_alive()
    assert pool._loop.is_closed()


def test_a_forgotten_publisher(broker: FakeBroker) -> None:
    """It warns; what is under way is given up, and who waits for it is told."""
    publisher = Publisher(broker.url, {"pubsub": Exchange("x")}, timeout=LONG_S)
    future = publisher.submit("a")
    written(broker, 1)
    pool = pool_of(publisher)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del publisher
        gc.collect()
    assert pool._close_by <= time.monotonic(), "without waiting for what is under way"
    assert [str(one.message) for one in caught if "was not closed" in str(one.message)]
    with pytest.raises(OutcomeUnknown, match="the publisher was closed"):
        future.result(WAIT_S)
    assert joined(pool._thread)


def test_a_callback_that_fails(broker: FakeBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The connection is begun anew, and what was unconfirmed is published again; the log has the error."""
    publisher = make()
    future = publisher.submit("a")
    written(broker, 1)
    broker.confirms = True

    def fail() -> None:
        raise ZeroDivisionError("inside")

    pool_of(publisher)._loop.call_soon_threadsafe(fail)
    assert future.result(WAIT_S).attempts == 2
    assert publisher.health().trouble == "an internal error, see the log"
    assert log_is_written(publisher)
    (record,) = [record for record in caplog.records if record.name == "durable_ws.pool"]
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("durable_ws: Exception in callback")
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_io_thread_that_ends(
    make: Make, closed_port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wait: Wait
) -> None:
    """Whatever ended it, nobody waits for ever: what is under way, not yet taken in, in the window, or comes later."""
    monkeypatch.setattr(durable_ws.pool, "_LOOK_AGAIN_S", LONG_S)
    notes = Outcomes()
    url = f"amqp://127.0.0.1:{closed_port}"
    publisher = make(url, window=2, observer=notes, reconnect_first_s=LONG_S, reconnect_most_s=LONG_S)
    under_way = publisher.submit("a", message_id="under way")
    wait(lambda: publisher.health().trouble, "it can't connect")
    pool = pool_of(publisher)
    busy, go_on = threading.Event(), threading.Event()

    def stop() -> None:
        busy.set()
        go_on.wait(WAIT_S)
        pool._loop.stop()

    pool._loop.call_soon_threadsafe(stop)
    assert busy.wait(WAIT_S)
    inbox = publisher.submit("b", message_id="inbox")
    late: list[str] = []

    def publish() -> None:
        with pytest.raises(NotSent) as caught:
            publisher.publish("c", message_id="window")
        late.append(str(caught.value))

    waiting = in_thread(publish)
    wait(lambda: pool._waiters, "it waits")
    go_on.set()
    with pytest.raises(OutcomeUnknown, match="the publisher's I/O thread has ended") as caught:
        under_way.result(WAIT_S)
    assert caught.value.attempts == 1
    with pytest.raises(NotSent, match=r"^message inbox: not sent: the publisher's I/O thread has ended$"):
        inbox.result(WAIT_S)
    assert joined(waiting, pool._thread)
    assert late == ["message window: not sent: the publisher was closed"]
    with pytest.raises(NotSent, match="the publisher was closed"):
        publisher.publish("d", message_id="later")
    assert sorted(notes.told) == [
        ("inbox", "not sent", 0, "the publisher's I/O thread has ended"),
        ("later", "not sent", 0, "the publisher was closed"),
        ("under way", "unknown", 1, "the publisher's I/O thread has ended"),
        ("window", "not sent", 0, "the publisher was closed"),
    ]
    publisher.close()
    assert joined(pool._scribe._thread)
    (record,) = [record for record in caplog.records if record.name == "durable_ws.pool"]
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "the I/O thread of durable_ws ended")
    assert record.exc_info is not None
    assert record.exc_info[0] is not None, "with what has ended it"
