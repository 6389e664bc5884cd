"""The confirm ledger: single rules by example, and all of them against a model of the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from durable_ws.ledger import Entry, Fate, Ledger, Settled

FAR = 1000.0


def ready(window: int = 10) -> Ledger:
    """A ledger with an open channel on which the exchange ``x`` is declared."""
    ledger = Ledger(window)
    ledger.opened()
    ledger.declared("x")
    return ledger


def reopen(ledger: Ledger) -> None:
    """A new channel with ``x`` declared."""
    ledger.opened()
    ledger.declared("x")


def write_all(ledger: Ledger) -> list[int]:
    """Write all that may be written now; the keys."""
    written = []
    while (key := ledger.write()) is not None:
        written.append(key)
    return written


def fates(ledger: Ledger) -> dict[int, Fate]:
    """What was settled since the last call."""
    return {event.key: event.fate for event in ledger.settled()}


def publish(ledger: Ledger, *keys: int, exchange: str = "x", deadline: float = FAR) -> None:
    """Publish one message for each key, with message ids of their own."""
    for key in keys:
        ledger.publish(key, f"m{key}", exchange, deadline)


def test_acks_out_of_order_settle_their_own_tag() -> None:
    """A tag is no high-water mark unless ``multiple`` is set."""
    ledger = ready()
    publish(ledger, 0, 1, 2)
    assert write_all(ledger) == [0, 1, 2]
    ledger.ack(3)
    assert fates(ledger) == {2: Fate.CONFIRMED}
    ledger.ack(1)
    assert fates(ledger) == {0: Fate.CONFIRMED}
    ledger.nack(2)
    assert fates(ledger) == {1: Fate.NACKED}
    publish(ledger, 3, 4)
    assert write_all(ledger) == [3, 4]
    ledger.nack(5)
    assert fates(ledger) == {4: Fate.NACKED}


@pytest.mark.parametrize(("tag", "settled"), [(2, {0, 1}), (0, {0, 1, 2}), (3, {0, 1, 2})])
def test_multiple_speaks_for_all_up_to_its_tag(tag: int, settled: set[int]) -> None:
    """``multiple`` covers earlier tags, and tag 0 covers everything."""
    ledger = ready()
    publish(ledger, 0, 1, 2)
    write_all(ledger)
    ledger.ack(tag, multiple=True)
    assert set(fates(ledger)) == settled


def test_answers_to_nothing_are_ignored() -> None:
    """A second ack, an unknown tag, and a return of an unknown or missing id change nothing."""
    ledger = ready()
    publish(ledger, 0)
    write_all(ledger)
    ledger.ack(1)
    assert fates(ledger) == {0: Fate.CONFIRMED}
    ledger.ack(1)
    ledger.nack(99, multiple=False)
    ledger.returned("m0", "NO_ROUTE")
    ledger.returned(None, "NO_ROUTE")
    assert fates(ledger) == {}
    assert ledger.unsettled == 0


def test_a_return_belongs_to_the_message_of_its_id() -> None:
    """The confirm after the return settles it as returned; the neighbours are confirmed."""
    ledger = ready()
    publish(ledger, 0, 1, 2)
    write_all(ledger)
    ledger.returned("m1", "NO_ROUTE")
    ledger.ack(3, multiple=True)
    assert ledger.settled() == [
        Settled(0, Fate.CONFIRMED, 1, ""),
        Settled(1, Fate.RETURNED, 1, "no queue is bound for it (NO_ROUTE)"),
        Settled(2, Fate.CONFIRMED, 1, ""),
    ]


def test_one_id_is_never_unconfirmed_twice() -> None:
    """The second message of an id waits for the first one's answer, and takes its turn before later ones."""
    ledger = ready(window=2)
    ledger.publish(0, "same", "x", FAR)
    ledger.publish(1, "same", "x", FAR)
    ledger.publish(2, "other", "x", FAR)
    ledger.publish(3, "third", "x", FAR)
    assert write_all(ledger) == [0, 2]
    ledger.returned("same", "NO_ROUTE")
    ledger.ack(1)
    assert fates(ledger) == {0: Fate.RETURNED}
    assert write_all(ledger) == [1]
    ledger.ack(3)
    assert fates(ledger) == {1: Fate.CONFIRMED}


