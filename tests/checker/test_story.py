"""The stories of violations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.checker import Checker, with_stories
from conformance.checker.story import MAX_LINES, sentence
from conformance.contract.model import Contract
from conformance.history import events as e

NewStory = Callable[[], Any]


def test_the_story_is_the_messages_whole_life(story: NewStory) -> None:
    """What held before it, all that is about it, its tab, the faults, the end: and nothing else."""
    s = (
        story()
        .subscribe("t1")
        .subscribe("t2")
        .observe("t1")
        .invoke("m0")
        .wire("m0")
        .settle("m0")
        .deliver("m0")
        .deliver("m0", "t2")
    )
    s.cut("t2").subscribe("t2", session=2).cut("t1", fault="blackhole")
    s.invoke("m1").wire("m1").settle("m1").deliver("m1", "t2", 2).restart().add(e.StepBegan, step=1, text="x")
    s.subscribe("t1", session=2).rest("t1")
    (violation,) = s.verdict().violations
    assert [line.text.split(":")[0] for line in violation.story] == [
        "tab t1 (session 1) subscribed to /exchange/durable-websocket-pubsub.ns/ticks, queue q-t1, with ack",
        "the broker said after the subscription of queue q-t1",
        "tab t1 (session 1) was disconnected",
        "published m1 to exchange 'durable-websocket-pubsub.ns' with routing key 'ticks' (9 bytes, body body-m1)",
        "basic.publish went out on the publisher's connection 1, channel 1",
        "basic.ack came on the publisher's connection 1, channel 1",
        "the publisher said of it",
        "delivered to tab t2 (session 2)",
        "handled by tab t2 (session 2)",
        "acked by tab t2 (session 2)",
        "the broker went down (terminate)",
        "the broker went up (revive)",
        "tab t1 (session 2) connected, heart-beats (10000, 10000) ms",
        "tab t1 (session 2) subscribed to /exchange/durable-websocket-pubsub.ns/ticks, queue q-t1, with ack",
        "the run came to rest after 0.5 s",
        "the broker said at the end of queue q-t1",
    ]
    assert violation.story[1].text.endswith(
        "durable true, exclusive false, auto-delete false, arguments {'x-expires': 86400000}"
    )
    assert [line.index for line in violation.story] == sorted(line.index for line in violation.story)
    assert violation.story[3].time_s == s.events[violation.index].time_ns / 1e9


def test_a_long_life_is_told_by_its_ends(story: NewStory) -> None:
    """The middle is left out, and how much of it is said."""
    s = story().subscribe().publish("m1")
    for session in range(1, 501):
        s.deliver("m1", session=session, handle=False, ack=False).cut(session=session).subscribe(session=session + 1)
    (violation,) = s.rest("t1").verdict().violations
    assert len(violation.story) == MAX_LINES + 1
    gap = violation.story[MAX_LINES // 2]
    left_out = len(s.events) - 1 - MAX_LINES
    assert gap.text == f"… {left_out} more events …"
    assert violation.story[-1].index == len(s.events) - 1


def test_the_engine_tells_stories_from_a_second_pass(story: NewStory) -> None:
    """``finish`` leaves them out; ``with_stories`` adds them and changes nothing else."""
    s = story().subscribe().publish("m1").rest("t1")
    checker = Checker(Contract())
    for event in s.events:
        checker.feed(event)
    bare = checker.finish()
    assert not bare.violations[0].story
    assert with_stories(bare, iter(s.events)) == s.verdict()


def test_a_violation_about_a_tab_alone_has_the_tabs_story(story: NewStory) -> None:
    """From the run's beginning."""
    s = story().subscribe("t2").publish("m1").deliver("m1", "t2")
    s.add(e.TabRefused, tab="t1", session=1, during="subscribe", detail="no").rest("t2")
    (violation,) = s.verdict().violations
    assert [line.text for line in violation.story] == [
        "tab t1 (session 1) was refused (subscribe): no",
        "the run came to rest after 0.5 s",
    ]


def test_every_event_has_a_sentence(story: NewStory) -> None:
    """Each type that a story may hold says more than its own name."""
    s = story().subscribe().observe().observe(when="away", exists=False).invoke("m1").wire("m1", returned=True)
    for outcome in ("confirmed", "returned"):
        s.settle("m1", outcome, attempts=2)
    for outcome in ("nacked", "unknown", "failed"):
        s.settle("m1", outcome, detail="why")
    s.deliver("m1", redelivered=True, delivery_count=3, persistent=False).cut().restart().rest("t1")
    s.add(e.TabClosed, tab="t1").add(e.TabRefused, tab="t1", session=1, during="connect", detail="no")
    for event in s.events:
        assert sentence(event) != event.type.replace("_", " ")
        assert "\n" not in sentence(event)
    assert sentence(e.HarnessFailed(index=0, time_ns=0, error="x")) == "harness failed"
