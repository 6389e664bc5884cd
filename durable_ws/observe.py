"""What a publisher tells of itself: facts for an observer, and its health. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = [
    "Blocked",
    "Connected",
    "Disconnected",
    "Health",
    "MessageSettled",
    "MessageTaken",
    "Observer",
    "Unblocked",
    "no_health",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a publisher is at the moment.

    Attributes:
        connections: how many can be published on now; none is opened before the first message.
        most_connections: the most that there may be.
        blocked: why the broker blocks a connection at present (``low on memory``); None: it does not.
        trouble: the latest reason why a connection ended or could not be made; it stays after the recovery. None: there
            was none yet.
        under_way: how many messages have no outcome yet.
        closed: whether the publisher was closed.
    """

    connections: int
    most_connections: int
    blocked: str | None
    trouble: str | None
    under_way: int
    closed: bool


def no_health(most_connections: int, *, closed: bool) -> Health:
    """Of a publisher that has published nothing yet."""
    return Health(
        connections=0, most_connections=most_connections, blocked=None, trouble=None, under_way=0, closed=closed
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A connection can be published on.

    Attributes:
        host, port: of the broker.
    """

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """A connection has ended, or an attempt to make one.

    Attributes:
        host, port: of the broker.
        reason: in one line, in the broker's words where they are its.
        opened: False: it never came to be.
        in_order: the publisher was closed, and that is why.
    """

    host: str
    port: int
    reason: str
    opened: bool
    in_order: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """The broker has an alarm and takes no messages on a connection (https://www.rabbitmq.com/docs/alarms).

    Attributes:
        host, port: of the broker.
        reason: in its words.
    """

    host: str
    port: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unblocked:
    """The alarm is over.

    Attributes:
        host, port: of the broker.
    """

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MessageTaken:
    """A message is about to be published; each such object is told of one call, and equal only to itself.

    Attributes:
        message_id, exchange, routing_key: of the message; the exchange by its name at the broker.
        size_bytes: of its body.
    """

    message_id: str
    exchange: str
    routing_key: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSettled:
    """A message has its outcome.

    Attributes:
        message: what :meth:`Observer.taken` was told; the same object.
        outcome: ``confirmed``, ``returned`` (no queue was bound), ``nacked``, ``refused``, ``not sent`` or ``unknown``.
        latency_s: from the call to the outcome, in seconds.
        attempts: how many times it was written.
        reason: in one line; empty where it was confirmed.
    """

    message: MessageTaken
    outcome: str
    latency_s: float
    attempts: int
    reason: str


@runtime_checkable
class Observer(Protocol):
    """Is told what happens to a publisher; inherit from it to write only the methods that matter.

    They are called on the publisher's I/O thread or event loop and must neither block nor publish and wait;
    :meth:`taken` is called in the publishing thread or task, and so is :meth:`settled` for a message that found no room
    by its deadline or a publisher that was being closed. What a method raises is logged and harms nothing.
    """

    def __init__(self) -> None:
        return

    def connected(self, fact: Connected, /) -> None:
        """A connection can be published on."""

    def disconnected(self, fact: Disconnected, /) -> None:
        """A connection has ended, or could not be made."""

    def blocked(self, fact: Blocked, /) -> None:
        """The broker takes no messages at present."""

    def unblocked(self, fact: Unblocked, /) -> None:
        """It does again."""

    def taken(self, fact: MessageTaken, /) -> Mapping[str, str] | None:  # noqa: ARG002
        """A message is about to be published.

        Returns:
            Headers to add to the message's own (which go before them), such as a trace's; None: none.
        """
        return None

    def settled(self, fact: MessageSettled, /) -> None:
        """A message has its outcome; told once for each that was taken."""
