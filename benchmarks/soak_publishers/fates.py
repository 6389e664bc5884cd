"""What a caller was told of a message, in the words of the records. Pure."""

from __future__ import annotations

import asyncio

from benchmarks.soak_publishers.records import MessageTold
from durable_ws import (
    InvalidState,
    Nacked,
    NotSent,
    OutcomeUnknown,
    PublishError,
    Receipt,
    Refused,
    Unroutable,
)

__all__ = ["told_of"]

_ERRORS = {
    Refused: "refused",
    NotSent: "not sent",
    Nacked: "nacked",
    Unroutable: "unroutable",
    OutcomeUnknown: "unknown",
}


def told_of(tag: str, outcome: object) -> MessageTold:
    """The record of an outcome.

    Args:
        tag: of the message.
        outcome: the receipt, or what was raised.
    """
    match outcome:
        case Receipt(message_id, routed, attempts):
            return MessageTold(tag, "confirmed" if routed else "unrouted", attempts, message_id, "")
        case PublishError():
            word = _ERRORS.get(type(outcome), "odd")
            return MessageTold(tag, word, outcome.attempts, outcome.message_id, str(outcome))
        case InvalidState():
            return MessageTold(tag, "nothing", None, None, str(outcome))
        case asyncio.CancelledError():
            return _cancelled(tag, " ".join(getattr(outcome, "__notes__", [])))
    return MessageTold(tag, "odd", None, None, f"{type(outcome).__name__}: {outcome}")


def _cancelled(tag: str, note: str) -> MessageTold:
    """What a note on a CancelledError says; none: the message was never taken in."""
    if not note:
        return MessageTold(tag, "nothing", None, None, "", by_cancelling=True)
    words = {
        "outcome unknown": "unknown",
        "not sent": "not sent",
        "returned by the broker": "unroutable",
        "no queue is bound": "unrouted",
        "nacked": "nacked",
        "refused": "refused",
        "confirmed": "confirmed",
    }
    word = next((word for said, word in words.items() if said in note), "odd")
    return MessageTold(tag, word, None, None, note, by_cancelling=True)
