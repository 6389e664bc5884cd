"""Properties that went out are held against those that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.checker.properties import changed
from conformance.history import events as e

NewStory = Callable[[], Any]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, {"content_type": "text/plain"}),
        ({"priority": 7}, {"priority": 7, "content_type": "text/plain"}),
        ({"headers": {"a": 1}}, {"headers": {"a": 1, "traceparent": "00-…"}}),
        ({"headers": {"a": {"b": [1, "2", False]}}}, {"headers": {"a": {"b": [1, "2", False]}}}),
        ({"delivery_mode": 1}, {"delivery_mode": 1}),
        ({"timestamp": 1_700_000_000}, {"timestamp": 1_700_000_000}),
    ],
)
def test_what_is_as_asked(asked: dict[str, Any], told: dict[str, Any]) -> None:
    """What the publisher adds on its own is its own affair."""
    assert changed(asked, told) == ""


@pytest.mark.parametrize(
    ("asked", "told", "said"),
    [
        ({"priority": 7}, {}, "priority 7 was left out"),
        ({"priority": 7}, {"priority": None}, "priority 7 was left out"),
        ({"priority": 7}, {"priority": 0}, "priority was 0, not 7"),
        ({"expiration": "60"}, {"expiration": "60000"}, "expiration was '60000', not '60'"),
        ({"headers": {"a": 1}}, {}, "of its headers, a 1 was left out"),
        ({"headers": {"a": 1}}, {"headers": {"a": "1"}}, "of its headers, a was '1', not 1"),
        ({"headers": {"a": 1}}, {"headers": {"a": True}}, "of its headers, a was True, not 1"),
        ({"headers": {"a": True}}, {"headers": {"a": 1}}, "of its headers, a was 1, not True"),
        ({"headers": {"a": [1]}}, {"headers": {"a": [1, 2]}}, "of its headers, a was [1, 2], not [1]"),
        ({"headers": {"a": {"b": 1}}}, {"headers": {"a": {"c": 1}}}, "of its headers, a was {'c': 1}, not {'b': 1}"),
        ({"type": "x" * 100}, {}, f"type '{'x' * 59}… was left out"),
    ],
)
def test_the_first_difference_is_told(asked: dict[str, Any], told: dict[str, Any], said: str) -> None:
    """By name, with both values, cut where they are long."""
    assert changed(asked, told) == said


def test_a_publisher_may_be_late_within_reason(story: NewStory) -> None:
    """A busy machine breaks no promise."""
    s = story().subscribe().invoke("m1", timeout_s=0.5).wire("m1").later(9).settle("m1").deliver("m1").rest("t1")
    assert s.verdict().verdict == "certified"


def test_what_is_asked_to_be_transient_may_be(story: NewStory) -> None:
    """Whoever asks for delivery mode 1 gets it, and nothing is wrong."""
    s = story().subscribe().invoke("m1", properties={"delivery_mode": 1}).wire("m1", delivery_mode=1).settle("m1")
    assert s.deliver("m1").rest("t1").verdict().verdict == "certified"


def test_what_had_its_answer_before_close_is_nothing_to_wait_for(story: NewStory) -> None:
    """Nor is what was not on the wire yet."""
    s = story().subscribe().invoke("m1").wire("m1").settle("m1").deliver("m1").invoke("m2")
    s.add(e.PublisherClosing, publisher="p").settle("m2", "failed").rest("t1")
    assert s.verdict().verdict == "certified"
