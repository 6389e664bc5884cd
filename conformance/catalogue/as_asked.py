"""What the broker really made of a subscription, compared with what the contract asked for and promises.

Made from the queue's real settings, so it is seen also where no scenario happens to lose anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from conformance.catalogue.case import case
from conformance.catalogue.sources import POLICIES, STOMP_DESTINATIONS
from conformance.catalogue.steps import Telling
from conformance.checker.asked import Finding, not_as_asked, set_by_policy
from conformance.checker.verdict import Violation
from conformance.contract.model import Contract, PromiseSection
from conformance.errors import HarnessError
from conformance.history.events import Event, QueueObserved, TabSubscribed
from conformance.scenario.steps import Step

__all__: list[str] = []

Find = Callable[[Mapping[str, str], QueueObserved, PromiseSection], Iterator[Finding]]


def _queues(events: list[Event]) -> Iterator[tuple[TabSubscribed, QueueObserved]]:
    """Each tab's first subscription that the broker was asked about, with its answer."""
    subscribed: dict[str, TabSubscribed] = {}
    told: set[str] = set()
    for event in events:
        if isinstance(event, TabSubscribed):
            subscribed[event.tab] = event
        elif isinstance(event, QueueObserved) and event.tab in subscribed.keys() - told and _tells(event):
            told.add(event.tab)
            yield subscribed[event.tab], event


def _tells(event: QueueObserved) -> bool:
    return event.when == "subscribed" and event.exists


def _violations(events: list[Event], contract: Contract, find: Find) -> list[Violation]:
    return [
        Violation(
            kind=finding.kind,
            cause=finding.cause,
            summary=finding.text,
            advice=finding.advice,
            source=finding.source,
            message_id=None,
            body_digest=None,
            tab=queue.tab,
            index=queue.index,
        )
        for subscription, queue in _queues(events)
        for finding in find(subscription.headers, queue, contract.promise)
        if finding.kind is not None
    ]


def _as_asked(events: list[Event], contract: Contract) -> list[Violation]:
    found = _violations(events, contract, not_as_asked)
    unread = [queue.queue for _, queue in _queues(events) if queue.arguments is None and not queue.exclusive]
    if unread and not found:
        raise HarnessError(f"the broker would not say what the queue {unread[0]} is")
    return found


@case(
    "settings/as-asked",
    rule="The broker's queue is what the tab's SUBSCRIBE asked for: no header was ignored, overridden or changed.",
    source=STOMP_DESTINATIONS,
    expectation="The real queue's properties, arguments and type are those in [tab.headers].",
    shows=_as_asked,
)
def as_asked(contract: Contract) -> Iterable[Step]:
    """Subscribe, and look at what became of it."""
    tell = Telling(contract)
    return tell.open(), tell.publish(1), tell.settle()


def _policies(events: list[Event], contract: Contract) -> list[Violation]:
    unread = [queue.queue for _, queue in _queues(events) if queue.effective_policy is None]
    if unread:
        raise HarnessError(f"this user may not read which policies apply to the queue {unread[0]}")
    return _violations(events, contract, set_by_policy)


@case(
    "settings/policies",
    rule="No policy and no operator policy takes from the tab's queue what the contract asked for and promises.",
    source=POLICIES,
    expectation="expires, message-ttl, length and delivery-limit, as they hold with all policies, keep the promise.",
    needs=["management"],
    shows=_policies,
)
def policies(contract: Contract) -> Iterable[Step]:
    """Subscribe, and look at which policies apply."""
    return as_asked(contract)
