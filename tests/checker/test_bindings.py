"""The index of bindings."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.checker.bindings import Bindings
from conformance.contract.topic import binding_matches

_keys = st.sampled_from(["a", "b", "a.b", "*", "#", "a.#", "*.b", ""])
_bindings = st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["topic", "direct", "fanout"]), _keys)
_changes = st.tuples(st.booleans(), _bindings, st.sampled_from(["t1", "t2", "t3"]))


@settings(deadline=None)
@given(st.lists(_changes, max_size=20), st.lists(st.tuples(st.sampled_from(["x", "y"]), _keys), min_size=1))
def test_it_finds_who_a_search_of_all_bindings_finds(
    changes: list[tuple[bool, tuple[str, str, str], str]], routes: list[tuple[str, str]]
) -> None:
    """After every change, each route's tabs are those with a binding that matches, each once."""
    index: Bindings[str] = Bindings()
    bound: dict[tuple[tuple[str, str, str], str], None] = {}
    for add, binding, tab in changes:
        if add:
            index.add(*binding, tab)
            bound[binding, tab] = None
        elif (binding, tab) in bound:
            index.remove(*binding, tab)
            del bound[binding, tab]
        for exchange, key in routes:
            wanted = {
                tab for (of, kind, pattern), tab in bound if of == exchange and binding_matches(kind, pattern, key)
            }
            found = index.match(exchange, key)
            assert set(found) == wanted
            assert len(found) == len(wanted)


def test_equal_answers_share_their_memory() -> None:
    """A thousand keys that match the same tabs give the very same tuple."""
    index: Bindings[str] = Bindings()
    index.add("x", "fanout", "", "t1")
    assert index.match("x", "a") is index.match("x", "b")
