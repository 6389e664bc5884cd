"""Publishers that are broken in one way each, on top of one that is plain and right.

They stand for what teams really write: pika's BlockingConnection under a lock.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pika
from pika.exceptions import (
    AMQPError,
    ConnectionBlockedTimeout,
    NackError,
    ProbableAuthenticationError,
    UnroutableError,
)

from conformance.world.broker.amqp_connection import open_amqp
from durable_ws import Nacked, OutcomeUnknown, Unroutable

__all__ = [
    "Altering",
    "CuttingAtNul",
    "Dropping",
    "DroppingEmpty",
    "Escaping",
    "IgnoresBlocking",
    "IgnoresRefusals",
    "Intermittent",
    "LastWordLost",
    "Lossy",
    "NewIds",
    "NoConfirms",
    "NotMandatory",
    "Optimist",
    "Outgoing",
    "Plain",
    "Reordering",
    "Shedding",
    "Stripping",
    "SwallowsReturns",
    "Transient",
    "WrongExchange",
    "WrongKey",
]

_DEADLINE_S = 20.0
_RETRY_S = 0.02


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message as it is about to be written."""

    body: bytes
    exchange: str
    routing_key: str
    message_id: str
    delivery_mode: int = 2
    mandatory: bool = True
    properties: Mapping[str, Any] = field(default_factory=dict)


