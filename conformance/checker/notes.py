"""Notes: settings that do not fit the promise though nothing was lost by them in this history."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checker.asked import drops_silently, not_as_asked, set_by_policy
from conformance.checker.effective import effective
from conformance.checker.program import remarks
from conformance.checker.state import NEVER, State, Tab
from conformance.contract.model import Contract, PromiseSection
from conformance.history.events import QueueObserved

__all__ = ["notes"]

_DESTROYED = {"queue": "the queue", "messages": "the messages in queue", "exchange": "the exchange"}


def notes(state: State, contract: Contract) -> Iterator[str]:
    """Yield one sentence for each kind of thing that is off, naming the first tab it was seen at."""
    seen: set[str] = set()
    for tab in state.tabs.values():
        for about, note in _of_tab(tab, contract):
            if about not in seen:
                seen.add(about)
                yield note
    for queue, tabs in state.queues.items():
        if len(tabs) > 1:
            yield f"queue {queue} is shared by {len(tabs)} tabs, which take turns at its messages"
    optional = sum(1 for message in state.by_digest.values() if message.optional)
    if optional:
        were, them = ("message was", "it") if optional == 1 else ("messages were", "them")
        yield f"{optional} {were} published without mandatory: nobody is told where no queue takes {them}"
    for (fault, what, name), count in state.destroyed.items():
        if count:
            yield (
                f"{count} obligation{'s' * (count != 1)} ended as an administrator destroyed {_DESTROYED[what]} {name} "
                f"({fault}): not lost by the setup"
            )
    yield from (
        f"a hostile page can {attempt.what}, which RabbitMQ can't refuse here: {attempt.effect}"
        for attempt in state.attempts
        if attempt.outcome == "tolerated"
    )
    yield from remarks(state.misbehaved)
    yield from _slow(state, contract.promise.recovery)


def _slow(state: State, recovery_s: float) -> Iterator[str]:
    """The slowest recovery, if it took longer than promised."""
    took_s, slowest = 0.0, None
    for healing in state.healings:
        if healing.back_ns is not None and healing.caught_up_ns is not None:
            this_s = (healing.caught_up_ns - healing.back_ns) / 1e9
            if this_s > took_s:
                took_s, slowest = this_s, healing.tab
    if took_s > recovery_s:
        yield f"tab {slowest} caught up {took_s:.1f} s after its return, past promise.recovery ({recovery_s:g} s)"


def _of_tab(tab: Tab, contract: Contract) -> Iterator[tuple[str, str]]:
    """Yield (what it is about, the note)."""
    if tab.subscribed == NEVER:
        return
    if tab.headers.get("ack", contract.tab.ack) == "auto":
        yield "ack", f"tab {tab.id} subscribes with ack: auto: what is on its way when a link is cut is lost"
    if tab.observed is not None:
        for finding in not_as_asked(tab.headers, tab.observed, contract.promise):
            yield finding.about, finding.text
        for finding in set_by_policy(tab.headers, tab.observed, contract.promise):
            yield finding.about, finding.text
        yield from _expiry(tab.observed, contract.promise)
        yield from _cap(tab.observed)


def _expiry(queue: QueueObserved, promise: PromiseSection) -> Iterator[tuple[str, str]]:
    """Where the queue goes too early or too late for the promise (what a policy does is told above)."""
    setting, latest_s = effective(queue, "expires"), promise.abandoned_queues_expire
    if setting is not None and setting.number is not None:
        expires = setting.number
        name = f"queue {queue.queue} expires after {expires / 1000:g} s"
        if expires < promise.longest_outage * 1000 and not setting.by_policy:
            yield "expires", f"{name}, before promise.longest_outage ({promise.longest_outage:g} s)"
        if latest_s is not None and expires > latest_s * 1000:
            yield "expires", f"{name}, later than promise.abandoned_queues_expire ({latest_s:g} s)"
    elif queue.arguments is not None and latest_s is not None and not _goes_by_itself(queue):
        yield "expires", f"queue {queue.queue} never expires, though promise.abandoned_queues_expire is {latest_s:g} s"


def _goes_by_itself(queue: QueueObserved) -> bool:
    """Whether it goes without an expiry, or may have one that nobody could read."""
    unread = queue.effective_policy is None and queue.policy is not None
    return bool(unread or queue.auto_delete or queue.exclusive)


def _cap(queue: QueueObserved) -> Iterator[tuple[str, str]]:
    """Where the contract itself asks for a limit."""
    for key in ("max-length", "max-length-bytes"):
        setting = effective(queue, key)
        if setting is not None and setting.origin == "argument" and drops_silently(queue):
            limit = f"{key} {setting.value} ({setting.source})"
            yield key, f"queue {queue.queue} is limited to {limit} and drops its oldest messages beyond that"
