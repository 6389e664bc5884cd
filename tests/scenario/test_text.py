"""Scenarios read as plain English."""

from __future__ import annotations

from typing import get_args

import pytest

from conformance.scenario.steps import (
    AddAddress,
    AdvanceClock,
    Attempt,
    AwaitFault,
    AwaitQueue,
    BeginFault,
    Behave,
    BrokerDown,
    BrokerUp,
    ClosePublisher,
    CloseTab,
    DuplicateTab,
    EndFault,
    ObserveQueue,
    OpenTab,
    Publish,
    ReloadTab,
    Scenario,
    Settle,
    Step,
)
from conformance.scenario.text import scenario_text, step_text

LINES: list[tuple[Step, str]] = [
    (Attempt(what="send-to-queue"), "a hostile page tries: send to queue"),
    (OpenTab(tab="t1", key="ticks"), 'open tab t1 on pubsub "ticks"'),
    (OpenTab(tab="t1", exchange="broadcast", wait=False), "open tab t1 on broadcast without waiting"),
    (ReloadTab(tab="t1"), "reload tab t1"),
    (DuplicateTab(tab="t1"), "duplicate tab t1"),
    (CloseTab(tab="t1"), "close tab t1 for good"),
    (Behave(tab="t1"), "tab t1 handles and acks at once"),
    (Behave(tab="t1", withhold_acks=True, delay_ms=5), "tab t1 withholds acks and takes 5 ms for each message"),
    (Behave(tab="t1", withhold_handling=True), "tab t1 withholds handling"),
    (Publish(key="ticks"), 'publish 1 message to pubsub "ticks"'),
    (
        Publish(key="é", count=9, size_bytes=0, body="binary", pipelined=True, wait=False),
        'publish 9 messages of 0 bytes (binary) to pubsub "é" all at once without waiting',
    ),
    (
        Publish(key="a", properties={"content_type": "x", "priority": 1, "user_id": "{user}"}, timeout_s=0.5, wait_s=2),
        'publish 1 message to pubsub "a" with content-type, priority and user-id within 0.5 s, waiting 2 s at most',
    ),
    (Publish(key="a", properties={"headers": {}}), 'publish 1 message to pubsub "a" with headers'),
    (AddAddress(), "have a further address of the broker for the publisher"),
    (ClosePublisher(), "close the publisher, waiting 1 s at most"),
    (BeginFault(link="t1", fault="rst"), "begin rst on the link of t1"),
    (
        BeginFault(link="publisher", fault="cut_before_confirm", parameters={"n": 2, "down": True}),
        "begin cut_before_confirm (down True, n 2) on the publisher's link",
    ),
    (AwaitFault(link="t1"), "wait until the fault on the link of t1 has happened"),
    (EndFault(link="publisher"), "heal the publisher's link"),
    (BrokerDown(), "stop the broker (SIGTERM)"),
    (BrokerDown(how="kill"), "kill the broker (SIGKILL)"),
    (BrokerUp(), "start the broker again"),
    (BeginFault(link="broker", fault="pause"), "begin pause on the broker"),
    (AdvanceClock(by_s=82800), "move the broker's clock on by 23h"),
    (ObserveQueue(tab="t1"), "look at the queue of t1"),
    (AwaitQueue(tab="t1", until="left"), "wait until the queue of t1 has no consumer"),
    (AwaitQueue(tab="t1", until="empty"), "wait until the queue of t1 is empty"),
    (AwaitQueue(tab="t1", until="gone", every_s=1), "wait until the queue of t1 is gone"),
    (Settle(), "wait until all that is owed has come"),
]


@pytest.mark.parametrize(("step", "line"), LINES)
def test_each_step(step: Step, line: str) -> None:
    """One line, what matters alone."""
    assert step_text(step) == line


def test_every_kind_of_step_has_words() -> None:
    """The table above is whole."""
    assert {type(step) for step, _ in LINES} == set(get_args(get_args(Step)[0]))


def test_a_scenario_is_numbered_from_one() -> None:
    """Numbers are aligned, so that long scenarios stay readable."""
    text = scenario_text(Scenario(steps=(OpenTab(tab="t1"), *[Settle()] * 9)))
    assert text.splitlines()[0] == " 1. open tab t1 on pubsub"
    assert text.splitlines()[9] == "10. wait until all that is owed has come"


def test_no_step_no_text() -> None:
    """What is no step is the caller's mistake."""
    with pytest.raises(TypeError, match="str is no step"):
        step_text("open tab t1")
