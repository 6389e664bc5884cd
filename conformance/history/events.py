"""The events of a history.

Every event has ``index`` (dense from 0 in recording order) and ``time_ns`` (one monotonic clock,
nanoseconds since the run began). Names are past tense. ``message_id`` is the AMQP message-id;
``body_digest`` is :func:`digest` of the body's bytes: each body that the engine publishes is unique,
so the digest alone identifies a message whose id was changed on the way.

A *session* is one connection of a tab: ``1`` for the first, counting up over reconnects, reloads and
duplicated pages of the same tab id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

__all__ = [
    "EVENT_TYPES",
    "Attempted",
    "BrokerChanged",
    "ClockAdvanced",
    "ConfirmSeen",
    "Event",
    "FaultBegan",
    "FaultEnded",
    "FaultFired",
    "HarnessFailed",
    "Misbehaviour",
    "PublishConfirmed",
    "PublishFailed",
    "PublishInvoked",
    "PublishNacked",
    "PublishReturned",
    "PublishSeen",
    "PublishUnknown",
    "PublisherClosed",
    "PublisherClosing",
    "PublisherMisbehaved",
    "QueueObserved",
    "Quiesced",
    "ResourceDestroyed",
    "ReturnSeen",
    "StepBegan",
    "TabAcked",
    "TabClosed",
    "TabConnected",
    "TabDelivered",
    "TabDisconnected",
    "TabHandled",
    "TabOpened",
    "TabRefused",
    "TabSubscribed",
    "digest",
]


def digest(body: bytes) -> str:
    """The body's fingerprint in events: the first 16 hex digits of its BLAKE2b hash."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event has."""

    type: ClassVar[str]
    index: int
    time_ns: int


# --- the publisher, as it reports itself ---------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishInvoked(Event):
    """``publish`` was called. ``exchange`` is the name at the broker; ``publisher`` names the caller.

    ``properties`` are the AMQP properties that it was given to publish with, and ``timeout_s`` the time that it was
    given for it; None: none.
    """

    type: ClassVar[str] = "publish_invoked"
    publisher: str
    message_id: str
    exchange: str
    routing_key: str
    body_digest: str
    size_bytes: int
    properties: dict[str, Any] | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishConfirmed(Event):
    """``publish`` returned: the publisher says that the broker confirmed and routed it."""

    type: ClassVar[str] = "publish_confirmed"
    publisher: str
    message_id: str
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReturned(Event):
    """The publisher says that the broker returned the message: no queue was bound for it."""

    type: ClassVar[str] = "publish_returned"
    publisher: str
    message_id: str
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishNacked(Event):
    """The publisher says that the broker nacked the message."""

    type: ClassVar[str] = "publish_nacked"
    publisher: str
    message_id: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishUnknown(Event):
    """The publisher can't tell: the deadline passed or the link was lost after the message was written."""

    type: ClassVar[str] = "publish_unknown"
    publisher: str
    message_id: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishFailed(Event):
    """The publisher says that the message was certainly never sent."""

    type: ClassVar[str] = "publish_failed"
    publisher: str
    message_id: str
    detail: str = ""


