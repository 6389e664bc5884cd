"""A publisher that offers all there is (properties, deadlines, failover) and is right, and some that get one wrong."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from typing import Any

import pika

from conformance.selftest.publishers import Outgoing, Plain
from durable_ws import NotSent, OutcomeUnknown

__all__ = [
    "CountsInSeconds",
    "DropsProperties",
    "ForgetsProperties",
    "IgnoresTimeouts",
    "KnowsOneAddress",
    "MakesText",
    "NeverSentInTime",
    "Obliging",
    "StampsItsOwnTime",
]


class Obliging(Plain):
    """Passes properties on, ends calls in time, and tries one address after the other."""

    def __init__(self, url: str, *, failover: Sequence[str] = ()) -> None:
        super().__init__(url)
        self._addresses = itertools.cycle([self._parameters, *map(pika.URLParameters, failover)])
        self._calls = ThreadPoolExecutor(16)

    def publish(
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        message_id: str,
        properties: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Publish and wait for the confirm, for as long as is given."""
        outgoing = Outgoing(body, exchange, routing_key, message_id, properties=properties or {})
        call: Future[None] = self._calls.submit(self._publish, outgoing)
        try:
            call.result(timeout)
        except FutureTimeoutError:
            self.out_of_time(message_id)

    def out_of_time(self, message_id: str) -> None:
        """The call goes on behind the scenes: the broker may get it, or have it."""
        raise OutcomeUnknown(message_id, "no confirm came in time")

    def close(self) -> None:
        """Wait for what is under way, then close."""
        self._calls.shutdown(wait=True)
        super().close()

    def _publish(self, outgoing: Outgoing) -> None:
        with self._lock:
            prepared = self.prepare(outgoing)
            if prepared is not None:
                self.send(prepared)

    def _write(self, outgoing: Outgoing) -> None:
        if self._channel is None or not self._channel.is_open:
            self._parameters = next(self._addresses)
        super()._write(outgoing)


class IgnoresTimeouts(Obliging):
    """Takes a deadline and waits for as long as it takes."""

    def publish(self, body: bytes, *, timeout: float | None = None, **more: Any) -> None:  # noqa: ARG002
        """Leave the deadline out."""
        super().publish(body, **more)


class NeverSentInTime(Obliging):
    """Says of what was not confirmed in time that it was never sent."""

    def out_of_time(self, message_id: str) -> None:
        """A retry would be safe, it says."""
        raise NotSent(message_id, "no confirm came in time")


class KnowsOneAddress(Obliging):
    """Takes further addresses and never uses them."""

    def __init__(self, url: str, *, failover: Sequence[str] = ()) -> None:  # noqa: ARG002
        super().__init__(url)


class DropsProperties(Obliging):
    """Passes the content type on, and nothing else."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Drop the others."""
        kept = {name: value for name, value in outgoing.properties.items() if name == "content_type"}
        return replace(outgoing, properties=kept)


class MakesText(Obliging):
    """Makes a text of each header's value, as a logging framework would."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Write them out."""
        headers = {name: str(value) for name, value in outgoing.properties.get("headers", {}).items()}
        return replace(outgoing, properties={**outgoing.properties, "headers": headers})


class CountsInSeconds(Obliging):
    """Takes the expiration for seconds."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Make milliseconds of them, which they are."""
        if "expiration" not in outgoing.properties:
            return outgoing
        expiration = str(int(outgoing.properties["expiration"]) * 1000)
        return replace(outgoing, properties={**outgoing.properties, "expiration": expiration})


class StampsItsOwnTime(Obliging):
    """Sets the timestamp to the time at which it publishes."""

    def prepare(self, outgoing: Outgoing) -> Outgoing:
        """Set it."""
        return replace(outgoing, properties={**outgoing.properties, "timestamp": int(time.time())})


class ForgetsProperties(Obliging):
    """Publishes again with body and id alone."""

    def retried(self, outgoing: Outgoing) -> Outgoing:
        """Drop the properties."""
        return replace(outgoing, properties={})
