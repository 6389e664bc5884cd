"""A scenario: steps as data. Knows no socket, no broker and no clock."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AddAddress",
    "AdvanceClock",
    "Attempt",
    "AttemptKind",
    "AwaitFault",
    "AwaitQueue",
    "BeginFault",
    "Behave",
    "BodyKind",
    "BrokerDown",
    "BrokerUp",
    "ClosePublisher",
    "CloseTab",
    "DuplicateTab",
    "EndFault",
    "ObserveQueue",
    "OpenTab",
    "PropertyName",
    "Publish",
    "ReloadTab",
    "Scenario",
    "Settle",
    "Step",
]


BodyKind = Literal["text", "unicode", "binary", "empty", "nul", "stomp", "line_ends"]
"""What a published body is made of (:func:`conformance.engine.bodies.make_body`)."""

AttemptKind = Literal[
    "publish", "send-to-queue", "foreign-queue", "guessed-queue", "known-queue", "learn-names", "other-keys",
    "declare", "everlasting-queue", "connections", "queues", "guest", "other-vhost", "oversize", "malformed",
    "silence", "heart-beats", "management", "old-tls",
]  # fmt: skip
"""What a hostile page may try: a module of :mod:`conformance.world.attacker` has it."""


PropertyName = Literal[
    "content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to",
    "expiration", "timestamp", "type", "user_id", "app_id", "cluster_id",
]  # fmt: skip
"""AMQP's basic properties but ``message_id``, which every message has (AMQP 0-9-1, 1.8: class basic)."""


def _unset(value: object) -> bool:
    return value is None


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OpenTab(_Step):
    """Open a tab and wait until it is subscribed (``wait`` false: do not wait)."""

    step: Literal["open_tab"] = "open_tab"
    tab: str
    exchange: str = "pubsub"
    key: str = ""
    wait: bool = True


class ReloadTab(_Step):
    """Reload the page; waits for the new subscription unless its link is at fault or the broker is down."""

    step: Literal["reload_tab"] = "reload_tab"
    tab: str


class DuplicateTab(_Step):
    """The user duplicates the tab: a second page with the same id."""

    step: Literal["duplicate_tab"] = "duplicate_tab"
    tab: str


class CloseTab(_Step):
    """The user closes the tab for good."""

    step: Literal["close_tab"] = "close_tab"
    tab: str


class Behave(_Step):
    """Change how the page treats messages: withhold acks or handling, or take ``delay_ms`` for each."""

    step: Literal["behave"] = "behave"
    tab: str
    withhold_acks: bool = False
    withhold_handling: bool = False
    delay_ms: Annotated[int, Field(ge=0, le=10_000)] = 0


class Publish(_Step):
    """Publish ``count`` messages to ``exchange`` (a key of the contract's ``[exchanges]``).

    ``pipelined``: all at once, by so many ``callers`` at a time, else one after the other. ``wait`` false: the next
    step begins at once, and the scenario's end waits for the outcomes; ``wait_s``: for so many seconds at most, None:
    as long as a publish may take. Order between two Publish steps is kept unless ``wait`` is false.

    ``properties`` and ``timeout_s`` are handed to the publisher, which must offer to take them
    (:data:`conformance.contract.model.Offer`). A ``user_id`` of ``{user}`` is whom the publisher logs in as.
    """

    step: Literal["publish"] = "publish"
    exchange: str = "pubsub"
    key: str = ""
    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    size_bytes: Annotated[int, Field(ge=0, le=16_000_000)] = 64
    body: BodyKind = "text"
    pipelined: bool = False
    wait: bool = True
    callers: Annotated[int, Field(ge=1, le=256)] = 8
    properties: dict[PropertyName, Any] | None = Field(default=None, exclude_if=_unset)
    timeout_s: Annotated[float, Field(gt=0, le=600, strict=False)] | None = Field(default=None, exclude_if=_unset)
    wait_s: Annotated[float, Field(gt=0, le=600, strict=False)] | None = Field(default=None, exclude_if=_unset)


