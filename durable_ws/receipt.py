"""What the broker's confirm is worth to the caller."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Receipt"]


class Receipt(NamedTuple):
    """The broker has confirmed the message.

    Attributes:
        message_id: the AMQP message-id under which it was published, each time.
        routed: whether at least one queue was bound for it; False means that nobody will ever get it (with
            ``attempts`` above 1: unless an earlier attempt, whose fate is not known, found a queue).
        attempts: how many times it was written; above 1 it may be in the queues more than once.
        latency_s: from the call to the confirm, in seconds.
    """

    message_id: str
    routed: bool
    attempts: int
    latency_s: float
