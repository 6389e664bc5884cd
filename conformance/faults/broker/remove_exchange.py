"""An administrator removes an exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node
from conformance.faults.broker.looking import found, segment

__all__ = ["RemoveExchange"]

_SETTINGS = ("type", "durable", "auto_delete", "internal", "arguments")


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveExchange(BrokerFault):
    """The exchange is gone, and with it the bindings of all queues; at the end it is there again, the bindings are not.

    A publisher's channel is closed (404, NOT_FOUND); once it has declared the exchange anew it is told that nobody is
    bound. Tabs are told nothing: they stay subscribed to queues that nothing comes to until they subscribe again. A tab
    that subscribes while the exchange is away gets ERROR (*not_found*).

    Attributes:
        exchange: a key of the contract's ``[exchanges]``.
        met: it has happened only once something was published to the exchange that was away.
    """

    name = "remove_exchange"
    needs = frozenset({"admin"})
    alone = False
    exchange: str = "pubsub"
    met: bool = False

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _RemoveExchange(self)


class _RemoveExchange(BrokerActing):
    def __init__(self, fault: RemoveExchange) -> None:
        super().__init__()
        self._fault = fault
        self._settings: dict[str, Any] = {}
        self._published = 0

    @property
    def fired(self) -> bool:
        """It is gone; where that was asked for, something was published to it since."""
        return super().fired and (not self._fault.met or self.counts["published into"] > 0)

    def begin(self, node: Node) -> None:
        path = self._path(node)
        told = node.ask("GET", path)
        self._settings = {key: told[key] for key in _SETTINGS if key in told}
        bound = len(node.ask("GET", f"{path}/bindings/source"))
        node.destroys("exchange", node.exchange(self._fault.exchange))
        node.ask("DELETE", path)
        self._published = node.published(self._fault.exchange)
        if not found(node, f"{path}/bindings/source"):  # the publisher may have declared the exchange anew already
            self.counts["removed"] += 1
            self.counts["bindings removed"] += bound

    def look(self, node: Node) -> None:
        if self._fault.met:
            self.counts["published into"] = node.published(self._fault.exchange) - self._published

    def end(self, node: Node) -> None:
        if self._settings and found(node, self._path(node)) is None:
            node.ask("PUT", self._path(node), self._settings)

    def _path(self, node: Node) -> str:
        return f"/exchanges/{node.vhost}/{segment(node.exchange(self._fault.exchange))}"
