"""Looking at a node again and again until something shows: the broker tells nobody of it by itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from conformance.errors import HarnessError, NotFound
from conformance.faults.broker.base import Node

__all__ = ["all_of", "found", "segment", "until"]

_LOOK_S = 0.1


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether the condition held within so many seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_S)  # between two looks at the broker: there is no event to wait for
    return True


def found(node: Node, path: str) -> Any:
    """What the management API has there; None: nothing."""
    with contextlib.suppress(NotFound):
        return node.ask("GET", path)
    return None


def segment(text: str) -> str:
    """The text as one segment of a management path."""
    return quote(text, safe="")


def all_of(*healings: Callable[[], object]) -> None:
    """Call each, whatever the others raise, and raise the first error at the end: one that fails must not spare others.

    Raises:
        HarnessError: one of them did.
    """
    errors: list[HarnessError] = []
    for heal in healings:
        try:
            heal()
        except HarnessError as exc:
            errors.append(exc)
    if errors:
        raise errors[0]
