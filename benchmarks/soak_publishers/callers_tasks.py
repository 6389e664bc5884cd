"""Callers of the publisher for asyncio: tasks of one loop. Some of their calls are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from benchmarks.soak_publishers.bodies import body_of
from benchmarks.soak_publishers.callers_threads import Taken, options_of
from benchmarks.soak_publishers.calls import Call, Drawer, Message
from benchmarks.soak_publishers.fates import told_of
from benchmarks.soak_publishers.records import MessageTold
from benchmarks.soak_publishers.telling import Teller
from durable_ws import AsyncPublisher, BatchError, DurableWsError, InvalidState, Receipt

__all__ = ["TaskCallers"]

_Times = list[tuple[float, float]]


class TaskCallers:
    """Many tasks that share one publisher; used on its loop.

    Args:
        publisher: whose calls are made.
        teller: is told of them.
        drawers: one for each caller.
    """

    def __init__(self, publisher: AsyncPublisher, teller: Teller, drawers: list[Drawer]) -> None:
        self._publisher = publisher
        self._teller = teller
        self._drawers = drawers
        self._hold = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def go(self, round_: int) -> None:
        """Begin to call."""
        self._hold.clear()
        self._tasks = [
            asyncio.create_task(self._run(drawer, round_), name=f"caller {number}")
            for number, drawer in enumerate(self._drawers)
        ]

    async def hold(self) -> None:
        """Begin no more calls, and wait for the end of those that are under way."""
        self._hold.set()
        tasks, self._tasks = self._tasks, []
        for task in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(task, BaseException):
                raise task

    async def _run(self, drawer: Drawer, round_: int) -> None:
        ways = {"publish": self._publish, "batch": self._batch, "publish_many": self._publish_many}
        while not self._hold.is_set():
            call = drawer.draw(round_)
            try:
                await self._call(ways.get(call.way, self._submit), call)
            except InvalidState:
                return  # it was closed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(call.pause_s):
                    await self._hold.wait()

    async def _call(self, way: Callable[[int, Call, _Times], Coroutine[Any, Any, None]], call: Call) -> None:
        """Make the call, in a task of its own that may be cancelled."""
        number = self._teller.begin(call.way)
        times: _Times = []
        task = asyncio.create_task(way(number, call, times))
        cancelled_at: float | None = None
        if call.cancel_after_s is not None:
            await asyncio.wait([task], timeout=call.cancel_after_s)
            if task.cancel():
                cancelled_at = time.monotonic()
        await asyncio.wait([task])
        came = time.monotonic()
        if cancelled_at is not None:
            times = [(cancelled_at, came)]
        self._teller.end(number, times)
        if not task.cancelled():
            task.result()

    async def _publish(self, number: int, call: Call, times: _Times) -> None:
        (message,) = call.messages
        self._begin(number, message)
        due = time.monotonic() + call.timeout_s
        outcome: Receipt | BaseException
        try:
            outcome = await self._publisher.publish(
                body_of(message.tag, message.size_bytes), **options_of(call, message)
            )
        except asyncio.CancelledError as exc:
            self._teller.tell(told_of(message.tag, exc))
            raise
        except Exception as exc:  # noqa: BLE001 - the judge says which may be
            outcome = exc
        times.append((due, time.monotonic()))
        self._teller.tell(told_of(message.tag, outcome))
        if isinstance(outcome, InvalidState):
            raise outcome

    async def _submit(self, number: int, call: Call, times: _Times) -> None:
        """Also of twins: all are under way before the first is waited for. Cancelled, it cancels what is under way."""
        futures: list[tuple[Message, asyncio.Future[Receipt]]] = []
        closed: InvalidState | None = None
        try:
            for message in call.messages:
                self._begin(number, message)
                due = time.monotonic() + call.timeout_s
                try:
                    future = await self._publisher.submit(
                        body_of(message.tag, message.size_bytes), **options_of(call, message)
                    )
                except asyncio.CancelledError as exc:
                    self._teller.tell(told_of(message.tag, exc))
                    raise
                except Exception as exc:  # noqa: BLE001 - as above
                    self._teller.tell(told_of(message.tag, exc))
                    closed = exc if isinstance(exc, InvalidState) else None
                    break
                times.append((due, time.monotonic()))
                future.add_done_callback(lambda _, due=due: times.append((due, time.monotonic())))  # type: ignore[misc]
                futures.append((message, future))
            if futures:
                await asyncio.wait([future for _, future in futures])
        except asyncio.CancelledError:
            for _, future in futures:
                future.cancel()
            raise
        finally:
            for message, future in futures:
                self._teller.tell(_of_future(message, future))
        if closed is not None:
            raise closed

    async def _batch(self, number: int, call: Call, times: _Times) -> None:
        due = time.monotonic() + call.timeout_s
        begun: list[Message] = []
        batch = self._publisher.batch()
        outcomes: tuple[object, ...] | None = None
        try:
            async with batch:
                for message in call.messages:
                    self._begin(number, message)
                    due = time.monotonic() + call.timeout_s
                    try:
                        await batch.publish(body_of(message.tag, message.size_bytes), **options_of(call, message))
                    except (DurableWsError, asyncio.CancelledError) as exc:
                        self._teller.tell(told_of(message.tag, exc))
                        raise
                    times.append((due, time.monotonic()))
                    begun.append(message)
        except BatchError:
            pass
        except asyncio.CancelledError:
            outcomes = tuple(_by_batch(outcome) for outcome in batch.outcomes)
            raise
        finally:
            times.append((due, time.monotonic()))
            for message, outcome in zip(begun, outcomes or batch.outcomes, strict=True):
                self._teller.tell(
                    _unsaid(message) if isinstance(outcome, asyncio.CancelledError) else told_of(message.tag, outcome)
                )

    async def _publish_many(self, number: int, call: Call, times: _Times) -> None:
        taken = Taken(call, partial(self._begin, number))
        outcomes: object
        try:
            outcomes = await self._publisher.publish_many(taken, **options_of(call, None))
        except asyncio.CancelledError:
            for message in taken.messages:
                self._teller.tell(_unsaid(message))
            raise
        except Exception as exc:  # noqa: BLE001 - as above; a BatchError among them
            outcomes = exc
        times.extend(taken.times())
        if taken.tell(outcomes, self._teller):
            raise InvalidState("the publisher was closed")

    def _begin(self, number: int, message: Message) -> None:
        self._teller.message(number, message.tag, message.key, message.message_id)


def _of_future(message: Message, future: asyncio.Future[Receipt]) -> MessageTold:
    if not future.cancelled():
        return told_of(message.tag, future.exception() or future.result())
    fate = getattr(future, "fate", None)
    word = {"not sent": "not sent", "outcome unknown": "unknown"}.get(fate or "", "odd")
    return MessageTold(
        message.tag, word, None, getattr(future, "message_id", None), f"fate {fate!r}", by_cancelling=True
    )


def _by_batch(outcome: object) -> object:
    """What a cancelled batch says of a message: nothing, of one that was cancelled with it."""
    return asyncio.CancelledError() if isinstance(outcome, InvalidState) else outcome


def _unsaid(message: Message) -> MessageTold:
    return MessageTold(message.tag, "cancelled", None, None, "", by_cancelling=True)
