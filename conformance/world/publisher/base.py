"""What the suite asks of a publisher under test (design.md, Interfaces)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from conformance.contract.model import Exchange

__all__ = ["Factory", "MakePublisher", "PublisherUnderTest"]


class PublisherUnderTest(Protocol):
    """``publish`` returns once the message is confirmed and raises otherwise; may be called from many threads.

    What it raises tells the outcome: :class:`durable_ws.Unroutable`, :class:`durable_ws.Nacked`,
    :class:`durable_ws.NotSent`; every other exception counts as outcome unknown. An optional attribute
    ``attempts`` on the returned value is recorded.
    """

    @property
    def publish(self) -> Callable[..., object]:
        """Publish one message and return once it is confirmed.

        It is called with ``body: bytes`` and, by their names, ``exchange: str``, ``routing_key: str`` and
        ``message_id: str``. Only what the publisher offers to take (:data:`conformance.contract.model.Offer`) comes
        besides: ``properties``, AMQP property names to values (``expiration`` as text, ``timestamp`` in seconds since
        1970), and ``timeout``, the seconds after which the call ends with what is known of the message.
        """
        ...

    def close(self) -> None:
        """Wait for what is in flight, then close."""
        ...


Factory = Callable[..., PublisherUnderTest]
"""Called with the AMQP URL (through the fault proxy), and with ``failover``, a list of further URLs of the same broker,
where it offers to take that."""


class MakePublisher(Protocol):
    """Makes the publisher under test for one play."""

    def __call__(self, url: str, exchanges: list[Exchange], /, *, failover: Sequence[str] = ()) -> PublisherUnderTest:
        """Make it.

        Args:
            url: the AMQP URL, through the fault proxy.
            exchanges: by their names at the broker.
            failover: further URLs of the same broker; given only to a publisher that offers to take them.
        """
        ...
