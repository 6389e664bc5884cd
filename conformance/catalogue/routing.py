"""Cases about who gets what: wildcards, fanout, isolation between tabs."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.catalogue.case import case
from conformance.catalogue.keys import concrete, stray
from conformance.catalogue.sources import EXCHANGES, STOMP_DESTINATIONS
from conformance.catalogue.steps import Telling
from conformance.contract.model import Contract
from conformance.scenario.steps import OpenTab, Publish, Step

__all__: list[str] = []


@case(
    "routing/every-key",
    rule="A tab gets the messages of its own binding and no others.",
    source=STOMP_DESTINATIONS,
    expectation="Tabs on every routing key of the contract get exactly what matches.",
)
def every_key(contract: Contract) -> Iterable[Step]:
    """One tab for each key (five at most), then messages for each."""
    tell = Telling(contract)
    numbers = range(1, min(5, len(contract.tab.routing_keys) + 1) + 1)
    return (
        *(tell.open(number) for number in numbers),
        *(tell.publish(5, to=number, pipelined=True) for number in numbers),
        tell.settle(),
    )


@case(
    "routing/wildcards",
    rule="On a topic exchange * stands for one word and # for any number of words.",
    source=EXCHANGES,
    expectation="Each of five tabs gets what its pattern matches, and a stray reaches only #.",
)
def wildcards(contract: Contract) -> Iterable[Step]:
    """Patterns side by side on the contract's tab exchange; without a topic exchange, its own keys."""
    tell = Telling(contract)
    exchange = contract.tab.exchange
    if contract.exchanges[exchange].type != "topic":
        return tell.open(1), tell.open(2), tell.publish(5, to=1), tell.publish(5, to=2), tell.settle()
    patterns = ("news.*", "news.#", "#", "*.sport", "news.sport")
    keys = ("news.sport", "news", "news.sport.cup", "weather.sport", "weather")
    return (
        *(OpenTab(tab=f"t{number}", exchange=exchange, key=key) for number, key in enumerate(patterns, 1)),
        *(Publish(exchange=exchange, key=key, count=4, pipelined=True) for key in keys),
        tell.settle(),
    )


@case(
    "routing/fanout",
    rule="A message to a fanout exchange reaches every tab.",
    source=EXCHANGES,
    expectation="Five tabs get all of 20 messages; two on another exchange get none of them.",
)
def fanout(contract: Contract) -> Iterable[Step]:
    """Tabs on the contract's fanout exchange, where it has one, beside tabs on their usual one."""
    tell = Telling(contract)
    name = next((name for name, exchange in contract.exchanges.items() if exchange.type == "fanout"), None)
    others = (tell.open(6), tell.open(7))
    if name is None or "{exchange}" not in contract.tab.destination:
        return *others, tell.publish(20, to=6, pipelined=True), tell.settle()
    return (
        *others,
        *(OpenTab(tab=f"t{number}", exchange=name, key="") for number in range(1, 6)),
        Publish(exchange=name, count=20, pipelined=True),
        tell.publish(5, to=6),
        tell.settle(),
    )


@case(
    "routing/isolation",
    rule="No tab gets what is another's, over cuts and reloads.",
    source=STOMP_DESTINATIONS,
    expectation="Two tabs with different keys each get their own messages while one of them is cut and reloads.",
)
def isolation(contract: Contract) -> Iterable[Step]:
    """One is away while both are published to."""
    tell = Telling(contract)
    key = stray(contract)
    strays = () if key is None else (Publish(exchange=contract.tab.exchange, key=key, count=3),)
    return (
        tell.open(1),
        tell.open(2),
        tell.begin("rst"),
        tell.publish(6, to=1, pipelined=True),
        tell.publish(6, to=2, pipelined=True),
        *strays,
        tell.heal(),
        tell.reload(2),
        tell.publish(3, to=2),
        tell.settle(),
    )


@case(
    "routing/no-binding-is-left",
    rule="A page that reloads keeps its binding: nothing published in between is unroutable.",
    source=STOMP_DESTINATIONS,
    expectation="Messages published between the old page and the new one are routed.",
    asks=["reload"],
)
def no_binding_is_left(contract: Contract) -> Iterable[Step]:
    """Publish one at a time while the page reloads again and again."""
    tell = Telling(contract)
    busy = Publish(
        exchange=contract.tab.exchange,
        key=concrete(contract, contract.tab.routing_keys[0]),
        count=60,
        wait=False,
    )
    return tell.open(), busy, tell.reload(), tell.reload(), tell.reload(), tell.settle()