def test_an_id_stays_taken_after_its_deadline() -> None:
    """A late return would be taken for the next message's, so that one waits until the broker has answered."""
    ledger = ready()
    ledger.publish(0, "same", "x", 1.0)
    write_all(ledger)
    ledger.tick(1.0)
    assert fates(ledger) == {0: Fate.UNKNOWN}
    ledger.publish(1, "same", "x", FAR)
    assert write_all(ledger) == []
    ledger.returned("same", "NO_ROUTE")
    ledger.ack(1)
    assert fates(ledger) == {}
    assert write_all(ledger) == [1]
    ledger.ack(2)
    assert fates(ledger) == {1: Fate.CONFIRMED}


def test_lost_messages_are_written_again_in_order_before_all_else() -> None:
    """After a reconnect the unconfirmed come first, then what waited behind their ids, then the rest."""
    ledger = ready(window=3)
    ledger.publish(0, "a", "x", FAR)
    ledger.publish(1, "b", "x", FAR)
    ledger.publish(2, "a", "x", FAR)
    ledger.publish(3, "c", "x", FAR)
    ledger.publish(4, "d", "x", FAR)
    assert write_all(ledger) == [0, 1, 3]
    ledger.ack(2)
    ledger.lost("cut")
    assert fates(ledger) == {1: Fate.CONFIRMED}
    reopen(ledger)
    assert write_all(ledger) == [0, 3, 4]
    ledger.ack(3, multiple=True)
    assert write_all(ledger) == [2]
    ledger.ack(4)
    assert [(e.key, e.attempts) for e in ledger.settled()] == [(0, 2), (3, 2), (4, 1), (2, 1)]


def test_at_the_deadline_what_was_written_is_unknown_and_the_rest_not_sent() -> None:
    """The line is drawn at the first write."""
    ledger = ready(window=1)
    publish(ledger, 0, 1, deadline=5.0)
    publish(ledger, 2, deadline=6.0)
    write_all(ledger)
    assert ledger.next_deadline() == 5.0
    ledger.tick(4.9)
    assert fates(ledger) == {}
    ledger.tick(5.0)
    assert fates(ledger) == {0: Fate.UNKNOWN, 1: Fate.NOT_SENT}
    assert ledger.next_deadline() == 6.0


def test_a_returned_message_is_known_not_to_be_there() -> None:
    """Returned, then cut off before the confirm, then the deadline: the broker does not have it."""
    ledger = ready()
    publish(ledger, 0, deadline=5.0)
    write_all(ledger)
    ledger.returned("m0", "NO_ROUTE")
    ledger.lost("cut")
    ledger.tick(5.0)
    assert fates(ledger) == {0: Fate.NOT_SENT}


def test_a_returned_republish_tells_the_doubt_about_the_first_attempt() -> None:
    """The first attempt's fate is not known; the reason says so."""
    ledger = ready()
    publish(ledger, 0)
    write_all(ledger)
    ledger.lost("cut")
    reopen(ledger)
    write_all(ledger)
    ledger.returned("m0", "NO_ROUTE")
    ledger.ack(1)
    (event,) = ledger.settled()
    assert event.fate is Fate.RETURNED
    assert "an earlier attempt" in event.reason


def test_nothing_is_written_while_blocked() -> None:
    """At the deadline the reason names the alarm."""
    ledger = ready()
    ledger.blocked("low on memory")
    publish(ledger, 0, deadline=5.0)
    publish(ledger, 1)
    assert write_all(ledger) == []
    ledger.tick(5.0)
    (event,) = ledger.settled()
    assert event.fate is Fate.NOT_SENT
    assert "low on memory" in event.reason
    ledger.unblocked()
    assert write_all(ledger) == [1]


