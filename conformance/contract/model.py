"""The contract as data: every key optional, unknown keys refused; the defaults are the recommended recipe.

Durations are seconds here and text (``"1h"``, ``"10s"``, ``"250ms"``) in the file. This module knows types and
ranges; which values can't stand together is :mod:`conformance.contract.sense`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationInfo, field_validator

from conformance.contract.duration import Duration, DurationOrNever

__all__ = [
    "PROMISED",
    "AcceptedSection",
    "BrokerSection",
    "Contract",
    "Exchange",
    "LimitsSection",
    "Offer",
    "PromiseSection",
    "PublisherSection",
    "Survivable",
    "TabSection",
]

Survivable = Literal[
    "cut", "reload", "ghost", "flapping", "broker-restart", "broker-kill", "broker-pause", "alarm", "administrator",
    "limits", "disk-full",
]  # fmt: skip
"""Links: ``cut`` … ``flapping``. The broker: ended and started again, or standing still; memory and disk ``alarm``;
what an ``administrator`` does; ``limits`` of connections and open files; a full disk without an alarm."""

PROMISED: frozenset[Survivable] = frozenset(get_args(Survivable)) - {"disk-full"}
"""What is promised by default: all but what RabbitMQ itself does not hold. A disk that is really full has RabbitMQ 4
lose confirmed messages, whatever the setup; its disk alarm is there to keep it from that
(https://www.rabbitmq.com/docs/disk-alarms)."""

Offer = Literal["properties", "timeout", "failover"]
"""What a publisher may be able to do beyond publishing and closing: it takes AMQP ``properties`` for a message, a
``timeout`` for a call, and further addresses of the broker (``failover``). Only what it offers is asked of it."""

_BUILT_IN_EXCHANGES: dict[str, dict[str, Any]] = {
    "pubsub": {"name": "durable-websocket-pubsub", "type": "topic"},
    "broadcast": {"name": "durable-websocket-broadcast", "type": "fanout"},
}


def _header_text(value: Any) -> Any:
    """STOMP headers are text: ``true`` and ``86400000`` in the file are as good as ``"true"`` and ``"86400000"``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


_Name = Annotated[str, Field(min_length=1)]
_HeaderText = Annotated[str, BeforeValidator(_header_text)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )


class BrokerSection(_Section):
    """Which broker and with what settings; file names are relative to the contract's own folder."""

    image: _Name = "rabbitmq:4-management"
    conf: _Name | None = None
    definitions: _Name | None = None


class Exchange(_Section):
    """An exchange that the publisher declares (or, ``passive``, only looks for)."""

    name: _Name
    type: Literal["topic", "fanout", "direct"] = "topic"
    durable: bool = True
    passive: bool = False


class TabSection(_Section):
    """How a tab connects and subscribes."""

    exchange: str = "pubsub"
    routing_keys: Annotated[list[str], Field(min_length=1)] = ["ticks", "news.sport"]
    destination: str = "/exchange/{exchange}/{routing_key}"
    queue: _Name = "web-client-{tab}"
    ack: Literal["client-individual", "client", "auto"] = "client-individual"
    heart_beat: Duration = 10.0
    prefetch: Annotated[int, Field(ge=0, le=65535)] = 50
    login: str = "guest"
    passcode: str = "guest"
    headers: dict[_Name, _HeaderText] = {
        "durable": "true",
        "auto-delete": "false",
        "exclusive": "false",
        "x-expires": "86400000",
    }


class PublisherSection(_Section):
    """The publisher under test; neither ``python`` nor ``command`` means ``durable_ws``."""

    python: _Name | None = None
    command: Annotated[list[str], Field(min_length=1)] | None = None
    via: Literal["amqp", "management"] = "amqp"
    """What ``RABBITMQ_URL`` (a factory's argument) names: ``management`` is for those that publish over HTTP."""
    timeout: Duration = 30.0
    """How long a message may take to have an outcome; one that takes longer counts as unknown."""
    offers: list[Offer] | None = None
    """None: what is known of it (:func:`conformance.world.publisher.offers.offers_of`)."""


class PromiseSection(_Section):
    """What the setup promises; each is checked."""

    longest_outage: Duration = 3600.0
    survives: Annotated[
        frozenset[Survivable], Field(strict=False), PlainSerializer(sorted, return_type=list[str], when_used="json")
    ] = PROMISED
    recovery: Duration = 60.0
    order: bool = False
    isolation: bool = True
    hostile_tab: bool = False
    abandoned_queues_expire: DurationOrNever = 48 * 3600.0


class AcceptedSection(_Section):
    """A deviation that is known and accepted: a check that it names may be violated so, and is told as such.

    It accepts one ``kind`` of violation with one ``cause``, as the report names them. With a check's id in ``case``
    either may be left out: then it accepts what is violated there only where that is unambiguous. A glob of ids must
    name both. ``until`` is the last day on which it holds, None: for good.
    """

    case: _Name
    kind: Annotated[_Name | None, Field(validate_default=True)] = None
    cause: Annotated[_Name | None, Field(validate_default=True)] = None
    reason: str
    until: Annotated[dt.date | None, Field(strict=False)] = None

    @field_validator("kind", "cause")
    @classmethod
    def _of_a_glob(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and any(char in info.data.get("case", "") for char in "*?["):
            raise ValueError(
                f"{info.data['case']!r} is a glob, so it must say what it accepts in all these checks; "
                f"write the {info.field_name} that the report tells of"
            )
        return value

    @field_validator("reason")
    @classmethod
    def _is_said(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("no reason is given; say why the deviation is accepted: it stands in every report")
        return value


class LimitsSection(_Section):
    """What the broker is set up to hold a hostile page to (``promise.hostile_tab``); None: not promised."""

    connections: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Of the tabs' user at a time (https://www.rabbitmq.com/docs/user-limits)."""
    queues: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Of the vhost (https://www.rabbitmq.com/docs/vhosts#limits)."""
    frame_bytes: Annotated[int, Field(ge=4096, le=512 * 1024 * 1024)] | None = None
    """Of one WebSocket frame (``web_stomp.ws_opts.max_frame_size``)."""
    silence: Duration | None = None
    """How long a connection may say nothing (``web_stomp.ws_opts.idle_timeout``)."""
    topic_permissions: bool = False
    """A tab binds to ``tab.routing_keys`` alone (https://www.rabbitmq.com/docs/access-control#topic-authorisation)."""


class Contract(_Section):
    """The whole contract; ``Contract()`` is the recommended recipe without its security (see ``recommended``)."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    broker: BrokerSection = BrokerSection()
    exchanges: Annotated[dict[_Name, Exchange], Field(min_length=1)] = {
        key: Exchange(**fields) for key, fields in _BUILT_IN_EXCHANGES.items()
    }
    tab: TabSection = TabSection()
    publisher: PublisherSection = PublisherSection()
    promise: PromiseSection = PromiseSection()
    accepted: list[AcceptedSection] = []
    limits: LimitsSection = LimitsSection()

    @field_validator("exchanges", mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        """What an exchange's section leaves out is the built-in's of that key; another's name is its key."""
        if not isinstance(value, Mapping):
            return value
        return {
            key: {**_BUILT_IN_EXCHANGES.get(key, {"name": key}), **given} if isinstance(given, Mapping) else given
            for key, given in value.items()
        }
