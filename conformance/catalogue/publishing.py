"""Cases about the publisher: its link is cut, nobody is bound, outcomes are told truly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.catalogue.case import case
from conformance.catalogue.keys import stray
from conformance.catalogue.sources import AMQP_MANDATORY, CONFIRMS, PUBLISHER_RECOVERY
from conformance.catalogue.steps import Telling
from conformance.checker.verdict import Violation
from conformance.contract.model import Contract
from conformance.contract.topic import binding_matches
from conformance.history.events import (
    Event,
    FaultBegan,
    FaultEnded,
    PublishConfirmed,
    PublishInvoked,
    PublishSeen,
    TabSubscribed,
)
from conformance.scenario.steps import Publish, Step

__all__: list[str] = []


def _publisher_cut(name: str, fault: str, *, rule: str, **parameters: Any) -> None:
    """Register a case in which the publisher's link is cut."""

    @case(
        f"publishing/{name}",
        rule=rule,
        source=CONFIRMS,
        expectation="Every publish has an outcome, and what was confirmed arrives (twice at most under one id).",
    )
    def publisher_cut(contract: Contract) -> Iterable[Step]:
        """The fault waits for its publish; the publisher reconnects by itself."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.publish(1),
            tell.begin(fault, link="publisher", **parameters),
            tell.publish(6, wait=False),
            tell.fired("publisher"),
            tell.heal("publisher"),
            tell.publish(2),
            tell.settle(),
        )


_publisher_cut(
    "cut-before-publish",
    "cut_before_publish",
    rule="A message that the broker never had when the link was cut is published again.",
    n=2,
)
_publisher_cut(
    "cut-before-confirm",
    "cut_before_confirm",
    rule="A message that the broker had, but whose confirm was lost, is published again under the same id.",
    n=2,
)
_publisher_cut(
    "cut-mid-frame",
    "cut_mid_frame",
    rule="A message whose frames were cut in the middle is published again.",
    after_bytes=20,
)


@case(
    "publishing/reset-under-load",
    rule="A reset in the middle of a pipelined burst loses nothing that is confirmed.",
    source=CONFIRMS,
    expectation="Every publish has an outcome; what was confirmed arrives.",
)
def reset_under_load(contract: Contract) -> Iterable[Step]:
    """Reset the link in a burst of 300, then heal."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("cut_before_confirm", link="publisher", n=40),
        tell.publish(300, pipelined=True, wait=False),
        tell.fired("publisher"),
        tell.heal("publisher"),
        tell.settle(),
    )


@case(
    "publishing/refused-for-a-while",
    rule="A publisher that can't reach the broker tries again until its deadline.",
    source=CONFIRMS,
    expectation="What was published while connections were refused arrives after the link is healed.",
)
def refused_for_a_while(contract: Contract) -> Iterable[Step]:
    """Connections are refused at the first publish."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.begin("refuse", link="publisher"),
        tell.publish(3, wait=False),
        tell.fired("publisher"),
        tell.heal("publisher"),
        tell.settle(),
    )


@case(
    "publishing/one-id-over-two-cuts",
    rule="However often a message is published again, it has one id, so that a tab knows it for the same.",
    source=CONFIRMS,
    expectation="The link is cut twice before a confirm gets through; no message comes under a second id.",
)
def one_id_over_two_cuts(contract: Contract) -> Iterable[Step]:
    """The broker has a message each time; new connections get through at once."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("cut_before_confirm", link="publisher", down=False, times=2),
        tell.publish(4, wait=False),
        tell.fired("publisher"),
        tell.heal("publisher"),
        tell.settle(),
    )


@case(
    "publishing/cut-while-idle",
    rule="A link that was lost while nothing was under way does not cost the next message.",
    source=PUBLISHER_RECOVERY,
    expectation="The publisher notices at the next publish at the latest, connects again, and the message arrives.",
)
def cut_while_idle(contract: Contract) -> Iterable[Step]:
    """Twice: once with a reset, once in good order, as a proxy or a firewall ends what says nothing for long.

    One that keeps no connection while it is idle has its next one cut.
    """
    tell = Telling(contract)
    cuts = [
        step
        for fault in ("rst", "fin")
        for step in (
            tell.begin(fault, link="publisher", down=False),
            tell.publish(2),
            tell.fired("publisher"),
            tell.heal("publisher"),
        )
    ]
    return tell.open(), tell.publish(1), *cuts, tell.settle()


