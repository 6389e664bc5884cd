"""An administrator deletes a tab's queue."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node
from conformance.faults.broker.looking import segment

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

    @property
    def cancels(self) -> str:
        """See :attr:`BrokerFault.cancels`."""
        return self.tab

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _DeleteQueue(self)


class _DeleteQueue(BrokerActing):
    def __init__(self, fault: DeleteQueue) -> None:
        super().__init__()
        self._fault = fault

    def begin(self, node: Node) -> None:
        """Management answers once the broker has said ``queue.delete-ok``, and with an error where there is no such
        queue: no second look is needed, and by then the tab may have made it anew."""
        queue = node.queue(self._fault.tab)
        node.destroys("queue", queue)
        node.ask("DELETE", f"/queues/{node.vhost}/{segment(queue)}")
        self.counts["deleted"] += 1
