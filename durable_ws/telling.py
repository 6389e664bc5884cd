"""Telling: what happens to a publisher goes to its observer and into the log, and neither harms it."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from durable_ws.exceptions import ConfigError
from durable_ws.message import Message, with_headers
from durable_ws.observe import (
    Blocked,
    Connected,
    Disconnected,
    MessageSettled,
    MessageTaken,
    Observer,
    Unblocked,
)
from durable_ws.scribe import Log

__all__ = ["ConnectionTeller", "Guarded", "guarded"]

logger = logging.getLogger(__name__)

_log = logging.getLogger("durable_ws.connection")
_log.addHandler(logging.NullHandler())  # a program that has not set up logging hears of trouble by exceptions alone

_METHODS = ("connected", "disconnected", "blocked", "unblocked", "taken", "settled")

_F = TypeVar("_F")
_R = TypeVar("_R")


class Guarded:
    """An observer whose errors are logged and go no further.

    The first error of a method and type is logged at ERROR with its traceback, the like of it at DEBUG, so that an
    observer that fails for each message does not fill the disk.

    Args:
        observer: whom to tell.
        log: what writes the errors.
    """

    def __init__(self, observer: Observer, log: Log = logging.Logger.log) -> None:
        self._observer = observer
        self._log = log
        self._known: set[tuple[str, type[Exception]]] = set()

    def with_log(self, log: Log) -> Guarded:
        """The same, its errors written by another; what is known is known to both."""
        other = Guarded(self._observer, log)
        other._known = self._known
        return other

    def take(self, message: Message) -> Message:
        """Tell of a message that is about to be published; the message to publish instead."""
        body = message.body
        fact = MessageTaken(
            message_id=message.message_id,
            exchange=message.exchange,
            routing_key=message.routing_key,
            size_bytes=len(body),
        )
        headers = self._tell("taken", self._observer.taken, fact)
        if headers:
            try:
                message = with_headers(message, headers)
            except Exception as exc:  # noqa: BLE001 - whatever an observer returns, the message goes its way
                self._failed("taken", exc)
        return message._replace(taken=fact)

    def settle(self, message: Message, outcome: str, began: float, attempts: int, reason: str) -> None:
        """Tell what became of a message; ``began`` is when its call came, on :func:`time.monotonic`."""
        if message.taken is not None:
            latency_s = time.monotonic() - began
            fact = MessageSettled(
                message=message.taken, outcome=outcome, latency_s=latency_s, attempts=attempts, reason=reason
            )
            self._tell("settled", self._observer.settled, fact)

    def connected(self, fact: Connected) -> None:
        """See :class:`Observer`."""
        self._tell("connected", self._observer.connected, fact)

    def disconnected(self, fact: Disconnected) -> None:
        """See :class:`Observer`."""
        self._tell("disconnected", self._observer.disconnected, fact)

    def blocked(self, fact: Blocked) -> None:
        """See :class:`Observer`."""
        self._tell("blocked", self._observer.blocked, fact)

    def unblocked(self, fact: Unblocked) -> None:
        """See :class:`Observer`."""
        self._tell("unblocked", self._observer.unblocked, fact)

    def _tell(self, name: str, method: Callable[[_F], _R], fact: _F) -> _R | None:
        try:
            return method(fact)
        except Exception as exc:  # noqa: BLE001 - what an observer does wrong must not reach the messages
            self._failed(name, exc)
            return None

    def _failed(self, name: str, error: Exception) -> None:
        kind = (name, type(error))
        level = logging.DEBUG if kind in self._known else logging.ERROR
        self._known.add(kind)
        self._log(logger, level, "the observer's %s failed, publishing goes on", name, exc_info=error)


def guarded(observer: Observer | None) -> Guarded | None:
    """The observer that a publisher was given, made harmless.

    Raises:
        ConfigError: it is none.
    """
    if observer is None:
        return None
    if isinstance(observer, type) or not isinstance(observer, Observer):
        raise ConfigError(
            "observer",
            f"{observer!r:.60} has not all the methods of one",
            "Give an object of a class that inherits from durable_ws.Observer.",
        )
    for name in _METHODS:
        if inspect.iscoroutinefunction(getattr(observer, name)):
            raise ConfigError(
                f"observer.{name}", "is a coroutine function, and nobody would await it", "Write it without async."
            )
    return Guarded(observer)


class ConnectionTeller:
    """Tells what happens to the connections of one link, in the log and to the observer.

    The log is ``durable_ws.connection``. Each record has its facts as attributes, too (``extra``): ``event``, ``host``,
    ``port``, and where they apply ``reason``, ``exchange``, ``unconfirmed``, ``pause_s``, ``attempt``. No record has a
    user's name, a password or a message's content.

    Args:
        observer: None: nobody.
        write: what writes the lines.
    """

    def __init__(self, observer: Guarded | None, write: Log = logging.Logger.log) -> None:
        self._observer = observer
        self._write_line = write
        self._at: dict[str, Any] = {"host": "", "port": 0}
        self._connected = False
        self.trouble: tuple[float, str] | None = None
        """When and why the latest connection ended or could not be made, on :func:`time.monotonic`."""

    def dialling(self, host: str, port: int) -> None:
        """From here on this is the host."""
        self._at = {"host": host, "port": port}
        self._write(logging.DEBUG, "connecting", "connecting to %(host)s:%(port)s")

    def connected(self) -> None:
        """It can be published on (again, if the broker has closed the channel alone)."""
        if self._connected:
            return
        self._connected = True
        self._write(logging.INFO, "connected", "connected to %(host)s:%(port)s")
        if self._observer is not None:
            self._observer.connected(Connected(**self._at))

    def disconnected(self, reason: str, *, in_order: bool, unconfirmed: int) -> None:
        """It has ended, or never came to be."""
        opened, self._connected = self._connected, False
        if not in_order:
            self.trouble = (time.monotonic(), reason)
        if in_order:
            self._write(logging.INFO, "closed", "closed the connection to %(host)s:%(port)s", reason=reason)
        elif opened:
            text = "lost the connection to %(host)s:%(port)s with %(unconfirmed)d messages unconfirmed: %(reason)s"
            self._write(logging.WARNING, "lost", text, reason=reason, unconfirmed=unconfirmed)
        else:
            self._write(logging.WARNING, "refused", "can't connect to %(host)s:%(port)s: %(reason)s", reason=reason)
        if self._observer is not None:
            self._observer.disconnected(Disconnected(**self._at, reason=reason, opened=opened, in_order=in_order))

    def pausing(self, pause_s: float, attempt: int) -> None:
        """Before the next attempt to connect, the n-th since it was lost or first tried."""
        text = "connecting again in %(pause_s).3f s, if there is something to publish (attempt %(attempt)d)"
        self._write(logging.INFO, "pause", text, pause_s=pause_s, attempt=attempt)

    def channel_closed(self, reason: str, exchange: str | None) -> None:
        """The broker has closed a channel; ``exchange`` is what was declared on it, if that was the reason."""
        if exchange is None:
            text = "%(host)s:%(port)s: %(reason)s"
            self._write(logging.WARNING, "channel_closed", text, reason=reason)
        else:
            text = "%(host)s:%(port)s refused exchange %(exchange)r: %(reason)s"
            self._write(logging.WARNING, "exchange_refused", text, reason=reason, exchange=exchange)

    def blocked(self, reason: str) -> None:
        """The broker takes no messages."""
        self._write(logging.WARNING, "blocked", "%(host)s:%(port)s blocks publishers: %(reason)s", reason=reason)
        if self._observer is not None:
            self._observer.blocked(Blocked(**self._at, reason=reason))

    def unblocked(self) -> None:
        """It does again."""
        self._write(logging.INFO, "unblocked", "%(host)s:%(port)s takes messages again")
        if self._observer is not None:
            self._observer.unblocked(Unblocked(**self._at))

    def _write(self, level: int, event: str, text: str, **facts: Any) -> None:
        extra = {"event": event, **self._at, **facts}
        self._write_line(_log, level, text, extra, extra=extra)
