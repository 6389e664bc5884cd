"""Cases about a tab that is cut off, reloads, leaves a ghost behind, and comes back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.catalogue.case import case
from conformance.catalogue.sources import CONSUMER_ACKS, HEART_BEATS, QUEUE_DURABILITY, RECEIPTS
from conformance.catalogue.steps import Telling
from conformance.contract.model import Contract, Survivable
from conformance.scenario.steps import Step

__all__: list[str] = []

_CUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "fin": ("is closed in an orderly way", {}),
    "rst": ("is reset", {}),
    "stall": ("stalls for a while", {}),
    "blackhole": ("goes silent both ways", {"direction": "both"}),
    "blackhole-to-broker": ("goes silent towards the broker", {"direction": "client_to_broker"}),
    "blackhole-to-tab": ("goes silent towards the tab", {"direction": "broker_to_client"}),
}
"""Links that are cut at a moment of the scenario's choosing: the fault, in words, and its parameters."""


def _is_ghost(name: str) -> bool:
    return name.startswith("blackhole")


def _asks(name: str) -> list[Survivable]:
    return ["ghost"] if _is_ghost(name) else ["cut"]


def _cut_before_delivery(name: str) -> None:
    words, parameters = _CUTS[name]

    @case(
        f"cut/{name}/before-delivery",
        rule=f"What is published after the tab's link {words} waits for the tab.",
        source=HEART_BEATS if _is_ghost(name) else QUEUE_DURABILITY,
        expectation="All messages arrive once the tab is back.",
        asks=_asks(name),
    )
    def before_delivery(contract: Contract) -> Iterable[Step]:
        """Cut, publish, come back. A ghost's page reloads: it notices before its heart-beats do."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.publish(1),
            tell.settle(),
            tell.begin(name.partition("-")[0], **parameters),
            tell.publish(4),
            *((tell.reload(),) if _is_ghost(name) else ()),
            tell.heal(),
            tell.settle(),
        )


def _cut_between_delivery_and_ack(name: str) -> None:
    words, parameters = _CUTS[name]

    @case(
        f"cut/{name}/between-delivery-and-ack",
        rule=f"What was delivered but not acked when the link {words} is delivered again.",
        source=HEART_BEATS if _is_ghost(name) else CONSUMER_ACKS,
        expectation="All messages are handled; what was unacked comes again, marked redelivered.",
        asks=_asks(name),
    )
    def between_delivery_and_ack(contract: Contract) -> Iterable[Step]:
        """The page holds acks back; the link goes; more is published; the page comes back."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.behave(withhold_acks=True),
            tell.publish(tell.at_most_prefetch(3)),
            tell.settle(),
            tell.begin(name.partition("-")[0], **parameters),
            tell.publish(2),
            *((tell.reload(),) if _is_ghost(name) else ()),
            tell.behave(),
            tell.heal(),
            tell.settle(),
        )


def _cut_during_resubscription(name: str) -> None:
    words, parameters = _CUTS[name]

    @case(
        f"cut/{name}/during-resubscription",
        rule=f"A tab whose link {words} while it subscribes again gets what it missed in the end.",
        source=RECEIPTS,
        expectation="All messages arrive at the attempt that succeeds.",
        asks=[*_asks(name), "reload"],
    )
    def during_resubscription(contract: Contract) -> Iterable[Step]:
        """The page reloads and its link goes at the same moment."""
        tell = Telling(contract)
        new = {"new_connections": "blackhole"} if _is_ghost(name) else {}
        return (
            tell.open(),
            tell.publish(2, wait=False),
            tell.begin(name.partition("-")[0], **parameters, **new),
            tell.reload(),
            tell.publish(3),
            tell.heal(),
            tell.settle(),
        )


for _name in _CUTS:
    _cut_before_delivery(_name)
    _cut_between_delivery_and_ack(_name)
    _cut_during_resubscription(_name)


