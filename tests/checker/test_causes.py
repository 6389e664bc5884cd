"""One hand-written history for each cause: the checker must name the kind and the cause, and nothing graver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.checker.causes import CAUSES
from conformance.checker.openings import OPENINGS
from conformance.contract.model import Contract, Exchange, PromiseSection
from conformance.history import events as e

NewStory = Callable[[], Any]

TRANSIENT_EXCHANGE = Contract(
    exchanges={"pubsub": Exchange(name="durable-websocket-pubsub", durable=False)},
)
QUICK = Contract(promise=PromiseSection(recovery=4.0, abandoned_queues_expire=5.0))


def away(s: Any, message: str = "m1", **outcome: Any) -> Any:
    """The tab is cut, the message is published meanwhile, and the tab comes back."""
    return s.cut().publish(message, **outcome).subscribe(session=2)


def auto_delete(s: Any) -> Any:
    """The broker says that the queue is auto-delete."""
    return away(s.subscribe().observe(auto_delete=True)).rest("t1")


def auto_delete_as_asked(s: Any) -> Any:
    """Nobody asked the broker; SUBSCRIBE did ask for auto-delete."""
    return away(s.subscribe(headers={"auto-delete": "true", "exclusive": "false"})).rest("t1", auto_delete=None)


def exclusive(s: Any) -> Any:
    """The broker says that the queue is exclusive."""
    return away(s.subscribe(headers={"ack": "client"}).observe(exclusive=True, durable=False)).rest("t1")


def exclusive_by_default(s: Any) -> Any:
    """All that is known is that it was returned, and that SUBSCRIBE did not say exclusive:false."""
    return away(s.subscribe(headers={"durable": "true"}), outcome="returned").rest()


def transient_queue(s: Any) -> Any:
    """The queue is not durable and the broker was restarted."""
    return s.subscribe().observe(durable=False).cut().publish("m1").restart().subscribe(session=2).rest("t1")


def never_resubscribed(s: Any) -> Any:
    """Its queue was deleted under it, it was told, and it never came back."""
    s.subscribe().destroy("queue", "q-t1", "delete_queue").cut(fault=None, reason="ERROR")
    return s.publish("m1", outcome="returned").rest("t1", exists=False)


def disk_full(s: Any) -> Any:
    """It was confirmed before the broker's disk was full, and was not there any more afterwards."""
    s.subscribe().cut().publish("m1")
    s.add(e.FaultBegan, fault_id=90, fault="disk_full", target="broker")
    s.add(e.FaultEnded, fault_id=90, fault="disk_full", target="broker", fired=True, counts={"filled": 1})
    return s.subscribe(session=2).rest("t1")


def transient_exchange(s: Any) -> Any:
    """The exchange is not durable and the broker was restarted."""
    return s.subscribe().cut().restart().publish("m1", outcome="returned").subscribe(session=2).rest("t1")


def unbound_after_restart(s: Any) -> Any:
    """The queue was there after the restart, yet nothing was bound."""
    s.subscribe().cut().restart().publish("m1", outcome="returned")
    return s.observe(when="away").subscribe(session=2).rest("t1")


def refused_after_restart(s: Any) -> Any:
    """The exchange that it subscribes to is gone."""
    s.subscribe().publish("m1").deliver("m1").cut().restart()
    return s.add(e.TabRefused, tab="t1", session=2, during="subscribe", detail="NOT_FOUND no exchange").rest("t1")


def refused(s: Any) -> Any:
    """The broker never lets the tab subscribe."""
    s.subscribe("t2").publish("m1").deliver("m1", "t2")
    detail = "PRECONDITION_FAILED invalid arg 'x-max-priority'"
    return s.add(e.TabRefused, tab="t1", session=1, during="subscribe", detail=detail).rest("t2")


def message_ttl(s: Any) -> Any:
    """Messages live for 100 ms and the tab was away for a second."""
    s.subscribe().observe(arguments={"x-message-ttl": 100}).cut().publish("m1").later(1)
    return s.subscribe(session=2).rest("t1")


def queue_expires(s: Any) -> Any:
    """The queue lives for 100 ms without a tab, which was away for a second."""
    s.subscribe().observe(arguments={"x-expires": 100}).cut().publish("m1").later(1)
    return s.subscribe(session=2).rest("t1")


