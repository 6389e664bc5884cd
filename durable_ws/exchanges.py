"""Exchanges as they are declared, and the two that are there by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from durable_ws.exceptions import ConfigError, closest
from durable_ws.table import checked_table

__all__ = ["DEFAULT_EXCHANGES", "Exchange", "resolve"]

_TYPES = ("topic", "fanout", "direct", "headers")
_SHORT_STRING_BYTES = 255  # AMQP 0-9-1, 4.2.5.3 (short strings)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange. Never auto-deleted, as an exchange that goes away takes the tabs' bindings with it.

    Attributes:
        name: at the broker, 1–255 bytes of UTF-8; ``""`` is the broker's default exchange, which is not declared.
        type: ``topic``, ``fanout``, ``direct``, ``headers`` or a plugin's ``x-…``; not looked at if ``passive``.
        durable: survives a restart of the broker; not looked at if ``passive``.
        passive: it was created beforehand; only its presence is checked.
        arguments: such as ``{"alternate-exchange": "unrouted"}``; None for none.

    Raises:
        ConfigError: a value can't be used.
    """

    name: str
    type: str = "topic"
    durable: bool = True
    passive: bool = False
    arguments: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not _is_short_text(self.name):
            raise ConfigError(
                "exchange.name",
                f"{self.name!r:.60} is not a text of at most 255 bytes of UTF-8",
                "Give the broker's name of it.",
            )
        if not _is_short_text(self.type) or not (self.type in _TYPES or self.type.startswith("x-")):
            raise ConfigError(
                "exchange.type", f"{self.type!r:.60} is no type of exchange", closest(str(self.type), _TYPES)
            )
        for field, value in (("durable", self.durable), ("passive", self.passive)):
            if not isinstance(value, bool):
                raise ConfigError(f"exchange.{field}", f"{value!r:.60} is not a bool", "Write True or False.")
        if self.arguments is not None:
            checked_table("exchange.arguments", self.arguments)


def _is_short_text(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value.encode()) <= _SHORT_STRING_BYTES
    except UnicodeEncodeError:
        return False


DEFAULT_EXCHANGES: Mapping[str, Exchange] = {
    "pubsub": Exchange("durable-websocket-pubsub", "topic"),
    "broadcast": Exchange("durable-websocket-broadcast", "fanout"),
}
"""What a publisher knows if it is not told otherwise."""


def resolve(exchanges: Mapping[str, Exchange | Mapping[str, Any]] | None) -> dict[str, Exchange]:
    """The exchanges that a publisher knows, by the names that ``to=`` takes.

    Args:
        exchanges: an :class:`Exchange` for each name, or a mapping of its fields (``name`` is the key where it is
            left out); None for the default two.

    Raises:
        ConfigError: it is not such a mapping, or empty, a field is unknown or can't be used, or two names stand for
            one exchange at the broker and declare it differently.
    """
    if exchanges is None:
        return dict(DEFAULT_EXCHANGES)
    if not isinstance(exchanges, Mapping) or not exchanges:
        raise ConfigError(
            "exchanges",
            f"{exchanges!r:.60} is not a mapping of names to exchanges with at least one entry",
            'Write exchanges={"news": Exchange("news", type="topic")}, or leave it out for the default two.',
        )
    resolved: dict[str, Exchange] = {}
    by_broker_name: dict[str, str] = {}
    for key, given in exchanges.items():
        exchange = _resolve_one(key, given)
        other = by_broker_name.setdefault(exchange.name, key)
        if resolved.setdefault(other, exchange) != exchange:
            raise ConfigError(
                f"exchanges[{key!r}]",
                f"declares {exchange.name!r} otherwise than exchanges[{other!r}] does",
                "Declare one exchange in one way, or give the two different names.",
            )
        resolved[key] = exchange
    return resolved


def _resolve_one(key: object, given: object) -> Exchange:
    if not isinstance(key, str):
        raise ConfigError(f"exchanges[{key!r:.60}]", f"the name is a {type(key).__name__}", "Name it by a text.")
    if isinstance(given, Exchange):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"exchanges[{key!r}]",
            f"{given!r:.60} is not an Exchange",
            f"Write Exchange({key!r}, passive=True) for one that is there already.",
        )
    known = [field.name for field in fields(Exchange)]
    for name in given:
        if name not in known:
            raise ConfigError(f"exchanges[{key!r}]", f"{name!r} is no field of it", closest(str(name), known))
    try:
        return Exchange(**{"name": key, **given})
    except ConfigError as exc:
        field = exc.field.removeprefix("exchange.")
        raise ConfigError(f"exchanges[{key!r}].{field}", exc.problem, exc.way_out) from None
