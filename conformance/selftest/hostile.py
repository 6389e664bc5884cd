"""Worlds in which a hostile page can do what it should not, and two in which it can't."""

from __future__ import annotations

from conformance.selftest.world import Access, World

__all__ = ["BROKEN", "SOUND"]

_EVERYTHING = ".*"

BROKEN = (
    World(
        id="tabs-are-guest",
        why="The tabs log in as guest, RabbitMQ's administrator.",
        contract={"promise": {"hostile_tab": True}},
        checks=("security/management",),
        kind="allowed",
        cause="administrator-user",
    ),
    World(
        id="tabs-are-administrators",
        why="The tabs' user is tagged administrator.",
        access=Access(tags="administrator"),
        checks=("security/management",),
        kind="allowed",
        cause="administrator-user",
    ),
    World(
        id="tabs-are-let-into-management",
        why="The tabs' user is tagged management.",
        access=Access(tags="management"),
        checks=("security/management",),
        kind="allowed",
        cause="management-tag",
    ),
    World(
        id="permissions-of-everything",
        why="The tabs' user has the permissions .* that every tutorial gives.",
        access=Access(configure=_EVERYTHING, write=_EVERYTHING, read=_EVERYTHING),
        checks=("security/foreign-queue", "security/declare", "security/learn-names"),
        kind="allowed",
        cause="permissions-too-wide",
    ),
    World(
        id="tabs-may-publish",
        why="The tabs' user has write permission on the exchange.",
        access=Access(write="^(durable-ws-)?tabs-may-publish"),
        checks=("security/publish",),
        kind="allowed",
        cause="publish-permission",
    ),
    World(
        id="tabs-may-send-to-queues",
        why="The tabs' user has write permission on amq.default, through which SEND reaches every queue.",
        access=Access(write="^(tabs-may-send-to-queues-.*|amq.default)$"),
        checks=("security/send-to-queue",),
        kind="allowed",
        cause="publish-permission",
    ),
    World(
        id="tabs-may-delete-queues",
        why="With read on amq.topic an UNSUBSCRIBE deletes the queue of another tab.",
        access=Access(read="^(durable-ws-)?tabs-may-delete-queues|^amq.topic$"),
        checks=("security/known-queue",),
        kind="allowed",
        cause="permissions-too-wide",
    ),
    World(
        id="tabs-may-declare-anything",
        why="The tabs' user may declare queues of any name.",
        access=Access(configure=_EVERYTHING),
        checks=("security/declare",),
        kind="allowed",
        cause="permissions-too-wide",
    ),
    World(
        id="no-topic-permissions",
        why="Each tab may bind to #.",
        access=Access(topic=""),
        checks=("security/other-keys",),
        kind="allowed",
        cause="no-topic-permissions",
    ),
    World(
        id="topic-permissions-too-wide",
        why="The topic permission is not anchored at its end: ticks lets ticks-secret in.",
        access=Access(topic="^(ticks|news)"),
        checks=("security/other-keys",),
        kind="allowed",
        cause="no-topic-permissions",
    ),
    World(
        id="guessable-queue-name",
        why="The queue's name holds nothing that only the tab knows.",
        access=Access(),
        contract={"tab": {"queue": "guessable-queue-name"}},
        checks=("security/guessed-queue",),
        kind="allowed",
        cause="guessable-queue-name",
    ),
    World(
        id="no-connection-limit",
        why="Nothing limits the connections of the tabs' user.",
        access=Access(connections=False),
        contract={"limits": {"connections": 8}},
        checks=("security/connections",),
        kind="allowed",
        cause="no-connection-limit",
    ),
    World(
        id="no-queue-limit",
        why="Nothing limits the queues of the vhost.",
        access=Access(),
        contract={"limits": {"queues": 40}},
        checks=("security/queues",),
        kind="allowed",
        cause="no-queue-limit",
    ),
    World(
        id="queues-for-ever",
        why="A page that leaves x-expires out leaves queues behind for ever.",
        access=Access(expiry=False),
        checks=("security/everlasting-queue",),
        kind="allowed",
        cause="no-expiry-policy",
    ),
    World(
        id="another-vhost-is-open",
        why="The tabs' user has permissions in another vhost, left over from a trial.",
        access=Access(vhost=True),
        checks=("security/other-vhost",),
        kind="allowed",
        cause="vhost-permission",
    ),
    World(
        id="guest-from-anywhere",
        why="loopback_users = none, as many an image has it.",
        access=Access(),
        careless=True,
        checks=("security/guest",),
        kind="allowed",
        cause="guest-from-anywhere",
    ),
    World(
        id="frames-of-any-size",
        why="Nothing limits the size of a frame.",
        access=Access(),
        careless=True,
        contract={"limits": {"frame_bytes": 65_536}},
        checks=("security/oversize",),
        kind="allowed",
        cause="no-frame-limit",
    ),
    World(
        id="silence-for-ever",
        why="A silent connection is kept for ten minutes, and three seconds are promised.",
        access=Access(),
        careless=True,
        contract={"tab": {"heart_beat": "1s"}, "limits": {"silence": "3s"}},
        checks=("security/silence",),
        kind="allowed",
        cause="no-idle-timeout",
    ),
    World(
        id="tls-1.1",
        why="The listener speaks TLS 1.1 for the sake of old clients.",
        access=Access(),
        careless=True,
        checks=("security/old-tls",),
        kind="allowed",
        cause="old-tls",
    ),
)
"""Each lets one thing through."""

_HELD = (
    "security/publish",
    "security/send-to-queue",
    "security/foreign-queue",
    "security/known-queue",
    "security/guessed-queue",
    "security/learn-names",
    "security/other-keys",
    "security/declare",
    "security/everlasting-queue",
    "security/connections",
    "security/other-vhost",
    "security/malformed",
    "security/heart-beats",
    "security/management",
    "delivery/steady",
    "reconnection/published-while-away",
)

SOUND = (
    World(
        id="recommended-definitions",
        why="The recommended definitions and settings: all is refused, and deliveries go on.",
        access=Access(),
        contract={"limits": {"frame_bytes": 65_536, "silence": "30s"}},
        checks=(*_HELD, "security/oversize", "security/silence", "security/old-tls"),
    ),
    World(
        id="recommended-definitions-with-other-names",
        why="The same with other names and keys.",
        access=Access(),
        contract={
            "exchanges": {"pubsub": {"name": "události/über.alles"}},
            "tab": {"queue": "prohlížeč {tab}/q", "routing_keys": ["č.á", "ceny.*"]},
        },
        checks=_HELD,
    ),
)
"""Nothing is let through, and deliveries go on."""