def _cut_on_traffic(case_id: str, fault: str, *, rule: str, expectation: str, **parameters: Any) -> None:
    """Register a case whose cut is set off by the tab's own traffic."""

    @case(case_id, rule=rule, source=CONSUMER_ACKS, expectation=expectation, asks=["cut"])
    def cut_on_traffic(contract: Contract) -> Iterable[Step]:
        """The fault waits for its frame, cuts, and more is published while the tab is away."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.begin(fault, **parameters),
            tell.publish(5, pipelined=True),
            tell.fired(),
            tell.publish(2),
            tell.heal(),
            tell.settle(),
        )


for _n in (1, 3):
    _cut_on_traffic(
        f"cut/after-delivery-{_n}",
        "cut_after_delivery",
        rule="A message that reached the tab as its link was cut comes again unless its ack was in time.",
        expectation="All messages are handled.",
        n=_n,
    )
    _cut_on_traffic(
        f"cut/before-ack-{_n}",
        "cut_before_ack",
        rule="A message whose ack was lost with the link is delivered again.",
        expectation="All messages are handled; that one twice.",
        n=_n,
    )
    _cut_on_traffic(
        f"cut/after-ack-{_n}",
        "cut_after_ack",
        rule="An ack is for its own message alone: what was not acked is delivered again.",
        expectation="All messages are handled.",
        n=_n,
    )
_cut_on_traffic(
    "cut/mid-frame",
    "cut_mid_frame",
    rule="A frame that was cut in the middle counts as not delivered.",
    expectation="All messages are handled, with unchanged bodies.",
    after_bytes=40,
)


def _cut_on_connecting(name: str, fault: str, words: str, **parameters: Any) -> None:
    """Register a case whose cut is set off by the tab's coming back."""

    @case(
        f"cut/{name}",
        rule=f"A tab that is cut {words} tries again and gets what it missed.",
        source=RECEIPTS,
        expectation="All messages arrive, those published meanwhile included.",
        asks=["cut", "reload"],
    )
    def cut_on_connecting(contract: Contract) -> Iterable[Step]:
        """The page reloads into the fault."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.publish(2),
            tell.settle(),
            tell.begin(fault, **parameters),
            tell.reload(),
            tell.fired(),
            tell.publish(3),
            tell.heal(),
            tell.settle(),
        )


_cut_on_connecting("before-receipt", "cut_before_receipt", "after SUBSCRIBE and before its receipt")
_cut_on_connecting("in-http-handshake", "cut_in_handshake", "during the WebSocket handshake", where="http")
_cut_on_connecting("in-stomp-handshake", "cut_in_handshake", "before CONNECTED", where="connect")
_cut_on_connecting("refused", "refuse", "off because connections are refused")


@case(
    "reconnection/published-while-away",
    rule="What is published while a tab is away waits in its queue.",
    source=QUEUE_DURABILITY,
    expectation="Everything published while away arrives, in full.",
    asks=["cut"],
)
def published_while_away(contract: Contract) -> Iterable[Step]:
    """A hundred messages in bursts while the tab is cut."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(2),
        tell.begin("rst"),
        tell.publish(50, pipelined=True),
        tell.publish(50, pipelined=True),
        tell.heal(),
        tell.settle(),
    )


@case(
    "reconnection/reload",
    rule="A reloaded page keeps its id and loses nothing that it had not handled.",
    source=CONSUMER_ACKS,
    expectation="What was delivered to the old page but not handled is delivered to the new one.",
    asks=["reload"],
)
def reload(contract: Contract) -> Iterable[Step]:
    """Reload with messages in hand, twice."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.behave(withhold_handling=True),
        tell.publish(5),
        tell.reload(),
        tell.publish(5),
        tell.reload(),
        tell.behave(),
        tell.settle(),
    )


@case(
    "reconnection/ghost",
    rule="Messages held by a connection that has died silently are delivered to the tab that came back.",
    source=HEART_BEATS,
    expectation="All arrive once the broker has given the ghost up, within promise.recovery.",
    asks=["ghost"],
)
def ghost(contract: Contract) -> Iterable[Step]:
    """The link goes silent; the page comes back on a new one; the broker feeds both."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.settle(),
        tell.begin("blackhole", direction="both"),
        tell.reload(),
        tell.publish(20),
        tell.settle(),
    )


@case(
    "reconnection/flapping",
    rule="A tab that is cut again and again before it can ack still gets its messages in the end.",
    source="https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling",
    expectation="After 30 cuts between delivery and ack all messages are handled.",
    asks=["flapping"],
)
def flapping(contract: Contract) -> Iterable[Step]:
    """Thirty connections in a row are cut as the first message comes."""
    tell = Telling(contract)
    return tell.open(), tell.begin("flap", times=30), tell.publish(2), tell.fired(), tell.heal(), tell.settle()


@case(
    "reconnection/closed-for-good",
    rule="A tab that was closed for good is owed nothing, and its end disturbs no other.",
    source=QUEUE_DURABILITY,
    expectation="The other tab gets all.",
)
def closed_for_good(contract: Contract) -> Iterable[Step]:
    """Close one of two while messages are on their way."""
    tell = Telling(contract)
    keys = len(contract.tab.routing_keys)
    return (
        tell.open(1),
        tell.open(1 + keys),
        tell.publish(10, wait=False),
        tell.close(1),
        tell.publish(10),
        tell.settle(),
    )


@case(
    "reconnection/duplicated-page",
    rule="Two pages with one id (a duplicated browser tab) share one queue: between them nothing is lost.",
    source="https://html.spec.whatwg.org/multipage/webstorage.html#the-sessionstorage-attribute",
    expectation="Each message is handled by one page or the other.",
    asks=["reload"],
)
def duplicated_page(contract: Contract) -> Iterable[Step]:
    """Duplicate, publish, reload both."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.duplicate(),
        tell.publish(10, pipelined=True),
        tell.reload(),
        tell.publish(5),
        tell.settle(),
    )
