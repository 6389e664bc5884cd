"""An administrator purges a tab's queue."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node
from conformance.faults.broker.looking import segment

__all__ = ["PurgeQueue"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeQueue(BrokerFault):
    """All that is ready in the queue is gone; what was delivered and is not acked stays, and so does the subscription.

    Neither the tab nor the publisher is told. It fires only where something was there to be purged.
    """

    name = "purge_queue"
    needs = frozenset({"admin"})
    alone = False
    tab: str = "t1"

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _PurgeQueue(self)


class _PurgeQueue(BrokerActing):
    def __init__(self, fault: PurgeQueue) -> None:
        super().__init__()
        self._fault = fault

    def begin(self, node: Node) -> None:
        queue = node.queue(self._fault.tab)
        before = node.ready(queue) or 0
        node.destroys("messages", queue)
        node.ask("DELETE", f"/queues/{node.vhost}/{segment(queue)}/contents")
        # Once more: what came in between may have been purged as well.
        node.destroys("messages", queue)
        left = node.ready(queue)
        if left is not None and left < before:
            self.counts["purged"] += before - left
