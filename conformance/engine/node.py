"""The broker's node as a fault meets it, and the fault that is on at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from conformance.contract.naming import Naming
from conformance.engine.live import Live
from conformance.errors import BrokerUnavailable
from conformance.faults.broker.base import BrokerActing, BrokerFault, Destroyed
from conformance.history.events import BrokerChanged, FaultBegan, FaultEnded, ResourceDestroyed
from conformance.history.recorder import Recorder
from conformance.world.broker.admin import CONNECTION_NAME
from conformance.world.broker.base import Broker
from conformance.world.broker.handshake import amqp_answers, web_stomp_answers
from conformance.world.broker.reached import vhost_of

__all__ = ["NodeAtFault"]

_TARGET = "broker"
_REFUSAL_S = 2.0
"""A broker that has not answered by then lets nobody in."""


class NodeAtFault:
    """Implements :class:`conformance.faults.broker.base.Node` for one play, and holds the one fault that is on.

    Args:
        broker: it is started.
        naming: real names for this play's namespace.
        recorder: takes the events.
        hold: lets so many seconds pass, unless the run is stopped.
        live: knows what has passed on the publisher's link; None: nothing has.
    """

    def __init__(
        self,
        broker: Broker,
        naming: Naming,
        recorder: Recorder,
        hold: Callable[[float], object],
        live: Live | None = None,
    ) -> None:
        self._broker = broker
        self._naming = naming
        self._record = recorder.record
        self._fault: BrokerFault | None = None
        self._acting = BrokerActing()
        self._fault_id = -1
        self._hold = hold
        self._live = live or Live()
        self.ctl = broker.ctl
        self.ask = broker.ask
        self.pause = broker.pause
        self.resume = broker.resume
        self.limit_open_files = broker.limit_open_files
        self.fill_disk = broker.fill_disk
        self.free_disk = broker.free_disk

    # --- the fault that is on --------------------------------------------------------------------

    @property
    def at_fault(self) -> bool:
        """Whether a fault is on."""
        return self._fault is not None

    @property
    def tabs_reach(self) -> bool:
        """Whether tabs can connect and subscribe."""
        return self._fault is None or self._fault.tabs_reach

    @property
    def fired(self) -> bool:
        """Whether the fault has been seen to happen; looks again. True where none is on."""
        if self._fault is not None and not self._acting.fired:
            self._acting.look(self)
        return self._fault is None or self._acting.fired

    def begin(self, fault: BrokerFault, fault_id: int, parameters: Mapping[str, Any]) -> None:
        """Switch a fault on. It is on from the first moment at which it may do something."""
        self._record(FaultBegan, fault_id=fault_id, fault=fault.name, target=_TARGET, parameters=dict(parameters))
        self._fault, self._acting, self._fault_id = fault, fault.acting(), fault_id
        self._acting.begin(self)

    def end(self) -> None:
        """Heal. Nothing where no fault is on."""
        fault, self._fault = self._fault, None
        if fault is None:
            return
        acting = self._acting
        if not acting.fired:
            acting.look(self)
        try:
            acting.end(self)
        finally:
            self._record(
                FaultEnded,
                fault_id=self._fault_id,
                fault=fault.name,
                target=_TARGET,
                fired=acting.fired,
                counts=dict(acting.counts),
            )

    # --- what a fault may ask --------------------------------------------------------------------

    @property
    def vhost(self) -> str:
        """See :attr:`Node.vhost`."""
        return quote(vhost_of(self._broker.addresses.amqp), safe="")

    def queue(self, tab: str) -> str:
        """See :meth:`Node.queue`."""
        return self._naming.queue(tab)

    def exchange(self, name: str) -> str:
        """See :meth:`Node.exchange`."""
        return self._naming.exchange(name)

    def client_connections(self, kind: Literal["tab", "publisher"]) -> list[str]:
        """See :meth:`Node.client_connections`."""
        return [told["name"] for told in self.ask("GET", "/connections") if _kind(told) == kind]

    def ready(self, queue: str) -> int | None:
        """See :meth:`Node.ready`."""
        return self._broker.ready_count(queue)

    def published(self, exchange: str) -> int:
        """See :meth:`Node.published`."""
        return self._live.published[self._naming.exchange(exchange)]

    @property
    def nacked(self) -> int:
        """See :attr:`Node.nacked`."""
        return self._live.nacked

    @property
    def users(self) -> frozenset[str]:
        """See :attr:`Node.users`."""
        publisher = unquote(urlsplit(self._broker.addresses.amqp).username or "guest")
        return frozenset({publisher, self._naming.contract.tab.login})

    def refusal(self, kind: Literal["tab", "publisher"]) -> str | None:
        """See :meth:`Node.refusal`: by a handshake."""
        addresses, tab = self._broker.addresses, self._naming.contract.tab
        try:
            if kind == "tab":
                vhost = vhost_of(addresses.amqp)
                web_stomp_answers(addresses.web_stomp, tab.login, tab.passcode, vhost, timeout_s=_REFUSAL_S)
            else:
                amqp_answers(addresses.amqp, timeout_s=_REFUSAL_S)
        except BrokerUnavailable as exc:
            return str(exc)
        return None

    def hold(self, seconds: float) -> None:
        """See :meth:`Node.hold`."""
        self._hold(seconds)

    def restart(self, how: str) -> None:
        """See :meth:`Node.restart`."""
        self._record(BrokerChanged, state="down", how=how)
        self._broker.kill()
        self._broker.revive()
        self._record(BrokerChanged, state="up", how="revive")

    def destroys(self, what: Destroyed, name: str) -> None:
        """See :meth:`Node.destroys`."""
        assert self._fault is not None  # noqa: S101 - only its acting part calls this
        self._record(ResourceDestroyed, what=what, name=name, by=self._fault.name)


def _kind(connection: Mapping[str, Any]) -> Literal["tab", "publisher", "suite"]:
    """Whose a connection of management's list is: tabs speak STOMP, and the suite's own bear its name."""
    if "STOMP" in str(connection.get("protocol")).upper():
        return "tab"
    own = connection.get("client_properties", {}).get("connection_name") == CONNECTION_NAME
    return "suite" if own else "publisher"
