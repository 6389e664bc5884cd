"""Hand-written histories, sane and pathological, against what the checker must say of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.checker import Checker, Counts, Verdict
from conformance.checker.verdict import Distribution, Recovery, Tally, Times
from conformance.contract.model import Contract, PromiseSection
from conformance.history import events as e

NewStory = Callable[[], Any]


def promise(**keys: Any) -> Contract:
    """The built-in contract with another promise."""
    return Contract(promise=PromiseSection(**keys))


def told(verdict: Verdict) -> list[tuple[str, str, int]]:
    """The tally, short."""
    return [(tally.kind, tally.cause, tally.count) for tally in verdict.tally]


def test_an_empty_history_proves_nothing(story: NewStory) -> None:
    """The whole verdict on no events at all."""
    reasons = ("the history ends before the run was over", "nothing was published", "no tab ever subscribed")
    assert story().verdict() == Verdict(
        verdict="inconclusive", summary="; ".join(reasons), counts=Counts(), inconclusive_reasons=reasons
    )


def test_a_sane_history_is_certified(story: NewStory) -> None:
    """The whole verdict on a message to each of two tabs, one of them cut and back."""
    s = story().subscribe("t1").subscribe("t2", "news.#").publish("m1").deliver("m1")
    s.cut("t2").publish("m2", "news.sport").later(2).subscribe("t2", "news.#", 2).deliver("m2", "t2", 2).rest(
        "t1", "t2"
    )
    assert s.verdict() == Verdict(
        verdict="certified",
        summary="all 2 obligations of 2 confirmed messages were met",
        counts=Counts(attempted=2, confirmed=2, delivered=2, handled=2, obligations=2),
        times=Times(
            confirm=Distribution(count=2, min_ms=1, median_ms=1, p95_ms=1, p99_ms=1, max_ms=1, sample_ms=(1, 1)),
            delivery=Distribution(count=2, min_ms=2, median_ms=2, p95_ms=2, p99_ms=2, max_ms=2004, sample_ms=(2, 2004)),
            recoveries=(Recovery(fault="rst", target="tab:t2", tab="t2", index=11, back_s=2.004, caught_up_s=2.006),),
            longest_outage_s={"t1": 0.0, "t2": 2.005},
        ),
    )


def test_a_lost_message_is_told_whole(story: NewStory) -> None:
    """The whole verdict on one message that never came, but for the texts that the table of causes gives."""
    verdict = story().subscribe().publish("m1").rest("t1").verdict()
    (violation,) = verdict.violations
    assert verdict == Verdict(
        verdict="violated",
        summary="1 of 1 owed lost (unexplained)",
        counts=Counts(attempted=1, confirmed=1, obligations=1, lost=1),
        violations=(violation,),
        tally=(Tally(kind="lost", cause="unexplained", count=1),),
        times=Times(
            confirm=Distribution(count=1, min_ms=1, median_ms=1, p95_ms=1, p99_ms=1, max_ms=1, sample_ms=(1,)),
            longest_outage_s={"t1": 0.0},
        ),
    )
    assert (violation.kind, violation.cause, violation.message_id, violation.tab, violation.index) == (
        "lost", "unexplained", "m1", "t1", 2,
    )  # fmt: skip
    assert "m1, confirmed at 0.003 s, was never handled by tab t1" in violation.summary
    assert [line.index for line in violation.story] == [1, 2, 3, 4, 5]


# --- what is owed --------------------------------------------------------------------------------


def test_nothing_is_owed_for_what_was_invoked_before_the_subscription(story: NewStory) -> None:
    """A publish that was under way when the tab subscribed makes no obligation."""
    s = story().invoke("m0").subscribe().settle("m0").publish("m1").deliver("m1").rest("t1")
    assert s.verdict().verdict == "certified"
    assert s.verdict().counts.obligations == 1


def test_a_message_that_was_delivered_but_not_handled_is_lost(story: NewStory) -> None:
    """Met is only what the page handled."""
    s = story().subscribe().publish("m1").deliver("m1", handle=False, ack=False).rest("t1")
    assert s.verdict().counts.lost == 1


def test_nothing_is_owed_to_a_tab_that_was_closed(story: NewStory) -> None:
    """A tab closed before it handled the message, whether before or after the confirm, is owed nothing."""
    s = story().subscribe("t1").subscribe("t2").subscribe("t3")
    s.invoke("m1").add(e.TabClosed, tab="t2").settle("m1").add(e.TabClosed, tab="t3").deliver("m1").rest("t1")
    assert s.verdict().verdict == "certified"
    assert s.verdict().counts.obligations == 1


@pytest.mark.parametrize(("outage_s", "obligations", "word"), [(9.0, 2, "violated"), (11.0, 1, "certified")])
def test_nothing_is_owed_over_an_outage_that_is_too_long(
    story: NewStory, outage_s: float, obligations: int, word: str
) -> None:
    """What was invoked before or in an outage longer than the promise, and not handled, is forgiven."""
    s = story().subscribe().publish("m1").cut().later(outage_s).subscribe(session=2)
    s.publish("m2").deliver("m2", session=2).rest("t1")
    verdict = s.verdict(promise(longest_outage=10.0))
    assert (verdict.verdict, verdict.counts.obligations) == (word, obligations)


def test_a_returned_message_is_lost_to_a_tab_that_had_subscribed(story: NewStory) -> None:
    """Returned though a tab had subscribed: its queue was gone, and the publisher's being told is no delivery."""
    s = story().subscribe().publish("m0").deliver("m0").cut().publish("m1", outcome="returned")
    s.subscribe(session=2).rest("t1")
    assert told(s.verdict()) == [("lost", "queue-gone", 1)]


