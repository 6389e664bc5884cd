"""A job: one message on its way, from the call to its fate."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Protocol

from durable_ws.exceptions import Nacked, NotSent, OutcomeUnknown, PublishError, Refused, Unroutable
from durable_ws.ledger import Entry, Fate
from durable_ws.message import Message
from durable_ws.outcome import Call
from durable_ws.receipt import Receipt

__all__ = ["Holder", "Job", "Promise"]

_ERRORS: dict[Fate, type[PublishError]] = {
    Fate.RETURNED: Unroutable,
    Fate.NACKED: Nacked,
    Fate.REFUSED: Refused,
    Fate.NOT_SENT: NotSent,
    Fate.UNKNOWN: OutcomeUnknown,
}


class Promise(Protocol):
    """Where the outcome goes: a future of threads or of asyncio."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, receipt: Receipt, /) -> None:
        """The broker has confirmed it."""

    def set_exception(self, error: PublishError, /) -> None:
        """It could not be promised."""


class Holder(Protocol):
    """Who has a job once it was taken in: a link."""

    def cancel(self, job: Job, reason: str, /) -> bool:
        """Settle the job now; whether it had been written."""


class Job:
    """One message on its way.

    Args:
        message: what to publish.
        began: when the call came, on :func:`time.monotonic`.
        deadline: when its fate must be told, on the same clock.
        lane: messages under way in the same lane keep their order.
        require_route: whether a returned message is an error.
        future: where the outcome goes.
    """

    __slots__ = ("began", "deadline", "entry", "future", "lane", "link", "message", "require_route")

    def __init__(  # noqa: PLR0913, RUF100
        self, message: Message, began: float, deadline: float, lane: Hashable, require_route: bool, future: Promise
    ) -> None:
        self.message = message
        self.began = began
        self.deadline = deadline
        self.lane = lane
        self.require_route = require_route
        self.future = future
        self.link: Holder | None = None  # that has it
        self.entry: Entry[Job] | None = None  # in its ledger

    def settle(self, fate: Fate, attempts: int, reason: str) -> None:
        """Tell the caller, once; one who has cancelled is not told."""
        future = self.future
        if future.done():
            self.rouse()  # an error may have struck who told it
            return
        routed = fate is Fate.CONFIRMED
        if routed or (fate is Fate.RETURNED and not self.require_route):
            future.set_result(Receipt(self.message.message_id, routed, attempts, time.monotonic() - self.began))
        else:
            future.set_exception(_ERRORS[fate](self.message.message_id, reason, attempts=attempts))

    def rouse(self) -> None:
        """Have the thread look that waits for it, if one does."""
        if isinstance(self.future, Call):
            self.future.rouse()
