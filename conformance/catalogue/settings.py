"""Checks of long times: by trial where the broker's clock can be moved, else from what really holds for the queue.

A trial leaves the slack of :data:`_SHARE`, so what lies within it is looked up in the queue's settings all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conformance.catalogue.case import case
from conformance.catalogue.sources import QUEUE_TTL
from conformance.catalogue.steps import Telling
from conformance.checker.effective import Effective, effective
from conformance.checker.verdict import Violation
from conformance.contract.duration import text_of
from conformance.contract.model import Contract
from conformance.history.events import Event, QueueObserved
from conformance.scenario.steps import AdvanceClock, AwaitQueue, Step

__all__: list[str] = []

_SHARE = 0.95
"""How much of a promised outage is tried; the rest is for the real seconds that a trial takes."""
_LEAST_OUTAGE_S = 300.0
"""Below, the rest would be too short for that."""
_BEYOND = 1.05
_BEYOND_S = 2.0
"""By how much longer than promised an abandoned queue is given to go."""


def _queues(events: list[Event]) -> Iterator[QueueObserved]:
    """What the broker said of each tab's queue right after it subscribed."""
    return (event for event in events if isinstance(event, QueueObserved) and event.when == "subscribed")


def _violation(
    queue: QueueObserved, setting: Effective | None, kind: str, cause: str, summary: str, advice: str
) -> Violation:
    if setting is not None and setting.by_policy:
        advice = f"Change {setting.key} in {setting.source}: of argument, policy and operator policy the lowest holds."
    return Violation(
        kind=kind,  # type: ignore[arg-type]
        cause=cause,
        summary=summary,
        advice=advice,
        source=QUEUE_TTL,
        message_id=None,
        body_digest=None,
        tab=queue.tab,
        index=queue.index,
    )


# --- the longest outage --------------------------------------------------------------------------


def _outage_is_survived(events: list[Event], contract: Contract) -> list[Violation]:
    promised_ms = contract.promise.longest_outage * 1000
    found: dict[str, Violation] = {}
    for queue in _queues(events):
        for key, cause in (("expires", "queue-expires"), ("message-ttl", "message-ttl")):
            setting = effective(queue, key)
            if setting is not None and setting.number is not None and setting.number < promised_ms:
                summary = (
                    f"the queue {queue.queue} has {key} {setting.number} ms ({setting.source}), but an outage of "
                    f"{text_of(contract.promise.longest_outage)} is promised"
                )
                advice = (
                    f"Set x-{key} in [tab.headers] to at least {promised_ms:.0f}, or promise a shorter longest_outage."
                )
                found.setdefault(cause, _violation(queue, setting, "lost", cause, summary, advice))
    return list(found.values())


def _long_enough(contract: Contract) -> bool:
    return contract.promise.longest_outage >= _LEAST_OUTAGE_S


def _look(contract: Contract) -> Iterable[Step]:
    """By settings: subscribe, and look at what holds for the queue."""
    tell = Telling(contract)
    return tell.open(), tell.publish(1), tell.settle()


@case(
    "time/longest-outage",
    rule="A tab's queue and its messages outlive the longest outage that is promised.",
    source=QUEUE_TTL,
    expectation=(
        "Twice away for 0.95 of promise.longest_outage by the broker's clock, the tab finds all its messages; no "
        "expiry or TTL that holds for its queue is shorter than the promise."
    ),
    needs=["clock", "management"],
    tries=_long_enough,
    by_settings=_look,
    shows=_outage_is_survived,
)
def longest_outage(contract: Contract) -> Iterable[Step]:
    """The tab is cut, messages wait, hours go by, it comes back; once more, since coming back renews the expiry."""
    tell = Telling(contract)
    away = AdvanceClock(by_s=_SHARE * max(contract.promise.longest_outage, _LEAST_OUTAGE_S))
    outage = (
        tell.begin("rst"),
        tell.publish(10, pipelined=True),
        AwaitQueue(tab="t1", until="left"),
        away,
        tell.heal(),
        tell.publish(1),
        tell.settle(),
    )
    return tell.open(), tell.publish(2), tell.settle(), *outage, *outage


