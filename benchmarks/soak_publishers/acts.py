"""The faults of a soak, and what was seen of them."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import cast

from benchmarks.soak_publishers.cutting import CutWalking, Sever
from benchmarks.soak_publishers.plan import Act
from benchmarks.soak_publishers.queues import Binding
from benchmarks.soak_publishers.seen import Seen
from benchmarks.soak_publishers.walk import Walk
from conformance.errors import HarnessError
from conformance.faults.base import make_fault
from conformance.faults.broker.base import BrokerFault, Node
from conformance.faults.broker.looking import until
from conformance.world.broker.base import Broker
from conformance.world.network.proxy import LinkProxy

__all__ = ["PRODUCT", "Acts"]

PRODUCT = "soaked publisher"
"""What the publishers call themselves at the broker."""

_TOGGLE_S = 0.3
_ALARM_S = 20.0
_GONE_S = 60.0


class Acts:
    """Does the acts of a plan to a broker and to the links before it.

    Args:
        broker: that may be killed, if the plan says so.
        proxies: the links.
        walk: where connections are cut.
        seen: is told which act it is.
    """

    def __init__(self, broker: Broker, proxies: list[LinkProxy], walk: Walk, seen: Seen) -> None:
        self._broker = broker
        self._proxies = proxies
        self._walk = walk
        self._seen = seen
        self.cuts: Counter[str] = Counter()
        """By what was cut."""

    def do(self, act: Act) -> None:
        """Do it, and return when it is over and the broker is well.

        Raises:
            HarnessError: it can't be done, or the broker does not recover.
        """
        self._seen.begin(act.kind)
        with self._cutting() if act.cutting else contextlib.nullcontext():
            match act.kind:
                case "calm" | "cuts":
                    self._pass(act.seconds)
                case "kill":
                    self._broker.kill()
                    time.sleep(act.seconds)  # it stays down: the fault itself
                    self._broker.revive()
                case "pause":
                    self._broker.pause()
                    try:
                        time.sleep(act.seconds)  # likewise
                    finally:
                        self._broker.resume()
                case "memory alarm" | "disk alarm":
                    self._alarm(act)
                case "close":
                    self._broker.ctl("close_all_connections", "soak")
                    self._pass(act.seconds)

    def sever(self) -> None:
        """End all connections of the publishers and wait until the broker has read them to their ends.

        From then on nothing that was written before can come to the queues any more.

        Raises:
            HarnessError: the broker still has some after a minute.
        """
        with contextlib.ExitStack() as stack:
            for proxy in self._proxies:
                stack.callback(proxy.end, proxy.begin(Sever()))
            if not until(lambda: not any(proxy.connections for proxy in self._proxies), _GONE_S):
                raise HarnessError("connections of the publishers did not end")
            if not until(lambda: not self._publishers(), _GONE_S):
                raise HarnessError("the broker still has connections of the publishers")

    # --- inside -----------------------------------------------------------------------------------

    def _publishers(self) -> bool:
        """Whether the broker has connections of the publishers: they say what they are."""
        return PRODUCT in self._broker.ctl("list_connections", "--silent", "client_properties")

    @contextlib.contextmanager
    def _cutting(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for proxy in self._proxies:
                stack.callback(proxy.end, proxy.begin(CutWalking(self._walk, self.cuts)))
            yield

    def _pass(self, seconds: float) -> None:
        """Let time pass; meanwhile the bindings change."""
        ends = time.monotonic() + seconds
        with Binding(self._broker.addresses.amqp) as binding:
            while (left := ends - time.monotonic()) > 0:
                binding.toggle()
                time.sleep(min(left, _TOGGLE_S))  # the pace of the changes

    def _alarm(self, act: Act) -> None:
        name = act.kind.replace(" ", "_")
        node = cast("Node", self._broker)  # an alarm asks no more of a node than ctl()
        acting = cast("BrokerFault", make_fault(name, {}, link="broker")).acting()

        def there() -> bool:
            if not acting.fired:
                acting.look(node)
            return acting.fired

        try:
            acting.begin(node)
            if not until(there, _ALARM_S):
                raise HarnessError(f"the {act.kind} did not come")
            time.sleep(act.seconds)  # it lasts: the fault itself
        finally:
            acting.end(node)
