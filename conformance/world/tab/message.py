"""What a tab takes from a MESSAGE frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from conformance.history.events import digest

__all__ = ["TabMessage", "read_message", "routing_key_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TabMessage:
    """A message as it arrived; the fields are those of :class:`~conformance.history.events.TabDelivered`."""

    body: bytes
    body_digest: str
    ack_id: str
    message_id: str | None = None
    redelivered: bool = False
    delivery_count: int | None = None
    persistent: bool | None = None
    routing_key: str | None = None


def read_message(header: Callable[[str], str | None], body: bytes) -> TabMessage:
    """The message of a MESSAGE frame.

    RabbitMQ's ``message-id`` is its own name for the delivery; the publisher's comes as ``amqp-message-id``
    (https://www.rabbitmq.com/docs/stomp#pear.am). ``persistent`` comes only with persistent messages.

    Args:
        header: the value of the header with that name (the first where it is repeated), or None.
        body: its bytes.
    """
    count = header("x-delivery-count") or ""
    return TabMessage(
        body=body,
        body_digest=digest(body),
        ack_id=header("ack") or "",
        message_id=header("amqp-message-id"),
        redelivered=header("redelivered") == "true",
        delivery_count=int(count) if count.isascii() and count.isdigit() and len(count) < 10 else None,
        persistent=header("persistent") == "true",
        routing_key=routing_key_of(header("destination") or ""),
    )


def routing_key_of(destination: str) -> str | None:
    """The routing key in a MESSAGE's destination; None where it names none.

    ``/exchange/NAME/KEY`` and ``/topic/KEY``. Here RabbitMQ encodes every octet that is not plain, unlike in a
    SUBSCRIBE's destination, of which it decodes ``%2F`` alone (seen on 3.10.8: ``a/b.%20é`` comes as
    ``a%2Fb.%2520%C3%A9``).
    """
    match destination.split("/"):
        case ["", "exchange", _, key] | ["", "topic", key]:
            return unquote(key)
    return None
