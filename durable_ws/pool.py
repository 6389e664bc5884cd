"""The pool: an I/O thread with its own asyncio loop, and the links on it. Safe to call from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from durable_ws.job import Job
from durable_ws.ledger import Fate, Settled
from durable_ws.lender import ENDED, Lender, Share
from durable_ws.link import Link, LinkSettings
from durable_ws.links import Links
from durable_ws.loop import Loop, tell
from durable_ws.message import Message
from durable_ws.observe import Health
from durable_ws.outcome import Call, Outcome
from durable_ws.receipt import Receipt
from durable_ws.scribe import Scribe
from durable_ws.waker import Waker

__all__ = ["WINDOW_BYTES", "Pool", "admitted"]

logger = logging.getLogger(__name__)


WINDOW_BYTES = 64 * 1024 * 1024
"""Together with the window in messages this bounds the memory that pipelined messages take."""


def admitted(window: int) -> int:
    """How many messages may be under way: as many as may be unconfirmed, and a reserve that waits for its turn.

    What is in reserve is written the moment a confirm comes; without it the broker would wait for the callers' threads.
    """
    return window + window // 4


_LOCK_S = 0.01  # far longer than anybody holds the lock
_SCRIBE_S = 1.0  # for the last lines of the log
_NO_THREAD = "can't "  # start a new thread, or create one: what Python says where it has not begun
_LOOK_AGAIN_S = 1.0  # who waits for room looks by itself at times, should what woke it have been lost by Ctrl-C


class Pool:
    """Links that share a thread; see :class:`Links`.

    Args:
        settings: of the links.
        max_connections: the most links.
        window: the most unconfirmed messages on a link; :func:`admitted` says how many are under way, over all links.
    """

    def __init__(self, settings: LinkSettings, *, max_connections: int, window: int) -> None:
        with contextlib.ExitStack() as unless_made:  # there may be too many open files, or threads
            self._loop = Loop()
            unless_made.callback(self._loop.close)
            self._waker = Waker(self._loop, self._take_in)
            unless_made.callback(self._waker.close)
            self._scribe = Scribe()
            unless_made.pop_all()
        self._observer = settings.observer and settings.observer.with_log(self._scribe.log)
        settings = replace(settings, observer=self._observer, log=self._scribe.log)
        self._admitted = admitted(window)
        # A lock in C, which an exception of a signal handler (Ctrl-C) can't leave locked, and which the thread that
        # holds it may take again, as in a signal handler that publishes. The I/O thread never waits for it without end.
        self._lock = threading.RLock()
        self._waiters: deque[threading.Lock] = deque()  # of those that wait for room, each locked by its own
        self._under_way = 0
        self._under_way_bytes = 0
        self._left = self._left_bytes = 0  # of the window, but not yet counted off
        self._inbox: deque[Job] = deque()
        self._turn = 0  # how often the I/O thread has looked at the inbox
        self._woken_for = -1  # after which of these it was woken to look again
        self._closing = False
        self._over = False  # the I/O thread looks no more
        self._stopping = asyncio.Event()
        self._look_again = asyncio.Event()  # while closing: all is settled, or there is less time
        self._close_by = math.inf
        self._all = Links(
            self._loop,
            settings,
            max_connections=max_connections,
            window=window,
            on_settled=self._on_settled,
            on_confirmed=self._on_confirmed,
        )
        self._lender = Lender(
            self._loop,
            self._all,
            on_joined=self._on_joined,
            on_ended=self._on_loan_ended,
            wanted=self._observer is None  # which is told on the I/O thread
            and settings.address.ssl_options is None,  # whose state two threads can't share
        )
        self._thread = threading.Thread(target=self._run, name="durable_ws", daemon=True)
        try:
            self._thread.start()
        except BaseException as exc:
            self._scribe.end()
            if isinstance(exc, RuntimeError) and str(exc).startswith(_NO_THREAD):
                self._waker.close()
                self._loop.close()
            else:  # Ctrl-C has struck, for one, and the thread may go on
                self.stop_soon()
            raise

    @property
    def _links(self) -> list[Link]:
        return self._all.all

    def call(self, message: Message, *, timeout_s: float, lane: Hashable, require_route: bool) -> Receipt:
        """Publish a message and wait for its confirm; takes what :meth:`submit` takes.

        Raises:
            PublishError: by the deadline.
        """
        began = time.monotonic()
        loan = self._lender.loan
        if loan is not None and not self._under_way:
            receipt = loan.publish(message, began, timeout_s, lane, require_route)
            if receipt is not None:
                return receipt
        call = Call()
        self._put(Job(message, began, began + timeout_s, lane, require_route, call))
        self._lender.end_mine()
        return call.wait()

    def submit(self, message: Message, *, timeout_s: float, lane: Hashable, require_route: bool) -> Future[Receipt]:
        """Take in a message; waits while the window is full.

        Args:
            message: what to publish.
            timeout_s: its deadline, in seconds from now.
            lane: messages under way in the same lane keep their order.
            require_route: whether a returned message is an error.

        Returns:
            The receipt, or a PublishError, by the deadline; callbacks run on the I/O thread.
        """
        future = Outcome()
        began = time.monotonic()
        self._put(Job(message, began, began + timeout_s, lane, require_route, future))
        return future

    def _put(self, job: Job) -> None:
        size = len(job.message.body)
        while not self._enter(job, size):
            left_s = job.deadline - time.monotonic()
            if left_s <= 0:
                self._turn_away(job, "the deadline passed in a full window")
                return
            if self._inbox:  # an error may have struck who has filled the window, before the I/O thread was woken
                self._wake()
            try:
                self._wait_for_room(size, min(left_s, _LOOK_AGAIN_S))
            except BaseException:  # Ctrl-C, for one
                self._observe(job, Fate.NOT_SENT, 0, "the call was interrupted in a full window")
                raise

    def _enter(self, job: Job, size: int) -> bool:
        """Take the job in, or settle it, if the pool is closing; False: there is no room for it."""
        with self._lock:
            let_in = not self._closing
            if let_in:
                if not self._admits(size) and threading.current_thread() is not self._thread:
                    return False
                # In this order: should Ctrl-C come in between, the window is wider by one, and never narrower for good.
                self._inbox.append(job)
                self._under_way += 1
                self._under_way_bytes += size
        if not let_in:  # not in the lock, as an observer hears of it
            self._turn_away(job, "the publisher was closed")
            return True
        self._wake()
        if self._over:
            self._withdraw(job)
        return True

    def _wake(self) -> None:
        """Have the I/O thread look at the inbox, where something was put before.

        Not in the lock: a thread that writes to a socket lets go of the interpreter, and the others would queue up for
        the lock. None is needed: if the I/O thread was woken for the turn that is read here, it has yet to look at
        the inbox. An error that strikes before it is woken leaves that to who comes next; one that strikes before that
        is noted costs one more wake-up.
        """
        turn = self._turn
        if self._woken_for != turn:
            self._waker.wake()
            self._woken_for = turn

    def _withdraw(self, job: Job) -> None:
        """Settle a job, if the I/O thread has ended without it. (No other's: an error may strike, and it is lost.)"""
        try:
            self._inbox.remove(job)
        except ValueError:
            return
        self._turn_away(job, ENDED)

    def _turn_away(self, job: Job, reason: str) -> None:
        """Settle a job that is not taken in."""
        job.settle(Fate.NOT_SENT, 0, reason)
        self._observe(job, Fate.NOT_SENT, 0, reason)

    def _observe(self, job: Job, fate: Fate, attempts: int, reason: str) -> None:
        if self._observer is not None:
            self._observer.settle(job.message, fate.value, job.began, attempts, reason)

    def _wait_for_room(self, size: int, timeout_s: float) -> None:
        """Wait until there may be some. (A Condition would not do: what a signal handler raises can break its wait.)"""
        waiter = threading.Lock()
        waiter.acquire()
        try:
            self._waiters.append(waiter)
            if not self._closing and not self._admits(size):
                waiter.acquire(timeout=timeout_s)
        finally:
            with contextlib.suppress(ValueError):  # it was woken
                self._waiters.remove(waiter)

    def _let_in(self, count: int) -> None:
        """Wake so many of those that wait for room."""
        while count > 0 and self._waiters:
            with contextlib.suppress(IndexError):  # it has just left by itself
                self._waiters.popleft().release()
            count -= 1

    def health(self, *, closed: bool) -> Health:
        """How the connections are now, of a publisher that was closed or not; any thread may ask, and never waits."""
        return self._all.health(under_way=self._under_way + self._lender.under_way, closed=closed)

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, then close the connections and end the thread. Idempotent.

        Args:
            timeout_s: for what is under way; what is not settled by then is given up. The connections have a second.
        """
        self._begin_to_close(timeout_s)
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._scribe.join(_SCRIBE_S)

    def stop_soon(self) -> None:
        """Begin to close without waiting; for a publisher that was forgotten."""
        self._begin_to_close(0.0)

    def _begin_to_close(self, timeout_s: float) -> None:
        with self._lock:
            self._closing = True
            self._close_by = min(self._close_by, time.monotonic() + timeout_s)
        self._let_in(len(self._waiters))
        tell(self._loop, self._on_close)

    def _admits(self, size: int) -> bool:
        if self._under_way == 0:
            return True
        return self._under_way < self._admitted and self._under_way_bytes + size <= WINDOW_BYTES

    # --- on the I/O thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.set_exception_handler(self._on_callback_error)
            self._loop.run_until_complete(self._serve())
        except BaseException:
            self._scribe.log(logger, logging.ERROR, "the I/O thread of durable_ws ended", exc_info=sys.exc_info())
            raise
        finally:
            locked = self._lock.acquire(timeout=1.0)
            self._closing = True
            if locked:
                self._lock.release()
            self._let_in(len(self._waiters))
            self._drop_all()
            self._waker.close()
            self._loop.close()
            self._scribe.end()

    def _on_callback_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback has failed: the connections are in no known state, so begin them anew."""
        error = context.get("exception")
        self._scribe.log(logger, logging.ERROR, "durable_ws: %s", context.get("message"), exc_info=error)
        self._all.abort("an internal error, see the log")

    async def _serve(self) -> None:
        await self._stopping.wait()
        self._take_in()
        while not (self._all.is_idle and self._lender.loan is None) and time.monotonic() < self._close_by:
            self._look_again.clear()
            try:
                async with asyncio.timeout(self._close_by - time.monotonic()):
                    await self._look_again.wait()
            except TimeoutError:
                break
        await self._all.close()

    def _on_close(self) -> None:
        self._stopping.set()
        self._look_again.set()

    def _take_in(self) -> None:
        self._turn += 1  # before the inbox is looked at: who puts something into it later wakes this thread again
        jobs = list(self._inbox)
        if jobs and not self._closing:
            share = self._lender.share(jobs)
            if share is Share.DONE:
                self._leave(jobs)
            if share is not Share.NO:
                return
        if (jobs or self._closing) and not self._lender.end(jobs):
            return  # in a moment
        for _ in jobs:
            self._inbox.popleft()
        self._lender.count(jobs)
        if len(jobs) == 1 and self._all.write_alone(jobs[0].message):
            self._all.expect(jobs[0])
        elif jobs:
            self._all.take_in(jobs)

    def _leave(self, jobs: list[Job]) -> None:
        """They go by a loan, which is no part of the window."""
        for job in jobs:
            self._inbox.popleft()
            self._left += 1
            self._left_bytes += len(job.message.body)
        self._make_room()

    def _on_settled(self, events: list[Settled[Job]]) -> None:
        """Make room for others, and tell the callers."""
        self._left += len(events)
        for event in events:
            self._left_bytes += len(event.key.message.body)
        self._make_room()
        if self._all.is_idle:
            self._look_again.set()
        self._lender.settled(may_lend=not self._closing)
        for job, fate, attempts, reason in events:
            job.settle(fate, attempts, reason)
        if self._lender.drains and self._all.is_idle:
            self._loop.call_soon(self._take_in)
        if self._observer is not None:
            for job, fate, attempts, reason in events:
                self._observe(job, fate, attempts, reason)

    def _on_confirmed(self, job: Job) -> None:
        self._on_settled([Settled(job, Fate.CONFIRMED, 1, "")])

    def _make_room(self) -> None:
        if not self._lock.acquire(timeout=_LOCK_S):  # whoever holds it may be in a signal handler that waits for us
            self._loop.call_later(_LOCK_S, self._make_room)
            return
        try:
            self._under_way -= self._left
            self._under_way_bytes -= self._left_bytes
            left, self._left, self._left_bytes = self._left, 0, 0
        finally:
            self._lock.release()
        self._let_in(left)

    def _on_joined(self, job: Job) -> None:
        """A message that a thread has written by itself is among the others from here on: it takes its room."""
        self._left -= 1
        self._left_bytes -= len(job.message.body)
        self._make_room()

    def _on_loan_ended(self) -> None:
        self._take_in()
        self._look_again.set()

    def _drop_all(self) -> None:
        """Nobody may wait for ever, whatever ended the thread."""
        for job in self._all.jobs:
            job.settle(Fate.UNKNOWN, 1, ENDED)
            self._observe(job, Fate.UNKNOWN, 1, ENDED)
        self._over = True  # who puts something into the inbox from here on withdraws it
        while self._inbox:
            with contextlib.suppress(IndexError):  # it was withdrawn just now
                self._turn_away(self._inbox.popleft(), ENDED)
        self._lender.drop()
