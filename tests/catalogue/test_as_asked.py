"""The two checks of settings: hand-written observations against what they must say."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.catalogue import as_asked  # noqa: F401 - registers its cases
from conformance.catalogue.case import CASES
from conformance.checker.verdict import Violation
from conformance.contract.loader import contract_from_dict
from conformance.errors import HarnessError
from conformance.history import events as e

RECOMMENDED = {"durable": "true", "auto-delete": "false", "exclusive": "false", "x-expires": "86400000"}
SOUND = {
    "durable": True,
    "exclusive": False,
    "auto_delete": False,
    "queue_type": "classic",
    "arguments": {"x-expires": 86400000},
    "effective_policy": {},
    "operator_definition": {},
}
QUORUM = {"queue_type": "quorum", "arguments": {"x-expires": 86400000, "x-queue-type": "quorum"}}


def history(headers: dict[str, str | None], facts: dict[str, Any]) -> list[e.Event]:
    """A tab subscribes and the broker is asked."""
    asked = {name: value for name, value in (RECOMMENDED | headers).items() if value is not None}
    subscribed = e.TabSubscribed(
        index=0, time_ns=0, tab="t1", session=1, queue="q", exchange="x", exchange_type="topic", binding_key="k",
        destination="/exchange/x/k", headers={"ack": "client-individual", "x-queue-name": "q", **asked},
    )  # fmt: skip
    told = SOUND | facts
    return [
        subscribed,
        e.QueueObserved(index=1, time_ns=1, when="subscribed", tab="t1", queue="q", exists=True, **told),
    ]


def found(
    check: str, headers: dict[str, str | None], facts: dict[str, Any], promise: dict[str, Any] | None = None
) -> list[Violation]:
    """What the check says."""
    shows = CASES[check].shows
    assert shows is not None
    return shows(history(headers, facts), contract_from_dict({"promise": promise or {}}))


def by(kind: str, **definition: Any) -> dict[str, Any]:
    """The facts of a queue under a policy or an operator policy called NAME."""
    operator = kind == "operator policy"
    return {
        "operator_policy" if operator else "policy": "NAME",
        "effective_policy": {key.replace("_", "-"): value for key, value in definition.items()},
        "operator_definition": {key.replace("_", "-"): value for key, value in definition.items()} if operator else {},
    }


@pytest.mark.parametrize(
    ("headers", "facts", "kind", "cause", "told"),
    [
        ({"x-overflow": "reject-publish"}, {}, "ignored", "header-ignored", "has no x-overflow"),
        ({"x-delivery-limit": "9"}, {}, "ignored", "header-ignored", "has no x-delivery-limit"),
        ({"x-single-active-consumer": "true"}, {}, "ignored", "header-ignored", "has no x-single-active-consumer"),
        ({}, {"durable": False}, "ignored", "property-overridden", "durable: false, but true was asked for"),
        ({}, {"auto_delete": True}, "ignored", "property-overridden", "auto-delete: true, but false was asked for"),
        ({"exclusive": None}, {"exclusive": True}, "ignored", "exclusive-by-default", "though nobody asked for it"),
        (
            {"exclusive": None},
            {"exclusive": True, "durable": False},
            "ignored",
            "exclusive-by-default",
            "durable: false",
        ),
        ({}, {"arguments": {"x-expires": 5}}, "ignored", "argument-overridden", "x-expires 5, but 86400000 was asked"),
        ({"x-queue-type": "classic"}, QUORUM, "ignored", "queue-type-overridden", "is a quorum queue"),
        (
            {"x-queue-type": "quorum"},
            {**QUORUM, "default_delivery_limit": 20},
            "lost",
            "delivery-limit",
            "more than 20 times without an ack (RabbitMQ's default)",
        ),
    ],
)
def test_what_is_not_as_asked_is_named(
    headers: dict[str, str | None], facts: dict[str, Any], kind: str, cause: str, told: str
) -> None:
    """With its kind and cause, and what to change."""
    first = found("settings/as-asked", headers, facts)[0]
    assert (first.kind, first.cause) == (kind, cause)
    assert told in first.summary
    assert first.advice.endswith(".")
    assert first.source.startswith("https://")


@pytest.mark.parametrize(
    ("headers", "facts"),
    [
        ({}, {}),
        ({}, {"arguments": {"x-expires": 86400000, "x-queue-type": "classic"}}),  # as 4.x tells it
        ({"x-priority": "5"}, {}),  # the consumer's, not the queue's
        ({"x-overflow": "reject-publish"}, by("policy", overflow="reject-publish")),  # ignored, but so all the same
        ({"x-queue-type": "quorum"}, QUORUM),  # 3.x has no limit
        ({"x-queue-type": "quorum"}, {**QUORUM, "default_delivery_limit": 20, **by("policy", delivery_limit=500)}),
        ({"x-queue-type": "quorum"}, {**QUORUM, "default_delivery_limit": 20, "effective_policy": None}),
        ({}, QUORUM),  # the vhost's default queue type: a note
        ({"exclusive": "true", "durable": "false"}, {"exclusive": True, "durable": False, "arguments": None}),
    ],
)
def test_what_is_as_asked_raises_no_alarm(headers: dict[str, str | None], facts: dict[str, Any]) -> None:
    """Also where it is told in other words."""
    assert found("settings/as-asked", headers, facts) == []


@pytest.mark.parametrize(
    ("facts", "kind", "cause", "told"),
    [
        (by("policy", expires=60_000), "lost", "queue-expires", "goes after 1m (policy NAME sets expires)"),
        (by("operator policy", expires=60_000), "lost", "queue-expires", "operator policy NAME sets expires"),
        (by("policy", message_ttl=60_000), "lost", "message-ttl", "drops a message after 1m (policy NAME"),
        (by("operator policy", max_length=10), "lost", "max-length", "max-length 10 (operator policy NAME)"),
        (by("policy", max_length_bytes=10), "lost", "max-length", "max-length-bytes 10 (policy NAME)"),
        ({**QUORUM, **by("policy", delivery_limit=5)}, "lost", "delivery-limit", "more than 5 times"),
        (by("operator policy", expires=7_200_000), "ignored", "policy-overrides", "not after the 1d that were asked"),
    ],
)
def test_what_a_policy_takes_away_is_named(facts: dict[str, Any], kind: str, cause: str, told: str) -> None:
    """With the policy's name in summary and advice."""
    first = found("settings/policies", {}, facts)[0]
    assert (first.kind, first.cause) == (kind, cause)
    assert told in first.summary
    assert "NAME" in first.advice


