"""Cases about order, where the contract promises it: what one caller publishes to one key stays in order.

RabbitMQ keeps the order of one channel's messages in one queue for one consumer, but for what it delivers again; the
checker's ``reordered`` leaves redeliveries out.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.catalogue.case import case
from conformance.catalogue.sources import MESSAGE_ORDER
from conformance.catalogue.steps import Telling
from conformance.contract.model import Contract
from conformance.scenario.steps import Step

__all__: list[str] = []


def _promised(contract: Contract) -> bool:
    return contract.promise.order


@case(
    "order/one-caller",
    rule="A tab gets what one caller publishes one after the other in that order.",
    source=MESSAGE_ORDER,
    expectation="40 messages, each published after the one before was confirmed, are handled in order.",
    fits=_promised,
)
def one_caller(contract: Contract) -> Iterable[Step]:
    """One tab, nothing disturbed."""
    tell = Telling(contract)
    return tell.open(), tell.publish(40), tell.settle()


@case(
    "order/beyond-the-prefetch",
    rule="Order is kept in the queue too: what waits there for the prefetch comes in order.",
    source=MESSAGE_ORDER,
    expectation="Three times the prefetch (150 at most) come in order to a page that takes its time.",
    fits=_promised,
)
def beyond_the_prefetch(contract: Contract) -> Iterable[Step]:
    """The page takes 2 ms a message."""
    tell = Telling(contract)
    count = min(150, 3 * (contract.tab.prefetch or 50))
    return tell.open(), tell.behave(delay_ms=2), tell.publish(count), tell.settle()


@case(
    "order/backlog",
    rule="A tab that was away gets the backlog in the order in which it was published.",
    source=MESSAGE_ORDER,
    expectation="60 messages that waited while the tab was cut off, and 10 more after it is back, come in order.",
    asks=["cut"],
    fits=_promised,
)
def backlog(contract: Contract) -> Iterable[Step]:
    """The tab holds nothing when it is cut, so that nothing is redelivered."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.settle(),
        tell.begin("rst"),
        tell.publish(60),
        tell.heal(),
        tell.publish(10),
        tell.settle(),
    )


@case(
    "order/publisher-reconnects",
    rule="A publisher that reconnects publishes again what was not confirmed, and nothing overtakes it.",
    source=MESSAGE_ORDER,
    expectation="What one caller publishes across a cut of the publisher's link comes in order.",
    asks=["cut"],
    fits=_promised,
)
def publisher_reconnects(contract: Contract) -> Iterable[Step]:
    """The third message is cut off before its confirm; the caller waits for each before the next."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(2),
        tell.begin("cut_before_confirm", link="publisher", n=3),
        tell.publish(12, wait=False),
        tell.fired("publisher"),
        tell.heal("publisher"),
        tell.settle(),
        tell.publish(5),
        tell.settle(),
    )


@case(
    "order/after-redelivery",
    rule="What is delivered again may come late; what is published after the tab is back comes in order all the same.",
    source=MESSAGE_ORDER,
    expectation="The unacked messages come again, and 20 messages after them come in order.",
    asks=["cut"],
    fits=_promised,
)
def after_redelivery(contract: Contract) -> Iterable[Step]:
    """The tab is cut with five messages in hand."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.behave(withhold_acks=True),
        tell.publish(tell.at_most_prefetch(5)),
        tell.settle(),
        tell.begin("rst"),
        tell.fired(),
        tell.behave(),
        tell.heal(),
        tell.settle(),
        tell.publish(20),
        tell.settle(),
    )
