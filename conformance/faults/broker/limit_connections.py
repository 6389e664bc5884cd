"""The limit of connections is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node
from conformance.faults.broker.looking import all_of, found, segment

__all__ = ["LimitConnections"]

_LIMIT = "max-connections"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LimitConnections(BrokerFault):
    """Who is connected stays so; whoever connects beyond the limit is turned away.

    A publisher reads ``connection.close`` (530, NOT_ALLOWED, *connection limit is reached*), a tab an ERROR frame.

    Attributes:
        of: the limit of the vhost, or of the users that the clients log in as.
        most: the limit; 0: nobody comes in any more.
    """

    name = "limit_connections"
    needs = frozenset({"admin"})
    tabs_reach = False
    publishers_reach = False
    of: Literal["vhost", "user"] = "vhost"
    most: Annotated[int, Field(ge=0)] = 0

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _LimitConnections(self)


class _LimitConnections(BrokerActing):
    def __init__(self, fault: LimitConnections) -> None:
        super().__init__()
        self._fault = fault
        self._before: dict[str, int | None] = {}

    def begin(self, node: Node) -> None:
        whose = [node.vhost] if self._fault.of == "vhost" else [segment(user) for user in sorted(node.users)]
        for name in whose:
            path = f"/{self._fault.of}-limits/{name}"
            self._before[path] = _limit(found(node, path))
            node.ask("PUT", f"{path}/{_LIMIT}", {"value": self._fault.most})
        self.look(node)

    def look(self, node: Node) -> None:
        if node.refusal("tab") is not None:
            self.counts["tabs refused"] += 1
        if node.refusal("publisher") is not None:
            self.counts["publishers refused"] += 1

    def end(self, node: Node) -> None:
        all_of(
            *(lambda path=path, before=before: _restore(node, path, before) for path, before in self._before.items())
        )


def _limit(told: list[dict[str, Any]] | None) -> int | None:
    """The limit in what the management API says of all limits; None: there is none."""
    values = [limits.get("value", {}) for limits in told or ()]
    return next((value[_LIMIT] for value in values if isinstance(value, dict) and _LIMIT in value), None)


def _restore(node: Node, path: str, before: int | None) -> None:
    if before is None:
        node.ask("DELETE", f"{path}/{_LIMIT}")
    else:
        node.ask("PUT", f"{path}/{_LIMIT}", {"value": before})
