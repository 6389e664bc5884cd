"""What an administrator destroys is not lost by the setup; what he did not destroy is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.checker import Counts, Verdict
from conformance.checker.verdict import Distribution, Recovery, Times
from conformance.history.events import TabClosed
from tests.checker.conftest import EXCHANGE

NewStory = Callable[[], Any]

NOTE = (
    "1 obligation ended as an administrator destroyed the messages in queue q-t1 (purge_queue): not lost by the setup"
)


def told(verdict: Verdict) -> list[tuple[str, str, int]]:
    """The tally, short."""
    return [(tally.kind, tally.cause, tally.count) for tally in verdict.tally]


def test_a_purged_queue_is_told_whole(story: NewStory) -> None:
    """The whole verdict: one message is purged while the tab is away, the next arrives."""
    s = story().subscribe().cut().publish("m1").destroy("messages", "q-t1", "purge_queue").publish("m2")
    verdict = s.subscribe(session=2).deliver("m2", session=2).rest("t1").verdict()
    assert verdict == Verdict(
        verdict="certified",
        summary="all 1 obligations of 2 confirmed messages were met",
        counts=Counts(attempted=2, confirmed=2, delivered=1, handled=1, obligations=1, destroyed=1),
        times=Times(
            confirm=Distribution(count=2, min_ms=1, median_ms=1, p95_ms=1, p99_ms=1, max_ms=1, sample_ms=(1, 1)),
            delivery=Distribution(count=1, min_ms=4, median_ms=4, p95_ms=4, p99_ms=4, max_ms=4, sample_ms=(4,)),
            recoveries=(
                Recovery(fault="rst", target="tab:t1", tab="t1", index=4, back_s=0.009, caught_up_s=0.011),
                Recovery(fault="purge_queue", target="broker", tab="t1", index=9, back_s=0.004, caught_up_s=0.006),
            ),
            longest_outage_s={"t1": 0.01},
        ),
        notes=(NOTE,),
    )


def test_a_purge_excuses_what_is_on_its_way(story: NewStory) -> None:
    """A message that is invoked before the purge and confirmed after it may have been hit."""
    s = story().subscribe().cut().invoke("m1").destroy("messages", "q-t1", "purge_queue").settle("m1").publish("m2")
    verdict = s.subscribe(session=2).deliver("m2", session=2).rest("t1").verdict()
    assert (verdict.verdict, verdict.counts.obligations, verdict.counts.destroyed) == ("certified", 1, 0)


def test_a_purge_does_not_excuse_what_comes_after_it(story: NewStory) -> None:
    """Lost after the purge is lost."""
    s = story().subscribe().cut().publish("m1").destroy("messages", "q-t1", "purge_queue").publish("m2")
    verdict = s.subscribe(session=2).rest("t1").verdict()
    assert told(verdict) == [("lost", "unexplained", 1)]
    assert verdict.violations[0].message_id == "m2"
    assert verdict.counts.destroyed == 1


def test_a_purge_of_one_queue_excuses_no_other(story: NewStory) -> None:
    """The tab next door has lost a message by itself."""
    s = story().subscribe("t1").subscribe("t2").cut("t1").cut("t2").publish("m1")
    s.destroy("messages", "q-t1", "purge_queue").subscribe("t1", session=2).subscribe("t2", session=2)
    verdict = s.rest("t1", "t2").verdict()
    assert told(verdict) == [("lost", "unexplained", 1)]
    assert verdict.violations[0].tab == "t2"
    assert (verdict.counts.obligations, verdict.counts.destroyed) == (1, 1)


def test_what_was_purged_may_come_all_the_same(story: NewStory) -> None:
    """A purge takes what is ready and no more: what was unacked comes again, and is no violation."""
    s = story().subscribe().publish("m1").deliver("m1", handle=False, ack=False)
    s.destroy("messages", "q-t1", "purge_queue").cut()
    s.subscribe(session=2).deliver("m1", session=2, redelivered=True).publish("m2").deliver("m2", session=2)
    verdict = s.rest("t1").verdict()
    assert (verdict.verdict, verdict.counts.destroyed) == ("certified", 1)


def test_a_deleted_queue_ends_obligations_until_the_tab_is_back(story: NewStory) -> None:
    """What waited is destroyed, what is published meanwhile comes back unroutable, what comes after is owed."""
    s = (
        story()
        .subscribe()
        .cut()
        .publish("m1")
        .destroy("queue", "q-t1", "delete_queue")
        .publish("m2", outcome="returned")
    )
    verdict = s.subscribe(session=2).publish("m3").deliver("m3", session=2).rest("t1").verdict()
    assert (verdict.verdict, verdict.counts) == (
        "certified",
        Counts(attempted=3, confirmed=2, returned=1, delivered=1, handled=1, obligations=1, destroyed=1),
    )


def test_a_loss_after_the_tab_is_back_stays_a_loss(story: NewStory) -> None:
    """The queue was deleted and made anew; what it lost then is the setup's."""
    s = story().subscribe().destroy("queue", "q-t1", "delete_queue").cut(fault=None, reason="ERROR")
    verdict = s.subscribe(session=2).publish("m1").rest("t1").verdict()
    assert told(verdict) == [("lost", "unexplained", 1)]
    assert verdict.counts.destroyed == 0


