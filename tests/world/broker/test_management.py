"""What is made of the management API's answers, by a server that is only played."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conformance.errors import HarnessError, NotFound
from conformance.world.broker.base import QueueFacts
from conformance.world.broker.management import Management


class Played(ThreadingHTTPServer):
    """Answers with these statuses, the last again and again, and notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = [404]
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Played

    def _answer(self) -> None:
        statuses = self.server.statuses
        self.server.asked.append(self.command)
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_DELETE = _answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@pytest.fixture
def played() -> Iterator[Played]:
    """One that runs."""
    with Played() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def management(played: Played) -> Iterator[Management]:
    """A client of it."""
    client = Management(f"http://127.0.0.1:{played.server_port}", "/")
    yield client
    client.close()


def test_a_queue_that_ends_while_it_is_asked_for(played: Played, management: Management) -> None:
    """RabbitMQ fails to read it; the next answer tells."""
    played.statuses = [500, 404]
    with pytest.raises(NotFound):
        management.ask("GET", "/queues/%2F/q")
    played.statuses = [500, 404]
    assert management.queue("q") == QueueFacts(name="q", exists=False)
    assert played.asked == ["GET"] * 4


def test_one_that_always_fails(played: Played, management: Management) -> None:
    """It is asked twice, and no more; it is told, or nothing is."""
    played.statuses = [500]
    with pytest.raises(HarnessError, match="management: GET /queues/%2F/q: 500"):
        management.ask("GET", "/queues/%2F/q")
    assert management.queue("q") is None
    assert played.asked == ["GET"] * 4


def test_what_changes_something_is_asked_once(played: Played, management: Management) -> None:
    """Whatever has come of it."""
    played.statuses = [500, 404]
    with pytest.raises(HarnessError, match="500"):
        management.ask("DELETE", "/queues/%2F/q")
    assert played.asked == ["DELETE"]
