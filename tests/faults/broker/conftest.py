"""A node that may be disturbed, with a queue, a connected client and a place to begin and end faults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from conformance.contract.model import Contract
from conformance.contract.naming import Naming
from conformance.engine.live import Live
from conformance.engine.node import NodeAtFault
from conformance.faults.base import make_fault
from conformance.faults.broker.base import BrokerFault
from conformance.faults.broker.looking import until
from conformance.history.events import Event, FaultEnded
from conformance.history.file import HistoryHeader, HistoryWriter
from conformance.world.broker.base import Broker
from conformance.world.broker.choose import choose_broker

SEEN_S = 30.0


@pytest.fixture(scope="session")
def disturbed() -> Iterator[Broker]:
    """A RabbitMQ of this folder's tests alone, with a small disk where that can be had."""
    broker = choose_broker("auto", wishes=frozenset({"small-disk"}))
    broker.start()
    yield broker
    broker.stop()


@dataclass
class Bench:
    """One test's exchange and queue, the node as faults meet it, and what was recorded."""

    broker: Broker
    naming: Naming
    node: NodeAtFault
    events: list[Event]
    channel: BlockingChannel
    live: Live
    faults: int = 0
    _open: list[pika.BlockingConnection] = field(default_factory=list)

    @property
    def queue(self) -> str:
        """The queue of tab t1."""
        return self.naming.queue("t1")

    @property
    def exchange(self) -> str:
        """The exchange that it is bound to."""
        return self.naming.exchange("pubsub")

    def needs(self, name: str) -> None:
        """Skip where the broker can't be asked to do what the fault needs."""
        fault = make_fault(name, {}, link="broker")
        assert isinstance(fault, BrokerFault)
        missing = fault.needs - self.broker.capabilities
        if missing:
            pytest.skip(f"this broker can't be asked to: {', '.join(sorted(missing))}")

    def begin(self, name: str, **parameters: Any) -> None:
        """Begin a fault and wait until it was seen to have happened."""
        self.needs(name)
        fault = make_fault(name, parameters, link="broker")
        assert isinstance(fault, BrokerFault)
        self.faults += 1
        self.node.begin(fault, self.faults, parameters)

    def fired(self) -> bool:
        """Whether the fault was seen to have happened, within some seconds."""
        return until(lambda: self.node.fired, SEEN_S)

    def end(self) -> FaultEnded:
        """End the fault; what was recorded of it."""
        self.node.end()
        ended = self.events[-1]
        assert isinstance(ended, FaultEnded)
        return ended

    def connect(self, **parameters: Any) -> BlockingChannel:
        """A client's channel in confirm mode, on a connection of its own."""
        told = pika.URLParameters(self.broker.addresses.amqp)
        for name, value in {"heartbeat": 0, "stack_timeout": 30, "socket_timeout": 30, **parameters}.items():
            setattr(told, name, value)
        connection = pika.BlockingConnection(told)
        self._open.append(connection)
        channel = connection.channel()
        channel.confirm_delivery()
        return channel

    def publish(self, channel: BlockingChannel, size_bytes: int = 10) -> None:
        """Publish one message and wait for the confirm."""
        channel.basic_publish(
            self.exchange, "ticks", b"x" * size_bytes, pika.BasicProperties(delivery_mode=2), mandatory=True
        )

    def refused(self) -> set[Literal["tab", "publisher"]]:
        """Which clients are not let in now."""
        return {kind for kind in ("tab", "publisher") if self.node.refusal(kind) is not None}

    def close(self) -> None:
        """Close what is open and remove what was made."""
        self.node.end()
        for connection in self._open:
            with contextlib.suppress(AMQPError, OSError):
                connection.close()
        self.broker.delete(queues=[self.queue], exchanges=[self.exchange])


@pytest.fixture
def bench(disturbed: Broker, namespace: str) -> Iterator[Bench]:
    """A queue that is bound, and a client that has published a message into it."""
    naming = Naming(Contract(), namespace)
    header = HistoryHeader(
        seed=0, command="", versions={}, case="", namespace=namespace, contract={}, broker=disturbed.describe()
    )
    with HistoryWriter(None, header, keep=True) as recorder:
        live = Live()
        node = NodeAtFault(disturbed, naming, recorder, lambda seconds: until(lambda: False, seconds), live)
        bench = Bench(disturbed, naming, node, recorder.events, None, live)  # type: ignore[arg-type]
        bench.channel = bench.connect()
        bench.channel.exchange_declare(bench.exchange, exchange_type="topic", durable=True)
        bench.channel.queue_declare(bench.queue, durable=True)
        bench.channel.queue_bind(bench.queue, bench.exchange, "ticks")
        bench.publish(bench.channel)
        yield bench
        bench.close()
