"""Routing keys against bindings, as RabbitMQ matches them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.contract.topic import binding_matches, topic_matches


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("ticks", "ticks", True),
        ("ticks", "tick", False),
        ("*", "ticks", True),
        ("*", "", False),
        ("*", "a.b", False),
        ("#", "", True),
        ("#", "a.b.c", True),
        ("", "", True),
        ("", "a", False),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("#.a", "b.a", True),
        ("a.#.b", "a.b", True),
        ("a.#.b", "a.x.y.b", True),
        ("a.#.b", "a.x.y", False),
        ("a.*.b", "a..b", True),
        ("#.#", "", True),
        ("*.#", "", False),
        ("stock.*", "stocks.x", False),
        ("kurz.č", "kurz.č", True),
        ("a*", "ab", False),
    ],
)
def test_topic_examples(pattern: str, key: str, matches: bool) -> None:
    """The examples of RabbitMQ's tutorial, and the corners."""
    assert topic_matches(pattern, key) is matches


_words = st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=6)


@settings(deadline=None)
@given(_words, st.lists(st.sampled_from(["a", "b", "c"]), max_size=6))
def test_topic_agrees_with_a_regular_expression(pattern: list[str], key: list[str]) -> None:
    """The same language, said in another way: each word ends with a dot."""
    parts = {"*": r"[^.]*\.", "#": r"([^.]*\.)*"}
    pattern_text, key_text = ".".join(pattern), ".".join(key)
    words = pattern_text.split(".") if pattern_text else []
    expression = "".join(parts.get(word, re.escape(word) + r"\.") for word in words)
    dotted = "".join(word + "." for word in key)
    assert topic_matches(pattern_text, key_text) is bool(re.fullmatch(expression, dotted))


def test_a_hostile_pattern_takes_no_longer() -> None:
    """Many # in a row do not multiply."""
    assert not topic_matches(".".join(["#", "a"] * 100), ".".join(["a"] * 99 + ["b"]))


def test_other_exchange_types() -> None:
    """Direct: the very key; fanout: any; others have no rule here."""
    assert binding_matches("direct", "a.#", "a.#")
    assert not binding_matches("direct", "#", "a")
    assert binding_matches("fanout", "whatever", "a")
    with pytest.raises(ValueError, match="headers"):
        binding_matches("headers", "a", "a")
