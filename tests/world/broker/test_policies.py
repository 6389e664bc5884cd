"""Which policies apply to a queue, and what they set together."""

from __future__ import annotations

from typing import Any

from conformance.world.broker.policies import Applied, applied


def policy(name: str, pattern: str, definition: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As the management API lists it."""
    return {"vhost": "/", "name": name, "pattern": pattern, "apply-to": "all", "definition": definition} | more


def test_the_highest_priority_of_what_matches_applies() -> None:
    """By name and by type; one policy and one operator policy."""
    policies = [
        policy("low", "^web", {"expires": 1}, priority=0),
        policy("high", "client", {"expires": 2}, priority=5),
        policy("elsewhere", "^other", {"expires": 3}, priority=9),
        policy("exchanges", "^web", {"expires": 4}, priority=9, **{"apply-to": "exchanges"}),
        policy("quorum", "^web", {"expires": 5}, priority=9, **{"apply-to": "quorum_queues"}),
    ]
    assert applied(policies, [], queue="web-client-1", queue_type="classic").policy == "high"
    assert applied(policies, [], queue="web-client-1", queue_type="quorum").policy == "quorum"
    assert applied(policies, [], queue="q", queue_type="classic") == Applied()


def test_the_lower_number_holds_and_else_the_operators() -> None:
    """As RabbitMQ merges them."""
    own = [policy("p", "", {"expires": 5, "max-length": 9, "delivery-limit": 7, "overflow": "drop-head"})]
    operators = [policy("o", "", {"expires": 8, "max-length": 3, "delivery-limit": -1, "overflow": "reject-publish"})]
    found = applied(own, operators, queue="q", queue_type="classic")
    assert (found.policy, found.operator_policy) == ("p", "o")
    assert found.effective == {"expires": 5, "max-length": 3, "delivery-limit": 7, "overflow": "reject-publish"}
    assert found.operator_definition == operators[0]["definition"]