def test_a_returned_message_that_nobody_was_bound_for_is_no_loss(story: NewStory) -> None:
    """Told as returned, owed to nobody."""
    s = story().subscribe().publish("m0").deliver("m0").publish("m1", "nobody", "returned").rest("t1")
    assert s.verdict().verdict == "certified"
    assert s.verdict().counts.returned == 1


# --- lost, or not known --------------------------------------------------------------------------


def test_what_may_still_be_in_the_queue_is_undrained(story: NewStory) -> None:
    """The deadline passed, the queue still holds as many as are missing: no verdict on them."""
    s = story().subscribe().publish("m1").publish("m2").deliver("m2").rest("t1", reached=False, ready=1)
    verdict = s.verdict()
    assert (verdict.verdict, verdict.counts.lost, verdict.counts.undrained) == ("inconclusive", 0, 1)
    assert verdict.inconclusive_reasons == ("the queue of tab t1 was not drained: 1 message left, 1 of them owed",)


def test_what_a_ghost_still_holds_is_undrained(story: NewStory) -> None:
    """Not ready, but delivered to somebody who has not acked it."""
    s = story().subscribe().publish("m1").rest("t1", reached=False, ready=0, unacked=1)
    assert (s.verdict().verdict, s.verdict().counts.undrained) == ("inconclusive", 1)


def test_the_oldest_are_lost_where_the_queue_holds_fewer_than_are_missing(story: NewStory) -> None:
    """Three missing and one in the queue: at least two are lost."""
    s = story().subscribe().publish("m1").publish("m2").publish("m3").rest("t1", reached=False, ready=1)
    verdict = s.verdict()
    assert verdict.verdict == "violated"
    assert [v.message_id for v in verdict.violations] == ["m1", "m2"]


def test_what_has_not_come_within_the_promised_recovery_is_lost(story: NewStory) -> None:
    """A tab that was there for as long as promised is owed no more patience, whatever the queue holds."""
    s = story().subscribe().publish("m1").later(61).rest("t1", reached=False, ready=1)
    assert s.verdict().counts.lost == 1
    s = story().subscribe().publish("m1").later(59).rest("t1", reached=False, ready=1)
    assert s.verdict().counts.lost == 0


def test_recovery_counts_from_the_return_and_without_a_break(story: NewStory) -> None:
    """Two stays of 40 s each are not 60 s; leaving before the end does not matter."""
    s = story().subscribe().publish("m1").later(40).cut().subscribe(session=2).later(40).cut(session=2, fault=None)
    assert s.rest("t1", reached=False, ready=1).verdict().counts.lost == 0
    s = story().subscribe().publish("m1").cut().subscribe(session=2).later(61).cut(session=2, fault=None)
    assert s.rest("t1", reached=False, ready=1).verdict().counts.lost == 1


def test_a_history_that_stops_short_is_inconclusive(story: NewStory) -> None:
    """Without the run's end there is no telling what would have come."""
    verdict = story().subscribe().publish("m1").verdict()
    assert verdict.verdict == "inconclusive"
    assert verdict.counts.lost == 0
    assert verdict.inconclusive_reasons == (
        "the history ends before the run was over",
        "the queue of tab t1 was not drained: 1 message left, 1 of them owed",
    )


