"""AMQP tables (headers, arguments): whether their values can be sent, asked before anything is written. No I/O."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from durable_ws.amqp.table import encode_table, encode_value
from durable_ws.exceptions import ConfigError

__all__ = ["checked_table"]

_DEEPEST = 50
_SHORT_STRING_BYTES = 255  # AMQP 0-9-1, 4.2.5.5: the names of fields are short strings
_WAY_OUT = "Values are text, bytes, bool, int of 64 bits, datetime, None, and lists and dicts of them."


def checked_table(field: str, table: object) -> tuple[dict[str, Any], int]:
    """The table as a dict, and its size on the wire in bytes.

    Raises:
        ConfigError: it is no mapping, or AMQP can't say something in it (a float is refused too, as brokers and
            clients disagree about its precision); names the place.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(field, f"{table!r:.60} is not a mapping of texts to values", 'Write {"key": "value"}.')
    plain = dict(table)
    _check(field, plain, 0)
    return plain, len(encode_table(plain))


def _check(place: str, value: object, depth: int) -> None:
    if depth > _DEEPEST:
        raise ConfigError(place.partition("[")[0], "is nested too deep, or holds itself", _WAY_OUT)
    if isinstance(value, dict):
        for key, item in value.items():
            _check_key(place, key)
            _check(f"{place}[{key!r:.60}]", item, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check(f"{place}[{number}]", item, depth + 1)
    elif isinstance(value, float):
        raise ConfigError(place, f"is the float {value!r}, which can't be sent in a table", "Send it as text.")
    else:
        try:
            encode_value(value)
        except (struct.error, ArithmeticError, TypeError, ValueError) as exc:
            raise ConfigError(
                place, f"{value!r:.60} of type {type(value).__name__} is nothing that AMQP can say", _WAY_OUT
            ) from exc


def _check_key(place: str, key: object) -> None:
    if not isinstance(key, str):
        raise ConfigError(
            place, f"has the key {key!r:.60} of type {type(key).__name__}, and AMQP's keys are text", _WAY_OUT
        )
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise ConfigError(place, f"has the key {key!r:.60}, which UTF-8 can't say", "Give another.") from None
    if size > _SHORT_STRING_BYTES:
        raise ConfigError(place, f"has the key {key[:40]!r}… of {size} bytes, AMQP allows 255", "Shorten it.")
