"""Observers that note what they are told, and a wait for the log."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from durable_ws import Observer, Publisher
from durable_ws.observe import Blocked, Connected, Disconnected, MessageSettled, MessageTaken, Unblocked
from tests.durable_ws.fake_broker import WAIT_S

__all__ = ["Notebook", "Outcomes", "log_is_written"]


def log_is_written(publisher: Publisher) -> bool:
    """Wait until what the publisher's I/O thread had to say so far stands in the log."""
    assert publisher._pool is not None
    written = threading.Event()
    publisher._pool._scribe._lines.put(written.set)
    return written.wait(WAIT_S)


class Notebook(Observer):
    """Notes all that it is told."""

    def __init__(self) -> None:
        self.facts: list[Any] = []

    def connected(self, fact: Connected, /) -> None:
        """Noted."""
        self.facts.append(fact)

    def disconnected(self, fact: Disconnected, /) -> None:
        """Noted."""
        self.facts.append(fact)

    def blocked(self, fact: Blocked, /) -> None:
        """Noted."""
        self.facts.append(fact)

    def unblocked(self, fact: Unblocked, /) -> None:
        """Noted."""
        self.facts.append(fact)

    def taken(self, fact: MessageTaken, /) -> Mapping[str, str] | None:
        """Noted."""
        self.facts.append(fact)
        return None

    def settled(self, fact: MessageSettled, /) -> None:
        """Noted."""
        self.facts.append(fact)

    def of(self, kind: type[Any]) -> list[Any]:
        """Those facts."""
        return [fact for fact in list(self.facts) if type(fact) is kind]


class Outcomes(Observer):
    """Notes what became of each message."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, int, str]] = []
        self.latencies: list[float] = []

    def settled(self, fact: MessageSettled, /) -> None:
        """Noted."""
        self.told.append((fact.message.message_id, fact.outcome, fact.attempts, fact.reason))
        self.latencies.append(fact.latency_s)
