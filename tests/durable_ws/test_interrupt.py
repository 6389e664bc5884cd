"""Ctrl-C while a publish waits, and signal handlers that publish or raise at any moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues, RunScript, Wait

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
        ctrl_c(lambda: active.fired and publisher.health().under_way)
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
        ctrl_c(lambda: pool._waiters)
        with pytest.raises(KeyboardInterrupt):
            publisher.publish("c")
    assert publisher.publish("d").attempts == 1
    assert [got.body for got in queues.take(queue)] == [b"a", b"b", b"d"]


def test_in_a_batch(make_publisher: MakePublisher, link: Link, queues: Queues, queue: str, ctrl_c: CtrlC) -> None:
    """The end of the block does not wait after Ctrl-C; close, which follows, does."""
    publisher = make_publisher(link.url, window=1)
    publisher.publish("a")
    with link.fault("stall") as active:
        ctrl_c(lambda: active.fired and publisher.health().under_way)
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


def test_a_signal_handler_that_publishes(run_script: RunScript, queues: Queues, queue: str) -> None:
    """Wherever the main thread is interrupted, in the midst of a publish too: each is confirmed, and nothing hangs."""
    done = run_script(
        """
import itertools
count, busy = itertools.count(), []
def publish_more(*_):
    if busy:
        return  # of what interrupts the handler itself, nothing is to come
    busy.append(True)
    n = next(count)
    if n < 300:
        assert publisher.publish(f"handler {n}").routed
    busy.clear()
publisher = Publisher(exchanges=EXCHANGES, window=4)
signal.signal(signal.SIGALRM, publish_more)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.002)
for n in range(300):
    assert publisher.publish(f"main {n}").routed
signal.setitimer(signal.ITIMER_REAL, 0)
publisher.close()
print(min(next(count), 300))
""",
        timeout_s=120.0,
    )
    assert (done.returncode, done.stderr) == (0, "")
    bodies = [got.body.decode() for got in queues.take(queue)]
    own = [body for body in bodies if body.startswith("main")]
    assert list(dict.fromkeys(own)) == [f"main {n}" for n in range(300)]  # some twice: a connection was given up
    assert {body for body in bodies if body.startswith("handler")} == {f"handler {n}" for n in range(int(done.stdout))}


def test_a_signal_handler_that_raises(run_script: RunScript, queues: Queues, queue: str) -> None:
    """Wherever it strikes: what was told to be confirmed is in the queue, and the publisher goes on, window and all."""
    done = run_script(
        """
class Struck(Exception): pass
def strike(*_):
    raise Struck
signal.signal(signal.SIGALRM, strike)
publisher = Publisher(exchanges=EXCHANGES, window=2)
publisher.publish("first")
struck = 0
for n in range(400):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + n % 40 * 0.00005)
        try:
            publisher.publish(f"{n}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        print(n)
    except Struck:
        struck += 1
signal.signal(signal.SIGALRM, signal.SIG_IGN)
assert struck, "it has struck"
threads = [threading.Thread(target=publisher.publish, args=(f"after {n}",)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
publisher.close()
""",
        timeout_s=120.0,
    )
    assert (done.returncode, done.stderr) == (0, "")
    bodies = {got.body.decode() for got in queues.take(queue)}
    assert set(done.stdout.split()) <= bodies
    assert {f"after {n}" for n in range(8)} <= bodies
