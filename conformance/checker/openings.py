"""What lets a hostile page do what it should not: for each kind of attempt the cause, and what to change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.history.events import Attempted

__all__ = ["OPENINGS", "Opening"]

_ACCESS = "https://www.rabbitmq.com/docs/access-control"
_RECOMMENDED = "`durable-ws recommend` writes definitions that do."


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A cause: which attempts it lets through, how that is told, what to change, and who says so."""

    slug: str
    is_it: Callable[[Attempted], bool]
    because: str
    advice: str
    source: str


def _by(*attempts: str) -> Callable[[Attempted], bool]:
    return lambda event: event.attempt in attempts


OPENINGS = (
    Opening(
        slug="administrator-user",
        is_it=lambda event: event.attempt == "management" and "administrator" in (event.tags or ()),
        because="the tabs log in as an administrator",
        advice=f"Give the tabs a user of their own without any tag. {_RECOMMENDED}",
        source="https://www.rabbitmq.com/docs/management#permissions",
    ),
    Opening(
        slug="management-tag",
        is_it=_by("management"),
        because="the tabs' user has a tag that lets it into the management API",
        advice="Take the tags away from the tabs' user (rabbitmqctl set_user_tags USER).",
        source="https://www.rabbitmq.com/docs/management#permissions",
    ),
    Opening(
        slug="publish-permission",
        is_it=_by("publish", "send-to-queue"),
        because="the tabs' user has write permission there",
        advice="Have its write permission match the names of the tabs' queues and nothing else: no exchange, and not "
        f"amq.default, through which a SEND reaches queues. {_RECOMMENDED}",
        source=f"{_ACCESS}#authorisation",
    ),
    Opening(
        slug="permissions-too-wide",
        is_it=_by("foreign-queue", "learn-names", "declare", "known-queue"),
        because="the permissions of the tabs' user match more than the tabs' own queues and exchanges",
        advice="Anchor its configure, write and read permissions to the pattern of the tabs' queues (^web-client-), "
        f"and read to the exchanges besides. {_RECOMMENDED}",
        source=f"{_ACCESS}#authorisation",
    ),
    Opening(
        slug="guessable-queue-name",
        is_it=_by("guessed-queue"),
        because="the names of the tabs' queues can be worked out, and the tabs share one user",
        advice='Put the page\'s id into tab.queue ("web-client-{tab}"), and make it long and random. '
        "RabbitMQ can't tell tabs apart that share a user, so a queue's name is its only key.",
        source=f"{_ACCESS}#authorisation",
    ),
    Opening(
        slug="no-topic-permissions",
        is_it=_by("other-keys"),
        because="no topic permission of the tabs' user holds it to the contract's routing keys",
        advice=f"Set a topic permission on the exchange that matches tab.routing_keys and nothing else. {_RECOMMENDED}",
        source=f"{_ACCESS}#topic-authorisation",
    ),
    Opening(
        slug="no-expiry-policy",
        is_it=_by("everlasting-queue"),
        because="nothing gives an expiry to a queue whose page leaves x-expires out",
        advice=f"Set an operator policy with expires on the tabs' queues. {_RECOMMENDED}",
        source="https://www.rabbitmq.com/docs/parameters#operator-policies",
    ),
    Opening(
        slug="no-connection-limit",
        is_it=_by("connections"),
        because="the tabs' user has no limit of connections, or a higher one",
        advice="Set max-connections of the tabs' user to limits.connections (rabbitmqctl set_user_limits).",
        source="https://www.rabbitmq.com/docs/user-limits",
    ),
    Opening(
        slug="no-queue-limit",
        is_it=_by("queues"),
        because="the vhost has no limit of queues, or a higher one",
        advice="Set max-queues of the vhost to limits.queues (rabbitmqctl set_vhost_limits).",
        source="https://www.rabbitmq.com/docs/vhosts#limits",
    ),
    Opening(
        slug="guest-from-anywhere",
        is_it=_by("guest"),
        because="guest is let in from elsewhere than the broker's own host",
        advice="Delete guest (rabbitmqctl delete_user guest), and leave loopback_users at its default.",
        source=f"{_ACCESS}#loopback-users",
    ),
    Opening(
        slug="vhost-permission",
        is_it=_by("other-vhost"),
        because="the tabs' user has permissions in another vhost",
        advice="Take them away (rabbitmqctl clear_permissions -p VHOST USER).",
        source=f"{_ACCESS}#authorisation",
    ),
    Opening(
        slug="no-frame-limit",
        is_it=_by("oversize"),
        because="Web-STOMP takes frames that are larger than the contract allows",
        advice="Set web_stomp.ws_opts.max_frame_size to limits.frame_bytes, and from RabbitMQ 4.3 on "
        "stomp.max_frame_size too, which it goes by.",
        source="https://www.rabbitmq.com/docs/web-stomp#websocket-options",
    ),
    Opening(
        slug="no-idle-timeout",
        is_it=_by("silence"),
        because="a connection that says nothing is kept for longer than the contract allows",
        advice="Set web_stomp.ws_opts.idle_timeout (milliseconds) to limits.silence.",
        source="https://www.rabbitmq.com/docs/web-stomp#websocket-options",
    ),
    Opening(
        slug="old-tls",
        is_it=_by("old-tls"),
        because="the listener still speaks a TLS version that is broken",
        advice="Name only tlsv1.3 and tlsv1.2 in web_stomp.ssl.versions.",
        source="https://www.rabbitmq.com/docs/ssl#disabling-tls-versions",
    ),
)
"""Every cause of what a hostile page is allowed, in the order in which they are tried."""
