"""Publishers that are misled by what the broker says, or does not say, on top of the plain one."""

from __future__ import annotations

import contextlib
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from pika.exceptions import AMQPConnectionError, ChannelClosed

from conformance.selftest.publishers import Outgoing, Plain
from durable_ws import Nacked, OutcomeUnknown, Unroutable

__all__ = [
    "ClosesAtOnce",
    "CutsLarge",
    "DoesNotWait",
    "IgnoresNacks",
    "KeepsLargeBack",
    "MixesUpReturns",
    "ShrugsAtClosedChannels",
    "ShrugsAtRefusals",
]

_FRAME_BYTES = 131_072
_LARGE_BYTES = 100_000


class DoesNotWait(Plain):
    """Hands messages to a thread that publishes them, and takes them for published."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._handed: queue.SimpleQueue[tuple[bytes, dict[str, str]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._publish_all, daemon=True)
        self._thread.start()

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> None:
        """Hand it over."""
        self._handed.put((body, {"exchange": exchange, "routing_key": routing_key, "message_id": message_id}))

    def close(self) -> None:
        """Publish what was handed over, then close."""
        self._handed.put(None)
        self._thread.join()
        super().close()

    def _publish_all(self) -> None:
        while (handed := self._handed.get()) is not None:
            body, where = handed
            with contextlib.suppress(Unroutable, Nacked, OutcomeUnknown):
                super().publish(body, **where)


class IgnoresNacks(Plain):
    """Waits for the broker's answer, and takes any for an ack."""

    def send(self, outgoing: Outgoing) -> None:
        """Ignore the nack."""
        with contextlib.suppress(Nacked):
            super().send(outgoing)


class MixesUpReturns(Plain):
    """Notes returns in one place for all callers, and tells the next one."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._returned = False

    def send(self, outgoing: Outgoing) -> None:
        """Tell of the return before, and note this one."""
        before, self._returned = self._returned, False
        try:
            super().send(outgoing)
        except Unroutable:
            self._returned = True
        if before:
            raise Unroutable(outgoing.message_id, "returned")


class ShrugsAtClosedChannels(Plain):
    """Opens a new channel where the broker has closed the old one, and forgets what was under way on it."""

    def _write(self, outgoing: Outgoing) -> None:
        with contextlib.suppress(ChannelClosed):
            super()._write(outgoing)


class ShrugsAtRefusals(Plain):
    """Logs that it can't connect, and goes on as if nothing were."""

    def _write(self, outgoing: Outgoing) -> None:
        try:
            super()._write(outgoing)
        except AMQPConnectionError:
            if self._channel is None:
                return
            raise


class CutsLarge(Plain):
    """Sends one frame of each body and no more."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Cut the body."""
        return replace(outgoing, body=outgoing.body[: _FRAME_BYTES - 8])


class KeepsLargeBack(Plain):
    """Keeps large messages back until a small one is out, and reports them as published at once."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._kept: list[Outgoing] = []

    def send(self, outgoing: Outgoing) -> None:
        """Keep it, or write it and what was kept."""
        if len(outgoing.body) > _LARGE_BYTES:
            self._kept.append(outgoing)
            return
        super().send(outgoing)
        while self._kept:
            super().send(self._kept.pop(0))


class ClosesAtOnce(Plain):
    """Ends every call under way as it is closed, instead of waiting for the broker's answer."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._calls = ThreadPoolExecutor(8)
        self._closing = threading.Event()
        self._changed = threading.Condition()

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> None:
        """Wait for the confirm or for being closed."""
        where = {"exchange": exchange, "routing_key": routing_key, "message_id": message_id}
        call: Future[None] = self._calls.submit(super().publish, body, **where)
        call.add_done_callback(lambda _: self._tell())
        with self._changed:
            self._changed.wait_for(lambda: call.done() or self._closing.is_set())
        if self._closing.is_set():
            raise OutcomeUnknown(message_id, "the publisher was closed")
        call.result()

    def close(self) -> None:
        """Wait for nobody; what is left is closed once it comes to its end."""
        self._closing.set()
        self._tell()
        self._calls.submit(super().close)
        self._calls.shutdown(wait=False)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
