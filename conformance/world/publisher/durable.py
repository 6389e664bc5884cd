"""``durable_ws`` as the publisher under test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import durable_ws
from conformance.contract.model import Exchange
from durable_ws import Publisher, Receipt

__all__ = ["DurableWs"]


class DurableWs:
    """The project's own publisher behind the suite's protocol.

    Args:
        url: the AMQP URL.
        exchanges: the contract's exchanges by their names at the broker.
        failover: further URLs of the same broker; their hosts are added to the first URL's.
        timeout_s: the deadline of each publish, in seconds.
        **options: passed on to :class:`durable_ws.Publisher`.
    """

    def __init__(
        self,
        url: str,
        *,
        exchanges: Iterable[Exchange],
        failover: Sequence[str] = (),
        timeout_s: float = 30.0,
        **options: Any,
    ) -> None:
        declared = {
            exchange.name: durable_ws.Exchange(
                name=exchange.name, type=exchange.type, durable=exchange.durable, passive=exchange.passive
            )
            for exchange in exchanges
        }
        self._publisher = Publisher(_with_hosts(url, failover), declared, timeout=timeout_s, **options)

    def publish(
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        message_id: str,
        properties: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Publish one message; the receipt says whether it was routed."""
        return self._publisher.publish(
            body, to=exchange, routing_key=routing_key, message_id=message_id, timeout=timeout, **(properties or {})
        )

    def close(self) -> None:
        """Wait for what is in flight, then close."""
        self._publisher.close()


def _with_hosts(url: str, further: Sequence[str]) -> str:
    """The URL with the hosts of further ones: ``amqp://user:password@host:1,host:2/vhost``."""
    parts = urlsplit(url)
    hosts = [parts.netloc, *(urlsplit(one).netloc.rpartition("@")[2] for one in further)]
    return parts._replace(netloc=",".join(hosts)).geturl() if further else url
