"""Callers of the publisher for threads: each a thread, that makes one call after the other until it is told to hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

from benchmarks.soak_publishers.bodies import body_of
from benchmarks.soak_publishers.calls import Call, Drawer, Message
from benchmarks.soak_publishers.fates import told_of
from benchmarks.soak_publishers.telling import Teller
from durable_ws import BatchError, DurableWsError, InvalidState, Publisher, Receipt

__all__ = ["Callers", "Taken", "options_of"]


class Callers:
    """Many threads that share one publisher.

    Args:
        publisher: whose calls are made.
        teller: is told of them.
        drawers: one for each caller.
    """

    def __init__(self, publisher: Publisher, teller: Teller, drawers: list[Drawer]) -> None:
        self._publisher = publisher
        self._teller = teller
        self._drawers = drawers
        self._hold = threading.Event()
        self._threads: list[threading.Thread] = []

    def go(self, round_: int) -> None:
        """Begin to call."""
        self._hold.clear()
        self._threads = [
            threading.Thread(target=self._run, args=(drawer, round_), name=f"caller {number}", daemon=True)
            for number, drawer in enumerate(self._drawers)
        ]
        for thread in self._threads:
            thread.start()

    def hold(self) -> None:
        """Begin no more calls, and wait for the end of those that are under way."""
        self._hold.set()
        for thread in self._threads:
            thread.join()

    def _run(self, drawer: Drawer, round_: int) -> None:
        ways = {"publish": self._publish, "batch": self._batch, "publish_many": self._publish_many}
        while not self._hold.is_set():
            call = drawer.draw(round_)
            number = self._teller.begin(call.way)
            try:
                ways.get(call.way, self._submit)(number, call)
            except InvalidState:
                return  # it was closed
            self._hold.wait(call.pause_s)

    def _publish(self, number: int, call: Call) -> None:
        (message,) = call.messages
        self._begin(number, message)
        outcome: Receipt | Exception
        due = time.monotonic() + call.timeout_s
        try:
            outcome = self._publisher.publish(body_of(message.tag, message.size_bytes), **options_of(call, message))
        except Exception as exc:  # noqa: BLE001 - the judge says which may be
            outcome = exc
        came = time.monotonic()
        self._teller.tell(told_of(message.tag, outcome))
        self._teller.end(number, [(due, came)])
        if isinstance(outcome, InvalidState):
            raise outcome

    def _submit(self, number: int, call: Call) -> None:
        """Also of twins: all are under way before the first is waited for."""
        futures: list[tuple[Message, float, Future[Receipt]]] = []
        times: list[tuple[float, float]] = []
        closed: InvalidState | None = None
        for message in call.messages:
            self._begin(number, message)
            due = time.monotonic() + call.timeout_s
            try:
                future = self._publisher.submit(body_of(message.tag, message.size_bytes), **options_of(call, message))
            except Exception as exc:  # noqa: BLE001 - as above
                self._teller.tell(told_of(message.tag, exc))
                closed = exc if isinstance(exc, InvalidState) else None
                break
            times.append((due, time.monotonic()))
            future.add_done_callback(lambda _, due=due: times.append((due, time.monotonic())))  # type: ignore[misc]
            futures.append((message, due, future))
        for message, _, future in futures:
            error = future.exception()
            self._teller.tell(told_of(message.tag, future.result() if error is None else error))
        self._teller.end(number, times)
        if closed is not None:
            raise closed

    def _batch(self, number: int, call: Call) -> None:
        times: list[tuple[float, float]] = []
        due = time.monotonic() + call.timeout_s
        begun: list[Message] = []
        closed: Exception | None = None
        batch = self._publisher.batch()
        try:
            with batch:
                for message in call.messages:
                    self._begin(number, message)
                    due = time.monotonic() + call.timeout_s
                    try:
                        batch.publish(body_of(message.tag, message.size_bytes), **options_of(call, message))
                    except DurableWsError as exc:
                        self._teller.tell(told_of(message.tag, exc))
                        raise
                    times.append((due, time.monotonic()))
                    begun.append(message)
        except BatchError:
            pass
        except InvalidState as exc:
            closed = exc
        times.append((due, time.monotonic()))
        for message, outcome in zip(begun, batch.outcomes, strict=True):
            self._teller.tell(told_of(message.tag, outcome))
        self._teller.end(number, times)
        if closed is not None:
            raise closed

    def _publish_many(self, number: int, call: Call) -> None:
        taken = Taken(call, partial(self._begin, number))
        outcomes: object
        try:
            outcomes = self._publisher.publish_many(taken, **options_of(call, None))
        except BatchError as exc:
            outcomes = exc
        except Exception as exc:  # noqa: BLE001 - as above
            outcomes = exc
        closed = taken.tell(outcomes, self._teller)
        self._teller.end(number, taken.times())
        if closed:
            raise InvalidState("the publisher was closed")

    def _begin(self, number: int, message: Message) -> None:
        self._teller.message(number, message.tag, message.key, message.message_id)


class Taken:
    """The payloads of a ``publish_many``, and when each was taken.

    Args:
        call: whose they are.
        begin: is told of each message that is taken next.
    """

    def __init__(self, call: Call, begin: partial[None]) -> None:
        self._call = call
        self._begin = begin
        self._at: list[float] = []

    def __iter__(self) -> Iterator[bytes]:
        for message in self._call.messages:
            self._begin(message)
            self._at.append(time.monotonic())
            yield body_of(message.tag, message.size_bytes)

    @property
    def messages(self) -> tuple[Message, ...]:
        """Those that were taken."""
        return self._call.messages[: len(self._at)]

    def times(self) -> list[tuple[float, float]]:
        """When something was due, and when it came, now that the call has ended."""
        came = [*self._at[1:], time.monotonic()]
        return [(at + self._call.timeout_s, then) for at, then in zip(self._at, came, strict=True)]

    def tell(self, outcomes: object, teller: Teller) -> bool:
        """Tell what became of each.

        Args:
            outcomes: what ``publish_many`` returned or raised.
            teller: is told.

        Returns:
            Whether the publisher was closed meanwhile.
        """
        messages = self.messages
        cause: BaseException | None = None
        if isinstance(outcomes, BatchError):
            cause = outcomes.__cause__
            outcomes = outcomes.outcomes
        elif isinstance(outcomes, BaseException):
            cause, outcomes = outcomes, ()
        told = list(outcomes) if isinstance(outcomes, list | tuple) else []
        if not told and len(messages) == 1 and cause is not None:
            told = [cause]  # where it is the first one, the error alone says it all
        for message, outcome in zip(messages, told, strict=False):
            teller.tell(told_of(message.tag, outcome))
        return isinstance(cause, InvalidState)


def options_of(call: Call, message: Message | None) -> dict[str, Any]:
    """The arguments of a call for a message; None: for all of its messages."""
    return {
        "routing_key": (message or call.messages[0]).key,
        "require_route": call.require_route,
        "timeout": call.timeout_s,
        **({} if message is None else {"message_id": message.message_id}),
    }
