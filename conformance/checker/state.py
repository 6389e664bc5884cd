"""What the checker remembers of a history: one record a message, a tab, and a pair of the two."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from conformance.checker.bindings import Bindings
from conformance.checker.times import CatchUp, Healing
from conformance.contract.topic import binding_matches
from conformance.history.events import (
    Attempted,
    FaultBegan,
    FaultEnded,
    Misbehaviour,
    QueueObserved,
    Quiesced,
    TabRefused,
)

__all__ = ["GRACE_NS", "Fault", "Message", "Outcome", "Receipt", "Route", "State", "Stray", "Tab", "fault_between"]

Outcome: TypeAlias = Literal["confirmed", "returned", "nacked", "unknown", "failed"]
Route: TypeAlias = tuple[str, str]
"""Exchange and routing key."""

NEVER = -1
"""An index before every event."""

GRACE_NS = 10_000_000_000
"""How much longer than its time a publish may take: a busy machine is no broken promise."""


@dataclass(slots=True, eq=False)
class Receipt:
    """What became of one message at one tab; indexes are those of the latest event of the kind."""

    delivered: int = NEVER
    deliveries: int = 0
    session: int = 0
    redelivered: bool = False
    handled: int = NEVER
    handled_first: int = NEVER
    handled_session: int = 0
    acked: int = NEVER
    delivery_count: int = 0
    altered: bool = False
    """A message with this one's id and another body came."""


@dataclass(slots=True, eq=False)
class Message:
    """A message as invoked, what the publisher said, what passed on the wire, and what the tabs got."""

    message_id: str
    digest: str
    route: Route
    invoked: int
    invoked_ns: int
    owed: tuple[Tab, ...]
    """The tabs that were subscribed when it was invoked, until its outcome is known."""
    missed: tuple[Tab, ...] = ()
    """The tabs whose queues an administrator had deleted when it was invoked, and that could have been back."""
    outcome: Outcome | None = None
    settled: int = NEVER
    settled_ns: int = 0
    attempts: int = 1
    seen: int = 0
    acks: int = 0
    nacks: int = 0
    returns: int = 0
    asked: dict[str, Any] | None = None
    """The AMQP properties that it was to be published with."""
    timeout_ns: int | None = None
    """The time that its publish was given."""
    wire_changed: str = ""
    """A property that was not as asked on the wire: a clause that says how."""
    seen_before_close: bool = False
    """It had passed on the wire, and had no outcome, as its publisher was asked to close."""
    confirmed_early: bool = False
    """The publisher said confirmed before an ack had passed."""
    transient: bool = False
    optional: bool = False
    """Published without ``mandatory``."""
    wire_route: Route | None = None
    """Where it went on the wire, if not where it was asked to."""
    wire_altered: bool = False
    other_id: str | None = None
    """Another id (empty: none) that its body came with."""
    own_id_came: bool = False
    receipts: dict[Tab, Receipt] = field(default_factory=dict)

    def overdue(self, end_ns: int) -> bool:
        """Whether its publish was given a time and went on for much longer; ``end_ns``: when the run was over."""
        if self.timeout_ns is None:
            return False
        ended_ns = end_ns if self.outcome is None else self.settled_ns
        return ended_ns - self.invoked_ns > self.timeout_ns + GRACE_NS

    @property
    def cut_off(self) -> bool:
        """Whether its publisher was asked to close while it was under way, and did not wait for it."""
        return self.seen_before_close and self.outcome not in ("confirmed", "returned")


@dataclass(slots=True, eq=False)
class Fault:
    """A fault on a link or the broker; ``ended`` is None while it lasts."""

    began: FaultBegan
    ended: FaultEnded | None = None


@dataclass(slots=True, eq=False)
class Stray:
    """Deliveries of a body that was never published to one tab; ``of``: the message whose id it bore."""

    index: int
    message_id: str | None
    of: Message | None