def test_an_undeclared_exchange_does_not_hold_up_others() -> None:
    """What waits for one exchange is out of the way of what goes to another, and its refusal hits only it."""
    ledger = ready()
    publish(ledger, 0, 1, exchange="gone")
    publish(ledger, 2)
    assert write_all(ledger) == [2]
    assert ledger.undeclared == ["gone"]
    ledger.exchange_refused("gone", "404")
    assert fates(ledger) == {0: Fate.REFUSED, 1: Fate.REFUSED}
    assert ledger.undeclared == []


def test_a_poisonous_message_is_found_and_the_others_survive() -> None:
    """The broker closes the channel for one of three: each is written again alone, and only that one is refused."""
    ledger = ready()
    publish(ledger, 0, 1, 2)
    write_all(ledger)
    ledger.poisoned("406")
    assert fates(ledger) == {}
    reopen(ledger)
    publish(ledger, 3)
    assert write_all(ledger) == [0]
    ledger.ack(1)
    assert write_all(ledger) == [1]
    ledger.poisoned("406")
    assert fates(ledger) == {0: Fate.CONFIRMED, 1: Fate.UNKNOWN}  # its first attempt was one of three
    reopen(ledger)
    assert write_all(ledger) == [2]
    ledger.ack(1)
    assert write_all(ledger) == [3]


def test_a_message_alone_gets_a_second_chance_and_is_then_refused() -> None:
    """The exchange may only have to be declared again; both attempts are known not to have been taken."""
    ledger = ready()
    publish(ledger, 0)
    write_all(ledger)
    ledger.poisoned("404")
    assert fates(ledger) == {}
    assert ledger.undeclared == ["x"]
    reopen(ledger)
    assert write_all(ledger) == [0]
    ledger.poisoned("404")
    assert ledger.settled() == [Settled(0, Fate.REFUSED, 2, "404")]


def test_a_refused_connection_settles_everything() -> None:
    """Wrong password: what was never written is refused, what was written before is unknown."""
    ledger = ready()
    publish(ledger, 0)
    write_all(ledger)
    ledger.lost("cut")
    publish(ledger, 1, 2)
    publish(ledger, 3, exchange="other")
    ledger.refused("403")
    assert fates(ledger) == {0: Fate.UNKNOWN, 1: Fate.REFUSED, 2: Fate.REFUSED, 3: Fate.REFUSED}
    assert ledger.unsettled == 0


def test_a_cancelled_message() -> None:
    """Unknown if it was written, and its id stays taken until the broker has answered; else it is never written."""
    ledger = ready(window=1)
    written = ledger.publish(0, "same", "x", FAR)
    waiting = ledger.publish(1, "other", "x", FAR)
    ledger.publish(2, "same", "x", FAR)
    assert write_all(ledger) == [0]
    ledger.cancel(written, "cancelled")
    ledger.cancel(waiting, "cancelled")
    ledger.cancel(waiting, "again")
    assert ledger.settled() == [Settled(0, Fate.UNKNOWN, 1, "cancelled"), Settled(1, Fate.NOT_SENT, 0, "cancelled")]
    assert write_all(ledger) == []
    ledger.ack(1)
    assert write_all(ledger) == [2]
    ledger.ack(2)
    assert fates(ledger) == {2: Fate.CONFIRMED}


def test_a_cancelled_message_is_not_written_again() -> None:
    """Nor is it, after the connection was lost."""
    ledger = ready()
    doomed = ledger.publish(0, "a", "x", FAR)
    ledger.publish(1, "b", "x", FAR)
    write_all(ledger)
    ledger.cancel(doomed, "cancelled")
    ledger.lost("cut")
    reopen(ledger)
    assert write_all(ledger) == [1]


