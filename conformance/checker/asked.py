"""What the broker made of a subscription: where the queue is not as SUBSCRIBE asked, and what else holds for it.

What is found has a kind where something that was asked for is not so, or where the promise can't hold with it; without
one it is only worth knowing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from conformance.checker.effective import Effective, effective
from conformance.checker.verdict import Kind
from conformance.contract.duration import text_of
from conformance.contract.model import PromiseSection
from conformance.history.events import QueueObserved

__all__ = ["ENOUGH_DELIVERIES", "OF_THE_CONSUMER", "Finding", "drops_silently", "not_as_asked", "set_by_policy"]

ENOUGH_DELIVERIES = 100
"""A tab that flaps may be cut so often before it acks, and be served still: three times what the suite tries."""

_STOMP = "https://www.rabbitmq.com/docs/stomp"
_POLICIES = "https://www.rabbitmq.com/docs/policies"
_DELIVERY_LIMIT = "https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling"
_PROPERTIES = ("durable", "exclusive", "auto-delete")
OF_THE_CONSUMER = frozenset(
    ("x-queue-name", "x-queue-type", "x-priority", "x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered")
)
"""Headers that do not become arguments of the queue."""
_BY_POLICY = frozenset(("overflow", "delivery-limit", "queue-leader-locator", "dead-letter-strategy"))
"""What STOMP does not pass on and a policy can set (https://www.rabbitmq.com/docs/policies#overview)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a tab's queue.

    Attributes:
        about: the header or setting.
        text: a clause, without a full stop.
        kind: of the violation that it is; None: it is none.
        cause: a word of its own, or one of :data:`conformance.checker.causes.CAUSES`.
        advice: what to change.
        source: where RabbitMQ's documentation says so.
    """

    about: str
    text: str
    kind: Kind | None = None
    cause: str = ""
    advice: str = ""
    source: str = ""


def not_as_asked(headers: Mapping[str, str], queue: QueueObserved, promise: PromiseSection) -> Iterator[Finding]:
    """Where the queue's properties, arguments and type are not what SUBSCRIBE asked for, or RabbitMQ's own default."""
    yield from _properties(headers, queue)
    yield from _arguments(headers, queue)
    yield from _type(headers, queue)
    limit = effective(queue, "delivery-limit")
    if limit is not None and limit.origin == "default":
        if queue.effective_policy is not None:
            yield from _delivery_limit(queue, limit, promise)
        else:
            yield Finding(
                about="delivery-limit",
                text=f"queue {queue.queue} is a quorum queue, which drops a message that was delivered more than "
                f"{limit.number} times without an ack ({limit.source}), unless a policy says otherwise: nobody could "
                "read that",
            )


def set_by_policy(headers: Mapping[str, str], queue: QueueObserved, promise: PromiseSection) -> Iterator[Finding]:
    """What policies and operator policies make of it."""
    for key, cause in (("expires", "queue-expires"), ("message-ttl", "message-ttl")):
        setting = effective(queue, key)
        if setting is not None and setting.by_policy:
            yield from _time(headers, queue, setting, cause, promise)
    for key in ("max-length", "max-length-bytes"):
        setting = effective(queue, key)
        if setting is not None and setting.by_policy:
            yield from _cap(headers, queue, setting)
    limit = effective(queue, "delivery-limit")
    if limit is not None and limit.by_policy and queue.queue_type == "quorum":
        yield from _delivery_limit(queue, limit, promise)
    dead_letter = effective(queue, "dead-letter-exchange")
    if dead_letter is not None and dead_letter.by_policy:
        yield Finding(
            about="dead-letter-exchange",
            text=f"queue {queue.queue} dead-letters what it drops to exchange {dead_letter.value!r} "
            f"({dead_letter.source}): it comes to no tab from there",
        )


def drops_silently(queue: QueueObserved | None, headers: Mapping[str, str] | None = None) -> bool:
    """Whether a full queue drops its oldest messages, instead of refusing the newest where the publisher sees it."""
    overflow = effective(queue, "overflow", headers)
    return overflow is None or not str(overflow.value).startswith("reject-publish")


# --- what SUBSCRIBE asked for --------------------------------------------------------------------


def _properties(headers: Mapping[str, str], queue: QueueObserved) -> Iterator[Finding]:
    by_default = bool(queue.exclusive) and "exclusive" not in headers
    exclusive_by_default = {
        "kind": "ignored",
        "cause": "exclusive-by-default",
        "advice": 'Set tab.headers.exclusive = "false": without it, this RabbitMQ makes the queue exclusive to the '
        "connection and not durable, and deletes it with all in it at the first cut.",
        "source": _STOMP,
    }
    for header in _PROPERTIES:
        asked, real = headers.get(header), getattr(queue, header.replace("-", "_"))
        if asked is None or real is None or (asked == "true") is real:
            continue
        text = f"queue {queue.queue} is {header}: {str(real).lower()}, but {asked} was asked for"
        if by_default:
            yield Finding(about=header, text=text, **exclusive_by_default)  # type: ignore[arg-type]
        else:
            yield Finding(
                about=header,
                text=text,
                kind="ignored",
                cause="property-overridden",
                advice=f"Find out what declares the queue with another {header} before the tab does (a client, "
                f"definitions), or ask for {header}: {str(real).lower()} in [tab.headers].",
                source=_STOMP,
            )
    if by_default:
        yield Finding(
            about="exclusive",
            text=f"queue {queue.queue} is exclusive, though nobody asked for it: it ends with the connection",
            **exclusive_by_default,  # type: ignore[arg-type]
        )


def _arguments(headers: Mapping[str, str], queue: QueueObserved) -> Iterator[Finding]:
    if queue.arguments is None:
        return
    for header, asked in sorted(headers.items()):
        if not header.startswith("x-") or header in OF_THE_CONSUMER:
            continue
        key = header.removeprefix("x-")
        if header not in queue.arguments:
            setting = effective(queue, key)
            if setting is not None and str(setting.value) == asked:
                continue  # the broker ignored the header, but a policy sets the same
            yield Finding(
                about=header,
                text=f"queue {queue.queue} has no {header}: the broker ignored that header of SUBSCRIBE",
                kind="ignored",
                cause="header-ignored",
                advice=f"{_other_way(key, header)}: RabbitMQ's STOMP plugin passes on only some arguments, and drops "
                "the others silently.",
                source=_STOMP,
            )
        elif str(queue.arguments[header]).lower() != asked.lower():
            yield Finding(
                about=header,
                text=f"queue {queue.queue} has {header} {queue.arguments[header]}, but {asked} was asked for",
                kind="ignored",
                cause="argument-overridden",
                advice=f"Find out what declares the queue with another {header} before the tab does.",
                source=_STOMP,
            )


def _other_way(key: str, header: str) -> str:
    leave = f"eave {header} out of [tab.headers]"
    if key in _BY_POLICY:
        return f"Set {key} by a policy on the tabs' queues, and l{leave}"
    return f"L{leave} (no policy can set it either)"


def _type(headers: Mapping[str, str], queue: QueueObserved) -> Iterator[Finding]:
    asked, real = headers.get("x-queue-type"), queue.queue_type
    if real is None or real == (asked or "classic"):
        return
    if asked is None:
        yield Finding(
            about="x-queue-type",
            text=f"queue {queue.queue} is a {real} queue, though SUBSCRIBE asks for no type: that is the default queue "
            "type of its vhost",
        )
        return
    yield Finding(
        about="x-queue-type",
        text=f"queue {queue.queue} is a {real} queue, but x-queue-type {asked} was asked for",
        kind="ignored",
        cause="queue-type-overridden",
        advice="Find out what declares the queue with another type before the tab does.",
        source=_STOMP,
    )


def _delivery_limit(queue: QueueObserved, limit: Effective, promise: PromiseSection) -> Iterator[Finding]:
    if limit.number is None:
        return
    text = (
        f"queue {queue.queue} is a quorum queue and drops a message that was delivered more than {limit.number} times "
        f"without an ack ({limit.source})"
    )
    if "flapping" not in promise.survives or limit.number >= ENOUGH_DELIVERIES:
        yield Finding(about="delivery-limit", text=text)
        return
    raised = (
        "Raise it by a policy (SUBSCRIBE can't set it), or use a classic queue"
        if limit.origin == "default"
        else f"Raise delivery-limit in {limit.source}, or use a classic queue"
    )
    yield Finding(
        about="delivery-limit",
        text=f"{text}, and promise.survives holds flapping",
        kind="lost",
        cause="delivery-limit",
        advice=f"{raised}: a tab that flaps may be cut {ENOUGH_DELIVERIES} times before it acks.",
        source=_DELIVERY_LIMIT,
    )


# --- what policies make of it --------------------------------------------------------------------


def _asked_for(headers: Mapping[str, str], setting: Effective) -> int | None:
    asked = headers.get(f"x-{setting.key}", "")
    return int(asked) if asked.isdecimal() else None


def _time(
    headers: Mapping[str, str], queue: QueueObserved, setting: Effective, cause: str, promise: PromiseSection
) -> Iterator[Finding]:
    if setting.number is None:
        return
    does = "goes" if setting.key == "expires" else "drops a message"
    text = f"queue {queue.queue} {does} after {text_of(setting.number / 1000)} ({setting.source} sets {setting.key})"
    asked = _asked_for(headers, setting)
    change = f"Raise {setting.key} in {setting.source}, or keep the tabs' queues out of its pattern"
    if setting.number < promise.longest_outage * 1000:
        yield Finding(
            about=setting.key,
            text=f"{text}, before promise.longest_outage ({text_of(promise.longest_outage)})",
            kind="lost",
            cause=cause,
            advice=f"{change}: of argument, policy and operator policy the lowest holds.",
            source=_POLICIES,
        )
    elif asked is not None:
        yield _overridden(setting, f"{text}, not after the {text_of(asked / 1000)} that were asked for", change)
    else:
        yield Finding(about=setting.key, text=text)


def _cap(headers: Mapping[str, str], queue: QueueObserved, setting: Effective) -> Iterator[Finding]:
    text = f"queue {queue.queue} is limited to {setting.key} {setting.value} ({setting.source})"
    asked = _asked_for(headers, setting)
    change = f"Take {setting.key} out of {setting.source}, or keep the tabs' queues out of its pattern"
    if drops_silently(queue):
        yield Finding(
            about=setting.key,
            text=f"{text} and drops its oldest messages beyond that, though they were confirmed",
            kind="lost",
            cause="max-length",
            advice=f"{change}; with overflow: reject-publish in a policy, the publisher is told of what does not fit.",
            source="https://www.rabbitmq.com/docs/maxlength",
        )
    elif asked is not None:
        yield _overridden(setting, f"{text}, not to the {asked} that was asked for", change)
    else:
        yield Finding(about=setting.key, text=f"{text} and refuses what is published beyond that")


def _overridden(setting: Effective, text: str, change: str) -> Finding:
    return Finding(
        about=setting.key,
        text=text,
        kind="ignored",
        cause="policy-overrides",
        advice=f"{change}, or ask for what it sets: of argument, policy and operator policy the lowest holds.",
        source=_POLICIES,
    )
