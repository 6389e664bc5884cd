"""A publisher that is a program and does not keep to the protocol: nothing is certified on its word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.checker.story import sentence
from conformance.history import events as e

NewStory = Callable[[], Any]


def sound(new: NewStory) -> Any:
    """A run in which a message came."""
    return new().subscribe("t1").invoke("m1").wire("m1").settle("m1").deliver("m1")


@pytest.mark.parametrize("what", ["died", "silent", "no_outcome", "contradicted", "unknown_id"])
def test_what_puts_its_word_in_doubt(story: NewStory, what: str) -> None:
    """Inconclusive, with the reason, though all that was confirmed came."""
    verdict = sound(story).add(e.PublisherMisbehaved, what=what, detail="it did so").rest("t1").verdict()
    assert verdict.verdict == "inconclusive"
    assert verdict.inconclusive_reasons == ("the publisher's program broke the protocol: it did so",)


@pytest.mark.parametrize("what", ["repeated", "late", "chatter"])
def test_what_does_no_harm(story: NewStory, what: str) -> None:
    """A note."""
    verdict = sound(story).add(e.PublisherMisbehaved, what=what, detail="it did so").rest("t1").verdict()
    assert verdict.verdict == "certified"
    assert verdict.notes[-1] == "the publisher's program broke the protocol: it did so"


def test_many_of_a_kind_are_one_reason(story: NewStory) -> None:
    """With their number."""
    run = sound(story)
    for number in (3, 1, 2):
        run.add(e.PublisherMisbehaved, what="silent", detail=f"no answer for m{number}")
    assert run.rest("t1").verdict().inconclusive_reasons == (
        "the publisher's program broke the protocol: no answer for m1 (3 times in all)",
    )


def test_a_loss_is_a_loss_all_the_same(story: NewStory) -> None:
    """Violated beats inconclusive."""
    run = story().subscribe("t1").invoke("m1").wire("m1").settle("m1")
    run.add(e.PublisherMisbehaved, what="died", detail="it ended with status 1")
    verdict = run.rest("t1", ready=0).verdict()
    assert verdict.verdict == "violated"
    assert "it ended with status 1" in verdict.inconclusive_reasons[0]
    assert "the publisher's program broke the protocol: it ended with status 1" in [
        line.text for line in verdict.violations[0].story
    ]


def test_in_words() -> None:
    """As a line of a story."""
    event = e.PublisherMisbehaved(index=0, time_ns=0, what="died", detail="it ended with status 1")
    assert sentence(event) == "the publisher's program broke the protocol: it ended with status 1"
