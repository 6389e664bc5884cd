"""The diagnosis: why a rule was broken, from the events alone.

:data:`CAUSES` is a table. A cause holds a test, which looks at the circumstances of one violation and says in a
clause why it is the cause, or None; the first cause whose test speaks is the one. Surest evidence first: what passed
on the wire, then what the page did, then what the broker says of the queue, then what can only be inferred.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.checker.asked import drops_silently
from conformance.checker.effective import Effective, effective
from conformance.checker.openings import OPENINGS, Opening
from conformance.checker.state import NEVER, Message, Receipt, State, Tab, fault_between
from conformance.checker.verdict import Kind
from conformance.contract.duration import text_of
from conformance.contract.model import Contract
from conformance.history.events import Attempted

__all__ = ["CAUSES", "DELIVERY_LIMIT", "Cause", "Circumstances", "diagnose", "promises_restarts"]

DELIVERY_LIMIT = 20
"""How often a quorum queue of RabbitMQ 4 delivers a message before it drops it, unless a policy says otherwise."""

_SEEN_BEFORE_MS = 5000.0
"""How much longer than the tab itself the broker may take the tab to have been away."""
_QUEUES = "https://www.rabbitmq.com/docs/queues"
_STOMP = "https://www.rabbitmq.com/docs/stomp"
_TTL = "https://www.rabbitmq.com/docs/ttl"
_CONFIRMS = "https://www.rabbitmq.com/docs/confirms"
_WAIT_FOR_ACKS = "Put the channel into confirm mode and wait for the ack of each message before you call it sent."


@dataclass(slots=True, eq=False)
class Circumstances:
    """A violation before it has a cause. ``digest`` and ``message_id`` are the stray's where ``message`` is None."""

    kind: Kind
    index: int
    state: State
    contract: Contract
    message: Message | None = None
    tab: Tab | None = None
    digest: str | None = None
    message_id: str | None = None
    attempt: Attempted | None = None

    @property
    def name(self) -> str | None:
        """The message-id: as published, or as a stray bore it."""
        return self.message_id if self.message is None else self.message.message_id

    @property
    def body_digest(self) -> str | None:
        """The body's digest: the stray's, else as published."""
        return self.digest or (None if self.message is None else self.message.digest)

    @property
    def receipt(self) -> Receipt:
        """What became of the message at the tab; an empty one if it never came."""
        if self.message is None or self.tab is None:
            return Receipt()
        return self.message.receipts.get(self.tab) or Receipt()

    @property
    def queue_gone(self) -> bool:
        """Whether the tab's queue was seen not to exist, or the message was returned for want of one."""
        seen = self.tab is not None and self.tab.last_seen is not None and not self.tab.last_seen.exists
        return self.returned or seen

    @property
    def returned(self) -> bool:
        """Whether the broker returned the message, as the publisher says or the wire shows."""
        m = self.message
        return m is not None and (m.outcome == "returned" or 0 < m.seen <= m.returns)

    def setting(self, name: str) -> bool | None:
        """Whether the tab's queue is ``durable``, ``exclusive`` or ``auto_delete``.

        As the broker says; where it was not asked, as SUBSCRIBE asked for; None where that says nothing.
        """
        if self.tab is None:
            return None
        seen: bool | None = getattr(self.tab.observed, name, None)
        if seen is None and (asked := self.tab.headers.get(name.replace("_", "-"))) is not None:
            seen = asked == "true"
        return seen

    def effective(self, key: str) -> Effective | None:
        """The setting that holds for the queue: as the broker says; where it was not asked, as SUBSCRIBE asked for."""
        return None if self.tab is None else effective(self.tab.observed, key, self.tab.headers)

    def broker_down_since(self, index: int) -> bool:
        """Whether the broker went down after ``index``."""
        return any(down > index for down in self.state.downs)

    @property
    def queue(self) -> str:
        """The tab's queue, for a sentence."""
        return "its queue" if self.tab is None or not self.tab.queue else f"its queue {self.tab.queue}"


