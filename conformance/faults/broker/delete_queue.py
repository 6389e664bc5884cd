"""An administrator deletes a tab's queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node
from conformance.faults.broker.looking import found, segment

__all__ = ["DeleteQueue"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteQueue(BrokerFault):
    """The queue is gone with all in it, and with its binding.

    The broker tells a tab that consumes it by an ERROR frame (*Server cancelled subscription*) and closes its
    connection; the tab comes back and declares and binds it anew. Until then a publisher is told that nobody is bound.
    """

    name = "delete_queue"
    needs = frozenset({"admin"})
    alone = False
    tab: str = "t1"

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _DeleteQueue(self)


class _DeleteQueue(BrokerActing):
    def __init__(self, fault: DeleteQueue) -> None:
        super().__init__()
        self._fault = fault
        self._consumers: set[str] = set()

    def begin(self, node: Node) -> None:
        queue = node.queue(self._fault.tab)
        self._consumers = _consumers(node, queue)
        node.destroys("queue", queue)
        node.ask("DELETE", f"/queues/{node.vhost}/{segment(queue)}")
        self.look(node)

    def look(self, node: Node) -> None:
        """It is gone, or those who consumed it are: the tab may have made it anew already."""
        queue = node.queue(self._fault.tab)
        if found(node, f"/queues/{node.vhost}/{segment(queue)}") is None:
            self.counts["deleted"] += 1
        elif self._consumers and not self._consumers & _consumers(node, queue):
            self.counts["deleted, and made anew"] += 1


def _consumers(node: Node, queue: str) -> set[str]:
    """The connections of those that consume the queue."""
    told: list[dict[str, Any]] = node.ask("GET", f"/consumers/{node.vhost}")
    return {
        consumer["channel_details"]["connection_name"]
        for consumer in told
        if consumer["queue"]["name"] == queue and "connection_name" in consumer["channel_details"]
    }
