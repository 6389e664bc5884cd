"""The end of a publisher: what is in flight, what is refused afterwards, and that nothing is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from durable_ws import Exchange, InvalidState, NotSent, OutcomeUnknown, Publisher
from tests.durable_ws.fake_broker import FakeBroker, Frame, Talk

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues, Wait

pytestmark = pytest.mark.broker


def open_sockets() -> set[str]:
    """The sockets, pipes and pollers that this process holds."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{descriptor.name} {os.readlink(descriptor)}")  # noqa: PTH115
        except OSError:
            continue  # the one that listed the folder
    return {one for one in found if any(kind in one for kind in ("socket:", "pipe:", "eventpoll"))}


def test_close_waits_for_what_is_in_flight(
    make_publisher: MakePublisher, link: Link, wait: Wait, queues: Queues, queue: str
) -> None:
    """While the confirm is held up close does not return; then the message is confirmed to its caller."""
    publisher = make_publisher(link.url)
    publisher.publish("a")
    with link.fault("stall") as active:
        future = publisher.submit("b")
        assert active.wait_fired(20.0)
        closing = threading.Thread(target=publisher.close)
        closing.start()
        wait(lambda: publisher._pool is not None and publisher._pool._closing, "close has begun")
        closing.join(0.1)
        assert closing.is_alive()
        assert not future.done()
    closing.join()
    assert future.done()
    assert future.result().routed
    assert [got.body for got in queues.take(queue)] == [b"a", b"b"]


def test_close_waits_for_a_reconnect(make_publisher: MakePublisher, link: Link, queues: Queues, queue: str) -> None:
    """What must be published again for a lost connection is in flight too."""
    publisher = make_publisher(link.url)
    with link.fault("cut_before_publish", down=False) as active:
        futures = [publisher.submit({"n": n}) for n in range(50)]
        publisher.close()
        assert active.fired
    assert all(future.done() and future.result().routed for future in futures)
    assert len({got.body for got in queues.take(queue)}) == 50


def test_close_gives_up_after_its_timeout(make_publisher: MakePublisher, link: Link) -> None:
    """Then every caller is told what is known: unknown for what was written, not sent for the rest."""
    publisher = make_publisher(link.url, window=2, close_timeout_s=0.3)
    publisher.publish("a")
    with link.fault("blackhole", new_connections="blackhole"):
        written = publisher.submit("b")
        before = time.monotonic()
        publisher.close()
        spent = time.monotonic() - before
        with pytest.raises(OutcomeUnknown, match="the publisher was closed"):
            written.result(0)
    assert 0.3 <= spent < 15.0


def test_close_while_nothing_answers(make_publisher: MakePublisher, link: Link) -> None:
    """A connection that is just being made does not hold it up."""
    publisher = make_publisher(link.url, close_timeout_s=0.2, connect_timeout_s=60.0)
    with link.fault("blackhole", new_connections="blackhole") as active:
        future = publisher.submit("a")
        assert active.wait_fired(20.0)
        before = time.monotonic()
        publisher.close()
        spent = time.monotonic() - before
    assert spent < 15.0
    with pytest.raises(NotSent, match="the publisher was closed"):
        future.result(0)


def test_close_ends_those_that_wait_in_a_full_window(make_publisher: MakePublisher, link: Link, wait: Wait) -> None:
    """They are told at once that it was closed, and so not sent."""
    publisher = make_publisher(link.url, window=1)
    publisher.publish("a")
    errors: list[BaseException] = []

    def publish() -> None:
        try:
            publisher.publish("c")
        except NotSent as exc:
            errors.append(exc)

    with link.fault("stall") as active:
        publisher.submit("b")
        assert active.wait_fired(20.0)
        waiting = threading.Thread(target=publish)
        waiting.start()
        wait(lambda: publisher._pool is not None and publisher._pool._waiters, "it waits in the window")
        closing = threading.Thread(target=publisher.close)
        closing.start()
        waiting.join(10.0)
        assert not waiting.is_alive(), "long before its own deadline"
        assert closing.is_alive()
    closing.join()
    assert [str(error).partition(": ")[2] for error in errors] == ["not sent: the publisher was closed"]