class Plain:
    """Right, if slow: one connection, one message at a time, confirms, republished under its id until a deadline."""

    confirms: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        self._parameters = pika.URLParameters(url)
        self._lock = threading.Lock()
        self._connection: pika.BlockingConnection | None = None
        self._channel: pika.adapters.blocking_connection.BlockingChannel | None = None
        self._count = 0

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> None:
        """Publish and wait for the confirm; see the protocol for what is raised."""
        with self._lock:
            self._count += 1
            outgoing = self.prepare(Outgoing(body, exchange, routing_key, message_id))
            if outgoing is not None:
                self.send(outgoing)

    def prepare(self, outgoing: Outgoing) -> Outgoing | None:
        """What a broken publisher changes before the message is written; None: it is not written at all."""
        return outgoing

    def retried(self, outgoing: Outgoing) -> Outgoing | None:
        """What is written again after a lost connection; None: nothing."""
        return outgoing

    def send(self, outgoing: Outgoing) -> None:
        """Write until confirmed or the deadline."""
        deadline = time.monotonic() + _DEADLINE_S
        attempt: Outgoing | None = outgoing
        while attempt is not None:
            try:
                self._write(attempt)
            except UnroutableError as exc:
                raise Unroutable(outgoing.message_id, "returned") from exc
            except NackError as exc:
                raise Nacked(outgoing.message_id, "nacked") from exc
            except (AMQPError, OSError) as exc:
                self._drop_connection()
                if time.monotonic() >= deadline:
                    raise OutcomeUnknown(outgoing.message_id, str(exc)) from exc
                time.sleep(_RETRY_S)
                attempt = self.retried(attempt)
            else:
                return

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop_connection()

    def _write(self, outgoing: Outgoing) -> None:
        if self._channel is None or not self._channel.is_open:
            self._connection = open_amqp(self._parameters)
            self._channel = self._connection.channel()
            if self.confirms:
                self._channel.confirm_delivery()
        self._channel.basic_publish(
            outgoing.exchange,
            outgoing.routing_key,
            outgoing.body,
            pika.BasicProperties(
                message_id=outgoing.message_id, delivery_mode=outgoing.delivery_mode, **outgoing.properties
            ),
            mandatory=outgoing.mandatory,
        )

    def _drop_connection(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            with contextlib.suppress(AMQPError, OSError):
                connection.close()


class Transient(Plain):
    """Publishes transient messages (delivery mode 1)."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Drop the persistence."""
        return replace(outgoing, delivery_mode=1)


class NoConfirms(Plain):
    """Never asks for confirms, as the gem: what is written counts as published."""

    confirms = False


class Optimist(Plain):
    """Takes a lost connection for a success instead of publishing again."""

    def retried(self, outgoing: Outgoing) -> None:
        """Nothing is written again."""


class IgnoresBlocking(Plain):
    """Waits a moment while the broker blocks publishers, and then takes the message for published."""

    blocked_s: ClassVar[float] = 0.3

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._parameters.blocked_connection_timeout = self.blocked_s

    def _write(self, outgoing: Outgoing) -> None:
        try:
            super()._write(outgoing)
        except ConnectionBlockedTimeout:
            self._drop_connection()


class IgnoresRefusals(Plain):
    """Logs that the broker refuses its password, and goes on as if nothing were."""

    def _write(self, outgoing: Outgoing) -> None:
        try:
            super()._write(outgoing)
        except ProbableAuthenticationError:
            self._drop_connection()


class Dropping(Plain):
    """Never writes every 200th message, and reports it as published."""

    every: ClassVar[int] = 200

    def prepare(self, outgoing: Outgoing) -> Outgoing | None:
        """Drop one in ``every``."""
        return None if self._count % self.every == 0 else outgoing


class Altering(Plain):
    """Strips trailing dots off every body, as an overeager formatter would."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Change the body."""
        return replace(outgoing, body=outgoing.body.rstrip(b".") + b"!")


class NewIds(Plain):
    """Publishes again under a new message id after a lost connection."""

    def retried(self, outgoing: Outgoing) -> Outgoing:
        """Make up a new id."""
        return replace(outgoing, message_id=outgoing.message_id + "-again")


class WrongKey(Plain):
    """Publishes every third message under another routing key."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Append to the key."""
        if self._count % 3:
            return outgoing
        return replace(outgoing, routing_key=outgoing.routing_key + "x", mandatory=False)


class WrongExchange(Plain):
    """Publishes every third message to the broker's own topic exchange."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Change the exchange."""
        return outgoing if self._count % 3 else replace(outgoing, exchange="amq.topic", mandatory=False)


class NotMandatory(Plain):
    """Publishes without ``mandatory``: what nobody is bound for vanishes and counts as published."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Drop the flag."""
        return replace(outgoing, mandatory=False)


class SwallowsReturns(Plain):
    """Is told that nobody is bound, and reports success."""

    def send(self, outgoing: Outgoing) -> None:
        """Ignore the return."""
        try:
            super().send(outgoing)
        except Unroutable:
            return


class Intermittent(Dropping):
    """Drops one message in 25 once it has published 30."""

    every = 25

    def prepare(self, outgoing: Outgoing) -> Outgoing | None:
        """Sound at first."""
        return super().prepare(outgoing) if self._count > 30 else outgoing


class Reordering(Plain):
    """Keeps every third message back until the next one is out, and reports it as published at once."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._kept: list[Outgoing] = []

    def send(self, outgoing: Outgoing) -> None:
        """Keep it, or write it and what was kept."""
        if self._count % 3 == 0:
            self._kept.append(outgoing)
            return
        super().send(outgoing)
        while self._kept:
            super().send(self._kept.pop())

    def close(self) -> None:
        """Write what is still kept, then close."""
        with self._lock, contextlib.suppress(OutcomeUnknown, Unroutable, Nacked):
            while self._kept:
                super().send(self._kept.pop())
        super().close()


class LastWordLost(Plain):
    """Cuts routing keys at their last dot: ``prices.eur`` becomes ``prices``."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Cut the key."""
        return replace(outgoing, routing_key=outgoing.routing_key.rpartition(".")[0] or outgoing.routing_key)


class Shedding(Plain):
    """Sheds load: once 60 have been published, what comes while another call is under way is dropped."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._counting = threading.Lock()
        self._published = self._under_way = 0

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> None:
        """Drop where another call is under way. Whether the connection's lock is taken would not tell: one caller may
        get it again and again while the others, let in before, wait for it."""
        with self._counting:
            self._published += 1
            if self._published > 60 and self._under_way:
                return
            self._under_way += 1
        try:
            super().publish(body, exchange=exchange, routing_key=routing_key, message_id=message_id)
        finally:
            with self._counting:
                self._under_way -= 1


class CuttingAtNul(Plain):
    """Ends bodies at their first NUL, as a C string would."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Cut the body."""
        return replace(outgoing, body=outgoing.body.partition(b"\x00")[0])


class Lossy(Plain):
    """Takes every body for UTF-8 and replaces what is not."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Decode and encode."""
        return replace(outgoing, body=outgoing.body.decode("utf-8", errors="replace").encode())


class Stripping(Plain):
    """Strips white space around bodies."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Strip the body."""
        return replace(outgoing, body=outgoing.body.strip())


class DroppingEmpty(Plain):
    """Takes an empty body for nothing to publish."""

    def prepare(self, outgoing: Outgoing) -> Outgoing | None:
        """Drop the empty."""
        return outgoing if outgoing.body else None


class Escaping(Plain):
    """Escapes routing keys as if they were STOMP headers."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Escape the key."""
        key = outgoing.routing_key.replace("\\", "\\\\").replace(":", "\\c")
        return replace(outgoing, routing_key=key, mandatory=False)
