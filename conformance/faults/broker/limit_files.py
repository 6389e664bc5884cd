"""The limit of open files is reached."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.errors import HarnessError
from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node
from conformance.faults.broker.looking import until

__all__ = ["LimitFiles"]

_LOWER_S = 10.0
_FALLEN = (
    "length([Q || Q <- rabbit_amqqueue:list(), amqqueue:is_classic(Q), P <- [amqqueue:get_pid(Q)], "
    "node(P) =:= node(), not is_process_alive(P)])."
)
"""How many queues have lost their process for good: their supervisors have given up."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFiles(BrokerFault):
    """The node can open no more files and accept no more connections: who is connected stays so.

    Whoever connects gets a TCP connection (from the kernel) and no answer on it until the limit is lifted. A queue that
    needs another file just then crashes, on RabbitMQ 3.10 until the node is started again: publishers get nacks or no
    confirm. What else has failed for want of a file can't be told from outside (4.x answers 541 to some requests, or
    nothing, for as long as it runs), so at the end the limit is lifted and the node is started again, as an operator
    would.

    Attributes:
        most: so many more than are open at the beginning may be opened.
    """

    name = "limit_files"
    needs = frozenset({"admin", "ctl", "file-limit", "restart"})
    tabs_reach = False
    publishers_reach = False
    most: Annotated[int, Field(ge=0)] = 0

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _LimitFiles(self)


class _LimitFiles(BrokerActing):
    def __init__(self, fault: LimitFiles) -> None:
        super().__init__()
        self._fault = fault

    def begin(self, node: Node) -> None:
        """What was closed since it was last lowered could be opened again: lower it until nobody gets in."""
        until(lambda: self._lowered(node), _LOWER_S)

    def look(self, node: Node) -> None:
        self._lowered(node)

    def _lowered(self, node: Node) -> bool:
        node.limit_open_files(self._fault.most)
        refused = node.refusal("tab") is not None
        self.counts["tabs not let in"] += refused
        return refused

    def end(self, node: Node) -> None:
        """Looks once more before: who was cut has tried to come back by then."""
        try:
            if node.refusal("tab") is not None:
                self.counts["tabs not let in"] += 1
        finally:
            node.limit_open_files(None)
        with contextlib.suppress(HarnessError, ValueError):  # a node that can't even say so is started again
            self.counts.update({"queues fallen": fallen} if (fallen := int(node.ctl("eval", _FALLEN))) else {})
        node.restart("out of files")
