"""The broker's processes stand still."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node

__all__ = ["Pause"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(BrokerFault):
    """Nothing answers, no socket closes: clients notice by their heart-beats alone, and the broker once it goes on.

    Whoever connects gets a TCP connection (from the kernel) and no answer on it. What was written meanwhile is read
    once the broker goes on, also that of connections that their clients have given up.

    Attributes:
        at_least_s: the pause is not ended before, in seconds: clients notice after some heart-beats only.
    """

    name = "pause"
    needs = frozenset({"pause"})
    tabs_reach = False
    publishers_reach = False
    at_least_s: Annotated[float, Field(ge=0, le=600)] = 0.0

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _Pause(self)


class _Pause(BrokerActing):
    def __init__(self, fault: Pause) -> None:
        super().__init__()
        self._fault = fault
        self._until = 0.0

    def begin(self, node: Node) -> None:
        self._until = time.monotonic() + self._fault.at_least_s
        node.pause()
        self.look(node)

    def look(self, node: Node) -> None:
        if node.refusal("publisher") is not None:
            self.counts["silent"] += 1

    def end(self, node: Node) -> None:
        try:
            node.hold(max(0.0, self._until - time.monotonic()))
        finally:
            node.resume()
