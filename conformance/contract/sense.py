"""Which values of a contract can't stand together, or can't be what they claim. Pure; finds all, not the first.

What RabbitMQ would take and then lose messages with (``auto-delete: true``, a short ``x-expires``, no
``durable``) is no nonsense: showing that is what the suite is for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from conformance.contract.duration import text_of
from conformance.contract.model import Contract
from conformance.contract.naming import EXCHANGE_DESTINATION, FANOUT_DESTINATION, TOPIC_DESTINATION, Naming, stays
from conformance.contract.recommended import RECOMMENDED, queue_affixes
from conformance.contract.refusal import did_you_mean
from conformance.errors import UsageError

__all__ = ["nonsense"]

_SAMPLE_NAMESPACE = "n012345678"  # as long as a case's word may be
_PREDECLARED = {  # https://www.rabbitmq.com/docs/exchanges#default-exchanges
    "amq.topic": "topic",
    "amq.direct": "direct",
    "amq.fanout": "fanout",
}
_OWN_HEADERS = {
    "ack": "Set tab.ack.",
    "destination": "Set tab.destination.",
    "x-queue-name": "Set tab.queue.",
    "prefetch-count": "Set tab.prefetch.",
    "id": "Leave it out: the suite numbers the subscription.",
    "receipt": "Leave it out: the suite asks for a receipt of its own.",
    "content-length": "Leave it out: SUBSCRIBE has no body.",
}
_BOOLEAN_HEADERS = ("durable", "auto-delete", "exclusive", "persistent")
_LEAST_TIMEOUT_S, _MOST_TIMEOUT_S = 1.0, 600.0
_LEAST = {"x-expires": 1, "x-message-ttl": 0, "x-max-length": 0, "x-max-length-bytes": 0, "x-max-priority": 1}


def nonsense(contract: Contract) -> Iterator[UsageError]:
    """Everything about the contract that can't work whatever the broker does; one error for each key at most."""
    told: set[str] = set()
    for check in (_control_characters, _exchanges, _destination, _tab, _headers, _publisher, _promise, _security):
        for error in check(contract):
            if error.field not in told:
                told.add(error.field)
                yield error


def _control_characters(contract: Contract) -> Iterator[UsageError]:
    for path, text in _texts(contract.model_dump(mode="json")):
        wrong = next((char for char in text if unicodedata.category(char) in ("Cc", "Cs")), None)
        if wrong is not None:
            yield UsageError(
                path,
                f"{text!r} holds the control character U+{ord(wrong):04X}",
                "Names and headers may hold any other character of Unicode.",
            )


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, below in value.items():
            here = f"{path}.{key}" if path else str(key)
            yield here, str(key)
            yield from _texts(below, here)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _texts(below, f"{path}[{number}]")


def _exchanges(contract: Contract) -> Iterator[UsageError]:
    keys_by_name: dict[str, str] = {}
    naming = Naming(contract, _SAMPLE_NAMESPACE)
    for key, exchange in contract.exchanges.items():
        field, name = f"exchanges.{key}", exchange.name
        other = keys_by_name.setdefault(name, key)
        if other != key:
            yield UsageError(
                f"{field}.name",
                f"{name!r} is the name of exchanges.{other} too",
                "Give each exchange a name of its own.",
            )
        if name.startswith("amq."):
            yield from _predeclared(field, name, exchange.type, exchange.durable)
        try:
            naming.exchange(key)
        except UsageError as error:
            yield error


def _predeclared(field: str, name: str, kind: str, durable: bool) -> Iterator[UsageError]:
    if name not in _PREDECLARED:
        yield UsageError(
            f"{field}.name",
            f"{name!r} begins with amq., which RabbitMQ keeps for its own exchanges",
            f"Choose another name, or one of {', '.join(_PREDECLARED)}.",
        )
    elif kind != _PREDECLARED[name]:
        yield UsageError(
            f"{field}.type",
            f"{kind!r} is not the type of {name}, which every RabbitMQ has",
            f'Write type = "{_PREDECLARED[name]}", or choose another name.',
        )
    elif not durable:
        yield UsageError(f"{field}.durable", f"false, but {name} is durable in every RabbitMQ", "Leave the key out.")


