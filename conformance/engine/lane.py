"""The publishing side of a play: calls the publisher under test and records what it reports."""

from __future__ import annotations

import copy
import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from conformance.contract.naming import Naming
from conformance.engine.bodies import make_body
from conformance.errors import UsageError
from conformance.history.events import (
    PublishConfirmed,
    PublisherClosed,
    PublisherClosing,
    PublishFailed,
    PublishInvoked,
    PublishNacked,
    PublishReturned,
    PublishUnknown,
    digest,
)
from conformance.history.recorder import Recorder
from conformance.scenario.steps import Publish
from conformance.world.publisher.base import PublisherUnderTest
from durable_ws import Nacked, NotSent, Unroutable

__all__ = ["PublisherLane", "record_outcome"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_NAME = "p1"
_CALLERS = 8
_USER = "{user}"
"""Stands in a scenario for whom the publisher logs in as."""


class PublisherLane:
    """Publishes what the steps say, in the order of the steps, from threads of its own.

    Args:
        make: makes the publisher; called at the first publish, so that a fault on its link is met.
        naming: real names of exchanges and keys.
        recorder: takes the events.
        on_done: called whenever a step is over.
        user: whom the publisher logs in as.
    """

    def __init__(
        self,
        make: Callable[[], PublisherUnderTest],
        naming: Naming,
        recorder: Recorder,
        on_done: Callable[[], None] = lambda: None,
        *,
        user: str = "guest",
    ) -> None:
        self._user = user
        self._make = make
        self._on_done = on_done
        self._naming = naming
        self._recorder = recorder
        self._publisher: PublisherUnderTest | None = None
        self._making = threading.Lock()
        self._closing = threading.Event()
        self._numbers = itertools.count(1)
        self._callers = ThreadPoolExecutor(_CALLERS, thread_name_prefix="publish")
        self._order = ThreadPoolExecutor(1, thread_name_prefix="publish-order")
        self._background = ThreadPoolExecutor(_CALLERS, thread_name_prefix="publish-background")
        self._crowds: dict[int, ThreadPoolExecutor] = {}
        self._steps: list[Future[None]] = []

    def publish(self, step: Publish) -> Future[None]:
        """Begin one step; the future ends when every message of it has an outcome.

        Steps with ``wait`` follow one another; one without runs beside them.
        """
        lane = self._order if step.wait else self._background
        future = lane.submit(self._publish_all, step)
        self._steps.append(future)
        future.add_done_callback(lambda _: self._on_done())
        return future

    def close_publisher(self) -> Future[None]:
        """Begin to close the publisher; the next publish makes a new one. The future ends once it has closed.

        From this call on it stands in the history as closing.
        """
        with self._making:
            publisher, self._publisher = self._publisher, None
        self._recorder.record(PublisherClosing, publisher=_NAME)
        future = self._background.submit(self._close, publisher)
        self._steps.append(future)
        future.add_done_callback(lambda _: self._on_done())
        return future

    def _close(self, publisher: PublisherUnderTest | None) -> None:
        detail = ""
        try:
            if publisher is not None:
                publisher.close()
        except Exception as exc:  # noqa: BLE001 - it is the publisher's, and told
            detail = f"{type(exc).__name__}: {exc}"
        self._recorder.record(PublisherClosed, publisher=_NAME, detail=detail)

    @property
    def idle(self) -> bool:
        """Whether every step begun so far is over."""
        return all(step.done() for step in self._steps)

    def raise_errors(self) -> None:
        """Raise what the suite itself did wrong in the lane's threads (an outcome is never an error here)."""
        for step in self._steps:
            if step.done():
                step.result()

    def close(self) -> None:
        """End the lane: the publisher is closed, what has not begun is dropped."""
        with self._making:
            self._closing.set()
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)
        try:
            if self._publisher is not None:
                self._publisher.close()
        finally:
            for executor in self._executors:
                executor.shutdown(wait=True)

    def _publish_all(self, step: Publish) -> None:
        if step.pipelined:
            callers = self._callers_for(step)
            for one in [callers.submit(self._publish_one, step) for _ in range(step.count)]:
                # Not by futures.wait(): it is never told of futures that a shutdown cancels.
                with suppress(CancelledError):
                    one.result()
        else:
            for _ in range(step.count):
                if self._closing.is_set():
                    break
                self._publish_one(step)

    def _callers_for(self, step: Publish) -> ThreadPoolExecutor:
        """The usual callers, or as many as the step asks for."""
        if step.callers == _CALLERS:
            return self._callers
        with self._making:
            if self._closing.is_set():
                return self._callers  # which takes nothing more
            if step.callers not in self._crowds:
                self._crowds[step.callers] = ThreadPoolExecutor(step.callers, thread_name_prefix="publish-crowd")
            return self._crowds[step.callers]

    @property
    def _executors(self) -> tuple[ThreadPoolExecutor, ...]:
        return self._order, self._background, self._callers, *self._crowds.values()

    def publisher(self) -> PublisherUnderTest:
        """The publisher under test, made at the first time of asking."""
        with self._making:
            if self._publisher is None:
                self._publisher = self._make()
            return self._publisher

    def _publish_one(self, step: Publish) -> None:
        message_id = f"{self._naming.namespace}-{next(self._numbers):05d}"
        body = make_body(message_id, step.size_bytes, step.body)
        exchange = self._naming.exchange(step.exchange)
        routing_key = self._naming.routing_key(step.exchange, step.key)
        properties = self._properties(step)
        more: dict[str, Any] = {} if properties is None else {"properties": properties}
        if step.timeout_s is not None:
            more["timeout"] = step.timeout_s
        self._recorder.record(
            PublishInvoked,
            publisher=_NAME,
            message_id=message_id,
            exchange=exchange,
            routing_key=routing_key,
            body_digest=digest(body),
            size_bytes=len(body),
            properties=properties,
            timeout_s=step.timeout_s,
        )
        try:
            record_outcome(
                self._recorder,
                _NAME,
                message_id,
                lambda: self.publisher().publish(
                    body, exchange=exchange, routing_key=routing_key, message_id=message_id, **more
                ),
            )
        except UsageError:
            raise  # what was given can't be a publisher: it is the user's to mend, and no outcome
        except Exception as exc:  # noqa: BLE001 - it is recorded, which is all that is asked here
            logger.debug("publish of %s: %r", message_id, exc)

    def _properties(self, step: Publish) -> dict[str, Any] | None:
        """What the step asks for, each message's own copy."""
        if step.properties is None:
            return None
        properties: dict[str, Any] = {str(name): copy.deepcopy(value) for name, value in step.properties.items()}
        if properties.get("user_id") == _USER:
            properties["user_id"] = self._user
        return properties


def record_outcome(recorder: Recorder, publisher: str, message_id: str, publish: Callable[[], T]) -> T:
    """Call ``publish`` and record the outcome that it reports; what it raises is raised again."""
    told = {"publisher": publisher, "message_id": message_id}
    try:
        receipt = publish()
    except Unroutable:
        recorder.record(PublishReturned, **told)
        raise
    except Nacked as exc:
        recorder.record(PublishNacked, **told, detail=str(exc))
        raise
    except NotSent as exc:
        recorder.record(PublishFailed, **told, detail=str(exc))
        raise
    except Exception as exc:  # whatever else the publisher under test raises settles nothing
        recorder.record(PublishUnknown, **told, detail=f"{type(exc).__name__}: {exc}")
        raise
    outcome = PublishConfirmed if getattr(receipt, "routed", True) else PublishReturned
    recorder.record(outcome, **told, attempts=getattr(receipt, "attempts", 1))
    return receipt
