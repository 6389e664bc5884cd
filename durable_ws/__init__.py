"""A publisher whose messages are not lost on the way to a browser tab.

::

    from durable_ws import Publisher

    with Publisher("amqp://guest:guest@localhost:5672/%2F") as publisher:
        receipt = publisher.publish({"price": 42}, routing_key="ticks")

and the same for asyncio::

    async with AsyncPublisher("amqp://guest:guest@localhost:5672/%2F") as publisher:
        receipt = await publisher.publish({"price": 42}, routing_key="ticks")
"""

from __future__ import annotations

from durable_ws.async_batch import AsyncBatch
from durable_ws.async_publisher import AsyncPublisher
from durable_ws.batch import Batch
from durable_ws.exceptions import (
    BatchError,
    ConfigError,
    DurableWsError,
    InvalidState,
    Nacked,
    NotSent,
    OutcomeUnknown,
    PublishError,
    Refused,
    Unroutable,
)
from durable_ws.exchanges import Exchange
from durable_ws.observe import Health, Observer
from durable_ws.publisher import Publisher
from durable_ws.receipt import Receipt

__all__ = [
    "AsyncBatch",
    "AsyncPublisher",
    "Batch",
    "BatchError",
    "ConfigError",
    "DurableWsError",
    "Exchange",
    "Health",
    "InvalidState",
    "Nacked",
    "NotSent",
    "Observer",
    "OutcomeUnknown",
    "PublishError",
    "Publisher",
    "Receipt",
    "Refused",
    "Unroutable",
]
