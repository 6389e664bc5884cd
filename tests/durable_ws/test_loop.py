"""The I/O thread's loop asks for host names in threads of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from durable_ws.loop import Loop
from tests.durable_ws.fake_broker import WAIT_S

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 5672))]

Answer = Callable[..., Any]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    """The system's answer, instead of its own."""
    return lambda answer: monkeypatch.setattr("durable_ws.loop.socket.getaddrinfo", answer)


def test_what_is_asked(answered: Callable[[Answer], None]) -> None:
    """All of it, in a daemon thread, or with nothing but host and port."""
    asked: list[tuple[Any, ...]] = []
    threads: list[threading.Thread] = []

    def getaddrinfo(*arguments: Any) -> Any:
        threads.append(threading.current_thread())
        asked.append(arguments)
        return FOUND

    answered(getaddrinfo)
    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.get_loop()
        assert runner.run(loop.getaddrinfo("h", 5672, family=1, type=2, proto=3, flags=4)) == FOUND
        assert runner.run(loop.getaddrinfo("h", 5672)) == FOUND
    assert asked == [("h", 5672, 1, 2, 3, 4), ("h", 5672, 0, 0, 0, 0)]
    assert [(thread.name, thread.daemon) for thread in threads] == [("durable_ws resolver", True)] * 2
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("error", [socket.gaierror(-2, "not known"), UnicodeError("label too long")])
def test_what_is_not_found(answered: Callable[[Answer], None], error: Exception) -> None:
    """The error is the caller's."""

    def getaddrinfo(*_: Any) -> Any:
        raise error

    answered(getaddrinfo)
    with asyncio.Runner(loop_factory=Loop) as runner, pytest.raises(type(error)) as caught:
        runner.run(runner.get_loop().getaddrinfo("h", 5672))
    assert caught.value is error


def test_an_interpreter_that_starts_no_more_threads(
    answered: Callable[[Answer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop asks itself: what is under way still has to go out."""
    threads: list[threading.Thread] = []

    def getaddrinfo(*_: Any) -> Any:
        threads.append(threading.current_thread())
        return FOUND

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    answered(getaddrinfo)
    with asyncio.Runner(loop_factory=Loop) as runner:
        monkeypatch.setattr(threading.Thread, "start", start)
        assert runner.run(runner.get_loop().getaddrinfo("h", 5672)) == FOUND
    assert threads == [threading.current_thread()]


def test_an_answer_that_nobody_waits_for_any_more(answered: Callable[[Answer], None]) -> None:
    """It comes to nothing, and to no error in its thread."""
    asked, answer = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def getaddrinfo(*_: Any) -> Any:
        threads.append(threading.current_thread())
        asked.set()
        assert answer.wait(WAIT_S)
        return FOUND

    async def main() -> None:
        loop = asyncio.get_running_loop()
        asking = asyncio.ensure_future(loop.getaddrinfo("h", 5672))
        assert await asyncio.to_thread(asked.wait, WAIT_S)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    answered(getaddrinfo)
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
        answer.set()
        threads[0].join(WAIT_S)
        assert not threads[0].is_alive()
