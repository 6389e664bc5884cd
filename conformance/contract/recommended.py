"""The recommended set: the contract, the definitions and the settings that hold a hostile page at bay. Pure.

Each line has its reason. ``[broker] definitions = "recommended"`` has the suite's own brokers use it, the built-in
contract does, and ``durable-ws recommend`` writes it out.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from conformance.contract.model import BrokerSection, Contract, LimitsSection, PromiseSection, TabSection
from conformance.contract.naming import stays

__all__ = [
    "RECOMMENDED",
    "TAB_LOGIN",
    "Line",
    "definitions",
    "hashed",
    "headers",
    "queue_affixes",
    "queue_pattern",
    "recommended_contract",
    "settings",
    "tls_settings",
    "why",
]

RECOMMENDED = "recommended"
"""What stands for the shipped set in ``broker.definitions``."""
TAB_LOGIN = "durable-ws-tab"
"""The tabs' user in the recommended set."""
_FRAMES_ARE_LIMITED = (4, 3)
"""From this version on Web-STOMP holds a STOMP frame that comes in pieces to stomp.max_frame_size: 3.10.8 and 4.0.5
were seen to take one of any length."""
_CONSUMER_TIMEOUT_MS = 1_800_000
_FRAME_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One setting with its reason; ``key`` is a path in the definitions, a key of ``rabbitmq.conf``, or a header."""

    key: str
    value: str
    reason: str


def recommended_contract(passcode: str, *, connections: int = 128, queues: int = 256) -> Contract:
    """The built-in contract with a user of the tabs' own, limits, and ``hostile_tab`` promised.

    Args:
        passcode: of the tabs' user.
        connections: at most so many tabs at a time.
        queues: at most so many queues in the vhost: tabs that are open, and abandoned ones until they expire.
    """
    return Contract(
        broker=BrokerSection(definitions=RECOMMENDED),
        tab=TabSection(login=TAB_LOGIN, passcode=passcode),
        promise=PromiseSection(hostile_tab=True),
        limits=LimitsSection(
            connections=connections,
            queues=queues,
            frame_bytes=_FRAME_BYTES,
            silence=30.0,
            topic_permissions=True,
        ),
    )


def queue_affixes(pattern: str) -> tuple[str, str]:
    """What stands before and after the tab's id in the names of the tabs' queues."""
    before, _, after = pattern.partition("{tab}")
    return before, after


def definitions(contract: Contract, *, vhost: str = "/") -> dict[str, Any]:
    """Definitions for RabbitMQ's import: the tabs' user with what it may do, its limits, and an expiry for all queues.

    Source: https://www.rabbitmq.com/docs/definitions

    Args:
        contract: whose names, keys and limits they are made for.
        vhost: where.
    """
    tab, limits = contract.tab, contract.limits
    queues = queue_pattern(contract)
    made: dict[str, Any] = {
        **({"vhosts": [{"name": vhost}]} if vhost != "/" else {}),
        "users": [{"name": tab.login, "password": tab.passcode, "tags": ""}],
        "permissions": [
            {
                "user": tab.login,
                "vhost": vhost,
                "configure": queues,
                "write": queues,
                "read": f"{queues}|{_exchange_pattern(contract)}",
            }
        ],
    }
    exchanges = [exchange for exchange in contract.exchanges.values() if not exchange.name.startswith("amq.")]
    if exchanges:
        made["exchanges"] = [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": exchange.type,
                "durable": exchange.durable,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in exchanges
        ]
    if limits.topic_permissions:
        made["topic_permissions"] = [
            {
                "user": tab.login,
                "vhost": vhost,
                "exchange": contract.exchanges[tab.exchange].name,
                "write": "^$",
                "read": f"^({'|'.join(re.escape(key) for key in tab.routing_keys)})$",
            }
        ]
    if contract.promise.abandoned_queues_expire is not None:
        made["parameters"] = [
            {
                "vhost": vhost,
                "component": "operator_policy",
                "name": "durable-ws-abandoned-queues",
                "value": {
                    "pattern": queues,
                    "apply-to": "queues",
                    "priority": 0,
                    "definition": {"expires": int(contract.promise.abandoned_queues_expire * 1000)},
                },
            }
        ]
    if limits.queues is not None:
        made.setdefault("parameters", []).append(
            {"vhost": vhost, "component": "vhost-limits", "name": "limits", "value": {"max-queues": limits.queues}}
        )
    if limits.connections is not None:
        made["users"][0]["limits"] = {"max-connections": limits.connections}
    return made


def queue_pattern(contract: Contract) -> str:
    """Matches the names of the tabs' queues and nothing else."""
    before, after = queue_affixes(contract.tab.queue)
    if "{tab}" not in contract.tab.queue:
        return f"^{re.escape(before)}(\\..+)?$"
    return f"^{re.escape(before)}.+{re.escape(after)}$"


