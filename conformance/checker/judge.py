"""From what the checker remembers to a verdict: which rules were broken, and what evidence is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from conformance.checker.causes import Circumstances, diagnose, promises_restarts
from conformance.checker.notes import notes
from conformance.checker.program import doubts
from conformance.checker.settings import settings
from conformance.checker.state import NEVER, Message, State, Tab
from conformance.checker.times import distribution
from conformance.checker.verdict import KINDS, Counts, Kind, Tally, Times, Verdict, VerdictWord, Violation
from conformance.contract.model import Contract

__all__ = ["TOLD_PER_CAUSE", "judge"]

TOLD_PER_CAUSE = 10
"""How many violations of one kind and cause are told; all are counted."""


def judge(state: State, contract: Contract) -> Verdict:
    """The verdict on all that was fed. Takes time in proportion to the messages, tabs and violations."""
    lost, undecided = _unmet(state, contract)
    found = [
        *lost,
        *_unexpected(state, contract),
        *_misrouted(state, contract),
        *_misreported(state, contract),
        *_duplicated(state, contract),
        *_of_tabs(state, contract),
        *_allowed(state, contract),
        *_unsettled(state, contract),
    ]
    if contract.promise.order:
        found += (Circumstances("reordered", i, state, contract, m, t) for m, t, i in state.late)
    kinds = Counter(c.kind for c in found)
    undrained = {tab: max(left, undecided.get(tab, 0)) for tab, left in _left(state)}
    counts = _counts(state, kinds, sum(undrained.values()))
    violations, tally = _tell(found)
    reasons = tuple(_missing(state, counts, undrained, undecided))
    word: VerdictWord = "violated" if tally else "inconclusive" if reasons else "certified"
    return Verdict(
        verdict=word,
        summary=_summary(word, counts, tally, reasons),
        counts=counts,
        violations=violations,
        tally=tally,
        inconclusive_reasons=reasons,
        notes=tuple(notes(state, contract)),
        times=Times(
            confirm=distribution(state.confirm_ns),
            delivery=distribution(state.delivery_ns),
            recoveries=tuple(healing.recovery() for healing in state.healings),
            longest_outage_s={
                tab.id: tab.longest_outage_ns / 1e9 for tab in state.tabs.values() if tab.subscribed != NEVER
            },
        ),
        settings=settings(state, contract),
    )


# --- obligations that were not met ---------------------------------------------------------------


def _unmet(state: State, contract: Contract) -> tuple[list[Circumstances], dict[Tab, int]]:
    """What is lost, and how many obligations of each tab are neither met nor known to be lost."""
    lost: list[Circumstances] = []
    undecided: dict[Tab, int] = {}
    for tab in state.tabs.values():
        gone = [state.by_digest[digest] for digest in (*tab.denied, *_orphaned(state, tab))]
        waiting = [state.by_digest[digest] for digest in tab.waiting]
        if waiting and not _all_lost(state, tab):
            stayed = tab.longest_stay_after(state.end_ns)
            recovery_ns = contract.promise.recovery * 1e9
            hopeful = [m for m in waiting if not _never_left(state, m) and stayed(m.settled_ns) < recovery_ns]
            # where the queue holds fewer than are missing, the oldest are gone: queues drop from their head
            held = _held(tab)
            surplus = 0 if held is None else len(hopeful) - held
            still = set(hopeful[max(surplus, 0) :])
            waiting = [message for message in waiting if message not in still]
            if still:
                undecided[tab] = len(still)
        gone += waiting
        lost += (
            Circumstances("lost", message.invoked, state, contract, message, tab)
            for message in sorted(gone, key=lambda message: message.invoked)
        )
    return lost, undecided


def _orphaned(state: State, tab: Tab) -> Iterable[str]:
    """What the tab missed because it never came back after its queue had been deleted."""
    return tab.orphaned if tab.closed == NEVER and state.quiesced is not None else ()


def _all_lost(state: State, tab: Tab) -> bool:
    """Whether nothing can come to this tab any more: its queue is gone or empty, or the run came to rest."""
    end = tab.at_end
    emptied = end is not None and (not end.exists or _held(tab) == 0)
    return emptied or (state.quiesced is not None and state.quiesced.reached)


def _never_left(state: State, message: Message) -> bool:
    """Whether the publisher never sent this message to where it was asked to."""
    return state.wire and (not message.seen or message.wire_route is not None)


def _left(state: State) -> Iterator[tuple[Tab, int]]:
    """How many messages the queue of each tab still holds at the end."""
    for tab in state.open_tabs():
        yield tab, _held(tab) or 0


def _held(tab: Tab) -> int | None:
    """How many messages the tab's queue held at the end, ready or not; None: nobody knows."""
    end = tab.at_end
    return None if end is None or end.ready is None else end.ready + (end.unacked or 0)