def _destination(contract: Contract) -> Iterator[UsageError]:
    tab, field = contract.tab, "tab.destination"
    exchange = contract.exchanges.get(tab.exchange)
    if exchange is None:
        yield UsageError(
            "tab.exchange", f"{tab.exchange!r} is no key of [exchanges]", did_you_mean(tab.exchange, contract.exchanges)
        )
    known = (EXCHANGE_DESTINATION, TOPIC_DESTINATION, FANOUT_DESTINATION)
    if tab.destination not in known:
        nearest = TOPIC_DESTINATION if tab.destination.startswith("/topic/") else EXCHANGE_DESTINATION
        yield UsageError(
            field,
            f"{tab.destination!r} {_wrong_with_destination(tab.destination)}",
            f'Write "{nearest}"; the suite fills in the names of [exchanges] and tab.routing_keys, encoded.',
        )
        return
    if exchange is None:
        return
    if tab.destination == TOPIC_DESTINATION and exchange.name != "amq.topic":
        yield UsageError(
            field,
            f"{tab.destination!r} subscribes to amq.topic, but tab.exchange is {exchange.name!r}",
            f'Write "{EXCHANGE_DESTINATION}", or name = "amq.topic" in [exchanges.{tab.exchange}].',
        )
    elif tab.destination == FANOUT_DESTINATION and exchange.type != "fanout":
        yield UsageError(
            field,
            f"{tab.destination!r} has no {{routing_key}}, which a {exchange.type} exchange asks for",
            f'Write "{EXCHANGE_DESTINATION}".',
        )
    naming = Naming(contract, _SAMPLE_NAMESPACE)
    for key in tab.routing_keys:
        try:
            naming.destination("t1", tab.exchange, key)
        except UsageError as error:
            yield error


def _wrong_with_destination(destination: str) -> str:
    placeholders = re.findall(r"\{[^{}]*\}", destination)
    unknown = [found for found in placeholders if found not in ("{exchange}", "{routing_key}")]
    if unknown:
        return f"holds {unknown[0]}, which is no placeholder of a destination"
    if re.match(r"/(amq/)?queue/|/temp-queue/|/reply-queue/", destination):
        return "names a queue, which no exchange would fill"
    if "{routing_key}" not in placeholders:
        return "has no {routing_key}"
    if destination.startswith("/exchange/") and "{exchange}" not in placeholders:
        return "has no {exchange}"
    return "is no destination that binds a queue to an exchange"


def _tab(contract: Contract) -> Iterator[UsageError]:
    tab = contract.tab
    unknown = [found for found in re.findall(r"\{[^{}]*\}", tab.queue) if found != "{tab}"]
    if unknown:
        yield UsageError(
            "tab.queue",
            f"{tab.queue!r} holds {unknown[0]}, which is no placeholder of a queue's name",
            'Write "{tab}" where the page\'s id belongs.',
        )
    if tab.queue.startswith("amq."):
        yield UsageError(
            "tab.queue", f"{tab.queue!r} begins with amq., which RabbitMQ keeps for itself", "Choose another name."
        )
    if 0 < tab.heart_beat < 0.001:  # STOMP counts whole milliseconds
        yield UsageError("tab.heart_beat", "less than a millisecond", 'Write at least "1ms", or "0s" for none.')
    try:
        Naming(contract, _SAMPLE_NAMESPACE).queue("t1")
    except UsageError as error:
        yield error


def _headers(contract: Contract) -> Iterator[UsageError]:
    for name, value in contract.tab.headers.items():
        field = f"tab.headers.{name}"
        if name in _OWN_HEADERS:
            yield UsageError(field, f"{name} is not the page's to set here ({value!r})", _OWN_HEADERS[name])
        elif name in _BOOLEAN_HEADERS and value not in ("true", "false"):
            yield UsageError(
                field,
                f"{value!r} is neither true nor false, and RabbitMQ would ignore it without a word",
                'Write "true" or "false".',
            )
        elif name in _LEAST and not (re.fullmatch("[0-9]{1,15}", value) and int(value) >= _LEAST[name]):
            unit = " of milliseconds" if name in ("x-expires", "x-message-ttl") else ""
            yield UsageError(
                field,
                f"{value!r} is no whole number{unit} of at least {_LEAST[name]}",
                f"Write {'86400000 for a day' if unit else 'a number such as 10'}.",
            )


