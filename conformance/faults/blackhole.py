"""The link goes silent: bytes vanish, and nobody is told."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from conformance.faults.base import Acting, Connection, Direction, LinkFault, register

__all__ = ["Blackhole"]

_WAYS: dict[str, tuple[Direction, ...]] = {
    "both": ("to_broker", "to_client"),
    "client_to_broker": ("to_broker",),
    "broker_to_client": ("to_client",),
}


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Blackhole(LinkFault):
    """Connections that are open go silent for good, as behind a middlebox that forgot them: a ghost.

    The far side keeps its socket and is not told even when the near side closes its own; only heart-beats can notice.
    The end of the fault does not bring them back to life.

    Attributes:
        direction: which way bytes vanish.
        new_connections: ``pass``: connections made meanwhile work; ``blackhole``: they go silent as well.
    """

    name = "blackhole"
    direction: Literal["both", "client_to_broker", "broker_to_client"] = "both"
    new_connections: Literal["pass", "blackhole"] = "pass"

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return _Blackhole(_WAYS[self.direction], new_connections=self.new_connections == "blackhole")


class _Blackhole(Acting):
    def __init__(self, directions: tuple[Direction, ...], *, new_connections: bool) -> None:
        super().__init__()
        self._directions = directions
        self._new_connections = new_connections

    def begin(self, connections: Collection[Connection]) -> None:
        for connection in connections:
            self._silence(connection)

    def connect(self, connection: Connection) -> bool:
        if self._new_connections:
            self._silence(connection)
        return True

    def _silence(self, connection: Connection) -> None:
        self.counts["silenced"] += 1
        connection.silence(self._directions)
