"""What must hold of the checker whatever the history: properties over drawn histories, and a naive second opinion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.checker import Checker, Verdict, check
from conformance.contract.model import Contract, PromiseSection
from conformance.contract.topic import topic_matches
from conformance.history import events as e

CONTRACT = Contract(promise=PromiseSection(longest_outage=5.0))
TABS = {"t1": "ticks", "t2": "news.#", "t3": "#"}
KEYS = ("ticks", "news.sport", "nobody.there")

_tabs = st.sampled_from(sorted(TABS))
_numbers = st.integers(0, 7)
_outcomes = st.sampled_from(["confirmed", "confirmed", "confirmed", "returned", "unknown", "failed"])
_arrivals = st.tuples(st.just("deliver"), _numbers, _tabs, st.booleans(), st.booleans())
_steps = st.one_of(
    st.tuples(st.just("invoke"), st.sampled_from(KEYS)),
    st.tuples(st.just("settle"), _numbers, _outcomes),
    _arrivals,
    _arrivals,
    _arrivals,
    st.tuples(st.just("turn"), _tabs),
    st.tuples(st.just("turn"), _tabs),
    st.tuples(st.just("close"), _tabs),
    st.tuples(st.just("later"), st.sampled_from([1.0, 6.0])),
)


class Run:
    """Turns drawn steps into a history that could have happened."""

    def __init__(self, s: Any, subscribed: set[str]) -> None:
        self.story = s
        self.sessions = dict.fromkeys(TABS, 0)
        self.on: set[str] = set()
        self.closed: set[str] = set()
        self.published = 0
        self.open: list[int] = []
        for tab in sorted(subscribed):
            self.turn(tab)
        for key in KEYS[:2]:
            self.invoke(key)

    def invoke(self, key: str) -> None:
        """Begin to publish."""
        self.story.invoke(f"m{self.published}", key)
        self.open.append(self.published)
        self.published += 1

    def settle(self, number: int, outcome: str) -> None:
        """One of the open publishes ends."""
        if self.open:
            self.story.settle(f"m{self.open.pop(number % len(self.open))}", outcome)

    def deliver(self, number: int, tab: str, handle: bool, ack: bool) -> None:
        """One of the messages comes to a tab that is there."""
        if tab in self.on:
            self.story.deliver(f"m{number % self.published}", tab, self.sessions[tab], handle=handle, ack=ack)

    def turn(self, tab: str) -> None:
        """A tab comes, or goes."""
        if tab in self.on:
            self.on.discard(tab)
            self.story.cut(tab, self.sessions[tab])
        elif tab not in self.closed:
            self.on.add(tab)
            self.sessions[tab] += 1
            self.story.subscribe(tab, TABS[tab], self.sessions[tab])

    def close(self, tab: str) -> None:
        """A tab goes for good; not in its odd sessions, so that it does not happen too often."""
        if tab in self.on and self.sessions[tab] % 2 == 0:
            self.on.discard(tab)
            self.closed.add(tab)
            self.story.add(e.TabClosed, tab=tab)

    def later(self, seconds: float) -> None:
        """Time passes."""
        self.story.later(seconds)


@st.composite
def histories(draw: st.DrawFn, story: Callable[[], Any]) -> list[e.Event]:
    """A history in which tabs come and go and messages come or do not, in any order, that came to rest."""
    run = Run(story(), draw(st.sets(_tabs)))
    for name, *arguments in draw(st.lists(_steps, min_size=10, max_size=40)):
        getattr(run, name)(*arguments)
    while run.open:
        run.settle(0, "confirmed")
    events: list[e.Event] = run.story.rest().events
    return events


def renumbered(events: list[e.Event]) -> list[e.Event]:
    """The same events with dense indexes, and times that do not fall."""
    now, out = 0, []
    for index, event in enumerate(events):
        now = max(now, event.time_ns)
        out.append(dataclasses.replace(event, index=index, time_ns=now))
    return out


def said(verdict: Verdict) -> tuple[Any, ...]:
    """All of a verdict but times and texts, which hold indexes."""
    tally = {(tally.kind, tally.cause): tally.count for tally in verdict.tally}
    return verdict.verdict, verdict.counts, tally, sorted(verdict.inconclusive_reasons)


def naive(events: list[e.Event]) -> tuple[int, int]:
    """(obligations, lost) by the definition, pair by pair, each from the whole list."""
    obligations = lost = 0
    end = next(event.time_ns for event in events if isinstance(event, e.Quiesced))
    for invoked in (event for event in events if isinstance(event, e.PublishInvoked)):
        settled = any(
            isinstance(event, e.PublishConfirmed | e.PublishReturned) and event.message_id == invoked.message_id
            for event in events
        )
        for tab, pattern in TABS.items():
            of_tab = [event for event in events if getattr(event, "tab", None) == tab]
            subscribed = [event for event in of_tab if isinstance(event, e.TabSubscribed)]
            if not settled or not subscribed or subscribed[0].index > invoked.index:
                continue
            handled = [
                event.index
                for event in of_tab
                if isinstance(event, e.TabHandled) and event.body_digest == invoked.body_digest
            ]
            closed = [event.index for event in of_tab if isinstance(event, e.TabClosed)]
            matches = topic_matches(pattern, invoked.routing_key)
            if not matches or (closed and closed[0] < invoked.index):
                continue
            forgiven = list(closed)
            for gone in (event for event in of_tab if isinstance(event, e.TabDisconnected)):
                back = next((event for event in subscribed if event.index > gone.index), None)
                over, index = (end, len(events)) if back is None else (back.time_ns, back.index)
                if over - gone.time_ns > 5e9 and index > invoked.index and not (closed and closed[0] < index):
                    forgiven.append(index)
            if forgiven and not (handled and handled[0] < min(forgiven)):
                continue  # not met by then; what comes later comes unowed, before or after its confirm
            obligations += 1
            lost += not handled
    return obligations, lost


@settings(deadline=None)
@given(st.data())
def test_a_naive_checker_agrees(story: Callable[[], Any], data: st.DataObject) -> None:
    """Obligations and losses are those of the definition, taken pair by pair."""
    events = data.draw(histories(story))
    counts = check(events, CONTRACT).counts
    assert (counts.obligations, counts.lost) == naive(events)


@settings(deadline=None)
@given(st.data())
def test_adding_a_delivery_never_creates_a_loss(story: Callable[[], Any], data: st.DataObject) -> None:
    """Whatever comes to whichever tab, wherever in the history: known, altered or never published."""
    events = data.draw(histories(story))
    at = data.draw(st.integers(0, len(events)))
    number, tab, body = data.draw(_numbers), data.draw(_tabs), data.draw(st.sampled_from([None, "other"]))
    more = story().deliver(f"m{number}", tab, 99, body=body).events
    before, after = check(events, CONTRACT), check(renumbered([*events[:at], *more, *events[at:]]), CONTRACT)
    assert after.counts.lost <= before.counts.lost


@settings(deadline=None)
@given(st.data())
def test_dropping_a_delivery_never_hides_a_loss(story: Callable[[], Any], data: st.DataObject) -> None:
    """Without one handling there are as many losses or more."""
    events = data.draw(histories(story))
    handled = [event for event in events if isinstance(event, e.TabHandled)]
    if handled:
        dropped = data.draw(st.sampled_from(handled))
        fewer = renumbered([event for event in events if event is not dropped])
        assert check(fewer, CONTRACT).counts.lost >= check(events, CONTRACT).counts.lost


@settings(deadline=None)
@given(st.data())
def test_duplicates_never_change_what_is_lost(story: Callable[[], Any], data: st.DataObject) -> None:
    """A message that comes again right after it came changes no loss and no obligation."""
    events = data.draw(histories(story))
    again = data.draw(st.sets(st.integers(0, len(events))))
    more = []
    for index, event in enumerate(events):
        more.append(event)
        if index in again and isinstance(event, e.TabDelivered | e.TabHandled | e.TabAcked):
            more.append(event)
    before, after = check(events, CONTRACT).counts, check(renumbered(more), CONTRACT).counts
    assert (after.lost, after.obligations) == (before.lost, before.obligations)


def independent(one: e.Event, other: e.Event) -> bool:
    """Whether nobody could tell in which order the two happened."""
    arrivals = (e.TabDelivered, e.TabHandled, e.TabAcked)
    outcomes = (e.PublishConfirmed, e.PublishReturned, e.PublishUnknown, e.PublishFailed)
    if isinstance(one, arrivals) and isinstance(other, arrivals):
        return one.tab != other.tab
    if isinstance(one, outcomes) and isinstance(other, outcomes):
        return True
    if isinstance(one, e.TabClosed) and isinstance(other, e.TabClosed):
        return True
    for a, b in ((one, other), (other, one)):
        if isinstance(a, (*outcomes, e.PublishInvoked)) and isinstance(b, arrivals):
            return a.message_id != b.message_id or isinstance(a, outcomes)
        if isinstance(a, outcomes) and isinstance(b, e.TabClosed):
            return True
    return False


@settings(deadline=None)
@given(st.data())
def test_the_order_of_independent_events_does_not_matter(story: Callable[[], Any], data: st.DataObject) -> None:
    """Swap neighbours that have nothing to do with each other, many times: nothing but times changes."""
    events = data.draw(histories(story))
    shuffled = list(events)
    for _ in range(3):
        for index in range(len(shuffled) - 1):
            if independent(shuffled[index], shuffled[index + 1]) and data.draw(st.booleans()):
                shuffled[index], shuffled[index + 1] = shuffled[index + 1], shuffled[index]
    assert said(check(renumbered(shuffled), CONTRACT)) == said(check(events, CONTRACT))


@settings(deadline=None)
@given(st.data())
def test_feeding_step_by_step_leaves_nothing_outstanding_but_the_lost(
    story: Callable[[], Any], data: st.DataObject
) -> None:
    """What is outstanding in the end, over all tabs, is what is lost of the confirmed."""
    events = data.draw(histories(story))
    checker = Checker(CONTRACT)
    for event in events:
        checker.feed(event)
        assert checker.outstanding() == sum(checker.outstanding_for(tab) for tab in TABS)
        assert checker.outstanding() >= 0
    lost = checker.finish().counts.lost
    assert checker.outstanding() <= lost


_vocabulary: dict[str, st.SearchStrategy[Any]] = {
    "tab": _tabs,
    "session": st.integers(0, 2),
    "message_id": st.sampled_from(["m0", "m1", "m2"]),
    "body_digest": st.sampled_from(["body-m0", "body-m1", "body-m2", "other"]),
    "body_digests": st.lists(st.sampled_from(["body-m0", "body-m1"])).map(tuple),
    "exchange": st.sampled_from(["x", ""]),
    "exchange_type": st.sampled_from(["topic", "fanout", "direct", "headers"]),
    "routing_key": st.sampled_from(["a", "a.b", ""]),
    "binding_key": st.sampled_from(["a", "#", "*.b"]),
    "queue": st.sampled_from(["q1", "q2"]),
    "fault_id": st.integers(0, 2),
    "target": st.sampled_from(["tab:t1", "tab:t2", "publisher", "broker", "?"]),
    "ready": st.sampled_from([None, 0, 1]),
    "headers": st.sampled_from([{}, {"ack": "auto"}, {"x-expires": "soon", "durable": "false"}]),
    "arguments": st.sampled_from([None, {}, {"x-expires": 1, "x-message-ttl": "5"}, {"x-max-length": [1]}]),
    "parameters": st.just({"n": 1}),
    "counts": st.just({"cut": 1}),
}
_any_event = st.sampled_from(list(e.EVENT_TYPES.values())).flatmap(
    lambda event_type: st.builds(
        event_type,
        index=st.just(0),
        time_ns=st.integers(0, 10**11),
        **{
            field.name: _vocabulary[field.name] for field in dataclasses.fields(event_type) if field.name in _vocabulary
        },
    )
)


@settings(deadline=None)
@given(st.lists(_any_event, max_size=60))
def test_no_history_whatever_breaks_the_checker(drawn: list[e.Event]) -> None:
    """Events in any order, however absurd, have a verdict; the counts of publishes add up."""
    verdict = check(renumbered(drawn), CONTRACT)
    counts = verdict.counts
    assert counts.attempted == counts.confirmed + counts.returned + counts.nacked + counts.unknown + counts.failed
    assert 0 <= counts.lost <= counts.obligations
    assert (verdict.verdict == "violated") == bool(verdict.tally)
    assert (verdict.verdict == "certified") == (not verdict.tally and not verdict.inconclusive_reasons)
