"""The checker is linear: twice the events take about twice the time, whatever the history is like."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from conformance.checker import Checker
from conformance.contract.model import Contract
from conformance.history import events as e

NewStory = Callable[[], Any]
EVENTS = 20_000


def steady(s: Any, count: int) -> None:
    """Everything arrives."""
    s.subscribe()
    for number in range(count // 5):
        s.publish(f"m{number}").deliver(f"m{number}")


def nothing_arrives(s: Any, count: int) -> None:
    """Every message is lost."""
    s.subscribe()
    for number in range(count // 2):
        s.publish(f"m{number}")


def flapping(s: Any, count: int) -> None:
    """One message, and a tab that is cut each time before it acks."""
    s.subscribe().publish("m")
    for session in range(1, count // 7):
        s.deliver("m", session=session, handle=False, ack=False).cut(session=session).subscribe(session=session + 1)


def latest_first(s: Any, count: int) -> None:
    """All is published while the tab is away, and comes in the wrong order."""
    s.subscribe().cut()
    for number in range(count // 5):
        s.publish(f"m{number}")
    s.subscribe(session=2)
    for number in reversed(range(count // 5)):
        s.deliver(f"m{number}", session=2)


def new_tabs(s: Any, count: int) -> None:
    """Every message has a tab and a key of its own."""
    for number in range(count // 7):
        s.subscribe(f"t{number}", f"k{number}").publish(f"m{number}", f"k{number}").deliver(f"m{number}", f"t{number}")


def seconds(events: list[e.Event]) -> float:
    """The best of three runs: what disturbs a run only makes it slower."""
    best = float("inf")
    for _ in range(3):
        checker = Checker(Contract())
        gc.collect()
        began = time.process_time()
        for event in events:
            checker.feed(event)
        checker.finish()
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize("write", [steady, nothing_arrives, flapping, latest_first, new_tabs])
def test_eight_times_the_events_take_about_eight_times_as_long(
    story: NewStory, write: Callable[[Any, int], None]
) -> None:
    """Quadratic would be 64 times; 24 leaves room for a busy machine."""
    times = []
    for count in (EVENTS // 8, EVENTS):
        s = story()
        write(s, count)
        s.rest("t1")
        times.append(seconds(s.events))
    assert times[1] < 24 * max(times[0], 0.0005)