# --- other deliveries ----------------------------------------------------------------------------


def test_a_redelivery_after_a_cut_is_explained(story: NewStory) -> None:
    """Acked, but the ack may have been lost with the link."""
    s = story().subscribe().publish("m1").deliver("m1").cut().subscribe(session=2)
    s.deliver("m1", session=2, redelivered=True).rest("t1")
    verdict = s.verdict()
    assert verdict.verdict == "certified"
    assert (verdict.counts.duplicated_explained, verdict.counts.duplicated_unexplained) == (1, 0)


def acked_and_reloaded(s: Any) -> Any:
    """The page went, no fault about: its last ack may not have come."""
    return s.deliver("m1").cut(fault=None).subscribe(session=2).deliver("m1", session=2)


def second_page_while_unacked(s: Any) -> Any:
    """The first page never acked it."""
    return s.deliver("m1", ack=False).subscribe(session=2).deliver("m1", session=2)


def second_page_while_silent(s: Any) -> Any:
    """The first page's ack went into a silent link, and the page has not noticed."""
    return s.deliver("m1").cut(lost=False, fault="blackhole").subscribe(session=2).deliver("m1", session=2)


def third_page(s: Any) -> Any:
    """Acked by the first before it was cut, not acked by the second, which still is there."""
    s.deliver("m1").cut().subscribe(session=2).deliver("m1", session=2, ack=False)
    return s.subscribe(session=3).deliver("m1", session=3)


def second_page_though_acked(s: Any) -> Any:
    """Nothing was cut."""
    return s.deliver("m1").subscribe(session=2).deliver("m1", session=2)


def same_page_though_unacked(s: Any) -> Any:
    """A broker does not deliver again to a session that still holds the message."""
    return s.deliver("m1", ack=False).deliver("m1")


def new_id_after_a_cut(s: Any) -> Any:
    """A redelivery has the same id."""
    return s.deliver("m1").cut().subscribe(session=2).deliver("m1", session=2, as_id="m1-again")


@pytest.mark.parametrize(
    ("write", "explained", "unexplained"),
    [
        (acked_and_reloaded, 1, 0),
        (second_page_while_unacked, 1, 0),
        (second_page_while_silent, 1, 0),
        (third_page, 2, 0),
        (second_page_though_acked, 0, 1),
        (same_page_though_unacked, 0, 1),
        (new_id_after_a_cut, 0, 1),
    ],
)
def test_what_explains_a_repetition(
    story: NewStory, write: Callable[[Any], Any], explained: int, unexplained: int
) -> None:
    """Only what may have kept the earlier ack from the broker."""
    counts = write(story().subscribe().publish("m1")).rest("t1").verdict().counts
    assert (counts.duplicated_explained, counts.duplicated_unexplained) == (explained, unexplained)


def test_a_repetition_in_one_session_is_not_explained(story: NewStory) -> None:
    """Nothing was cut, nothing was published twice."""
    s = story().subscribe().publish("m1").deliver("m1").deliver("m1").rest("t1")
    assert told(s.verdict()) == [("duplicated", "unexplained", 1)]


@pytest.mark.parametrize("how", ["attempts", "wire", "restart"])
def test_a_retry_under_the_same_id_explains_a_repetition(story: NewStory, how: str) -> None:
    """The publisher says so, the wire shows it, or the broker went down in between."""
    s = story().subscribe().invoke("m1")
    if how == "wire":
        s.wire("m1").wire("m1")
    s.deliver("m1")
    if how == "restart":
        s.restart()
    s.deliver("m1").settle("m1", attempts=2 if how == "attempts" else 1).rest("t1")
    assert s.verdict().counts.duplicated_explained == 1
    assert s.verdict().verdict == "certified"


def test_recovered_is_what_came_though_the_publisher_could_not_tell(story: NewStory) -> None:
    """Unknown and nacked, yet delivered: allowed, and counted."""
    s = story().subscribe().publish("m0").deliver("m0")
    s.publish("m1", outcome="unknown").deliver("m1").publish("m2", outcome="nacked").deliver("m2")
    s.publish("m3", outcome="unknown").rest("t1")
    verdict = s.verdict()
    assert verdict.verdict == "certified"
    assert (verdict.counts.recovered, verdict.counts.unknown, verdict.counts.nacked) == (2, 2, 1)


