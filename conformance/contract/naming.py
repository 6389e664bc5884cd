"""Real names at the broker: the contract's patterns, a case's namespace, and STOMP's encoding.

Each case has a namespace, a short random word. It is what keeps cases apart that run side by side on one
broker: exchanges get it as a suffix (``durable-websocket-pubsub.k3x9``) so that policies anchored at the
start of a name still match; a tab's id starts with it (``k3x9-t1``), as a real page's id is random; a queue
pattern without ``{tab}`` gets it as a suffix. Exchanges that are there already (``amq.*``, ``passive``) can't be
renamed: there the routing keys get it as their first word.

Of a STOMP destination RabbitMQ splits the parts at ``/`` and decodes ``%2F`` to ``/`` in each, and nothing
else: every other character stands for itself, in UTF-8 (https://www.rabbitmq.com/docs/stomp#d; seen on 3.10.8
with ``%``, space, ``é``, ``#``, ``:`` and ``%20``, which it does not decode). So a name that holds the
three characters ``%2F`` can't be said at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.contract.model import Contract, Exchange
from conformance.errors import UsageError

__all__ = [
    "EXCHANGE_DESTINATION",
    "FANOUT_DESTINATION",
    "TOPIC_DESTINATION",
    "Naming",
    "most_key_bytes",
    "stays",
    "subscribable",
]

EXCHANGE_DESTINATION = "/exchange/{exchange}/{routing_key}"
"""Binds the tab's queue to any exchange with any key."""
FANOUT_DESTINATION = "/exchange/{exchange}"
"""Binds it with the empty key, which only a fanout exchange ignores."""
TOPIC_DESTINATION = "/topic/{routing_key}"
"""Binds it to ``amq.topic``."""

_SHORT_STRING_BYTES = 255  # AMQP 0-9-1, 4.2.5.3 (short strings): names of queues and exchanges, routing keys


_NAMESPACE_BYTES = 15
"""Kept free for a case's own word and a dot in front of a routing key; the word has 7 characters."""


def most_key_bytes(exchange: Exchange) -> int:
    """How long a routing or binding key may be in a scenario: all that AMQP can say where no word goes in front."""
    return _SHORT_STRING_BYTES - (_NAMESPACE_BYTES if stays(exchange) else 0)


def subscribable(contract: Contract) -> list[str]:
    """The keys of ``[exchanges]`` that a tab's destination can name, in the contract's order."""
    return [name for name, exchange in contract.exchanges.items() if _can_name(contract.tab.destination, exchange)]


def _can_name(destination: str, exchange: Exchange) -> bool:
    if destination == TOPIC_DESTINATION:
        return exchange.name == "amq.topic"
    return destination == EXCHANGE_DESTINATION or exchange.type == "fanout"


@dataclass(frozen=True, slots=True)
class Naming:
    """Names for one case. ``namespace`` empty: the contract's own names as they stand."""

    contract: Contract
    namespace: str = ""

    def exchange(self, name: str) -> str:
        """The broker's name of the contract's exchange ``name`` (a key of ``[exchanges]``).

        Raises:
            UsageError: there is no such exchange, its name is too long, or it can be neither renamed nor told apart
                by routing keys.
        """
        exchange = self._exchange(name)
        field = f"exchanges.{name}.name"
        if not self.namespace or not stays(exchange):
            suffix = f".{self.namespace}" if self.namespace else ""
            return _short(field, exchange.name + suffix)
        if exchange.type == "fanout":
            raise UsageError(
                field,
                f"{exchange.name!r} is a fanout exchange that is there already, so what one case publishes would "
                "reach the tabs of every other",
                "Name a fanout exchange that the suite may declare under a name of its own.",
            )
        return _short(field, exchange.name)

    def routing_key(self, name: str, key: str) -> str:
        """The routing or binding key as used at the broker on exchange ``name`` (a key of ``[exchanges]``).

        Raises:
            UsageError: there is no such exchange, or the key is too long.
        """
        if self.namespace and stays(self._exchange(name)):
            # The empty key has no words, so it becomes one word: "#" goes on matching it and "*" does not.
            key = f"{self.namespace}.{key}" if key else self.namespace
        return _short("tab.routing_keys", key)

    def tab_id(self, tab: str) -> str:
        """The id that the page of the scenario's tab ``tab`` (``t1``) keeps."""
        return f"{self.namespace}-{tab}" if self.namespace else tab

    def queue(self, tab: str) -> str:
        """The queue of the scenario's tab ``tab``.

        Raises:
            UsageError: the name is longer than AMQP can say.
        """
        pattern = self.contract.tab.queue
        if "{tab}" not in pattern and self.namespace:
            return _short("tab.queue", f"{pattern}.{self.namespace}")
        return _short("tab.queue", pattern.replace("{tab}", self.tab_id(tab)))

    def destination(self, tab: str, name: str, key: str) -> str:  # noqa: ARG002 - a pattern may come to name the tab
        """The STOMP destination, each part encoded as RabbitMQ's STOMP plugin decodes it (see the module).

        Args:
            tab: the scenario's tab.
            name: a key of ``[exchanges]``.
            key: the binding key as the scenario has it.

        Raises:
            UsageError: the contract's destination can't name that exchange, or a name can't be said in a destination.
        """
        pattern = self.contract.tab.destination
        exchange = self.exchange(name)
        if not _can_name(pattern, self._exchange(name)):
            raise UsageError(
                "tab.destination",
                f"{pattern!r} can't name the exchange {name!r} ({exchange})",
                f'Write "{EXCHANGE_DESTINATION}", which can name every exchange.',
            )
        parts = {
            "{exchange}": _encode(f"exchanges.{name}.name", exchange),
            "{routing_key}": _encode("tab.routing_keys", self.routing_key(name, key)),
        }
        return "/".join(parts.get(part, part) for part in pattern.split("/"))

    def subscribe_headers(self, tab: str) -> dict[str, str]:
        """SUBSCRIBE's headers but ``destination``, ``id`` and ``receipt``.

        ``ack``, ``x-queue-name``, ``prefetch-count`` (none where the contract's prefetch is 0: no limit), and
        then ``[tab.headers]``.
        """
        section = self.contract.tab
        headers = {"ack": section.ack, "x-queue-name": self.queue(tab)}
        if section.prefetch:
            headers["prefetch-count"] = str(section.prefetch)
        return headers | section.headers

    def _exchange(self, name: str) -> Exchange:
        try:
            return self.contract.exchanges[name]
        except KeyError:
            known = ", ".join(self.contract.exchanges)
            raise UsageError(f"exchanges.{name}", "the contract has no such exchange", f"It has {known}.") from None


def stays(exchange: Exchange) -> bool:
    """Whether the exchange is there beforehand under a fixed name."""
    return exchange.passive or exchange.name.startswith("amq.")


def _short(field: str, name: str) -> str:
    size = len(name.encode())
    if size > _SHORT_STRING_BYTES:
        raise UsageError(
            field,
            f"the name {name[:40]!r}… is {size} bytes long at the broker, AMQP allows {_SHORT_STRING_BYTES}",
            "Shorten it; a case adds its own word of some 10 bytes.",
        )
    return name


def _encode(field: str, name: str) -> str:
    if "%2F" in name:
        raise UsageError(
            field,
            f"{name!r} holds %2F, which RabbitMQ reads as a slash in a STOMP destination, and has no other way to say",
            "Choose a name without the three characters %2F (a slash itself is fine).",
        )
    return name.replace("/", "%2F")
