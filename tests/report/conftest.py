"""Runs made by hand: one certified, one violated, one with text from a hostile peer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from conformance.catalogue.result import CheckResult
from conformance.checker.verdict import Counts, Distribution, StoryLine, Tally, Times, Verdict, Violation
from conformance.contract.model import Contract
from conformance.report.certificate import build_certificate
from conformance.scenario.steps import BeginFault, EndFault, OpenTab, Publish, Scenario

STORY = (
    StoryLine(
        index=3, time_s=0.120, text="tab n1-t1 (session 1) subscribed to /exchange/x/ticks, queue web-client-n1-t1"
    ),
    StoryLine(
        index=4,
        time_s=0.150,
        text="the broker said after the subscription of queue web-client-n1-t1: ready 0, durable true, "
        "exclusive false, auto-delete true, type classic, arguments {'x-expires': 86400000}",
    ),
    StoryLine(index=5, time_s=0.200, text="fault rst began on tab:n1-t1 where=now"),
    StoryLine(index=6, time_s=0.203, text="tab n1-t1 (session 1) was disconnected: connection reset"),
    StoryLine(
        index=7, time_s=1.500, text="published m-1 to exchange 'x' with routing key 'ticks' (64 bytes, body 00ff)"
    ),
    StoryLine(index=8, time_s=1.5124, text="the publisher said of it: returned as unroutable"),
    StoryLine(index=11, time_s=31.5, text="the run came to rest after 30.0 s"),
)


def _lost(message: int = 1, cause: str = "auto-delete-queue", story: tuple[StoryLine, ...] = STORY) -> Violation:
    """A lost message, as the checker tells it."""
    return Violation(
        kind="lost",
        cause=cause,
        summary=f"message m-{message}, returned at 1.512 s, was never handled by tab n1-t1: its queue was auto-delete",
        advice='Set tab.headers.auto-delete = "false" and clean up by x-expires alone.',
        source="https://www.rabbitmq.com/docs/queues#temporary-queues",
        message_id=f"m-{message}",
        body_digest="00ff",
        tab="n1-t1",
        index=7,
        story=story,
    )


def _violated(check_id: str = "cut/rst/while-away", violations: int = 1, **changes: Any) -> CheckResult:
    """A violated check with so many lost messages."""
    told = tuple(_lost(number + 1, story=STORY if number == 0 else ()) for number in range(violations))
    values: dict[str, Any] = {
        "id": check_id,
        "verdict": "violated",
        "summary": f"{violations} of {violations} owed lost (auto-delete-queue)",
        "rule": "What is published while a tab is away waits for it.",
        "source": "https://www.rabbitmq.com/docs/queues#durability",
        "expectation": "All arrive after the reconnect.",
        "detail": Verdict(
            verdict="violated",
            summary=f"{violations} of {violations} owed lost (auto-delete-queue)",
            counts=Counts(attempted=violations, returned=violations, obligations=violations, lost=violations),
            violations=told,
            tally=(Tally(kind="lost", cause="auto-delete-queue", count=violations),),
            notes=("queue web-client-n1-t1 is not as asked for",),
        ),
        "scenario": Scenario(
            steps=(
                OpenTab(tab="t1", key="ticks"),
                BeginFault(link="t1", fault="rst"),
                Publish(key="ticks"),
                EndFault(link="t1"),
            )
        ),
        "seconds": 31.6,
    }
    return CheckResult(**(values | changes))


def _certified(check_id: str = "delivery/steady", **changes: Any) -> CheckResult:
    """A check that held."""
    values: dict[str, Any] = {
        "id": check_id,
        "verdict": "certified",
        "summary": "all 20 obligations of 20 confirmed messages were met",
        "rule": "What is published to a subscribed tab arrives.",
        "detail": Verdict(
            verdict="certified",
            summary="all 20 obligations of 20 confirmed messages were met",
            counts=Counts(attempted=20, confirmed=20, delivered=21, handled=20, obligations=20),
            times=Times(
                confirm=Distribution(
                    count=20, min_ms=0.4, median_ms=0.5, p95_ms=1.0, p99_ms=2.0, max_ms=2.0, sample_ms=(0.4, 0.5, 2.0)
                ),
                longest_outage_s={"n1-t1": 0.0},
            ),
        ),
        "seconds": 0.412,
    }
    return CheckResult(**(values | changes))


def _drawn(**changes: Any) -> CheckResult:
    """A generated check that held."""
    values: dict[str, Any] = {
        "id": "generated/links",
        "verdict": "certified",
        "summary": "118 drawn scenarios held.",
        "evidence": {"scenarios": 118, "inconclusive": 0, "median_s": 0.3},
        "seconds": 58.2,
    }
    return CheckResult(**(values | changes))


def _not_checked() -> CheckResult:
    """A check that could not be made."""
    return CheckResult(
        id="broker/kill-while-away",
        verdict="not_checked",
        summary="Not checked: this broker can't be asked to: kill.",
        rule="A confirmed message survives kill -9.",
    )


@pytest.fixture(scope="session")
def violated() -> Callable[..., CheckResult]:
    """Makes a violated check: its id, how many messages were lost, and what else to change."""
    return _violated


@pytest.fixture(scope="session")
def certified() -> Callable[..., CheckResult]:
    """Makes a check that held: its id, and what else to change."""
    return _certified


@pytest.fixture(scope="session")
def drawn() -> Callable[..., CheckResult]:
    """Makes a generated check that held, and what else to change."""
    return _drawn


@pytest.fixture
def not_checked() -> CheckResult:
    """A check that could not be made."""
    return _not_checked()


@pytest.fixture(scope="session")
def certify() -> Callable[..., dict[str, Any]]:
    """Makes the certificate of some results; keyword arguments replace what is said of the run."""

    def make(results: list[CheckResult], **changes: Any) -> dict[str, Any]:
        values: dict[str, Any] = {
            "contract": Contract(),
            "broker": {"provider": "provisioned", "version": "3.10.8", "settings": ["rabbitmq.conf"]},
            "publisher": "durable_ws",
            "client": "websocket-client",
            "seed": 42,
            "command": ["/somewhere/bin/durable-ws", "certify", "--seed", "42"],
            "versions": {"durable-ws": "0.1.0", "python": "3.11.2"},
            "timings": {"start of the broker": 6.1, "checks": 61.0, "clean-up": 1.2},
            "began": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "today": date(2026, 1, 2),
            "seconds": 68.31,
            "report": Path("out"),
        }
        return build_certificate(results=results, **(values | changes))

    return make