@dataclass(slots=True, eq=False)
class Tab:
    """A tab: its subscription, its sessions, and what it is still owed."""

    id: str
    bindings: set[tuple[str, str, str]] = field(default_factory=set)
    routes: dict[Route, bool] = field(default_factory=dict)
    """Whether its bindings match, as far as asked."""
    queue: str = ""
    destination: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    subscribed: int = NEVER
    """Index of the first TabSubscribed."""
    closed: int = NEVER
    closed_ns: int = 0
    """When, by the broker's clock."""
    live: set[int] = field(default_factory=set)
    ended: dict[int, int] = field(default_factory=dict)
    """Session to the index of its TabDisconnected."""
    left: set[int] = field(default_factory=set)
    """The sessions that ended in good order."""
    heart_beats: dict[int, tuple[int, int]] = field(default_factory=dict)
    overlapped: bool = False
    """Two of its sessions were subscribed at a time."""
    back_ns: int = 0
    """Since when it is subscribed without a break."""
    out_ns: int | None = None
    """Since when it is out, by the broker's clock."""
    stays: list[tuple[int, int]] = field(default_factory=list)
    """From when to when it was subscribed without a break, but for a stay that lasts."""
    outages: int = 0
    longest_outage_ns: int = 0
    excused: list[int] = field(default_factory=list)
    """Up to which indexes all was forgiven, rising: ends of outages that were too long, what was destroyed, its end."""
    refused: TabRefused | None = None
    waiting: dict[str, int] = field(default_factory=dict)
    """Digests of confirmed messages that it is owed and has not handled, in order, to their CatchUp generation."""
    denied: dict[str, None] = field(default_factory=dict)
    """Digests of messages that it is owed though they were returned."""
    destroyed_by: str = ""
    """The fault by which an administrator deleted its queue, until it has subscribed again."""
    orphaned: dict[str, None] = field(default_factory=dict)
    """Digests of messages that it missed since, because it has not subscribed again."""
    catch_up: CatchUp = field(default_factory=CatchUp)
    high_water: int = NEVER
    """The latest invocation among what it has handled: never falls."""
    handled: int = 0
    acks: int = 0
    faults: list[Fault] = field(default_factory=list)
    observed: QueueObserved | None = None
    """The last that told the queue's properties."""
    last_seen: QueueObserved | None = None
    at_end: QueueObserved | None = None

    def is_bound(self, route: Route) -> bool:
        """Whether one of its bindings, as far as they are known by now, matches."""
        bound = self.routes.get(route)
        if bound is None:
            exchange, key = route
            bound = self.routes[route] = any(
                of == exchange and binding_matches(kind, pattern, key) for of, kind, pattern in self.bindings
            )
        return bound

    def forgiven_after(self, index: int) -> int | None:
        """The first index after this one at which all that it had not handled was forgiven; None: there is none."""
        at = bisect_right(self.excused, index)
        return self.excused[at] if at < len(self.excused) else None

    def longest_stay_after(self, end_ns: int) -> Callable[[int], int]:
        """The function from a moment to the longest time, in nanoseconds, that it was subscribed without a break since.

        Args:
            end_ns: when the run's final wait was over.
        """
        stays = [*self.stays, (self.back_ns, end_ns)] if self.live else self.stays
        begins = [begin for begin, _ in stays]
        longest = [0]
        for begin, end in reversed(stays):
            longest.append(max(longest[-1], min(end, end_ns) - begin))
        longest.reverse()

        def since(moment_ns: int) -> int:
            first = bisect_left(begins, moment_ns)
            under_way = min(stays[first - 1][1], end_ns) - moment_ns if first else 0
            return max(longest[first], under_way)

        return since


def fault_between(faults: list[Fault], since: int, until: int) -> bool:
    """Whether one of a link's faults was on at any moment between two indexes; looks at the latest first."""
    for fault in reversed(faults):
        if fault.ended is not None and fault.ended.index < since:
            return False
        if fault.began.index <= until:
            return True
    return False


