"""The story of a violation: the whole life of its message, told from the events in a second pass.

In a story are: everything about the message (by body and by id) wherever it went, what happened to the violation's
tab and its queue from its last subscription before the publish on, and every fault that was on since then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TypeAlias

from conformance.checker.verdict import StoryLine, Verdict, Violation
from conformance.contract.duration import text_of
from conformance.history.events import (
    Attempted,
    BrokerChanged,
    ClockAdvanced,
    ConfirmSeen,
    Event,
    FaultBegan,
    FaultEnded,
    PublishConfirmed,
    PublisherClosed,
    PublisherClosing,
    PublisherMisbehaved,
    PublishFailed,
    PublishInvoked,
    PublishNacked,
    PublishReturned,
    PublishSeen,
    PublishUnknown,
    QueueObserved,
    Quiesced,
    ResourceDestroyed,
    ReturnSeen,
    TabAcked,
    TabClosed,
    TabConnected,
    TabDelivered,
    TabDisconnected,
    TabHandled,
    TabRefused,
    TabSubscribed,
)

__all__ = ["MAX_LINES", "sentence", "with_stories"]

MAX_LINES = 60
"""The longest story; of a longer life the middle is left out, and how much of it is said."""

_TabEvent: TypeAlias = (
    TabConnected | TabSubscribed | TabRefused | TabDisconnected | TabClosed | QueueObserved
)  # fmt: skip
_OF_TAB = (TabConnected, TabSubscribed, TabRefused, TabDisconnected, TabClosed, QueueObserved)
_OF_MESSAGE = (
    PublishInvoked, PublishSeen, ReturnSeen, TabDelivered, TabHandled, TabAcked,
    PublishConfirmed, PublishReturned, PublishNacked, PublishUnknown, PublishFailed,
)  # fmt: skip
_OF_ALL = (
    Attempted, FaultBegan, FaultEnded, BrokerChanged, ClockAdvanced, ResourceDestroyed, PublisherMisbehaved,
    PublisherClosing, PublisherClosed, Quiesced,
)  # fmt: skip


def with_stories(verdict: Verdict, events: Iterable[Event]) -> Verdict:
    """The same verdict, its violations with their stories.

    Args:
        verdict: what ``finish`` returned.
        events: the very events it was made from, once more; read once, and not at all without violations.
    """
    if not verdict.violations:
        return verdict
    audience = _Audience([_Teller(violation) for violation in verdict.violations])
    for event in events:
        for teller in dict.fromkeys(audience.of(event)):
            teller.take(event)
    return dataclasses.replace(verdict, violations=tuple(teller.told() for teller in audience.all))


class _Audience:
    """Which stories an event belongs to."""

    def __init__(self, tellers: list[_Teller]) -> None:
        self.all = tellers
        self._by_body: dict[str, list[_Teller]] = {}
        self._by_id: dict[str, list[_Teller]] = {}
        self._by_tab: dict[str, list[_Teller]] = {}
        for teller in tellers:
            v = teller.violation
            for key, index in ((v.body_digest, self._by_body), (v.message_id, self._by_id), (v.tab, self._by_tab)):
                if key is not None:
                    index.setdefault(key, []).append(teller)

    def of(self, event: Event) -> Iterable[_Teller]:
        """The stories that the event belongs to; one may be named twice."""
        if isinstance(event, _OF_MESSAGE):
            bodies = self._by_body.get(getattr(event, "body_digest", ""), ())
            return (*bodies, *self._by_id.get(event.message_id or "", ()))
        if isinstance(event, ConfirmSeen):
            return (teller for digest in event.body_digests for teller in self._by_body.get(digest, ()))
        if isinstance(event, _OF_TAB):
            return self._by_tab.get(event.tab, ())
        if isinstance(event, FaultBegan | FaultEnded) and event.target.startswith("tab:"):
            return self._by_tab.get(event.target.removeprefix("tab:"), ())
        return self.all if isinstance(event, _OF_ALL) else ()


class _Teller:
    """Collects one story: its head, and a tail of bounded length."""

    def __init__(self, violation: Violation) -> None:
        self.violation = violation
        self._begun = violation.body_digest is None
        self._before: dict[str, Event] = {}
        self._head: list[Event] = []
        self._tail: list[Event] = []
        self._left_out = 0

    def take(self, event: Event) -> None:
        if not self._begun:
            if isinstance(event, (*_OF_MESSAGE, ConfirmSeen)):
                self._begun = True
                for earlier in sorted(self._before.values(), key=lambda earlier: earlier.index):
                    self._keep(earlier)
            else:
                self._remember(event)
                return
        self._keep(event)

    def _remember(self, event: Event) -> None:
        """Keep of the time before the message what still holds: the last subscription, the faults that are on."""
        match event:
            case FaultBegan():
                self._before[f"fault {event.fault_id}"] = event
            case FaultEnded():
                self._before.pop(f"fault {event.fault_id}", None)
            case QueueObserved():
                self._before["queue"] = event
            case TabSubscribed():
                self._before["subscribed"] = event
                self._before.pop("gone", None)
            case TabDisconnected() | TabClosed():
                self._before["gone"] = event
            case BrokerChanged():
                self._before["broker"] = event

    def _keep(self, event: Event) -> None:
        half = MAX_LINES // 2
        if len(self._head) < half:
            self._head.append(event)
            return
        self._tail.append(event)
        if len(self._tail) == 2 * half:
            del self._tail[:half]
            self._left_out += half

    def told(self) -> Violation:
        half = MAX_LINES // 2
        surplus = max(len(self._tail) - half, 0)
        tail, left_out = self._tail[surplus:], self._left_out + surplus
        lines = [_line(event) for event in self._head]
        if left_out:
            gap = tail[0]
            lines.append(StoryLine(index=gap.index, time_s=gap.time_ns / 1e9, text=f"… {left_out} more events …"))
        lines += (_line(event) for event in tail)
        return dataclasses.replace(self.violation, story=tuple(lines))


def _line(event: Event) -> StoryLine:
    return StoryLine(index=event.index, time_s=event.time_ns / 1e9, text=sentence(event))


def sentence(event: Event) -> str:
    """One event in plain words, without its index and time."""
    match event:
        case PublishInvoked() | PublishConfirmed() | PublishReturned() | PublishNacked():
            return _of_publisher(event)
        case PublishUnknown() | PublishFailed():
            return _of_publisher(event)
        case PublisherClosing():
            return "the publisher was asked to close"
        case PublisherClosed(detail=detail):
            return "the publisher has closed" + (f": {detail}" if detail else "")
        case PublishSeen() | ConfirmSeen() | ReturnSeen():
            return _on_the_wire(event)
        case TabDelivered() | TabHandled() | TabAcked():
            return _of_delivery(event)
        case TabConnected() | TabSubscribed() | TabRefused() | TabDisconnected() | TabClosed() | QueueObserved():
            return _of_tab(event)
        case _:
            return _of_the_run(event)


def _of_the_run(event: Event) -> str:
    match event:
        case FaultBegan(fault=fault, target=target):
            parameters = "".join(f" {name}={value}" for name, value in event.parameters.items())
            return f"fault {fault} began on {target}{parameters}"
        case FaultEnded(fault=fault, target=target):
            did = ", ".join(f"{name} {count}" for name, count in event.counts.items())
            return f"fault {fault} ended on {target}" + (
                f" ({did})" if did else "" if event.fired else " (it never fired)"
            )
        case Attempted(what=what, outcome=outcome):
            said = f": {event.words}" if event.words else ""
            seen = f" ({event.effect})" if event.effect else ""
            return f"a hostile page, logged in as {event.login}, tried to {what}: {outcome}{said}{seen}"
        case BrokerChanged(state=state, how=how):
            return f"the broker went {state} ({how})"
        case ClockAdvanced(by_s=by_s):
            return f"the broker's clock was moved on by {text_of(by_s)}"
        case ResourceDestroyed(what=what, name=name, by=by):
            what_of = {"queue": "queue", "messages": "all that was ready in queue", "exchange": "exchange"}[what]
            return f"an administrator was about to destroy {what_of} {name} ({by})"
        case PublisherMisbehaved(detail=detail):
            return f"the publisher's program broke the protocol: {detail}"
        case Quiesced(reached=reached, waited_s=waited):
            rest = "the run came to rest" if reached else "the run did not come to rest"
            return f"{rest} after {waited:.1f} s" + (f": {event.detail}" if event.detail else "")
    return event.type.replace("_", " ")


def _of_publisher(
    event: PublishInvoked | PublishConfirmed | PublishReturned | PublishNacked | PublishUnknown | PublishFailed,
) -> str:
    said = "the publisher said of it"
    match event:
        case PublishInvoked():
            return (
                f"published {event.message_id} to exchange {event.exchange!r} with routing key {event.routing_key!r} "
                f"({event.size_bytes} bytes, body {event.body_digest})"
                + ("" if event.properties is None else f", with {event.properties}")
                + ("" if event.timeout_s is None else f", within {event.timeout_s:g} s")
            )
        case PublishConfirmed(attempts=attempts):
            return f"{said}: confirmed" + (f" after {attempts} attempts" if attempts > 1 else "")
        case PublishReturned(attempts=attempts):
            return f"{said}: returned as unroutable" + (f" after {attempts} attempts" if attempts > 1 else "")
        case PublishNacked(detail=detail):
            return f"{said}: nacked {detail}".rstrip()
        case PublishUnknown(detail=detail):
            return f"{said}: outcome unknown {detail}".rstrip()
        case PublishFailed(detail=detail):
            return f"{said}: never sent {detail}".rstrip()


def _on_the_wire(event: PublishSeen | ConfirmSeen | ReturnSeen) -> str:
    where = f"on the publisher's connection {event.connection}, channel {event.channel}"
    match event:
        case PublishSeen():
            how = [
                f"exchange {event.exchange!r}",
                f"routing key {event.routing_key!r}",
                f"id {event.message_id}",
                f"body {event.body_digest}",
                "mandatory" if event.mandatory else "not mandatory",
                "persistent" if event.delivery_mode == 2 else "not persistent",
                "no confirm mode" if event.delivery_tag is None else f"delivery tag {event.delivery_tag}",
            ]
            return f"basic.publish went out {where}: {', '.join(how)}"
        case ConfirmSeen(kind=kind):
            return f"basic.{kind} came {where}"
        case ReturnSeen():
            return f"basic.return came {where}: {event.reply_text}"


def _of_delivery(event: TabDelivered | TabHandled | TabAcked) -> str:
    who = f"tab {event.tab} (session {event.session})"
    match event:
        case TabDelivered():
            facts = [f"id {event.message_id}", f"body {event.body_digest}"] + ["redelivered"] * event.redelivered
            if event.delivery_count is not None:
                facts.append(f"delivery count {event.delivery_count}")
            if event.persistent is False:
                facts.append("not persistent")
            return f"delivered to {who}: {', '.join(facts)}"
        case TabHandled():
            return f"handled by {who}"
        case TabAcked():
            return f"acked by {who}"


def _of_tab(event: _TabEvent) -> str:
    match event:
        case TabConnected():
            return f"tab {event.tab} (session {event.session}) connected, heart-beats {event.heart_beat_ms} ms"
        case TabSubscribed():
            headers = " ".join(f"{name}:{value}" for name, value in sorted(event.headers.items()))
            return (
                f"tab {event.tab} (session {event.session}) subscribed to {event.destination}, queue {event.queue}"
                + (f", with {headers}" if headers else "")
            )
        case TabRefused():
            return f"tab {event.tab} (session {event.session}) was refused ({event.during}): {event.detail}"
        case TabDisconnected():
            return f"tab {event.tab} (session {event.session}) was disconnected: {event.reason}"
        case TabClosed():
            return f"tab {event.tab} was closed for good"
        case QueueObserved():
            return _of_queue(event)


def _of_queue(event: QueueObserved) -> str:
    when = {"subscribed": "after the subscription", "away": "while the tab was away", "end": "at the end"}[event.when]
    if not event.exists:
        return f"the broker said {when}: there is no queue {event.queue}"
    facts = [
        f"{name} {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in (
            ("ready", event.ready),
            ("unacked", event.unacked),
            ("consumers", event.consumers),
            ("durable", event.durable),
            ("exclusive", event.exclusive),
            ("auto-delete", event.auto_delete),
            ("type", event.queue_type),
            ("arguments", event.arguments),
            ("policy", event.policy),
            ("operator policy", event.operator_policy),
            ("which set", event.effective_policy),
        )
        if value is not None and (name, value) != ("which set", {})
    ]
    return f"the broker said {when} of queue {event.queue}: {', '.join(facts)}"