# --- the other rules -----------------------------------------------------------------------------


def _unexpected(state: State, contract: Contract) -> Iterator[Circumstances]:
    for (digest, tab), stray in state.strays.items():
        yield Circumstances("unexpected", stray.index, state, contract, stray.of, tab, digest, stray.message_id)
    for message in state.by_digest.values():
        if message.other_id is not None and not message.own_id_came:
            for tab, receipt in message.receipts.items():
                if receipt.handled != NEVER:
                    yield Circumstances("unexpected", receipt.handled, state, contract, message, tab)


def _misrouted(state: State, contract: Contract) -> Iterator[Circumstances]:
    for (digest, tab), index in state.astray.items():
        message = state.by_digest[digest]
        # the message may have been faster than the receipt of the subscription: look again with all that is known
        if tab.bindings and not tab.is_bound(message.route):
            yield Circumstances("misrouted", index, state, contract, message, tab)


def _misreported(state: State, contract: Contract) -> Iterator[Circumstances]:
    durable = promises_restarts(contract)
    for message in state.by_digest.values():
        if message.outcome == "confirmed":
            wrong = state.wire and (
                not message.seen
                or message.wire_altered
                or message.wire_route is not None
                or message.confirmed_early
                or message.returns >= message.seen
                or (durable and message.transient and not (message.asked or {}).get("delivery_mode"))
                or bool(message.wire_changed)
                or (message.optional and not state.bindings_ever.match(*message.route))
            )
        else:
            wrong = message.outcome == "failed" and bool(message.receipts)
        if wrong:
            yield Circumstances("misreported", message.settled, state, contract, message)


def _unsettled(state: State, contract: Contract) -> Iterator[Circumstances]:
    for message in state.by_digest.values():
        if message.overdue(state.end_ns) or message.cut_off:
            index = message.invoked if message.settled == NEVER else message.settled
            yield Circumstances("unsettled", index, state, contract, message)


def _duplicated(state: State, contract: Contract) -> Iterator[Circumstances]:
    for message, tab, index in state.repeats:
        if not _published_again(message):
            yield Circumstances("duplicated", index, state, contract, message, tab)


def _published_again(message: Message) -> bool:
    """Whether the publisher's own retries under the same id explain a second copy."""
    if message.other_id is not None:
        return False
    untold = not message.seen and message.outcome not in ("confirmed", "returned")
    return message.attempts > 1 or message.seen > 1 or untold


def _of_tabs(state: State, contract: Contract) -> Iterator[Circumstances]:
    for tab, index in state.leaked.items():
        yield Circumstances("leaked", index, state, contract, tab=tab)
    for tab in state.tabs.values():
        if tab.refused is not None and tab.closed == NEVER:
            yield Circumstances("refused", tab.refused.index, state, contract, tab=tab)
        unacked = tab.handled and not tab.acks and tab.headers.get("ack", contract.tab.ack) != "auto"
        if unacked and tab.closed == NEVER and tab.at_end is not None and tab.at_end.ready:
            yield Circumstances("undrained", tab.at_end.index, state, contract, tab=tab)


def _allowed(state: State, contract: Contract) -> Iterator[Circumstances]:
    for attempt in state.attempts:
        if attempt.outcome == "allowed":
            yield Circumstances("allowed", attempt.index, state, contract, attempt=attempt)


# --- putting it into words -----------------------------------------------------------------------


def _counts(state: State, kinds: Counter[Kind], undrained: int) -> Counts:
    outcomes = Counter(message.outcome for message in state.by_digest.values())
    return Counts(
        attempted=len(state.by_digest),
        confirmed=outcomes["confirmed"],
        returned=outcomes["returned"],
        nacked=outcomes["nacked"],
        unknown=outcomes["unknown"] + outcomes[None],
        failed=outcomes["failed"],
        delivered=state.delivered,
        handled=state.handled,
        obligations=state.obligations + sum(len(list(_orphaned(state, tab))) for tab in state.tabs.values()),
        lost=kinds["lost"],
        unexpected=kinds["unexpected"],
        misrouted=kinds["misrouted"],
        duplicated_explained=state.explained + len(state.repeats) - kinds["duplicated"],
        duplicated_unexplained=kinds["duplicated"],
        recovered=sum(
            1
            for message in state.by_digest.values()
            if message.outcome in ("unknown", "nacked", None) and message.receipts
        ),
        reordered=len(state.late),
        undrained=undrained,
        leaked=kinds["leaked"],
        misreported=kinds["misreported"],
        refused=kinds["refused"],
        destroyed=state.destroyed.total(),
    )


