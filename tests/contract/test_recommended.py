"""The recommended set: what it lets in, what it keeps out, and that every line has its reason."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from conformance.contract.loader import contract_from_dict, contract_to_dict
from conformance.contract.naming import Naming
from conformance.contract.recommended import (
    RECOMMENDED,
    definitions,
    hashed,
    headers,
    recommended_contract,
    settings,
    why,
)
from conformance.errors import UsageError

OURS = {"broker": {"definitions": RECOMMENDED}, "tab": {"login": "tab", "passcode": "p"}}


def with_(**sections: dict[str, Any]) -> dict[str, Any]:
    """The recommended definitions asked for, with more keys."""
    return {**OURS, **{key: {**OURS.get(key, {}), **value} for key, value in sections.items()}}


@pytest.mark.parametrize(
    "contract",
    [
        recommended_contract("p"),
        contract_from_dict(with_(tab={"queue": "prohlížeč {tab}/q+"}, exchanges={"pubsub": {"name": "a.b/c"}})),
        contract_from_dict(with_(tab={"queue": "all-the-same"})),
    ],
)
def test_the_permissions_match_the_tabs_names_and_no_others(contract: Any) -> None:
    """Also with the word that a case adds to them."""
    (permission,) = definitions(contract)["permissions"]
    for namespace in ("", "n0a1b2c"):
        naming = Naming(contract, namespace)
        for kind in ("configure", "write", "read"):
            assert re.search(permission[kind], naming.queue("t1"))
        for exchange in contract.exchanges:
            assert re.search(permission["read"], naming.exchange(exchange))
            assert not re.search(permission["write"], naming.exchange(exchange))
            assert not re.search(permission["configure"], naming.exchange(exchange))
    for other in ("", "orders", "amq.default", "amq.topic", "amq.rabbitmq.trace", "stomp-subscription-x", "amq.gen-x"):
        for kind in ("configure", "write", "read"):
            assert not re.search(permission[kind], other)


def test_topic_permissions_match_the_contracts_keys_alone() -> None:
    """As they are bound: # and * are letters there."""
    contract = contract_from_dict(with_(tab={"routing_keys": ["ticks", "news.*"]}, limits={"topic_permissions": True}))
    (topic,) = definitions(contract)["topic_permissions"]
    assert [key for key in ("ticks", "news.*", "ticks.x", "#", "news.sport", "x") if re.search(topic["read"], key)] == [
        "ticks", "news.*",
    ]  # fmt: skip
    assert not re.search(topic["write"], "ticks")


def test_the_built_in_contract_is_one() -> None:
    """It can be written and read again, and each of its lines has a reason."""
    contract = recommended_contract("p")
    assert contract_from_dict(contract_to_dict(contract)) == contract
    lines = [*why(contract), *settings(contract), *headers(contract)]
    assert all(line.reason.endswith(".") and line.value for line in lines)
    assert len({line.key for line in lines}) == len(lines)
    told = {line.key for line in lines}
    assert {"exclusive", "permissions.write", "parameters.vhost-limits", "consumer_timeout"} <= told


@pytest.mark.parametrize(("version", "has"), [(None, False), ((3, 10), False), ((4, 0), False), ((4, 3), True)])
def test_settings_by_version(version: tuple[int, int] | None, has: bool) -> None:
    """3.10 does not start with a key that it does not know."""
    assert (
        "stomp.max_frame_size" in {line.key for line in settings(recommended_contract("p"), version=version)}
    ) == has


def test_no_password_is_written_as_it_is() -> None:
    """As RabbitMQ computes it: salt, then the hash of salt and password."""
    (user,) = hashed(definitions(recommended_contract("p")), b"salt")["users"]
    assert "password" not in user
    assert base64.b64decode(user["password_hash"]) == b"salt" + hashlib.sha256(b"saltp").digest()


@pytest.mark.parametrize(
    ("data", "field", "told"),
    [
        ({"limits": {"connections": 0}}, "limits.connections", "greater than or equal to 1"),
        ({"limits": {"queues": -1}}, "limits.queues", "greater than or equal to 1"),
        ({"limits": {"frame_bytes": 10}}, "limits.frame_bytes", "4096"),
        ({"limits": {"silence": "1ms"}}, "limits.silence", "too short"),
        ({"limits": {"silence": "10s"}}, "limits.silence", "heart-beats are 10 s apart"),
        ({"limits": {"conections": 5}}, "limits.conections", "connections"),
        (
            {"limits": {"topic_permissions": True}, "exchanges": {"pubsub": {"type": "direct"}}},
            "limits.topic_permissions",
            "direct",
        ),
        ({"broker": {"definitions": RECOMMENDED}}, "tab.login", "administrator"),
        (with_(tab={"queue": "{tab}"}), "tab.queue", "prefix"),
    ],
)
def test_what_can_not_be(data: dict[str, Any], field: str, told: str) -> None:
    """One message that names the key and the way out."""
    with pytest.raises(UsageError) as refused:
        contract_from_dict(data)
    assert refused.value.field == field
    assert told in str(refused.value)
