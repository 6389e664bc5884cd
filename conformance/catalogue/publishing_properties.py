"""Cases about AMQP properties: what a message is published with is what it has on the wire.

They are made of publishers that offer to take properties. The checker compares them: ``properties-changed``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conformance.catalogue.case import case
from conformance.catalogue.sources import CONFIRMS, MESSAGE_PROPERTIES
from conformance.catalogue.steps import Telling
from conformance.contract.model import Contract
from conformance.scenario.steps import PropertyName, Step

__all__: list[str] = []

_USER_ID = "https://www.rabbitmq.com/docs/validated-user-id"
_TTL = "https://www.rabbitmq.com/docs/ttl#per-message-ttl-in-publishers"
_AT = 1_700_000_000
"""A time in seconds since 1970."""
_WORDS: Mapping[PropertyName, Any] = {
    "content_type": "application/vnd.prices+json",
    "content_encoding": "utf-8",
    "correlation_id": "order 4711 / žluťoučký",
    "reply_to": "answers.4711",
    "type": "price.changed",
    "app_id": "prices 2.1",
}
_HEADERS: Mapping[PropertyName, Any] = {
    "headers": {
        "trace": "00-4bf92f3577b34da6-01",
        "ünïcode ☃": "漢字",
        "empty": "",
        "yes": True,
        "number": -42,
        "large": 2**40,
        "list": [1, "two", False],
        "table": {"within": {"another": "table"}},
    }
}


def _offers(contract: Contract) -> bool:
    return "properties" in (contract.publisher.offers or ())


def _passed_on(name: str, properties: Mapping[PropertyName, Any], *, rule: str, source: str, expectation: str) -> None:
    """Register a case in which messages are published with these properties, between ordinary ones."""

    @case(f"publishing/{name}", rule=rule, source=source, expectation=expectation, fits=_offers)
    def passed_on(contract: Contract) -> Iterable[Step]:
        """One by one and at once."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.publish(1),
            tell.publish(2, properties=properties),
            tell.publish(4, properties=properties, pipelined=True),
            tell.publish(1),
            tell.settle(),
        )


_passed_on(
    "properties",
    _WORDS,
    rule="Properties pass through the publisher unchanged.",
    source=MESSAGE_PROPERTIES,
    expectation="Content type and encoding, correlation id, reply-to, type and app-id go out as they were given.",
)
_passed_on(
    "headers",
    _HEADERS,
    rule="Headers pass through the publisher unchanged, each as what it is.",
    source=MESSAGE_PROPERTIES,
    expectation="Texts, numbers, true and false, lists and tables go out as they were given: 1 is not true, nor text.",
)
_passed_on(
    "priority-and-expiration",
    {"priority": 7, "expiration": "3600000"},
    rule="Priority and expiration are those that were given, the expiration in milliseconds.",
    source=_TTL,
    expectation="Messages of priority 7 that expire after an hour go out so.",
)
_passed_on(
    "user-id-and-timestamp",
    {"user_id": "{user}", "timestamp": _AT},
    rule="User-id and timestamp are those that were given, not the publisher's own.",
    source=_USER_ID,
    expectation="Messages with the user's own name and a time that is long past go out so, and the broker takes them.",
)


@case(
    "publishing/properties-on-a-retry",
    rule="A message that is published again has the properties that it had at first.",
    source=CONFIRMS,
    expectation="Messages whose confirm was cut off go out again with their headers, priority and type.",
    fits=_offers,
)
def properties_on_a_retry(contract: Contract) -> Iterable[Step]:
    """The broker had the first message when the link was cut."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("cut_before_confirm", link="publisher"),
        tell.publish(3, properties={**_WORDS, **_HEADERS, "priority": 3}, wait=False),
        tell.fired("publisher"),
        tell.heal("publisher"),
        tell.settle(),
    )