def _tell(found: list[Circumstances]) -> tuple[tuple[Violation, ...], tuple[Tally, ...]]:
    """Diagnose every violation, count them by kind and cause, and put the first of each into words."""
    told: dict[tuple[Kind, str], list[Violation]] = {}
    tally: Counter[tuple[Kind, str]] = Counter()
    for c in found:
        cause, because = diagnose(c)
        key = (c.kind, cause.slug)
        tally[key] += 1
        if tally[key] > TOLD_PER_CAUSE:
            continue
        told.setdefault(key, []).append(
            Violation(
                kind=c.kind,
                cause=cause.slug,
                summary=f"{_sentence(c)}: {because}",
                advice=cause.advise(c),
                source=cause.source,
                message_id=c.name,
                body_digest=c.body_digest,
                tab=c.tab.id if c.tab is not None else None,
                index=c.index,
            )
        )
    order = sorted(told, key=lambda key: (list(KINDS).index(key[0]), told[key][0].index))
    return (
        tuple(violation for key in order for violation in told[key]),
        tuple(Tally(kind=kind, cause=cause, count=tally[kind, cause]) for kind, cause in order),
    )


def _sentence(c: Circumstances) -> str:
    """What happened, without why."""
    if c.attempt is not None:
        return f"a hostile page could {c.attempt.what}"
    tab = "" if c.tab is None else c.tab.id
    return _of_tab(c.kind, tab) or _of_message(c, tab)


def _of_tab(kind: Kind, tab: str) -> str:
    """Of a violation that is about a tab and no message; empty of another."""
    return {
        "undrained": f"the queue of tab {tab} is not empty at the end",
        "leaked": f"the queue of tab {tab} is still there after it should have expired",
        "refused": f"tab {tab} can't subscribe",
        "ignored": f"the queue of tab {tab} is not what the contract asked for",
    }.get(kind, "")


def _of_message(c: Circumstances, tab: str) -> str:
    told = "" if c.message is None else f", {c.message.outcome} at {c.message.settled_ns / 1e9:.3f} s,"
    return {
        "lost": f"message {c.name}{told} was never handled by tab {tab}",
        "unexpected": f"tab {tab} got message {c.name or 'without an id'}, body {c.body_digest}",
        "misrouted": f"tab {tab} got message {c.name}, which its binding does not match",
        "misreported": f"the publisher's word on message {c.name} is wrong",
        "duplicated": f"tab {tab} handled message {c.name} again",
        "reordered": f"tab {tab} handled message {c.name} after one that was published later",
        "unsettled": f"the publish of message {c.name} did not end as it must",
    }[c.kind]


def _missing(state: State, counts: Counts, undrained: dict[Tab, int], undecided: dict[Tab, int]) -> Iterator[str]:
    """What evidence is missing, one sentence each."""
    yield from state.problems
    yield from doubts(state.misbehaved)
    if state.quiesced is None:
        yield "the history ends before the run was over"
    yield from _vacuous(state, counts)
    for attempt in state.attempts:
        if attempt.outcome == "unmade":
            yield f"a hostile page could not try to {attempt.what}: {attempt.words}"
    for fault in state.faults.values():
        name = f"fault {fault.began.fault} on {fault.began.target}"
        if fault.ended is None:
            yield f"{name} was never seen to end"
        elif not fault.ended.fired and fault.began.fault != "noop":
            yield f"{name} never fired"
    for tab, left in undrained.items():
        if left:
            owed = undecided.get(tab, 0)
            yield f"the queue of tab {tab.id} was not drained: {_messages(left)} left, {owed} of them owed"


def _vacuous(state: State, counts: Counts) -> Iterator[str]:
    """Why nothing was put to the test."""
    if not counts.attempted:
        yield "nothing was published"
    elif not counts.confirmed:
        such = f" (such as {state.unconfirmed})" if state.unconfirmed else ""
        yield f"no publish was confirmed{such}"
    if not any(tab.subscribed != NEVER for tab in state.tabs.values()):
        yield "no tab ever subscribed"
    elif counts.confirmed and not counts.obligations:
        yield "no tab was owed anything"
    if state.undecided:
        yield f"{_messages(state.undecided)} never got an outcome"


def _messages(count: int) -> str:
    return f"{count} message{'s' * (count != 1)}"


def _summary(word: VerdictWord, counts: Counts, tally: tuple[Tally, ...], reasons: tuple[str, ...]) -> str:
    if word == "violated":
        total = {"lost": f" of {counts.obligations} owed"}
        return "; ".join(f"{t.count}{total.get(t.kind, '')} {t.kind} ({t.cause})" for t in tally)
    if word == "inconclusive":
        return "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more reasons" if len(reasons) > 3 else "")
    again = f", {counts.duplicated_explained} of them again" if counts.duplicated_explained else ""
    return f"all {counts.obligations} obligations of {counts.confirmed} confirmed messages were met{again}"
