"""The books of a soak: what was called, told, observed and found in the queues, and what is wrong with it. Pure.

Books are settled at the end of each round, when every call must have ended, no connection of the publishers is left at
the broker and the queues have been emptied; then they are empty again, and whatever comes later of a message of a
settled round is wrong too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.soak_publishers.records import (
    CallBegun,
    CallEnded,
    MessageBegun,
    MessageTold,
    Observed,
)

__all__ = ["SLACK_S", "Books", "Key", "Told", "Totals", "Wrong"]

SLACK_S = 5.0
"""So much after its deadline a call may end: the threads of a busy machine are not run at once."""

_NEVER_THERE = frozenset(("not sent", "refused", "nothing"))
_OBSERVED_AS = {
    "confirmed": "confirmed",
    "unrouted": "returned",
    "unroutable": "returned",
    "not sent": "not sent",
    "refused": "refused",
    "nacked": "nacked",
    "unknown": "unknown",
}
_DOUBT = "an earlier attempt"  # in the text of Unroutable: one may have found a queue


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that must not be.

    Attributes:
        kind: a few words, the same for all of its kind.
        text: what exactly.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Key:
    """A routing key.

    Attributes:
        queues: that it leads to.
        always: whether it does so all the time; else it is bound and unbound again and again.
    """

    queues: tuple[str, ...]
    always: bool = True


@dataclass(slots=True)
class Told:
    """A message in the books."""

    call: int
    way: str
    key: str
    message_id: str | None
    told: MessageTold | None = None


@dataclass(slots=True)
class Totals:
    """What the whole soak came to.

    Attributes:
        calls: by program and way.
        messages: by program, way and outcome.
        cancelled: messages whose caller was cancelled, by program and way.
        again: messages of which more than one attempt was told.
        found: messages taken out of the queues.
        copies: those of them that were one more of what had been found already in the same queue.
        latest_s: the longest that a call ended after its deadline; below 0: before it.
    """

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    cancelled: Counter[tuple[str, str]] = field(default_factory=Counter)
    again: int = 0
    found: int = 0
    copies: int = 0
    latest_s: float = float("-inf")


class Books:
    """What one program was told, round by round.

    Args:
        program: its name.
        keys: the routing keys that it uses.
        totals: is added to.
        slack_s: so much after its deadline a call may end.
        observed: whether the publisher has an observer.
    """

    def __init__(
        self,
        program: str,
        keys: Mapping[str, Key],
        totals: Totals,
        slack_s: float = SLACK_S,
        *,
        observed: bool = True,
    ) -> None:
        self._has_observer = observed
        self._program = program
        self._keys = keys
        self._totals = totals
        self._slack_s = slack_s
        self._calls: dict[int, str] = {}  # those that have not ended, with their ways
        self._ways: dict[int, str] = {}
        self._messages: dict[str, Told] = {}
        self._observed: dict[tuple[str, str], list[Observed]] = {}
        self._found: dict[str, Counter[str]] = {}  # by tag, then by queue
        self._wrong: list[Wrong] = []

    @property
    def open_calls(self) -> int:
        """How many calls have not ended."""
        return len(self._calls)

    def take(self, record: CallBegun | MessageBegun | MessageTold | CallEnded | Observed) -> None:
        """Enter what the program tells."""
        match record:
            case CallBegun(call, way):
                self._calls[call] = self._ways[call] = way
                self._totals.calls[self._program, way] += 1
            case MessageBegun(call, tag, key, message_id):
                self._messages[tag] = Told(call, self._ways[call], key, message_id)
            case MessageTold(tag):
                self._messages[tag].told = record
            case CallEnded(call, late_s):
                way = self._calls.pop(call)
                self._totals.latest_s = max(self._totals.latest_s, late_s)
                if late_s > self._slack_s:
                    self._say("a call ended late", f"{way} (call {call}) ended {late_s:.1f} s after its deadline")
            case Observed(message_id, key):
                self._observed.setdefault((message_id, key), []).append(record)

    def find(self, queue: str, tag: str, *, intact: bool, message_id: str | None) -> None:
        """Enter a message that was taken out of a queue.

        Args:
            queue: which.
            tag: that its body names.
            intact: whether its body is that message's to the last byte.
            message_id: of its properties.
        """
        self._totals.found += 1
        message = self._messages.get(tag)
        if message is None:
            self._say("a message is in the queue that nobody has published in this round", f"{tag!r:.60} in {queue}")
            return
        if not intact:
            self._say("a message's body is not what was published", f"{tag} in {queue}")
        given = message.message_id or (message.told.message_id if message.told is not None else None)
        if given is not None and message_id != given:
            self._say("a message has another message id", f"{tag} in {queue}: {message_id!r:.60} instead of {given}")
        if queue not in self._keys[message.key].queues:
            self._say("a message is in a queue that its key does not lead to", f"{tag} ({message.key}) in {queue}")
        copies = self._found.setdefault(tag, Counter())
        copies[queue] += 1
        self._totals.copies += copies[queue] > 1

    def settle(self) -> list[Wrong]:
        """Close the books of a round and begin new ones.

        Call it when all calls had the time to end and all that was in the queues has been found.

        Returns:
            All that is wrong.
        """
        for call, way in self._calls.items():
            self._say("a call never ended", f"{way} (call {call})")
        for tag, message in self._messages.items():
            if message.told is not None:
                self._judge(tag, message, message.told)
            elif message.call not in self._calls:
                self._say("a call ended without an outcome of a message", f"{message.way}: {tag}")
        wrong, self._wrong = self._wrong, []
        self._calls, self._ways, self._messages, self._observed, self._found = {}, {}, {}, {}, {}
        return wrong

    # --- inside -----------------------------------------------------------------------------------

    def _say(self, kind: str, text: str) -> None:
        self._wrong.append(Wrong(kind, f"{self._program}: {text}"))

    def _judge(self, tag: str, message: Told, told: MessageTold) -> None:
        totals, way = self._totals, message.way
        totals.messages[self._program, way, told.outcome] += 1
        totals.cancelled[self._program, way] += told.by_cancelling
        life = f"{way}, key {message.key}: {tag} was told {told.outcome!r}"
        life += f" after {told.attempts} attempts" if told.attempts is not None else ""
        life += f" ({told.text})" if told.text else ""
        if told.outcome == "odd":
            self._say("an error that is not documented", life)
            return
        if told.outcome == "refused":
            self._say("refused for good, where the broker would have taken it later", life)
        if told.message_id is not None and message.message_id not in (None, told.message_id):
            self._say("an outcome names another message", f"{life}, with the id {told.message_id}")
        observed = self._judge_observed(message, told, life)
        attempts = told.attempts if told.attempts is not None else observed
        totals.again += (attempts or 0) > 1
        self._judge_route(message, told, attempts, life)
        self._judge_copies(tag, message, told, attempts, life)

    def _judge_observed(self, message: Told, told: MessageTold, life: str) -> int | None:
        """Hold what the observer was told against it; the attempts that it was told of, if that is known."""
        message_id = told.message_id or message.message_id
        if message_id is None or not self._has_observer:
            return None
        observed = self._observed.get((message_id, message.key), [])
        if told.outcome == "nothing":
            if not told.by_cancelling and observed:
                self._say("the observer was told of what was never taken in", life)
            return 0
        if len(observed) != 1:
            self._say("the observer was not told of a message once", f"{life}, the observer {len(observed)} times")
            return None
        (only,) = observed
        if told.outcome in _OBSERVED_AS and only.outcome != _OBSERVED_AS[told.outcome]:
            self._say("the observer was told otherwise", f"{life}, the observer {only.outcome!r}")
        if told.attempts not in (None, only.attempts):
            self._say("the observer was told otherwise", f"{life}, the observer {only.attempts} attempts")
        return only.attempts

    def _judge_route(self, message: Told, told: MessageTold, attempts: int | None, life: str) -> None:
        """What can't be true of the key, whatever is in the queues."""
        key = self._keys[message.key]
        if told.outcome == "confirmed" and not key.queues:
            self._say("told routed, where no queue is bound", life)
        if told.outcome in ("unrouted", "unroutable") and key.queues and key.always:
            self._say("told unroutable, where a queue is bound", life)
        if told.outcome not in (*_NEVER_THERE, "cancelled") and attempts == 0:
            self._say("an outcome of what was never written", life)

    def _judge_copies(self, tag: str, message: Told, told: MessageTold, attempts: int | None, life: str) -> None:
        most = _most_copies(told, attempts)
        found = self._found.get(tag, Counter())
        for queue in self._keys[message.key].queues:
            copies = found[queue]
            if told.outcome == "confirmed" and not copies:
                self._say("a confirmed message is not in the queue", f"{life}, and is not in {queue}")
            if copies > most:
                kind = "more copies than attempts" if most else "what was told not to be there is in the queue"
                self._say(kind, f"{life}, and is {copies} times in {queue}")


def _most_copies(told: MessageTold, attempts: int | None) -> float:
    """How often the message may be in one queue."""
    if told.outcome in _NEVER_THERE or (told.outcome == "unroutable" and _DOUBT not in told.text):
        return 0
    if attempts is None:
        return float("inf")
    return attempts - 1 if told.outcome in ("unrouted", "unroutable") else attempts
