"""What the suite asks of a publisher under test (design.md, Interfaces)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from conformance.contract.model import Exchange

__all__ = ["Factory", "MakePublisher", "PublisherUnderTest"]


class PublisherUnderTest(Protocol):
    """``publish`` returns once the message is confirmed and raises otherwise; may be called from many threads.

    What it raises tells the outcome: :class:`durable_ws.Unroutable`, :class:`durable_ws.Nacked`,
    :class:`durable_ws.NotSent`; every other exception counts as outcome unknown. An optional attribute
    ``attempts`` on the returned value is recorded.
    """

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> object:
        """Publish one message and return once it is confirmed."""
        ...

    def close(self) -> None:
        """Wait for what is in flight, then close."""
        ...


Factory = Callable[[str], PublisherUnderTest]
"""Called with the AMQP URL (through the fault proxy)."""

MakePublisher = Callable[[str, list[Exchange]], PublisherUnderTest]
"""Called with the AMQP URL (through the fault proxy) and the exchanges by their names at the broker."""
