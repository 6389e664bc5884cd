"""What the suite asks of a broker, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["Addresses", "Broker", "Capability", "QueueFacts", "Wish"]

Capability = str
"""What can be done to a broker:

- ``restart``, ``kill``: the node can be ended and started again;
- ``management``: queue facts can be read;
- ``admin``: it is the suite's own, so what an administrator does by management may be done to it;
- ``ctl``: ``rabbitmqctl`` and its siblings can be run on it;
- ``pause``: its processes can be stopped where they stand;
- ``file-limit``: its limit of open files can be lowered;
- ``clock``: its clock can be moved on, if it is started for that (:attr:`Wish`);
- ``attack``: it is the suite's own, so a hostile page may be let loose on it;
- ``tls``: it listens for ``wss://``;
- ``small-disk``: its data lies on a small disk of its own, if it is started for that.
"""

Wish = Literal["clock", "small-disk"]
"""What a broker must be started for: it costs something, or would be in the way of other checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a broker is reached. URLs hold the credentials; ``management`` is None where there is none."""

    amqp: str  # amqp://guest:guest@127.0.0.1:5672/%2F
    web_stomp: str  # ws://127.0.0.1:15674/ws
    management: str | None  # http://guest:guest@127.0.0.1:15672
    secure_web_stomp: str | None = None  # wss://127.0.0.1:15673/ws


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """What the broker says of one queue; None where the means at hand can't tell."""

    name: str
    exists: bool
    ready: int | None = None
    unacked: int | None = None
    consumers: int | None = None
    durable: bool | None = None
    exclusive: bool | None = None
    auto_delete: bool | None = None
    queue_type: str | None = None
    arguments: dict[str, Any] | None = None
    policy: str | None = None
    operator_policy: str | None = None
    effective_policy: dict[str, Any] | None = None
    """What policy and operator policy together set: ``{"max-length": 10}``; empty: nothing."""
    operator_definition: dict[str, Any] | None = None
    """What the operator policy alone sets."""
    default_delivery_limit: int | None = None
    """How often RabbitMQ delivers a message of this queue where neither argument nor policy says; None: for ever."""


class Broker(Protocol):
    """A RabbitMQ with Web-STOMP. ``start`` is called once, first; ``stop`` at any time, any number of times."""

    provider: str
    """``docker``, ``provisioned``, ``local``, ``external``."""

    @property
    def addresses(self) -> Addresses:
        """The same over restarts. Raises HarnessError before ``start``."""
        ...

    @property
    def version(self) -> str:
        """The broker's own word, from the AMQP handshake: ``3.10.8``."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What can be done to it; a case that needs more is reported as not checked."""
        ...

    def describe(self) -> dict[str, Any]:
        """How it runs, for the certificate: provider, version, program, node name, sources of its settings."""
        ...

    def start(self) -> None:
        """Start or reach it and wait until AMQP and Web-STOMP answer a handshake. Raises BrokerUnavailable."""
        ...

    def stop(self) -> None:
        """Leave nothing running and nothing on disk; safe to call twice."""
        ...

    def restart(self) -> None:
        """SIGTERM, wait for its end, start again on the same data, wait for handshakes."""
        ...

    def kill(self) -> None:
        """SIGKILL the node and wait for its end; it stays down until ``revive``."""
        ...

    def terminate(self) -> None:
        """SIGTERM the node and wait for its end; it stays down until ``revive``."""
        ...

    def revive(self) -> None:
        """Start the ended node again on the same data and ports, and wait for handshakes."""
        ...

    def pause(self) -> None:
        """SIGSTOP the node's processes: sockets stay open, nothing answers, until ``resume``."""
        ...

    def resume(self) -> None:
        """SIGCONT; nothing where it is not paused."""
        ...

    def ctl(self, *words: str, program: str = "rabbitmqctl") -> str:
        """Run a command-line tool on the node; what it printed. Raises HarnessError where it fails."""
        ...

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the management API (path without ``/api``); the answer's JSON or None. Raises HarnessError."""
        ...

    def limit_open_files(self, most: int | None) -> int:
        """Lower the node's limit of open files to so many above what is open (None: as it was); the new limit."""
        ...

    def fill_disk(self, *, leave_bytes: int) -> None:
        """Fill the small disk but for so many bytes."""
        ...

    def free_disk(self) -> None:
        """Take away what ``fill_disk`` wrote."""
        ...

    def advance_clock(self, seconds: float) -> None:
        """Move the broker's clock on and wait until it shows."""
        ...

    def log(self) -> str:
        """What the node has logged so far; empty where it can't be had."""
        ...

    def queue_facts(self, queue: str) -> QueueFacts:
        """What the broker says of the queue now (counts may lag where they come from management)."""
        ...

    def queue_settings(self, queue: str, asked: Mapping[str, str]) -> QueueFacts:
        """The same with all that can be had of its settings, by AMQP alone if need be: call it while a tab consumes it.

        Args:
            queue: its name.
            asked: SUBSCRIBE's headers: a first guess of what it is.
        """
        ...

    def queue_exists(self, queue: str) -> bool:
        """Whether there is such a queue; by management, where it is to be had: asking by AMQP renews its expiry."""
        ...

    def ready_count(self, queue: str) -> int | None:
        """Exact number of ready messages (AMQP passive declare); None: there is no such queue."""
        ...

    def delete(self, *, queues: list[str], exchanges: list[str]) -> None:
        """Remove what a case made; what is not there any more is fine."""
        ...