Test = Callable[[Circumstances], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause: for which kinds of violation, how it is told, what to change and why, and who says so."""

    slug: str
    kinds: frozenset[Kind]
    test: Test
    advice: str | Callable[[Circumstances], str]
    source: str = ""

    def advise(self, circumstances: Circumstances) -> str:
        """What to change there."""
        return self.advice if isinstance(self.advice, str) else self.advice(circumstances)


def diagnose(circumstances: Circumstances) -> tuple[Cause, str]:
    """The first cause in :data:`CAUSES` whose test speaks, with what it says. The last one always does."""
    for cause in CAUSES:
        if circumstances.kind in cause.kinds and (because := cause.test(circumstances)):
            return cause, because
    raise AssertionError("the last cause speaks for every kind")


def promises_restarts(contract: Contract) -> bool:
    """Whether messages must survive the end of the broker's node."""
    return bool(contract.promise.survives & {"broker-restart", "broker-kill"})


# --- what passed on the wire, and what the publisher made of it ----------------------------------


def _body_altered(c: Circumstances) -> str | None:
    if c.message is None:
        return None
    if c.message.wire_altered:
        return "the publisher sent another body under the message's id"
    return "another body came under the message's id" if c.receipt.altered else None


def _written_late(c: Circumstances) -> str | None:
    if c.state.wire and c.message is not None and c.message.confirmed_early:
        return (
            "the publisher said that it was confirmed before the broker had acked it, so that what it was told next "
            "could come before it"
        )
    return None


def _publisher_dropped(c: Circumstances) -> str | None:
    m = c.message
    if m is not None and m.outcome == "confirmed" and c.state.wire and not m.seen:
        return "the publisher said that it was confirmed, but no such message ever left it"
    return None


def _never_arrived(c: Circumstances) -> str | None:
    """It may have been written, but to a link that did not carry it, by a publisher that did not wait for the ack."""
    m = c.message
    if m is None or not _publisher_dropped(c):
        return None
    said = "the publisher said that it was confirmed, but it never came to the broker"
    if c.state.unasked:
        return f"{said}: the publisher does not ask for confirms"
    if fault_between(c.state.publisher_faults, m.invoked, m.settled):
        return f"{said}: the publisher's link was at fault, and it did not wait for the ack"
    if fault_between(c.state.broker_faults, m.invoked, m.settled):
        return f"{said}: the broker was at fault, and the publisher did not wait for the ack"
    return None


def _never_acked_by_broker(c: Circumstances) -> str | None:
    m = c.message
    if m is not None and m.outcome == "confirmed" and c.state.wire and m.seen and not m.acks:
        return "the publisher said that it was confirmed, but the broker never acked it"
    return None


def _wrong_routing_key(c: Circumstances) -> str | None:
    if c.message is None or c.message.wire_route is None:
        return None
    (exchange, key), (asked_exchange, asked_key) = c.message.wire_route, c.message.route
    if exchange != asked_exchange:
        return f"the publisher sent it to exchange {exchange!r}, not to {asked_exchange!r} as it was asked to"
    return f"the publisher sent it with routing key {key!r}, not {asked_key!r} as it was asked to"


def _new_id(c: Circumstances) -> str | None:
    m = c.message
    if m is None or m.other_id is None:
        return None
    return f"the same body came under {'no id' if not m.other_id else f'the id {m.other_id}'}"


def _return_swallowed(c: Circumstances) -> str | None:
    m = c.message
    if m is not None and m.outcome == "confirmed" and c.returned:
        return "the broker returned it as unroutable before it confirmed it, and the publisher did not say so"
    return None


def _nack_ignored(c: Circumstances) -> str | None:
    m = c.message
    if m is not None and m.outcome == "confirmed" and m.nacks and not m.acks:
        return "the broker refused it with a nack, and the publisher said that it was confirmed"
    return None


def _properties_changed(c: Circumstances) -> str | None:
    m = c.message
    return f"it was not published as it was asked to: {m.wire_changed}" if m is not None and m.wire_changed else None


def _deadline_missed(c: Circumstances) -> str | None:
    m = c.message
    if m is None or m.timeout_ns is None or not m.overdue(c.state.end_ns):
        return None
    given = f"it was given {m.timeout_ns / 1e9:g} s"
    if m.outcome is None:
        return f"{given} and never ended"
    return f"{given} and took {(m.settled_ns - m.invoked_ns) / 1e9:.1f} s"


def _closed_too_soon(c: Circumstances) -> str | None:
    if c.message is None or not c.message.cut_off:
        return None
    return f"it was under way as the publisher was asked to close, and ended as {c.message.outcome or 'nothing'}"


def _unconfirmed(c: Circumstances) -> str | None:
    m = c.message
    if m is None or m.outcome != "confirmed" or not m.confirmed_early:
        return None
    if c.state.unasked and not m.acks:
        return "the publisher said that it was confirmed, but never asked the broker for confirms on its channel"
    return "the publisher said that it was confirmed before the broker's ack came"


def _not_mandatory(c: Circumstances) -> str | None:
    m = c.message
    if m is not None and m.optional and not c.state.bindings_ever.match(*m.route):
        return "nobody was ever bound for it, which the broker does not tell without the mandatory flag"
    return None


def _sent_transient(c: Circumstances) -> str | None:
    if c.message is None or not c.message.transient:
        return None
    if c.kind == "misreported":
        return "it was sent with a delivery mode that does not survive a restart of the broker, which is promised"
    if c.broker_down_since(c.message.invoked):
        return "it was not persistent, and the broker went down before the tab had it"
    return None


def _failed_but_delivered(c: Circumstances) -> str | None:
    if c.message is not None and c.message.outcome == "failed":
        return "the publisher said that it was certainly never sent, but a tab has it"
    return None


def _never_published(c: Circumstances) -> str | None:
    return "nothing was published with that body or that id" if c.message is None else None


# --- what the page did ---------------------------------------------------------------------------


def _acked_unhandled(c: Circumstances) -> bool:
    return c.receipt.acked != NEVER and c.receipt.handled == NEVER


def _ack_before_handling(c: Circumstances) -> str | None:
    if c.tab is None or not _acked_unhandled(c):
        return None
    session = c.receipt.session
    if session in c.tab.ended and session not in c.tab.left:
        return "the page acked it before it had handled it, and its connection was lost in between"
    return None


def _acked_never_handled(c: Circumstances) -> str | None:
    return "the page acked it and never handled it" if _acked_unhandled(c) else None


def _never_acked(c: Circumstances) -> str | None:
    if c.tab is not None and c.tab.handled and not c.tab.acks:
        return f"the page handled {c.tab.handled} messages and acked none of them"
    return None


def _ack_auto(c: Circumstances) -> str | None:
    if c.tab is None or not c.tab.outages:
        return None
    if c.tab.headers.get("ack", c.contract.tab.ack) == "auto":
        return "the broker takes a message as acked once it is sent (ack: auto), and the tab's link was cut"
    return None


# --- what the broker says of the queue -----------------------------------------------------------


def _shared_queue(c: Circumstances) -> str | None:
    if c.tab is None or c.message is None:
        return None
    others = sorted(c.state.queues.get(c.tab.queue, set()) - {c.tab.id})
    if c.kind == "misrouted":
        meant = [o for o in others if c.state.tabs[o].is_bound(c.message.route)]
        return f"{c.queue} is that of {', '.join(meant)} as well, for which it was meant" if meant else None
    takers = [o for o in others if c.state.tabs[o] in c.message.receipts]
    return f"{c.queue} is that of {', '.join(takers)} as well, which got it instead" if takers else None


def _exclusive_queue(c: Circumstances) -> str | None:
    if c.tab is None or not c.tab.outages:
        return None
    if c.setting("exclusive"):
        return f"{c.queue} was exclusive, so the broker deleted it with all in it when the tab's connection was lost"
    default = c.setting("exclusive") is None and c.tab.destination.startswith("/exchange/")
    if default and c.queue_gone and not c.setting("auto_delete"):
        return f"{c.queue} was gone: without an exclusive header, RabbitMQ 4 makes it exclusive to the connection"
    return None


def _auto_delete_queue(c: Circumstances) -> str | None:
    if c.tab is not None and c.tab.outages and c.setting("auto_delete"):
        return f"{c.queue} was auto-delete, so the broker deleted it with all in it when the tab's connection was lost"
    return None


def _queue_expires(c: Circumstances) -> str | None:
    expires = c.effective("expires")
    if c.tab is None or not c.tab.outages or expires is None or not expires.number:
        return None
    # the broker may see the tab go a little before the tab does
    little_ms = min(expires.number / 10, _SEEN_BEFORE_MS)
    if c.tab.longest_outage_ns / 1e6 >= expires.number - little_ms:
        return (
            f"{c.queue} expired after {_lasting(expires.number)} without a consumer ({expires.source}), and the tab "
            f"was away for {_lasting(c.tab.longest_outage_ns / 1e6)}"
        )
    return None


def _lasting(milliseconds: float) -> str:
    """For a sentence: ``100 ms``, ``22h48m``."""
    return f"{milliseconds:.0f} ms" if milliseconds < 60_000 else text_of(round(milliseconds / 1000))


def _message_ttl(c: Circumstances) -> str | None:
    ttl = c.effective("message-ttl")
    if c.message is not None and ttl is not None and ttl.number is not None:
        waited_ms = (c.state.end_ns - c.message.settled_ns + c.state.advanced_since_ns(c.message.settled)) / 1e6
        if waited_ms >= ttl.number:
            return (
                f"{c.queue} keeps a message for no longer than {_lasting(ttl.number)} ({ttl.source}){_dead_letters(c)}"
            )
    return None


def _max_length(c: Circumstances) -> str | None:
    if c.tab is None or not drops_silently(c.tab.observed, c.tab.headers):
        return None
    limit = _cap(c)
    if limit is None:
        return None
    return (
        f"{c.queue} is limited to {limit.key} {limit.value} ({limit.source}) and drops its oldest messages beyond that"
        f"{_dead_letters(c)}"
    )


def _cap(c: Circumstances) -> Effective | None:
    return c.effective("max-length") or c.effective("max-length-bytes")


def _dead_letters(c: Circumstances) -> str:
    """Where what a queue drops goes, which is to no tab."""
    to = c.effective("dead-letter-exchange")
    return "" if to is None else f"; it dead-letters it to exchange {to.value!r} ({to.source})"


def _unless_policy(
    setting: Callable[[Circumstances], Effective | None], argument: str
) -> Callable[[Circumstances], str]:
    """The advice for an argument of the tab's; for what a policy sets, what to change there."""

    def advise(c: Circumstances) -> str:
        found = setting(c)
        if found is None or not found.by_policy:
            return argument
        return (
            f"Take {found.key} out of {found.source}, raise it there well above what the promise needs, or keep the "
            f"tabs' queues out of its pattern: of argument, policy and operator policy the lowest holds, so "
            "[tab.headers] can't raise it."
        )

    return advise


def _transient_exchange(c: Circumstances) -> str | None:
    if c.tab is None or not c.broker_down_since(c.tab.subscribed):
        return None
    bound_to = [exchange for exchange, _, _ in c.tab.bindings]
    route = c.message.route[0] if c.message is not None else (bound_to or [""])[0]
    for exchange in c.contract.exchanges.values():
        if not exchange.durable and (route == exchange.name or route.startswith(exchange.name + ".")):
            return f"exchange {route} is not durable: it and its bindings were gone after the broker's restart"
    exists = c.tab.last_seen is not None and c.tab.last_seen.exists
    if c.returned and exists:
        return f"{c.queue} was there after the broker's restart, but exchange {route} had lost its binding"
    return None


def _transient_queue(c: Circumstances) -> str | None:
    if c.tab is not None and c.setting("durable") is False and c.broker_down_since(c.tab.subscribed):
        return f"{c.queue} was not durable, so it was gone after the broker's restart"
    return None


def _delivery_limit(c: Circumstances) -> str | None:
    r, tab = c.receipt, c.tab
    if tab is None or c.message is None:
        return None
    kind = tab.observed.queue_type if tab.observed is not None else None
    if (kind or tab.headers.get("x-queue-type")) != "quorum":
        return None
    limit = c.effective("delivery-limit")
    most = DELIVERY_LIMIT if limit is None else limit.number
    if most is None:
        return None
    dropped = f"{c.queue} is a quorum queue, and dropped it after more than {most} deliveries without an ack"
    source = "" if limit is None else f" ({limit.source})"
    if max(r.delivery_count, r.deliveries) >= most:
        return f"{dropped}{source}: the tab saw {r.deliveries} of them"
    # A link that is cut as the message comes has the broker deliver what the tab never sees.
    cuts = sum(1 for session, index in tab.ended.items() if index > c.message.invoked and session not in tab.left)
    if cuts > most:
        return f"{dropped}{source}: the tab's connection was lost {cuts} times meanwhile"
    return None


# --- what can only be inferred -------------------------------------------------------------------


def _ghost(c: Circumstances, *, heart_beat: bool) -> str | None:
    tab = c.tab
    if tab is None or not any("blackhole" in fault.began.fault for fault in tab.faults):
        return None
    if any(any(beat) for beat in tab.heart_beats.values()) is not heart_beat:
        return None
    return "the tab's link went silent and the broker went on to deliver to the dead connection" + (
        ", for longer than the promised recovery" if heart_beat else ": without heart-beats it never notices"
    )


def _policy(c: Circumstances) -> str | None:
    """The exception: a policy applies, and what it sets could not be read."""
    seen = None if c.tab is None else c.tab.observed
    if seen is None or seen.effective_policy is not None:
        return None
    named = [
        f"{kind} {name}" for kind, name in (("policy", seen.policy), ("operator policy", seen.operator_policy)) if name
    ]
    return f"{' and '.join(named)} applies to {c.queue}, and what it sets is not known" if named else None


def _disk_full(c: Circumstances) -> str | None:
    """The broker took it for safe before or while its disk was full."""
    m = c.message
    full = [fault for fault in c.state.broker_faults if fault.began.fault == "disk_full"]
    if m is None or not any(fault.ended is None or m.invoked < fault.ended.index for fault in full):
        return None
    return "the broker's disk was full, and the broker lost what it had confirmed"


def _queue_gone(c: Circumstances) -> str | None:
    if not c.queue_gone:
        return None
    return f"{c.queue} was gone, or bound no more" + (": the broker returned the message" if c.returned else "")


def _never_resubscribed(c: Circumstances) -> str | None:
    if c.tab is None or c.message is None or c.message.digest not in c.tab.orphaned:
        return None
    return f"an administrator had deleted {c.queue} ({c.tab.destroyed_by}), and the tab never subscribed again"


def _refused(c: Circumstances) -> str | None:
    refusal = None if c.tab is None else c.tab.refused
    return f"the broker refused the tab's subscription: {refusal.detail}" if refusal is not None else None


def _no_expiry(c: Circumstances) -> str | None:
    if c.tab is None or c.effective("expires") is not None or _policy(c):
        return None
    return f"{c.queue} has no x-expires, nor does a policy give it one"


def _expires_late(c: Circumstances) -> str | None:
    expires, promised_s = c.effective("expires"), c.contract.promise.abandoned_queues_expire
    if expires is None or expires.number is None or promised_s is None or expires.number <= promised_s * 1000:
        return None
    return f"{c.queue} expires only after {_lasting(expires.number)} ({expires.source})"


def _still_consumed(c: Circumstances) -> str | None:
    seen = None if c.tab is None else c.tab.last_seen
    if seen is None or not seen.exists or not seen.consumers:
        return None
    return f"{c.queue} still has {seen.consumers} consumer{'s' * (seen.consumers != 1)}, and so does not expire"


def _unexplained(_: Circumstances) -> str | None:
    return "nothing in the history says why"


def _of(*kinds: Kind) -> frozenset[Kind]:
    return frozenset(kinds)


_ANY = _of(
    "lost", "unexpected", "misrouted", "misreported", "duplicated", "reordered", "undrained", "leaked", "refused",
    "ignored", "allowed", "unsettled",
)  # fmt: skip


def _opened_by(opening: Opening) -> Test:
    return lambda c: opening.because if c.attempt is not None and opening.is_it(c.attempt) else None


CAUSES: tuple[Cause, ...] = (
    Cause(
        slug="body-altered",
        kinds=_of("lost", "unexpected", "misreported"),
        test=_body_altered,
        advice="Send the body as it was given: whatever encodes or wraps it between publish() and the wire changes it.",
    ),
    Cause(
        slug="duplicated-under-new-id",
        kinds=_of("duplicated"),
        test=_new_id,
        advice="Publish a message again under the first attempt's message-id: a new one hides that it is the same.",
        source=f"{_CONFIRMS}#publisher-confirms",
    ),
    Cause(
        slug="publisher-reordered",
        kinds=_of("reordered"),
        test=_written_late,
        advice="Write messages in the order in which publish() was called, and return from it only after the ack: "
        "whoever is told that a message is confirmed may rely on it when he publishes the next.",
        source=f"{_QUEUES}#message-ordering",
    ),
    Cause(
        slug="message-id-changed",
        kinds=_of("unexpected"),
        test=_new_id,
        advice="Publish with the given id as the AMQP message-id: it is how a tab tells a repetition from news.",
        source="https://www.rabbitmq.com/docs/publishers#message-properties",
    ),
    Cause(
        slug="never-published",
        kinds=_of("unexpected"),
        test=_never_published,
        advice="Find out who else publishes to this exchange or queue, and keep it to one publisher.",
    ),
    Cause(
        slug="unconfirmed",
        kinds=_of("lost", "misreported"),
        test=_never_arrived,
        advice=_WAIT_FOR_ACKS,
        source=f"{_CONFIRMS}#publisher-confirms",
    ),
    Cause(
        slug="publisher-dropped",
        kinds=_of("lost", "misreported"),
        test=_publisher_dropped,
        advice="Report a message as confirmed only after it was written and the broker acked it.",
        source=f"{_CONFIRMS}#publisher-confirms",
    ),
    Cause(
        slug="wrong-routing-key",
        kinds=_of("lost", "misrouted", "misreported"),
        test=_wrong_routing_key,
        advice="Publish to the exchange and with the routing key that were asked for: they decide which tabs get it.",
    ),
    Cause(
        slug="nack-ignored",
        kinds=_of("lost", "misreported"),
        test=_nack_ignored,
        advice="Handle basic.nack: the broker did not keep the message, so report that, or publish it again.",
        source=f"{_CONFIRMS}#server-sent-nacks",
    ),
    Cause(
        slug="return-swallowed",
        kinds=_of("misreported"),
        test=_return_swallowed,
        advice="Handle basic.return: an unroutable mandatory message is returned first and confirmed after.",
        source=f"{_CONFIRMS}#when-publishes-are-confirmed",
    ),
    Cause(
        slug="unconfirmed",
        kinds=_of("misreported"),
        test=_unconfirmed,
        advice=_WAIT_FOR_ACKS,
        source=f"{_CONFIRMS}#publisher-confirms",
    ),
    Cause(
        slug="not-mandatory",
        kinds=_of("misreported"),
        test=_not_mandatory,
        advice="Publish with mandatory set: else the broker confirms what it drops for want of a queue.",
        source=f"{_CONFIRMS}#when-publishes-are-confirmed",
    ),
    Cause(
        slug="not-persistent",
        kinds=_of("lost", "misreported"),
        test=_sent_transient,
        advice="Publish with delivery_mode 2 (persistent): a durable queue alone keeps no message over a restart.",
        source=f"{_QUEUES}#durability",
    ),
    Cause(
        slug="properties-changed",
        kinds=_of("misreported"),
        test=_properties_changed,
        advice="Pass the properties on to basic.publish as they were given, each time that the message goes out.",
        source="https://www.rabbitmq.com/docs/publishers#message-properties",
    ),
    Cause(
        slug="deadline-missed",
        kinds=_of("unsettled"),
        test=_deadline_missed,
        advice="End each publish at its deadline with what is known of the message: confirmed, never sent, or unknown.",
        source=f"{_CONFIRMS}#publisher-confirms-latency",
    ),
    Cause(
        slug="closed-too-soon",
        kinds=_of("unsettled"),
        test=_closed_too_soon,
        advice="Let close() wait for the confirms of what is under way before it closes the connection.",
        source=f"{_CONFIRMS}#publisher-confirms",
    ),
    Cause(
        slug="failed-but-delivered",
        kinds=_of("misreported"),
        test=_failed_but_delivered,
        advice="Report a message as never sent only where no byte of it was written; else its outcome is unknown.",
    ),
    Cause(
        slug="subscription-refused",
        kinds=_of("refused"),
        test=lambda c: None if _transient_exchange(c) else _refused(c),
        advice="Change [tab.headers] or the destination to what this broker accepts; its answer says what it minds.",
        source=f"{_STOMP}#d",
    ),
    Cause(
        slug="never-resubscribed",
        kinds=_of("lost"),
        test=_never_resubscribed,
        advice="Let the page connect and subscribe again after an ERROR frame or a closed WebSocket: SUBSCRIBE "
        "declares and binds the queue anew.",
        source="https://www.rabbitmq.com/docs/consumers#consumer-cancellation",
    ),
    Cause(
        slug="never-acked",
        kinds=_of("undrained"),
        test=_never_acked,
        advice="Ack each message after it is handled, or the broker keeps it and delivers it again at each reconnect.",
        source=f"{_STOMP}#ack-nack",
    ),
    Cause(
        slug="ack-before-handling",
        kinds=_of("lost"),
        test=_ack_before_handling,
        advice="Let the page ack a message after it has handled it: with the ack, the broker forgets the message.",
        source=f"{_CONFIRMS}#consumer-acknowledgements",
    ),
    Cause(
        slug="acked-never-handled",
        kinds=_of("lost"),
        test=_acked_never_handled,
        advice="Let the page ack only what it has handled: with the ack, the broker forgets the message.",
        source=f"{_CONFIRMS}#consumer-acknowledgements",
    ),
    Cause(
        slug="shared-queue",
        kinds=_of("lost", "misrouted"),
        test=_shared_queue,
        advice="Give each tab a queue of its own: put {tab} into tab.queue. Consumers of one queue take turns.",
        source="https://www.rabbitmq.com/docs/consumers",
    ),
    Cause(
        slug="exclusive-queue",
        kinds=_of("lost"),
        test=_exclusive_queue,
        advice='Set tab.headers.exclusive = "false": an exclusive queue is deleted with the connection that declared '
        "it, and RabbitMQ 4 makes a subscription to /exchange/… exclusive unless told otherwise.",
        source=f"{_QUEUES}#exclusive-queues",
    ),
    Cause(
        slug="auto-delete-queue",
        kinds=_of("lost"),
        test=_auto_delete_queue,
        advice='Set tab.headers.auto-delete = "false" and clean up by x-expires alone: an auto-delete queue is deleted '
        "when its last consumer goes, and a cut link makes it go.",
        source=f"{_QUEUES}#temporary-queues",
    ),
    Cause(
        slug="queue-expires",
        kinds=_of("lost"),
        test=_queue_expires,
        advice=_unless_policy(
            lambda c: c.effective("expires"),
            "Set tab.headers.x-expires (milliseconds) well above promise.longest_outage.",
        ),
        source=f"{_TTL}#queue-ttl",
    ),
    Cause(
        slug="message-ttl",
        kinds=_of("lost"),
        test=_message_ttl,
        advice=_unless_policy(
            lambda c: c.effective("message-ttl"),
            "Leave x-message-ttl out of tab.headers, or set it (milliseconds) well above promise.longest_outage.",
        ),
        source=f"{_TTL}#per-queue-message-ttl",
    ),
    Cause(
        slug="max-length",
        kinds=_of("lost"),
        test=_max_length,
        advice=_unless_policy(
            _cap,
            "Leave x-max-length out of tab.headers, or set it above what is published in promise.longest_outage: "
            "the publisher is not told of what the queue drops.",
        ),
        source="https://www.rabbitmq.com/docs/maxlength",
    ),
    Cause(
        slug="transient-exchange",
        kinds=_of("lost", "refused"),
        test=_transient_exchange,
        advice="Declare the exchange durable (exchanges.….durable = true): a transient one ends with the broker's "
        "node, and the bindings of the tabs' queues with it.",
        source="https://www.rabbitmq.com/docs/exchanges",
    ),
    Cause(
        slug="transient-queue",
        kinds=_of("lost"),
        test=_transient_queue,
        advice='Set tab.headers.durable = "true": a transient queue does not survive a restart of the broker.',
        source=f"{_QUEUES}#durability",
    ),
    Cause(
        slug="ack-auto",
        kinds=_of("lost"),
        test=_ack_auto,
        advice='Set tab.ack = "client-individual" and ack each message after it is handled.',
        source=f"{_STOMP}#ack-nack",
    ),
    Cause(
        slug="delivery-limit",
        kinds=_of("lost"),
        test=_delivery_limit,
        advice=_unless_policy(
            lambda c: c.effective("delivery-limit"),
            "Use a classic queue, or raise the quorum queues' delivery-limit by a policy (SUBSCRIBE can't set it): "
            f"RabbitMQ 4 drops a message after {DELIVERY_LIMIT} deliveries that were not acked.",
        ),
        source="https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling",
    ),
    Cause(
        slug="ghost-without-heart-beat",
        kinds=_of("lost"),
        test=lambda c: _ghost(c, heart_beat=False),
        advice='Set tab.heart_beat (for example "10s"): only heart-beats tell the broker that a silent link is dead.',
        source=f"{_STOMP}#heartbeats",
    ),
    Cause(
        slug="ghost-outlasts-recovery",
        kinds=_of("lost"),
        test=lambda c: _ghost(c, heart_beat=True),
        advice="Lower tab.heart_beat or raise promise.recovery: the broker gives up a silent link after about three "
        "heart-beats, and only then delivers again what the link had swallowed.",
        source=f"{_STOMP}#heartbeats",
    ),
    Cause(
        slug="unconfirmed",
        kinds=_of("lost"),
        test=_never_acked_by_broker,
        advice=_WAIT_FOR_ACKS,
        source=f"{_CONFIRMS}#publisher-confirms",
    ),
    Cause(
        slug="policy",
        kinds=_of("lost", "leaked"),
        test=_policy,
        advice="Look at what the policy sets (expires, message-ttl, max-length, delivery-limit): it holds beside the "
        "arguments that the tab asks for. Name a management user who may read policies, and the suite looks itself.",
        source="https://www.rabbitmq.com/docs/parameters#policies",
    ),
    Cause(
        slug="disk-full",
        kinds=_of("lost"),
        test=_disk_full,
        advice="Never let the disk fill up: keep disk_free_limit well above what is written before publishers are "
        "blocked (the disk alarm), and watch it; or take disk-full out of promise.survives.",
        source="https://www.rabbitmq.com/docs/disk-alarms",
    ),
    Cause(
        slug="queue-gone",
        kinds=_of("lost"),
        test=_queue_gone,
        advice="Find out what deleted the queue: exclusive, auto-delete, x-expires, a policy, an operator.",
        source=f"{_QUEUES}#temporary-queues",
    ),
    Cause(
        slug="still-consumed",
        kinds=_of("leaked"),
        test=_still_consumed,
        advice='Set tab.heart_beat (for example "10s"): without heart-beats a connection that died silently goes on '
        "consuming, and a queue that is consumed never expires.",
        source=f"{_STOMP}#heartbeats",
    ),
    Cause(
        slug="queue-expires-late",
        kinds=_of("leaked"),
        test=_expires_late,
        advice="Set tab.headers.x-expires (milliseconds) to at most promise.abandoned_queues_expire.",
        source=f"{_TTL}#queue-ttl",
    ),
    Cause(
        slug="no-expiry",
        kinds=_of("leaked"),
        test=_no_expiry,
        advice="Set tab.headers.x-expires below promise.abandoned_queues_expire.",
        source=f"{_TTL}#queue-ttl",
    ),
    *(
        Cause(
            slug=opening.slug,
            kinds=_of("allowed"),
            test=_opened_by(opening),
            advice=opening.advice,
            source=opening.source,
        )
        for opening in OPENINGS
    ),
    Cause(
        slug="unexplained",
        kinds=_ANY,
        test=_unexplained,
        advice="Read the message's story below and the broker's log of that time; please report what it was.",
    ),
)
"""Every cause, in the order in which they are tried."""
