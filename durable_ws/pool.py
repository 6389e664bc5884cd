"""The pool: an I/O thread with its own asyncio loop, and the links on it. Safe to call from any thread."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from durable_ws.exceptions import Nacked, NotSent, OutcomeUnknown, PublishError, Refused, Unroutable
from durable_ws.ledger import Fate, Settled
from durable_ws.link import Link, LinkSettings
from durable_ws.loop import Loop
from durable_ws.message import Message
from durable_ws.receipt import Receipt

__all__ = ["Pool"]

logger = logging.getLogger(__name__)


_WINDOW_BYTES = 64 * 1024 * 1024
"""Together with the window in messages this bounds the memory that pipelined messages take."""


_ERRORS: dict[Fate, type[PublishError]] = {
    Fate.RETURNED: Unroutable,
    Fate.NACKED: Nacked,
    Fate.REFUSED: Refused,
    Fate.NOT_SENT: NotSent,
    Fate.UNKNOWN: OutcomeUnknown,
}


@dataclass(slots=True, eq=False)
class _Job:
    message: Message
    began: float
    deadline: float
    lane: Hashable
    require_route: bool
    future: Future[Receipt]

    def settle(self, fate: Fate, attempts: int, reason: str) -> None:
        """Tell the caller, once."""
        routed = fate is Fate.CONFIRMED
        if routed or (fate is Fate.RETURNED and not self.require_route):
            latency_s = time.monotonic() - self.began
            self.future.set_result(Receipt(self.message.message_id, routed, attempts, latency_s))
        else:
            self.future.set_exception(_ERRORS[fate](self.message.message_id, reason, attempts=attempts))


class Pool:
    """Links that share a thread.

    One link is used as long as it can keep up (one shared channel costs the broker least); another is opened when each
    has a fair share of the window unconfirmed, up to ``max_connections``. What is under way in one *lane* stays on one
    link, so that its order is kept.

    Args:
        settings: of the links.
        max_connections: the most links.
        window: the most messages under way, over all links.
    """

    def __init__(self, settings: LinkSettings, *, max_connections: int, window: int) -> None:
        self._settings = settings
        self._max_connections = max_connections
        self._window = window
        self._share = math.ceil(window / max_connections)
        self._gate = threading.Condition()
        self._under_way = 0
        self._under_way_bytes = 0
        self._keys = itertools.count()
        self._inbox: deque[_Job] = deque()
        self._woken = False
        self._jobs: dict[int, _Job] = {}
        self._lanes: dict[Hashable, tuple[Link, int]] = {}
        self._links: list[Link] = []
        self._closing = False
        self._loop = Loop()
        self._stopping = asyncio.Event()
        self._settled_all = asyncio.Event()
        self._close_by = math.inf
        self._thread = threading.Thread(target=self._run, name="durable_ws", daemon=True)
        self._thread.start()

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
        job = _Job(message, began, deadline, lane, require_route, Future())
        job.future.set_running_or_notify_cancel()  # what may be written can't be cancelled
        size = len(message.body)
        with self._gate:
            waits = threading.current_thread() is not self._thread
            if waits:
                self._gate.wait_for(lambda: self._admits(size), max(0.0, deadline - time.monotonic()))
            if self._closing or (waits and not self._admits(size)):
                reason = "the publisher was closed" if self._closing else "the deadline passed in a full window"
                job.settle(Fate.NOT_SENT, 0, reason)
                return job.future
            self._under_way += 1
            self._under_way_bytes += size
            self._inbox.append(job)
            wake, self._woken = not self._woken, True
            if wake:  # still in the gate: the loop can't be closed before it has been told
                self._loop.call_soon_threadsafe(self._take_in)
        return job.future

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
        return self._under_way < self._window and self._under_way_bytes + size <= _WINDOW_BYTES

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
        """A callback of pika or of ours has failed: the connections are in no known state, so begin them anew."""
        logger.error("durable_ws: %s", context.get("message"), exc_info=context.get("exception"))
        for link in self._links:
            link.abort("an internal error, see the log")

    async def _serve(self) -> None:
        await self._stopping.wait()
        self._take_in()
        while self._jobs and time.monotonic() < self._close_by:
            self._settled_all.clear()
            try:
                async with asyncio.timeout(max(0.0, self._close_by - time.monotonic())):
                    await self._settled_all.wait()
            except TimeoutError:
                break
        closing = [self._loop.create_task(link.close()) for link in self._links]
        if closing:
            _, late = await asyncio.wait(closing, timeout=1.0)
            if late:
                for link in self._links:
                    link.abort("the publisher was closed")
                await asyncio.wait(late, timeout=1.0)

    def _take_in(self) -> None:
        self._woken = False
        touched: dict[Link, None] = {}
        while self._inbox:
            job = self._inbox.popleft()
            key = next(self._keys)
            link = self._choose(job.lane)
            self._jobs[key] = job
            link.publish(key, job.message, job.deadline)
            touched[link] = None
        for link in touched:
            link.pump()

    def _choose(self, lane: Hashable) -> Link:
        held = self._lanes.get(lane)
        if held is not None:
            link, count = held
        else:
            count = 0
            link = min(self._links, key=lambda link: link.load, default=None) or self._add_link()
            if link.load >= self._share and len(self._links) < self._max_connections:
                link = self._add_link()
        self._lanes[lane] = (link, count + 1)
        return link

    def _add_link(self) -> Link:
        link = Link(self._loop, self._settings, self._settle)
        self._links.append(link)
        return link

    def _settle(self, event: Settled) -> None:
        job = self._jobs.pop(event.key)
        link, count = self._lanes.pop(job.lane)
        if count > 1:
            self._lanes[job.lane] = (link, count - 1)
        with self._gate:
            self._under_way -= 1
            self._under_way_bytes -= len(job.message.body)
            self._gate.notify()
        if not self._jobs:
            self._settled_all.set()
        job.settle(event.fate, event.attempts, event.reason)

    def _drop_all(self) -> None:
        """Nobody may wait for ever, whatever ended the thread."""
        reason = "the publisher's I/O thread has ended"
        for job in self._jobs.values():
            job.settle(Fate.UNKNOWN, 1, reason)
        for job in self._inbox:
            job.settle(Fate.NOT_SENT, 0, reason)
