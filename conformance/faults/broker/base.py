"""What a fault of the broker is: frozen parameters, and an acting part that does it to a node and heals it again.

A fault knows no sockets and no processes: the world gives it a :class:`Node`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol

from conformance.faults.base import Fault, LinkKind

__all__ = ["BrokerActing", "BrokerFault", "Destroyed", "Node"]

Destroyed = Literal["queue", "messages", "exchange"]
"""What an administrator can destroy: a queue with all in it, what is ready in a queue, an exchange with its
bindings."""


class Node(Protocol):
    """A broker as far as a fault may act on it. Whatever fails raises HarnessError: the run is then inconclusive."""

    def ctl(self, *words: str, program: str = "rabbitmqctl") -> str:
        """Run ``rabbitmqctl`` (or ``rabbitmq-plugins``, ``rabbitmq-diagnostics``) on the node; what it printed."""
        ...

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the management API: ``ask("GET", "/queues")``; the JSON of the answer, None for an empty one."""
        ...

    def pause(self) -> None:
        """Stop the node's processes where they stand (SIGSTOP); sockets stay open, nothing answers."""
        ...

    def resume(self) -> None:
        """Have them go on (SIGCONT)."""
        ...

    def limit_open_files(self, most: int | None) -> int:
        """Lower the node's limit of open files to so many more than it has open now (None: as it was).

        Returns the limit that is now in force.
        """
        ...

    def fill_disk(self, *, leave_bytes: int) -> None:
        """Fill the small disk that holds the node's data, but for so many bytes (needs the capability)."""
        ...

    def free_disk(self) -> None:
        """Take away what :meth:`fill_disk` wrote."""
        ...

    @property
    def vhost(self) -> str:
        """The vhost that the run is in, as it stands in a management path (percent-encoded)."""
        ...

    def queue(self, tab: str) -> str:
        """The real name of the tab's queue."""
        ...

    def exchange(self, name: str) -> str:
        """The real name of an exchange of the contract."""
        ...

    def client_connections(self, kind: Literal["tab", "publisher"]) -> list[str]:
        """The management names of the connections of such clients that are open now, the suite's own left out.

        Of all clients of the node: the fault must be ``alone``. The broker's list lags a little behind.
        """
        ...

    def ready(self, queue: str) -> int | None:
        """Exact number of ready messages in the queue; None: there is no such queue."""
        ...

    def published(self, exchange: str) -> int:
        """How many publishes to an exchange of the contract have passed on the publisher's link so far."""
        ...

    @property
    def nacked(self) -> int:
        """How many messages the broker has nacked on the publisher's link so far."""
        ...

    @property
    def users(self) -> frozenset[str]:
        """Whom tabs and publisher log in as."""
        ...

    def refusal(self, kind: Literal["tab", "publisher"]) -> str | None:
        """Why such a client that connects now, past all faults of links, is not let in; None: it is. Takes seconds at
        most."""
        ...

    def hold(self, seconds: float) -> None:
        """Let so much time pass: for a fault that must last. Raises HarnessError where the run is stopped meanwhile."""
        ...

    def restart(self, how: str) -> None:
        """Kill what is left of the node and start it again on the same data; ``how`` it fell stands in the history."""
        ...

    def destroys(self, what: Destroyed, name: str) -> None:
        """Say that it is about to destroy this; call it right before. ``name`` is the queue's or exchange's.

        Of ``messages`` also right after: what was published meanwhile may have been destroyed with the others.
        """
        ...


class BrokerActing:
    """A fault at work on a node; this one does nothing. All calls come from one thread.

    Attributes:
        counts: what it did, by what was seen of it.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @property
    def fired(self) -> bool:
        """Whether it was seen to have happened: a command that returned is not enough where more can be seen."""
        return self.counts.total() > 0

    def begin(self, node: Node) -> None:
        """Do it."""

    def look(self, node: Node) -> None:
        """Look whether it has happened, and count it; called again and again until it has."""

    def end(self, node: Node) -> None:
        """Heal it fully. Called once for each ``begin``, also where that failed half way."""


class BrokerFault(Fault, ABC):
    """A fault of the broker. Subclasses are frozen dataclasses, one file each, registered by name.

    Attributes:
        needs: what the broker must be able to do (:data:`conformance.world.broker.base.Capability`).
        tabs_reach, publishers_reach: whether tabs and publishers can still connect and work while it is on.
        alone: whether it disturbs every client of the node, so that nothing else may use the node meanwhile.
    """

    links: ClassVar[frozenset[LinkKind]] = frozenset({"broker"})
    needs: ClassVar[frozenset[str]] = frozenset()
    tabs_reach: ClassVar[bool] = True
    publishers_reach: ClassVar[bool] = True
    alone: ClassVar[bool] = True

    @property
    def cancels(self) -> str | None:
        """The tab whose sessions the broker ends because of it, a moment after it was done; None: no tab's."""
        return None

    @abstractmethod
    def acting(self) -> BrokerActing:
        """A new acting part."""
