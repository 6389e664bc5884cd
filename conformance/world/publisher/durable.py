"""``durable_ws`` as the publisher under test: for threads, and for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import durable_ws
from conformance.contract.model import Exchange
from durable_ws import AsyncPublisher, Publisher, Receipt

__all__ = ["AsyncDurableWs", "DurableWs"]

_T = TypeVar("_T")


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
        self._publisher = Publisher(_with_hosts(url, failover), _declared(exchanges), timeout=timeout_s, **options)

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


class AsyncDurableWs:
    """:class:`durable_ws.AsyncPublisher` behind the suite's protocol, on an event loop in a thread of its own.

    Args:
        url, exchanges, failover, timeout_s, options: as for :class:`DurableWs`.
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
        self._publisher = AsyncPublisher(_with_hosts(url, failover), _declared(exchanges), timeout=timeout_s, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="publisher-asyncio", daemon=True)
        self._thread.start()

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
        """Publish one message, as a task on the loop; the receipt says whether it was routed."""
        return self._await(
            self._publisher.publish(
                body, to=exchange, routing_key=routing_key, message_id=message_id, timeout=timeout, **(properties or {})
            )
        )

    def close(self) -> None:
        """Wait for what is in flight, close, and end the loop; nothing the second time."""
        if self._loop.is_closed():
            return
        try:
            self._await(self._publisher.close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _await(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _declared(exchanges: Iterable[Exchange]) -> dict[str, durable_ws.Exchange]:
    return {
        exchange.name: durable_ws.Exchange(
            name=exchange.name, type=exchange.type, durable=exchange.durable, passive=exchange.passive
        )
        for exchange in exchanges
    }


def _with_hosts(url: str, further: Sequence[str]) -> str:
    """The URL with the hosts of further ones: ``amqp://user:password@host:1,host:2/vhost``."""
    parts = urlsplit(url)
    hosts = [parts.netloc, *(urlsplit(one).netloc.rpartition("@")[2] for one in further)]
    return parts._replace(netloc=",".join(hosts)).geturl() if further else url
