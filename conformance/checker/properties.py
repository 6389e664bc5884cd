"""Whether a message went out with the properties that it was asked to be published with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["changed"]

_MOST_TOLD = 60  # characters of a value


def changed(asked: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """The first property that is not as it was asked for, as a clause; empty: all are.

    A publisher may set others on its own, and add headers; what was asked for must be there and the same.

    Args:
        asked: AMQP property name to value.
        told: the same of what passed on the wire, as JSON has it.
    """
    for name, value in asked.items():
        if name == "headers" and isinstance(value, Mapping):
            headers = told.get("headers")
            below = changed(value, headers if isinstance(headers, Mapping) else {})
            if below:
                return f"of its headers, {below}"
        elif name not in told or told[name] is None:
            return f"{name} {_short(value)} was left out"
        elif not _same(value, told[name]):
            return f"{name} was {_short(told[name])}, not {_short(value)}"
    return ""


def _same(asked: Any, told: Any) -> bool:
    """Equal, and of one kind: true is not 1, nor is 1 the text ``"1"``."""
    match asked:
        case bool():
            return asked is told
        case int() | float():
            return isinstance(told, int | float) and not isinstance(told, bool) and asked == told
        case Mapping():
            return (
                isinstance(told, Mapping)
                and asked.keys() == told.keys()
                and all(_same(value, told[key]) for key, value in asked.items())
            )
        case list() | tuple():
            return (
                isinstance(told, list | tuple)
                and len(asked) == len(told)
                and all(_same(*pair) for pair in zip(asked, told, strict=True))
            )
        case _:
            return bool(asked == told)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_TOLD else text[:_MOST_TOLD] + "…"
