"""A connection attempt can be given up at any moment of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from conformance.world.tab.dial import Dial
from conformance.world.tab.link import LinkLost

PATIENCE_S = 30.0


@pytest.fixture
def full() -> Iterator[str]:
    """The URL of a server whose backlog is full: TCP hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
        for one in crowd:
            one.close()


def test_given_up_before_it_connects(full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that is not yet connecting can't be shut down: it does not begin to, then."""
    dial = Dial(full, 60.0)
    keep = dial._keep

    def keep_and_abort(connection: socket.socket) -> socket.socket:
        kept = keep(connection)
        dial.abort()
        return kept

    monkeypatch.setattr(dial, "_keep", keep_and_abort)
    _gives_up(dial)


def test_given_up_while_it_connects(full: str) -> None:
    """TCP's own wait is cut short."""
    dial = Dial(full, 60.0)
    waiting = threading.Event()
    opening = threading.Thread(target=_gives_up, args=(dial, waiting))
    opening.start()
    assert waiting.wait(PATIENCE_S)
    dial.abort()
    opening.join(PATIENCE_S)
    assert not opening.is_alive()
    dial.close()


def test_no_answer_in_time(full: str) -> None:
    """The timeout is kept, and told."""
    with pytest.raises(LinkLost, match=r"^timed out$"):
        Dial(full, 0.2).open(lambda _: None)


def _gives_up(dial: Dial, waiting: threading.Event | None = None) -> None:
    with pytest.raises(LinkLost):
        dial.open(lambda _: waiting.set() if waiting else None)
