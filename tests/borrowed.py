"""The broker that all tests share, for a stage that would start and stop it."""

from __future__ import annotations

from typing import Any

from conformance.world.broker.base import Broker


class Borrowed:
    """A broker that runs already and goes on running."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def start(self) -> None:
        """It is up."""

    def stop(self) -> None:
        """It stays up."""
