"""Where the outcome of one message goes, and where callers wait for it. No thread that tells one ever waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from durable_ws.exceptions import PublishError
from durable_ws.interrupts import is_of_the_call
from durable_ws.receipt import Receipt

__all__ = ["Call", "Outcome"]

_MADE: dict[str, Callable[[], Any]] = {
    "_condition": threading.Condition,
    "_waiters": list,
    "_done_callbacks": list,
    "_sleepers": list,
}
"""What an :class:`Outcome` makes when somebody asks for it: all but the last under the names of the class above it."""

_KEPT = {"_condition": "_kept_condition"}
"""Under what other name it is kept: so each look at the condition comes by here, and finds the state up to date."""

_PENDING, _FINISHED = "PENDING", "FINISHED"  # as concurrent.futures calls them


class Call:
    """Where one caller waits for the outcome: less than a future, and a wait that no signal handler's error breaks."""

    __slots__ = ("_lock", "_outcome", "then")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._outcome: Receipt | PublishError | None = None
        self.then: Callable[[], None] | None = None
        """What the thread that waits is to do, once, when it is roused."""

    def done(self) -> bool:
        """Whether it was told."""
        return self._outcome is not None

    def set_result(self, receipt: Receipt) -> None:
        """The broker has confirmed it."""
        self._outcome = receipt
        self.rouse()

    def set_exception(self, error: PublishError) -> None:
        """It could not be promised."""
        self._outcome = error
        self.rouse()

    def rouse(self) -> None:
        """Have the thread that waits look around, now or once it comes to wait."""
        try:
            self._lock.release()
        except RuntimeError as exc:  # it was roused, and has not looked yet
            if not is_of_the_call(exc):
                raise

    def sleep(self, timeout_s: float) -> bool:
        """Wait until it is roused; False: it was not in the time."""
        return self._lock.acquire(timeout=timeout_s)

    def wait(self) -> Receipt:
        """The receipt, or the error raised; for one thread, once."""
        while self._outcome is None:
            self._lock.acquire()
            then, self.then = self.then, None
            if then is not None and self._outcome is None:
                then()
        outcome = self._outcome
        if not isinstance(outcome, Receipt):
            raise outcome
        return outcome


class Outcome(Future[Receipt]):
    """The future of one message, which can't be cancelled once it may be written.

    A plain future has a condition and three lists, about a kilobyte, and takes its lock at each step; a window full of
    them does not fit into a processor's cache. This one makes them when somebody first asks for them (callbacks,
    :func:`concurrent.futures.wait`, …), which most never do; who waits for the result, waits on a lock of its own. So a
    signal handler that publishes may interrupt a thread that waits for a result.

    Nothing here can be lost between two threads: who tells notes that it was told, and then looks whether somebody has
    asked; who asks notes that, and then looks whether it was told. What the class above looks at, the state, changes
    under the condition only, as it relies on that.
    """

    _asked = False  # whether any of these was made
    _told = False

    def __init__(self) -> None:  # without that of the class above, which makes all of it
        self._state = _PENDING
        self._result: Receipt | None = None
        self._exception: PublishError | None = None

    def __getattr__(self, name: str) -> Any:
        make = _MADE.get(name)
        if make is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._asked = True  # first: a signal handler's error may strike anywhere
        made = self.__dict__.setdefault(_KEPT.get(name, name), make())  # one for all, whichever thread is first
        if name == "_condition" and self._told:
            self._pass_on(made)
        return made

    def cancel(self) -> bool:
        """What may be written can't be cancelled."""
        return False

    def done(self) -> bool:
        """Whether it was told."""
        return self._told

    def result(self, timeout: float | None = None) -> Receipt:
        """See :meth:`concurrent.futures.Future.result`."""
        if not self._told:
            self._wait(timeout)
        try:
            if self._exception is not None:
                raise self._exception
            assert self._result is not None  # noqa: S101 - it is one of the two
            return self._result
        finally:
            self = None  # type: ignore[assignment]  # or the error and its traceback would hold each other

    def exception(self, timeout: float | None = None) -> PublishError | None:
        """See :meth:`concurrent.futures.Future.exception`."""
        if not self._told:
            self._wait(timeout)
        return self._exception

    def set_result(self, receipt: Receipt) -> None:
        """The broker has confirmed it."""
        self._result = receipt
        self._told = True
        if self._asked:
            self._tell()

    def set_exception(self, error: BaseException | None) -> None:
        """It could not be promised."""
        assert isinstance(error, PublishError)  # noqa: S101 - the pool gives no other
        self._exception = error
        self._told = True
        if self._asked:
            self._tell()

    def _tell(self) -> None:
        made = self.__dict__
        for sleeper in tuple(made.get("_sleepers", ())):
            sleeper.release()
        if "_kept_condition" in made:
            self._pass_on(made["_kept_condition"])
            self._invoke_callbacks()  # not where somebody else was first to pass it on, who may hold locks

    def _pass_on(self, condition: threading.Condition) -> None:
        """Tell whoever looks at it by way of the class above; once, whichever thread is first."""
        with condition:
            if self._state == _FINISHED:
                return
            self._state = _FINISHED
            for waiter in self._waiters:
                (waiter.add_exception if self._exception else waiter.add_result)(self)
            condition.notify_all()

    def _wait(self, timeout: float | None) -> None:
        sleeper = threading.Lock()
        sleeper.acquire()
        self._sleepers.append(sleeper)
        if not self._told:
            sleeper.acquire(timeout=-1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX))
        if not self._told:
            self._sleepers.remove(sleeper)
            raise TimeoutError