def test_the_deletion_of_another_queue_excuses_nothing(story: NewStory) -> None:
    """Only the tab whose queue it was is excused."""
    s = story().subscribe().publish("m1").destroy("queue", "q-t2", "delete_queue")
    verdict = s.rest("t1").verdict()
    assert told(verdict) == [("lost", "unexplained", 1)]


def test_a_tab_that_never_comes_back_loses_what_is_published_after_the_fault(story: NewStory) -> None:
    """It was told that its queue was gone; what was published while the fault was on is not counted."""
    s = story().subscribe().destroy("queue", "q-t1", "delete_queue", ended=False).cut(fault=None, reason="ERROR")
    s.publish("m1", outcome="returned").end_of_broker_fault("delete_queue").publish("m2", outcome="returned")
    verdict = s.rest("t1", exists=False).verdict()
    assert told(verdict) == [("lost", "never-resubscribed", 1)]
    assert (verdict.violations[0].message_id, verdict.counts.obligations) == ("m2", 1)


def test_a_tab_that_is_closed_instead_is_owed_nothing(story: NewStory) -> None:
    """Its user closed it after the queue was deleted."""
    s = story().subscribe().publish("m0").deliver("m0").destroy("queue", "q-t1", "delete_queue")
    s.cut(fault=None, reason="ERROR").publish("m1", outcome="returned")
    s.add(TabClosed, tab="t1")
    assert s.rest().verdict().verdict == "certified"


def test_a_tab_that_is_late_is_excused(story: NewStory) -> None:
    """It comes back after something was published, as one that is only just connecting."""
    s = story().subscribe().destroy("queue", "q-t1", "delete_queue").cut(fault=None, reason="ERROR")
    s.publish("m1", outcome="returned").subscribe(session=2).publish("m2").deliver("m2", session=2)
    verdict = s.rest("t1").verdict()
    assert (verdict.verdict, verdict.counts.obligations) == ("certified", 1)


def test_a_removed_exchange_takes_the_bindings_and_not_what_waits(story: NewStory) -> None:
    """What was in the queue is owed still; nothing new is until the tab subscribes again."""
    s = story().subscribe().cut().publish("m1").destroy("exchange", EXCHANGE, "remove_exchange")
    s.publish("m2", outcome="returned").subscribe(session=2).deliver("m1", session=2)
    verdict = s.publish("m3").deliver("m3", session=2).rest("t1").verdict()
    assert (verdict.verdict, verdict.counts) == (
        "certified",
        Counts(attempted=3, confirmed=2, returned=1, delivered=2, handled=2, obligations=2),
    )


def test_what_waited_when_an_exchange_was_removed_can_be_lost(story: NewStory) -> None:
    """The exchange held no message: that one is gone is the setup's doing."""
    s = story().subscribe().cut().publish("m1").destroy("exchange", EXCHANGE, "remove_exchange")
    verdict = s.subscribe(session=2).publish("m2").deliver("m2", session=2).rest("t1").verdict()
    assert told(verdict) == [("lost", "unexplained", 1)]
    assert verdict.violations[0].message_id == "m1"


def test_the_removal_of_another_exchange_excuses_nothing(story: NewStory) -> None:
    """Only those that were bound to it are excused."""
    s = story().subscribe().destroy("exchange", "another", "remove_exchange").publish("m1", outcome="returned")
    assert told(s.rest("t1").verdict()) == [("lost", "queue-gone", 1)]
