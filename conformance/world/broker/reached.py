"""What can be asked of any broker whose addresses are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, NoReturn
from urllib.parse import unquote, urlsplit

from conformance.errors import HarnessError, UsageError
from conformance.world.broker.admin import Admin
from conformance.world.broker.base import Addresses, QueueFacts
from conformance.world.broker.declared import first_guess
from conformance.world.broker.management import Management

__all__ = ["Reached", "vhost_of"]


def vhost_of(amqp_url: str) -> str:
    """The vhost that an AMQP URL names: ``/`` without a path (https://www.rabbitmq.com/docs/uri-spec)."""
    path = urlsplit(amqp_url).path
    return unquote(path[1:]) if len(path) > 1 else "/"


_DEFAULT_DELIVERY_LIMIT = 20
"""Of quorum queues from RabbitMQ 4.0 on (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling)."""


def _major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else 0


class Reached:
    """The questions of :class:`conformance.world.broker.base.Broker`, answered over AMQP and management."""

    _management_timeout_s: ClassVar[float] = 60.0
    """A node of the suite's own answers, however busy the machine is."""

    def __init__(self) -> None:
        self._addresses: Addresses | None = None
        self._admin: Admin | None = None
        self._management: Management | None = None
        self._version = ""

    @property
    def addresses(self) -> Addresses:
        """See :attr:`Broker.addresses`."""
        if self._addresses is None:
            raise HarnessError("the broker has not been started")
        return self._addresses

    @property
    def version(self) -> str:
        """See :attr:`Broker.version`."""
        if not self._version:
            self._version = self._amqp.version()
        return self._version

    def queue_facts(self, queue: str) -> QueueFacts:
        """See :meth:`Broker.queue_facts`; ``ready`` and ``consumers`` are exact, ``unacked`` may lag."""
        counts = self._amqp.counts(queue)
        if counts is None:
            return QueueFacts(name=queue, exists=False)
        facts = self._management.queue(queue) if self._management is not None else None
        if facts is None or not facts.exists:
            facts = QueueFacts(name=queue, exists=True)
        # Without a consumer nothing is unacked: what a channel held went back into the queue as it closed.
        unacked = 0 if counts.consumers == 0 else facts.unacked
        return replace(facts, ready=counts.ready, unacked=unacked, consumers=counts.consumers)

    def queue_settings(self, queue: str, asked: Mapping[str, str]) -> QueueFacts:
        """See :meth:`Broker.queue_settings`."""
        facts = self.queue_facts(queue)
        if not facts.exists:
            return facts
        if facts.arguments is None:
            facts = self._by_amqp_alone(facts, asked)
        elif self._management is not None:
            found = self._management.applied(queue, facts.queue_type or "classic")
            if found is not None:
                facts = replace(
                    facts,
                    policy=found.policy,
                    operator_policy=found.operator_policy,
                    effective_policy=found.effective,
                    operator_definition=found.operator_definition,
                )
        if facts.queue_type == "quorum" and _major(self.version) >= 4:
            facts = replace(facts, default_delivery_limit=_DEFAULT_DELIVERY_LIMIT)
        return facts

    def _by_amqp_alone(self, facts: QueueFacts, asked: Mapping[str, str]) -> QueueFacts:
        declared = self._amqp.declared(facts.name, first_guess(asked))
        if declared is None:
            return facts
        if declared == "exclusive":
            return replace(facts, exclusive=True, durable=False)
        return replace(
            facts,
            durable=declared.durable,
            exclusive=False,
            auto_delete=declared.auto_delete,
            queue_type=declared.queue_type,
            arguments=declared.arguments,
        )

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """See :meth:`Broker.ask`."""
        if self._management is None:
            raise HarnessError("this broker has no management API in reach")
        return self._management.ask(method, path, body)

    def log(self) -> str:
        """See :meth:`Broker.log`: not in reach."""
        return ""

    def restart(self) -> None:
        """See :meth:`Broker.restart`."""
        self.terminate()
        self.revive()

    def terminate(self) -> None:
        """See :meth:`Broker.terminate`."""
        self._refuse()

    def kill(self) -> None:
        """See :meth:`Broker.kill`."""
        self._refuse()

    def revive(self) -> None:
        """See :meth:`Broker.revive`."""
        self._refuse()

    def pause(self) -> None:
        """See :meth:`Broker.pause`."""
        self._refuse()

    def resume(self) -> None:
        """See :meth:`Broker.resume`."""
        self._refuse()

    def ctl(self, *words: str, program: str = "rabbitmqctl") -> str:  # noqa: ARG002
        """See :meth:`Broker.ctl`."""
        self._refuse()

    def limit_open_files(self, most: int | None) -> int:  # noqa: ARG002
        """See :meth:`Broker.limit_open_files`."""
        self._refuse()

    def fill_disk(self, *, leave_bytes: int) -> None:  # noqa: ARG002
        """See :meth:`Broker.fill_disk`."""
        self._refuse()

    def free_disk(self) -> None:
        """See :meth:`Broker.free_disk`."""
        self._refuse()

    def advance_clock(self, seconds: float) -> None:  # noqa: ARG002
        """See :meth:`Broker.advance_clock`."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        """What this kind of broker can't be asked to do."""
        raise UsageError(
            "--broker",
            "this broker can't be asked to do that: the suite did not start it, or not for that",
            "Use --broker auto for scenarios that need it.",
        )

    def queue_exists(self, queue: str) -> bool:
        """See :meth:`Broker.queue_exists`."""
        # A second try: a connection that was kept alive may have ended meanwhile.
        asks = 0 if self._management is None else 2
        told = next((facts for _ in range(asks) if self._management and (facts := self._management.queue(queue))), None)
        return self._amqp.counts(queue) is not None if told is None else told.exists

    def ready_count(self, queue: str) -> int | None:
        """See :meth:`Broker.ready_count`."""
        counts = self._amqp.counts(queue)
        return None if counts is None else counts.ready

    def delete(self, *, queues: list[str], exchanges: list[str]) -> None:
        """See :meth:`Broker.delete`."""
        self._amqp.delete(queues, exchanges)

    @property
    def _amqp(self) -> Admin:
        if self._admin is None:
            raise HarnessError("the broker has not been started")
        return self._admin

    def _reach(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._admin = Admin(addresses.amqp)
        if addresses.management is not None:
            self._management = Management(
                addresses.management, vhost_of(addresses.amqp), timeout_s=self._management_timeout_s
            )

    def _leave(self) -> None:
        if self._admin is not None:
            self._admin.close()
        if self._management is not None:
            self._management.close()
