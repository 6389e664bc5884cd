"""A message on the wire: basic.publish, the content header with its properties, and the body in as many frames as it
takes.

Source: AMQP 0-9-1, 4.2.3 (frames), 4.2.6 (content), 1.8.3.3 (basic.publish). This is the path that every message
takes, so it packs bytes by hand; a property test holds it against pamqp's decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from durable_ws.amqp.table import encode_short, encode_table

__all__ = ["encode_address", "encode_content", "encode_properties", "encode_usual_properties"]

# Frame type, channel, size; class, method, reserved.
_method_start = struct.Struct(">BHIHHH").pack
# The last frame's end; frame type, channel, size; class, weight, body size.
_header_start = struct.Struct(">BBHIHHQ").pack
# The last frame's end; frame type, channel, size.
_body_start = struct.Struct(">BBHI").pack
_END = b"\xce"
_FRAME_OVERHEAD_BYTES = 8
_MANDATORY = b"\x01"


def _octet(value: int) -> bytes:
    return bytes((value,))


_PROPERTIES: dict[str, tuple[int, Callable[[Any], bytes]]] = {
    "content_type": (1 << 15, encode_short),
    "content_encoding": (1 << 14, encode_short),
    "headers": (1 << 13, encode_table),
    "delivery_mode": (1 << 12, _octet),
    "priority": (1 << 11, _octet),
    "correlation_id": (1 << 10, encode_short),
    "reply_to": (1 << 9, encode_short),
    "expiration": (1 << 8, encode_short),
    "message_id": (1 << 7, encode_short),
    "timestamp": (1 << 6, struct.Struct(">Q").pack),
    "type": (1 << 5, encode_short),
    "user_id": (1 << 4, encode_short),
    "app_id": (1 << 3, encode_short),
    "cluster_id": (1 << 2, encode_short),
}
"""In the order of the wire: the flag of each, and how its value is written (1.8.3, class basic)."""


@lru_cache(maxsize=1024)
def _before_id(content_type: str, delivery_mode: int, id_size: int) -> bytes:
    """What stands before the bytes of the message id, if there are no other properties: the same for most messages."""
    flags = sum(_PROPERTIES[name][0] for name in ("content_type", "delivery_mode", "message_id"))
    return struct.pack(">H", flags) + encode_short(content_type) + _octet(delivery_mode) + _octet(id_size)


def encode_usual_properties(content_type: str, delivery_mode: int, message_id: str) -> bytes:
    """As :func:`encode_properties` of these three: the usual ones."""
    encoded = message_id.encode()
    return _before_id(content_type, delivery_mode, len(encoded)) + encoded


@lru_cache(maxsize=1024)
def _begin(channel: int, address: bytes) -> bytes:
    """The frame of basic.publish without its end: most messages go where others went before."""
    return _method_start(1, channel, 6 + len(address), 60, 40, 0) + address


def encode_properties(properties: Mapping[str, Any]) -> bytes:
    """Flags and values of the properties that are given, by their names in AMQP."""
    flags, values = 0, []
    for name, (flag, encode) in _PROPERTIES.items():
        if name in properties:
            flags |= flag
            values.append(encode(properties[name]))
    return struct.pack(">H", flags) + b"".join(values)


def encode_address(exchange: str, routing_key: str) -> bytes:
    """What basic.publish says of a mandatory message: where it goes."""
    return encode_short(exchange) + encode_short(routing_key) + _MANDATORY


def encode_content(  # noqa: PLR0913, RUF100
    channel: int, address: bytes, properties: bytes, body: bytes, frame_max: int
) -> bytes | None:
    """All frames of one message.

    Args:
        channel: on which it is published.
        address: from :func:`encode_address`.
        properties: from :func:`encode_properties`.
        body: of any size.
        frame_max: the largest frame in bytes, its 8 of overhead included; 0: no limit.

    Returns:
        The frames, one after the other; None: the properties do not fit into one frame, and AMQP can't split them.
    """
    if frame_max and len(properties) + 12 + _FRAME_OVERHEAD_BYTES > frame_max:
        return None
    size = len(body)
    method = _begin(channel, address)
    header = _header_start(0xCE, 2, channel, 12 + len(properties), 60, 0, size)
    if not frame_max or size <= frame_max - _FRAME_OVERHEAD_BYTES:
        if not size:
            return b"".join((method, header, properties, _END))
        return b"".join((method, header, properties, _body_start(0xCE, 3, channel, size), body, _END))
    pieces, most = [method, header, properties], frame_max - _FRAME_OVERHEAD_BYTES
    for start in range(0, size, most):
        piece = body[start : start + most]
        pieces += _body_start(0xCE, 3, channel, len(piece)), piece
    pieces.append(_END)
    return b"".join(pieces)