def test_an_unknown_outcome_explains_a_repetition(story: NewStory) -> None:
    """The publisher may have tried more than once; nobody saw."""
    s = story().subscribe().publish("m0").deliver("m0").publish("m1", outcome="unknown").deliver("m1").deliver("m1")
    assert s.rest("t1").verdict().verdict == "certified"


def test_a_failure_told_truly_is_no_misreport(story: NewStory) -> None:
    """Never sent, never came."""
    s = story().subscribe().publish("m0").deliver("m0").publish("m1", outcome="failed").rest("t1")
    assert (s.verdict().verdict, s.verdict().counts.failed) == ("certified", 1)


def test_transient_messages_will_do_where_no_restart_is_promised(story: NewStory) -> None:
    """What does not survive a restart is misreported only where it should."""
    s = story().subscribe().invoke("m1").wire("m1", delivery_mode=1).settle("m1").deliver("m1").rest("t1")
    assert s.verdict(promise(survives=frozenset({"cut", "reload"}))).verdict == "certified"
    assert s.verdict(promise(survives=frozenset({"cut", "broker-kill"}))).verdict == "violated"


def test_a_tab_whose_binding_nobody_knows_is_not_misrouted(story: NewStory) -> None:
    """It was cut before the receipt of its first subscription, and never came back."""
    s = story().subscribe("t2").publish("m1").deliver("m1", "t2").deliver("m1", "t1").rest("t2")
    assert s.verdict().verdict == "certified"


def test_order_is_judged_only_where_it_is_promised(story: NewStory) -> None:
    """Counted always; one late message is one finding, however many came before it."""
    s = story().subscribe()
    for number in range(5):
        s.publish(f"m{number}")
    for number in (1, 2, 0, 3, 4):
        s.deliver(f"m{number}")
    s.rest("t1")
    assert (s.verdict().verdict, s.verdict().counts.reordered) == ("certified", 1)
    assert told(s.verdict(promise(order=True))) == [("reordered", "unexplained", 1)]


def test_what_was_published_at_a_time_has_no_order(story: NewStory) -> None:
    """Overlapping publishes, and what comes again after a cut, may come in any order."""
    s = story().subscribe().invoke("m0").invoke("m1").settle("m0").settle("m1").deliver("m1").deliver("m0")
    s.publish("m2").publish("m3").deliver("m3").cut().subscribe(session=2)
    s.deliver("m2", session=2, redelivered=True).rest("t1")
    assert s.verdict(promise(order=True)).verdict == "certified"


def test_two_pages_of_one_tab_have_no_order_between_them(story: NewStory) -> None:
    """They share the queue, and the one may be slow."""
    s = story().subscribe().subscribe(session=2).publish("m0").publish("m1").deliver("m1", session=2)
    s.deliver("m0", session=1).rest("t1")
    assert s.verdict(promise(order=True)).verdict == "certified"


def test_a_body_that_came_altered_is_unexpected_and_not_lost_too(story: NewStory) -> None:
    """Whether it came before or after the confirm."""
    for s in (
        story().subscribe().invoke("m1").deliver("m1", body="other").settle("m1"),
        story().subscribe().invoke("m1").settle("m1").deliver("m1", body="other"),
    ):
        counts = s.rest("t1").verdict().counts
        assert (counts.obligations, counts.lost, counts.unexpected) == (1, 0, 1)


def test_a_message_that_is_faster_than_the_receipt_is_not_misrouted(story: NewStory) -> None:
    """It may come before TabSubscribed, which is when the binding is known."""
    s = story().publish("m0").add(e.TabOpened, tab="t1", client="c")
    s.deliver("m0").subscribe().publish("m1").deliver("m1").rest("t1")
    assert s.verdict().verdict == "certified"


# --- missing evidence ----------------------------------------------------------------------------


