"""Which tabs a publish goes to: the tabs' bindings, indexed."""

from __future__ import annotations

from typing import Generic, TypeVar

from conformance.contract.topic import binding_matches

__all__ = ["Bindings"]

T = TypeVar("T")


class Bindings(Generic[T]):
    """Bindings of anything hashable (tabs) to exchanges.

    Those bound alike form a group. A routing key's groups are found by the key itself, and by trying each pattern
    with a wildcard once, the first time that the key is asked for after a new pattern. Equal answers are one and the
    same tuple, so that a million messages to a thousand tabs can each keep theirs.
    """

    def __init__(self) -> None:
        self._groups: list[dict[T, None]] = []
        self._group_of: dict[tuple[str, str, str], int] = {}
        self._exact: dict[tuple[str, str], list[int]] = {}
        self._wild: dict[str, list[tuple[str, str, int]]] = {}
        self._routes: dict[tuple[str, str], tuple[int, ...]] = {}
        self._bound: dict[tuple[int, ...], tuple[T, ...]] = {}

    def add(self, exchange: str, exchange_type: str, binding_key: str, bound: T) -> None:
        """Bind; binding twice changes nothing.

        Raises:
            ValueError: there is no rule for exchanges of this type.
        """
        binding = (exchange, exchange_type, binding_key)
        if binding not in self._group_of:
            binding_matches(exchange_type, binding_key, "")
            group = self._group_of[binding] = len(self._groups)
            self._groups.append({})
            words = binding_key.split(".")
            if exchange_type == "direct" or (exchange_type == "topic" and "*" not in words and "#" not in words):
                self._exact.setdefault((exchange, binding_key), []).append(group)
            else:
                self._wild.setdefault(exchange, []).append((exchange_type, binding_key, group))
            self._routes.clear()
        self._groups[self._group_of[binding]][bound] = None
        self._bound.clear()

    def remove(self, exchange: str, exchange_type: str, binding_key: str, bound: T) -> None:
        """Undo an ``add``."""
        self._groups[self._group_of[exchange, exchange_type, binding_key]].pop(bound, None)
        self._bound.clear()

    def discard(self, bound: T) -> None:
        """Undo every ``add`` of it."""
        for group in self._groups:
            group.pop(bound, None)
        self._bound.clear()

    def match(self, exchange: str, routing_key: str) -> tuple[T, ...]:
        """Who is bound for this routing key, each once."""
        route = (exchange, routing_key)
        groups = self._routes.get(route)
        if groups is None:
            wild = (
                group
                for exchange_type, key, group in self._wild.get(exchange, ())
                if binding_matches(exchange_type, key, routing_key)
            )
            groups = self._routes[route] = (*self._exact.get(route, ()), *wild)
        found = self._bound.get(groups)
        if found is None:
            found = self._bound[groups] = tuple({bound: None for group in groups for bound in self._groups[group]})
        return found