def max_length(s: Any) -> Any:
    """The queue keeps one message."""
    s.subscribe().observe(arguments={"x-max-length": 1}).cut().publish("m1").publish("m2").subscribe(session=2)
    return s.deliver("m2", session=2).rest("t1")


def ack_auto(s: Any) -> Any:
    """What was on its way when the link was cut is gone."""
    return s.subscribe(headers={"ack": "auto"}).observe().publish("m1").cut().subscribe(session=2).rest("t1")


def ack_before_handling(s: Any) -> Any:
    """Acked, then cut, never handled."""
    s.subscribe().publish("m1").deliver("m1", handle=False).cut().subscribe(session=2)
    return s.rest("t1")


def acked_never_handled(s: Any) -> Any:
    """Acked, never cut, never handled; at the end the tab leaves."""
    return s.subscribe().publish("m1").deliver("m1", handle=False).cut(fault=None, reason="left").rest("t1")


def never_acked(s: Any) -> Any:
    """All handled, nothing acked: all is in the queue still."""
    s.subscribe().publish("m1").deliver("m1", ack=False)
    return s.rest("t1", reached=False, ready=1)


def shared_queue(s: Any) -> Any:
    """Two tabs with one queue: each message goes to one of them."""
    s.subscribe("t1", queue="q").subscribe("t2", queue="q").publish("m1").deliver("m1", "t2")
    return s.observe("t1", "end", "q").rest("t1")


def shared_queue_misroutes(s: Any) -> Any:
    """Two tabs with one queue and different keys: each gets what is meant for the other."""
    s.subscribe("t1", "a", queue="q").subscribe("t2", "b", queue="q").publish("m0", "a").deliver("m0", "t1")
    return (
        s.publish("m1", "b").deliver("m1", "t2").cut("t2").subscribe("t2", "b", 2, queue="q").deliver("m1", "t1").rest()
    )


def ghost(s: Any, beat: int = 0) -> Any:
    """The link went silent; the queue still has the message when the recovery is over."""
    s.subscribe(beat=beat).cut(fault="blackhole").subscribe(session=2, beat=beat).publish("m1").later(5)
    return s.rest("t1", reached=False, ready=1)


def slow_ghost(s: Any) -> Any:
    """Heart-beats, but too slow for the promised recovery."""
    return ghost(s, beat=60_000)


def delivery_limit(s: Any) -> Any:
    """A quorum queue dropped what a flapping tab never acked."""
    s.subscribe().observe(queue_type="quorum", arguments={}).publish("m1")
    for session in range(1, 22):
        s.deliver("m1", session=session, handle=False, ack=False, redelivered=session > 1, delivery_count=session - 1)
        s.cut(session=session).subscribe(session=session + 1)
    return s.rest("t1")


def policy(s: Any) -> Any:
    """A policy applies, and nothing else is known."""
    return away(s.subscribe().observe(policy="short-lived")).rest("t1")


