"""Cases about what a publisher says of a message: once it is known, in time, and truly, whatever the broker says."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.catalogue.case import case
from conformance.catalogue.sources import AMQP_MANDATORY, CONFIRMS, DELIVERY_MODE, MESSAGE_ORDER, NACKS
from conformance.catalogue.steps import Telling
from conformance.checker.causes import promises_restarts
from conformance.checker.state import GRACE_NS
from conformance.contract.model import Contract
from conformance.contract.naming import stays
from conformance.scenario.steps import Publish, Step

__all__: list[str] = []

_BROKER = "broker"
_PUBLISHER = "publisher"
_ALARMS = "https://www.rabbitmq.com/docs/alarms#client-connections"
_CLOSED_CHANNELS = "https://www.rabbitmq.com/docs/channels#error-handling"
_LATENCY = "https://www.rabbitmq.com/docs/confirms#publisher-confirms-latency"
_TIMEOUT_S = 0.4
_GIVEN_UP_S = 2.0
"""Time enough for the message to have left."""


def _offers_timeout(contract: Contract) -> bool:
    return "timeout" in (contract.publisher.offers or ())


@case(
    "publishing/confirm-awaited",
    rule="A message is called confirmed only after the broker's ack.",
    source=CONFIRMS,
    expectation="While the acks are held back nothing is reported as confirmed; once they pass, all is.",
)
def confirm_awaited(contract: Contract) -> Iterable[Step]:
    """The broker has the first message by the time that its ack is held."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.begin("hold_confirms", link=_PUBLISHER),
        tell.publish(4, wait=False),
        tell.fired(_PUBLISHER),
        tell.heal(_PUBLISHER),
        tell.publish(2),
        tell.settle(),
    )


def _can_refuse(contract: Contract) -> bool:
    """Whether the tabs' queues are classic ones: others go on taking messages for a while (a quorum queue's limit is no
    hard one)."""
    return contract.tab.headers.get("x-queue-type", "classic") == "classic"


@case(
    "publishing/nack-told",
    rule="A message that the broker refuses with a nack is not called confirmed.",
    source=NACKS,
    expectation="What the full queue refuses is told so, or published again until there is room.",
    asks=["administrator"],
    needs=["admin"],
    fits=_can_refuse,
)
def nack_told(contract: Contract) -> Iterable[Step]:
    """A policy has the tab's queue refuse all that is published to it, and goes again."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(2),
        tell.begin("full_queue", link=_BROKER, tab="t1"),
        tell.publish(3, wait=False),
        tell.fired(_BROKER),
        tell.heal(_BROKER),
        tell.publish(2),
        tell.settle(),
    )


@case(
    "publishing/persistent",
    rule="Every message is published as persistent, or a restart of the broker takes it.",
    source=DELIVERY_MODE,
    expectation="Each basic.publish has delivery mode 2, whichever size the message has.",
    fits=promises_restarts,
)
def persistent(contract: Contract) -> Iterable[Step]:
    """Small and large, one by one and at once."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(3),
        tell.publish(2, size_bytes=200_000),
        tell.publish(8, pipelined=True),
        tell.settle(),
    )


@case(
    "publishing/in-order",
    rule="What one caller publishes one after the other goes out in that order, whatever its size.",
    source=MESSAGE_ORDER,
    expectation="Large and small messages by turns, each published after the one before was confirmed, come in order.",
    fits=lambda contract: contract.promise.order,
)
def in_order(contract: Contract) -> Iterable[Step]:
    """A large message takes several frames, and longer than the small one behind it."""
    tell = Telling(contract)
    turns = [step for _ in range(4) for step in (tell.publish(1, size_bytes=200_000), tell.publish(2))]
    return tell.open(), *turns, tell.settle()


@case(
    "publishing/large-body",
    rule="A body that is larger than a frame goes out whole, also while others publish.",
    source="https://www.rabbitmq.com/amqp-0-9-1-reference#connection.tune",
    expectation="Bodies of 200,000 bytes and small ones, published side by side, arrive with the same digests.",
)
def large_body(contract: Contract) -> Iterable[Step]:
    """A frame holds 131,072 bytes at most, unless both sides agree on more."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(4, size_bytes=200_000, pipelined=True, wait=False),
        tell.publish(20, pipelined=True, wait=False),
        tell.settle(),
    )


@case(
    "publishing/empty-body",
    rule="A message without a body is published like any other.",
    source="https://www.rabbitmq.com/docs/publishers#protocols",
    expectation="The empty message is confirmed and arrives, and so do those around it.",
)
def empty_body(contract: Contract) -> Iterable[Step]:
    """One empty body between ordinary ones."""
    tell = Telling(contract)
    return tell.open(), tell.publish(2), tell.publish(1, size_bytes=0, body="empty"), tell.publish(2), tell.settle()


@case(
    "publishing/close-flushes",
    rule="A publisher that is closed waits for what is under way.",
    source=CONFIRMS,
    expectation="What was written before close() is confirmed, though its ack came later; a new publisher goes on.",
)
def close_flushes(contract: Contract) -> Iterable[Step]:
    """Eight callers wait for acks that are held back as it is asked to close."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.begin("hold_confirms", link=_PUBLISHER),
        tell.publish(8, pipelined=True, wait=False),
        tell.fired(_PUBLISHER),
        tell.close_publisher(),
        tell.heal(_PUBLISHER),
        tell.settle(),
        tell.publish(2),
        tell.settle(),
    )