def test_a_fault_that_never_fired_makes_it_inconclusive(story: NewStory) -> None:
    """So does one that never ended; a noop is not expected to do anything."""
    s = story().subscribe().publish("m1").deliver("m1")
    for number, (fault, ended) in enumerate([("rst", True), ("fin", False), ("noop", True)]):
        s.add(e.FaultBegan, fault_id=number, fault=fault, target="tab:t1")
        if ended:
            s.add(e.FaultEnded, fault_id=number, fault=fault, target="tab:t1", fired=False)
    verdict = s.rest("t1").verdict()
    assert verdict.verdict == "inconclusive"
    assert verdict.inconclusive_reasons == (
        "fault rst on tab:t1 never fired",
        "fault fin on tab:t1 was never seen to end",
    )


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (
            lambda s: s.subscribe().publish("m1", "nobody", "returned"),
            "no publish was confirmed (such as returned)",
        ),
        (
            lambda s: s.subscribe().publish("m1", "nobody", "failed", detail="ACCESS_REFUSED"),
            "no publish was confirmed (such as failed: ACCESS_REFUSED)",
        ),
        (lambda s: s.subscribe().publish("m1", "nobody"), "no tab was owed anything"),
        (lambda s: s.publish("m1"), "no tab ever subscribed"),
        (lambda s: s.subscribe().publish("m1").deliver("m1").invoke("m2"), "1 message never got an outcome"),
        (
            lambda s: s.subscribe().publish("m1").deliver("m1").add(e.HarnessFailed, error="boom"),
            "the suite itself failed: boom",
        ),
        (
            lambda s: s.subscribe().publish("m1").deliver("m1").settle("m1"),
            "the outcome of a publish is told that was never invoked, or was settled before",
        ),
        (
            lambda s: s.subscribe().publish("m1").deliver("m1").invoke("m1"),
            "two publishes have the same body or message id, so deliveries can't be told apart",
        ),
        (
            lambda s: s.subscribe().publish("m1").deliver("m1").subscribe("t2", kind="headers"),
            "tab t2 is bound where it can't be told what it is owed: no rule for exchanges of type 'headers'",
        ),
    ],
)
def test_want_of_evidence_is_no_pass(story: NewStory, write: Callable[[Any], Any], reason: str) -> None:
    """Each reason alone makes an otherwise sound history inconclusive."""
    verdict = write(story()).rest("t1").verdict()
    assert verdict.verdict == "inconclusive"
    assert verdict.inconclusive_reasons == (reason,)


def test_violated_beats_inconclusive(story: NewStory) -> None:
    """A loss is a loss though a fault never fired; both are told."""
    s = story().subscribe().publish("m1").add(e.HarnessFailed, error="late").rest("t1")
    assert s.verdict().verdict == "violated"
    assert s.verdict().inconclusive_reasons == ("the suite itself failed: late",)


# --- the checker as it goes ----------------------------------------------------------------------


def test_the_engine_can_wait_for_what_is_outstanding(story: NewStory) -> None:
    """Obligations rise with confirms, fall with handling and closing; undecided counts open publishes."""
    s = story().subscribe("t1").subscribe("t2").publish("m1").deliver("m1").invoke("m2")
    s.add(e.TabClosed, tab="t2").settle("m2").deliver("m2")
    checker, seen = Checker(Contract()), []
    for event in s.events:
        checker.feed(event)
        if isinstance(event, e.PublishInvoked | e.PublishConfirmed | e.TabHandled | e.TabClosed):
            state = (checker.outstanding(), checker.outstanding_for("t1"), checker.outstanding_for("t2"))
            seen.append((*state, checker.undecided))
    assert seen == [
        (0, 0, 0, 1),  # m1 invoked
        (2, 1, 1, 0),  # confirmed
        (1, 0, 1, 0),  # handled by t1
        (1, 0, 1, 1),  # m2 invoked
        (0, 0, 0, 1),  # t2 closed
        (1, 1, 0, 0),  # m2 confirmed
        (0, 0, 0, 0),  # handled by t1
    ]
    assert checker.outstanding_for("nobody") == 0


def test_only_the_first_of_a_cause_are_told_and_all_are_counted(story: NewStory) -> None:
    """Ten of each kind and cause, in order."""
    s = story().subscribe()
    for number in range(25):
        s.publish(f"m{number}")
    verdict = s.rest("t1").verdict()
    assert [violation.message_id for violation in verdict.violations] == [f"m{number}" for number in range(10)]
    assert told(verdict) == [("lost", "unexplained", 25)]


def test_the_verdict_is_plain_data(story: NewStory) -> None:
    """``to_dict`` gives dicts, lists and scalars by field name, ready for JSON."""
    as_dict = story().subscribe().publish("m1").rest("t1").verdict().to_dict()
    assert as_dict["verdict"] == "violated"
    assert as_dict["counts"]["lost"] == 1
    assert as_dict["violations"][0]["story"][0]["text"].startswith("tab t1 (session 1) subscribed")
