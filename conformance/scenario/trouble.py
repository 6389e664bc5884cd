"""Faults of the broker's node that drawn scenarios hold beside its going down, and how each is staged. Pure."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Literal

from conformance.contract.model import Contract, Survivable
from conformance.faults.base import make_fault
from conformance.faults.broker.base import BrokerFault
from conformance.scenario.situations import label_of

__all__ = ["TROUBLES", "Staging", "Trouble", "labels", "troubles_for"]

Staging = Literal["published into", "keeps out", "closes", "deletes", "purges", "removes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A fault of the broker that is put on, met by traffic and healed again within a few steps.

    Attributes:
        fault: its name.
        asks: the word of the promise.
        staging: ``published into`` (messages are published while it is on), ``keeps out`` (links are cut meanwhile, so
            that clients are turned away), ``closes`` (awaited: the broker lists connections late), ``deletes`` a
            tab's queue, ``purges`` the queue of a tab that is away, ``removes`` the tabs' exchange (they reload).
        parameters: of the fault, beside the tab or exchange that the staging gives it.
    """

    fault: str
    asks: Survivable
    staging: Staging
    parameters: tuple[tuple[str, Any], ...] = ()

    @property
    def alone(self) -> bool:
        """Whether it disturbs all clients of the node."""
        return self._made.alone

    @property
    def needs(self) -> frozenset[str]:
        """What the broker must be able to do."""
        return self._made.needs

    @property
    def _made(self) -> BrokerFault:
        further = {"tab": "t1"} if self.staging in ("deletes", "purges") else {}
        fault = make_fault(self.fault, dict(self.parameters) | further, link="broker")
        assert isinstance(fault, BrokerFault)  # noqa: S101 - all that are listed here are
        return fault


TROUBLES = (
    Trouble(fault="delete_queue", asks="administrator", staging="deletes"),
    Trouble(fault="purge_queue", asks="administrator", staging="purges"),
    Trouble(fault="remove_exchange", asks="administrator", staging="removes"),
    Trouble(fault="pause", asks="broker-pause", staging="published into", parameters=(("at_least_s", 0.3),)),
    Trouble(fault="limit_connections", asks="limits", staging="keeps out", parameters=(("of", "vhost"),)),
    Trouble(fault="limit_connections", asks="limits", staging="keeps out", parameters=(("of", "user"),)),
    Trouble(fault="memory_alarm", asks="alarm", staging="published into"),
    Trouble(fault="disk_alarm", asks="alarm", staging="published into"),
    Trouble(fault="rotate_password", asks="administrator", staging="keeps out"),
    Trouble(fault="close_connections", asks="administrator", staging="closes", parameters=(("of", "all"),)),
)
"""The quick ones first. Not drawn: ``limit_files`` and ``disk_full`` (they end with a restart of the node and take ten
seconds and more) and ``disable_web_stomp`` (so does enabling it); named cases show them."""


def troubles_for(contract: Contract, *, alone: bool, broker_can: Container[str]) -> list[Trouble]:
    """Those that the contract promises to survive and the broker can be asked for.

    Args:
        contract: the contract.
        alone: True: those that need a broker to themselves; False: those that leave its other clients alone.
        broker_can: the broker's capabilities.
    """
    exchange = contract.exchanges[contract.tab.exchange]
    is_ours = not exchange.passive and not exchange.name.startswith("amq.")
    return [
        trouble
        for trouble in TROUBLES
        if trouble.asks in contract.promise.survives
        and trouble.alone == alone
        and all(need in broker_can for need in trouble.needs)
        and (trouble.staging != "removes" or (is_ours and "reload" in contract.promise.survives))
    ]


def labels(contract: Contract, *, broker_faults: bool, broker_can: Container[str]) -> list[str]:
    """How the broker's faults that are drawn are called in situations, each once."""
    ways = ("broker-restart", "restart"), ("broker-kill", "kill")
    downs = [way for word, way in ways if broker_faults and word in contract.promise.survives and way in broker_can]
    troubles = troubles_for(contract, alone=broker_faults, broker_can=broker_can)
    return [*dict.fromkeys([*downs, *(label_of(trouble.fault, "broker") for trouble in troubles)])]