@pytest.mark.parametrize(
    "facts",
    [
        {},
        by("policy", expires=172_800_000, message_ttl=7_200_000),
        by("policy", max_length=10, overflow="reject-publish"),
        by("policy", dead_letter_exchange="dlx"),
        by("policy", delivery_limit=5),  # a classic queue has none
        {**QUORUM, **by("policy", delivery_limit=500)},
        {**QUORUM, **by("policy", delivery_limit=-1)},
    ],
)
def test_a_harmless_policy_raises_no_alarm(facts: dict[str, Any]) -> None:
    """What raises a limit, refuses instead of dropping, or keeps the promise."""
    assert found("settings/policies", {}, facts) == []


def test_without_flapping_a_delivery_limit_is_no_violation() -> None:
    """Who does not promise flapping may have one."""
    facts = {**QUORUM, **by("policy", delivery_limit=5)}
    assert found("settings/policies", {}, facts, {"survives": ["cut"]}) == []


@pytest.mark.parametrize(
    ("check", "facts"),
    [("settings/as-asked", {"arguments": None}), ("settings/policies", {"effective_policy": None})],
)
def test_what_could_not_be_read_is_inconclusive(check: str, facts: dict[str, Any]) -> None:
    """Never a pass for want of evidence."""
    with pytest.raises(HarnessError):
        found(check, {}, facts)