def test_what_can_not_be_written_after_all() -> None:
    """It is refused alone, the next one takes its tag, and what waits behind its id goes ahead."""
    ledger = ready()
    ledger.publish(0, "a", "x", FAR)
    ledger.publish(1, "b", "x", FAR)
    ledger.publish(2, "b", "x", FAR)
    assert [ledger.write(), ledger.write()] == [0, 1]
    ledger.unwritten("too large")
    assert ledger.settled() == [Settled(1, Fate.REFUSED, 0, "too large")]
    assert write_all(ledger) == [2]
    ledger.ack(2)
    assert fates(ledger) == {2: Fate.CONFIRMED}
    ledger.ack(1)
    assert fates(ledger) == {0: Fate.CONFIRMED}


def test_deadlines_in_any_order() -> None:
    """The earliest is next, whichever was given first, and what is settled is none."""
    ledger = ready()
    for key, deadline in enumerate([5.0, 9.0, 3.0, 9.0, 4.0, 12.0]):
        ledger.publish(key, f"m{key}", "x", deadline)
    told = []
    while (due := ledger.next_deadline()) is not None:
        ledger.tick(due)
        told += [(due, event.key) for event in ledger.settled()]
    assert told == [(3.0, 2), (4.0, 4), (5.0, 0), (9.0, 1), (9.0, 3), (12.0, 5)]


def test_what_is_settled_does_not_pile_up() -> None:
    """While nothing can be written for hours, messages come and pass their deadlines: nothing of them is kept."""
    ledger = Ledger[int](10)
    waits = ledger.publish(-1, "waits", "x", FAR)
    for key in range(20_000):
        ledger.publish(key, f"m{key}", "x" if key % 2 else "y", key / 100)
        ledger.tick(key / 100)
    assert len(ledger.settled()) == 20_000
    kept = sum(len(queue) for queue in ledger._undeclared.values()) + len(ledger._deadlines)
    assert kept + len(ledger._odd_deadlines) < 300
    reopen(ledger)
    assert write_all(ledger) == [-1]
    assert not waits.settled


def test_why_a_message_is_late() -> None:
    """At the deadline the reason is what stood in its way, the first of these that holds."""

    def reason(ledger: Ledger) -> str:
        ledger.publish("late", "late", "x", 5.0)
        write_all(ledger)
        ledger.tick(5.0)
        (event,) = [event for event in ledger.settled() if event.key == "late"]
        return event.reason

    assert reason(Ledger(1)) == "the deadline passed without a connection (no connection yet)"
    ledger = Ledger(1)
    ledger.trouble("can't connect")
    assert reason(ledger) == "the deadline passed without a connection (can't connect)"
    ledger = ready()
    ledger.blocked("low on memory")
    ledger.lost("cut")
    assert reason(ledger) == "the deadline passed without a connection (cut)"
    ledger.opened()
    assert reason(ledger) == "the deadline passed before the broker answered the declaration of 'x'"
    ledger.declared("x")
    assert reason(ledger) == "the deadline passed without a confirm"
    ledger.blocked("low on memory")
    assert reason(ledger) == "the deadline passed while the broker blocks publishers (low on memory)"
    ledger.poisoned("406")  # the connection stays, and so does the alarm
    assert reason(ledger) == "the deadline passed while the broker blocks publishers (low on memory)"
    ledger.unblocked()
    assert reason(ledger) == "the deadline passed without a connection (406)"
    ledger.blocked("low on memory")
    ledger.refused("403")
    assert reason(ledger) == "the deadline passed without a connection (403)"
    ledger = ready(window=2)
    publish(ledger, 0, 1)
    assert reason(ledger) == "the deadline passed while 2 earlier messages were unconfirmed"


def test_what_the_broker_answers_is_told() -> None:
    """In one sentence, with how often it was tried."""
    ledger = ready()
    publish(ledger, 0, 1, 2)
    write_all(ledger)
    ledger.lost("cut")
    reopen(ledger)
    write_all(ledger)
    ledger.returned("m0", "NO_ROUTE")
    ledger.returned("m0", "twice")
    ledger.ack(1)
    ledger.nack(3, multiple=True)
    nacked = "the broker could not take responsibility for it (basic.nack)"
    doubt = "an earlier attempt, whose confirm never came, may have found one"
    assert ledger.settled() == [
        Settled(0, Fate.RETURNED, 2, f"no queue is bound for it (NO_ROUTE); {doubt}"),
        Settled(1, Fate.NACKED, 2, nacked),
        Settled(2, Fate.NACKED, 2, nacked),
    ]


