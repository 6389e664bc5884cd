"""Distributions and recoveries."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from conformance.checker.times import MOST_SAMPLES, distribution
from conformance.checker.verdict import Distribution, Recovery
from conformance.contract.model import Contract, PromiseSection
from conformance.history import events as e

NewStory = Callable[[], Any]


def test_no_latencies_have_no_distribution() -> None:
    """None, not zeroes."""
    assert distribution(array("q")) is None


def test_the_distribution_is_by_nearest_rank() -> None:
    """Of 0 to 100 ms in any order."""
    latencies = array("q", (n * 1_000_000 for n in reversed(range(101))))
    assert distribution(latencies) == Distribution(
        count=101, min_ms=0, median_ms=50, p95_ms=95, p99_ms=99, max_ms=100, sample_ms=tuple(map(float, range(101)))
    )


def test_of_many_latencies_a_bounded_sample_is_kept() -> None:
    """At even ranks, from the least to the greatest."""
    found = distribution(array("q", (n * 1_000_000 for n in range(100_001))))
    assert found is not None
    assert len(found.sample_ms) == MOST_SAMPLES
    assert (found.sample_ms[0], found.sample_ms[-1]) == (0.0, 100_000.0)
    steps = {round(later - earlier) for earlier, later in itertools.pairwise(found.sample_ms)}
    assert steps <= {502, 503}


def test_a_tab_has_caught_up_once_it_has_handled_what_it_missed(story: NewStory) -> None:
    """What is published after its return does not count, what was before does, in whatever order it is handled."""
    s = story().subscribe().cut().publish("m1").publish("m2").subscribe(session=2).publish("m3")
    s.deliver("m3", session=2).later(1).deliver("m2", session=2).later(1).deliver("m1", session=2).rest("t1")
    (recovery,) = s.verdict().times.recoveries
    assert recovery.back_s == pytest.approx(0.006)
    assert recovery.caught_up_s == pytest.approx(2.016)


def test_each_cut_of_a_flapping_tab_has_its_recovery(story: NewStory) -> None:
    """The message missed since the first cut holds them all up."""
    s = story().subscribe().cut().publish("m1")
    for session in range(2, 6):
        s.subscribe(session=session).later(1).cut(session=session)
    s.subscribe(session=6).deliver("m1", session=6).rest("t1")
    recoveries = s.verdict().times.recoveries
    assert [round(r.back_s or 0, 2) for r in recoveries] == [0.0, 0.0, 0.0, 0.0, 0.0]
    assert [round(r.caught_up_s or 0) for r in recoveries] == [4, 3, 2, 1, 0]


def test_what_never_recovered_says_so(story: NewStory) -> None:
    """None for a tab that never came back; and for one that came back and never had it all."""
    s = story().subscribe().cut().publish("m1").rest("t1", ready=1, reached=False)
    assert s.verdict().times.recoveries[0].back_s is None
    s = story().subscribe().cut().publish("m1").subscribe(session=2).rest("t1")
    assert s.verdict().times.recoveries[0].back_s is not None
    assert s.verdict().times.recoveries[0].caught_up_s is None


def test_the_broker_and_the_publisher_recover_too(story: NewStory) -> None:
    """The broker for each open tab; the publisher with its next confirm."""
    s = story().subscribe("t1").subscribe("t2").restart()
    s.add(e.FaultBegan, fault_id=1, fault="rst", target="publisher")
    s.add(e.FaultEnded, fault_id=1, fault="rst", target="publisher", fired=True)
    s.publish("m1").deliver("m1").deliver("m1", "t2").rest("t1", "t2")
    at: dict[str, Any] = {"fault": "broker", "target": "broker", "index": 5, "back_s": 0.0, "caught_up_s": 0.0}
    assert s.verdict().times.recoveries == (
        Recovery(tab="t1", **at),
        Recovery(tab="t2", **at),
        Recovery(fault="rst", target="publisher", tab=None, index=7, back_s=0.002, caught_up_s=None),
    )


def test_a_recovery_beyond_the_promise_is_noted(story: NewStory) -> None:
    """It all came, and late."""
    s = story().subscribe().cut().publish("m1").subscribe(session=2).later(9).deliver("m1", session=2).rest("t1")
    verdict = s.verdict(Contract(promise=PromiseSection(recovery=5.0)))
    assert verdict.verdict == "certified"
    assert verdict.notes == ("tab t1 caught up 9.0 s after its return, past promise.recovery (5 s)",)
