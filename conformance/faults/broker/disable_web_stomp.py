"""An administrator disables the Web-STOMP plugin, and enables it again."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node

__all__ = ["DisableWebStomp"]

_PLUGIN = "rabbitmq_web_stomp"
_PROGRAM = "rabbitmq-plugins"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DisableWebStomp(BrokerFault):
    """Nobody listens at the WebSocket's port any more, and tabs lose their connections; publishers notice nothing."""

    name = "disable_web_stomp"
    needs = frozenset({"admin", "ctl"})
    tabs_reach = False

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _DisableWebStomp()


class _DisableWebStomp(BrokerActing):
    def __init__(self) -> None:
        super().__init__()
        self._asked = False

    def begin(self, node: Node) -> None:
        self._asked = True
        node.ctl("disable", _PLUGIN, program=_PROGRAM)
        self.look(node)

    def look(self, node: Node) -> None:
        if node.refusal("tab") is not None:
            self.counts["not listening"] += 1

    def end(self, node: Node) -> None:
        if self._asked:
            node.ctl("enable", _PLUGIN, program=_PROGRAM)