def test_a_deadline_out_of_order_does_not_hide_an_earlier_one() -> None:
    """Nobody waits longer because another's time is shorter than that of who came before it."""
    ledger = ready()
    for key, deadline in enumerate([2.0, 9.0, 5.0]):
        ledger.publish(key, f"m{key}", "x", deadline)
    assert ledger.next_deadline() == 2.0
    ledger.tick(2.0)
    assert list(fates(ledger)) == [0]
    assert ledger.next_deadline() == 5.0
    ledger.tick(5.0)
    assert list(fates(ledger)) == [2]
    assert ledger.next_deadline() == 9.0


def test_nothing_is_written_before_a_channel_is_open() -> None:
    """Whatever is known to be there already."""
    ledger = Ledger[int](10)
    ledger.declared("x")
    publish(ledger, 0)
    assert write_all(ledger) == []
    ledger.opened()
    assert write_all(ledger) == [0]


def test_one_deadline_for_several() -> None:
    """Those of one deadline are told in the order in which they came, whatever else waits."""
    ledger = ready()
    publish(ledger, 0, 1, deadline=5.0)
    publish(ledger, 2, 3, deadline=4.0)
    publish(ledger, 4, deadline=5.0)
    ledger.tick(5.0)
    assert [event.key for event in ledger.settled()] == [2, 3, 0, 1, 4]
    assert ledger.next_deadline() is None


def test_what_waits_behind_an_id_keeps_its_order() -> None:
    """One answer for several ids lets go what waits behind each: by tag, and then as it came; before all else."""
    ledger = ready(window=3)
    for key, message_id in enumerate(["a", "b", "a", "b", "a", "b", "c", "d"]):
        ledger.publish(key, message_id, "x", FAR)
    assert write_all(ledger) == [0, 1, 6]
    ledger.ack(2, multiple=True)
    assert write_all(ledger) == [2, 3]
    ledger.ack(0, multiple=True)
    assert write_all(ledger) == [4, 5, 7]
    ledger.ack(0, multiple=True)
    assert len(fates(ledger)) == 8


def test_a_refusal_after_a_doubt() -> None:
    """What was written before may be there, whatever is refused now: the exchange, the message, the channel."""
    for refuse in (
        lambda ledger: ledger.exchange_refused("x", "no"),
        lambda ledger: ledger.refused("no"),
        lambda ledger: (reopen(ledger), ledger.write(), ledger.unwritten("no")),
    ):
        ledger = ready()
        publish(ledger, 0)
        write_all(ledger)
        ledger.lost("cut")
        publish(ledger, 1)
        refuse(ledger)
        first, *_ = ledger.settled()
        assert first == Settled(0, Fate.UNKNOWN, 1, "no")


def test_refusals_say_why() -> None:
    """Each in the words that came with it; what has its fate already keeps it."""
    ledger = ready()
    publish(ledger, 0, exchange="gone")
    publish(ledger, 1)
    ledger.exchange_refused("gone", "404")
    ledger.exchange_refused("gone", "again")
    ledger.exchange_refused("unheard of", "404")
    ledger.refused("403")
    ledger.close("closed")
    assert ledger.settled() == [Settled(0, Fate.REFUSED, 0, "404"), Settled(1, Fate.REFUSED, 0, "403")]
    publish(ledger, 2)
    assert ledger.unsettled == 1
    ledger.close("closed")
    assert ledger.settled() == [Settled(2, Fate.NOT_SENT, 0, "closed")]
    assert ledger.settled() == []
    assert ledger.unsettled == 0


def test_a_declaration_that_nobody_waits_for() -> None:
    """Is known all the same."""
    ledger = Ledger[int](10)
    ledger.opened()
    ledger.declared("x")
    publish(ledger, 0)
    assert ledger.undeclared == []
    assert write_all(ledger) == [0]


