"""What RabbitMQ says of a queue that is declared again: how a refusal names what is different. Pure.

A queue can be read over AMQP alone, argument by argument, because a declaration that does not fit is refused with the
first property that differs and both values. So that such a declaration can never create a queue (the one that is read
may be gone by the time that it arrives), it holds :data:`POISON`, an argument that no version creates a queue with:
RabbitMQ looks at what is there first, and only where nothing is there at whether the new arguments are any good. It is
also the last one to be compared, so that a refusal for its sake says that all before it is as was guessed.

Seen on 3.10.8, 4.0.5 and 4.3.6, which all say the same
(source: https://www.rabbitmq.com/docs/queues#property-equivalence)::

    inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'
    inequivalent arg 'x-expires' for …: received none but current is the value '30' of type 'signedint'
    inequivalent arg 'x-max-length' for …: received the value '5' of type 'signedint' but current is none
    inequivalent arg 'x-queue-type' for …: received 'classic' but current is 'quorum'
    invalid arg 'x-queue-leader-locator' for …: invalid_queue_locator_arg

3.10.8 alone does not compare the locator of a classic queue: there, the declaration that fits is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["LOCATOR", "POISON", "Declared", "first_guess", "learn"]

LOCATOR = "x-queue-leader-locator"
POISON = {LOCATOR: "durable-ws-only-looks"}
"""The argument that keeps a declaration from ever creating a queue."""

_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<name>[^']+)' for .*: received .* but current is (?P<current>.*)", re.S
)
_VALUE = re.compile(r"(?:the value )?'(?P<value>.*?)'(?: of type '(?P<type>[^']*)')?", re.S)
_NUMERIC = ("x-expires", "x-message-ttl", "x-max-length", "x-max-length-bytes", "x-max-priority")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A queue's properties and arguments, as guessed or as known."""

    durable: bool = True
    auto_delete: bool = False
    queue_type: str = "classic"
    arguments: dict[str, Any] = field(default_factory=dict)
    """Without ``x-queue-type``."""

    def to_declare(self) -> dict[str, Any]:
        """The arguments of the declaration that looks whether this is so."""
        return {**self.arguments, "x-queue-type": self.queue_type, **POISON}


def first_guess(asked: Mapping[str, str]) -> Declared:
    """What the queue is if RabbitMQ did as SUBSCRIBE's headers asked."""
    return Declared(
        durable=asked.get("durable") == "true",
        auto_delete=asked.get("auto-delete") == "true",
        queue_type=asked.get("x-queue-type", "classic"),
        arguments={name: int(asked[name]) for name in _NUMERIC if asked.get(name, "").isdecimal()},
    )


def learn(guess: Declared, refusal: str) -> Declared | None:
    """A better guess from what the broker minds about this one; None: it says nothing that can be understood.

    The same guess comes back where the poison alone is minded: then all of it is so.
    """
    found = _INEQUIVALENT.search(refusal)
    if found is None:
        return None
    name, current = found["name"], found["current"].strip()
    if name == LOCATOR:
        return guess
    if current == "none":
        return replace(guess, arguments={key: value for key, value in guess.arguments.items() if key != name})
    told = _VALUE.fullmatch(current)
    if told is None:
        return None
    value = told["value"]
    match name:
        case "durable":
            return replace(guess, durable=value == "true")
        case "auto_delete":
            return replace(guess, auto_delete=value == "true")
        case "x-queue-type":
            return replace(guess, queue_type=value)
        case _:
            return replace(guess, arguments={**guess.arguments, name: _typed(value, told["type"])})


def _typed(value: str, of: str | None) -> Any:
    if of == "bool":
        return value == "true"
    return int(value) if of != "longstr" and re.fullmatch("-?[0-9]+", value) else value