Misbehaviour = Literal[
    "died", "silent", "no_outcome", "contradicted", "unknown_id", "repeated", "late", "chatter"
]  # fmt: skip
"""How a program under test may fail to keep to the protocol: it ended by itself, gave no answer in time, answered what
is no outcome, two different outcomes, or for an id that it was not given; it answered twice the same, answered once
nobody waited any more, or wrote what is no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherMisbehaved(Event):
    """The publisher under test, a program, did not keep to the protocol; ``detail`` is a clause that says how."""

    type: ClassVar[str] = "publisher_misbehaved"
    what: Misbehaviour
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherClosing(Event):
    """The publisher is about to be asked to close, in the middle of a run."""

    type: ClassVar[str] = "publisher_closing"
    publisher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherClosed(Event):
    """Its ``close`` has returned, or raised what ``detail`` tells. The next publish is by a new one."""

    type: ClassVar[str] = "publisher_closed"
    publisher: str
    detail: str = ""


# --- the publisher's link, as the proxy in front of the broker saw it ----------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSeen(Event):
    """A whole basic.publish passed the proxy towards the broker.

    ``properties`` are those beside ``message_id`` and ``delivery_mode``, in the form that JSON can hold (see
    :mod:`conformance.world.network.properties`).
    """

    type: ClassVar[str] = "publish_seen"
    connection: int
    channel: int
    delivery_tag: int | None  # None: the channel is not in confirm mode
    message_id: str | None
    exchange: str
    routing_key: str
    mandatory: bool
    delivery_mode: int | None
    body_digest: str
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmSeen(Event):
    """A basic.ack or basic.nack passed the proxy towards the publisher, resolved to what it settles."""

    type: ClassVar[str] = "confirm_seen"
    connection: int
    channel: int
    kind: Literal["ack", "nack"]
    body_digests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnSeen(Event):
    """A whole basic.return passed the proxy towards the publisher."""

    type: ClassVar[str] = "return_seen"
    connection: int
    channel: int
    message_id: str | None
    body_digest: str
    reply_text: str


# --- the tabs ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TabOpened(Event):
    """A tab (a page with an id of its own) was opened. ``client`` is the STOMP client that plays it."""

    type: ClassVar[str] = "tab_opened"
    tab: str
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TabConnected(Event):
    """The broker answered CONNECTED. ``heart_beat_ms`` is (what we send, what we expect) as negotiated."""

    type: ClassVar[str] = "tab_connected"
    tab: str
    session: int
    heart_beat_ms: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TabSubscribed(Event):
    """The RECEIPT of the SUBSCRIBE came: the queue is declared and bound; obligations begin here."""

    type: ClassVar[str] = "tab_subscribed"
    tab: str
    session: int
    queue: str
    exchange: str
    exchange_type: str
    binding_key: str
    destination: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TabRefused(Event):
    """The broker answered ERROR (or closed the connection) where the tab asked for something."""

    type: ClassVar[str] = "tab_refused"
    tab: str
    session: int
    during: Literal["connect", "subscribe", "subscribed"]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TabDelivered(Event):
    """A MESSAGE frame arrived; ``ack_id`` is its ``ack`` header (empty with ``ack: auto``)."""

    type: ClassVar[str] = "tab_delivered"
    tab: str
    session: int
    message_id: str | None
    body_digest: str
    ack_id: str
    redelivered: bool = False
    delivery_count: int | None = None
    persistent: bool | None = None
    routing_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TabHandled(Event):
    """The page did its work with the message (showed it): what makes an obligation met."""

    type: ClassVar[str] = "tab_handled"
    tab: str
    session: int
    message_id: str | None
    body_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TabAcked(Event):
    """The ACK frame was written to the tab's socket (which does not say that the broker has it)."""

    type: ClassVar[str] = "tab_acked"
    tab: str
    session: int
    message_id: str | None
    body_digest: str
    ack_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TabDisconnected(Event):
    """The session is over, by either side: what it had not handled is forgotten by the page.

    ``reason`` is ``left`` where the engine had the tab leave in good order: no outage.
    """

    type: ClassVar[str] = "tab_disconnected"
    tab: str
    session: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TabClosed(Event):
    """The user closed the tab for good: nothing is owed to it any more."""

    type: ClassVar[str] = "tab_closed"
    tab: str


