"""Observers that note what they are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from durable_ws import Observer
from durable_ws.observe import Blocked, Connected, Disconnected, MessageSettled, MessageTaken, Unblocked

__all__ = ["Notebook", "Outcomes"]


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
