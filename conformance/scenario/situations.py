"""Which situations a played scenario met, read from its history: what happened, not what was drawn.

A *situation* is (fault, phase of a tab, phase of a message to that tab, who is away), all at one moment. It counts
while the fault is at work: from the moment it was seen to act (``FaultFired``, or its tab's disconnect) until it has
ended and what it struck is well again: the tab is subscribed and has acked what it is owed, the publisher's link
carries messages, after a fault of the broker every tab is back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from conformance.checker.bindings import Bindings
from conformance.history.events import (
    BrokerChanged,
    ConfirmSeen,
    Event,
    FaultBegan,
    FaultEnded,
    FaultFired,
    PublishConfirmed,
    PublishFailed,
    PublishInvoked,
    PublishNacked,
    PublishReturned,
    PublishSeen,
    PublishUnknown,
    Quiesced,
    ReturnSeen,
    TabAcked,
    TabClosed,
    TabConnected,
    TabDelivered,
    TabDisconnected,
    TabHandled,
    TabOpened,
    TabSubscribed,
)

__all__ = ["AWAY", "BROKER_FAULTS", "MESSAGE_PHASES", "SLOW", "TAB_PHASES", "Situation", "label_of", "situations"]

TAB_PHASES = {
    "connecting": "opened, and not connected yet",
    "subscribing": "connected for the first time, its SUBSCRIBE not answered yet",
    "idle": "subscribed, and holds nothing that it has not acked",
    "with unacked": "subscribed, and holds messages that it has not acked",
    "two pages": "duplicated: two pages with one id are subscribed",
    "away": "it was subscribed and is not connected",
    "resubscribing": "connected again, its SUBSCRIBE not answered yet",
    "ghost": "back on a new connection while the broker still believes in one that went silent",
}
"""What a tab may be doing, with what each word means."""

MESSAGE_PHASES = {
    "none": "nothing is under way to the tab, and it has acked nothing since it subscribed",
    "unconfirmed": "published to it, the publisher has no outcome yet",
    "waiting": "confirmed, and not with a page (not delivered yet, or back in the queue)",
    "unacked": "delivered for the first time, not acked",
    "acked": "acked since the tab last subscribed: the broker may not have the ack",
    "redelivered": "delivered once more, not acked",
}
"""How far a message to the tab may have come."""

AWAY = ("nobody", "publisher", "one tab", "several tabs", "all tabs", "publisher and tabs", "broker")
"""Who can't be reached. A tab counts once it has been subscribed; ``several`` are at least two, and not all."""

SLOW = frozenset({"latency", "jitter", "bandwidth", "slicer"})
"""Faults that only slow a link down."""

BROKER_FAULTS = {
    "pause": "pause",
    "memory_alarm": "alarm",
    "disk_alarm": "alarm",
    "limit_connections": "limits",
    "limit_files": "limits",
    "disk_full": "disk-full",
}
"""Faults of the broker count by the promise's word (``administrator`` for all that are not listed)."""

_ON_PUBLISHER = " (publisher)"
_PROGRAM = "program"
"""Faults of the publisher's program are in named cases alone, and in no situation."""
_DOWN = {"terminate": "restart", "kill": "kill"}


class Situation(NamedTuple):
    """What was so at one moment."""

    fault: str
    tab: str
    message: str
    away: str


def label_of(fault: str, target: str) -> str:
    """The fault's name in a situation: ``rst`` of a tab's link, ``rst (publisher)``, the promise's word of the
    broker's."""
    if target == "broker":
        return BROKER_FAULTS.get(fault, "administrator")
    return fault + _ON_PUBLISHER if target == "publisher" else fault


def situations(events: Iterable[Event]) -> set[Situation]:
    """Every situation of a history."""
    watch = _Watch()
    for event in events:
        watch.take(event)
    return watch.met


