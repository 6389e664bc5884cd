"""What the suite asks of a broker over AMQP alone: version, exact counts, removal of what it made."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple, TypeVar

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from conformance.errors import HarnessError
from conformance.world.broker.amqp_connection import open_amqp
from conformance.world.broker.amqp_errors import AMQP_ERRORS
from conformance.world.broker.declared import Declared, learn

__all__ = ["CONNECTION_NAME", "Admin", "Counts"]

T = TypeVar("T")

CONNECTION_NAME = "durable-ws conformance suite"
"""How the suite's own AMQP connections are called in the broker's lists."""

_NOT_FOUND = 404
_RESOURCE_LOCKED = 405
_MOST_QUESTIONS = 30


class Counts(NamedTuple):
    """A queue's counts at this moment; None for each where the queue is another connection's own (exclusive)."""

    ready: int | None
    consumers: int | None


class Admin:
    """One AMQP connection, made when needed and again when lost. Safe for threads.

    Args:
        amqp_url: with credentials and vhost.
    """

    def __init__(self, amqp_url: str) -> None:
        self._parameters = pika.URLParameters(amqp_url)
        self._parameters.client_properties = {"connection_name": CONNECTION_NAME}
        self._parameters.heartbeat = 0  # nobody would answer them while it is idle
        self._lock = threading.Lock()
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None

    def version(self) -> str:
        """The broker's version, from connection.start's server properties."""

        def ask(channel: BlockingChannel) -> str:
            properties = channel.connection._impl.server_properties or {}
            version = properties.get("version", b"unknown")
            return version.decode() if isinstance(version, bytes) else str(version)

        return self._with_channel(ask)

    def counts(self, queue: str) -> Counts | None:
        """The queue's live counts by a passive declare; None: there is no such queue.

        Source: AMQP 0-9-1, queue.declare-ok: message-count holds what is ready for delivery.
        """

        def ask(channel: BlockingChannel) -> Counts | None:
            try:
                declared = channel.queue_declare(queue, passive=True).method
            except ChannelClosedByBroker as exc:
                if exc.reply_code == _NOT_FOUND:
                    return None
                if exc.reply_code == _RESOURCE_LOCKED:
                    return Counts(None, None)
                raise
            return Counts(declared.message_count, declared.consumer_count)

        return self._with_channel(ask)

    def declared(self, queue: str, guess: Declared) -> Declared | Literal["exclusive"] | None:
        """The queue's properties and arguments (see :mod:`conformance.world.broker.declared`).

        Never creates a queue. Renews the lease of a queue that expires, so it is for one that is consumed.

        Args:
            queue: its name.
            guess: what it probably is; the better, the fewer questions.

        Returns:
            ``exclusive`` where it is another connection's own, which is all that can be learnt of it (of all versions
            such a queue is not durable); None where there is none, or the broker can't be made to say.
        """

        def ask(channel: BlockingChannel, of: Declared) -> Declared | Literal["exclusive"] | None:
            """A better guess, or the same again where it is so."""
            try:
                channel.queue_declare(queue, durable=of.durable, auto_delete=of.auto_delete, arguments=of.to_declare())
            except ChannelClosedByBroker as exc:
                return "exclusive" if exc.reply_code == _RESOURCE_LOCKED else learn(of, exc.reply_text)
            return of

        for _ in range(_MOST_QUESTIONS):
            answer = self._with_channel(lambda channel, of=guess: ask(channel, of))  # type: ignore[misc]
            if answer is None or answer == "exclusive":
                return answer
            if answer == guess:
                break
            guess = answer
        else:
            return None
        # A broker may be told to compare no arguments (relaxed checks on redeclaration): then it minds nothing.
        wrong = replace(guess, arguments={**guess.arguments, "x-expires": guess.arguments.get("x-expires", 0) + 1})
        answer = self._with_channel(lambda channel: ask(channel, wrong))
        return guess if answer == guess else None

    def delete(self, queues: list[str], exchanges: list[str]) -> None:
        """Remove them; what is not there, or can't be removed, is left."""
        for queue in queues:
            with contextlib.suppress(ChannelClosedByBroker):
                self._with_channel(lambda channel, name=queue: channel.queue_delete(name))  # type: ignore[misc]
        for exchange in exchanges:
            with contextlib.suppress(ChannelClosedByBroker):
                self._with_channel(lambda channel, name=exchange: channel.exchange_delete(name))  # type: ignore[misc]

    def close(self) -> None:
        """Close the connection; it is made again if it is needed again."""
        with self._lock:
            self._drop()

    def _with_channel(self, ask: Callable[[BlockingChannel], T]) -> T:
        """Ask over the channel, over a new connection if the present one turns out to be lost."""
        with self._lock:
            for attempt in (1, 2):
                try:
                    return ask(self._open_channel())
                except ChannelClosedByBroker:
                    raise
                except AMQP_ERRORS as exc:
                    self._drop()
                    if attempt == 2:
                        raise HarnessError(f"the broker can't be asked: {exc or type(exc).__name__}") from exc
        raise AssertionError("not reached")

    def _open_channel(self) -> BlockingChannel:
        if self._connection is None or not self._connection.is_open:
            self._connection = open_amqp(self._parameters)
            self._channel = None
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
        return self._channel

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            with contextlib.suppress(*AMQP_ERRORS):
                connection.close()
