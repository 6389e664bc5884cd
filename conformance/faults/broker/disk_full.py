"""The disk that holds the node's data is full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node

__all__ = ["DiskFull"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFull(BrokerFault):
    """Nothing more can be written, and no alarm has warned of it.

    RabbitMQ 3.10 nacks what it can't write and then falls: the message store and Mnesia's log crash, and the node with
    them. Publishers and tabs lose their connections and are refused. At the end there is room again, and the node is
    restarted if it fell.

    Attributes:
        leave_bytes: so many bytes stay free.
    """

    name = "disk_full"
    needs = frozenset({"small-disk", "restart"})
    tabs_reach = False
    publishers_reach = False
    leave_bytes: Annotated[int, Field(ge=0)] = 0

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _DiskFull(self)


class _DiskFull(BrokerActing):
    def __init__(self, fault: DiskFull) -> None:
        super().__init__()
        self._fault = fault
        self._full = False

    def begin(self, node: Node) -> None:
        node.fill_disk(leave_bytes=self._fault.leave_bytes)
        self._full = True

    def look(self, node: Node) -> None:
        """A full disk that nobody writes to is nothing: it shows once the node fails for it."""
        if node.refusal("publisher") is not None:
            self.counts["fell"] += 1

    def end(self, node: Node) -> None:
        node.free_disk()
        self.counts["filled"] += self._full
        if node.refusal("publisher") is not None or node.refusal("tab") is not None:
            node.restart("disk full")