@dataclass(slots=True, eq=False)
class _Tab:
    """A tab as its events show it. The sets hold digests of messages."""

    id: str
    sessions: dict[int, bool] = field(default_factory=dict)
    """By session that is connected: whether it is subscribed."""
    was_subscribed: bool = False
    closed: bool = False
    silenced: bool = False
    """A session of it ended while a blackhole was at work on its link."""
    unconfirmed: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    held: dict[str, int] = field(default_factory=dict)
    """Delivered for the first time, not acked: the session."""
    again: dict[str, int] = field(default_factory=dict)
    """Delivered again, not acked: the session."""
    acked: set[str] = field(default_factory=set)
    ever: set[str] = field(default_factory=set)

    @property
    def live(self) -> int:
        return sum(self.sessions.values())

    @property
    def is_away(self) -> bool:
        return self.was_subscribed and not self.closed and not self.live

    @property
    def is_well(self) -> bool:
        return self.closed or bool(self.live and not (self.waiting or self.held or self.again))

    @property
    def phase(self) -> str:
        live = self.live
        if live > 1:
            return "two pages"
        if live:
            return "ghost" if self.silenced else "with unacked" if self.held or self.again else "idle"
        if self.was_subscribed:
            return "resubscribing" if self.sessions else "away"
        return "subscribing" if self.sessions else "connecting"

    @property
    def messages(self) -> Iterator[str]:
        present = (
            ("unconfirmed", self.unconfirmed),
            ("waiting", self.waiting),
            ("unacked", self.held),
            ("acked", self.acked),
            ("redelivered", self.again),
        )
        found = [phase for phase, messages in present if messages]
        return iter(found or ["none"])


@dataclass(slots=True)
class _Fault:
    label: str
    target: str
    holds: bool
    """Whether it cuts or holds its link, rather than slow it down."""
    at_work: bool = False
    ended: bool = False


