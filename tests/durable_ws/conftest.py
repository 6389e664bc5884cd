"""What the publisher's tests on a real broker need: names of their own, queues to look into, links to cut."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from conformance.faults.base import LinkFault, make_fault
from conformance.history.events import ConfirmSeen, PublishSeen
from conformance.world.broker.base import Broker
from conformance.world.network.proxy import ActiveFault, Network
from durable_ws import Exchange, Publisher

WAIT_S = 20.0


@dataclass(frozen=True)
class Got:
    """A message as a consumer has it."""

    body: bytes
    routing_key: str
    properties: pika.BasicProperties


class Queues:
    """Queues of one test, over a connection of its own."""

    def __init__(self, url: str, prefix: str) -> None:
        parameters = pika.URLParameters(url)
        parameters.heartbeat = 0
        self._connection = pika.BlockingConnection(parameters)
        self._prefix = prefix
        self._made: list[str] = []
        self._exchanges: set[str] = set()

    @property
    def channel(self) -> BlockingChannel:
        """A new channel, to do what else a test needs."""
        return self._connection.channel()

    def make(self, exchange: Exchange | None, key: str = "#", *, durable: bool = True, **arguments: Any) -> str:
        """A queue bound to an exchange, which is declared; ``x_max_length=1`` is its argument ``x-max-length``."""
        name = f"{self._prefix}-q{len(self._made)}"
        self._made.append(name)
        with self.channel as channel:
            given = {argument.replace("_", "-"): value for argument, value in arguments.items()}
            channel.queue_declare(name, durable=durable, arguments=given)
            if exchange is not None:
                self.forget_exchange(exchange.name)
                channel.exchange_declare(exchange.name, exchange.type, durable=exchange.durable)
                channel.queue_bind(name, exchange.name, key)
        return name

    def forget_exchange(self, name: str) -> None:
        """Delete that exchange at the end."""
        self._exchanges.add(name)

    def take(self, queue: str) -> list[Got]:
        """All that is ready in the queue now, taken out of it."""
        taken = []
        with self.channel as channel:
            while True:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None:
                    return taken
                taken.append(Got(body, method.routing_key, properties))

    def leave(self) -> None:
        """End the connection and leave everything where it is."""
        self._connection.close()

    def close(self) -> None:
        """Delete everything that was made, unless left."""
        if not self._connection.is_open:
            return
        with self.channel as channel:
            for name in self._made:
                channel.queue_delete(name)
            for name in self._exchanges:
                channel.exchange_delete(name)
        self._connection.close()


Wait = Callable[[Callable[[], object], str], None]


@pytest.fixture
def wait() -> Wait:
    """Wait for what no event tells, such as another thread's or the broker's state; fails the test after a while."""

    def wait(condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            time.sleep(0.005)

    return wait


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nobody listens, nor can while the test runs: it is bound, which refuses as well."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def url(broker: Broker) -> str:
    """The shared broker's AMQP URL, with nothing in between."""
    return broker.addresses.amqp


@pytest.fixture
def exchange(namespace: str) -> Exchange:
    """A durable topic exchange of the test's own."""
    return Exchange(f"{namespace}-exchange")


@pytest.fixture
def make_queues(namespace: str, exchange: Exchange) -> Iterator[Callable[[str], Queues]]:
    """Make queues of the test's own at a broker's URL; its exchange is deleted with them."""
    made: list[Queues] = []

    def make_queues(url: str) -> Queues:
        made.append(Queues(url, f"{namespace}-{len(made)}"))
        made[-1].forget_exchange(exchange.name)
        return made[-1]

    yield make_queues
    for queues in made:
        queues.close()


@pytest.fixture
def queues(make_queues: Callable[[str], Queues], url: str) -> Queues:
    """Queues at the shared broker."""
    return make_queues(url)


@pytest.fixture
def queue(queues: Queues, exchange: Exchange) -> str:
    """A durable queue that gets all that is published to the test's exchange."""
    return queues.make(exchange)