def test_publish_after_close(publisher: Publisher) -> None:
    """It says what to do, whether or not there ever was a connection."""
    publisher.publish("a")
    publisher.close()
    for call in (publisher.publish, publisher.submit):
        with pytest.raises(InvalidState, match=r"^the publisher is closed: make a new one$"):
            call("b")
    assert publisher.batch().outcomes == ()


def test_close_is_idempotent(url: str, exchange: Exchange) -> None:
    """Again, before the first message, from several threads at once, and after the ``with``."""
    never_used = Publisher(url, {"pubsub": exchange})
    never_used.close()
    never_used.close()
    with pytest.raises(InvalidState):
        never_used.publish("a")
    with Publisher(url, {"pubsub": exchange}) as publisher:
        publisher.publish("a")
        threads = [threading.Thread(target=publisher.close) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    publisher.close()


def test_a_with_that_raises_closes(url: str, exchange: Exchange) -> None:
    """And lets the error through."""
    publisher = Publisher(url, {"pubsub": exchange})

    def use() -> None:
        with publisher:
            publisher.publish("a")
            raise LookupError("mine")

    with pytest.raises(LookupError):
        use()
    with pytest.raises(InvalidState):
        publisher.publish("b")


def test_a_callback_may_close(publisher: Publisher) -> None:
    """On the I/O thread, close does not wait for itself."""
    closed = threading.Event()

    def close(_: object) -> None:
        publisher.close()
        closed.set()

    publisher.submit("a").add_done_callback(close)
    assert closed.wait(20.0)
    publisher.close()


def test_a_submit_in_the_midst_of_a_close(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has been let in is served, even if close comes before the I/O thread has been woken."""
    publisher.publish("a")
    pool = publisher._pool
    assert pool is not None
    wake = pool._waker.wake
    closing = threading.Thread(target=publisher.close)

    def close_first() -> None:
        closing.start()
        closing.join(0.2)
        wake()

    monkeypatch.setattr(pool._waker, "wake", close_first)
    future = publisher.submit("b")
    closing.join()
    assert future.result(0).attempts == 1


@pytest.mark.parametrize("way", ["quiet", "cut", "refused", "unreachable"])
def test_nothing_is_left(  # noqa: PLR0913, RUF100
    url: str, exchange: Exchange, link: Link, caplog: pytest.LogCaptureFixture, wait: Wait, way: str
) -> None:
    """No thread, no socket, no pipe, no task, and no word in the log, whatever the publisher went through."""
    address = {
        "cut": link.url,
        "refused": url.replace("guest:guest", "guest:wrong"),
        "unreachable": "amqp://127.0.0.1:1",
    }
    threads, sockets = set(threading.enumerate()), open_sockets()
    publisher = Publisher(address.get(way, url), {"pubsub": exchange}, timeout=0.3 if way == "unreachable" else 20.0)
    if way in ("refused", "unreachable"):
        with pytest.raises(NotSent):
            publisher.publish("a")
    else:
        publisher.publish_many([{"n": n} for n in range(50)])
    if way == "cut":
        with link.fault("cut_before_confirm", down=False):
            publisher.publish("again")
    pool = publisher._pool
    assert pool is not None
    assert set(threading.enumerate()) - threads
    publisher.close()
    assert not pool._thread.is_alive()
    wait(lambda: set(threading.enumerate()) <= threads, "the log's thread has ended")
    assert asyncio.all_tasks(pool._loop) == set()
    assert pool._loop.is_closed()
    wait(lambda: not link.proxy.connections, "the proxy has seen the end")
    del publisher, pool
    gc.collect()
    assert open_sockets() == sockets
    told = [record for record in caplog.records if not record.name.startswith(("pika", "durable_ws.connection"))]
    assert [record.getMessage() for record in told if record.levelno >= logging.WARNING] == []


def test_the_broker_sees_an_orderly_end(make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """close says connection.close to the broker and waits for its answer."""
    monkeypatch.setattr("durable_ws.links._LAST_WORD_S", 30.0)
    waits: list[bool] = []

    def answer_late(_talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Connection.Close):
            closing.join(0.2)
            waits.append(closing.is_alive())
        return False

    with FakeBroker(answer_late) as broker:
        publisher = make_publisher(broker.url)
        publisher.publish("a")
        closing = threading.Thread(target=publisher.close)
        closing.start()
        closing.join(30.0)
        assert not closing.is_alive()
        assert waits == [True], "for the answer"
        assert [one.reply_code for one in broker.of(commands.Connection.Close)] == [200]
        assert len(broker.talks) == 1
        assert broker.talks[0].ended.wait(30.0)


def test_a_forgotten_publisher_warns_and_ends(url: str, exchange: Exchange, wait: Wait) -> None:
    """A publisher that is collected without close tells so, and its thread and connection end by themselves."""
    threads = set(threading.enumerate())
    publisher = Publisher(url, {"pubsub": exchange})
    publisher.publish("a")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del publisher
        gc.collect()
    assert [str(warning.message) for warning in caught if "was not closed" in str(warning.message)]
    assert {warning.category for warning in caught} == {ResourceWarning}
    wait(lambda: set(threading.enumerate()) <= threads, "the thread has ended")


def test_a_resolver_that_hangs_does_not_hold_up(
    make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A name server that does not answer: NotSent at the deadline, close at once, and quiet when it answers at last."""
    asked, answer = threading.Event(), threading.Event()

    def getaddrinfo(*_: object) -> object:
        asked.set()
        answer.wait(20.0)
        raise socket.gaierror(-2, "too late")

    monkeypatch.setattr("durable_ws.loop.socket.getaddrinfo", getaddrinfo)
    publisher = make_publisher("amqp://broker.example", connect_timeout_s=5.0)
    with pytest.raises(NotSent, match="the deadline passed without a connection"):
        publisher.publish("a", timeout=0.2)
    assert asked.wait(20.0)
    before = time.monotonic()
    publisher.close()
    assert time.monotonic() - before < 15.0
    answer.set()
    for thread in threading.enumerate():
        if thread.name == "durable_ws resolver":
            assert thread.daemon
            thread.join()
    gc.collect()
    told = [record for record in caplog.records if not record.name.startswith(("pika", "durable_ws.connection"))]
    assert [record.getMessage() for record in told if record.levelno >= logging.WARNING] == []


def test_an_interpreter_that_starts_no_more_threads(
    make_publisher: MakePublisher, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Python 3.12 does once it ends: who connects only then finds the broker all the same."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "durable_ws resolver":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert make_publisher(url).publish("a", timeout=20.0).attempts == 1


def test_an_io_thread_that_breaks(publisher: Publisher, link: Link, make_publisher: MakePublisher) -> None:
    """Nobody waits for ever, whatever goes wrong inside: a callback that fails begins the connections anew."""
    broken = make_publisher(link.url)
    broken.publish("a")
    pool = broken._pool
    assert pool is not None

    def fail() -> None:
        raise ZeroDivisionError("inside")

    with link.fault("stall") as active:
        future = broken.submit("b")
        assert active.wait_fired(20.0)
        pool._loop.call_soon_threadsafe(fail)
    assert future.result().attempts == 2
    assert publisher.publish("c").attempts == 1, "and no other publisher minds"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_io_thread_that_ends(make_publisher: MakePublisher, link: Link, wait: Wait) -> None:
    """Should even the loop end, everyone is told, and later calls do not hang."""
    broken = make_publisher(link.url, window=1, reconnect_first_s=60.0, reconnect_most_s=60.0)
    late: list[NotSent] = []

    def publish() -> None:
        try:
            broken.publish("b")
        except NotSent as exc:
            late.append(exc)

    with link.fault("refuse") as active:
        future = broken.submit("a")
        wait(lambda: active.counts.get("refused"), "it has tried")
        pool = broken._pool
        assert pool is not None
        waiting = threading.Thread(target=publish)
        waiting.start()
        wait(lambda: pool._waiters, "it waits in the window")
        wait(lambda: broken.health().trouble, "the pause before the next attempt")
        pool._loop.call_soon_threadsafe(pool._loop.stop)
        with pytest.raises(OutcomeUnknown, match="the publisher's I/O thread has ended"):
            future.result(20.0)
        waiting.join()
        assert len(late) == 1
        with pytest.raises(NotSent):
            broken.publish("c")
    broken.close()
