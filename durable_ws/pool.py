"""The pool: an I/O thread with its own asyncio loop, and the links on it. Safe to call from any thread."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future
from typing import Any

from durable_ws.job import Job
from durable_ws.ledger import Fate, Settled
from durable_ws.link import Link, LinkSettings
from durable_ws.links import Links
from durable_ws.loop import Loop
from durable_ws.message import Message
from durable_ws.receipt import Receipt

__all__ = ["WINDOW_BYTES", "Pool"]

logger = logging.getLogger(__name__)


WINDOW_BYTES = 64 * 1024 * 1024
"""Together with the window in messages this bounds the memory that pipelined messages take."""


class _Outcome(Future[Receipt]):
    """The future of one message."""

    def cancel(self) -> bool:
        """What may be written can't be cancelled."""
        return False


class Pool:
    """Links that share a thread; see :class:`Links`.

    Args:
        settings: of the links.
        max_connections: the most links.
        window: the most messages under way, over all links.
    """

    def __init__(self, settings: LinkSettings, *, max_connections: int, window: int) -> None:
        self._window = window
        self._gate = threading.Condition()
        self._under_way = 0
        self._under_way_bytes = 0
        self._inbox: deque[Job] = deque()
        self._woken = False
        self._closing = False
        self._loop = Loop()
        self._stopping = asyncio.Event()
        self._settled_all = asyncio.Event()
        self._close_by = math.inf
        self._all = Links(
            self._loop, settings, max_connections=max_connections, window=window, on_settled=self._on_settled
        )
        self._thread = threading.Thread(target=self._run, name="durable_ws", daemon=True)
        self._thread.start()

    @property
    def _links(self) -> list[Link]:
        return self._all.all

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
        began = time.monotonic()
        deadline = began + timeout_s
        future = _Outcome()
        job = Job(message, began, deadline, lane, require_route, future)
        size = len(message.body)
        with self._gate:
            if not self._admits(size) and threading.current_thread() is not self._thread:
                self._gate.wait_for(lambda: self._admits(size), max(0.0, deadline - time.monotonic()))
                if not self._admits(size):
                    job.settle(Fate.NOT_SENT, 0, "the deadline passed in a full window")
                    return future
            if self._closing:
                job.settle(Fate.NOT_SENT, 0, "the publisher was closed")
                return future
            self._under_way += 1
            self._under_way_bytes += size
            self._inbox.append(job)
            if not self._woken:  # still in the gate: the loop can't be closed before it has been told
                self._woken = True
                self._loop.call_soon_threadsafe(self._take_in)
        return future

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, then close the connections and end the thread. Idempotent.

        Args:
            timeout_s: for what is under way; what is not settled by then is given up. The connections have a second.
        """
        with self._gate:
            first, self._closing = not self._closing, True
            self._gate.notify_all()
        if first:
            self._close_by = time.monotonic() + timeout_s
            self._loop.call_soon_threadsafe(self._stopping.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def stop_soon(self) -> None:
        """Begin to close without waiting; for a publisher that was forgotten."""
        with self._gate:
            first, self._closing = not self._closing, True
        if first:
            self._close_by = time.monotonic()
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _admits(self, size: int) -> bool:
        if self._closing or self._under_way == 0:
            return True
        return self._under_way < self._window and self._under_way_bytes + size <= WINDOW_BYTES

    # --- on the I/O thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.set_exception_handler(self._on_callback_error)
            self._loop.run_until_complete(self._serve())
        except BaseException:
            logger.exception("the I/O thread of durable_ws ended")
            raise
        finally:
            with self._gate:
                self._closing = True
                self._gate.notify_all()
            self._drop_all()
            self._loop.close()

    def _on_callback_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback has failed: the connections are in no known state, so begin them anew."""
        logger.error("durable_ws: %s", context.get("message"), exc_info=context.get("exception"))
        self._all.abort("an internal error, see the log")

    async def _serve(self) -> None:
        await self._stopping.wait()
        self._take_in()
        while self._all.jobs and time.monotonic() < self._close_by:
            self._settled_all.clear()
            try:
                async with asyncio.timeout(max(0.0, self._close_by - time.monotonic())):
                    await self._settled_all.wait()
            except TimeoutError:
                break
        await self._all.close()

    def _take_in(self) -> None:
        self._woken = False
        jobs, inbox = [], self._inbox
        while inbox:
            jobs.append(inbox.popleft())
        self._all.take_in(jobs)

    def _on_settled(self, events: list[Settled[Job]]) -> None:
        """Make room for others, and tell the callers."""
        size = sum([len(event.key.message.body) for event in events])
        with self._gate:
            self._under_way -= len(events)
            self._under_way_bytes -= size
            self._gate.notify(len(events))
        if not self._all.jobs:
            self._settled_all.set()
        for job, fate, attempts, reason in events:
            job.settle(fate, attempts, reason)

    def _drop_all(self) -> None:
        """Nobody may wait for ever, whatever ended the thread."""
        reason = "the publisher's I/O thread has ended"
        for job in self._all.jobs:
            job.settle(Fate.UNKNOWN, 1, reason)
        for job in self._inbox:
            job.settle(Fate.NOT_SENT, 0, reason)
