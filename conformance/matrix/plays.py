"""The scenarios that a matrix plays of each recipe; as data they are cases, though of no certificate.

The cut is a reset of the tab's link with one message delivered and neither handled nor acked; two more are published
while the tab is away; then it comes back with the same queue name.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.catalogue.case import Case
from conformance.catalogue.sources import CONSUMER_ACKS, QUEUE_DURABILITY
from conformance.catalogue.steps import Telling
from conformance.contract.model import Contract
from conformance.scenario.steps import AwaitQueue, Step

__all__ = ["CUT", "CUTS", "FLAPPING", "RESTART"]

CUTS = 40
"""How often a flapping tab is cut: twice the default delivery limit of quorum queues."""

_SHORT_MS = 2000
"""What bites so soon is waited for; longer times are judged by the settings."""


def _cut(contract: Contract) -> Iterable[Step]:
    """Cut, publish, wait for what is to bite within seconds, come back."""
    tell = Telling(contract)
    return (*_cut_off(tell), *_bites(contract), tell.behave(), tell.heal(), tell.settle())


def _restart(contract: Contract) -> Iterable[Step]:
    """The same, and while the tab is away the node goes down in good order and comes back."""
    tell = Telling(contract)
    return (*_cut_off(tell), tell.down("terminate"), tell.up(), tell.behave(), tell.heal(), tell.settle())


def _flapping(contract: Contract) -> Iterable[Step]:
    """One message; connection after connection is cut as it comes."""
    tell = Telling(contract)
    return tell.open(), tell.begin("flap", times=CUTS), tell.publish(1), tell.fired(), tell.heal(), tell.settle()


def _cut_off(tell: Telling) -> Iterable[Step]:
    return (
        tell.open(),
        tell.behave(withhold_handling=True),
        tell.begin("cut_after_delivery"),
        tell.publish(1),
        tell.fired(),
        AwaitQueue(tab="t1", until="left", every_s=0.2),
        tell.publish(2),
    )


def _bites(contract: Contract) -> Iterable[Step]:
    expires, ttl = (_milliseconds(contract, name) for name in ("x-expires", "x-message-ttl"))
    if expires is not None and expires <= _SHORT_MS:
        # Each look makes the queue count as used: the next one comes when it may be gone.
        yield AwaitQueue(tab="t1", until="gone", every_s=0.25 + 1.5 * expires / 1000)
    elif ttl is not None and ttl <= _SHORT_MS:
        yield AwaitQueue(tab="t1", until="empty")


def _milliseconds(contract: Contract, header: str) -> int | None:
    text = contract.tab.headers.get(header, "")
    return int(text) if text.isdecimal() else None


CUT = Case(
    id="cut",
    rule="A tab that is cut with a message in hand misses nothing once it is back.",
    source=CONSUMER_ACKS,
    expectation="The message in hand and the two that were published meanwhile are handled.",
    plan=_cut,
    asks=frozenset({"cut"}),
)
RESTART = Case(
    id="restart",
    rule="The same with a restart of the broker while the tab is away.",
    source=QUEUE_DURABILITY,
    expectation="All three messages are handled.",
    plan=_restart,
    asks=frozenset({"cut", "broker-restart"}),
    needs=frozenset({"restart"}),
)
FLAPPING = Case(
    id="flapping",
    rule="A tab that is cut again and again before it can ack still gets its message in the end.",
    source="https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling",
    expectation=f"The message is still there after {CUTS} cuts.",
    plan=_flapping,
    asks=frozenset({"flapping"}),
)
