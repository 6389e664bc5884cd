"""Cases about much of something: many or large messages, many tabs, many keys, a long backlog."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.catalogue.case import case
from conformance.catalogue.keys import own_keys
from conformance.catalogue.sources import CONFIRMS, EXCHANGES, MAX_LENGTH, PREFETCH
from conformance.catalogue.steps import Telling
from conformance.contract.model import Contract
from conformance.scenario.steps import OpenTab, Publish, Step

__all__: list[str] = []

_BACKLOG = 1_500


@case(
    "capacity/beyond-the-prefetch",
    rule="What exceeds the prefetch waits in the queue and is not dropped.",
    source=PREFETCH,
    expectation="Six times the prefetch (600 at most) of the smallest messages arrive at a page that takes its time.",
)
def beyond_the_prefetch(contract: Contract) -> Iterable[Step]:
    """The page takes 2 ms a message."""
    tell = Telling(contract)
    count = min(600, 6 * (contract.tab.prefetch or 100))
    return tell.open(), tell.behave(delay_ms=2), tell.publish(count, size_bytes=0, pipelined=True), tell.settle()


@case(
    "capacity/long-backlog",
    rule="A queue keeps all that is published while its tab is away, however much that is.",
    source=MAX_LENGTH,
    expectation=f"{_BACKLOG:,} messages that were published while the tab was cut off arrive once it is back.",
    asks=["cut"],
)
def long_backlog(contract: Contract) -> Iterable[Step]:
    """Away, then back."""
    tell = Telling(contract)
    return tell.open(), tell.begin("rst"), tell.publish(_BACKLOG, pipelined=True), tell.heal(), tell.settle()


@case(
    "capacity/backlog-of-a-slow-tab",
    rule="A slow page that reloads amid its backlog loses nothing of it.",
    source=PREFETCH,
    expectation="200 messages arrive though the page takes 5 ms for each and reloads twice meanwhile.",
    asks=["reload"],
)
def backlog_of_a_slow_tab(contract: Contract) -> Iterable[Step]:
    """The prefetch's worth of unacked messages goes back to the queue at each reload."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.behave(delay_ms=5),
        tell.publish(200, pipelined=True),
        tell.reload(),
        tell.reload(),
        tell.settle(),
    )


@case(
    "capacity/many-tabs",
    rule="Each of many tabs on one key gets each message.",
    source=EXCHANGES,
    expectation="30 messages published at once reach all of 24 tabs.",
)
def many_tabs(contract: Contract) -> Iterable[Step]:
    """All on the contract's first key, opened side by side."""
    tell = Telling(contract)
    keys = len(contract.tab.routing_keys)
    return *(tell.open(1 + turn * keys) for turn in range(24)), tell.publish(30, pipelined=True), tell.settle()


@case(
    "capacity/many-keys",
    rule="Many routing keys are told apart.",
    source=EXCHANGES,
    expectation="20 tabs on keys of their own get the messages of those keys alone, whoever publishes beside them.",
    fits=lambda contract: not own_keys(contract) and contract.exchanges[contract.tab.exchange].type != "fanout",
)
def many_keys(contract: Contract) -> Iterable[Step]:
    """One tab a key, three messages each, all published side by side."""
    exchange = contract.tab.exchange
    keys = [f"user.{number}.inbox" for number in range(20)]
    return (
        *(OpenTab(tab=f"t{number}", exchange=exchange, key=key) for number, key in enumerate(keys, 1)),
        *(Publish(exchange=exchange, key=key, count=3, pipelined=True, wait=False) for key in keys),
        Telling(contract).settle(),
    )


@case(
    "capacity/large-bodies-in-a-row",
    rule="Large bodies one upon another arrive whole.",
    source=CONFIRMS,
    expectation="12 bodies of 300,000 bytes, published at once, arrive at both tabs with the same digest.",
)
def large_bodies_in_a_row(contract: Contract) -> Iterable[Step]:
    """Each is larger than frame_max, and all are under way at once."""
    tell = Telling(contract)
    other = 1 + len(contract.tab.routing_keys)
    return tell.open(1), tell.open(other), tell.publish(12, size_bytes=300_000, pipelined=True), tell.settle()


@case(
    "capacity/many-callers-beside-each-other",
    rule="A publisher under load makes its callers wait, and drops nothing.",
    source=CONFIRMS,
    expectation="1,600 messages of several callers and keys are each confirmed and arrive.",
)
def many_callers(contract: Contract) -> Iterable[Step]:
    """Two bursts side by side, to two tabs."""
    tell = Telling(contract)
    return (
        tell.open(1),
        tell.open(2),
        tell.publish(800, to=1, pipelined=True, wait=False),
        tell.publish(800, to=2, pipelined=True, wait=False),
        tell.settle(),
    )
