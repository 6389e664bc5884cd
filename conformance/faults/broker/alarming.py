"""What the two resource alarms have in common."""

from __future__ import annotations

from typing import ClassVar

from conformance.errors import HarnessError
from conformance.faults.broker.base import BrokerActing, Node
from conformance.faults.broker.looking import until

__all__ = ["AlarmActing"]

_GONE_S = 10.0


class AlarmActing(BrokerActing):
    """Sets a limit that can't be kept, and puts the old one back.

    Attributes:
        resource: as the alarm names it.
        words: of ``rabbitmqctl``, that set the limit.
        read, write: Erlang calls that tell the limit and set it again, so that the old one is put back to the digit.
    """

    resource: ClassVar[str]
    words: ClassVar[tuple[str, ...]]
    read: ClassVar[str]
    write: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._before: str | None = None

    def begin(self, node: Node) -> None:
        """See :meth:`BrokerActing.begin`."""
        self._before = node.ctl("eval", f"{self.read}().").strip()
        node.ctl(*self.words)
        self.look(node)

    def look(self, node: Node) -> None:
        """See :meth:`BrokerActing.look`."""
        if self._listed(node):
            self.counts["alarms"] += 1

    def end(self, node: Node) -> None:
        """See :meth:`BrokerActing.end`."""
        if self._before is None:
            return
        states = node.ctl("list_connections", "--silent", "state").split()
        self.counts["connections blocked"] += states.count("blocked")
        node.ctl("eval", f"{self.write}({self._before}).")
        if not until(lambda: not self._listed(node), _GONE_S):
            raise HarnessError(f"the {self.resource} alarm did not go")

    def _listed(self, node: Node) -> bool:
        return f"{{resource_limit,{self.resource}," in node.ctl("eval", "rabbit_alarm:get_alarms().").replace(" ", "")
