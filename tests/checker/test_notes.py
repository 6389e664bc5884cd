"""Settings that do not fit the promise, though nothing was lost by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

NewStory = Callable[[], Any]
RECOMMENDED = {"ack": "client-individual", "exclusive": "false", "auto-delete": "false", "x-expires": "86400000"}


@pytest.mark.parametrize(
    ("headers", "facts", "note"),
    [
        ({"ack": "auto"}, {}, "tab t1 subscribes with ack: auto: what is on its way when a link is cut is lost"),
        ({"durable": "true"}, {"durable": False}, "queue q-t1 is durable: false, but true was asked for"),
        (
            {"exclusive": None},
            {"exclusive": True},
            "queue q-t1 is exclusive, though nobody asked for it: it ends with the connection",
        ),
        (
            {"x-overflow": "reject-publish"},
            {},
            "queue q-t1 has no x-overflow: the broker ignored that header of SUBSCRIBE",
        ),
        (
            {"x-expires": "60000"},
            {"arguments": {"x-expires": 60_000}},
            "queue q-t1 expires after 60 s, before promise.longest_outage (3600 s)",
        ),
        (
            {"x-expires": "360000000"},
            {"arguments": {"x-expires": 360_000_000}},
            "queue q-t1 expires after 360000 s, later than promise.abandoned_queues_expire (172800 s)",
        ),
        (
            {"x-expires": None},
            {"arguments": {}},
            "queue q-t1 never expires, though promise.abandoned_queues_expire is 172800 s",
        ),
    ],
)
def test_each_note(story: NewStory, headers: dict[str, str | None], facts: dict[str, Any], note: str) -> None:
    """One thing off gives the one note, and no violation."""
    asked = {name: value for name, value in (RECOMMENDED | headers).items() if value is not None}
    s = story().subscribe(headers=asked).observe(**facts).publish("m1").deliver("m1").rest("t1")
    assert s.verdict().notes == (note,)
    assert s.verdict().verdict == "certified"


def test_the_recommended_recipe_has_no_note(story: NewStory) -> None:
    """Nothing to say of what is as it should be."""
    s = story().subscribe(headers=RECOMMENDED).observe().publish("m1").deliver("m1").rest("t1")
    assert s.verdict().notes == ()


def test_shared_queues_and_optional_messages_are_noted(story: NewStory) -> None:
    """Though each message happened to come to both."""
    s = story().subscribe("t1", queue="q").subscribe("t2", queue="q").invoke("m1").wire("m1", mandatory=False)
    s.settle("m1").deliver("m1").deliver("m1", "t2").rest()
    assert s.verdict().notes == (
        "queue q is shared by 2 tabs, which take turns at its messages",
        "1 message was published without mandatory: nobody is told where no queue takes it",
    )
