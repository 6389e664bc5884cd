"""What a publisher offers is seen from the names of arguments, and handed over only where it is offered."""

# ruff: noqa: ARG001, ARG002, ARG005 - the signatures are the protocol's

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest

from conformance.contract.loader import contract_from_dict
from conformance.errors import UsageError
from conformance.world.publisher.choose import chosen_publisher, with_offers
from conformance.world.publisher.command import CommandPublisher
from conformance.world.publisher.durable import _with_hosts
from conformance.world.publisher.factory import FactoryPublisher
from conformance.world.publisher.offers import DURABLE_WS_OFFERS, names, offers_of

URL = "amqp://guest:guest@127.0.0.1:1/%2F"
HERE = "tests.world.publisher.test_offers"


class Plain:
    """Offers nothing."""

    def __init__(self, url: str) -> None:
        self.url = url

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> None:
        """Publish."""

    def close(self) -> None:
        """Close."""


class Whole(Plain):
    """Offers all."""

    def __init__(self, url: str, failover: Sequence[str] = ()) -> None:
        super().__init__(url)
        self.failover = failover
        self.given: list[dict[str, Any]] = []

    def publish(  # type: ignore[override]
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        message_id: str,
        properties: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Keep what is given."""
        self.given.append({"properties": properties, "timeout": timeout})


class Greedy(Plain):
    """Takes just anything, which says nothing."""

    def publish(self, body: bytes, **more: Any) -> None:
        """Publish."""


def annotated(url: str) -> Whole:
    """A factory that says what it returns."""
    return Whole(url)


def silent(url, *, failover=()):  # type: ignore[no-untyped-def]
    """A factory that does not."""
    return Whole(url)


def wrong(url: str) -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821, UP037
    """A factory whose annotation names what there is not."""


@pytest.mark.parametrize(
    ("factory", "offers"),
    [
        (Plain, []),
        (Whole, ["properties", "timeout", "failover"]),
        (Greedy, []),
        (annotated, ["properties", "timeout"]),
        (silent, ["failover"]),
        (wrong, []),
        (print, []),
    ],
)
def test_what_can_be_seen(factory: Any, offers: list[str]) -> None:
    """Of classes, annotated functions and others."""
    assert offers_of(factory) == offers


def test_a_name_is_an_argument_of_that_name() -> None:
    """Not one that is given by its place alone, nor what takes just anything."""
    assert names(lambda a, *, b: None, "b")
    assert not names(lambda *b, **a: None, "b")
    assert not names(None, "b")


@pytest.mark.parametrize(
    ("section", "factory", "command", "offers"),
    [
        ({}, None, None, [*DURABLE_WS_OFFERS]),
        ({"python": f"{HERE}:Whole"}, None, None, ["properties", "timeout", "failover"]),
        ({"python": f"{HERE}:Whole", "offers": []}, None, None, []),
        ({"python": f"{HERE}:Whole"}, f"{HERE}:Plain", None, []),
        ({"command": ["ruby", "p.rb"]}, None, None, []),
        ({"command": ["ruby", "p.rb"], "offers": ["properties"]}, None, None, ["properties"]),
        ({}, None, "ruby p.rb", []),
        ({"offers": ["timeout"]}, None, "ruby p.rb", ["timeout"]),
    ],
)
def test_the_contract_says_what_is_asked_for(
    section: dict[str, Any], factory: str | None, command: str | None, offers: list[str]
) -> None:
    """What it says counts; else what can be seen; a program offers nothing by itself."""
    contract = with_offers(contract_from_dict({"publisher": section}), factory, command)
    assert contract.publisher.offers == offers


def test_durable_ws_offers_what_it_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing that a contract makes up."""
    monkeypatch.setattr("conformance.world.publisher.choose.DURABLE_WS_OFFERS", ("properties",))
    contract = contract_from_dict({"publisher": {"offers": ["properties", "timeout"]}})
    with pytest.raises(UsageError, match=r"publisher.offers: 'timeout' is nothing that durable_ws offers"):
        with_offers(contract, None, None)


def test_an_offer_that_is_none_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(UsageError, match=r"publisher.offers"):
        contract_from_dict({"publisher": {"offers": ["propertys"]}})


def test_a_python_publisher_gets_what_it_offers() -> None:
    """Properties and time by their names, further addresses as the factory's argument."""
    contract = contract_from_dict({"publisher": {"python": f"{HERE}:Whole"}})
    _, make = chosen_publisher(with_offers(contract, None, None), None, None)
    publisher = make(URL, [], failover=[URL + "2"])
    assert isinstance(publisher, FactoryPublisher)
    where = {"exchange": "x", "routing_key": "k", "message_id": "m"}
    publisher.publish(b"", **where, properties={"priority": 1}, timeout=0.5)
    publisher.publish(b"", **where)
    made: Any = publisher._publisher
    assert made.given == [{"properties": {"priority": 1}, "timeout": 0.5}, {"properties": None, "timeout": None}]
    assert made.failover == [URL + "2"]
    publisher.close()


@pytest.mark.parametrize(
    ("offers", "says"),
    [
        (["properties"], r"'properties' is offered, but publish\(\) of what .* has no argument of that name"),
        (["failover"], r"'failover' is offered, but the factory .* has no argument of that name"),
    ],
)
def test_what_is_offered_and_can_not_be_taken(offers: list[str], says: str) -> None:
    """The contract says more than the publisher can."""
    contract = contract_from_dict({"publisher": {"python": f"{HERE}:Plain", "offers": offers}})
    _, make = chosen_publisher(contract, None, None)
    with pytest.raises(UsageError, match=says):
        make(URL, [], failover=[URL] if "failover" in offers else [])


def test_a_program_gets_what_it_offers() -> None:
    """As keys of the request, and as a variable of its environment."""
    echo = (
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    told = [asked.get('properties'), asked.get('timeout'), os.environ.get('RABBITMQ_FAILOVER_URLS')]\n"
        "    answer = {'id': asked.get('id'), 'outcome': 'nacked', 'detail': json.dumps(told)}\n"
        "    print(json.dumps(answer), flush=True)\n"
    )
    publisher = CommandPublisher([sys.executable, "-c", echo], URL, failover=["amqp://a", "amqp://b"])
    with pytest.raises(Exception, match=r'\[\{"headers": \{"a": \[1, true\]\}\}, 0\.5, "amqp://a amqp://b"\]'):
        publisher.publish(
            b"body",
            exchange="x",
            routing_key="k",
            message_id="m",
            properties={"headers": {"a": [1, True]}},
            timeout=0.5,
        )
    publisher.close()


def test_durable_ws_gets_all_addresses_in_one_url() -> None:
    """Further hosts stand behind the first one's, and a single one is left as it is."""
    further = ["amqp://guest:guest@127.0.0.1:2/%2F", "amqp://guest:guest@other:3/%2F"]
    assert _with_hosts(URL, further) == "amqp://guest:guest@127.0.0.1:1,127.0.0.1:2,other:3/%2F"
    assert _with_hosts(URL, []) == URL
