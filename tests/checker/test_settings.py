"""What was asked for and what the broker made of it, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.checker.verdict import Setting

NewStory = Callable[[], Any]


def told(settings: tuple[Setting, ...]) -> dict[str, tuple[str | None, str | None, str, bool | None]]:
    """By name: asked, real, whence, whether they agree."""
    return {one.name: (one.asked, one.real, one.source, one.agrees) for one in settings}


def test_properties_arguments_and_policies_stand_beside_what_was_asked(story: NewStory) -> None:
    """What agrees, what differs, what nobody asked for, what the broker ignored, and what it does not tell."""
    headers = {
        "ack": "client-individual", "prefetch-count": "50", "auto-delete": "false", "exclusive": "false",
        "x-expires": "86400000", "x-overflow": "reject-publish", "x-queue-name": "q-t1",
    }  # fmt: skip
    s = story().subscribe(headers=headers, beat=5000)
    s.observe(
        auto_delete=True, queue_type="quorum", policy="short", effective_policy={"expires": 1000, "max-length": 9},
        operator_definition={}, default_delivery_limit=20,
    )  # fmt: skip
    assert told(s.verdict().settings) == {
        "durable": (None, "true", "queue", None),
        "exclusive": ("false", "false", "queue", True),
        "auto-delete": ("false", "true", "queue", False),
        "x-queue-type": (None, "quorum", "queue", None),
        "x-delivery-limit": (None, "20", "RabbitMQ's default", None),
        "x-expires": ("86400000", "1000", "policy short", False),
        "x-max-length": (None, "9", "policy short", None),
        "x-overflow": ("reject-publish", "none", "queue", False),
        "ack": ("client-individual", None, "", None),
        "prefetch-count": ("50", None, "", None),
        "heart-beat": ("10000,10000", "5000,5000", "CONNECTED", False),
    }


def test_what_all_tabs_have_in_common_is_told_once(story: NewStory) -> None:
    """Two tabs with one recipe; a third whose queue nobody asked for."""
    s = story().subscribe("t1").observe("t1").subscribe("t2").observe("t2").subscribe("t3")
    names = [one.name for one in s.verdict().settings]
    assert len(names) == len(set(names))
    assert "durable" in names


def test_nothing_is_told_of_queues_that_nobody_saw(story: NewStory) -> None:
    """No row of guesses."""
    assert story().subscribe().verdict().settings == ()