def _publisher(contract: Contract) -> Iterator[UsageError]:
    publisher = contract.publisher
    if publisher.python is not None and publisher.command is not None:
        yield UsageError(
            "publisher.command",
            f"{publisher.command!r} stands beside python = {publisher.python!r}, and only one publishes",
            "Leave out the one that is not under test.",
        )
    if publisher.python is not None and not re.fullmatch(r"[\w.]+:[\w.]+", publisher.python):
        yield UsageError(
            "publisher.python",
            f"{publisher.python!r} is no module:factory",
            'Name it like "myapp.messaging:make_publisher".',
        )
    if publisher.command is not None and not publisher.command[0]:
        yield UsageError("publisher.command", "the program's name is empty", 'Write ["ruby", "publisher.rb"].')
    if publisher.via != "amqp" and publisher.python is None and publisher.command is None:
        yield UsageError(
            "publisher.via",
            f"{publisher.via!r} is not the way of durable_ws, which speaks AMQP",
            "Leave it out, or name a publisher of your own with python or command.",
        )
    if not _LEAST_TIMEOUT_S <= publisher.timeout <= _MOST_TIMEOUT_S:
        yield UsageError(
            "publisher.timeout",
            f"'{text_of(publisher.timeout)}' is no time that a publish can be given",
            f'Write from "{text_of(_LEAST_TIMEOUT_S)}" to "{text_of(_MOST_TIMEOUT_S)}".',
        )


def _promise(contract: Contract) -> Iterator[UsageError]:
    if not contract.promise.recovery:
        yield UsageError(
            "promise.recovery", "'0s' gives a tab no time to get what it missed", 'Write a duration such as "60s".'
        )


def _security(contract: Contract) -> Iterator[UsageError]:
    limits, tab = contract.limits, contract.tab
    if limits.silence is not None and limits.silence < 1:
        yield UsageError("limits.silence", f"{limits.silence:g} s is too short to tell", 'Write at least "1s".')
    elif limits.silence is not None and tab.heart_beat and limits.silence <= tab.heart_beat:
        yield UsageError(
            "limits.silence",
            f"{limits.silence:g} s of silence end a tab whose heart-beats are {tab.heart_beat:g} s apart",
            f'Write at least "{3 * tab.heart_beat:g}s", or a shorter tab.heart_beat.',
        )
    if limits.topic_permissions and contract.exchanges.get(tab.exchange) is not None:
        exchange = contract.exchanges[tab.exchange]
        if exchange.type != "topic":
            yield UsageError(
                "limits.topic_permissions",
                f"a {exchange.type} exchange has none: RabbitMQ asks for them where tabs bind to a topic exchange",
                "Leave it out.",
            )
        elif stays(exchange):
            yield UsageError(
                "limits.topic_permissions",
                f"the exchange {exchange.name!r} is there already, so that the suite adds a word of its own to the "
                "routing keys, which no topic permission on the contract's keys lets in",
                "Leave it out, or name a topic exchange that the suite may declare under a name of its own.",
            )
    if contract.broker.definitions != RECOMMENDED:
        return
    if tab.login == "guest":
        yield UsageError(
            "tab.login",
            "'guest' is RabbitMQ's administrator, and the recommended definitions give the tabs a user of their own",
            'Write a name and a passcode of the tabs\' own, such as login = "durable-ws-tab".',
        )
    if not any(queue_affixes(tab.queue)):
        yield UsageError(
            "tab.queue",
            f"{tab.queue!r} says nothing but the tab's id, so the tabs' permissions would have to match every queue",
            'Write a prefix, such as "web-client-{tab}".',
        )