@case(
    "publishing/deadline-kept",
    rule="A publish ends by its deadline, also where the broker says nothing.",
    source=_LATENCY,
    expectation=f"Each of two calls that are given {_TIMEOUT_S:g} s ends, though nothing gets through "
    f"(a busy machine has {GRACE_NS // 10**9} s more).",
    fits=_offers_timeout,
)
def deadline_kept(contract: Contract) -> Iterable[Step]:
    """The link stalls before the message has left.

    A publisher that was held up may have written none of the two in their time: the third message does meet the stall.
    """
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("stall", link=_PUBLISHER),
        tell.publish(2, pipelined=True, timeout_s=_TIMEOUT_S, wait_s=_TIMEOUT_S + 16),
        tell.publish(1, wait=False),
        tell.fired(_PUBLISHER),
        tell.heal(_PUBLISHER),
        tell.publish(2),
        tell.settle(),
    )


@case(
    "publishing/call-given-up",
    rule="A call that was given up is no message that was never sent, and its late answer is not another call's.",
    source=_LATENCY,
    expectation="The message that the broker has is reported as unknown and arrives; what comes next is told apart.",
    fits=_offers_timeout,
)
def call_given_up(contract: Contract) -> Iterable[Step]:
    """The broker has the message and its ack is held until the call is over; then messages with and without a route.

    A publisher that was held up may not have written it in its time: the ack of the next one is held in any case.
    """
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("hold_confirms", link=_PUBLISHER),
        tell.publish(1, timeout_s=_GIVEN_UP_S, wait_s=_GIVEN_UP_S + 11),
        tell.publish(1, wait=False),
        tell.fired(_PUBLISHER),
        tell.heal(_PUBLISHER),
        *tell.strays(2),
        tell.publish(3),
        tell.settle(),
    )


# --- what an administrator or the broker does ----------------------------------------------------


@case(
    "publishing/blocked-by-an-alarm",
    rule="A publisher that an alarm blocks says nothing of its messages until it knows.",
    source=_ALARMS,
    expectation="No confirm is made up while connection.blocked is on; each message has its outcome in the end.",
    asks=["alarm"],
    needs=["admin", "ctl"],
)
def blocked_by_an_alarm(contract: Contract) -> Iterable[Step]:
    """Messages are published into a memory alarm."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("memory_alarm", link=_BROKER),
        tell.publish(3, pipelined=True, wait_s=2.0),
        tell.heal(_BROKER),
        tell.publish(2),
        tell.settle(),
    )


def _other_exchange(contract: Contract) -> str | None:
    """An exchange beside the tabs' that may be removed: it was made for the scenario, and nobody else has it."""
    return next(
        (
            name
            for name, exchange in contract.exchanges.items()
            if name != contract.tab.exchange and not stays(exchange)
        ),
        None,
    )


@case(
    "publishing/channel-closed",
    rule="A channel that the broker closes takes nothing with it: what was under way on it is told truly.",
    source=_CLOSED_CHANNELS,
    expectation="An exchange that is not there closes the channel; messages beside it arrive, or are not confirmed.",
    asks=["administrator"],
    needs=["admin"],
    fits=lambda contract: _other_exchange(contract) is not None,
)
def channel_closed(contract: Contract) -> Iterable[Step]:
    """404 NOT_FOUND for another exchange, in the middle of messages to the tab's own."""
    tell = Telling(contract)
    other = _other_exchange(contract) or contract.tab.exchange
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("remove_exchange", link=_BROKER, exchange=other, met=True),
        tell.publish(30, pipelined=True, wait=False),
        Publish(exchange=other, key=tell.publish(1).key, count=2, wait=False),
        tell.fired(_BROKER),
        tell.heal(_BROKER),
        tell.publish(2),
        tell.settle(),
    )


@case(
    "publishing/exchange-gone",
    rule="What is published to an exchange that is gone is not called confirmed.",
    source=AMQP_MANDATORY,
    expectation="Each message has an outcome that is true; once the exchange is there and bound again, all arrives.",
    asks=["administrator"],
    needs=["admin"],
    fits=lambda contract: not stays(contract.exchanges[contract.tab.exchange]),
)
def exchange_gone(contract: Contract) -> Iterable[Step]:
    """The tabs' own exchange is removed, published to and made again; the tab binds anew by a reload."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.settle(),
        tell.begin("remove_exchange", link=_BROKER, exchange=contract.tab.exchange, met=True),
        tell.publish(3, wait=False),
        tell.fired(_BROKER),
        tell.heal(_BROKER),
        tell.reload(),
        tell.publish(3),
        tell.settle(),
    )
