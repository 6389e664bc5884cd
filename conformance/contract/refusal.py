"""What pydantic says of data that a user wrote, in the user's words: one UsageError for each wrong place."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from conformance.errors import UsageError

__all__ = ["Loc", "all_at_once", "did_you_mean", "read_text", "refusals"]

Loc = tuple[int | str, ...]
"""Where in the data, outermost first."""

_TYPES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
    type(None): "nothing",
}
_WANTED = {
    "string_type": "text",
    "int_type": "an integer",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A sentence that names the known word nearest to ``wrong``, else all known ones."""
    known = list(known)
    near = difflib.get_close_matches(wrong, known, n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Known are: {', '.join(known)}."


def refusals(
    exc: ValidationError, known_keys: Callable[[Loc], Iterable[str]], path_of: Callable[[Loc], Loc] = lambda loc: loc
) -> list[UsageError]:
    """One error for each place that pydantic found wrong, in its order.

    Args:
        exc: what pydantic raised.
        known_keys: the keys that the table at pydantic's place may have.
        path_of: turns pydantic's place into the place in the user's data.
    """
    return [_told(detail, path_of(detail["loc"]), known_keys) for detail in exc.errors(include_url=False)]


def all_at_once(errors: Sequence[UsageError]) -> UsageError:
    """One error that tells all of them (at least one): the first in front."""
    first, *others = errors
    if not others:
        return first
    listed = "".join(f"\n  {other}" for other in others)
    return UsageError(first.field, first.problem, f"{first.way_out}\nAlso wrong:{listed}")


def read_text(path: Path, most_bytes: int, what: str) -> str:
    """The text of a file that a user named.

    Args:
        path: the file.
        most_bytes: how large it may be.
        what: what it should be, for the error: ``"a contract"``.

    Raises:
        UsageError: it can't be read, is too large or is not UTF-8; the field is the file's name.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(most_bytes + 1)
        if len(raw) > most_bytes:
            raise UsageError(
                str(path), f"the file is larger than {most_bytes} bytes", f"Name {what}, not some other file."
            )
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise UsageError(str(path), f"byte {exc.start} is not UTF-8", "Save the file as UTF-8.") from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise UsageError(str(path), f"the file can't be read ({reason})", f"Name {what} that is there.") from exc


def _told(detail: ErrorDetails, loc: Loc, known_keys: Callable[[Loc], Iterable[str]]) -> UsageError:
    kind, value, message = detail["type"], detail["input"], detail["msg"]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]").lstrip(".")
    if kind == "extra_forbidden":
        wrong = str(loc[-1])
        return UsageError(field, f"there is no key {wrong!r} here", did_you_mean(wrong, known_keys(detail["loc"][:-1])))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _told_tag(field, value, detail["ctx"])
    if kind == "literal_error":
        return _told_choice(field, value, message)
    if kind == "missing":
        return UsageError(field, "this key is missing", "Write it.")
    if kind in _WANTED:
        is_a = _TYPES.get(type(value), f"a {type(value).__name__}")
        shown = "" if isinstance(value, list | dict) or value is None else f" ({_shown(value)})"
        return UsageError(field, f"this is {is_a}{shown}, not {_WANTED[kind]}", f"Write {_WANTED[kind]}.")
    if kind == "value_error":
        problem, _, way_out = message.removeprefix("Value error, ").partition("; ")
        return UsageError(field, problem, f"{way_out[:1].upper()}{way_out[1:]}.")
    if kind in ("too_short", "string_too_short"):
        return UsageError(field, f"{value!r} is empty", "Write at least one, or leave the key out.")
    return UsageError(field, f"{_shown(value)} can't stand here", f"{message}.")


def _told_choice(field: str, value: Any, message: str) -> UsageError:
    choices = [word.strip("' ") for word in message.removeprefix("Input should be ").replace(" or ", ", ").split(",")]
    if len(choices) == 1:
        return UsageError(field, f"{_shown(value)} is not known", f"Write {choices[0]}.")
    return UsageError(field, f"{_shown(value)} is none of {', '.join(choices)}", did_you_mean(str(value), choices))


def _told_tag(field: str, value: Any, ctx: Mapping[str, Any]) -> UsageError:
    key = ctx["discriminator"].strip("'")
    if key not in value:
        return UsageError(f"{field}.{key}", "this key is missing", "It says which kind this is.")
    choices = [word.strip("' ") for word in ctx["expected_tags"].split(",")]
    return UsageError(f"{field}.{key}", f"{_shown(value[key])} is not known", did_you_mean(str(value[key]), choices))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