def _under(policy: dict[str, Any], operator: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """What the broker says of a queue under a policy ``p`` and an operator policy ``o``."""
    return {
        "policy": "p" if policy else None,
        "operator_policy": "o" if operator else None,
        "effective_policy": {**policy, **(operator or {})},
        "operator_definition": operator or {},
        **facts,
    }


def ttl_by_operator(s: Any) -> Any:
    """An operator policy drops messages that the tab's own argument would keep."""
    s.subscribe().observe(**_under({}, {"message-ttl": 100}, arguments={"x-message-ttl": 86400000}))
    return s.cut().publish("m1").later(1).subscribe(session=2).rest("t1")


def expires_by_policy(s: Any) -> Any:
    """A policy lets the queue go before the day that the tab asked for."""
    s.subscribe().observe(**_under({"expires": 100})).cut().publish("m1").later(1)
    return s.subscribe(session=2).rest("t1")


def length_by_operator(s: Any) -> Any:
    """An operator policy keeps one message, below the policy's limit."""
    s.subscribe().observe(**_under({"max-length": 500}, {"max-length": 1})).cut().publish("m1").publish("m2")
    return s.subscribe(session=2).deliver("m2", session=2).rest("t1")


def dead_lettered(s: Any) -> Any:
    """A policy moves messages elsewhere."""
    s.subscribe().observe(**_under({"message-ttl": 100, "dead-letter-exchange": "dlx"})).cut().publish("m1").later(1)
    return s.subscribe(session=2).rest("t1")


def delivery_limit_by_policy(s: Any) -> Any:
    """A policy allows two deliveries."""
    s.subscribe().observe(**_under({"delivery-limit": 2}, queue_type="quorum", arguments={})).publish("m1")
    for session in range(1, 4):
        s.deliver("m1", session=session, handle=False, ack=False, redelivered=session > 1)
        s.cut(session=session).subscribe(session=session + 1)
    return s.rest("t1")


def delivery_limit_unseen(s: Any) -> Any:
    """Every delivery was lost on its way to the tab: only the cuts are seen."""
    s.subscribe().observe(queue_type="quorum", arguments={}, default_delivery_limit=20, effective_policy={})
    s.publish("m1")
    for session in range(1, 23):
        s.cut(session=session).subscribe(session=session + 1)
    return s.rest("t1")


def queue_gone(s: Any) -> Any:
    """The queue is gone and nothing says why."""
    return s.subscribe().observe().publish("m1").rest("t1", exists=False)


def body_altered(s: Any) -> Any:
    """Another body under the message's id, on the wire and at the tab."""
    s.subscribe().invoke("m1").wire("m1", body_digest="other").settle("m1").deliver("m1", body="other")
    return s.rest("t1")


def body_altered_and_lost(s: Any) -> Any:
    """Another body went out, and nothing came."""
    return s.subscribe().invoke("m1").wire("m1", body_digest="other").settle("m1").rest("t1")


def new_id(s: Any) -> Any:
    """The publisher's retry had a new id."""
    s.subscribe().invoke("m1").wire("m1").wire("m1", message_id="m1-again").settle("m1")
    return s.deliver("m1").deliver("m1", as_id="m1-again").rest("t1")


def id_changed(s: Any) -> Any:
    """The publisher does not use the id that it was given."""
    return s.subscribe().publish("m1").deliver("m1", as_id=None).rest("t1")


def never_published(s: Any) -> Any:
    """Somebody else publishes."""
    return s.subscribe().publish("m1").deliver("m1").deliver("zz").rest("t1")


def dropped(s: Any) -> Any:
    """It never left the publisher, though others did."""
    s.subscribe().invoke("m0").wire("m0").settle("m0").deliver("m0").publish("m1")
    return s.rest("t1", reached=False, ready=3)


def optimist(s: Any) -> Any:
    """It was written to a dead link, and called confirmed."""
    s.subscribe().invoke("m0").wire("m0").settle("m0").deliver("m0")
    s.add(e.FaultBegan, fault_id=9, fault="cut_before_publish", target="publisher").publish("m1")
    return s.add(e.FaultEnded, fault_id=9, fault="cut_before_publish", target="publisher", fired=True).rest("t1")


def no_confirms(s: Any) -> Any:
    """The channel is not in confirm mode."""
    s.subscribe().invoke("m1").wire("m1", ack=False, delivery_tag=None).settle("m1").deliver("m1")
    return s.rest("t1")


def no_confirms_and_lost(s: Any) -> Any:
    """The broker never acked it, and it is gone."""
    return s.subscribe().invoke("m1").wire("m1", ack=False, delivery_tag=None).settle("m1").rest("t1")


def confirmed_early(s: Any) -> Any:
    """The ack came after the publisher had called it confirmed."""
    s.subscribe().invoke("m1").settle("m1").wire("m1").deliver("m1")
    return s.rest("t1")


def wrong_key(s: Any) -> Any:
    """It went out with another routing key."""
    return s.subscribe().invoke("m1").wire("m1", "tocks").settle("m1").rest("t1", reached=False, ready=1)


def wrong_key_misroutes(s: Any) -> Any:
    """Nobody is bound for what was asked; what was sent came to a tab."""
    s.subscribe().publish("m0").wire("m0").deliver("m0")
    return s.invoke("m1", "other").wire("m1", "ticks").settle("m1").deliver("m1").rest("t1")


def wrong_exchange(s: Any) -> Any:
    """It went to another exchange."""
    return s.subscribe().invoke("m1").wire("m1", exchange="amq.topic").settle("m1").rest("t1")


def return_swallowed(s: Any) -> Any:
    """The wire shows the return; the publisher calls it confirmed."""
    s.subscribe().invoke("m0").wire("m0").settle("m0").deliver("m0")
    return s.invoke("m1", "nobody").wire("m1", "nobody", returned=True).settle("m1").rest("t1")


def not_mandatory(s: Any) -> Any:
    """Nobody is bound, and without the flag nobody says so."""
    s.subscribe().invoke("m0").wire("m0", mandatory=False).settle("m0").deliver("m0")
    return s.invoke("m1", "nobody").wire("m1", "nobody", mandatory=False).settle("m1").rest("t1")


def not_persistent(s: Any) -> Any:
    """Delivery mode 1 where restarts are to be survived."""
    return s.subscribe().invoke("m1").wire("m1", delivery_mode=1).settle("m1").deliver("m1").rest("t1")


def not_persistent_and_lost(s: Any) -> Any:
    """Delivery mode 1, and the broker was restarted."""
    s.subscribe().observe().cut().invoke("m1").wire("m1", delivery_mode=1).settle("m1").restart()
    return s.subscribe(session=2).rest("t1")


def failed_but_delivered(s: Any) -> Any:
    """Certainly never sent, and yet it came."""
    s.subscribe().publish("m0").deliver("m0")
    return s.publish("m1", outcome="failed").deliver("m1").rest("t1")


def leaked(s: Any) -> Any:
    """The tab was closed; ten seconds later its queue is still there, without an expiry."""
    s.subscribe("t2").publish("m1").deliver("m1", "t2").subscribe("t1").add(e.TabClosed, tab="t1").later(10)
    return s.rest("t2").observe("t1", "end", arguments={})


def leaked_under_a_policy(s: Any) -> Any:
    """A policy should have removed it."""
    s.subscribe("t2").publish("m1").deliver("m1", "t2").subscribe("t1").add(e.TabClosed, tab="t1").later(10)
    return s.rest("t2").observe("t1", "end", arguments={}, policy="expiry")


def leaked_to_a_ghost(s: Any) -> Any:
    """A connection that died silently goes on consuming it."""
    s.subscribe("t2").publish("m1").deliver("m1", "t2").subscribe("t1").add(e.TabClosed, tab="t1").later(10)
    return s.rest("t2").observe("t1", "end", arguments={"x-expires": 4000}, consumers=1)


def leaked_too_long(s: Any) -> Any:
    """It will expire, but later than promised."""
    s.subscribe("t2").publish("m1").deliver("m1", "t2").subscribe("t1").observe("t1", arguments={"x-expires": 60_000})
    s.add(e.TabClosed, tab="t1").later(10)
    return s.rest("t2").observe("t1", "away")


def unexplained(s: Any) -> Any:
    """It is gone, and nothing says why."""
    return s.subscribe().publish("m1").rest("t1")


def nack_ignored(s: Any) -> Any:
    """The broker refused it, and so does no tab get it; a publisher who says confirmed is wrong about m2."""
    s.subscribe().invoke("m1").wire("m1").settle("m1").deliver("m1").invoke("m2", "nobody").wire(
        "m2", "nobody", ack=False
    )
    s.add(e.ConfirmSeen, connection=1, channel=1, kind="nack", body_digests=("body-m2",))
    return s.settle("m2").rest("t1")


def nack_ignored_and_lost(s: Any) -> Any:
    """The same of a message that a tab was owed."""
    s.subscribe().invoke("m1").wire("m1", ack=False)
    s.add(e.ConfirmSeen, connection=1, channel=1, kind="nack", body_digests=("body-m1",))
    return s.settle("m1").rest("t1")


def properties_changed(s: Any) -> Any:
    """It was to have priority 7 and had none."""
    s.subscribe().invoke("m1", properties={"priority": 7}).wire("m1").settle("m1")
    return s.deliver("m1").rest("t1")


def properties_changed_on_a_retry(s: Any) -> Any:
    """It went out once as it was asked to, and once more without its headers."""
    asked = {"headers": {"a": [1, True]}}
    s.subscribe().invoke("m1", properties=asked).wire("m1", ack=False, properties=asked).wire("m1")
    return s.settle("m1", attempts=2).deliver("m1").rest("t1")


def deadline_missed(s: Any) -> Any:
    """It was given half a second and took eleven."""
    s.subscribe().invoke("m1", timeout_s=0.5).wire("m1").later(11).settle("m1")
    return s.deliver("m1").rest("t1")


def never_ended(s: Any) -> Any:
    """It was given half a second and had not ended when all was over."""
    s.subscribe().invoke("m0").wire("m0").settle("m0").deliver("m0").invoke("m1", timeout_s=0.5).wire(
        "m1", ack=False
    ).later(11)
    return s.rest("t1")


def closed_too_soon(s: Any) -> Any:
    """It was on the wire as its publisher was asked to close, and was given up."""
    s.subscribe().invoke("m0").wire("m0").settle("m0").deliver("m0").invoke("m1").wire("m1", ack=False)
    s.add(e.PublisherClosing, publisher="p").settle("m1", "unknown").add(e.PublisherClosed, publisher="p")
    return s.deliver("m1").rest("t1")


HISTORIES: list[tuple[Callable[[Any], Any], str, str]] = [
    (auto_delete, "lost", "auto-delete-queue"),
    (auto_delete_as_asked, "lost", "auto-delete-queue"),
    (exclusive, "lost", "exclusive-queue"),
    (exclusive_by_default, "lost", "exclusive-queue"),
    (transient_queue, "lost", "transient-queue"),
    (transient_exchange, "lost", "transient-exchange"),
    (unbound_after_restart, "lost", "transient-exchange"),
    (refused_after_restart, "refused", "transient-exchange"),
    (refused, "refused", "subscription-refused"),
    (never_resubscribed, "lost", "never-resubscribed"),
    (disk_full, "lost", "disk-full"),
    (message_ttl, "lost", "message-ttl"),
    (queue_expires, "lost", "queue-expires"),
    (max_length, "lost", "max-length"),
    (ack_auto, "lost", "ack-auto"),
    (ack_before_handling, "lost", "ack-before-handling"),
    (acked_never_handled, "lost", "acked-never-handled"),
    (never_acked, "undrained", "never-acked"),
    (shared_queue, "lost", "shared-queue"),
    (shared_queue_misroutes, "misrouted", "shared-queue"),
    (ghost, "lost", "ghost-without-heart-beat"),
    (slow_ghost, "lost", "ghost-outlasts-recovery"),
    (delivery_limit, "lost", "delivery-limit"),
    (policy, "lost", "policy"),
    (ttl_by_operator, "lost", "message-ttl"),
    (expires_by_policy, "lost", "queue-expires"),
    (length_by_operator, "lost", "max-length"),
    (dead_lettered, "lost", "message-ttl"),
    (delivery_limit_by_policy, "lost", "delivery-limit"),
    (delivery_limit_unseen, "lost", "delivery-limit"),
    (queue_gone, "lost", "queue-gone"),
    (body_altered, "unexpected", "body-altered"),
    (body_altered_and_lost, "lost", "body-altered"),
    (new_id, "duplicated", "duplicated-under-new-id"),
    (id_changed, "unexpected", "message-id-changed"),
    (never_published, "unexpected", "never-published"),
    (dropped, "lost", "publisher-dropped"),
    (optimist, "lost", "unconfirmed"),
    (no_confirms, "misreported", "unconfirmed"),
    (no_confirms_and_lost, "lost", "unconfirmed"),
    (confirmed_early, "misreported", "unconfirmed"),
    (wrong_key, "lost", "wrong-routing-key"),
    (wrong_key_misroutes, "misrouted", "wrong-routing-key"),
    (wrong_exchange, "lost", "wrong-routing-key"),
    (return_swallowed, "misreported", "return-swallowed"),
    (not_mandatory, "misreported", "not-mandatory"),
    (not_persistent, "misreported", "not-persistent"),
    (not_persistent_and_lost, "lost", "not-persistent"),
    (failed_but_delivered, "misreported", "failed-but-delivered"),
    (nack_ignored, "misreported", "nack-ignored"),
    (nack_ignored_and_lost, "lost", "nack-ignored"),
    (properties_changed, "misreported", "properties-changed"),
    (properties_changed_on_a_retry, "misreported", "properties-changed"),
    (deadline_missed, "unsettled", "deadline-missed"),
    (never_ended, "unsettled", "deadline-missed"),
    (closed_too_soon, "unsettled", "closed-too-soon"),
    (leaked, "leaked", "no-expiry"),
    (leaked_under_a_policy, "leaked", "policy"),
    (leaked_to_a_ghost, "leaked", "still-consumed"),
    (leaked_too_long, "leaked", "queue-expires-late"),
    (unexplained, "lost", "unexplained"),
]

OTHER_CONTRACTS: dict[Callable[[Any], Any], Contract] = {
    transient_exchange: TRANSIENT_EXCHANGE,
    refused_after_restart: TRANSIENT_EXCHANGE,
    ghost: QUICK,
    slow_ghost: QUICK,
    leaked: QUICK,
    leaked_under_a_policy: QUICK,
    leaked_to_a_ghost: QUICK,
    leaked_too_long: QUICK,
}


@pytest.mark.parametrize(("write", "kind", "cause"), HISTORIES, ids=[write.__name__ for write, _, _ in HISTORIES])
def test_the_cause_is_found(story: NewStory, write: Callable[[Any], Any], kind: str, cause: str) -> None:
    """The gravest violation has the kind and cause, and says what to do."""
    verdict = write(story()).verdict(OTHER_CONTRACTS.get(write))
    assert verdict.verdict == "violated"
    assert (verdict.tally[0].kind, verdict.tally[0].cause, verdict.tally[0].count) == (kind, cause, 1)
    violation = verdict.violations[0]
    assert violation.advice
    assert violation.story


@pytest.mark.parametrize(
    ("write", "source", "advice"),
    [
        (message_ttl, "100 ms (argument x-message-ttl)", "Leave x-message-ttl out of tab.headers"),
        (ttl_by_operator, "100 ms (operator policy o)", "Take message-ttl out of operator policy o"),
        (expires_by_policy, "100 ms without a consumer (policy p)", "Take expires out of policy p"),
        (length_by_operator, "max-length 1 (operator policy o)", "Take max-length out of operator policy o"),
        (dead_lettered, "it dead-letters it to exchange 'dlx' (policy p)", "Take message-ttl out of policy p"),
        (delivery_limit_by_policy, "more than 2 deliveries without an ack (policy p)", "Take delivery-limit out of"),
        (delivery_limit_unseen, "(RabbitMQ's default): the tab's connection was lost 22 times", "Use a classic queue"),
    ],
)
def test_where_a_limit_comes_from_is_told(story: NewStory, write: Any, source: str, advice: str) -> None:
    """Argument, policy NAME, operator policy NAME or default, and advice that fits."""
    violation = write(story()).verdict().violations[0]
    assert source in violation.summary
    assert violation.advice.startswith(advice)


def _lost_with(**facts: Any) -> Callable[[Any], Any]:
    return lambda s: away(s.subscribe().observe(**facts)).rest("t1")


@pytest.mark.parametrize(
    "write",
    [
        _lost_with(arguments={"x-expires": 60_000}),
        _lost_with(arguments={"x-message-ttl": 60_000}),
        _lost_with(durable=False),
        _lost_with(queue_type="quorum"),
        _lost_with(**_under({"expires": 60_000, "message-ttl": 60_000})),
        _lost_with(**_under({"max-length": 1, "overflow": "reject-publish"})),
        _lost_with(queue_type="quorum", **_under({"delivery-limit": -1})),
    ],
)
def test_what_can_not_have_been_the_cause_is_not_named(story: NewStory, write: Callable[[Any], Any]) -> None:
    """Limits that were not reached, and a transient queue without a restart."""
    assert write(story()).verdict().tally[0].cause == "unexplained"


def test_every_cause_has_a_history() -> None:
    """The table above misses none of the table of causes, but for those that have tests of their own."""
    elsewhere = {"publisher-reordered"} | {opening.slug for opening in OPENINGS}
    assert {cause.slug for cause in CAUSES} == {cause for _, _, cause in HISTORIES} | elsewhere


def test_a_publisher_that_reorders(story: NewStory) -> None:
    """It said that a message was confirmed before it wrote it, and wrote it after the next: two findings."""
    s = story().subscribe().publish("m1").invoke("m2").wire("m2").settle("m2").wire("m1")
    s.deliver("m2").deliver("m1").rest("t1")
    found = s.verdict(Contract(promise=PromiseSection(order=True))).tally
    assert [(one.kind, one.cause) for one in found] == [
        ("misreported", "unconfirmed"),
        ("reordered", "publisher-reordered"),
    ]


def test_the_sound_history_has_none(story: NewStory) -> None:
    """With all the same kinds of events and nothing wrong, nothing is found and nothing noted."""
    s = story().subscribe().observe().invoke("m1").wire("m1").settle("m1").deliver("m1")
    assert s.observe(when="away").rest("t1").verdict().verdict == "certified"