def _fails_over(events: list[Event], _: Contract) -> list[Violation]:
    """Messages that were published while the first address refused everybody, and had to wait for it."""
    began = next((event.index for event in events if isinstance(event, FaultBegan)), None)
    ended = next((event.index for event in events if isinstance(event, FaultEnded)), None)
    if began is None or ended is None:
        return []  # the checker says that it was never seen to begin or end
    confirmed = {
        event.message_id for event in events if isinstance(event, PublishConfirmed) and began < event.index < ended
    }
    return [
        Violation(
            kind="unsettled",
            cause="no-failover",
            summary=f"{event.message_id} was not confirmed while the first address was down, though the second was up.",
            advice="Try the next address where one can't be connected to, in turn, until the deadline.",
            source=PUBLISHER_RECOVERY,
            message_id=event.message_id,
            body_digest=event.body_digest,
            tab=None,
            index=event.index,
        )
        for event in events
        if isinstance(event, PublishInvoked) and began < event.index < ended and event.message_id not in confirmed
    ]


@case(
    "publishing/failover",
    rule="A publisher that has a second address of the broker goes there when the first one is down.",
    source=PUBLISHER_RECOVERY,
    expectation="What is published while the first address refuses connections is confirmed by way of the second.",
    shows=_fails_over,
    fits=lambda contract: "failover" in (contract.publisher.offers or ()),
)
def failover(contract: Contract) -> Iterable[Step]:
    """The first address is cut and stays down; it is up again at the end."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.second_address(),
        tell.publish(1),
        tell.begin("rst", link="publisher"),
        tell.publish(3, wait_s=12),
        tell.fired("publisher"),
        tell.heal("publisher"),
        tell.publish(2),
        tell.settle(),
    )


def _strays_are_reported(events: list[Event], _: Contract) -> list[Violation]:
    """Messages that no tab was ever bound for, and that are reported as confirmed all the same."""
    types = {event.exchange: event.exchange_type for event in events if isinstance(event, TabSubscribed)}
    bound = {(event.exchange, event.binding_key) for event in events if isinstance(event, TabSubscribed)}
    not_mandatory = {event.message_id for event in events if isinstance(event, PublishSeen) and not event.mandatory}
    strays = {
        event.message_id: event
        for event in events
        if isinstance(event, PublishInvoked)
        and not any(
            event.exchange == exchange and binding_matches(types[exchange], key, event.routing_key)
            for exchange, key in bound
        )
    }
    return [
        Violation(
            kind="misreported",
            cause="not-mandatory" if event.message_id in not_mandatory else "return-swallowed",
            summary=f"{event.message_id} was reported as confirmed, but no queue was bound for it.",
            advice="Publish with the mandatory flag, and report what the broker returns as unroutable.",
            source=AMQP_MANDATORY,
            message_id=event.message_id,
            body_digest=strays[event.message_id].body_digest,
            tab=None,
            index=event.index,
        )
        for event in events
        if isinstance(event, PublishConfirmed) and event.message_id in strays
    ]


@case(
    "publishing/nobody-bound",
    rule="The publisher is told when no queue was bound for its message.",
    source=AMQP_MANDATORY,
    expectation="Each message with a key that nobody is bound to is reported as returned, the others as confirmed.",
    shows=_strays_are_reported,
)
def nobody_bound(contract: Contract) -> Iterable[Step]:
    """Strays before, between and after messages that are routed; on a fanout, before any tab is there."""
    tell = Telling(contract)
    key = stray(contract)
    exchange = contract.tab.exchange
    if key is None:
        return Publish(exchange=exchange, key="", count=3), tell.open(), tell.publish(3), tell.settle()
    lost = Publish(exchange=exchange, key=key, count=3)
    return lost, tell.open(), lost, tell.publish(3), lost, tell.settle()


@case(
    "publishing/many-callers",
    rule="Many threads share one publisher and each learns its own message's fate.",
    source=CONFIRMS,
    expectation="Routed and unroutable messages published side by side are told apart.",
)
def many_callers(contract: Contract) -> Iterable[Step]:
    """Eight threads, two keys at once."""
    tell = Telling(contract)
    key = stray(contract)
    strays = (
        () if key is None else (Publish(exchange=contract.tab.exchange, key=key, count=40, pipelined=True, wait=False),)
    )
    return tell.open(), *strays, tell.publish(80, pipelined=True, wait=False), tell.settle()
