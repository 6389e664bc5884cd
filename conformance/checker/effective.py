"""What really holds for a queue, argument, policy, operator policy and RabbitMQ's default together, and whence.

Seen on 3.10.8, 4.0.5 and 4.3.6: of numbers the lowest holds, wherever it is from (``expires``, ``message-ttl``,
``max-length``, ``max-length-bytes``; also https://www.rabbitmq.com/docs/policies#operator-policies); a negative
``delivery-limit`` is none; of other settings (``overflow``, ``dead-letter-exchange``) the argument holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from conformance.history.events import QueueObserved

__all__ = ["Effective", "Origin", "effective", "real_arguments"]

Origin: TypeAlias = Literal["argument", "policy", "operator policy", "default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """A setting that holds, and where it comes from.

    Attributes:
        key: as policies call it, ``expires``.
        value: a number where the setting is one, else text.
        origin: which of the four.
        name: of the policy; empty where it is none.
    """

    key: str
    value: int | str
    origin: Origin
    name: str = ""

    @property
    def by_policy(self) -> bool:
        """Whether an administrator set it, not the tab."""
        return self.origin in ("policy", "operator policy")

    @property
    def source(self) -> str:
        """For a sentence: ``argument x-expires``, ``policy short-lived``."""
        match self.origin:
            case "argument":
                return f"argument x-{self.key}"
            case "default":
                return "RabbitMQ's default"
            case _:
                return f"{self.origin} {self.name}"

    @property
    def number(self) -> int | None:
        """The value as a number; None where it is none, or means that there is no limit."""
        return self.value if isinstance(self.value, int) and self.value >= 0 else None


def effective(queue: QueueObserved | None, key: str, headers: Mapping[str, str] | None = None) -> Effective | None:
    """The setting that holds for a queue; None: none does, as far as is known.

    Args:
        queue: as the broker told it; None: nobody asked.
        key: as policies call it: ``expires``.
        headers: SUBSCRIBE's, believed where nobody asked for the queue's arguments.
    """
    found = [setting for setting in (_argument(queue, key, headers), _policy(queue, key)) if setting is not None]
    if not found:
        default = queue.default_delivery_limit if queue is not None and key == "delivery-limit" else None
        return None if default is None else Effective(key=key, value=default, origin="default")
    numbers = [setting for setting in found if isinstance(setting.value, int)]
    if len(numbers) < len(found):
        return found[0]
    limits = [setting for setting in numbers if setting.number is not None]
    return min(limits or numbers, key=lambda setting: setting.value)


def real_arguments(queue: QueueObserved | None, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    """The queue's arguments; where nobody asked, SUBSCRIBE's headers."""
    if queue is not None and queue.arguments is not None:
        return queue.arguments
    return headers or {}


def _argument(queue: QueueObserved | None, key: str, headers: Mapping[str, str] | None) -> Effective | None:
    value = _value(real_arguments(queue, headers).get(f"x-{key}"))
    return None if value is None else Effective(key=key, value=value, origin="argument")


def _policy(queue: QueueObserved | None, key: str) -> Effective | None:
    if queue is None:
        return None
    value = _value((queue.effective_policy or {}).get(key))
    if value is None:
        return None
    operators = (queue.operator_definition or {}).get(key)
    is_operators = operators == value if queue.operator_definition is not None else queue.policy is None
    if is_operators:
        return Effective(key=key, value=value, origin="operator policy", name=queue.operator_policy or "")
    return Effective(key=key, value=value, origin="policy", name=queue.policy or "")


def _value(told: Any) -> int | str | None:
    if told is None or isinstance(told, bool):
        return None
    try:
        return int(told)
    except (TypeError, ValueError):
        return str(told)