def _exchange_pattern(contract: Contract) -> str:
    """Matches the contract's exchanges, also with the word that the suite adds to their names while it certifies."""
    names = "|".join(re.escape(exchange.name) for exchange in contract.exchanges.values())
    return f"^({names})(\\.[^.]+)?$"


def why(contract: Contract, *, vhost: str = "/") -> Iterator[Line]:
    """Each thing that :func:`definitions` defines, with its reason, in its order."""
    made = definitions(contract, vhost=vhost)
    (user,), (permission,) = made["users"], made["permissions"]
    yield Line(
        key="users.tags", value="(none)", reason="A tag would let the page into the management API, an administrator's "
        "into everything."
    )  # fmt: skip
    if "limits" in user:
        yield Line(
            key="users.limits.max-connections",
            value=str(contract.limits.connections),
            reason="Each connection costs the broker memory; a page that opens them in a loop is stopped here. Set it "
            "above the number of tabs that may be open at a time.",
        )
    yield Line(
        key="permissions.configure", value=permission["configure"], reason="A tab declares its own queue, and nothing "
        "else: no queue of another application, no exchange."
    )  # fmt: skip
    yield Line(
        key="permissions.write", value=permission["write"], reason="Binding a queue takes write on that queue. No "
        "exchange is matched, amq.default neither: a tab publishes nothing, and sends nothing into queues."
    )  # fmt: skip
    yield Line(
        key="permissions.read", value=permission["read"], reason="Consuming takes read on the queue, binding read on "
        "the exchange. amq.* is not matched: no tracing, no events, no logs, so no queue's name is learnt."
    )  # fmt: skip
    for exchange in made.get("exchanges", ()):
        yield Line(
            key=f"exchanges.{exchange['name']}",
            value=f"{exchange['type']}, durable {str(exchange['durable']).lower()}",
            reason="A tab can't declare it, and RabbitMQ 4.3 takes no topic permission on what is not there yet.",
        )  # fmt: skip
    for topic in made.get("topic_permissions", ()):
        yield Line(
            key=f"topic_permissions.{topic['exchange']}.read", value=topic["read"], reason="A tab binds to the keys "
            "that the contract names; # would show it everyone's messages."
        )  # fmt: skip
    exchange = contract.exchanges[contract.tab.exchange]
    if exchange.type == "topic" and stays(exchange):
        yield Line(
            key="topic_permissions",
            value="(none)",
            reason=f"{exchange.name} is there already, so certifying adds a word to the routing keys, which "
            "permissions on the contract's keys would not let in. As it is, a tab may bind to every key: add them with "
            "rabbitmqctl set_topic_permissions where that matters, or give the tabs a topic exchange of their own.",
        )
    for parameter in made.get("parameters", ()):
        if parameter["component"] == "operator_policy":
            value = f"expires {parameter['value']['definition']['expires']}"
            reason = (
                "A page may leave x-expires out; an operator policy has its queue go all the same, and cuts nothing "
                "off that expires earlier by itself."
            )
        else:
            value, reason = f"max-queues {contract.limits.queues}", (
                "Every id that a page makes up is a queue until it expires. Set it above the tabs of a whole "
                "promise.abandoned_queues_expire; other applications in the vhost count too, so give tabs their own."
            )  # fmt: skip
        yield Line(key=f"parameters.{parameter['component']}", value=value, reason=reason)


