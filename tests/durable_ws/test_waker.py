"""What wakes the I/O thread's loop."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from durable_ws.waker import Waker
from tests.durable_ws.fake_broker import WAIT_S

MANY = 10_000  # more than a pair of sockets takes


class Woken:
    """A loop with a waker, and the threads in which it was told."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop()
        self.waker = Waker(self.loop, self.tell)
        self.threads: list[threading.Thread] = []
        self.told: Callable[[], None] = lambda: None

    def tell(self) -> None:
        """It was woken."""
        self.threads.append(threading.current_thread())
        self.told()

    def run(self) -> None:
        """The loop, until it was told and nothing more is to be read."""
        self.told = lambda: self.loop.call_soon(self.loop.call_soon, self.loop.stop)  # type: ignore[assignment]
        limit = self.loop.call_later(WAIT_S, self.loop.stop)
        self.loop.run_forever()
        limit.cancel()


@pytest.fixture
def woken() -> Iterator[Woken]:
    """Closed in the end."""
    woken = Woken()
    yield woken
    woken.waker.close()
    woken.loop.close()


def test_it_is_woken_by_another_thread(woken: Woken) -> None:
    """While it sleeps; what it calls runs in the loop's thread."""
    thread = threading.Thread(target=woken.waker.wake)
    woken.loop.call_soon(thread.start)
    woken.run()
    thread.join()
    assert woken.threads == [threading.main_thread()]


def test_each_wake_is_heard(woken: Woken) -> None:
    """Those before a look together, those after it once more."""
    for _ in range(2):
        for _ in range(3):
            woken.waker.wake()
        woken.run()
    assert len(woken.threads) == 2


def test_it_is_not_held_up_by_what_nobody_reads(woken: Woken) -> None:
    """The loop may be busy for long: no error, nothing waits, and all of it is read together later."""
    for _ in range(MANY):
        woken.waker.wake()
    woken.run()
    assert woken.threads
    with pytest.raises(BlockingIOError):
        woken.waker._hears.recv(1)


def closed() -> socket.socket:
    """A socket whose error is none of a signal handler's."""
    sock = socket.socket()
    sock.close()
    return sock


def test_the_system_takes_no_byte(woken: Woken, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then asyncio's own way is left, by which the loop hears of it with its next turn at the latest."""
    monkeypatch.setattr(woken.waker, "_says", closed())
    woken.waker.wake()
    woken.run()
    assert len(woken.threads) == 1


def test_an_error_of_a_signal_handler_in_that_other_way(woken: Woken, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks like the one of a loop that is closed, and comes out."""

    def interrupted(*_: object) -> None:
        raise RuntimeError("of a signal handler")

    monkeypatch.setattr(woken.waker, "_says", closed())
    monkeypatch.setattr(woken.loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(RuntimeError, match="of a signal handler"):
        woken.waker.wake()


def test_readable_though_there_is_nothing(woken: Woken) -> None:
    """As select(2) allows: it looks once in vain."""
    woken.waker._on_readable()
    assert len(woken.threads) == 1


def test_nothing_happens_once_it_is_closed() -> None:
    """Who publishes at that moment gets no error; no socket is left, on the loop neither."""
    woken = Woken()
    hears, says = woken.waker._hears, woken.waker._says
    number = hears.fileno()
    woken.waker.close()
    assert [hears.fileno(), says.fileno()] == [-1, -1]
    assert not woken.loop.remove_reader(number)
    woken.loop.close()
    woken.waker.wake()
    assert woken.threads == []


@pytest.mark.parametrize("error", [TimeoutError, BlockingIOError, KeyboardInterrupt])
def test_the_error_of_a_signal_handler_comes_out(woken: Woken, error: type[BaseException]) -> None:
    """Though it may look like one of the socket's."""

    class Socket:
        def send(self, data: bytes) -> int:  # noqa: ARG002
            signal.raise_signal(signal.SIGUSR1)  # its handler runs before the next instruction
            return 1

    def handle(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, handle)
    says, woken.waker._says = woken.waker._says, Socket()  # type: ignore[assignment]
    try:
        with pytest.raises(error):
            woken.waker.wake()
    finally:
        woken.waker._says = says
        signal.signal(signal.SIGUSR1, before)
