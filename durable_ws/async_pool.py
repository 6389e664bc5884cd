"""The pool of the asyncio publisher: the links on the caller's own loop, and the window before them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

from durable_ws.async_call import AsyncCall
from durable_ws.async_waiters import Waiters
from durable_ws.exceptions import InvalidState, NotSent
from durable_ws.job import Job
from durable_ws.ledger import Fate, Settled
from durable_ws.link import LinkSettings
from durable_ws.links import Links
from durable_ws.message import Message
from durable_ws.observe import Health
from durable_ws.pool import WINDOW_BYTES, admitted
from durable_ws.receipt import Receipt

__all__ = ["AsyncPool", "Pending"]

logger = logging.getLogger(__name__)

_new = tuple.__new__  # as Receipt() does it itself, without one more function
_ONE_WRITE = 32
"""So many messages make a write worth its cost; were more held back, the broker would stand idle meanwhile."""


class Pending(asyncio.Future[Receipt]):
    """The future of one message that was submitted.

    Cancelling it settles the message: what was not written yet never is; what was written may be in the queues.

    Args:
        loop: of the task.
        message_id: of the message.
        cancelled: called with the job when it was cancelled, unless it was settled before; says what is known.

    Attributes:
        message_id: of the message.
        job: until it has its outcome, or is cancelled.
        fate: once cancelled, ``"not sent"`` or ``"outcome unknown"``; else None.
    """

    fate: str | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop, message_id: str, cancelled: Callable[[Job], str]) -> None:
        super().__init__(loop=loop)
        self.message_id = message_id
        self._on_cancelled = cancelled
        self.job: Job | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        """See the class; returns whether it was not settled before."""
        cancelled = super().cancel(msg)
        job, self.job = self.job, None
        if cancelled and job is not None:
            self.fate = self._on_cancelled(job)
        return cancelled


class AsyncPool:
    """Links on one loop; see :class:`Links`. Everything here runs on the loop's thread.

    Args:
        loop: the running loop.
        settings: of the links.
        max_connections: the most links.
        window: the most unconfirmed messages on a link; :func:`admitted` says how many are under way, over all links.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, settings: LinkSettings, *, max_connections: int, window: int
    ) -> None:
        self.loop = loop
        self._admitted = admitted(window)
        self._observer = settings.observer
        self._under_way = 0
        self._under_way_bytes = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()  # for room, with the size of each
        self._inbox: deque[Job] = deque()
        self._woken = False
        self._closing: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._waiters = Waiters(loop, self._take_in)
        self._links = Links(
            loop,
            replace(settings, on_heard=self._waiters.go_on),
            max_connections=max_connections,
            window=window,
            on_settled=self._on_settled,
            on_confirmed=self._on_confirmed,
            on_joined=self._on_joined,
        )

    def publish_alone(self, message: Message, timeout_s: float, require_route: bool) -> AsyncCall | None:
        """Publish a message for the present task, if nothing else is under way and it can be written at once.

        Before the write comes only what it takes, and all else while the broker is at it, see :meth:`Loan.publish`.

        Args:
            message: what to publish.
            timeout_s: its deadline, in seconds from now.
            require_route: whether a returned message is an error.

        Returns:
            To be awaited at once; None: not this way, and nothing was done.
        """
        began = time.monotonic()
        if self._under_way or not self._links.write_alone(message):
            return None
        deadline = self.loop.time() + timeout_s
        call = AsyncCall(self._waiters, message.message_id, self.cancelled)
        call.job = Job(message, began, deadline, asyncio.current_task(), require_route, call)
        self._links.expect(call.job)
        return call

    def call(self, message: Message, *, timeout_s: float, lane: Hashable, require_route: bool) -> tuple[AsyncCall, Job]:
        """Make what :meth:`enter` takes, or if it does not, :meth:`enter_later`.

        Args:
            message: what to publish.
            timeout_s: its deadline, in seconds from now.
            lane: messages under way in the same lane keep their order.
            require_route: whether a returned message is an error.

        Returns:
            Where one task waits for the receipt, or a PublishError, by the deadline; and its job.
        """
        call = AsyncCall(self._waiters, message.message_id, self.cancelled)
        call.job = job = self._job(message, timeout_s, lane, require_route, call)
        return call, job

    def submit(self, message: Message, *, timeout_s: float, lane: Hashable, require_route: bool) -> tuple[Pending, Job]:
        """As :meth:`call`, with a future."""
        pending = Pending(self.loop, message.message_id, self.cancelled)
        pending.job = job = self._job(message, timeout_s, lane, require_route, pending)
        return pending, job

    def enter(self, job: Job) -> bool:
        """Take in a job, if there is room for it in the window and nobody waits for that; whether it was."""
        self._links.join()
        size = len(job.message.body)
        if self._closing is not None or self._waiting or not self._admits(size):
            return False
        self._under_way += 1
        self._under_way_bytes += size
        self._put(job)
        return True

    async def enter_later(self, job: Job) -> None:
        """Wait for room, and take the job in; else it is settled as not sent.

        Raises:
            CancelledError: the message was not taken in.
        """
        try:
            room = await self._room(len(job.message.body), job.deadline)
        except BaseException:
            self._observe(job, Fate.NOT_SENT, 0, "the call was cancelled")
            raise
        if room:
            self._put(job)
        else:
            reason = "the publisher was closed" if self._closing else "the deadline passed in a full window"
            job.settle(Fate.NOT_SENT, 0, reason)
            self._observe(job, Fate.NOT_SENT, 0, reason)

    def cancelled(self, job: Job) -> str:
        """Nobody waits for the job any more; what is known of it."""
        if job.link is None:
            return NotSent.outcome  # it is still in the inbox, which leaves it out
        written = job.link.cancel(job, "the call was cancelled")
        return "outcome unknown" if written else NotSent.outcome

    def health(self, *, closed: bool) -> Health:
        """How the connections are now, of a publisher that was closed or not; any thread may ask, and never waits."""
        return self._links.health(under_way=self._under_way or int(not self._links.is_idle), closed=closed)

    async def close(self, timeout_s: float) -> None:
        """Wait for what is under way, then close the connections. Idempotent; one that is cancelled goes on.

        Args:
            timeout_s: for what is under way; what is not settled by then is given up. The connections have a second.
        """
        if self._closing is None:
            self._closing = self.loop.create_task(self._close(timeout_s))
        await asyncio.shield(self._closing)

    # --- inside -----------------------------------------------------------------------------------

    def _job(
        self, message: Message, timeout_s: float, lane: Hashable, require_route: bool, future: AsyncCall | Pending
    ) -> Job:
        """One that begins now."""
        return Job(message, time.monotonic(), self.loop.time() + timeout_s, lane, require_route, future)

    def _put(self, job: Job) -> None:
        if self._under_way == 1 and not self._woken:
            self._links.take_in((job,))  # nobody else is at it: one more round of the loop would gain nothing
        else:  # with what else is submitted in this round of the loop, or by who is woken now: one write for all of it
            self._inbox.append(job)
            if not self._woken:
                self._woken = True
                self.loop.call_soon(self._take_in_last)
            elif len(self._inbox) >= _ONE_WRITE:
                self._take_in()

    async def _close(self, timeout_s: float) -> None:
        for future, _ in self._waiting:
            if not future.done():
                future.set_exception(InvalidState())
        self._take_in()
        self._links.join()  # or nobody would tell that a lone message is confirmed
        if not self._links.is_idle:
            self._idle = self.loop.create_future()
            await asyncio.wait([self._idle], timeout=timeout_s)
        await self._links.close()

    async def _room(self, size: int, deadline: float) -> bool:
        """Wait for room in the window, first come first served; whether there is, and it is taken."""
        if self._closing is not None:
            return False
        future: asyncio.Future[None] = self.loop.create_future()
        self._waiting.append((future, size))
        try:
            async with asyncio.timeout_at(deadline):
                await future
        except InvalidState:
            return False
        except TimeoutError:
            return _given(future)  # in the same moment
        except asyncio.CancelledError:
            if _given(future):
                self._leave(1, size)
            raise
        else:
            return True
        finally:
            if future.cancelled():
                with contextlib.suppress(ValueError):  # it was passed over in the meantime
                    self._waiting.remove((future, size))

    def _admits(self, size: int) -> bool:
        if self._under_way == 0:
            return True
        return self._under_way < self._admitted and self._under_way_bytes + size <= WINDOW_BYTES

    def _leave(self, count: int, size: int) -> None:
        """So many messages have left the window: let in who waits."""
        self._under_way -= count
        self._under_way_bytes -= size
        while self._waiting and (self._waiting[0][0].done() or self._admits(self._waiting[0][1])):
            future, wanted = self._waiting.popleft()
            if not future.done():
                self._under_way += 1
                self._under_way_bytes += wanted
                future.set_result(None)

    def _observe(self, job: Job, fate: Fate, attempts: int, reason: str) -> None:
        if self._observer is not None:
            self._observer.settle(job.message, fate.value, job.began, attempts, reason)

    def _take_in_last(self) -> None:
        """The round of the loop is over."""
        self._woken = False
        self._take_in()

    def _take_in(self) -> None:
        jobs = []
        while self._inbox:
            job = self._inbox.popleft()
            if job.future.done():
                self._leave(1, len(job.message.body))
                self._observe(job, Fate.NOT_SENT, 0, "the call was cancelled")
            else:
                jobs.append(job)
        if jobs:  # else a lone message is left alone
            self._links.take_in(jobs)

    def _on_confirmed(self, job: Job) -> None:
        """A message that was published alone is confirmed: its task goes on at once."""
        call = job.future
        assert isinstance(call, AsyncCall)  # noqa: S101 - see publish_alone
        call.job = None
        if self._observer is not None:
            self._observe(job, Fate.CONFIRMED, 1, "")
        call.tell_last(_new(Receipt, (job.message.message_id, True, 1, time.monotonic() - job.began)))

    def _on_joined(self, job: Job) -> None:
        """One that was published alone is so no longer: it takes its room."""
        self._under_way += 1
        self._under_way_bytes += len(job.message.body)

    def _on_settled(self, events: list[Settled[Job]]) -> None:
        """Tell the callers, and make room for others."""
        size = 0
        for job, fate, attempts, reason in events:
            size += len(job.message.body)
            future = job.future
            assert isinstance(future, AsyncCall | Pending)  # noqa: S101 - see call and submit
            future.job = None
            if future.done():
                logger.info("message %s was cancelled: %s", job.message.message_id, fate.value)
            job.settle(fate, attempts, reason)
        if self._observer is not None:
            for job, fate, attempts, reason in events:
                self._observe(job, fate, attempts, reason)
        self._leave(len(events), size)
        if self._idle is not None and self._links.is_idle and not self._idle.done():
            self._idle.set_result(None)


def _given(future: asyncio.Future[None]) -> bool:
    """Whether room was given to who waited."""
    return future.done() and not future.cancelled() and future.exception() is None
