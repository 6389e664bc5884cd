"""Keys for drawn scenarios."""

from __future__ import annotations

import pytest

from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.scenario.keys import STRAY, Route, keys_for


def test_the_built_in_contract() -> None:
    """The contract's own keys come first, then wildcards made of them, then the fanout."""
    keys = keys_for(Contract())
    assert [route.key for route in keys.bindings if route.exchange == "pubsub"] == [
        "ticks",
        "news.sport",
        "*",
        "ticks.#",
        "news.*",
        "news.#",
        "#",
    ]
    assert keys.bindings[-1] == Route("broadcast", "")


@pytest.mark.parametrize("exchange_type", ["topic", "direct", "fanout"])
@pytest.mark.parametrize("routing_keys", [["ticks"], ["#"], ["*.*", "a.#.b", ""], ["nobody.is.bound"], ["x", "x"]])
def test_something_can_be_published_for_every_binding(exchange_type: str, routing_keys: list[str]) -> None:
    """Each binding has a key that it matches, and that key is among those that are published."""
    keys = keys_for(
        contract_from_dict(
            {"exchanges": {"x": {"type": exchange_type}}, "tab": {"exchange": "x", "routing_keys": routing_keys}}
        )
    )
    for binding in keys.bindings:
        assert keys.matching(binding) in keys.published
    assert len(set(keys.bindings)) == len(keys.bindings)
    assert len(set(keys.published)) == len(keys.published)


def test_keys_match_one_several_or_none() -> None:
    """What is published for the built-in contract is owed to very different numbers of bindings."""
    keys = keys_for(Contract())
    owed = {
        route.key: sum(keys.matches(binding, route) for binding in keys.bindings if binding.exchange == "pubsub")
        for route in keys.published
        if route.exchange == "pubsub"
    }
    assert owed["ticks"] == 4  # ticks, *, ticks.#, #
    assert owed["ticks.more"] == 2
    assert owed[STRAY] == 1  # "#" alone


def test_a_contract_with_definitions_keeps_to_its_own_keys() -> None:
    """Its permissions may allow no other bindings."""
    contract = contract_from_dict({"broker": {"definitions": "definitions.json"}})
    assert keys_for(contract).bindings == (Route("pubsub", "ticks"), Route("pubsub", "news.sport"))


def test_amq_topic_is_alone() -> None:
    """Where the destination reaches one exchange, tabs are opened on that."""
    contract = contract_from_dict(
        {
            "exchanges": {"mine": {}, "t": {"name": "amq.topic"}},
            "tab": {"exchange": "t", "destination": "/topic/{routing_key}"},
        }
    )
    assert {route.exchange for route in keys_for(contract).bindings} == {"t"}
