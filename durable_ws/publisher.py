"""The publisher: what is published is confirmed by the broker, or an error says what is known of it."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from durable_ws.batch import Batch, receipts_of
from durable_ws.exceptions import InvalidState
from durable_ws.exchanges import Exchange
from durable_ws.message import MAX_SIZE_BYTES
from durable_ws.observe import Health, Observer, no_health
from durable_ws.options import flag, options_from, seconds
from durable_ws.pool import Pool
from durable_ws.receipt import Receipt

__all__ = ["Publisher"]

_T = TypeVar("_T")


class Publisher:
    """Publishes persistent messages with the broker's confirm. One publisher serves any number of threads.

    It connects when the first message is published, in a thread of its own, and reconnects by itself. After a fork
    the child's publisher starts afresh with connections of its own, and the parent's goes on undisturbed.

    Args:
        url: ``amqp://user:password@host:5672/vhost``, ``amqps://…``; None: the environment's ``RABBITMQ_URL``. Several
            hosts of one cluster stand with commas between them, ``amqp://user:password@one:5672,two:5672/vhost``: they
            are tried in turn, and the next one is taken when a connection is lost; a login is refused once all refuse.
        exchanges: an :class:`Exchange` (or a mapping of its fields) for each name that ``to=`` takes; None:
            ``pubsub`` (durable topic ``durable-websocket-pubsub``) and ``broadcast`` (durable fanout
            ``durable-websocket-broadcast``). Each is declared when it is first published to.
        max_connections: the most connections; None: the environment's ``MAX_THREADS``, else 5.
        timeout: the deadline of each publish, in seconds from the call.
        window: the most unconfirmed messages on a connection (pipelined). A quarter as many besides are taken in and
            are written as confirms come; more wait in the call.
        require_route: whether publish raises where no queue is bound, unless it is told otherwise.
        max_size: the largest body in bytes; the broker has a limit of its own (``max_message_size``).
        heartbeat_s: AMQP heart-beat to propose, unless the URL has ``?heartbeat=``; 0 for none. A link on which
            nothing comes for two of them is given up. 5–20 s is what RabbitMQ advises
            (https://www.rabbitmq.com/docs/heartbeats).
        connect_timeout_s: for one attempt to connect.
        reconnect_first_s, reconnect_most_s: the pause between attempts grows from the one to the other, with jitter.
        close_timeout_s: how long :meth:`close` waits for what is under way; None: as long as ``timeout``.
        observer: is told what happens, see :class:`durable_ws.Observer`; None: nobody is.

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
        self._pool: Pool | None = None
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
        self._close_timeout_s = self._options.close_timeout_s
        self._lock = threading.RLock()  # a signal handler may publish while its own thread is in here
        self._closed = False
        _publishers.add(self)

    # --- publishing -------------------------------------------------------------------------------

    def publish(
        self,
        payload: object,
        to: str = "pubsub",
        routing_key: str = "",
        *,
        message_id: str | None = None,
        require_route: bool | None = None,
        timeout: float | None = None,
        **properties: Any,
    ) -> Receipt:
        """Publish one message and return once the broker has confirmed it.

        Where the connection is lost before the confirm, the message is published again under the same message id,
        until the deadline; so it may come to the queues twice.

        Args:
            payload: bytes, str (sent as UTF-8) or anything JSON-able.
            to: the exchange, by its name in ``exchanges``.
            routing_key: at most 255 bytes.
            message_id: None: a new random one.
            require_route: raise where no queue is bound; None: as the publisher was told.
            timeout: the deadline in seconds from now; None: as the publisher was told.
            **properties: AMQP properties: ``headers``, ``priority``, ``expiration`` (ms), ``correlation_id``,
                ``content_type``, ``delivery_mode`` (2, persistent, unless given), …

        Raises:
            ConfigError: an argument can't be used; nothing was sent.
            NotSent: the deadline passed before it could be written, or (Refused) the broker refuses it.
            Nacked: the broker said that it could not keep it.
            Unroutable: no queue is bound, and a route was required.
            OutcomeUnknown: it was written, and no confirm came by the deadline.
            InvalidState: the publisher is closed.
        """
        lane = threading.get_ident()
        return self._begin(Pool.call, lane, payload, to, routing_key, message_id, require_route, timeout, properties)

    def submit(
        self,
        payload: object,
        to: str = "pubsub",
        routing_key: str = "",
        *,
        message_id: str | None = None,
        require_route: bool | None = None,
        timeout: float | None = None,
        **properties: Any,
    ) -> Future[Receipt]:
        """Publish without waiting for the confirm; waits only while the window is full.

        Takes what :meth:`publish` takes. What one thread has under way keeps its order unless something is published
        again after a lost connection.

        Returns:
            A future that gives the receipt, or raises what publish would, by the deadline. Its callbacks run on the
            publisher's I/O thread and must not block. A signal handler that publishes may interrupt a thread that waits
            for its ``result()``; not one in :func:`concurrent.futures.wait`, which takes a lock of the future.

        Raises:
            ConfigError, InvalidState: as publish.
        """
        lane = threading.get_ident()
        return self._begin(Pool.submit, lane, payload, to, routing_key, message_id, require_route, timeout, properties)

    def batch(self) -> Batch:
        """Publish many messages pipelined; see :class:`Batch`."""
        return Batch(self._submit)

    def publish_many(
        self, payloads: Iterable[object], to: str = "pubsub", routing_key: str = "", **options: Any
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
            batch.publish_each(payloads, to, routing_key, **options)
        except Exception as exc:  # noqa: BLE001 - whatever the iterable raises, the fates of what was sent are told
            interrupted = exc
        return receipts_of(batch.wait(), interrupted)

    def health(self) -> Health:
        """How the publisher is now: connections, blocking, trouble, what is under way. Never waits for anything."""
        pool = self._pool
        if pool is None:
            return no_health(self._options.max_connections, closed=self._closed)
        return pool.health(closed=self._closed)

    # --- the end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Wait for what is under way, close the connections, end the thread. Idempotent."""
        self._end(self._close_timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        pool: Pool | None = getattr(self, "_pool", None)
        if pool is not None and not self._closed:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=1)
            pool.stop_soon()

    # --- inside -----------------------------------------------------------------------------------

    def _submit(
        self,
        lane: Hashable,
        payload: object,
        to: str,
        routing_key: str,
        /,
        *,
        message_id: str | None = None,
        require_route: bool | None = None,
        timeout: float | None = None,
        **properties: Any,
    ) -> Future[Receipt]:
        return self._begin(Pool.submit, lane, payload, to, routing_key, message_id, require_route, timeout, properties)

    def _begin(  # noqa: PLR0913, RUF100
        self,
        put: Callable[..., _T],
        lane: Hashable,
        payload: object,
        to: str,
        routing_key: str,
        message_id: str | None,
        require_route: bool | None,
        timeout: float | None,
        properties: Mapping[str, Any],
    ) -> _T:
        """Make the message and put it into the pool, by either of the pool's two ways."""
        options = self._options
        timeout_s = options.timeout if timeout is None else seconds("timeout", timeout)
        message = options.message(payload, to, routing_key, message_id, properties)
        required = options.require_route if require_route is None else flag("require_route", require_route)
        pool = self._running_pool()
        if options.observer is not None:  # from here on each message has an outcome
            message = options.observer.take(message)
        return put(pool, message, timeout_s=timeout_s, lane=lane, require_route=required)

    def _end(self, timeout_s: float) -> None:
        with self._lock:
            self._closed = True
            pool = self._pool
        if pool is not None:
            pool.close(timeout_s)

    def _running_pool(self) -> Pool:
        pool = self._pool
        if pool is not None and not self._closed:
            return pool
        with self._lock:
            if self._closed:
                raise InvalidState("the publisher is closed: make a new one")
            if self._pool is None:
                options = self._options
                made = Pool(options.link, max_connections=options.max_connections, window=options.window)
                if self._pool is None:
                    self._pool = made
                else:  # a signal handler was quicker
                    made.stop_soon()
            return self._pool

    def _forget_parent(self) -> None:
        """In a child after a fork: the pool's thread is not here, and its sockets and locks are the parent's."""
        if self._pool is not None:
            # Kept for ever: finalising the parent's loop here would change the epoll instance that both share.
            _inherited.append(self._pool)
            self._pool = None
        self._lock = threading.RLock()


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
_inherited: list[Pool] = []
_AT_EXIT_S = 5.0  # an interpreter that ends must not hang on a broker that is away


def _after_fork_in_child() -> None:
    for publisher in list(_publishers):
        publisher._forget_parent()


def _at_exit() -> None:
    """Give what is under way its chance, and end the threads in order, whoever forgot to close."""
    for publisher in list(_publishers):
        publisher._end(min(publisher._close_timeout_s, _AT_EXIT_S))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
