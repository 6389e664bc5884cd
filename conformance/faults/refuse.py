"""New connections are refused."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from conformance.faults.base import Acting, Connection, LinkFault, register

__all__ = ["Refuse"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse(LinkFault):
    """The client observes a reset as it connects.

    Attributes:
        existing: what becomes of connections that are open: True cuts them, False leaves them alone.
    """

    name = "refuse"
    existing: bool = False

    def acting(self, rng: random.Random) -> Acting:  # noqa: ARG002
        """See :meth:`LinkFault.acting`."""
        return _Refuse(existing=self.existing)


class _Refuse(Acting):
    def __init__(self, *, existing: bool) -> None:
        super().__init__()
        self.down = True
        self._existing = existing

    def begin(self, connections: Collection[Connection]) -> None:
        for connection in connections if self._existing else ():
            self.counts["cut"] += 1
            connection.cut(reset=True)