MakePublisher = Callable[..., Publisher]


@pytest.fixture
def make_publisher(url: str, exchange: Exchange) -> Iterator[MakePublisher]:
    """Make publishers to the test's exchange (as ``pubsub``), which are closed in the end."""
    made: list[Publisher] = []

    def make_publisher(url: str = url, exchanges: Any = None, **options: Any) -> Publisher:
        options = {"timeout": WAIT_S, "reconnect_first_s": 0.02, "reconnect_most_s": 0.1, **options}
        publisher = Publisher(url, {"pubsub": exchange} if exchanges is None else exchanges, **options)
        made.append(publisher)
        return publisher

    yield make_publisher
    for publisher in made:
        publisher._close_timeout_s = 0.1  # a test that failed need not wait for what is under way
        publisher.close()


@pytest.fixture
def publisher(make_publisher: MakePublisher) -> Publisher:
    """A publisher straight to the broker."""
    return make_publisher()


class Link:
    """A fault proxy between a publisher and the broker, and what passed it."""

    def __init__(self, network: Network, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.seen: list[tuple[type, dict[str, Any]]] = []
        self.proxy = network.proxy(
            name="publisher",
            target=(parts.hostname, parts.port),
            protocol="amqp",
            observer=lambda event_type, /, **fields: self.seen.append((event_type, fields)),
        )
        self.url = url.replace(f"{parts.hostname}:{parts.port}", "{}:{}".format(*self.proxy.address))

    @contextlib.contextmanager
    def fault(self, name: str, **parameters: Any) -> Iterator[ActiveFault]:
        """A fault that is on in the ``with``."""
        fault = make_fault(name, parameters, link="publisher")
        assert isinstance(fault, LinkFault)
        active = self.proxy.begin(fault)
        try:
            yield active
        finally:
            self.proxy.end(active)

    @property
    def published(self) -> list[str]:
        """The message ids that passed towards the broker, in order."""
        return [fields["message_id"] for kind, fields in list(self.seen) if kind is PublishSeen]

    @property
    def most_unconfirmed(self) -> int:
        """The most messages that were unconfirmed at once."""
        now = most = 0
        for kind, fields in list(self.seen):
            if kind is PublishSeen:
                now += 1
            elif kind is ConfirmSeen:
                now -= len(fields["body_digests"])
            most = max(most, now)
        return most


@pytest.fixture
def make_link(network: Network) -> Iterator[Callable[[str], Link]]:
    """Make proxies in front of a broker's URL."""
    made: list[Link] = []

    def make_link(url: str) -> Link:
        made.append(Link(network, url))
        return made[-1]

    yield make_link
    for link in made:
        link.proxy.close()


@pytest.fixture
def link(make_link: Callable[[str], Link], url: str) -> Link:
    """A proxy in front of the shared broker."""
    return make_link(url)


@pytest.fixture(params=["asyncio", "uvloop"])
def each_loop(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on loops of asyncio's own, and on those that many web servers take instead; which it is."""
    if request.param == "uvloop":
        if sys.platform == "win32":
            pytest.skip("there is no uvloop for Windows")
        asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())
    yield request.param
    asyncio.set_event_loop_policy(None)


RunScript = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_script(url: str, exchange: Exchange, tmp_path: Path) -> RunScript:
    """Run a Python program that finds ``Publisher``, ``EXCHANGES`` and ``RABBITMQ_URL``; it must end in time."""

    def run_script(text: str, *, timeout_s: float = 60.0, **environment: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "program.py"
        path.write_text(
            "import os, signal, sys, threading\n"
            "from durable_ws import *\n"
            f"EXCHANGES = {{'pubsub': Exchange({exchange.name!r})}}\n" + text,
            encoding="utf-8",
        )
        return subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning", str(path)],
            env={**os.environ, "RABBITMQ_URL": url, **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run_script
