"""Cases about strange content: what a user typed, a program encoded or somebody sent on purpose arrives as it is."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.catalogue.case import case
from conformance.catalogue.keys import own_keys
from conformance.catalogue.sources import (
    AMQP_SHORT_STRINGS,
    CONFIRMS,
    STOMP_BODY,
    STOMP_CONTENT_LENGTH,
    STOMP_DESTINATIONS,
    STOMP_ESCAPES,
)
from conformance.catalogue.steps import Telling, takes_bytes
from conformance.contract.model import Contract
from conformance.contract.naming import most_key_bytes
from conformance.contract.recommended import RECOMMENDED
from conformance.scenario.steps import BodyKind, OpenTab, Publish, Step

__all__: list[str] = []


def _bodies(name: str, body: BodyKind, *, rule: str, source: str, expectation: str, size_bytes: int = 300) -> None:
    """Register a case about bodies of one kind, between ordinary ones."""

    @case(
        f"hostile-input/{name}",
        rule=rule,
        source=source,
        expectation=expectation,
        fits=takes_bytes if body == "binary" else lambda _: True,
    )
    def bodies(contract: Contract) -> Iterable[Step]:
        """Ordinary, strange, ordinary."""
        tell = Telling(contract)
        count = 1 if body == "empty" else 4
        return (
            tell.open(),
            tell.publish(2),
            tell.publish(count, size_bytes=size_bytes, body=body),
            tell.publish(2),
            tell.settle(),
        )


_bodies(
    "empty-body",
    "empty",
    rule="An empty body is a message like any other.",
    source=STOMP_BODY,
    expectation="A message without a byte arrives, and those around it.",
)
_bodies(
    "nul-bytes",
    "nul",
    rule="A NUL in a body does not end it.",
    source=STOMP_CONTENT_LENGTH,
    expectation="Bodies that begin and end with NULs arrive with the same digest.",
)
_bodies(
    "not-utf8",
    "binary",
    rule="A body that is no UTF-8 arrives byte for byte.",
    source=STOMP_BODY,
    expectation="Bodies that hold every byte value arrive with the same digest.",
)
_bodies(
    "looks-like-stomp",
    "stomp",
    rule="Frames within a body are content, not frames.",
    source=STOMP_CONTENT_LENGTH,
    expectation="Bodies that hold whole ERROR and RECEIPT frames arrive with the same digest; the link stays up.",
)
_bodies(
    "line-ends",
    "line_ends",
    rule="Line breaks and blanks at the ends of a body belong to it.",
    source=STOMP_BODY,
    expectation="Bodies that begin and end with CR, LF, tabs and U+2028 arrive with the same digest.",
)
_bodies(
    "megabyte",
    "binary",
    rule="A body of one megabyte arrives whole.",
    source=CONFIRMS,
    expectation="Four bodies of 1 MiB that hold every byte value arrive with the same digest.",
    size_bytes=1024 * 1024,
)


def _keys(name: str, keys: tuple[str, ...], *, rule: str, source: str, expectation: str) -> None:
    """Register a case about strange routing keys: a tab for each, and messages to each."""

    @case(
        f"hostile-input/{name}",
        rule=rule,
        source=source,
        expectation=expectation,
        fits=_names_its_keys,
    )
    def strange_keys(contract: Contract) -> Iterable[Step]:
        """One tab a key."""
        return _a_tab_each(contract, keys)


def _names_its_keys(contract: Contract) -> bool:
    return not own_keys(contract) and contract.exchanges[contract.tab.exchange].type != "fanout"


def _a_tab_each(contract: Contract, keys: tuple[str, ...]) -> tuple[Step, ...]:
    exchange = contract.tab.exchange
    return (
        *(OpenTab(tab=f"t{number}", exchange=exchange, key=key) for number, key in enumerate(keys, 1)),
        *(Publish(exchange=exchange, key=key, count=3, pipelined=True) for key in keys),
        Telling(contract).settle(),
    )


_keys(
    "escapes-in-keys",
    ("a:b", "a\\b", "a\\cb", "a\\nb", "100%", "a%3Ab", 'quoted "key"', "-", "a;b,c={}"),
    rule="What means something in STOMP headers or URLs means nothing in a routing key.",
    source=STOMP_ESCAPES,
    expectation="Tabs on keys with colons, backslashes, percent signs and quotes get their own messages alone.",
)
_keys(
    "unicode-keys",
    ("цены", "価格", "🐇.🥕", "café", "cafe\u0301", "ＡＢＣ", "ABC"),
    rule="A routing key is bytes: no two that look alike are taken for one.",
    source=STOMP_DESTINATIONS,
    expectation="Tabs on keys beyond ASCII, composed and decomposed, get their own messages alone.",
)


@case(
    "hostile-input/longest-keys",
    rule="Long routing keys are told apart to their last byte.",
    source=AMQP_SHORT_STRINGS,
    expectation="Tabs on keys as long as AMQP can say (255 bytes), which differ in the last one, get their own alone.",
    fits=_names_its_keys,
)
def longest_keys(contract: Contract) -> Iterable[Step]:
    """Where the exchange is there already, a word of the suite's own goes in front, and takes its part of them."""
    most = most_key_bytes(contract.exchanges[contract.tab.exchange])
    keys = ("k" * most, "k" * (most - 1) + "l", "é" * (most // 2) + "k" * (most % 2), "k" * (most - 1))
    return _a_tab_each(contract, keys)


@case(
    "hostile-input/unicode-ids",
    rule="A tab's id may be in any script: its queue is declared, kept and found again under that very name.",
    source=STOMP_DESTINATIONS,
    expectation="Tabs with Cyrillic, Japanese and accented ids keep their queues over a cut, and get all messages.",
    asks=["cut"],
    fits=lambda contract: contract.broker.definitions in (None, RECOMMENDED),  # permissions of others may allow no such
)
def unicode_ids(contract: Contract) -> Iterable[Step]:
    """On one key; two of the ids differ in an accent alone. One of them is cut and comes back."""
    tell = Telling(contract)
    opened = tell.open()
    cut, *others = ("вкладка", "タブ", "café", "cafe")
    return (
        *(opened.model_copy(update={"tab": name}) for name in (cut, *others)),
        tell.publish(3),
        tell.begin("rst", cut),
        tell.publish(3, pipelined=True),
        tell.heal(cut),
        tell.settle(),
    )