class _Watch:
    def __init__(self) -> None:
        self.met: set[Situation] = set()
        self._tabs: dict[str, _Tab] = {}
        self._bindings: Bindings[_Tab] = Bindings()
        self._owed: dict[str, tuple[str, tuple[_Tab, ...]]] = {}
        """By message id: its digest, and the tabs that are bound for it."""
        self._faults: dict[object, _Fault] = {}
        self._publisher_is_away = False
        self._broker_is_down = False
        self._over = False
        self._last: tuple[object, ...] = ()
        self._take: dict[type[Event], Callable[[Any], object]] = {
            PublishInvoked: self._invoked,
            PublishConfirmed: self._settled,
            PublishReturned: self._settled,
            PublishNacked: self._settled,
            PublishUnknown: self._settled,
            PublishFailed: self._settled,
            PublishSeen: self._passed,
            ConfirmSeen: self._passed,
            ReturnSeen: self._passed,
            TabOpened: lambda event: self._tab(event.tab),
            TabConnected: lambda event: self._tab(event.tab).sessions.setdefault(event.session, False),
            TabSubscribed: self._subscribed,
            TabDelivered: self._delivered,
            TabHandled: self._handled,
            TabAcked: self._acked,
            TabDisconnected: self._disconnected,
            TabClosed: self._closed,
            FaultBegan: self._began,
            FaultFired: self._fired,
            FaultEnded: self._ended,
            BrokerChanged: self._changed,
            Quiesced: self._quiesced,
        }

    def take(self, event: Event) -> None:
        """Take the next event: look, take in what it changes, look again."""
        if self._over or type(event) not in self._take:
            return
        if isinstance(event, TabDisconnected):
            if event.reason == "left":
                self._over = True  # the play is at its end: the engine has the tabs leave
                return
            self._strike(f"tab:{event.tab}")
        self._take[type(event)](event)
        if self._faults:
            self._look()
            self._forget()

    def _look(self) -> None:
        away = self._away()
        for fault in self._faults.values():
            if not fault.at_work:
                continue
            of_tab = fault.target.startswith("tab:")
            tabs = [self._tabs[fault.target[4:]]] if of_tab else [*self._tabs.values()]
            for tab in tabs:
                if not tab.closed:
                    phase = tab.phase
                    for message in tab.messages:
                        self.met.add(Situation(fault.label, phase, message, away))

    def _forget(self) -> None:
        """Drop the faults that are over."""
        for key, fault in [*self._faults.items()]:
            if fault.ended and (not fault.at_work or self._is_well(fault.target)):
                del self._faults[key]

    def _is_well(self, target: str) -> bool:
        if target.startswith("tab:"):
            return self._tabs[target[4:]].is_well
        if target == "publisher":
            return not self._publisher_is_away
        return all(tab.is_well for tab in self._tabs.values() if tab.was_subscribed)

    def _away(self) -> str:
        if self._broker_is_down or any(fault.label == "pause" and not fault.ended for fault in self._faults.values()):
            return "broker"
        known = [tab for tab in self._tabs.values() if tab.was_subscribed and not tab.closed]
        away = sum(tab.is_away for tab in known)
        if self._publisher_is_away:
            return "publisher and tabs" if away else "publisher"
        if not away:
            return "nobody"
        return "all tabs" if away == len(known) else "one tab" if away == 1 else "several tabs"

    def _tab(self, tab_id: str) -> _Tab:
        return self._tabs.setdefault(tab_id, _Tab(tab_id))

    # --- messages --------------------------------------------------------------------------------

    def _invoked(self, event: PublishInvoked) -> None:
        tabs = tuple(self._bindings.match(event.exchange, event.routing_key))
        self._owed[event.message_id] = event.body_digest, tabs
        for tab in tabs:
            tab.unconfirmed.add(event.body_digest)

    def _settled(self, event: Any) -> None:
        digest, tabs = self._owed.pop(event.message_id, ("", ()))
        for tab in tabs:
            tab.unconfirmed.discard(digest)
            if isinstance(event, PublishConfirmed) and digest not in tab.ever:
                tab.waiting.add(digest)

    def _passed(self, _: Event) -> None:
        self._publisher_is_away = False

    # --- tabs ------------------------------------------------------------------------------------

    def _subscribed(self, event: TabSubscribed) -> None:
        tab = self._tab(event.tab)
        if not tab.live:
            tab.acked.clear()
        tab.sessions[event.session] = tab.was_subscribed = True
        if not tab.closed:
            with contextlib.suppress(ValueError):
                self._bindings.add(event.exchange, event.exchange_type, event.binding_key, tab)

    def _delivered(self, event: TabDelivered) -> None:
        tab, digest = self._tab(event.tab), event.body_digest
        again = event.redelivered or digest in tab.ever
        tab.ever.add(digest)
        tab.waiting.discard(digest)
        tab.acked.discard(digest)
        (tab.again if again else tab.held)[digest] = event.session

    def _handled(self, event: TabHandled) -> None:
        tab = self._tab(event.tab)
        if event.body_digest in tab.waiting:
            tab.waiting.discard(event.body_digest)

    def _acked(self, event: TabAcked) -> None:
        tab = self._tab(event.tab)
        tab.held.pop(event.body_digest, None)
        tab.again.pop(event.body_digest, None)
        tab.acked.add(event.body_digest)

    def _disconnected(self, event: TabDisconnected) -> None:
        tab = self._tab(event.tab)
        tab.sessions.pop(event.session, None)
        for held in (tab.held, tab.again):
            for digest in [digest for digest, session in held.items() if session == event.session]:
                del held[digest]
                tab.waiting.add(digest)
        target = f"tab:{event.tab}"
        if any(fault.label == "blackhole" and fault.target == target for fault in self._faults.values()):
            tab.silenced = True

    def _closed(self, event: TabClosed) -> None:
        tab = self._tab(event.tab)
        tab.closed = True
        self._bindings.discard(tab)

    # --- faults ----------------------------------------------------------------------------------

    def _began(self, event: FaultBegan) -> None:
        if event.target == _PROGRAM:
            return
        if event.target.startswith("tab:"):
            self._tab(event.target[4:])
        label = label_of(event.fault, event.target)
        self._faults[event.fault_id] = _Fault(
            label, event.target, event.fault not in SLOW, at_work=event.target == "broker"
        )

    def _fired(self, event: FaultFired) -> None:
        self._strike(event.target)

    def _strike(self, target: str) -> None:
        """The fault that is on at the target does something: look at how it found things."""
        for fault in self._faults.values():
            if fault.target == target and not fault.at_work and not fault.ended:
                fault.at_work = True
                self._look()
                if target == "publisher" and fault.holds:
                    self._publisher_is_away = True

    def _ended(self, event: FaultEnded) -> None:
        fault = self._faults.get(event.fault_id)
        if fault is not None:
            fault.ended = True
            fault.at_work = fault.at_work and event.fired
        if event.fault == "blackhole":
            self._tab(event.target.removeprefix("tab:")).silenced = False

    def _changed(self, event: BrokerChanged) -> None:
        if event.state == "down":
            fault = _Fault(_DOWN.get(event.how, event.how), "broker", holds=True, at_work=True)
            if event.how in _DOWN:
                self._faults["node"] = fault
                self._look()
            self._broker_is_down = self._publisher_is_away = True
        else:
            self._broker_is_down = False
            if "node" in self._faults:
                self._faults["node"].ended = True

    def _quiesced(self, _: Quiesced) -> None:
        self._over = True
