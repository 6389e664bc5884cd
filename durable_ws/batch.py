"""Batches: many messages pipelined, and the fate of every one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from durable_ws.exceptions import BatchError, ConfigError, DurableWsError, InvalidState
from durable_ws.receipt import Receipt

__all__ = ["Batch", "receipts_of"]


class Batch:
    """Messages that are published without waiting for one confirm before the next.

    ::

        with publisher.batch() as batch:
            for tick in ticks:
                batch.publish(tick, routing_key="ticks")
        batch.outcomes  # every message's fate, in order

    The end of the ``with`` waits until each message is settled and raises :class:`BatchError` if one failed. Where the
    block itself raised, its error goes on, with a note of what became of the messages. For one thread.

    Args:
        submit: the publisher's ``submit`` with one more argument before all others: the lane, which is the batch.
    """

    def __init__(self, submit: Callable[..., Future[Receipt]]) -> None:
        self._submit = submit
        self._pid = os.getpid()
        self._fates: list[Future[Receipt]] = []

    def publish(self, payload: object, to: str = "pubsub", routing_key: str = "", **options: Any) -> None:
        """Publish one message; takes what :meth:`Publisher.publish` takes. Waits only while the window is full.

        Raises:
            ConfigError: this message can't be published and is no part of the batch.
            InvalidState: the publisher is closed, or the batch was begun before a fork.
        """
        self._check_process()
        self._fates.append(self._submit(self, payload, to, routing_key, **options))

    def publish_each(self, payloads: Iterable[object], to: str, routing_key: str, **options: Any) -> None:
        """Publish all of them; a payload that can't be published becomes an outcome and does not stop the others."""
        for payload in payloads:
            try:
                self.publish(payload, to, routing_key, **options)
            except ConfigError as exc:
                if not exc.field.startswith("payload"):
                    raise
                self._fates.append(_failed(exc))
            except InvalidState as exc:  # closed meanwhile; before the first one the error alone says it all
                if self._fates:
                    self._fates.append(_failed(exc))
                raise

    def wait(self) -> tuple[Receipt | DurableWsError, ...]:
        """Wait until each message is settled (each by its deadline) and return the outcomes, in order."""
        self._check_process()
        return tuple(_outcome(fate) for fate in self._fates)

    @property
    def outcomes(self) -> tuple[Receipt | DurableWsError, ...]:
        """The receipt or the error of each message, in the order of the calls; waits for those that are under way."""
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None and not isinstance(exc, Exception):
            return  # Ctrl-C does not wait
        outcomes = self.wait()
        confirmed = sum(isinstance(outcome, Receipt) for outcome in outcomes)
        if exc is not None:
            exc.add_note(f"{confirmed} of the {len(outcomes)} messages that the batch had begun were confirmed")
        elif confirmed < len(outcomes):
            raise BatchError(outcomes)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise InvalidState("this batch was begun before a fork and is the parent's: begin one in this process")


def _failed(error: DurableWsError) -> Future[Receipt]:
    failed: Future[Receipt] = Future()
    failed.set_exception(error)
    return failed


def _outcome(fate: Future[Receipt]) -> Receipt | DurableWsError:
    try:
        return fate.result()
    except DurableWsError as exc:
        return exc


def receipts_of(outcomes: Sequence[Receipt | DurableWsError], interrupted: Exception | None) -> list[Receipt]:
    """What ``publish_many`` returns, or raises.

    Args:
        outcomes: of the payloads that were taken.
        interrupted: what ended the taking of payloads before their end; None: nothing did.

    Raises:
        BatchError: some failed, or it was interrupted; whatever interrupted it before it sent anything, if it is ours.
    """
    if isinstance(interrupted, DurableWsError) and not outcomes:
        raise interrupted
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    if interrupted is not None or len(receipts) < len(outcomes):
        raise BatchError(outcomes) from interrupted
    return receipts
