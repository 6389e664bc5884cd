"""Batches for asyncio: many messages pipelined, and the fate of every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self

from durable_ws.exceptions import BatchError, ConfigError, DurableWsError, InvalidState
from durable_ws.receipt import Receipt

__all__ = ["AsyncBatch"]


class AsyncBatch:
    """Messages that are published without waiting for one confirm before the next.

    ::

        async with publisher.batch() as batch:
            for tick in ticks:
                await batch.publish(tick, routing_key="ticks")
        batch.outcomes  # every message's fate, in order

    The end of the ``async with`` waits until each message is settled and raises :class:`BatchError` if one failed.
    Where the block itself raised, its error goes on, with a note of what became of the messages. Where the task is
    cancelled, the messages that are under way are cancelled with it, as :meth:`AsyncPublisher.publish` says. For one
    task.

    Args:
        submit: the publisher's ``submit`` with one more argument before all others: the lane, which is the batch.
    """

    def __init__(self, submit: Callable[..., Awaitable[asyncio.Future[Receipt]]]) -> None:
        self._submit = submit
        self._fates: list[asyncio.Future[Receipt] | ConfigError | InvalidState] = []

    async def publish(self, payload: object, to: str = "pubsub", routing_key: str = "", **options: Any) -> None:
        """Publish one message; takes what :meth:`AsyncPublisher.publish` takes. Waits only while the window is full.

        Raises:
            ConfigError: this message can't be published and is no part of the batch.
            InvalidState: as publish.
        """
        self._fates.append(await self._submit(self, payload, to, routing_key, **options))

    async def publish_each(
        self, payloads: Iterable[object] | AsyncIterable[object], to: str, routing_key: str, **options: Any
    ) -> None:
        """Publish all of them; a payload that can't be published becomes an outcome and does not stop the others."""
        if isinstance(payloads, AsyncIterable):
            async for payload in payloads:
                await self._publish_one(payload, to, routing_key, options)
        else:
            for payload in payloads:
                await self._publish_one(payload, to, routing_key, options)

    async def wait(self) -> tuple[Receipt | DurableWsError, ...]:
        """Wait until each message is settled (each by its deadline) and return the outcomes, in order.

        Raises:
            CancelledError: what was under way is cancelled.
        """
        pending = [fate for fate in self._fates if isinstance(fate, asyncio.Future) and not fate.done()]
        try:
            if pending:
                await asyncio.wait(pending)
        except asyncio.CancelledError:
            self._cancel()
            raise
        return self.outcomes

    @property
    def outcomes(self) -> tuple[Receipt | DurableWsError, ...]:
        """The receipt or the error of each message, in the order of the calls.

        Raises:
            InvalidState: some are under way; :meth:`wait` for them.
        """
        if not all(not isinstance(fate, asyncio.Future) or fate.done() for fate in self._fates):
            raise InvalidState("some messages of the batch are under way: await batch.wait()")
        return tuple(_outcome(fate) for fate in self._fates)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None and not isinstance(exc, Exception):
            self._cancel()
            return
        outcomes = await self.wait()
        confirmed = sum(isinstance(outcome, Receipt) for outcome in outcomes)
        if exc is not None:
            exc.add_note(f"{confirmed} of the {len(outcomes)} messages that the batch had begun were confirmed")
        elif confirmed < len(outcomes):
            raise BatchError(outcomes)

    async def _publish_one(self, payload: object, to: str, routing_key: str, options: dict[str, Any]) -> None:
        try:
            await self.publish(payload, to, routing_key, **options)
        except ConfigError as exc:
            if not exc.field.startswith("payload"):
                raise
            self._fates.append(exc)
        except InvalidState as exc:  # closed meanwhile; before the first one the error alone says it all
            if self._fates:
                self._fates.append(exc)
            raise

    def _cancel(self) -> None:
        for fate in self._fates:
            if isinstance(fate, asyncio.Future):
                fate.cancel()


def _outcome(fate: asyncio.Future[Receipt] | ConfigError | InvalidState) -> Receipt | DurableWsError:
    if not isinstance(fate, asyncio.Future):
        return fate
    if fate.cancelled():
        return InvalidState("the call was cancelled")
    error = fate.exception()
    if isinstance(error, DurableWsError):
        return error
    return fate.result()