# --- abandoned queues ----------------------------------------------------------------------------


def _abandoned_queues_go(events: list[Event], contract: Contract) -> list[Violation]:
    promised_s = contract.promise.abandoned_queues_expire
    if promised_s is None:
        return []
    found: dict[str, Violation] = {}
    for queue in _queues(events):
        expires = effective(queue, "expires")
        if queue.auto_delete or queue.exclusive or _policies_unknown(queue):
            continue
        if expires is not None and expires.number is not None and expires.number <= promised_s * 1000:
            continue
        has = "has no expiry" if expires is None else f"expires after {_lasting(expires)} ({expires.source})"
        cause = "no-expiry" if expires is None else "queue-expires-late"
        summary = f"the queue {queue.queue} {has}, but abandoned queues are promised to be gone after "
        advice = f"Set x-expires in [tab.headers] to at most {promised_s * 1000:.0f} (milliseconds)."
        found.setdefault(cause, _violation(queue, None, "leaked", cause, summary + text_of(promised_s), advice))
    return list(found.values())


def _policies_unknown(queue: QueueObserved) -> bool:
    """Whether a policy applies, and nobody could read what it sets."""
    return queue.effective_policy is None and bool(queue.policy or queue.operator_policy)


def _lasting(expires: Effective) -> str:
    return str(expires.value) if expires.number is None else text_of(expires.number / 1000)


def _is_promised(contract: Contract) -> bool:
    return contract.promise.abandoned_queues_expire is not None


@case(
    "time/abandoned-queues-expire",
    rule="The queue of a tab that never comes back is removed by the broker.",
    source=QUEUE_TTL,
    expectation=(
        "After promise.abandoned_queues_expire by the broker's clock the closed tab's queue is gone, and that of a tab "
        "which came back is there; the expiry that holds for it is no longer than the promise. A tab that comes back "
        "under its id after its queue has gone gets what is published from then on."
    ),
    needs=["clock", "management"],
    tries=_is_promised,
    by_settings=_look,
    shows=_abandoned_queues_go,
)
def abandoned_queues_expire(contract: Contract) -> Iterable[Step]:
    """One tab is closed for good; another is away for a while and comes back; then the promised time goes by.

    A third is away for all of that time, and its page still has the id.
    """
    tell = Telling(contract)
    keys = len(contract.tab.routing_keys)
    other, late = 1 + keys, 2 if keys > 1 else 3  # on another key, if there is one: nothing is settled while it is away
    gone_s = _BEYOND * (contract.promise.abandoned_queues_expire or 0.0) + _BEYOND_S
    away_s = _SHARE * min(contract.promise.longest_outage, gone_s / 2) if _long_enough(contract) else 0.0
    return (
        tell.open(1),
        tell.open(other),
        tell.open(late),
        tell.publish(2),
        tell.settle(),
        tell.close(1),
        AwaitQueue(tab="t1", until="left"),
        tell.begin("rst", f"t{late}"),
        AwaitQueue(tab=f"t{late}", until="left"),
        *(_away_and_back(tell, other, away_s) if away_s else ()),
        tell.publish(2),
        tell.settle(),
        AdvanceClock(by_s=gone_s - away_s),
        AwaitQueue(tab="t1", until="gone"),
        AwaitQueue(tab=f"t{late}", until="gone"),
        tell.heal(f"t{late}"),
        tell.publish(2),
        tell.publish(2, to=late),
        tell.settle(),
    )


def _away_and_back(tell: Telling, number: int, seconds: float) -> Iterable[Step]:
    tab = f"t{number}"
    return (
        tell.begin("rst", tab),
        tell.publish(2),
        AwaitQueue(tab=tab, until="left"),
        AdvanceClock(by_s=seconds),
        tell.heal(tab),
    )
