"""Which keys drawn scenarios subscribe and publish with: bindings, and keys that match one, several or none."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.contract.model import Contract
from conformance.contract.naming import subscribable
from conformance.contract.topic import binding_matches

__all__ = ["Keys", "Route", "keys_for"]

STRAY = "nobody.is.bound"


@dataclass(frozen=True, slots=True)
class Route:
    """An exchange (a key of the contract's ``[exchanges]``) and a binding or routing key on it."""

    exchange: str
    key: str


@dataclass(frozen=True, slots=True)
class Keys:
    """What tabs bind with and what is published, each the plainest first."""

    contract: Contract
    bindings: tuple[Route, ...]
    published: tuple[Route, ...]

    def matches(self, binding: Route, published: Route) -> bool:
        """Whether a tab bound with ``binding`` is owed what is published with ``published``."""
        kind = self.contract.exchanges[binding.exchange].type
        return binding.exchange == published.exchange and binding_matches(kind, binding.key, published.key)

    def matching(self, binding: Route) -> Route:
        """The plainest key to publish with that the binding matches."""
        return next(route for route in self.published if self.matches(binding, route))


def keys_for(contract: Contract) -> Keys:
    """The keys for a contract: its own ``routing_keys``, and on a topic exchange wildcards made of them.

    Where the contract brings definitions of its own, tabs keep to ``tab.exchange`` and the very keys of the
    contract: permissions may allow no others.
    """
    own = contract.broker.definitions is None
    exchanges = [contract.tab.exchange]
    if own:
        exchanges += [name for name in subscribable(contract) if name != contract.tab.exchange]
    bindings: list[Route] = []
    published: list[Route] = []
    for name in exchanges:
        kind = contract.exchanges[name].type
        keys = [""] if kind == "fanout" else list(dict.fromkeys(contract.tab.routing_keys))
        if kind == "topic" and own:
            keys = list(dict.fromkeys([*keys, *(wild for key in keys for wild in _wildcards(key)), "#"]))
        bindings += [Route(name, key) for key in keys]
        if kind == "topic":
            keys = list(dict.fromkeys([*(_concrete(key) for key in keys), f"{_concrete(keys[0])}.more", STRAY]))
        elif kind == "direct":
            keys = list(dict.fromkeys([*keys, STRAY]))
        published += [Route(name, key) for key in keys]
    return Keys(contract, tuple(bindings), tuple(published))


def _wildcards(key: str) -> list[str]:
    """Patterns that match the key and others beside it."""
    first, *rest = key.split(".")
    return [".".join([first, *rest[:-1], "*"]) if rest else "*", f"{first}.#"]


def _concrete(pattern: str) -> str:
    """A key without wildcards that the pattern matches."""
    return ".".join("any" if word in ("*", "#") else word for word in pattern.split("."))
