"""What the callers call: drawn by a seed, the same for threads and tasks. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.soak_publishers.judge import Key

__all__ = ["CLASSIC", "EXCHANGE", "KEYS", "QUORUM", "Call", "Drawer", "Message"]

EXCHANGE = "soak-exchange"
CLASSIC, QUORUM = "soak-classic", "soak-quorum"

KEYS = {
    "both": Key((CLASSIC, QUORUM)),
    "classic": Key((CLASSIC,)),
    "nobody": Key(()),
    "at-times": Key((CLASSIC,), always=False),
}
"""The routing keys; ``at-times`` is bound and unbound again while connections are cut."""

_T = TypeVar("_T")

_WAYS = {"publish": 8, "submit": 3, "batch": 3, "publish_many": 2, "twins": 2}
_WAYS_WAITING = {"publish": 300, "submit": 1, "batch": 1, "publish_many": 1, "twins": 1}
_TIMEOUTS_S = {0.2: 1, 1.0: 3, 3.0: 4, 10.0: 4}
_SHARES = {"both": 6, "classic": 4, "nobody": 2, "at-times": 4}


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish.

    Attributes:
        tag: names it; unique in the soak.
        key: its routing key.
        size_bytes: of its body; above 128 KiB it takes several frames.
        message_id: to give; None: the publisher makes one.
    """

    tag: str
    key: str
    size_bytes: int
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call.

    Attributes:
        way: ``publish``, ``submit`` (one or several before any is waited for), ``batch``, ``publish_many``, or
            ``twins``: two are submitted at once under one message id, with different keys.
        messages: to publish; all of one key, but for twins.
        timeout_s: the deadline of each.
        require_route: as the argument.
        cancel_after_s: for tasks: the caller is cancelled so long after it began, if it is not done by then.
        pause_s: before the caller's next call.
    """

    way: str
    messages: tuple[Message, ...]
    timeout_s: float
    require_route: bool | None
    cancel_after_s: float | None
    pause_s: float


class Drawer:
    """Draws the calls of one caller.

    Args:
        seed: fixes them.
        program: one letter, that the tags begin with.
        caller: its number.
        cancels: whether some are to be cancelled.
        wait: it publishes one message after the other for the most part, without pauses.
    """

    def __init__(self, seed: int, program: str, caller: int, *, cancels: bool, wait: bool = False) -> None:
        self._rng = random.Random(f"{seed}/{program}/{caller}")
        self._name = f"{program}{caller}"
        self._cancels = cancels
        self._ways = _WAYS_WAITING if wait else _WAYS
        self._pause_s = 0.0 if wait else 0.25
        self._count = 0

    def draw(self, round_: int) -> Call:
        """The next call, in a round of that number."""
        rng = self._rng
        way = _pick(rng, self._ways)
        if way == "twins":
            messages = self._twins(round_)
        else:
            many = {"publish": 1, "submit": 8}.get(way, 24)
            key = _pick(rng, _SHARES)
            named = way != "publish_many" and rng.random() < 0.8
            messages = tuple(self._message(round_, key, named=named) for _ in range(rng.randint(1, many)))
        cancel = self._cancels and rng.random() < 0.25
        return Call(
            way,
            messages,
            _pick(rng, _TIMEOUTS_S),
            rng.choice((None, False, True)),
            rng.choice((0.0, 0.002, 0.02, 0.2)) * rng.random() if cancel else None,
            rng.uniform(0.0, self._pause_s),
        )

    def _message(self, round_: int, key: str, *, named: bool) -> Message:
        self._count += 1
        tag = f"{self._name}-r{round_}-{self._count}"
        return Message(tag, key, self._size(), tag if named else None)

    def _twins(self, round_: int) -> tuple[Message, ...]:
        first, other = self._rng.sample(sorted(KEYS), 2)
        one = self._message(round_, first, named=True)
        self._count += 1
        return one, Message(f"{self._name}-r{round_}-{self._count}", other, self._size(), one.message_id)

    def _size(self) -> int:
        rng = self._rng
        chance = rng.random()
        if chance < 0.005:
            return rng.randint(140_000, 400_000)
        return rng.randint(1_000, 20_000) if chance < 0.05 else rng.randint(80, 400)


def _pick(rng: random.Random, weights: dict[_T, int]) -> _T:
    return rng.choices(list(weights), list(weights.values()))[0]
