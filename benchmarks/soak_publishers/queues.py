"""What the soak does to its queues, over straight connections that no fault of a link touches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import pika
from pika.adapters.blocking_connection import BlockingChannel

from benchmarks.soak_publishers.calls import CLASSIC, EXCHANGE, KEYS, QUORUM
from conformance.errors import HarnessError
from conformance.world.broker.amqp_errors import AMQP_ERRORS

__all__ = ["NAME", "Binding", "drain", "make_queues", "remove"]

NAME = "soak of the publishers"
"""How these connections are called in the broker's lists."""

_DRAIN_S = 120.0
_QUIET_S = 10.0


def make_queues(url: str) -> None:
    """Make the exchange, a classic and a quorum queue, both durable, and the bindings that are always there; empty."""
    with _channel(url) as channel:
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        channel.queue_declare(CLASSIC, durable=True)
        channel.queue_declare(QUORUM, durable=True, arguments={"x-queue-type": "quorum"})
        for name in (CLASSIC, QUORUM):
            channel.queue_purge(name)
        for key, leads in KEYS.items():
            for queue in leads.queues if leads.always else ():
                channel.queue_bind(queue, EXCHANGE, key)


def remove(url: str) -> None:
    """Delete what :func:`make_queues` made."""
    with contextlib.suppress(*AMQP_ERRORS), _channel(url) as channel:
        for name in (CLASSIC, QUORUM):
            channel.queue_delete(name)
        channel.exchange_delete(EXCHANGE)


def drain(url: str, find: Callable[[str, bytes, str | None], None]) -> None:
    """Take all out of the queues.

    Call it when nobody publishes: it ends once the broker has no message of a queue to give. That it counts none does
    not do: so it answers, too, for a quorum queue whose leader does not tell in time.

    Args:
        url: of the broker.
        find: gets the queue, the body and the message id of each.

    Raises:
        HarnessError: it takes too long.
    """
    ends = time.monotonic() + _DRAIN_S
    with _channel(url) as channel:
        for queue in (CLASSIC, QUORUM):
            while True:
                left = channel.queue_declare(queue, passive=True).method.message_count
                if time.monotonic() > ends:
                    raise HarnessError(f"{queue} could not be emptied in {_DRAIN_S:g} s: {left} are left")
                if not left:
                    method, properties, body = channel.basic_get(queue, auto_ack=True)
                    if method is None:
                        break
                    find(queue, body, properties.message_id)
                    continue
                for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=_QUIET_S):
                    if method is None:
                        break
                    find(queue, body, properties.message_id)
                    left -= 1
                    if not left:
                        break
                channel.cancel()


class Binding:
    """The bindings of the keys that are bound at times only. Where the broker is away, they stay as they are.

    Args:
        url: of the broker.
    """

    def __init__(self, url: str) -> None:
        self._stack = contextlib.ExitStack()
        self._bound = False
        self._channel: BlockingChannel | None = None
        with contextlib.suppress(*AMQP_ERRORS):
            self._channel = self._stack.enter_context(_channel(url))

    def toggle(self) -> None:
        """Bind them, or unbind them again."""
        channel = self._channel
        if channel is None:
            return
        change = channel.queue_unbind if self._bound else channel.queue_bind
        try:
            for key, leads in KEYS.items():
                for queue in () if leads.always else leads.queues:
                    change(queue, EXCHANGE, key)
        except AMQP_ERRORS:
            self._channel = None
        else:
            self._bound = not self._bound

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(*AMQP_ERRORS):
            self._stack.close()


@contextlib.contextmanager
def _channel(url: str) -> Iterator[BlockingChannel]:
    parameters = pika.URLParameters(url)
    parameters.client_properties = {"connection_name": NAME}
    parameters.heartbeat = 0  # nobody would answer them while it is idle
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection.channel()
    finally:
        with contextlib.suppress(*AMQP_ERRORS):
            connection.close()
