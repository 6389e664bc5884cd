"""A publisher that loses one in 5,000 of the messages whose link is cut between the write and the confirm.

It is ``durable_ws`` but for one line: of what is unconfirmed when a connection is lost every 5,000th message is taken
for confirmed instead of being written again. For a process of its own: it replaces the ledger of all publishers.
"""

from __future__ import annotations

import itertools
import threading

import durable_ws.link
from conformance.contract.model import Exchange
from conformance.world.publisher.durable import DurableWs
from durable_ws.ledger import Fate, Ledger

EVERY = 5_000

_met = itertools.count(1)
_counting = threading.Lock()


class Losing(Ledger):
    """Counts what the cuts of all connections have met."""

    def lost(self, reason: str) -> None:
        """Lose some."""
        with _counting:
            losing = [entry for entry in self._unconfirmed.values() if not entry.settled and next(_met) % EVERY == 0]
        for entry in losing:
            self._settle(entry, Fate.CONFIRMED, "")
        super().lost(reason)


def met() -> int:
    """How many messages were under way at cuts so far; itself counts as one."""
    return next(_met)


def make(url: str) -> Late:
    """The factory for ``--publisher``; exchanges are declared by the suite."""
    durable_ws.link.Ledger = Losing  # type: ignore[misc]
    return Late(url)


class Late:
    """Learns the exchanges as it is asked to publish to them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: DurableWs | None = None
        self._making = threading.Lock()

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> object:
        """Publish one message."""
        with self._making:
            if self._made is None:
                self._made = DurableWs(self._url, exchanges=[Exchange(name=exchange)])
        return self._made.publish(body, exchange=exchange, routing_key=routing_key, message_id=message_id)

    def close(self) -> None:
        """Close it."""
        if self._made is not None:
            self._made.close()