def settings(contract: Contract, *, version: tuple[int, int] | None = None) -> list[Line]:
    """``rabbitmq.conf`` for a RabbitMQ of this version (None: only what each version since 3.10 knows).

    Source: https://www.rabbitmq.com/docs/web-stomp, https://www.rabbitmq.com/docs/ssl#disabling-tls-versions
    """
    limits = contract.limits
    lines = []
    if limits.frame_bytes is not None:
        lines.append(
            Line(
                key="web_stomp.ws_opts.max_frame_size",
                value=str(limits.frame_bytes),
                reason="A tab sends SUBSCRIBE and ACK: nothing large. Without it one WebSocket frame may fill the "
                "memory.",
            )
        )
        if version is not None and version >= _FRAMES_ARE_LIMITED:
            lines.append(
                Line(
                    key="stomp.max_frame_size",
                    value=str(limits.frame_bytes),
                    reason="The same for a STOMP frame that comes in many WebSocket frames. RabbitMQ 4.3 goes by this "
                    "key alone.",
                )
            )
    if limits.silence is not None:
        lines.append(
            Line(
                key="web_stomp.ws_opts.idle_timeout",
                value=str(int(limits.silence * 1000)),
                reason="A connection that says nothing is ended, also one that never says CONNECT; an honest tab's "
                "heart-beats come more often.",
            )
        )
    lines += [
        Line(
            key="consumer_timeout",
            value=str(_CONSUMER_TIMEOUT_MS),
            reason="A page that never acks is ended after half an hour, and what it held is delivered again: RabbitMQ "
            "has no other limit on unacked messages, because the page chooses its own prefetch-count.",
        ),
        Line(
            key="loopback_users.guest",
            value="true",
            reason="guest, an administrator whose password everybody knows, is let in from the host itself alone. "
            "Better still, delete it (rabbitmqctl delete_user guest).",
        ),
        Line(
            key="ssl_options.versions.1",
            value="tlsv1.3",
            reason="For AMQP over TLS: TLS 1.0 and 1.1 are broken (RFC 8996).",
        ),
        Line(key="ssl_options.versions.2", value="tlsv1.2", reason="For clients that have no TLS 1.3."),
    ]
    return lines


_HEADERS = {
    "durable": "The queue survives a restart of the broker.",
    "auto-delete": "An auto-delete queue goes with its last consumer, and a cut link makes it go.",
    "exclusive": "RabbitMQ 4 makes the queue exclusive by default, and such a queue goes with its connection.",
    "x-expires": "A tab that never comes back leaves its queue for so many milliseconds, and no longer.",
    "ack": "A message is gone from the queue once the page has handled it, not once it was sent.",
    "x-queue-name": "The page's own queue, found again after a cut. The id is what keeps other pages out: "
    "crypto.randomUUID(), kept in sessionStorage.",
    "prefetch-count": "So many messages are with the page at a time; the others wait in the queue.",
}


def headers(contract: Contract) -> list[Line]:
    """SUBSCRIBE's headers, each with its reason."""
    tab = contract.tab
    said = {**tab.headers, "ack": tab.ack, "x-queue-name": tab.queue}
    if tab.prefetch:
        said["prefetch-count"] = str(tab.prefetch)
    return [Line(key=key, value=value, reason=_HEADERS.get(key, "The contract's own.")) for key, value in said.items()]


def hashed(made: dict[str, Any], salt: bytes) -> dict[str, Any]:
    """Definitions that hold the passwords' hashes and not the passwords.

    Source: https://www.rabbitmq.com/docs/passwords#computing-password-hash

    Args:
        made: as :func:`definitions` returns it.
        salt: four random bytes.
    """

    def of(user: dict[str, Any]) -> dict[str, Any]:
        digest = hashlib.sha256(salt + user["password"].encode()).digest()
        kept = {key: value for key, value in user.items() if key != "password"}
        return {
            **kept,
            "password_hash": base64.b64encode(salt + digest).decode(),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
        }

    return {**made, "users": [of(user) for user in made["users"]]}


def tls_settings() -> list[Line]:
    """What belongs to a ``wss://`` listener, besides its port, certificate and key."""
    return [
        Line(key="web_stomp.ssl.versions.1", value="tlsv1.3", reason="TLS 1.0 and 1.1 are broken (RFC 8996)."),
        Line(key="web_stomp.ssl.versions.2", value="tlsv1.2", reason="For browsers that have no TLS 1.3."),
    ]
