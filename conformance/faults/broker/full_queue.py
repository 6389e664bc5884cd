"""A tab's queue is full, and refuses what is published instead of dropping what it holds."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from conformance.errors import NotFound
from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node
from conformance.faults.broker.looking import segment

__all__ = ["FullQueue"]

_PRIORITY = 1_000_000
"""A queue has one policy: the one with the highest priority (https://www.rabbitmq.com/docs/policies)."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class FullQueue(BrokerFault):
    """A policy allows the tab's queue no message more and has it refuse them (``overflow: reject-publish``).

    The broker nacks what a publisher publishes to it (https://www.rabbitmq.com/docs/maxlength#overflow-behaviour); the
    tab notices nothing. It happens once a nack has passed on the publisher's link. While it is on, the policy takes the
    place of another one that the queue may have.
    """

    name = "full_queue"
    needs = frozenset({"admin"})
    alone = False
    tab: str = "t1"

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _FullQueue(self)


class _FullQueue(BrokerActing):
    def __init__(self, fault: FullQueue) -> None:
        super().__init__()
        self._fault = fault
        self._path = ""
        self._nacked = 0

    def begin(self, node: Node) -> None:
        self._nacked = node.nacked
        self._path = f"/policies/{node.vhost}/{segment(f'durable-ws-full-{secrets.token_hex(4)}')}"
        node.ask(
            "PUT",
            self._path,
            {
                "pattern": f"^{_escaped(node.queue(self._fault.tab))}$",
                "definition": {"max-length": 0, "overflow": "reject-publish"},
                "apply-to": "queues",
                "priority": _PRIORITY,
            },
        )

    def look(self, node: Node) -> None:
        self.counts["nacked"] = node.nacked - self._nacked

    def end(self, node: Node) -> None:
        try:
            node.ask("DELETE", self._path)
        except NotFound:
            return


def _escaped(name: str) -> str:
    """A pattern that matches that name alone: in PCRE a backslash makes any ASCII character that is no letter, digit or
    underscore stand for itself."""
    return "".join(f"\\{char}" if char.isascii() and not (char.isalnum() or char == "_") else char for char in name)