def test_the_broker_minds_one_that_it_has_returned() -> None:
    """A message alone that came back before the channel was closed is not there, but was not what was minded."""
    ledger = ready()
    publish(ledger, 0)
    write_all(ledger)
    ledger.returned("m0", "NO_ROUTE")
    ledger.poisoned("406")
    reopen(ledger)
    assert write_all(ledger) == [0]
    ledger.returned("m0", "NO_ROUTE")
    ledger.poisoned("406")
    assert ledger.settled() == [Settled(0, Fate.REFUSED, 2, "406")]


def test_one_alone_does_not_hold_the_others_up_for_long() -> None:
    """It waits until the channel is empty, then has it for itself; then several go again."""
    ledger = ready()
    publish(ledger, 0, 1)
    write_all(ledger)
    ledger.poisoned("406")
    reopen(ledger)
    publish(ledger, 2, 3)
    assert write_all(ledger) == [0]
    ledger.ack(1)
    assert write_all(ledger) == [1]
    ledger.nack(2)
    assert write_all(ledger) == [2, 3]
    ledger.lost("cut")
    reopen(ledger)
    assert write_all(ledger) == [2, 3]


def test_tags_begin_anew_on_each_channel() -> None:
    """And rise by one with each write."""
    ledger = ready(window=2)
    publish(ledger, 0, 1, 2)
    write_all(ledger)
    ledger.lost("cut")
    reopen(ledger)
    assert write_all(ledger) == [0, 1]
    assert ledger.unconfirmed == 2
    ledger.ack(2)
    assert fates(ledger) == {1: Fate.CONFIRMED}
    assert write_all(ledger) == [2]
    ledger.ack(3)
    ledger.ack(1)
    assert fates(ledger) == {2: Fate.CONFIRMED, 0: Fate.CONFIRMED}
    assert ledger.unconfirmed == 0


@dataclass
class Attempt:
    """One write as the model broker sees it."""

    key: int
    message_id: str
    routed: bool
    nacked: bool
    return_sent: bool = False
    refused: bool = False  # it was alone on a channel that the broker closed for it
    answered: bool = False


