"""AMQP tables (headers, arguments, client properties) as bytes.

Source: AMQP 0-9-1, 4.2.5.5, with the types as RabbitMQ reads them (https://www.rabbitmq.com/amqp-0-9-1-errata#section_3).
"""

from __future__ import annotations

import struct
from calendar import timegm
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

__all__ = ["encode_short", "encode_table", "encode_value"]

_LONG = struct.Struct(">I")
_OCTETS = [bytes((size,)) for size in range(256)]


def encode_short(text: str) -> bytes:
    """A short string: its length in one byte, and its UTF-8 (4.2.5.3).

    Raises:
        ValueError: it has more than 255 bytes, or UTF-8 can't say it.
    """
    encoded = text.encode()
    size = len(encoded)
    if size > 255:
        raise ValueError(f"a short string of {size} bytes")
    return _OCTETS[size] + encoded


def encode_table(table: Mapping[str, Any]) -> bytes:
    """The table with its length in front, its fields in the mapping's order.

    Raises:
        TypeError, ValueError, ArithmeticError, struct.error: AMQP can't say something in it.
    """
    fields = b"".join([encode_short(key) + encode_value(value) for key, value in table.items()])
    return _LONG.pack(len(fields)) + fields


def encode_value(value: object) -> bytes:  # noqa: PLR0911, RUF100 - one for each type
    """A field's value with its type in front; raises as :func:`encode_table`."""
    match value:
        case None:
            return b"V"
        case bool():
            return b"t\x01" if value else b"t\x00"
        case str():
            encoded = value.encode()
            return b"S" + _LONG.pack(len(encoded)) + encoded
        case bytes():
            return b"x" + _LONG.pack(len(value)) + value
        case int():
            return struct.pack(">cq", b"l", value) if abs(value) >> 31 else struct.pack(">ci", b"I", value)
        case Decimal():
            return _encode_decimal(value)
        case datetime():
            return struct.pack(">cQ", b"T", timegm(value.utctimetuple()))
        case dict():
            return b"F" + encode_table(value)
        case list():
            items = b"".join([encode_value(item) for item in value])
            return b"A" + _LONG.pack(len(items)) + items
    raise TypeError(f"a {type(value).__name__} is no value of an AMQP table")


def _encode_decimal(value: Decimal) -> bytes:
    """Decimal places in a byte, and the digits as 32 bits with a sign."""
    plain = value.normalize()
    exponent = plain.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"AMQP has no {value}")  # noqa: TRY004, RUF100 - a Decimal it is
    places = max(0, -exponent)
    return struct.pack(">cBi", b"D", places, int(plain.scaleb(places)))