class AddAddress(_Step):
    """Have a further address of the broker: the publisher is given it if it is made later, and must offer to take it
    (:data:`conformance.contract.model.Offer`). Faults of the publisher's link are of its first address alone."""

    step: Literal["add_address"] = "add_address"


class ClosePublisher(_Step):
    """Have the publisher closed, in the middle of whatever it does; what is published later is by a new one.

    Waits until it has closed, ``wait_s`` seconds at most: it may have to wait for what is under way.
    """

    step: Literal["close_publisher"] = "close_publisher"
    wait_s: Annotated[float, Field(gt=0, le=600, strict=False)] = 1.0


class BeginFault(_Step):
    """Switch a fault on. ``link`` is a tab (``t1``), ``publisher``, ``broker`` (the broker itself) or ``program`` (the
    publisher under test, where it is one); one fault a link at a time."""

    step: Literal["begin_fault"] = "begin_fault"
    link: str
    fault: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class AwaitFault(_Step):
    """Wait until the link's fault was seen to have happened (fired); not fired in time: inconclusive."""

    step: Literal["await_fault"] = "await_fault"
    link: str


class EndFault(_Step):
    """Heal the link; waits until a tab is subscribed again unless the broker is down."""

    step: Literal["end_fault"] = "end_fault"
    link: str


class BrokerDown(_Step):
    """End the node: ``terminate`` (SIGTERM) or ``kill`` (SIGKILL)."""

    step: Literal["broker_down"] = "broker_down"
    how: Literal["terminate", "kill"] = "terminate"


class BrokerUp(_Step):
    """Start the ended node again and wait for its handshakes."""

    step: Literal["broker_up"] = "broker_up"


class AdvanceClock(_Step):
    """Move the broker's clock on by ``by_s`` seconds in one jump."""

    step: Literal["advance_clock"] = "advance_clock"
    by_s: Annotated[float, Field(gt=0, le=4000 * 86_400, strict=False)]


class ObserveQueue(_Step):
    """Ask the broker about the tab's queue, also that of a tab that was closed for good."""

    step: Literal["observe_queue"] = "observe_queue"
    tab: str


class AwaitQueue(_Step):
    """Wait until the broker has come so far with the queue of a tab that is away; not so in time: the play goes on.

    ``until``: ``left`` (nobody consumes it, as seen twice in a row: a queue that goes with its consumer or connection
    goes a moment later, and is no longer to be published into), ``empty`` (and it holds nothing) or ``gone``; each
    holds of a queue that is gone. The broker is asked every ``every_s`` seconds: asking makes a queue with
    ``x-expires`` count as used (``gone`` does not, where management is to be had), so for such a queue that must be
    longer than its expiry.
    """

    step: Literal["await_queue"] = "await_queue"
    tab: str
    until: Literal["left", "empty", "gone"]
    every_s: Annotated[float, Field(gt=0, le=60, strict=False)] = 0.25


class Attempt(_Step):
    """A hostile page with the tab's credentials tries something; ``what`` is one of :data:`AttemptKind`."""

    step: Literal["attempt"] = "attempt"
    what: AttemptKind


class Settle(_Step):
    """Wait until every obligation so far is met (for tabs that can be reached), or the deadline."""

    step: Literal["settle"] = "settle"


Step = Annotated[
    OpenTab | ReloadTab | DuplicateTab | CloseTab | Behave | Publish | AddAddress | ClosePublisher | BeginFault
    | AwaitFault | EndFault | BrokerDown | BrokerUp | AdvanceClock | ObserveQueue | AwaitQueue | Attempt | Settle,
    Field(discriminator="step"),
]  # fmt: skip


class Scenario(BaseModel):
    """Steps with a seed. After the last step the engine heals every fault, starts a broker that is down, lets
    withheld messages go, waits for quiescence and looks into the tabs' queues."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_by_alias=True, validate_by_name=True, serialize_by_alias=True
    )

    schema_: Literal[1] = Field(default=1, alias="schema")
    seed: int = 0
    steps: Annotated[tuple[Step, ...], Field(strict=False)] = ()