@dataclass(slots=True, eq=False)
class State:
    """All of it."""

    by_digest: dict[str, Message] = field(default_factory=dict)
    by_id: dict[str, Message] = field(default_factory=dict)
    tabs: dict[str, Tab] = field(default_factory=dict)
    queues: dict[str, set[str]] = field(default_factory=dict)
    """Queue to the ids of the tabs that subscribed to it."""
    bindings: Bindings[Tab] = field(default_factory=Bindings)
    """Of the tabs that are not closed."""
    bindings_gone: Bindings[Tab] = field(default_factory=Bindings)
    """Of the tabs whose queues an administrator deleted and that have not subscribed again."""
    bindings_ever: Bindings[Tab] = field(default_factory=Bindings)
    """Of all tabs: a closed tab's queue still takes messages."""
    attempts: list[Attempted] = field(default_factory=list)
    """What a hostile page tried."""
    faults: dict[int, Fault] = field(default_factory=dict)
    publisher_faults: list[Fault] = field(default_factory=list)
    broker_faults: list[Fault] = field(default_factory=list)
    advances: list[tuple[int, int]] = field(default_factory=list)
    """Index, and by how many nanoseconds the broker's clock was moved on there."""
    skew_ns: int = 0
    """By how much the broker's clock is ahead of the history's."""
    destroyed: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Obligations that ended because an administrator destroyed (fault, what, name)."""
    healings: list[Healing] = field(default_factory=list)
    downs: list[int] = field(default_factory=list)
    """Indexes at which the broker went down."""
    broker_up: bool = True
    wire: bool = False
    """Whether the publisher's link was looked into."""
    under_way: dict[str, Message] = field(default_factory=dict)
    """By body digest, the messages that passed on the wire and have no outcome yet."""
    unasked: bool = False
    """Whether the publisher uses a channel that is not in confirm mode."""
    strays: dict[tuple[str, Tab], Stray] = field(default_factory=dict)
    astray: dict[tuple[str, Tab], int] = field(default_factory=dict)
    """(digest, tab) to index: delivered to a tab that was not known to be bound at that moment."""
    repeats: list[tuple[Message, Tab, int]] = field(default_factory=list)
    """Handled again with nothing at the tab to explain it; index of the later handling."""
    late: list[tuple[Message, Tab, int]] = field(default_factory=list)
    """Handled after a message that was invoked after this one was confirmed."""
    leaked: dict[Tab, int] = field(default_factory=dict)
    explained: int = 0
    delivered: int = 0
    handled: int = 0
    obligations: int = 0
    outstanding: int = 0
    undecided: int = 0
    unconfirmed: str = ""
    """An outcome that was not ``confirmed``, with the publisher's own words for it: the first by the alphabet, so that
    the order of events does not matter."""
    confirm_ns: array[int] = field(default_factory=lambda: array("q"))
    delivery_ns: array[int] = field(default_factory=lambda: array("q"))
    quiesced: Quiesced | None = None
    now: int = NEVER
    now_ns: int = 0
    misbehaved: dict[Misbehaviour, tuple[str, int]] = field(default_factory=dict)
    """Of a publisher that is a program: by kind, one breach of the protocol (the first by the alphabet), how many."""
    problems: dict[str, None] = field(default_factory=dict)
    """What makes the history itself no good as evidence, each once."""

    @property
    def end_ns(self) -> int:
        """When the run's final wait was over; the last event's time where it never was."""
        return self.now_ns if self.quiesced is None else self.quiesced.time_ns

    def broker_ns(self, time_ns: int) -> int:
        """A moment of now as the broker's clock has it: what outages and expiries are measured by."""
        return time_ns + self.skew_ns

    def advanced_since_ns(self, index: int) -> int:
        """By how much the broker's clock was moved on after an index."""
        return sum(by for at, by in self.advances if at > index)

    def down_between(self, since: int, until: int) -> bool:
        """Whether the broker went down between two indexes."""
        return any(since < down < until for down in reversed(self.downs))

    def open_tabs(self) -> Iterator[Tab]:
        """The tabs that have been subscribed and are not closed for good."""
        return (tab for tab in self.tabs.values() if tab.subscribed != NEVER and tab.closed == NEVER)
