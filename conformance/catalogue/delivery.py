"""Cases about delivery to a tab whose link is sound, slow or strange, but not cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.catalogue.case import case
from conformance.catalogue.sources import CONFIRMS, CONSUMER_ACKS, PREFETCH, RECEIPTS, STOMP_ACK
from conformance.catalogue.steps import Telling, takes_bytes
from conformance.contract.model import Contract
from conformance.scenario.steps import Step

__all__: list[str] = []


@case(
    "delivery/steady",
    rule="What is published to a subscribed tab arrives.",
    source=CONFIRMS,
    expectation="Each of 20 messages is confirmed, routed, handled and acked.",
)
def steady(contract: Contract) -> Iterable[Step]:
    """One tab, one after the other."""
    tell = Telling(contract)
    return tell.open(), tell.publish(20), tell.settle()


@case(
    "delivery/burst",
    rule="A pipelined burst arrives whole, however the broker groups its confirms.",
    source=CONFIRMS,
    expectation="Each of 400 messages published at once arrives at both tabs that are bound for it.",
)
def burst(contract: Contract) -> Iterable[Step]:
    """Two tabs on the same key, more messages than the prefetch."""
    tell = Telling(contract)
    keys = len(contract.tab.routing_keys)
    return tell.open(1), tell.open(1 + keys), tell.publish(400, pipelined=True), tell.settle()


@case(
    "delivery/slow-beside-fast",
    rule="A slow tab delays no other and loses nothing itself.",
    source=PREFETCH,
    expectation="Both tabs get all; the fast one does not wait for the slow one.",
)
def slow_beside_fast(contract: Contract) -> Iterable[Step]:
    """One page takes 30 ms a message, the other none."""
    tell = Telling(contract)
    keys = len(contract.tab.routing_keys)
    return (
        tell.open(1),
        tell.open(1 + keys),
        tell.behave(1, delay_ms=30),
        tell.publish(40, pipelined=True),
        tell.settle(),
    )


@case(
    "delivery/acks-withheld",
    rule="Messages wait unacked for as long as the page needs, and are not delivered twice meanwhile.",
    source=STOMP_ACK,
    expectation="All arrive once; nothing is left once the acks are sent.",
)
def acks_withheld(contract: Contract) -> Iterable[Step]:
    """The page handles all and acks late."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.behave(withhold_acks=True),
        tell.publish(tell.at_most_prefetch(5)),
        tell.settle(),
        tell.behave(),
        tell.publish(2),
        tell.settle(),
    )


@case(
    "delivery/queue-empty-at-the-end",
    rule="Once every tab has handled and acked, the tabs' queues are empty.",
    source=CONSUMER_ACKS,
    expectation="After bursts to two tabs their queues hold nothing, ready or unacked.",
)
def queue_empty(contract: Contract) -> Iterable[Step]:
    """Bursts to both, then a look into the queues (every case ends with it)."""
    tell = Telling(contract)
    return (
        tell.open(1),
        tell.open(2),
        tell.publish(60, to=1, pipelined=True),
        tell.publish(60, to=2, pipelined=True),
        tell.settle(),
    )


@case(
    "delivery/before-the-receipt",
    rule="A message that waits in the queue may come before the SUBSCRIBE's receipt, and counts.",
    source=RECEIPTS,
    expectation="What was published while the page reloaded arrives.",
    asks=["reload"],
)
def before_the_receipt(contract: Contract) -> Iterable[Step]:
    """Publishing does not wait while the page reloads."""
    tell = Telling(contract)
    return tell.open(), tell.publish(30, wait=False), tell.reload(), tell.reload(), tell.settle()


@case(
    "delivery/large-bodies",
    rule="A body of 256 KiB arrives unchanged.",
    source=CONFIRMS,
    expectation="Four bodies, each larger than a frame, arrive with the same digest.",
)
def large_bodies(contract: Contract) -> Iterable[Step]:
    """Larger than frame_max (128 KiB)."""
    tell = Telling(contract)
    return tell.open(), tell.publish(4, size_bytes=256 * 1024), tell.settle()


@case(
    "delivery/unicode-bodies",
    rule="Text beyond ASCII arrives unchanged.",
    source="https://stomp.github.io/stomp-specification-1.2.html#Header_content-length",
    expectation="Bodies in UTF-8 arrive with the same digest.",
)
def unicode_bodies(contract: Contract) -> Iterable[Step]:
    """UTF-8 of two, three and four bytes a character."""
    tell = Telling(contract)
    return tell.open(), tell.publish(5, size_bytes=700, body="unicode"), tell.settle()


@case(
    "delivery/binary-bodies",
    rule="A body that is no text, NUL bytes included, arrives unchanged.",
    source="https://stomp.github.io/stomp-specification-1.2.html#Body",
    expectation="Bodies that hold every byte arrive with the same digest.",
    fits=takes_bytes,
)
def binary_bodies(contract: Contract) -> Iterable[Step]:
    """Every byte value; content-length ends the body, not the NUL."""
    tell = Telling(contract)
    return tell.open(), tell.publish(5, size_bytes=700, body="binary"), tell.settle()


def _shaped(name: str, rule: str, **parameters: Any) -> None:
    """Register a case in which the tab's link is shaped, not cut."""

    @case(
        f"delivery/{name}",
        rule=rule,
        source="https://www.rabbitmq.com/docs/web-stomp",
        expectation="All arrive, in spite of the link.",
    )
    def shaped(contract: Contract) -> Iterable[Step]:
        """Publish over a shaped link."""
        tell = Telling(contract)
        return tell.open(), tell.begin(name, **parameters), tell.publish(20, pipelined=True), tell.settle(), tell.heal()


_shaped("latency", "A link with latency delays, and loses nothing.", delay_ms=60)
_shaped("jitter", "A link with jitter delays, and loses nothing.", most_ms=60)
_shaped("bandwidth", "A narrow link delays, and loses nothing.", bytes_per_s=20_000)
_shaped("slicer", "A link that passes one byte at a time loses nothing.", size_bytes=1)