# --- faults, broker, run -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultBegan(Event):
    """A fault was switched on. ``fault_id`` is unique in the run.

    ``target`` is ``tab:ID`` (the ID of the tab's other events), ``publisher`` (its link), ``program`` (the publisher
    itself, where it is one) or ``broker``.
    """

    type: ClassVar[str] = "fault_began"
    fault_id: int
    fault: str
    target: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFired(Event):
    """A fault of a link or of the program did something for the first time: recorded at that moment, before the clients
    notice."""

    type: ClassVar[str] = "fault_fired"
    fault_id: int
    fault: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEnded(Event):
    """A fault was healed. ``counts`` says what it did; ``fired`` is False where it never did anything."""

    type: ClassVar[str] = "fault_ended"
    fault_id: int
    fault: str
    target: str
    fired: bool
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerChanged(Event):
    """The broker's node changed state; ``uptime_ms`` is its own, where known."""

    type: ClassVar[str] = "broker_changed"
    state: Literal["down", "up"]
    how: str
    uptime_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAdvanced(Event):
    """The broker's clock was moved on: so much time has gone by for it and for nobody else."""

    type: ClassVar[str] = "clock_advanced"
    by_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceDestroyed(Event):
    """An administrator is about to destroy something (recorded right before): what goes with it is not lost by the
    setup.

    ``what`` is ``queue`` (with all in it and its bindings, until a tab subscribes again), ``messages`` (what is ready
    in a queue) or ``exchange`` (with its bindings); ``name`` is its name at the broker, ``by`` the fault's.
    """

    type: ClassVar[str] = "resource_destroyed"
    what: Literal["queue", "messages", "exchange"]
    name: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueObserved(Event):
    """What the broker says of a tab's queue. ``None``: not known by the means at hand.

    ``when`` is ``subscribed`` (right after a TabSubscribed), ``away`` (the tab is cut) or ``end`` (the
    tabs have left; ``ready`` is then exact and holds what was never acked).
    """

    type: ClassVar[str] = "queue_observed"
    when: Literal["subscribed", "away", "end"]
    tab: str
    queue: str
    exists: bool
    ready: int | None = None
    unacked: int | None = None
    consumers: int | None = None
    durable: bool | None = None
    exclusive: bool | None = None
    auto_delete: bool | None = None
    queue_type: str | None = None
    arguments: dict[str, Any] | None = None
    policy: str | None = None
    operator_policy: str | None = None
    effective_policy: dict[str, Any] | None = None
    operator_definition: dict[str, Any] | None = None
    default_delivery_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted(Event):
    """A hostile page tried something with the tab's credentials.

    ``attempt`` is the kind, ``what`` the try in words, ``words`` what the broker said, ``effect`` what was seen of it.
    ``outcome``: ``allowed`` where the broker took it or its effect was seen; ``tolerated`` where that is so and no
    RabbitMQ of this version can refuse it (``effect`` says what protects all the same); ``unmade`` where it could not
    be tried. ``tags`` are those of the tab's user, where known.
    """

    type: ClassVar[str] = "attempted"
    attempt: str
    what: str
    outcome: Literal["refused", "allowed", "tolerated", "unmade"]
    words: str = ""
    effect: str = ""
    login: str = ""
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBegan(Event):
    """The engine began a step of the scenario; ``step`` counts from 0."""

    type: ClassVar[str] = "step_began"
    step: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiesced(Event):
    """The run's final wait is over. ``reached`` is False where the deadline ended it."""

    type: ClassVar[str] = "quiesced"
    reached: bool
    waited_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessFailed(Event):
    """The suite itself failed: the run is inconclusive."""

    type: ClassVar[str] = "harness_failed"
    error: str


EVENT_TYPES: dict[str, type[Event]] = {
    cls.type: cls
    for cls in (
        PublishInvoked, PublishConfirmed, PublishReturned, PublishNacked, PublishUnknown, PublishFailed,
        PublisherMisbehaved, PublisherClosing, PublisherClosed,
        PublishSeen, ConfirmSeen, ReturnSeen,
        TabOpened, TabConnected, TabSubscribed, TabRefused, TabDelivered, TabHandled, TabAcked,
        TabDisconnected, TabClosed,
        FaultBegan, FaultFired, FaultEnded, BrokerChanged, ClockAdvanced, ResourceDestroyed, QueueObserved, StepBegan,
        Quiesced, Attempted, HarnessFailed,
    )
}  # fmt: skip
"""Every event class by the name that stands in its line's ``type``."""
