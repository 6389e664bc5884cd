"""An administrator closes connections."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Literal

from conformance.errors import NotFound
from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node
from conformance.faults.broker.looking import segment, until

__all__ = ["CloseConnections"]

_GONE_S = 5.0


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CloseConnections(BrokerFault):
    """The connections of the tabs, of the publishers or of both are closed once, by the management API.

    A publisher reads ``connection.close`` (320, CONNECTION_FORCED), a tab loses its WebSocket. Both may connect again
    at once; what was unacked or unconfirmed comes again.
    """

    name = "close_connections"
    needs = frozenset({"admin"})
    of: Literal["tab", "publisher", "all"] = "all"

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _CloseConnections(self)


class _CloseConnections(BrokerActing):
    def __init__(self, fault: CloseConnections) -> None:
        super().__init__()
        self._left: list[Literal["tab", "publisher"]] = ["tab", "publisher"] if fault.of == "all" else [fault.of]
        self._closed: dict[str, set[str]] = {kind: set() for kind in self._left}

    @property
    def fired(self) -> bool:
        """Of both kinds, where both are meant."""
        return not self._left

    def begin(self, node: Node) -> None:
        self.look(node)

    def look(self, node: Node) -> None:
        """The broker lists a connection a little after it was made: where none is listed, look again.

        It lists one a little after its end as well: that is none that was closed here.
        """
        for kind in tuple(self._left):
            closed = self._closed[kind]
            for name in node.client_connections(kind):
                with contextlib.suppress(NotFound):
                    node.ask("DELETE", f"/connections/{segment(name)}")
                    closed.add(name)
            if closed and until(lambda closed=closed: not closed & _listed(node), _GONE_S):  # type: ignore[misc]
                self.counts[f"{kind}s closed"] += len(closed)
                self._left.remove(kind)


def _listed(node: Node) -> set[str]:
    return {told["name"] for told in node.ask("GET", "/connections")}
