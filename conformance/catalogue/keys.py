"""Which routing keys a case uses: concrete keys that match the contract's bindings, and strays that match none."""

from __future__ import annotations

from conformance.contract.model import Contract
from conformance.contract.topic import binding_matches

__all__ = ["binding", "concrete", "own_keys", "stray"]


def binding(contract: Contract, number: int) -> str:
    """The binding key of the tab ``number`` (from 0): each takes one of the contract's keys in turn."""
    keys = contract.tab.routing_keys
    return keys[number % len(keys)]


def concrete(contract: Contract, key: str) -> str:
    """A key without wildcards that the binding key matches on the tabs' exchange."""
    if contract.exchanges[contract.tab.exchange].type != "topic":
        return key
    return ".".join("word" if word in ("*", "#") else word for word in key.split("."))


def own_keys(contract: Contract) -> bool:
    """Whether a case must keep to the contract's own routing keys: its definitions may permit no others."""
    return contract.broker.definitions is not None


def stray(contract: Contract) -> str | None:
    """A key on the tabs' exchange that none of the contract's bindings matches; None where there is none."""
    kind = contract.exchanges[contract.tab.exchange].type
    candidates = (".".join(["nobody"] * words) for words in range(1, 8))
    return next(
        (
            key
            for key in candidates
            if not any(binding_matches(kind, bound, key) for bound in contract.tab.routing_keys)
        ),
        None,
    )
