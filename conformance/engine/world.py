"""The world that a scenario is played in: what stays the same from play to play."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from conformance.contract.model import Contract, Exchange
from conformance.contract.naming import Naming
from conformance.world.broker.base import Broker
from conformance.world.publisher.base import MakePublisher
from conformance.world.tab.base import TabBehaviour

__all__ = ["Pace", "World", "real_exchanges", "with_behaviour"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long the engine waits for what, in seconds. Waits end with the event, not with the time."""

    subscribe_s: float = 20.0
    """For a tab that can reach the broker to be subscribed."""
    fault_s: float = 15.0
    """For a fault to fire."""
    publish_s: float | None = None
    """For a message to have an outcome; None: the contract's ``publisher.timeout``."""
    idle_s: float = 0.4
    """How long nothing may have arrived before the queues are asked whether anything is still to come."""
    recovery_s: float | None = None
    """For all obligations to be met at the end; None: the contract's ``promise.recovery``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Broker, contract, the publisher under test and the client that plays the tabs."""

    broker: Broker
    contract: Contract
    make_publisher: MakePublisher
    publisher_name: str = "durable_ws"
    client: str = "websocket-client"
    """A key of :data:`conformance.world.tab.clients.TAB_CLIENTS`."""
    behaviour: TabBehaviour = field(default_factory=TabBehaviour)
    """How every page treats messages to begin with: a broken page is made here."""
    pace: Pace = field(default_factory=Pace)

    @property
    def publish_s(self) -> float:
        """How long the engine waits for the outcome of a publish, in seconds."""
        return self.contract.publisher.timeout if self.pace.publish_s is None else self.pace.publish_s

    @property
    def recovery_s(self) -> float:
        """How long the engine waits at the end for what is owed, in seconds."""
        return self.contract.promise.recovery if self.pace.recovery_s is None else self.pace.recovery_s


def real_exchanges(naming: Naming) -> list[Exchange]:
    """The contract's exchanges by their names at the broker, in the contract's order."""
    return [
        exchange.model_copy(update={"name": naming.exchange(name)})
        for name, exchange in naming.contract.exchanges.items()
    ]


def with_behaviour(base: TabBehaviour, **changes: object) -> TabBehaviour:
    """The page's own behaviour with a step's changes on top."""
    return replace(base, **changes)  # type: ignore[arg-type]
