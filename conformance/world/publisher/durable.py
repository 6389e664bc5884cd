"""``durable_ws`` as the publisher under test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import durable_ws
from conformance.contract.model import Exchange
from durable_ws import Publisher, Receipt

__all__ = ["DurableWs"]


class DurableWs:
    """The project's own publisher behind the suite's protocol.

    Args:
        url: the AMQP URL.
        exchanges: the contract's exchanges by their names at the broker.
        timeout_s: the deadline of each publish, in seconds.
        **options: passed on to :class:`durable_ws.Publisher`.
    """

    def __init__(self, url: str, *, exchanges: Iterable[Exchange], timeout_s: float = 30.0, **options: Any) -> None:
        declared = {
            exchange.name: durable_ws.Exchange(
                name=exchange.name, type=exchange.type, durable=exchange.durable, passive=exchange.passive
            )
            for exchange in exchanges
        }
        self._publisher = Publisher(url, declared, timeout=timeout_s, **options)

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> Receipt:
        """Publish one message; the receipt says whether it was routed."""
        return self._publisher.publish(body, to=exchange, routing_key=routing_key, message_id=message_id)

    def close(self) -> None:
        """Wait for what is in flight, then close."""
        self._publisher.close()
