"""The properties of a message as they stood on the wire, in a form that JSON can hold. Pure.

Text is text, numbers are numbers, a time is its whole seconds since 1970 (AMQP 0-9-1, 4.2.5.4: timestamps), and what
JSON has no word for (bytes, decimals) is text that says what it is.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from pamqp import commands

__all__ = ["said"]

_NAMES = (
    "content_type", "content_encoding", "headers", "priority", "correlation_id", "reply_to", "expiration", "timestamp",
    "message_type", "user_id", "app_id", "cluster_id",
)  # fmt: skip
"""As pamqp names them, but for what is told elsewhere (message_id, delivery_mode)."""
_OTHER_NAMES = {"message_type": "type"}


def said(properties: commands.Basic.Properties) -> dict[str, Any]:
    """AMQP property name to value, of those that are set."""
    return {
        _OTHER_NAMES.get(name, name): _plain(value)
        for name in _NAMES
        # pamqp has "" for a cluster_id that is not there.
        if (value := getattr(properties, name, None)) is not None and (name, value) != ("cluster_id", "")
    }


def _plain(value: Any) -> Any:
    """The value, and all that is within a table or an array, as JSON can hold it."""
    match value:
        case dict():
            return {str(key): _plain(below) for key, below in value.items()}
        case list() | tuple():
            return [_plain(below) for below in value]
        case dt.datetime():
            return int(value.timestamp())
        case bytes() | bytearray() | memoryview():
            return f"bytes {bytes(value).hex()}"
        case Decimal():
            return f"decimal {value}"
        case _:
            return value
