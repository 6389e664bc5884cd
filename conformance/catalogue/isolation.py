"""Cases about tabs that have nothing to do with each other: no tab gets, or loses, anything for another's sake."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.catalogue.case import case
from conformance.catalogue.keys import binding, concrete, own_keys
from conformance.catalogue.sources import CONSUMERS, EXCHANGES, STOMP_DESTINATIONS
from conformance.catalogue.steps import Telling
from conformance.contract.model import Contract
from conformance.contract.naming import subscribable
from conformance.scenario.steps import OpenTab, Publish, Step

__all__: list[str] = []


@case(
    "isolation/similar-keys",
    rule="A binding without wildcards matches its very key, not one that begins or ends like it.",
    source=EXCHANGES,
    expectation="Tabs on keys that are prefixes of each other get their own messages alone.",
    fits=lambda contract: not own_keys(contract) and contract.exchanges[contract.tab.exchange].type != "fanout",
)
def similar_keys(contract: Contract) -> Iterable[Step]:
    """Keys that a careless publisher or binding confuses."""
    exchange = contract.tab.exchange
    keys = ("prices", "prices.eur", "prices.eur.berlin", "price", "Prices", "prices.eu")
    return (
        *(OpenTab(tab=f"t{number}", exchange=exchange, key=key) for number, key in enumerate(keys, 1)),
        *(Publish(exchange=exchange, key=key, count=3, pipelined=True) for key in keys),
        Telling(contract).settle(),
    )


@case(
    "isolation/same-key-elsewhere",
    rule="A message on another exchange is none of this tab's, even under the same routing key.",
    source=STOMP_DESTINATIONS,
    expectation="The tab gets what is published to its own exchange, and nothing of the others.",
    fits=lambda contract: len(contract.exchanges) > 1,
)
def same_key_elsewhere(contract: Contract) -> Iterable[Step]:
    """The tab's own key on each exchange of the contract; tabs of the other exchanges where a tab can name them."""
    tell = Telling(contract)
    key = concrete(contract, binding(contract, 0))
    others = [name for name in contract.exchanges if name != contract.tab.exchange]
    reachable = [] if own_keys(contract) else [name for name in others if name in subscribable(contract)]
    return (
        tell.open(1),
        *(OpenTab(tab=f"t{number}", exchange=name, key=key) for number, name in enumerate(reachable, 2)),
        *(Publish(exchange=name, key=key, count=4, pipelined=True) for name in others),
        tell.publish(4),
        tell.settle(),
    )


@case(
    "isolation/queue-of-ones-own",
    rule="Each tab has a queue of its own: a message for all tabs of a key reaches every one of them.",
    source=CONSUMERS,
    expectation="Six tabs on one key get each of 20 messages.",
)
def queue_of_ones_own(contract: Contract) -> Iterable[Step]:
    """Consumers of one queue would take turns."""
    tell = Telling(contract)
    return *_on_one_key(tell, 6), tell.publish(20, pipelined=True), tell.settle()


@case(
    "isolation/neighbour-never-acks",
    rule="A tab that acks nothing holds up no other.",
    source=CONSUMERS,
    expectation="The tab beside it gets all messages; so does the first one, which acks late.",
)
def neighbour_never_acks(contract: Contract) -> Iterable[Step]:
    """One page keeps its acks until the other has all."""
    tell = Telling(contract)
    return (
        *_on_one_key(tell, 2),
        tell.behave(1, withhold_acks=True),
        tell.publish(tell.at_most_prefetch(20), pipelined=True),
        tell.settle(),
        tell.behave(1),
        tell.publish(5),
        tell.settle(),
    )


@case(
    "isolation/neighbour-closes",
    rule="A tab that is closed for good takes nothing of its neighbours with it.",
    source=CONSUMERS,
    expectation="The tab that stays gets what is published before, while and after the other is closed.",
)
def neighbour_closes(contract: Contract) -> Iterable[Step]:
    """Two tabs on one key, one of them is closed amid a burst."""
    tell = Telling(contract)
    return (
        *_on_one_key(tell, 2),
        tell.publish(5),
        tell.publish(40, pipelined=True, wait=False),
        tell.close(1 + len(contract.tab.routing_keys)),
        tell.publish(5),
        tell.settle(),
    )


@case(
    "isolation/neighbour-is-cut",
    rule="A tab's cut is its own: its neighbours on the same key get everything once.",
    source=CONSUMERS,
    expectation="Both tabs get all messages, the one that was cut after it is back.",
    asks=["cut"],
)
def neighbour_is_cut(contract: Contract) -> Iterable[Step]:
    """The first tab is cut with messages in hand."""
    tell = Telling(contract)
    return (
        *_on_one_key(tell, 2),
        tell.behave(1, withhold_acks=True),
        tell.publish(tell.at_most_prefetch(5)),
        tell.begin("rst"),
        tell.fired(),
        tell.publish(10, pipelined=True),
        tell.behave(1),
        tell.heal(),
        tell.settle(),
    )


@case(
    "isolation/duplicated-pages-share",
    rule="Two pages with one id share one queue: between them they get everything, and no other tab's messages.",
    source=CONSUMERS,
    expectation="The two pages together handle each message; the tab on the other key gets its own.",
    asks=["reload"],
)
def duplicated_pages_share(contract: Contract) -> Iterable[Step]:
    """sessionStorage is copied when a browser duplicates a tab."""
    tell = Telling(contract)
    return (
        tell.open(1),
        tell.open(2),
        tell.duplicate(1),
        tell.publish(20, to=1, pipelined=True),
        tell.publish(20, to=2, pipelined=True),
        tell.settle(),
    )


def _on_one_key(tell: Telling, count: int) -> list[OpenTab]:
    """So many tabs on the contract's first key: tab 1, and each whose turn comes to that key again."""
    keys = len(tell.contract.tab.routing_keys)
    return [tell.open(1 + turn * keys) for turn in range(count)]
