"""What holds of argument, policy, operator policy and default, and where it comes from."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.checker.effective import effective
from conformance.history.events import QueueObserved


def queue(**facts: Any) -> QueueObserved:
    """A queue as the broker tells it."""
    return QueueObserved(index=0, time_ns=0, when="subscribed", tab="t1", queue="q", exists=True, **facts)


POLICY = {"policy": "p", "effective_policy": {"expires": 200, "overflow": "reject-publish"}, "operator_definition": {}}


@pytest.mark.parametrize(
    ("key", "facts", "value", "source"),
    [
        ("expires", {"arguments": {"x-expires": 100}, **POLICY}, 100, "argument x-expires"),
        ("expires", {"arguments": {"x-expires": 300}, **POLICY}, 200, "policy p"),
        ("expires", {"arguments": {}, **POLICY}, 200, "policy p"),
        ("overflow", {"arguments": {}, **POLICY}, "reject-publish", "policy p"),
        ("overflow", {"arguments": {"x-overflow": "drop-head"}, **POLICY}, "drop-head", "argument x-overflow"),
        (
            "max-length",
            {
                "policy": "p",
                "operator_policy": "o",
                "effective_policy": {"max-length": 5},
                "operator_definition": {"max-length": 5},
            },
            5,
            "operator policy o",
        ),
        (
            "max-length",
            {
                "policy": "p",
                "operator_policy": "o",
                "effective_policy": {"max-length": 5},
                "operator_definition": {"max-length": 9},
            },
            5,
            "policy p",
        ),
        ("max-length", {"operator_policy": "o", "effective_policy": {"max-length": 5}}, 5, "operator policy o"),
        ("delivery-limit", {"default_delivery_limit": 20, "effective_policy": {}}, 20, "RabbitMQ's default"),
        (
            "delivery-limit",
            {"default_delivery_limit": 20, "policy": "p", "effective_policy": {"delivery-limit": 50}},
            50,
            "policy p",
        ),
    ],
)
def test_the_lowest_number_and_the_argument_hold(key: str, facts: Any, value: object, source: str) -> None:
    """As seen on RabbitMQ 3.10.8, 4.0.5 and 4.3.6."""
    found = effective(queue(**facts), key)
    assert found is not None
    assert (found.value, found.source) == (value, source)


def test_no_limit_is_no_number() -> None:
    """A negative delivery limit is none, and a limit beside it is lower."""
    policy = {"policy": "p", "effective_policy": {"delivery-limit": -1}}
    found = effective(queue(**policy), "delivery-limit")
    assert found is not None
    assert found.number is None
    found = effective(queue(arguments={"x-delivery-limit": 30}, **policy), "delivery-limit")
    assert found is not None
    assert found.source == "argument x-delivery-limit"


def test_headers_are_believed_only_where_nobody_asked() -> None:
    """What the broker says of the arguments is what counts."""
    headers = {"x-expires": "100"}
    assert effective(None, "expires", headers) is not None
    assert effective(queue(), "expires", headers) is not None
    assert effective(queue(arguments={}), "expires", headers) is None
