"""A world: a setup that is broken in one way, or sound, and what the suite must say of it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.engine.world import Pace
from conformance.world.publisher.base import Factory
from conformance.world.tab.base import TabBehaviour

__all__ = ["Access", "Expected", "Policy", "World"]

Expected = Literal["violated", "certified"]
_RUN, _PASSCODE = secrets.token_hex(3), secrets.token_urlsafe(18)
"""Of this run's users: nobody else knows them, and two runs at one broker do not meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What the tabs' user of one world may do, where it is not what the recommended definitions say.

    Attributes:
        tags: of the user.
        configure, write, read: patterns; None: the recommended ones.
        topic: the pattern of routing keys; None: the recommended one; empty: there is no topic permission.
        connections: whether the limit of connections is set.
        expiry: whether the operator policy is set.
        vhost: whether it may enter another vhost, which is made for that.
    """

    tags: str = ""
    configure: str | None = None
    write: str | None = None
    read: str | None = None
    topic: str | None = None
    connections: bool = True
    expiry: bool = True
    vhost: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy on the queues of one world's tabs.

    Attributes:
        definition: what it sets.
        operator: it is an operator policy.
    """

    definition: Mapping[str, Any]
    operator: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One world.

    Attributes:
        id: stable; what is broken, or sound, in a word or two.
        why: one sentence.
        checks: the ids of the checks that are made of it.
        expected: from the broker's version.
        kind, cause: what the first violation of some check must be (None: sound).
        contract: keys on top of the built-in contract, as in a contract file.
        policies: what an administrator has set; the world's queues then have a name of their own, ``ID-{tab}``, so that
            the policies match no other world's.
        access: what the tabs' user may do; the world then has a user, an exchange and queues of its own.
        careless: it is made on a broker whose settings hold nobody back.
    """

    id: str
    why: str
    checks: tuple[str, ...]
    kind: str | None = None
    cause: str | None = None
    contract: Mapping[str, Any] = field(default_factory=dict)
    publisher: Factory | None = None
    behaviour: TabBehaviour = field(default_factory=TabBehaviour)
    client: str = "websocket-client"
    policies: tuple[Policy, ...] = ()
    pace: Pace = field(default_factory=Pace)
    access: Access | None = None
    careless: bool = False
    expected_on: Callable[[str], Expected] | None = None

    def expected(self, version: str) -> Expected:
        """The verdict that it must have on this RabbitMQ."""
        if self.expected_on is not None:
            return self.expected_on(version)
        return "violated" if self.kind is not None else "certified"

    def resolved(self) -> Contract:
        """The whole contract."""
        base: dict[str, Any] = {}
        if self.policies or self.access is not None:
            base = {"tab": {"queue": self.id + "-{tab}"}}
        if self.access is not None:
            base["tab"] |= {"login": f"durable-ws-{self.id}-{_RUN}", "passcode": _PASSCODE}
            base |= {
                "exchanges": {"pubsub": {"name": f"durable-ws-{self.id}"}},
                "promise": {"hostile_tab": True},
                "limits": {"connections": 60, "topic_permissions": True},
            }
        merged = {**base, **self.contract}
        for key in base.keys() & self.contract.keys():
            merged[key] = {**base[key], **self.contract[key]}
        if self.policies:  # they match these names alone
            merged["tab"]["queue"] = self.id + "-{tab}"
        return contract_from_dict(merged)

    @property
    def pattern(self) -> str:
        """Matches the names of the world's queues and no other's."""
        return f"^{re.escape(self.id)}-[^-]+-[^-]+$"
