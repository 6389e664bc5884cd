"""Durations: ``"1h30m"`` in a file, seconds in the program.

The text is made of whole or decimal numbers with the units d, h, m, s and ms, greatest unit first, each at
most once. A plain number has no unit: a file may not hold one, a Python caller may (it is seconds).
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo

__all__ = ["EXAMPLES", "FROM_FILE", "Duration", "DurationOrNever", "parse_duration", "text_of"]

EXAMPLES = '"250ms", "10s", "1h30m", "48h", "2d" or "0s"'
"""What a correct duration looks like, for errors."""

FROM_FILE = "from_file"
"""The key of pydantic's validation context that says that the value stood in a file: plain numbers are refused."""

_UNIT_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_TEXT = re.compile("".join(rf"(?:(?P<{unit}>[0-9]+(?:\.[0-9]+)?){unit})?" for unit in _UNIT_MS))
_MOST_S = 3650 * 86_400.0


def parse_duration(text: str) -> float:
    """Read a duration.

    Args:
        text: such as ``"250ms"`` or ``"1h30m"``; spaces around it are ignored.

    Returns:
        Seconds, from 0 to ten years.

    Raises:
        ValueError: the text is no duration or too long; the message shows examples.
    """
    found = _TEXT.fullmatch(text.strip())
    parts = {unit: amount for unit, amount in found.groupdict().items() if amount} if found else {}
    if not parts:
        raise ValueError(f"{text!r} is no duration; write one such as {EXAMPLES}")
    return _checked(sum(float(amount) * _UNIT_MS[unit] for unit, amount in parts.items()) / 1000)


def text_of(seconds: float) -> str:
    """Write seconds as a duration that :func:`parse_duration` reads back (to the microsecond).

    What is no duration (not finite, negative, longer than ten years) is written as a plain number of seconds.
    """
    if not 0 <= seconds <= _MOST_S:
        return f"{seconds:g}s"
    left = round(seconds * 1000, 3)
    parts = []
    for unit, unit_ms in _UNIT_MS.items():
        amount = int(left // unit_ms) if unit != "ms" else left
        if amount:
            parts.append(f"{amount:.10g}{unit}")
            left = round(left - amount * unit_ms, 3)
    return "".join(parts) or "0s"


def _checked(seconds: float) -> float:
    if not math.isfinite(seconds) or not 0 <= seconds <= _MOST_S:
        raise ValueError(f"{seconds!r} s is no duration; it is from 0s to {text_of(_MOST_S)}")
    return seconds


def _validate(value: Any, info: ValidationInfo) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no duration; write one such as {EXAMPLES}")
    if info.context and info.context.get(FROM_FILE):
        raise ValueError(f'{value!r} has no unit; write "{value}s" if seconds are meant, or {EXAMPLES}')
    return _checked(float(value))


def _validate_or_never(value: Any, info: ValidationInfo) -> float | None:
    return None if value is None or value == "never" else _validate(value, info)


def _format_or_never(seconds: float | None) -> str:
    return "never" if seconds is None else text_of(seconds)


Duration = Annotated[float, BeforeValidator(_validate), PlainSerializer(text_of, return_type=str, when_used="json")]
"""Seconds; text in a file and in JSON."""

DurationOrNever = Annotated[
    float | None,
    BeforeValidator(_validate_or_never),
    PlainSerializer(_format_or_never, return_type=str, when_used="json"),
]
"""Seconds, or None for ``"never"``."""
