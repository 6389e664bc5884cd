"""Ctrl-C while a publish waits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues, Wait

pytestmark = pytest.mark.broker

CtrlC = Callable[[Callable[[], object]], None]


@pytest.fixture
def ctrl_c(wait: Wait) -> Iterator[CtrlC]:
    """Send SIGINT to the main thread once a condition holds."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    helpers = []

    def ctrl_c(condition: Callable[[], object]) -> None:
        def send() -> None:
            wait(condition, "the time for Ctrl-C")
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        helpers.append(threading.Thread(target=send))
        helpers[-1].start()

    yield ctrl_c
    for helper in helpers:
        helper.join()
    signal.signal(signal.SIGINT, before)


def test_while_waiting_for_a_confirm(
    make_publisher: MakePublisher, link: Link, queues: Queues, queue: str, ctrl_c: CtrlC
) -> None:
    """It comes through at once; the message is still under way, and the publisher goes on."""
    publisher = make_publisher(link.url)
    publisher.publish("a")
    with link.fault("stall") as active:
        ctrl_c(lambda: active.fired)
        with pytest.raises(KeyboardInterrupt):
            publisher.publish("b")
    assert publisher.publish("c").attempts == 1
    publisher.close()
    assert [got.body for got in queues.take(queue)] == [b"a", b"b", b"c"]


def test_while_waiting_in_a_full_window(
    make_publisher: MakePublisher, link: Link, queues: Queues, queue: str, ctrl_c: CtrlC
) -> None:
    """It comes through; the message was never taken in, and takes no room in the window."""
    publisher = make_publisher(link.url, window=1)
    publisher.publish("a")
    pool = publisher._pool
    assert pool is not None
    with link.fault("stall") as active:
        publisher.submit("b")
        assert active.wait_fired(20.0)
        ctrl_c(lambda: pool._gate._waiters)  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            publisher.publish("c")
    assert publisher.publish("d").attempts == 1
    assert [got.body for got in queues.take(queue)] == [b"a", b"b", b"d"]


def test_in_a_batch(make_publisher: MakePublisher, link: Link, queues: Queues, queue: str, ctrl_c: CtrlC) -> None:
    """The end of the block does not wait after Ctrl-C; close, which follows, does."""
    publisher = make_publisher(link.url, window=1)
    publisher.publish("a")
    with link.fault("stall") as active:
        ctrl_c(lambda: active.fired)
        with pytest.raises(KeyboardInterrupt), publisher.batch() as batch:
            [batch.publish(text) for text in ("b", "c")]
    publisher.close()
    assert [got.body for got in queues.take(queue)] == [b"a", b"b"]


def test_while_closing(make_publisher: MakePublisher, link: Link, ctrl_c: CtrlC, wait: Wait) -> None:
    """A close that waits can be interrupted, and called again."""
    publisher = make_publisher(link.url)
    publisher.publish("a")
    pool = publisher._pool
    assert pool is not None
    with link.fault("stall") as active:
        future = publisher.submit("b")
        assert active.wait_fired(20.0)
        ctrl_c(lambda: pool._closing)
        with pytest.raises(KeyboardInterrupt):
            publisher.close()
    wait(future.done, "the message is confirmed all the same")
    publisher.close()
    assert future.result().attempts == 1
