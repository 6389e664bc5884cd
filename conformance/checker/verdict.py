"""What the checker says: a verdict with its counts, violations and times, all frozen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = [
    "KINDS",
    "Counts",
    "Distribution",
    "Kind",
    "Recovery",
    "Setting",
    "StoryLine",
    "Tally",
    "Times",
    "Verdict",
    "VerdictWord",
    "Violation",
]

VerdictWord: TypeAlias = Literal["certified", "violated", "inconclusive"]

Kind: TypeAlias = Literal[
    "lost", "unexpected", "misrouted", "misreported", "duplicated", "reordered", "undrained", "leaked", "refused",
    "ignored", "allowed", "unsettled", "stuck",
]  # fmt: skip

KINDS: dict[Kind, str] = {
    "lost": "a tab that is owed a confirmed message gets it",
    "unexpected": "a tab gets only what was published, with the body and the id it was published with",
    "misrouted": "a tab gets only what its binding matches",
    "misreported": "what the publisher reports of a message is what the broker said of it",
    "duplicated": "a message comes twice only where a lost ack or a publisher's retry under its id explains it",
    "reordered": "a tab gets in order what was published one after the other",
    "undrained": "a tab's queue is empty once the tab has handled all that it was owed",
    "leaked": "an abandoned queue expires",
    "refused": "the broker lets a tab subscribe as the contract says",
    "ignored": "the broker's queue is what the contract asked for",
    "allowed": "what a hostile page tries with the tab's credentials is refused",
    "unsettled": "a publish has its outcome by its deadline, and close() waits for what is under way",
    "stuck": "a publisher that runs and can reach the broker has its messages confirmed",
}
"""Each kind of violation, the gravest first, with the rule that it breaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many of each.

    Publishes: ``attempted`` = ``confirmed`` + ``returned`` + ``nacked`` + ``failed`` + ``unknown`` (the last
    includes those that never got an outcome). ``delivered`` counts MESSAGE frames. ``obligations``, ``lost``,
    ``unexpected``, ``misrouted``, ``duplicated_*`` and ``reordered`` count pairs of a message and a tab (a pair that is
    duplicated n times counts n times); ``recovered`` (unknown or nacked to the publisher, delivered all the same) and
    ``misreported`` count messages; ``undrained`` what is left in queues; ``leaked`` queues; ``refused`` tabs;
    ``destroyed`` obligations that ended because an administrator destroyed what held them (no violation).
    """

    attempted: int = 0
    confirmed: int = 0
    returned: int = 0
    nacked: int = 0
    unknown: int = 0
    failed: int = 0
    delivered: int = 0
    handled: int = 0
    obligations: int = 0
    lost: int = 0
    unexpected: int = 0
    misrouted: int = 0
    duplicated_explained: int = 0
    duplicated_unexplained: int = 0
    recovered: int = 0
    reordered: int = 0
    undrained: int = 0
    leaked: int = 0
    misreported: int = 0
    refused: int = 0
    destroyed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryLine:
    """One moment of a message's life: the event's index, seconds since the run began, and what happened."""

    index: int
    time_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule.

    Attributes:
        kind: which rule, a key of :data:`KINDS`.
        cause: why, a slug of :data:`conformance.checker.causes.CAUSES`.
        summary: what happened and why, in a sentence or two.
        advice: what to change, and why.
        source: where RabbitMQ's documentation or a specification says so; empty where nothing does.
        message_id: the message, as it was published (or, never published, as it arrived); None where it had none.
        body_digest: the body's digest; None where the violation is about no message.
        tab: the tab; None where it is about no tab.
        index: of the event that the violation is pinned to.
        story: the message's life, filled in by :func:`conformance.checker.story.with_stories`.
    """

    kind: Kind
    cause: str
    summary: str
    advice: str
    source: str
    message_id: str | None
    body_digest: str | None
    tab: str | None
    index: int
    story: tuple[StoryLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many violations of one kind have one cause; ``Verdict.violations`` tells only the first few."""

    kind: Kind
    cause: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A distribution of times in milliseconds.

    ``sample_ms``: the times themselves in rising order, or, of more than
    :data:`conformance.checker.times.MOST_SAMPLES`, so many at even ranks, the least and the greatest among them.
    """

    count: int
    min_ms: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    sample_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How long it took after a fault was healed (``fault`` as it began) or the broker was up again (``broker``).

    ``back_s``: until the tab was subscribed again (of the publisher: until its next confirm); ``caught_up_s``: until
    the tab had handled all that it was owed at that moment. None: never in this history.
    """

    fault: str
    target: str
    tab: str | None
    index: int
    back_s: float | None
    caught_up_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """``confirm``: from invoked to confirmed; ``delivery``: from invoked to the first delivery to a tab."""

    confirm: Distribution | None = None
    delivery: Distribution | None = None
    recoveries: tuple[Recovery, ...] = ()
    longest_outage_s: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting of a tab's queue or connection.

    Attributes:
        name: as SUBSCRIBE's header says it.
        asked: what the tab asked for; None: nothing.
        real: what the broker made of it; None: it does not tell.
        source: where that comes from: ``argument x-expires``, ``policy short-lived``; empty where it is not told.
        agrees: whether both are the same; None: there is nothing to compare.
    """

    name: str
    asked: str | None
    real: str | None
    source: str
    agrees: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The checker's answer. Violated beats inconclusive beats certified.

    Attributes:
        verdict: the word.
        summary: one sentence with the numbers that matter.
        counts: all counts.
        violations: the first of each kind and cause, the gravest kind first; ``tally`` says how many there are.
        tally: number of violations by kind and cause, in the order of ``violations``.
        inconclusive_reasons: what evidence is missing, one sentence each; may stand beside violations.
        notes: settings that do not fit the promise though nothing was lost by them here.
        times: latencies, recoveries, outages.
        settings: what the tabs asked for and what the broker made of it, each different one once.
    """

    verdict: VerdictWord
    summary: str
    counts: Counts
    violations: tuple[Violation, ...] = ()
    tally: tuple[Tally, ...] = ()
    inconclusive_reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    times: Times = dataclasses.field(default_factory=Times)
    settings: tuple[Setting, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON can hold it; the keys are the fields' names."""
        return dataclasses.asdict(self)
