"""Where the publisher under test, a program, did not keep to the protocol: what it says of a verdict.

All that is known of a message's outcome is what the program says. One that contradicts itself, answers for what it was
not given, answers nothing or ends may be wrong about the rest as well: nothing is certified on its word, and nothing
is held against the setup for it. What does no harm is a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from conformance.history.events import Misbehaviour

__all__ = ["HARMLESS", "Misbehaved", "doubts", "remarks"]

HARMLESS: Final[frozenset[Misbehaviour]] = frozenset({"repeated", "late", "chatter"})
"""What settles nothing and contradicts nothing."""

Misbehaved = Mapping[Misbehaviour, tuple[str, int]]
"""By kind: one such breach in words, and how many there were."""


def doubts(misbehaved: Misbehaved) -> Iterator[str]:
    """Why nothing can be certified on the program's word, one sentence for each kind."""
    yield from (_sentence(told) for what, told in misbehaved.items() if what not in HARMLESS)


def remarks(misbehaved: Misbehaved) -> Iterator[str]:
    """What is told all the same."""
    yield from (_sentence(told) for what, told in misbehaved.items() if what in HARMLESS)


def _sentence(told: tuple[str, int]) -> str:
    detail, count = told
    more = f" ({count} times in all)" if count > 1 else ""
    return f"the publisher's program broke the protocol: {detail}{more}"
