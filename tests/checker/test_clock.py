"""Outages and expiries are measured by the broker's clock: hand-written histories in which it is moved on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from conformance.contract.model import Contract, PromiseSection
from conformance.history import events as e

if TYPE_CHECKING:
    from collections.abc import Callable

    NewStory = Callable[[], Any]

HOUR_S = 3600.0
DAY = Contract(promise=PromiseSection(longest_outage=24 * HOUR_S, abandoned_queues_expire=48 * HOUR_S))


def away(s: Any, hours: float, *, arguments: dict[str, Any] | None = None, found: bool) -> Any:
    """A tab is away for so many hours of the broker's clock; one message waits and is ``found`` or not."""
    s.subscribe().observe(arguments=arguments or {"x-expires": 86_400_000})
    s.publish("m0").deliver("m0").cut().publish("m1")
    s.add(e.ClockAdvanced, by_s=hours * HOUR_S).subscribe(session=2)
    if found:
        s.deliver("m1", session=2)
    return s.rest("t1")


def tallied(verdict: Any) -> list[tuple[str, str, int]]:
    """Kind, cause and count of all violations."""
    return [(entry.kind, entry.cause, entry.count) for entry in verdict.tally]


def test_found_within_the_promise(story: NewStory) -> None:
    """All is there after 0.95 of the promised outage: certified, and the outage is told by the broker's clock."""
    verdict = away(story(), 22.8, found=True).verdict(DAY)
    assert (verdict.verdict, verdict.counts.obligations, verdict.counts.lost) == ("certified", 2, 0)
    assert verdict.times.longest_outage_s["t1"] == pytest.approx(22.8 * HOUR_S, abs=1)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"x-expires": 3_600_000}, "queue-expires"),
        ({"x-expires": 86_400_000, "x-message-ttl": 3_600_000}, "message-ttl"),
        ({"x-expires": 86_400_000}, "unexplained"),
    ],
)
def test_lost_within_the_promise(story: NewStory, arguments: dict[str, Any], cause: str) -> None:
    """What is lost within the promised outage is lost, for the time that was too short and for no other."""
    verdict = away(story(), 22.8, arguments=arguments, found=False).verdict(DAY)
    assert verdict.verdict == "violated"
    assert verdict.counts.obligations == 2
    assert tallied(verdict) == [("lost", cause, 1)]


@pytest.mark.parametrize(
    ("policy", "cause"), [({"expires": 3_600_000}, "queue-expires"), ({"message-ttl": 3_600_000}, "message-ttl")]
)
def test_a_policys_time_is_named_as_well(story: NewStory, policy: dict[str, int], cause: str) -> None:
    """What a policy sets counts by the broker's clock like an argument."""
    s = story().subscribe().observe(policy="short", effective_policy=policy)
    s.cut().publish("m1").add(e.ClockAdvanced, by_s=22 * HOUR_S).subscribe(session=2)
    verdict = s.rest("t1").verdict(DAY)
    assert tallied(verdict) == [("lost", cause, 1)]
    assert "policy short" in verdict.violations[0].summary


def test_an_expiry_just_longer_than_the_outage_is_no_cause(story: NewStory) -> None:
    """24 h are not up after 23.5 h, though that is more than nine tenths of them."""
    verdict = away(story(), 23.5, found=False).verdict(DAY)
    assert tallied(verdict) == [("lost", "unexplained", 1)]


def test_lost_beyond_the_promise_is_forgiven(story: NewStory) -> None:
    """Away for longer than promised: what waited is owed no more."""
    verdict = away(story(), 24.1, found=False).verdict(DAY)
    assert (verdict.verdict, verdict.counts.obligations, verdict.counts.lost) == ("certified", 1, 0)


def test_two_outages_are_no_long_one(story: NewStory) -> None:
    """Twice 20 h with a visit in between: each is within the promise, so what is lost in the second is lost."""
    s = story().subscribe().observe().cut().publish("m1").add(e.ClockAdvanced, by_s=20 * HOUR_S)
    s.subscribe(session=2).deliver("m1", session=2).cut(session=2).publish("m2")
    s.add(e.ClockAdvanced, by_s=20 * HOUR_S).subscribe(session=3)
    verdict = s.rest("t1").verdict(DAY)
    assert verdict.times.longest_outage_s["t1"] == pytest.approx(20 * HOUR_S, abs=1)
    assert tallied(verdict) == [("lost", "unexplained", 1)]


def abandoned(s: Any, hours: float, **facts: Any) -> Any:
    """A tab is closed for good, so many hours go by, and its queue is looked at; another tab is there all along."""
    s.subscribe("t2").publish("m1").deliver("m1", "t2").subscribe("t1").observe("t1", **facts)
    s.add(e.TabClosed, tab="t1").add(e.ClockAdvanced, by_s=hours * HOUR_S)
    return s.observe("t1", "away", **facts).rest("t2")


def test_a_queue_that_outlives_the_promise_leaks(story: NewStory) -> None:
    """50 h after its tab was closed it is still there, and 48 h were promised."""
    verdict = abandoned(story(), 50, arguments={}).verdict(DAY)
    assert (verdict.verdict, verdict.counts.leaked) == ("violated", 1)
    assert tallied(verdict) == [("leaked", "no-expiry", 1)]


@pytest.mark.parametrize(("hours", "facts"), [(47, {}), (50, {"exists": False})])
def test_a_queue_that_goes_in_time_does_not(story: NewStory, hours: float, facts: dict[str, Any]) -> None:
    """Within the promised time it may be there; after it, it is gone."""
    verdict = abandoned(story(), hours, **facts).verdict(DAY)
    assert (verdict.verdict, verdict.counts.leaked) == ("certified", 0)


def test_a_queue_that_another_tab_uses_does_not_leak(story: NewStory) -> None:
    """Two tabs share a queue: it has to stay for the one that is there."""
    s = story().subscribe("t2", queue="q").subscribe("t1", queue="q").publish("m1").deliver("m1", "t2")
    s.add(e.TabClosed, tab="t1").add(e.TabDisconnected, tab="t1", session=1, reason="left")
    s.add(e.ClockAdvanced, by_s=50 * HOUR_S).observe("t1", "away", queue="q")
    assert s.rest("t2").verdict(DAY).counts.leaked == 0


def test_the_story_tells_of_the_jump(story: NewStory) -> None:
    """Who reads the story of a lost message sees the hours go by."""
    verdict = away(story(), 22.8, arguments={"x-expires": 3_600_000}, found=False).verdict(DAY)
    told = [line.text for line in verdict.violations[0].story]
    assert "the broker's clock was moved on by 22h48m" in told
    assert verdict.violations[0].summary.endswith(
        "expired after 1h without a consumer (argument x-expires), and the tab was away for 22h48m"
    )
