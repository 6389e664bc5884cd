"""Messages: what a payload becomes on the wire, and which properties may go with it. No I/O."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from durable_ws.amqp.content import encode_address, encode_properties, encode_usual_properties
from durable_ws.exceptions import ConfigError, closest
from durable_ws.observe import MessageTaken
from durable_ws.table import checked_table

__all__ = ["MAX_SIZE_BYTES", "Message", "build", "encode_payload", "with_headers"]

MAX_SIZE_BYTES = 16 * 1024 * 1024
"""The largest body by default: RabbitMQ's own ``max_message_size`` is 16 MiB since 4.0 and was 128 MiB before
(https://www.rabbitmq.com/release-information, notes of 4.0.1; rabbitmq.conf.example)."""

_SHORT_STRING_BYTES = 255  # AMQP 0-9-1, 4.2.5.3
_HEADERS_BYTES = 100_000  # the properties must fit into one frame; RabbitMQ's frame_max is 131,072 by default
_EXPIRATION_MS = 2**32 - 1  # RabbitMQ refuses more: https://www.rabbitmq.com/docs/ttl#per-message-ttl-in-publishers
_new = tuple.__new__  # as Message() does it itself, without one more function
_TEXTS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)  # fmt: skip
_OTHER_WORDS = {"persistent": "delivery_mode", "ttl": "expiration", "mandatory": "require_route", "id": "message_id"}


class Message(NamedTuple):
    """One message, ready to be written any number of times.

    Attributes:
        exchange: its name at the broker.
        routing_key: at most 255 bytes.
        body: the payload's bytes.
        properties: by their names in AMQP, with message_id and delivery_mode among them.
        message_id: the same as in ``properties``.
        address: exchange and routing key as basic.publish says them.
        header: the properties as the content header says them.
        taken: what the publisher's observer was told of it; None: there is none.
    """

    exchange: str
    routing_key: str
    body: bytes
    properties: dict[str, Any]
    message_id: str
    address: bytes
    header: bytes
    taken: MessageTaken | None = None


def build(
    payload: object,
    *,
    exchange: str,
    routing_key: str = "",
    message_id: str | None = None,
    max_size_bytes: int = MAX_SIZE_BYTES,
    properties: Mapping[str, Any] | None = None,
) -> Message:
    """Make a message of what the caller gave.

    Args:
        payload: see :func:`encode_payload`.
        exchange: the name at the broker.
        routing_key: at most 255 bytes of UTF-8.
        message_id: at most 255 bytes of UTF-8, not empty; None: a new random one.
        max_size_bytes: the largest body.
        properties: AMQP's basic properties by name; None counts as not given. ``delivery_mode`` is 2 (persistent)
            unless given, ``content_type`` fits the payload unless given; ``expiration`` may be milliseconds or a
            timedelta, ``timestamp`` seconds or an aware datetime.

    Raises:
        ConfigError: something of it can't be published; names the field.
    """
    body, content_type = encode_payload(payload)
    if len(body) > max_size_bytes:
        raise ConfigError(
            "payload",
            f"the body has {len(body):,} bytes, the largest allowed is {max_size_bytes:,}",
            "Publish a reference to the data instead, or raise max_size here and max_message_size in rabbitmq.conf.",
        )
    if message_id is None:
        message_id = _new_id()
    elif _short_text("message_id", message_id) == "":
        raise ConfigError("message_id", "is empty", "Leave it out to get a new one.")
    checked: dict[str, Any] = {"content_type": content_type, "delivery_mode": 2, "message_id": message_id}
    if not properties:
        header = encode_usual_properties(content_type, 2, message_id)
    else:
        for name, value in properties.items():
            check = _CHECKS.get(name)
            if check is None:
                raise ConfigError(name, "is no property of a message", _suggest(name))
            if value is not None:
                checked[name] = check(name, value)
        header = encode_properties(checked)
    if not isinstance(routing_key, str):
        _short_text("routing_key", routing_key)  # says so
    address = _address(exchange, routing_key)
    return _new(Message, (exchange, routing_key, body, checked, message_id, address, header, None))


@lru_cache(maxsize=1024)
def _address(exchange: str, routing_key: str) -> bytes:
    """What the wire says of both: most messages go where others went before."""
    return encode_address(exchange, _short_text("routing_key", routing_key))


