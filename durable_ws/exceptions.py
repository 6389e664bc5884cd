"""What goes wrong, and what the caller can do about it.

::

    DurableWsError
    ├── ConfigError (ValueError)   an argument, URL, environment variable or declaration can't be used
    ├── InvalidState               a call at the wrong time: after close(), or on a batch of before a fork
    ├── PublishError               this message's delivery can't be promised
    │   ├── NotSent                the broker certainly does not have it: publishing again is safe
    │   │   └── Refused (ConfigError)  … because the broker refused the login, the vhost or the exchange
    │   ├── Nacked                 the broker took it and could not keep it (in every queue at least)
    │   ├── Unroutable             no queue is bound for it
    │   └── OutcomeUnknown         it was sent and no confirm came: publishing again may duplicate it
    └── BatchError                 some messages of a batch failed; holds every message's fate

Attributes hold facts; the text is made of them. No text holds a password.
"""

# ruff: noqa: N818 - the names say what became of the message, and the style guide fixes them

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durable_ws.receipt import Receipt

__all__ = [
    "BatchError",
    "ConfigError",
    "DurableWsError",
    "InvalidState",
    "Nacked",
    "NotSent",
    "OutcomeUnknown",
    "PublishError",
    "Refused",
    "Unroutable",
    "closest",
]


def closest(given: str, known: Iterable[str]) -> str:
    """A way out that lists the names that would do, with the nearest one first: ``Did you mean 'pubsub'? …``."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    listed = f"Known: {', '.join(map(repr, names))}." if names else "None is known."
    return f"Did you mean {near[0]!r}? {listed}" if near else listed


class DurableWsError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(DurableWsError, ValueError):
    """What was given can't be used.

    Attributes:
        field: what it is about: ``RABBITMQ_URL``, ``exchanges['news'].type``, ``payload['items'][2]``.
        problem: what is wrong with it, naming the value; no full stop at the end.
        way_out: what to do instead, as a sentence.
    """

    def __init__(self, field: str, problem: str, way_out: str) -> None:
        super().__init__(field, problem, way_out)
        self.field = field
        self.problem = problem
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}. {self.way_out}"


class InvalidState(DurableWsError):
    """The call came at the wrong time; the text says what to do."""


class PublishError(DurableWsError):
    """The delivery of one message can't be promised.

    Attributes:
        message_id: the message's AMQP message-id.
        detail: what is known, in the broker's words where it spoke; no full stop at the end.
        attempts: how many times it was written to a connection, 0 for never.
    """

    outcome = "not published"

    def __init__(self, message_id: str, detail: str, *, attempts: int = 0) -> None:
        Exception.__init__(self, message_id, detail)  # not super(): Refused has ConfigError next in line
        self.message_id = message_id
        self.detail = detail
        self.attempts = attempts

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message_id, self.detail), vars(self)

    def __str__(self) -> str:
        again = f" (attempt {self.attempts})" if self.attempts > 1 else ""
        return f"message {self.message_id}: {self.outcome}{again}: {self.detail}"


class NotSent(PublishError):
    """The broker certainly does not have the message: it was never written, or it was refused or returned."""

    outcome = "not sent"


class Refused(NotSent, ConfigError):
    """The broker refused what the configuration asks for, so trying on would not help.

    The login, the virtual host, an exchange that is not there (``passive``), is declared otherwise or may not be
    used, or a message that the broker won't take.
    """

    outcome = "refused by the broker"

    def __init__(self, message_id: str, detail: str, *, attempts: int = 0) -> None:
        NotSent.__init__(self, message_id, detail, attempts=attempts)
        self.field = "broker"
        self.problem = detail
        self.way_out = "Mend the URL, the exchanges or the permissions and publish it again."

    def __str__(self) -> str:
        return f"{NotSent.__str__(self)}. {self.way_out}"


class Nacked(PublishError):
    """The broker answered with basic.nack.

    Where several queues are bound, one of them may have kept the message all the same (a full queue with
    ``x-overflow: reject-publish`` beside another): https://www.rabbitmq.com/docs/confirms#server-sent-nacks
    """

    outcome = "nacked by the broker"


class Unroutable(PublishError):
    """The broker returned the message: no queue was bound for it. ``detail`` says so where an earlier attempt, whose
    confirm never came, may have found one."""

    outcome = "returned by the broker"


class OutcomeUnknown(PublishError):
    """The message was written and its confirm never came: the broker may have it, or not."""

    outcome = "outcome unknown"


class BatchError(DurableWsError):
    """Some messages of a batch could not be promised; the others were confirmed.

    Attributes:
        outcomes: one for each message in the order in which it was given: its receipt, or its error.
    """

    def __init__(self, outcomes: Sequence[Receipt | DurableWsError]) -> None:
        super().__init__(outcomes)
        self.outcomes = tuple(outcomes)

    @property
    def failures(self) -> dict[int, DurableWsError]:
        """The errors by their place in the batch."""
        return {place: fate for place, fate in enumerate(self.outcomes) if isinstance(fate, DurableWsError)}

    def __str__(self) -> str:
        failures = self.failures
        if not failures:
            return f"cut short after {len(self.outcomes)} messages, all confirmed"
        place, first = next(iter(failures.items()))
        return (
            f"{len(failures)} of {len(self.outcomes)} messages failed, all others were confirmed; "
            f"the first is number {place}: {first}"
        )
