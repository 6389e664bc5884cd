"""The publisher for asyncio: what is published is confirmed by the broker, or an error says what is known of it."""

from __future__ import annotations

import asyncio
import os
import warnings
import weakref
from collections.abc import AsyncIterable, Hashable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from durable_ws.async_batch import AsyncBatch
from durable_ws.async_call import AsyncCall
from durable_ws.async_pool import AsyncPool, Pending
from durable_ws.batch import receipts_of
from durable_ws.exceptions import InvalidState
from durable_ws.exchanges import Exchange
from durable_ws.message import MAX_SIZE_BYTES, Message
from durable_ws.observe import Health, Observer, no_health
from durable_ws.options import flag, options_from, seconds
from durable_ws.receipt import Receipt

__all__ = ["AsyncPublisher"]


class AsyncPublisher:
    """Publishes persistent messages with the broker's confirm, from the tasks of one event loop.

    ::

        async with AsyncPublisher("amqp://guest:guest@localhost:5672/%2F") as publisher:
            receipt = await publisher.publish({"price": 42}, routing_key="ticks")

    It says and promises what :class:`durable_ws.Publisher` does, and takes the same arguments. It connects when the
    first message is published, on the loop that runs then, and is bound to that loop and process from there on: another
    loop, or a child after a fork, needs one of its own.

    Args:
        url, exchanges, max_connections, timeout, window, require_route, max_size, heartbeat_s, connect_timeout_s,
        reconnect_first_s, reconnect_most_s, close_timeout_s, observer: see :class:`durable_ws.Publisher`.

    Raises:
        ConfigError: an argument or an environment variable can't be used, or there is no URL.
    """

    def __init__(
        self,
        url: str | None = None,
        exchanges: Mapping[str, Exchange | Mapping[str, Any]] | None = None,
        *,
        max_connections: int | None = None,
        timeout: float = 30.0,
        window: int = 1000,
        require_route: bool = False,
        max_size: int = MAX_SIZE_BYTES,
        heartbeat_s: int = 5,
        connect_timeout_s: float = 10.0,
        reconnect_first_s: float = 0.1,
        reconnect_most_s: float = 5.0,
        close_timeout_s: float | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._pool: AsyncPool | None = None
        self._closed = False
        self._inherited = False  # this is a child, and the pool its parent's
        self._options = options_from(
            type(self).__name__,
            url,
            exchanges,
            max_connections=max_connections,
            timeout=timeout,
            window=window,
            require_route=require_route,
            max_size=max_size,
            heartbeat_s=heartbeat_s,
            connect_timeout_s=connect_timeout_s,
            reconnect_first_s=reconnect_first_s,
            reconnect_most_s=reconnect_most_s,
            close_timeout_s=close_timeout_s,
            observer=observer,
        )
        _publishers.add(self)

    # --- publishing -------------------------------------------------------------------------------

    async def publish(
        self,
        payload: object,
        to: str = "pubsub",
        routing_key: str = "",
        *,
        message_id: str | None = None,
        require_route: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the publisher's own word, and not only a limit of the wait
        **properties: Any,
    ) -> Receipt:
        """Publish one message and return once the broker has confirmed it; see :meth:`durable_ws.Publisher.publish`.

        Where the task is cancelled meanwhile, the message is settled with it: never written if it was not yet, and of
        unknown outcome if it was. A note on the CancelledError says which, or the outcome, where it had come by then.
        No other message is touched.

        Raises:
            ConfigError, NotSent, Nacked, Unroutable, OutcomeUnknown: as :meth:`durable_ws.Publisher.publish`.
            InvalidState: the publisher is closed, or belongs to another loop or process.
        """
        pool, message, timeout_s, required = self._begin(
            payload, to, routing_key, message_id, require_route, timeout, properties
        )
        call = pool.publish_alone(message, timeout_s, required)
        if call is None:
            task = asyncio.current_task()
            call, job = pool.call(message, timeout_s=timeout_s, lane=task, require_route=required)
            if not pool.enter(job):
                await pool.enter_later(job)
            del job
        try:
            return await call
        except asyncio.CancelledError as exc:
            if call.done():
                exc.add_note(f"message {call.message_id}: {call.fate or _told(call)}: the call was cancelled")
            raise
        finally:
            del call  # or it, its error and that one's traceback would hold each other

    async def submit(
        self,
        payload: object,
        to: str = "pubsub",
        routing_key: str = "",
        *,
        message_id: str | None = None,
        require_route: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the publisher's own word, and not only a limit of the wait
        **properties: Any,
    ) -> asyncio.Future[Receipt]:
        """Publish without waiting for the confirm; waits only while the window is full.

        Takes what :meth:`publish` takes. What one task has under way keeps its order unless something is published
        again after a lost connection.

        Returns:
            A future that gives the receipt, or raises what publish would, by the deadline. To cancel it is to cancel
            the publish.

        Raises:
            ConfigError, InvalidState: as publish.
        """
        return await self._submit(
            asyncio.current_task(),
            payload,
            to,
            routing_key,
            message_id=message_id,
            require_route=require_route,
            timeout=timeout,
            **properties,
        )

    def batch(self) -> AsyncBatch:
        """Publish many messages pipelined; see :class:`AsyncBatch`."""
        return AsyncBatch(self._submit)

    async def publish_many(
        self,
        payloads: Iterable[object] | AsyncIterable[object],
        to: str = "pubsub",
        routing_key: str = "",
        **options: Any,
    ) -> list[Receipt]:
        """Publish all payloads, pipelined, in order; ``options`` as for :meth:`publish`, for each of them.

        Returns:
            The receipts in the order of the payloads.

        Raises:
            BatchError: some failed (a payload that can't be published among them), or the iterable itself did (then
                its error is the cause); holds the fate of each payload that was taken from it.
            ConfigError, InvalidState: as publish, where no payload is at fault; nothing was sent.
        """
        batch = self.batch()
        interrupted: Exception | None = None
        try:
            await batch.publish_each(payloads, to, routing_key, **options)
        except Exception as exc:  # noqa: BLE001 - whatever the iterable raises, the fates of what was sent are told
            interrupted = exc
        except asyncio.CancelledError:
            batch._cancel()
            raise
        return receipts_of(await batch.wait(), interrupted)

    def health(self) -> Health:
        """How the publisher is now; see :meth:`durable_ws.Publisher.health`. Any thread may ask.

        In a child after a fork, where it can't be used, it is closed.
        """
        pool = self._pool
        if pool is None or self._inherited:
            return no_health(self._options.max_connections, closed=self._closed or pool is not None)
        return pool.health(closed=self._closed)

    # --- the end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Wait for what is under way and close the connections. Idempotent; one that is cancelled goes on behind."""
        self._closed = True
        if self._pool is not None:
            self._check_place(self._pool)
            await self._pool.close(self._options.close_timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_pool", None) is not None and not self._closed and not self._inherited:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=1)

    # --- inside -----------------------------------------------------------------------------------

    async def _submit(
        self,
        lane: Hashable,
        payload: object,
        to: str,
        routing_key: str,
        /,
        *,
        message_id: str | None = None,
        require_route: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the publisher's own word, and not only a limit of the wait
        **properties: Any,
    ) -> Pending:
        pool, message, timeout_s, required = self._begin(
            payload, to, routing_key, message_id, require_route, timeout, properties
        )
        pending, job = pool.submit(message, timeout_s=timeout_s, lane=lane, require_route=required)
        if not pool.enter(job):
            await pool.enter_later(job)
        return pending

    def _begin(
        self,
        payload: object,
        to: str,
        routing_key: str,
        message_id: str | None,
        require_route: bool | None,
        timeout: float | None,
        properties: Mapping[str, Any],
    ) -> tuple[AsyncPool, Message, float, bool]:
        """The pool, the message, its deadline in seconds from now, and whether it must find a queue."""
        options = self._options
        timeout_s = options.timeout if timeout is None else seconds("timeout", timeout)
        message = options.message(payload, to, routing_key, message_id, properties)
        required = options.require_route if require_route is None else flag("require_route", require_route)
        pool = self._running_pool()
        if options.observer is not None:  # from here on each message has an outcome
            message = options.observer.take(message)
        return pool, message, timeout_s, required

    def _running_pool(self) -> AsyncPool:
        if self._closed:
            raise InvalidState("the publisher is closed: make a new one")
        pool = self._pool
        if pool is None:
            options = self._options
            self._pool = pool = AsyncPool(
                asyncio.get_running_loop(),
                options.link,
                max_connections=options.max_connections,
                window=options.window,
            )
        self._check_place(pool)
        return pool

    def _check_place(self, pool: AsyncPool) -> None:
        if self._inherited:
            raise InvalidState("this publisher is the parent's of before a fork: make one in this process")
        if asyncio.get_running_loop() is not pool.loop:
            raise InvalidState("this publisher belongs to another event loop: make one for each loop")


def _told(call: AsyncCall) -> str:
    """What became of a message whose outcome came before its caller was cancelled."""
    outcome = call.outcome
    if not isinstance(outcome, Receipt):
        return str(outcome)
    return "confirmed" if outcome.routed else "confirmed, but no queue is bound for it"


_publishers: weakref.WeakSet[AsyncPublisher] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for publisher in list(_publishers):
        publisher._inherited = publisher._pool is not None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