class AgainstABroker(RuleBasedStateMachine):
    """A broker that takes, returns, nacks and confirms in any order that AMQP allows, and is lost at any time.

    It knows the truth; the ledger must never claim anything else.
    """

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.next_key = 0
        self.events: dict[int, Settled] = {}
        self.published: dict[int, tuple[str, str, float]] = {}
        self.attempts: dict[int, list[Attempt]] = {}
        self.entries: dict[int, Entry[int]] = {}
        self.channel: list[Attempt] | None = None  # in the order of their tags
        self.declared: set[str] = set()
        self.blocked = False
        self.suspects: set[int] = set()

    @initialize(window=st.integers(1, 5))
    def begin(self, window: int) -> None:
        """The window is drawn once."""
        self.window = window
        self.ledger = Ledger(window)

    def drain(self) -> None:
        """Take what was settled; never twice the same."""
        for event in self.ledger.settled():
            assert event.key not in self.events, "settled twice"
            self.events[event.key] = event
            self.check_truth(event)

    def check_truth(self, event: Settled) -> None:
        """The fate that the ledger claims, against what the broker did."""
        attempts = self.attempts[event.key]
        assert event.attempts == len(attempts)
        last = attempts[-1] if attempts else None
        taken = [attempt for attempt in attempts if attempt.routed and not attempt.nacked]
        match event.fate:
            case Fate.CONFIRMED:
                assert last is not None
                assert last in taken
            case Fate.RETURNED:
                assert last is not None
                assert not last.routed
                assert last.return_sent
                assert ("an earlier attempt" in event.reason) or not taken
            case Fate.NACKED:
                assert last is not None
                assert last.nacked
            case Fate.NOT_SENT | Fate.REFUSED:
                assert not taken
                assert all(attempt.return_sent or not attempt.routed for attempt in attempts)
            case Fate.UNKNOWN:
                assert attempts

    @rule(
        message_ids=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4),
        exchange=st.sampled_from(["x", "x", "x", "y"]),
        after=st.floats(1, 100),
    )
    def publish(self, message_ids: list[str], exchange: str, after: float) -> None:
        """Few message ids, so that they meet on the channel."""
        for message_id in message_ids:
            key, self.next_key = self.next_key, self.next_key + 1
            self.published[key] = (message_id, exchange, self.now + after)
            self.attempts[key] = []
            self.entries[key] = self.ledger.publish(key, message_id, exchange, self.now + after)
        self.drain()

    @precondition(lambda self: len(self.events) < len(self.published))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A caller wants no more of its message; then it has a fate, and is not written any more."""
        key = data.draw(st.sampled_from([key for key in self.published if key not in self.events]))
        self.ledger.cancel(self.entries[key], "cancelled")
        self.drain()
        assert self.events[key].fate in (Fate.UNKNOWN, Fate.NOT_SENT)

    @precondition(lambda self: self.channel is not None)
    @rule()
    def write_in_vain(self) -> None:
        """What is to be written does not fit on the connection: it has a fate at once, and took no tag."""
        key = self.ledger.write()
        if key is not None:
            self.ledger.unwritten("too large")
            self.drain()
            assert self.events[key].fate is (Fate.REFUSED if not self.doubts(key) else Fate.UNKNOWN)

    def doubts(self, key: int) -> int:
        """How many attempts the broker may have taken, as far as the ledger was told."""
        return sum(not attempt.return_sent and not attempt.refused for attempt in self.attempts[key])

    @precondition(lambda self: self.channel is not None)
    @rule(fates=st.lists(st.sampled_from(["routed", "routed", "unroutable", "nacked"]), min_size=1, max_size=5))
    def write(self, fates: list[str]) -> None:
        """As many writes as the ledger allows; the broker decides each one's fate at once."""
        for fate in fates:
            key = self.ledger.write()
            if key is None:
                return
            assert self.channel is not None
            assert not self.blocked
            assert key not in self.events
            message_id, exchange, _ = self.published[key]
            assert exchange in self.declared
            others = [other for _, other in self.waiting()]
            assert all(other.message_id != message_id for other in others)
            assert not others or not self.suspects & {key, *(other.key for other in others)}, "a suspect is not alone"
            attempt = Attempt(key, message_id, routed=fate != "unroutable", nacked=fate == "nacked")
            self.channel.append(attempt)
            self.attempts[key].append(attempt)

    @precondition(lambda self: self.channel is None)
    @rule()
    def open(self) -> None:
        """A new channel; its tags begin at 1."""
        self.channel, self.declared = [], {"x"}
        self.ledger.opened()
        self.ledger.declared("x")

    @precondition(lambda self: self.channel is not None and self.ledger.undeclared)
    @rule(refuse=st.integers(0, 5))
    def declare(self, refuse: int) -> None:
        """The broker answers the declaration that is waited for."""
        exchange = self.ledger.undeclared[0]
        if refuse == 0:
            self.ledger.exchange_refused(exchange, "404")
        else:
            self.declared.add(exchange)
            self.ledger.declared(exchange)
        self.drain()

    def waiting(self) -> list[tuple[int, Attempt]]:
        """Tag and attempt of what is not answered yet."""
        return [(tag, a) for tag, a in enumerate(self.channel or [], 1) if not a.answered]

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def send_return(self, data: st.DataObject) -> None:
        """A return may come long before its confirm."""
        unroutable = [a for _, a in self.waiting() if not a.routed and not a.return_sent]
        if unroutable:
            attempt = data.draw(st.sampled_from(unroutable))
            attempt.return_sent = True
            self.ledger.returned(attempt.message_id, "NO_ROUTE")
            self.drain()

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), multiple=st.booleans(), zero=st.booleans())
    def answer(self, data: st.DataObject, multiple: bool, zero: bool) -> None:
        """Confirm one, or all up to one where they have the same kind of answer; returns go first."""
        waiting = self.waiting()
        tag, chosen = data.draw(st.sampled_from(waiting))
        covered = [a for t, a in waiting if t <= tag] if multiple else [chosen]
        if any(a.nacked != chosen.nacked for a in covered):
            covered, multiple = [chosen], False
        for attempt in covered:
            if not attempt.routed and not attempt.return_sent:
                attempt.return_sent = True
                self.ledger.returned(attempt.message_id, "NO_ROUTE")
            attempt.answered = True
        if multiple and zero and len(covered) == len(waiting):
            tag = 0
        (self.ledger.nack if chosen.nacked else self.ledger.ack)(tag, multiple=multiple)
        self.drain()

    @precondition(lambda self: self.channel is not None)
    @rule()
    def lose(self) -> None:
        """The connection is cut; the broker keeps what it took."""
        self.channel, self.blocked = None, False
        self.ledger.lost("cut")
        self.drain()

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def poison(self, data: st.DataObject) -> None:
        """The broker closes the channel for one of the unanswered; that one and what follows it is not taken."""
        waiting = [a for _, a in self.waiting()]
        suspects = [a for a in waiting if not a.return_sent]
        if not suspects:
            return
        culprit = data.draw(st.sampled_from(suspects))
        for attempt in waiting[waiting.index(culprit) :]:
            attempt.routed = attempt.nacked = False
        culprit.refused = len(waiting) == 1
        self.suspects |= {attempt.key for attempt in waiting}
        self.channel = None
        self.ledger.poisoned("406")
        self.drain()

    @precondition(lambda self: self.channel is None)
    @rule(rarely=st.integers(0, 3))
    def refuse(self, rarely: int) -> None:
        """The next connection is refused for good."""
        if rarely == 0:
            self.blocked = False
            self.ledger.refused("403")
            self.drain()

    @precondition(lambda self: self.channel is not None)
    @rule()
    def block(self) -> None:
        """An alarm is raised, or cleared."""
        self.blocked = not self.blocked
        if self.blocked:
            self.ledger.blocked("low on memory")
        else:
            self.ledger.unblocked()
        self.drain()

    @rule(step=st.floats(0.1, 5))
    def tick(self, step: float) -> None:
        """Time goes by; what is due is settled."""
        self.now += step
        self.ledger.tick(self.now)
        self.drain()
        overdue = [key for key, (_, _, deadline) in self.published.items() if deadline <= self.now]
        assert all(key in self.events for key in overdue)

    @invariant()
    def window_is_kept(self) -> None:
        """The counts agree with the broker's, within the window."""
        if hasattr(self, "ledger"):
            assert self.ledger.unconfirmed == len(self.waiting()) <= self.window
            assert self.ledger.unsettled == len(self.published) - len(self.events)

    def teardown(self) -> None:
        """In the end each publish has exactly one fate; with a broker that answers, it comes without the deadline."""
        if not hasattr(self, "ledger"):
            return
        if self.channel is None:
            self.open()
        if self.blocked:
            self.block()
        for _ in range(4 * len(self.published) + 4):
            for exchange in self.ledger.undeclared:
                self.declared.add(exchange)
                self.ledger.declared(exchange)
            while len(self.waiting()) < self.window:
                before = len(self.waiting())
                self.write(["routed"])
                if len(self.waiting()) == before:
                    break
            for tag, attempt in self.waiting():
                if not attempt.routed and not attempt.return_sent:
                    attempt.return_sent = True
                    self.ledger.returned(attempt.message_id, "NO_ROUTE")
                attempt.answered = True
                (self.ledger.nack if attempt.nacked else self.ledger.ack)(tag)
            self.drain()
        assert set(self.events) == set(self.published)
        assert self.ledger.unsettled == self.ledger.unconfirmed == 0
        self.ledger.close("closed")
        assert self.ledger.settled() == []


TestAgainstABroker: Any = AgainstABroker.TestCase
TestAgainstABroker.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
