"""How exchanges are given, without I/O. What is refused is in test_bad_input.py."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import pytest

from durable_ws.exchanges import DEFAULT_EXCHANGES, Exchange, resolve


def test_the_default_two() -> None:
    """A durable topic and a durable fanout, of the names that tabs are told."""
    assert resolve(None) == {
        "pubsub": Exchange("durable-websocket-pubsub", "topic", durable=True, passive=False, arguments=None),
        "broadcast": Exchange("durable-websocket-broadcast", "fanout", durable=True, passive=False, arguments=None),
    }


def test_the_defaults_can_not_be_spoilt() -> None:
    """What a caller does to the answer does not reach the next publisher."""
    resolve(None).clear()
    assert len(DEFAULT_EXCHANGES) == len(resolve(None)) == 2


def test_mappings_of_fields() -> None:
    """A mapping stands for an Exchange, named by its key unless it names itself."""
    given = MappingProxyType(
        {
            "news": {},
            "sport": {
                "name": "sports",
                "type": "direct",
                "durable": False,
                "arguments": {"alternate-exchange": "rest"},
            },
            "old": {"passive": True},
            "new": Exchange("n"),
        }
    )
    assert resolve(given) == {
        "news": Exchange("news"),
        "sport": Exchange("sports", "direct", durable=False, arguments={"alternate-exchange": "rest"}),
        "old": Exchange("old", passive=True),
        "new": Exchange("n", "topic"),
    }


@pytest.mark.parametrize("type_", ["topic", "fanout", "direct", "headers", "x-random", "x-consistent-hash"])
def test_types(type_: str) -> None:
    """The broker's four types and those of plugins."""
    assert Exchange("x", type_).type == type_


@pytest.mark.parametrize("name", ["", "é" * 127 + "a", "amq.topic", "with space / and #"])
def test_names(name: str) -> None:
    """Any text of at most 255 bytes."""
    assert Exchange(name).name == name


def test_one_exchange_under_two_names() -> None:
    """Is fine if both say the same of it."""
    assert len(resolve({"a": Exchange("x"), "b": Exchange("x")})) == 2


def test_an_exchange_does_not_change() -> None:
    """It is a value."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Exchange("x").name = "y"  # type: ignore[misc]
