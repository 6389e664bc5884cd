"""Where one task waits for the outcome of one message: less than a future, and it may be woken at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

from durable_ws.async_waiters import Waiters
from durable_ws.job import Job
from durable_ws.receipt import Receipt

__all__ = ["AsyncCall"]


class AsyncCall:
    """One task awaits it, once. It has of a future what :class:`asyncio.Task` asks of what it awaits.

    A future wakes its task in the loop's next turn. That costs a call of the system and a tenth of a message's time,
    where the confirm is all that the loop was woken for; so :meth:`tell_last` wakes it at once, and else its
    :class:`Waiters` do, as soon as it may be.

    Source: ``_asyncio_future_blocking`` is how asyncio knows "a duck-type, Future-compatible object" (the comments at
    :func:`asyncio.isfuture`); what else a task calls is in ``Task.__step`` of asyncio/tasks.py.

    Args:
        waiters: who wake the task.
        message_id: of the message.
        cancelled: called with the job when the call was cancelled, unless it was settled before; says what is known.

    Attributes:
        job: until it has its outcome, or is cancelled.
        fate: once cancelled, ``"not sent"`` or ``"outcome unknown"``; else None.
    """

    __slots__ = (
        "_asyncio_future_blocking", "_cancelled", "_context", "_error", "_receipt", "_waiters", "_wake",
        "fate", "job", "message_id",
    )  # fmt: skip

    def __init__(self, waiters: Waiters, message_id: str, cancelled: Callable[[Job], str]) -> None:
        self._asyncio_future_blocking = False
        self._waiters = waiters
        self._cancelled = cancelled
        self._receipt: Receipt | None = None
        self._error: BaseException | None = None
        self._wake: Callable[[AsyncCall], object] | None = None
        self._context: Context | None = None
        self.message_id = message_id
        self.job: Job | None = None
        self.fate: str | None = None

    @property
    def outcome(self) -> Receipt | BaseException | None:
        """The receipt or the error, once it was told, or cancelled."""
        return self._receipt or self._error

    def done(self) -> bool:
        """Whether it was told, or cancelled."""
        return self._receipt is not None or self._error is not None

    def set_result(self, receipt: Receipt) -> None:
        """The broker has confirmed it."""
        self._receipt = receipt
        self._wake_soon()

    def set_exception(self, error: BaseException) -> None:
        """It could not be promised."""
        self._error = error
        self._wake_soon()

    def tell_last(self, receipt: Receipt) -> None:
        """The broker has confirmed it, and the task goes on before this returns.

        Only for a callback of the loop that has nothing left to do: the task may publish the next message meanwhile.
        """
        self._receipt = receipt
        if self._wake is not None and self._context is not None:
            self._waiters.wake_now(self._wake, self, self._context)

    def cancel(self, msg: Any | None = None) -> bool:
        """As :meth:`asyncio.Future.cancel`: called by the task that is cancelled; whether it was not settled before."""
        if self.done():
            return False
        self.set_exception(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        job, self.job = self.job, None
        if job is not None:
            self.fate = self._cancelled(job)
        return True

    # --- what the task asks -----------------------------------------------------------------------

    def __await__(self) -> Generator[AsyncCall, None, Receipt]:
        try:
            if not self.done():
                self._asyncio_future_blocking = True
                yield self
            return self._receipt or self.result()
        finally:
            self = None  # type: ignore[assignment]  # or the error and its traceback would hold each other

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """As :meth:`asyncio.Future.get_loop`."""
        return self._waiters.loop

    def add_done_callback(self, wake: Callable[[AsyncCall], object], *, context: Context) -> None:
        """As :meth:`asyncio.Future.add_done_callback`, for the one task, before the outcome is told."""
        self._wake = wake
        self._context = context

    def result(self) -> Receipt:
        """As :meth:`asyncio.Future.result`, once it was told."""
        if self._receipt is not None:
            return self._receipt
        assert self._error is not None  # noqa: S101 - it is one of the two
        try:
            raise self._error
        finally:
            self = None  # type: ignore[assignment]  # as above

    # --- inside -----------------------------------------------------------------------------------

    def _wake_soon(self) -> None:
        if self._wake is not None and self._context is not None:
            self._waiters.wake(self._wake, self, self._context)