def with_headers(message: Message, headers: Mapping[str, Any]) -> Message:
    """The same message with more headers; those that it has itself stay as they are.

    Raises:
        ConfigError: these can't be published.
    """
    all_headers = _headers("headers", {**headers, **message.properties.get("headers", {})})
    properties = {**message.properties, "headers": all_headers}
    return message._replace(properties=properties, header=encode_properties(properties))


_VARIANTS = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}  # RFC 9562, 4.1: the first two bits are 10


def _new_id() -> str:
    """A random UUID (RFC 9562, version 4), made in a third of the time that :func:`uuid.uuid4` takes."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:]}"


def encode_payload(payload: object) -> tuple[bytes, str]:
    """The body and its content type.

    ``bytes`` (also bytearray and memoryview) stay as they are: ``application/octet-stream``. ``str`` becomes UTF-8:
    ``text/plain``. Anything else becomes JSON (RFC 8259, UTF-8, so neither NaN nor infinities).

    Raises:
        ConfigError: the payload is not JSON-able; names the place and the type that is in the way.
    """
    if isinstance(payload, bytes):
        return payload, "application/octet-stream"
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload), "application/octet-stream"
    try:
        if isinstance(payload, str):
            return payload.encode(), "text/plain"
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode(), "application/json"
    except UnicodeEncodeError as exc:
        raise ConfigError(
            "payload", f"holds a lone surrogate ({exc.object[exc.start]!r}), which UTF-8 can't say", "Publish bytes."
        ) from exc
    except (TypeError, ValueError, RecursionError) as exc:
        place, problem = _find_unencodable(payload, "payload", ()) or ("payload", str(exc))
        raise ConfigError(
            place, problem, "Give str, bytes, or what JSON knows: dict, list, str, int, float, bool, None."
        ) from exc


def _find_unencodable(value: object, place: str, parents: tuple[int, ...]) -> tuple[str, str] | None:
    """The place and the problem of the first thing that JSON can't say, in the order in which json.dumps walks."""
    if id(value) in parents:
        return place, "holds itself"
    if len(parents) > 200:
        return place, "is nested too deep"
    if isinstance(value, float) and not math.isfinite(value):
        return place, f"is {value!r}, which JSON does not know"
    if value is None or isinstance(value, str | int | float):
        return None
    if isinstance(value, dict):
        for key in value:
            if not (key is None or isinstance(key, str | int | float)):
                return place, f"has the key {key!r:.60} of type {type(key).__name__}, and JSON's keys are text"
        items: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return place, f"{value!r:.60} of type {type(value).__name__} is not JSON-able"
    found = (_find_unencodable(item, f"{place}[{key!r}]", (*parents, id(value))) for key, item in items)
    return next(filter(None, found), None)


def _suggest(name: str) -> str:
    if name in _OTHER_WORDS:
        return f"Did you mean {_OTHER_WORDS[name]!r}? " + closest("", _CHECKS)
    return closest(name, _CHECKS)


def _short_text(name: str, value: object) -> str:
    try:
        size = len(value.encode()) if isinstance(value, str) else None
    except UnicodeEncodeError:
        size = None
    if not isinstance(value, str) or size is None:
        raise ConfigError(name, f"{value!r:.60} is not text that UTF-8 can say", "Give a str.")
    if size > _SHORT_STRING_BYTES:
        raise ConfigError(name, f"{value[:40]!r}… has {size} bytes, AMQP allows 255", "Shorten it.")
    return value


def _headers(name: str, value: object) -> dict[str, Any]:
    table, size = checked_table(name, value)
    if size > _HEADERS_BYTES:
        raise ConfigError(
            name, f"take {size:,} bytes, at most {_HEADERS_BYTES:,} fit into a frame", "Put the data into the payload."
        )
    return table


def _integer(least: int, most: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ConfigError(name, f"{value!r:.60} is not an integer of {least}–{most}", "Give one in that range.")
        return int(value)

    return check


def _expiration(name: str, value: object) -> str:
    if isinstance(value, timedelta):
        value = round(value.total_seconds() * 1000)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(_EXPIRATION_MS)):
        value = int(value)
    return str(_integer(0, _EXPIRATION_MS)(name, value))


def _timestamp(name: str, value: object) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigError(name, f"{value!r} has no time zone", "Use datetime.now(timezone.utc).")
        value = int(value.timestamp())
    return _integer(0, 2**63 - 1)(name, value)


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    **dict.fromkeys(_TEXTS, _short_text),
    "headers": _headers,
    "delivery_mode": _integer(1, 2),
    "priority": _integer(0, 255),
    "expiration": _expiration,
    "timestamp": _timestamp,
}
