"""The checker, fed one event at a time: keeps what every message and tab is owed, in constant time an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from conformance.checker.judge import judge
from conformance.checker.properties import changed
from conformance.checker.state import NEVER, Fault, Message, Outcome, Receipt, State, Stray, Tab, fault_between
from conformance.checker.story import with_stories
from conformance.checker.times import Healing
from conformance.checker.verdict import Verdict
from conformance.contract.model import Contract
from conformance.history.events import (
    Attempted,
    BrokerChanged,
    ClockAdvanced,
    ConfirmSeen,
    Event,
    FaultBegan,
    FaultEnded,
    HarnessFailed,
    PublishConfirmed,
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
    TabOpened,
    TabRefused,
    TabSubscribed,
)

__all__ = ["Checker", "check"]

_LONGEST_S = 1e10
"""Some three hundred years: no jump of a clock in a history that makes sense is longer."""


def check(events: Iterable[Event], contract: Contract) -> Verdict:
    """Hold a whole history against a contract.

    Args:
        events: in recording order. Where they can be iterated twice (a list, a
            :class:`conformance.history.file.History`), violations come with their stories.
        contract: what is promised.
    """
    checker = Checker(contract)
    for event in events:
        checker.feed(event)
    verdict = checker.finish()
    return verdict if iter(events) is events else with_stories(verdict, events)


class Checker:
    """Holds a history against a contract as it grows.

    An *obligation* is a pair of a message and a tab such that the tab's first subscription came before the publish
    was invoked, its binding matches, the publisher was told ``confirmed`` or ``returned`` (returned though a tab had
    subscribed: its queue was gone), and the tab was neither closed for good before it handled the message nor out in
    one stretch for longer than ``promise.longest_outage``. It is met by TabHandled.

    Not safe for threads: feed it under the recorder's lock.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._longest_outage_ns = int(contract.promise.longest_outage * 1e9)
        expiry = contract.promise.abandoned_queues_expire
        self._expiry_ns = None if expiry is None else int(expiry * 1e9)
        self._state = State()
        self._publisher_healings: list[Healing] = []
        self._take: dict[type[Event], Callable[[Any], object]] = {
            PublishInvoked: self._invoked,
            PublishConfirmed: self._confirmed,
            PublishReturned: self._returned,
            PublishNacked: lambda event: self._not_accepted(event, "nacked"),
            PublishUnknown: lambda event: self._not_accepted(event, "unknown"),
            PublishFailed: lambda event: self._not_accepted(event, "failed"),
            PublisherClosing: lambda _: self._closing(),
            PublisherMisbehaved: self._misbehaved,
            PublishSeen: self._publish_seen,
            ConfirmSeen: self._confirm_seen,
            ReturnSeen: self._return_seen,
            TabOpened: lambda event: self._tab(event.tab),
            TabConnected: self._connected,
            TabSubscribed: self._subscribed,
            TabRefused: self._refused,
            TabDelivered: self._delivered,
            TabHandled: self._handled,
            TabAcked: self._acked,
            TabDisconnected: self._disconnected,
            TabClosed: self._closed,
            FaultBegan: self._fault_began,
            FaultEnded: self._fault_ended,
            BrokerChanged: self._broker_changed,
            Attempted: self._state.attempts.append,
            ClockAdvanced: self._clock_advanced,
            ResourceDestroyed: self._resource_destroyed,
            QueueObserved: self._queue_observed,
            Quiesced: self._quiesced,
            HarnessFailed: lambda event: self._problem(f"the suite itself failed: {event.error}"),
        }

    def feed(self, event: Event) -> None:
        """Take the next event."""
        state = self._state
        state.now = event.index
        state.now_ns = event.time_ns
        take = self._take.get(type(event))
        if take is not None:
            take(event)

    def outstanding(self) -> int:
        """How many obligations of confirmed messages are not met yet."""
        return self._state.outstanding

    def outstanding_for(self, tab: str) -> int:
        """How many of them are owed to this tab."""
        found = self._state.tabs.get(tab)
        return 0 if found is None else len(found.waiting)

    @property
    def undecided(self) -> int:
        """How many publishes were invoked and have no outcome yet."""
        return self._state.undecided

    def finish(self) -> Verdict:
        """Judge what was fed; the violations' stories are empty (:func:`conformance.checker.story.with_stories`)."""
        state = self._state
        for tab in state.tabs.values():
            if tab.closed == NEVER and tab.out_ns is not None:
                self._back_from(tab, state.broker_ns(state.end_ns))
        return judge(state, self._contract)

    # --- the publisher ---------------------------------------------------------------------------

    def _invoked(self, event: PublishInvoked) -> None:
        state = self._state
        if event.body_digest in state.by_digest or event.message_id in state.by_id:
            self._problem("two publishes have the same body or message id, so deliveries can't be told apart")
            return
        route = (event.exchange, event.routing_key)
        message = Message(
            event.message_id,
            event.body_digest,
            route,
            event.index,
            event.time_ns,
            state.bindings.match(event.exchange, event.routing_key),
        )
        message.asked = event.properties
        if event.timeout_s is not None:
            message.timeout_ns = int(min(event.timeout_s, _LONGEST_S) * 1e9)
        if not any(fault.ended is None for fault in state.broker_faults):
            message.missed = state.bindings_gone.match(event.exchange, event.routing_key)
        state.by_digest[event.body_digest] = message
        state.by_id[event.message_id] = message
        state.undecided += 1

    def _settle(
        self,
        event: PublishConfirmed | PublishReturned | PublishNacked | PublishUnknown | PublishFailed,
        outcome: Outcome,
    ) -> Message | None:
        state = self._state
        message = state.by_id.get(event.message_id)
        if message is None or message.outcome is not None:
            self._problem("the outcome of a publish is told that was never invoked, or was settled before")
            return None
        message.outcome = outcome
        message.settled = event.index
        message.settled_ns = event.time_ns
        state.undecided -= 1
        state.under_way.pop(message.digest, None)
        if outcome != "confirmed":
            words = ": ".join(filter(None, (outcome, getattr(event, "detail", ""))))
            state.unconfirmed = min(state.unconfirmed or words, words)
        return message

    def _confirmed(self, event: PublishConfirmed) -> None:
        message = self._settle(event, "confirmed")
        if message is None:
            return
        state = self._state
        message.attempts = event.attempts
        message.confirmed_early = not message.acks
        state.confirm_ns.append(event.time_ns - message.invoked_ns)
        for tab in message.owed:
            if self._owes(message, tab):
                tab.waiting[message.digest] = tab.catch_up.owe()
                state.outstanding += 1
        message.owed = ()
        self._orphan(message)
        self._publisher_is_back(event.time_ns)

    def _returned(self, event: PublishReturned) -> None:
        message = self._settle(event, "returned")
        if message is None:
            return
        message.attempts = event.attempts
        for tab in message.owed:
            if self._owes(message, tab):
                tab.denied[message.digest] = None
        message.owed = ()
        self._orphan(message)

    def _orphan(self, message: Message) -> None:
        """Keep it for the tabs that should have been back by now, until they are."""
        for tab in message.missed:
            if tab.destroyed_by and tab.closed == NEVER:
                tab.orphaned[message.digest] = None
        message.missed = ()

    def _not_accepted(self, event: PublishNacked | PublishUnknown | PublishFailed, outcome: Outcome) -> None:
        message = self._settle(event, outcome)
        if message is not None:
            message.owed = ()

    def _misbehaved(self, event: PublisherMisbehaved) -> None:
        detail, count = self._state.misbehaved.get(event.what, (event.detail, 0))
        self._state.misbehaved[event.what] = (min(detail, event.detail), count + 1)

    def _owes(self, message: Message, tab: Tab) -> bool:
        """Count the obligation, if it is one. Returns whether it is still to be met."""
        receipt = message.receipts.get(tab)
        forgiven = tab.forgiven_after(message.invoked)
        if forgiven is None:
            met = receipt is not None and (receipt.handled != NEVER or receipt.altered)
        elif receipt is not None and NEVER != receipt.handled_first < forgiven:
            met = True
        else:
            return False  # it may still come, and nobody owes it: before or after its confirm
        self._state.obligations += 1
        return not met

    def _publish_seen(self, event: PublishSeen) -> None:
        state = self._state
        state.wire = True
        message = state.by_digest.get(event.body_digest)
        if message is None:
            message = state.by_id.get(event.message_id or "")
            if message is not None:
                message.wire_altered = True
            return
        message.seen += 1
        if message.outcome is None:
            state.under_way[message.digest] = message
        if message.asked is not None:
            told = event.properties | {"delivery_mode": event.delivery_mode}
            message.wire_changed = message.wire_changed or changed(message.asked, told)
        if message.route != (event.exchange, event.routing_key):
            message.wire_route = (event.exchange, event.routing_key)
        if event.delivery_mode != 2:  # AMQP's number for persistent
            message.transient = True
        if not event.mandatory:
            message.optional = True
        if event.delivery_tag is None:
            state.unasked = True

    def _confirm_seen(self, event: ConfirmSeen) -> None:
        for digest in event.body_digests:
            message = self._state.by_digest.get(digest)
            if message is None:
                continue
            if event.kind == "ack":
                message.acks += 1
            else:
                message.nacks += 1

    def _closing(self) -> None:
        """What is on the wire by now is surely under way: what is called at the same moment may come too late."""
        for message in self._state.under_way.values():
            message.seen_before_close = True

    def _return_seen(self, event: ReturnSeen) -> None:
        message = self._state.by_digest.get(event.body_digest)
        if message is not None:
            message.returns += 1

    # --- the tabs --------------------------------------------------------------------------------

    def _tab(self, tab_id: str) -> Tab:
        tab = self._state.tabs.get(tab_id)
        if tab is None:
            tab = self._state.tabs[tab_id] = Tab(tab_id)
        return tab

    def _connected(self, event: TabConnected) -> None:
        self._tab(event.tab).heart_beats[event.session] = event.heart_beat_ms

    def _subscribed(self, event: TabSubscribed) -> None:
        state, tab = self._state, self._tab(event.tab)
        tab.refused = None
        tab.headers, tab.destination = event.headers, event.destination
        if tab.closed != NEVER:
            return
        if tab.queue != event.queue:
            tab.queue = event.queue
            state.queues.setdefault(event.queue, set()).add(tab.id)
        binding = (event.exchange, event.exchange_type, event.binding_key)
        if binding not in tab.bindings:
            try:
                state.bindings.add(*binding, tab)
                state.bindings_ever.add(*binding, tab)
            except ValueError as exc:
                self._problem(f"tab {tab.id} is bound where it can't be told what it is owed: {exc}")
                return
            tab.bindings.add(binding)
            tab.routes.clear()
        self._declared_anew(tab)
        if tab.subscribed == NEVER:
            tab.subscribed = event.index
        if not tab.live:
            tab.back_ns = event.time_ns
        elif event.session not in tab.live:
            tab.overlapped = True
        tab.live.add(event.session)
        if state.quiesced is None:
            if tab.out_ns is not None:
                self._back_from(tab, state.broker_ns(event.time_ns))
            tab.catch_up.returned(event.time_ns)

    def _back_from(self, tab: Tab, now_ns: int) -> None:
        """An outage is over: forgive what it was too long for."""
        outage_ns = now_ns - (tab.out_ns or 0)
        tab.out_ns = None if tab.live else tab.out_ns
        tab.longest_outage_ns = max(tab.longest_outage_ns, outage_ns)
        if outage_ns > self._longest_outage_ns:
            tab.excused.append(self._state.now)
            self._forgive(tab)

    def _forgive(self, tab: Tab) -> None:
        """Nothing is owed any more of what this tab has not handled."""
        state = self._state
        state.outstanding -= len(tab.waiting)
        state.obligations -= len(tab.waiting) + len(tab.denied)
        for generation in tab.waiting.values():
            tab.catch_up.settle(generation, state.now_ns)
        tab.waiting.clear()
        tab.denied.clear()

    def _refused(self, event: TabRefused) -> None:
        tab = self._tab(event.tab)
        at_fault = not self._state.broker_up or self._at_fault(tab, event.index, event.index)
        if event.during != "connect" and not at_fault:
            tab.refused = event

    def _disconnected(self, event: TabDisconnected) -> None:
        tab = self._tab(event.tab)
        tab.ended[event.session] = event.index
        if event.reason == "left":
            tab.left.add(event.session)
        if event.session not in tab.live:
            return
        tab.live.discard(event.session)
        if not tab.live:
            tab.stays.append((tab.back_ns, event.time_ns))
        if not tab.live and self._state.quiesced is None:
            tab.out_ns = self._state.broker_ns(event.time_ns)
            tab.outages += event.reason != "left"

    def _closed(self, event: TabClosed) -> None:
        tab = self._tab(event.tab)
        if tab.closed != NEVER:
            return
        tab.closed, tab.closed_ns = event.index, self._state.broker_ns(event.time_ns)
        tab.excused.append(event.index)
        self._forgive(tab)
        for binding in tab.bindings:
            self._state.bindings.remove(*binding, tab)

    def _delivered(self, event: TabDelivered) -> None:
        state = self._state
        state.delivered += 1
        tab = state.tabs.get(event.tab) or self._tab(event.tab)
        message = state.by_digest.get(event.body_digest)
        if message is None:
            self._stray(tab, event)
            return
        receipt = message.receipts.get(tab) or self._first(message, tab, event)
        receipt.delivered = event.index
        receipt.deliveries += 1
        receipt.session = event.session
        receipt.redelivered = event.redelivered
        if event.delivery_count is not None:
            receipt.delivery_count = max(receipt.delivery_count, event.delivery_count)

    def _first(self, message: Message, tab: Tab, event: TabDelivered | TabHandled) -> Receipt:
        """A message comes to a tab for the first time: time it, and look whether it is meant for it."""
        state = self._state
        receipt = message.receipts[tab] = Receipt()
        state.delivery_ns.append(event.time_ns - message.invoked_ns)
        if not tab.is_bound(message.route):
            state.astray[message.digest, tab] = event.index
        return receipt

    def _stray(self, tab: Tab, event: TabDelivered | TabHandled) -> None:
        """A body came that nobody published."""
        message = self._state.by_id.get(event.message_id or "")
        self._state.strays.setdefault((event.body_digest, tab), Stray(event.index, event.message_id, message))
        if message is not None:
            (message.receipts.get(tab) or self._first(message, tab, event)).altered = True
            self._met(message, tab, event.time_ns)

    def _met(self, message: Message, tab: Tab, now_ns: int) -> None:
        generation = tab.waiting.pop(message.digest, None)
        if generation is not None:
            self._state.outstanding -= 1
            tab.catch_up.settle(generation, now_ns)
        else:
            tab.denied.pop(message.digest, None)

    def _handled(self, event: TabHandled) -> None:
        state = self._state
        tab = state.tabs.get(event.tab) or self._tab(event.tab)
        message = state.by_digest.get(event.body_digest)
        if message is None:
            self._stray(tab, event)
            return
        state.handled += 1
        tab.handled += 1
        if event.message_id == message.message_id:
            message.own_id_came = True
        else:
            message.other_id = event.message_id or ""
        receipt = message.receipts.get(tab) or self._first(message, tab, event)
        if receipt.handled == NEVER:
            self._met(message, tab, event.time_ns)
            self._hold_order(message, tab, receipt, event.index)
        else:
            self._handled_again(message, tab, receipt, event)
        receipt.handled = event.index
        if receipt.handled_first == NEVER:
            receipt.handled_first = event.index
        receipt.handled_session = event.session
        if receipt.acked < receipt.delivered:
            receipt.acked = NEVER  # the ack of an earlier delivery says nothing of this one

    def _hold_order(self, message: Message, tab: Tab, receipt: Receipt, index: int) -> None:
        """Confirmed before something else was invoked that the tab has handled already: out of order.

        RabbitMQ keeps the order of one queue for one consumer, but for what it delivers again
        (https://www.rabbitmq.com/docs/queues#message-ordering).
        """
        if message.invoked > tab.high_water:
            tab.high_water = message.invoked
            return
        excused = receipt.redelivered or tab.overlapped
        if message.outcome == "confirmed" and message.settled < tab.high_water and not excused:
            self._state.late.append((message, tab, index))

    def _handled_again(self, message: Message, tab: Tab, receipt: Receipt, event: TabHandled) -> None:
        """Explained where the broker may never have had the earlier ack; the publisher's part is judged at the end."""
        state = self._state
        earlier = receipt.handled
        again = receipt.delivered if receipt.delivered > earlier else event.index
        written = NEVER < receipt.acked < again
        ended = tab.ended.get(receipt.handled_session, again) < again
        elsewhere = event.session != receipt.handled_session
        maybe_lost = (
            ended
            or (elsewhere and not written)
            or state.down_between(earlier, again)
            or self._at_fault(tab, earlier, again)
        )
        if maybe_lost and message.other_id is None:
            state.explained += 1
        else:
            state.repeats.append((message, tab, event.index))

    def _acked(self, event: TabAcked) -> None:
        tab = self._tab(event.tab)
        tab.acks += 1
        message = self._state.by_digest.get(event.body_digest)
        receipt = None if message is None else message.receipts.get(tab)
        if receipt is not None:
            receipt.acked = event.index

    def _at_fault(self, tab: Tab, since: int, until: int) -> bool:
        """Whether a fault of the tab's link or of the broker was on at any moment between two indexes."""
        return fault_between(tab.faults, since, until) or fault_between(self._state.broker_faults, since, until)

    # --- faults, broker, run ---------------------------------------------------------------------

    def _fault_began(self, event: FaultBegan) -> None:
        fault = self._state.faults[event.fault_id] = Fault(event)
        if event.target.startswith("tab:"):
            self._tab(event.target.removeprefix("tab:")).faults.append(fault)
        elif event.target == "publisher":
            self._state.publisher_faults.append(fault)
        elif event.target == "broker":
            self._state.broker_faults.append(fault)

    def _fault_ended(self, event: FaultEnded) -> None:
        state = self._state
        fault = state.faults.get(event.fault_id)
        if fault is not None:
            fault.ended = event
        if event.target.startswith("tab:"):
            tab = self._tab(event.target.removeprefix("tab:"))
            if tab.subscribed != NEVER and tab.closed == NEVER and state.quiesced is None:
                self._heal(event.fault, event.target, tab)
        elif event.target == "publisher":
            healing = Healing(event.fault, event.target, None, event.index, event.time_ns)
            state.healings.append(healing)
            self._publisher_healings.append(healing)
        elif event.target == "broker":
            for tab in state.open_tabs():
                self._heal(event.fault, event.target, tab)

    def _broker_changed(self, event: BrokerChanged) -> None:
        state = self._state
        state.broker_up = event.state == "up"
        if not state.broker_up:
            state.downs.append(event.index)
            return
        for tab in state.open_tabs():
            self._heal("broker", "broker", tab)

    def _heal(self, fault: str, target: str, tab: Tab) -> None:
        healing = Healing(fault, target, tab.id, self._state.now, self._state.now_ns)
        self._state.healings.append(healing)
        tab.catch_up.healed(healing, subscribed=bool(tab.live))

    def _publisher_is_back(self, now_ns: int) -> None:
        for healing in self._publisher_healings:
            healing.back_ns = now_ns
        self._publisher_healings.clear()

    def _queue_observed(self, event: QueueObserved) -> None:
        tab = self._tab(event.tab)
        tab.last_seen = event
        told = event.exists and (event.durable is not None or event.arguments is not None)
        if told and (tab.observed is None or event.when != "end"):
            tab.observed = event
        if event.when == "end":
            tab.at_end = event
        gone_ns = tab.closed_ns if tab.closed != NEVER else tab.out_ns
        if not event.exists or gone_ns is None or self._expiry_ns is None:
            return
        if any(self._state.tabs[other].live for other in self._state.queues.get(event.queue, set()) - {tab.id}):
            return  # another tab's as well, and that one is there
        if self._state.broker_ns(event.time_ns) - gone_ns > self._expiry_ns:
            self._state.leaked.setdefault(tab, event.index)

    def _clock_advanced(self, event: ClockAdvanced) -> None:
        if not 0 <= event.by_s <= _LONGEST_S:
            self._problem(f"the broker's clock can't have been moved on by {event.by_s:g} s")
            return
        by_ns = int(event.by_s * 1e9)
        self._state.advances.append((event.index, by_ns))
        self._state.skew_ns += by_ns

    def _resource_destroyed(self, event: ResourceDestroyed) -> None:
        """What an administrator destroys ends obligations: it is not lost by the setup.

        What is on its way at that moment may or may not be hit: it is excused as well. After a queue or an exchange
        is gone nothing is owed until the tab has subscribed again, which declares and binds anew. A tab whose queue was
        deleted is told of it, so one that never comes back is owed what was published since the fault was over.
        """
        state = self._state
        hit = (
            [tab for tab in state.tabs.values() if any(binding[0] == event.name for binding in tab.bindings)]
            if event.what == "exchange"
            else [state.tabs[tab_id] for tab_id in state.queues.get(event.name, ())]
        )
        for tab in hit:
            tab.excused.append(event.index)
            if event.what != "exchange":
                state.destroyed[event.by, event.what, event.name] += len(tab.waiting) + len(tab.denied)
                self._forgive(tab)
            if event.what == "queue":
                for binding in tab.bindings:
                    state.bindings_gone.add(*binding, tab)
                tab.destroyed_by = event.by
            if event.what != "messages":
                self._unbind(tab, event.name if event.what == "exchange" else None)

    def _declared_anew(self, tab: Tab) -> None:
        """Its subscription has made up for what an administrator deleted."""
        if tab.destroyed_by:
            tab.destroyed_by = ""
            tab.orphaned.clear()
            self._state.bindings_gone.discard(tab)

    def _unbind(self, tab: Tab, exchange: str | None) -> None:
        """Its bindings to the exchange (None: all) are gone."""
        for binding in [binding for binding in tab.bindings if exchange in (None, binding[0])]:
            self._state.bindings.remove(*binding, tab)
            tab.bindings.discard(binding)
        tab.routes.clear()

    def _quiesced(self, event: Quiesced) -> None:
        self._state.quiesced = event

    def _problem(self, reason: str) -> None:
        self._state.problems[reason] = None
