"""Which policy and operator policy apply to a queue, and what they set together. Pure.

RabbitMQ applies one policy and one operator policy to a queue: of those that match its name and type the one with the
highest priority (https://www.rabbitmq.com/docs/policies). The queue itself tells them only with its next statistics, up
to five seconds after it was declared, while they hold from the first moment on; so they are worked out from the lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Applied", "applied"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The names (None: none applies) and definitions of what applies."""

    policy: str | None = None
    operator_policy: str | None = None
    effective: dict[str, Any] = field(default_factory=dict)
    operator_definition: dict[str, Any] = field(default_factory=dict)


def applied(
    policies: Iterable[Mapping[str, Any]],
    operator_policies: Iterable[Mapping[str, Any]],
    *,
    queue: str,
    queue_type: str,
) -> Applied:
    """What applies to a queue.

    Args:
        policies, operator_policies: of the queue's vhost, as the management API lists them.
        queue: its name.
        queue_type: ``classic``, ``quorum`` or ``stream``.
    """
    policy = _match(policies, queue, queue_type)
    operator = _match(operator_policies, queue, queue_type)
    own: dict[str, Any] = {} if policy is None else dict(policy["definition"])
    operators: dict[str, Any] = {} if operator is None else dict(operator["definition"])
    return Applied(
        policy=None if policy is None else policy["name"],
        operator_policy=None if operator is None else operator["name"],
        effective=own | {key: _merged(key, own.get(key), value) for key, value in operators.items()},
        operator_definition=operators,
    )


def _match(policies: Iterable[Mapping[str, Any]], queue: str, queue_type: str) -> Mapping[str, Any] | None:
    suits = ("all", "queues", f"{queue_type}_queues" if queue_type != "stream" else "streams")
    matching = [
        policy for policy in policies if policy.get("apply-to", "all") in suits and re.search(policy["pattern"], queue)
    ]
    return max(matching, key=lambda policy: int(policy.get("priority", 0)), default=None)


def _merged(key: str, own: Any, operators: Any) -> Any:
    """Of two numbers the lower one holds (a negative delivery-limit is none at all); else it is the operator's."""
    if isinstance(own, int) and isinstance(operators, int):
        unlimited = key == "delivery-limit" and min(own, operators) < 0
        return max(own, operators) if unlimited else min(own, operators)
    return operators
