"""A publisher under test from a Python factory named as ``module:factory``."""

from __future__ import annotations

import importlib
import inspect
import queue
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

from conformance.contract.model import Offer
from conformance.errors import HarnessError, UsageError
from conformance.world.publisher.base import Factory, PublisherUnderTest
from conformance.world.publisher.offers import names
from durable_ws import OutcomeUnknown

__all__ = ["FactoryPublisher", "load_factory"]

_WAY_OUT = (
    "Return an object with publish(body, *, exchange, routing_key, message_id), which returns once the message is "
    "confirmed, and close()."
)


def load_factory(spec: str, *, field: str = "--publisher") -> Factory:
    """Import the factory that ``spec`` names.

    Args:
        spec: ``package.module:attribute``; the working directory is importable, as with ``python -m``.
        field: what the error calls it.

    Raises:
        UsageError: the spec is no ``module:factory``, the module can't be imported, or there is no such callable.
    """
    module_name, colon, attribute = spec.partition(":")
    if not colon or not module_name or not attribute:
        raise UsageError(field, f"{spec!r} is no MODULE:FACTORY", "Name it like `myapp.messaging:make_publisher`.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except (Exception, SystemExit) as exc:
        raise UsageError(
            field,
            f"the module {module_name!r} can't be imported ({type(exc).__name__}: {exc})",
            "Run the command where the module can be found, or install it in this environment.",
        ) from exc
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise UsageError(
                field, f"the module {module_name!r} has no {attribute!r}", "Name a callable that the module defines."
            )
        found = getattr(found, name)
    if not callable(found):
        raise UsageError(
            field,
            f"{spec!r} is a {type(found).__name__}, not a callable",
            "Name a function that takes the AMQP URL and returns a publisher.",
        )
    factory: Factory = found
    return factory


class FactoryPublisher:
    """What a factory made, with an end to every wait: a call that hangs must not hang the suite.

    Each calling thread has one thread that makes its calls, so that a publisher may keep a connection for each thread.
    One whose call hangs is left behind.

    Args:
        factory: called with the URL.
        url: the AMQP URL.
        name: what errors call the factory: ``module:factory``.
        timeout_s: the longest that a call may take.
        field: what an error calls the option or key that names the factory.
        failover: further URLs, handed to the factory if there are any.
        offers: what the contract says that the publisher offers.

    Raises:
        HarnessError: the factory raised, or did not return.
        UsageError: what it returned is no publisher.
    """

    def __init__(
        self,
        factory: Factory,
        url: str,
        *,
        name: str,
        timeout_s: float = 35.0,
        field: str = "--publisher",
        failover: Sequence[str] = (),
        offers: Collection[Offer] = (),
    ) -> None:
        if failover and not names(factory, "failover"):
            raise UsageError(
                "publisher.offers",
                f"'failover' is offered, but the factory {name!r} has no argument of that name",
                "Give it a keyword argument 'failover', a list of URLs, or take the word out of publisher.offers.",
            )
        more: dict[str, Any] = {"failover": list(failover)} if failover else {}
        self._name = name
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._lock = threading.Lock()
        self._callers: list[_Caller] = []
        try:
            self._publisher: PublisherUnderTest = self._call(lambda: factory(url, **more), f"the factory {name!r}")
            _check(self._publisher, name, field)
            _check_offers(self._publisher, name, offers)
        except BaseException as exc:
            self._end_callers()
            if isinstance(exc, Exception) and not isinstance(exc, HarnessError | UsageError):
                raise HarnessError(f"the factory {name!r} raised {type(exc).__name__}: {exc}") from exc
            raise

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str, **offered: Any) -> object:
        """Publish one message and return once it is confirmed; ``offered``: see :class:`PublisherUnderTest`.

        Raises:
            OutcomeUnknown: the call did not return in time, or returned an awaitable that nobody awaits.
            Exception: whatever the publisher raised.
        """
        try:
            receipt = self._call(
                lambda: self._publisher.publish(
                    body, exchange=exchange, routing_key=routing_key, message_id=message_id, **offered
                ),
                f"publish() of what {self._name!r} made",
            )
        except HarnessError as exc:
            raise OutcomeUnknown(message_id, str(exc)) from exc
        if inspect.isawaitable(receipt):
            _forget(receipt)
            raise OutcomeUnknown(message_id, f"publish() of what {self._name!r} made returned an awaitable")
        return receipt

    def close(self) -> None:
        """Close the publisher.

        Raises:
            HarnessError: its close() did not return.
            Exception: whatever it raised.
        """
        try:
            self._call(self._publisher.close, f"close() of what {self._name!r} made")
        finally:
            self._end_callers()

    def _call(self, work: Callable[[], Any], what: str) -> Any:
        caller: _Caller | None = getattr(self._local, "caller", None)
        if caller is None:
            caller = self._local.caller = _Caller()
            with self._lock:
                self._callers.append(caller)
        future = caller.call(work)
        try:
            return future.result(self._timeout_s)
        except FutureTimeoutError as exc:
            if future.done():
                raise  # the publisher's own
            self._local.caller = None
            raise HarnessError(f"{what} did not return within {self._timeout_s:g} s") from exc

    def _end_callers(self) -> None:
        with self._lock:
            callers, self._callers = self._callers, []
        for caller in callers:
            caller.end()


class _Caller:
    """A thread that makes calls one after another."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        # A daemon: one that hangs must not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._run, name="publisher-factory", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], Any]) -> Future[Any]:
        """Make a call; the future has its result."""
        future: Future[Any] = Future()
        self._work.put((work, future))
        return future

    def end(self) -> None:
        """End the thread, after the call that it is in."""
        self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, future = item
            try:
                result = work()
            except BaseException as exc:  # noqa: BLE001 - the caller's to judge
                future.set_exception(exc)
            else:
                future.set_result(result)
            del item, work, future


def _check(publisher: object, name: str, field: str) -> None:
    """Whether it can be a publisher."""
    made = f"{name!r} returned a {type(publisher).__name__}"
    if inspect.isawaitable(publisher):
        _forget(publisher)
        raise UsageError(field, f"{made}: it is asynchronous, which the suite does not await", _WAY_OUT)
    for method in ("publish", "close"):
        call = getattr(publisher, method, None)
        if not callable(call):
            raise UsageError(field, f"{made}, which has no {method}()", _WAY_OUT)
        if inspect.iscoroutinefunction(call):
            raise UsageError(
                field, f"{made}, whose {method}() is asynchronous, which the suite does not await", _WAY_OUT
            )
        try:
            signature = inspect.signature(call)
        except ValueError:
            continue  # one in C that does not tell
        try:
            if method == "publish":
                signature.bind(b"", exchange="", routing_key="", message_id="")
            else:
                signature.bind()
        except TypeError as exc:
            raise UsageError(
                field, f"{made}, whose {method}{signature} can't be called as it must ({exc})", _WAY_OUT
            ) from exc


def _check_offers(publisher: PublisherUnderTest, name: str, offers: Collection[Offer]) -> None:
    """Whether its publish() takes what the contract says that it offers."""
    for offer in offers:
        if offer != "failover" and not names(publisher.publish, offer):
            raise UsageError(
                "publisher.offers",
                f"{offer!r} is offered, but publish() of what {name!r} returned has no argument of that name",
                f"Give it a keyword argument {offer!r}, or take the word out of publisher.offers.",
            )


def _forget(awaitable: object) -> None:
    """Close a coroutine that nobody will await."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
