"""What a program under test was asked, what it answered, and where it did not keep to the protocol. No I/O.

A message's first answer counts. What else the program says of a message can't be passed over: a program that gives
two answers, or answers for what it was not given, may be wrong about those that count as well.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from conformance.errors import HarnessError
from conformance.history.events import Misbehaviour

__all__ = ["Answers", "Asked", "Breach", "shortened"]

_OUTCOMES = ("confirmed", "returned", "nacked", "failed", "unknown")
_MOST_TOLD = 200  # characters of a line
_MOST_OF_A_KIND = 20

_GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """Where the program did not keep to the protocol; ``detail`` is a clause."""

    what: Misbehaviour
    detail: str


@dataclass(slots=True, eq=False)
class Asked:
    """One message that the program was asked to publish."""

    message_id: str
    answer: Future[tuple[str, str]] = field(default_factory=Future)
    """Its outcome and the detail."""
    handed: bool = False
    """Whether its line was, or is being, written to the program that runs now."""


class Answers:
    """The book of what was asked and answered. Not safe for threads: the caller locks.

    Args:
        tell: takes each breach, the first of each kind; called with the lock held.
    """

    def __init__(self, tell: Callable[[Breach], object]) -> None:
        self._tell = tell
        self._told: Counter[str] = Counter()
        self._waiting: dict[str, deque[Asked]] = {}
        self._settled: dict[str, str] = {}
        self.chatter = ""
        """The last line that was no answer."""

    def ask(self, message_id: str) -> Asked:
        """A message is about to be handed over."""
        asked = Asked(message_id)
        self._waiting.setdefault(message_id, deque()).append(asked)
        return asked

    def forget(self, asked: Asked) -> None:
        """Nobody waits for this answer any more; one that comes later is late."""
        waiting = self._waiting.get(asked.message_id)
        if waiting is not None and asked in waiting:
            waiting.remove(asked)
            if not waiting:
                del self._waiting[asked.message_id]
            self._settled[asked.message_id] = _GIVEN_UP

    def waiting(self) -> list[Asked]:
        """What has no answer yet."""
        return [asked for queue in self._waiting.values() for asked in queue]

    def fail(self, asked: Asked, why: str) -> bool:
        """No answer can come for it. Returns False where it has one."""
        self.forget(asked)
        if asked.answer.done():
            return False
        asked.answer.set_exception(HarnessError(why))
        return True

    def take(self, line: bytes) -> None:
        """Take a line of the program's output."""
        told = _parsed(line)
        message_id = told.get("id")
        waiting = self._waiting.get(message_id) if isinstance(message_id, str) else None
        if waiting:
            self._settle(waiting[0], told, line)
        elif isinstance(message_id, str) and message_id in self._settled:
            self._again(message_id, told.get("outcome"))
        else:
            self.chatter = shortened(line)
            if "outcome" in told:
                self.breach("unknown_id", f"it answered for an id that it was not given: {self.chatter}")
            elif line.strip():
                self.breach("chatter", f"it writes lines on its standard output that are no answers: {self.chatter}")

    def breach(self, what: Misbehaviour, detail: str) -> None:
        """Tell a breach, unless so many of its kind were told."""
        self._told[what] += 1
        if self._told[what] <= _MOST_OF_A_KIND:
            self._tell(Breach(what=what, detail=detail))

    def _settle(self, asked: Asked, told: dict[str, Any], line: bytes) -> None:
        outcome, detail = told.get("outcome"), told.get("detail")
        if outcome not in _OUTCOMES:
            why = f"the program answered what is no outcome: {shortened(line)}"
            self.breach("no_outcome", f"it answered what is no outcome: {shortened(line)}")
            self.fail(asked, why)
            return
        self.forget(asked)
        self._settled[asked.message_id] = outcome
        if not asked.answer.done():
            asked.answer.set_result((outcome, detail if isinstance(detail, str) else ""))

    def _again(self, message_id: str, outcome: object) -> None:
        """An answer for what was settled before."""
        first = self._settled[message_id]
        if first == _GIVEN_UP:
            self.breach("late", f"it answered message {message_id} ({outcome}) once nobody waited for it any more")
        elif first == outcome:
            self.breach("repeated", f"it answered message {message_id} ({outcome}) twice")
        else:
            self.breach(
                "contradicted", f"it answered message {message_id} twice: first {first}, which counts, then {outcome}"
            )


def shortened(line: bytes) -> str:
    """A line for an error message."""
    text = line.decode(errors="replace").strip()
    return repr(text if len(text) <= _MOST_TOLD else text[:_MOST_TOLD] + "…")


def _parsed(line: bytes) -> dict[str, Any]:
    """The line as an object; an empty one where it is none."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
