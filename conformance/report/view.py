"""What every report says, in the same words: verdicts, counts, times, stories, and the command that replays."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conformance.catalogue.result import CheckResult, CheckVerdict, overall
from conformance.checker.verdict import Counts, Violation
from conformance.report.plain import redact
from conformance.scenario.text import scenario_text

__all__ = [
    "VERDICT_WORDS",
    "Moment",
    "acceptance_lines",
    "accepted_name",
    "areas",
    "causes",
    "headline",
    "made_by",
    "moments",
    "named_counts",
    "replay_command",
    "replays",
    "rerun_command",
    "span",
    "steps",
    "tally",
    "worst_first",
]

VERDICT_WORDS: Final[dict[CheckVerdict, str]] = {
    "violated": "VIOLATED",
    "inconclusive": "inconclusive",
    "not_checked": "not checked",
    "accepted": "accepted",
    "certified": "certified",
}
"""Each verdict as it is shown, the worst first."""

_CARRIED = ("--broker", "--image", "--web-stomp", "--management", "--publisher", "--publisher-command", "--client")
"""The options that decide in what world a scenario is played: a replay needs the same."""

_ALWAYS_COUNTED = ("attempted", "confirmed", "delivered", "handled", "obligations", "lost")


def tally(results: Sequence[CheckResult]) -> dict[CheckVerdict, int]:
    """How many checks have each verdict, the worst first."""
    found = Counter(result.verdict for result in results)
    return {verdict: found[verdict] for verdict in VERDICT_WORDS}


def headline(results: Sequence[CheckResult], *, interrupted: bool = False) -> str:
    """The run's verdict in one sentence, with the numbers that matter."""
    found, whole = tally(results), len(results)
    match overall(list(results)):
        case "certified":
            confirmed = sum(
                result.evidence.get("confirmed", 0) if result.detail is None else result.detail.counts.confirmed
                for result in results
            )
            drawn = sum(
                result.evidence.get("scenarios", 0)
                - result.evidence.get("inconclusive", 0)
                - result.evidence.get("violated", 0)
                for result in results
            )
            beside = f", and {drawn} drawn scenarios held" if drawn else ""
            if found["accepted"]:
                deviations = (
                    "1 accepted deviation" if found["accepted"] == 1 else f"{found['accepted']} accepted deviations"
                )
                return (
                    f"CERTIFIED with {deviations}: {found['certified']} of {_checks(whole)} held; "
                    f"{confirmed:,} confirmed messages{beside}."
                )
            return f"CERTIFIED: {_all(whole)} held; {confirmed:,} confirmed messages, none lost{beside}."
        case "violated":
            why = ", ".join(causes(results)) or "see the checks"
            return f"VIOLATED: {found['violated']} of {_checks(whole)} broke the promise ({why})."
        case _:
            parts = [
                *([f"{found['inconclusive']} of {_checks(whole)} showed nothing"] if found["inconclusive"] else []),
                *([f"{found['not_checked']} of {_checks(whole)} could not be made"] if found["not_checked"] else []),
                *([f"{found['accepted']} of {_checks(whole)} deviated as accepted"] if found["accepted"] else []),
                *(["nothing was shown to hold"] if found["accepted"] and not found["certified"] else []),
            ]
            said = " and ".join(parts) or "no check was made"
            return f"INCONCLUSIVE: {'the run was interrupted; ' if interrupted else ''}{said}."


def acceptance_lines(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """What has to be told of a certificate's acceptances beside its checks.

    That one is stale or expired, that it names no cause and so accepts whatever comes next, and what broke the same
    checks and is not accepted.
    """
    lines = []
    for one in told:
        named = accepted_name(one)
        match one["state"]:
            case "stale":
                lines.append(f"Accepted, but it did not deviate: {named}. Take it out of [[accepted]].")
            case "expired":
                deviates = f"; {', '.join(one['checks'])} deviated" if one["checks"] else ""
                lines.append(f"No longer accepted since {one['until']} is over: {named} ({one['reason']}){deviates}.")
            case "deviated" if one.get("kind") is None or one.get("cause") is None:
                lines.append(
                    f"Accepted without its kind and cause: {named}. It was {', '.join(one.get('deviations', ()))}: "
                    "write that into [[accepted]], or another may be accepted the next time."
                )
    beyond = dict.fromkeys(what for one in told for what in one.get("beyond", ()))
    if beyond:
        lines.append(f"Not accepted: {'; '.join(beyond)}. Each [[accepted]] takes one kind and cause.")
    return lines


def accepted_name(one: Mapping[str, Any]) -> str:
    """Of an acceptance in a certificate: the check or glob, and the kind and cause, where it names them."""
    kind, cause = one.get("kind"), one.get("cause")
    what = f"{kind or 'any kind'} ({cause})" if cause else kind
    return f"{one['case']}: {what}" if what else str(one["case"])


def _checks(count: int) -> str:
    return "1 check" if count == 1 else f"{count} checks"


def _all(count: int) -> str:
    return "the one check" if count == 1 else f"all {count} checks"


def causes(results: Sequence[CheckResult]) -> dict[str, int]:
    """How many checks each cause broke, the cause of the most checks first."""
    found = Counter(
        cause
        for result in results
        if result.detail is not None and result.accepted is None
        for cause in dict.fromkeys(tally.cause for tally in result.detail.tally)
    )
    return dict(found.most_common())


def areas(results: Sequence[CheckResult]) -> dict[str, list[CheckResult]]:
    """The checks by area (what stands before the first slash of the id), in the order of the results."""
    found: dict[str, list[CheckResult]] = {}
    for result in results:
        found.setdefault(result.id.partition("/")[0], []).append(result)
    return found


def worst_first(results: Sequence[CheckResult]) -> list[CheckResult]:
    """The violated checks in the order of telling: first one for each new cause, then those that repeat a cause."""
    told: set[str] = set()
    news: list[CheckResult] = []
    repeats: list[CheckResult] = []
    for result in results:
        if result.verdict != "violated":
            continue
        own = {entry.cause for entry in result.detail.tally} if result.detail is not None else set()
        (repeats if own and own <= told else news).append(result)
        told |= own
    return news + repeats


def span(seconds: float) -> str:
    """A length of time for the eye: ``0 ms``, ``12 ms``, ``3.41 s``, ``95 s``."""
    size = abs(seconds)
    if size < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if size < 9.995 else f"{seconds:.1f} s" if size < 99.95 else f"{seconds:.0f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A line of a story: ``when`` counts from the moment that the violation is pinned to (``-12 ms``, ``0``)."""

    when: str
    index: int
    text: str
    pinned: bool


def moments(violation: Violation) -> list[Moment]:
    """The story with relative times; zero is the line that the violation is pinned to, else the first line."""
    story = violation.story
    zero_s = next((line.time_s for line in story if line.index == violation.index), story[0].time_s if story else 0.0)
    found = []
    for line in story:
        after_s = line.time_s - zero_s
        pinned = line.index == violation.index
        when = "0" if pinned else f"{'-' if after_s < 0 else '+'}{span(abs(after_s))}"
        found.append(Moment(when=when, index=line.index, text=line.text, pinned=pinned))
    return found


def named_counts(counts: Counts) -> list[tuple[str, int]]:
    """The counts that say something: the basic ones always, the others where they are not 0."""
    return [
        (name.replace("_", " "), value)
        for name, value in dataclasses.asdict(counts).items()
        if value or name in _ALWAYS_COUNTED
    ]


def steps(result: CheckResult) -> list[str]:
    """What was played, one numbered line a step; empty where nothing was."""
    return [] if result.scenario is None else scenario_text(result.scenario).splitlines()


def made_by(result: CheckResult) -> str:
    """``by trial`` or ``by settings``, of a check that can be made in both ways; else empty."""
    by = result.evidence.get("by")
    return f"by {by}" if by else ""


def replays(result: CheckResult) -> str:
    """Of a generated scenario: how often it failed again, and how far it was shrunk. Empty where it was not drawn."""
    again, of = result.evidence.get("replays_violated"), result.evidence.get("replays")
    if again is None or not of:
        return ""
    steady = "a steady failure" if again == of else "an intermittent failure" if again else "not seen again"
    first = result.evidence.get("steps_at_first")
    now = len(result.scenario.steps) if result.scenario is not None else None
    shrunk = f"; shrunk from {first} steps to {now}" if first and now and now < first else ""
    causes = result.evidence.get("causes", [])
    others = [
        f"{cause['cause']} in {cause['seen']} scenarios, {cause['replays_violated']} of {cause['replays']} replays"
        for cause in (causes if len(causes) > 1 or any(cause["seen"] > 1 for cause in causes) else ())
    ]
    seen = f"; all causes: {'; '.join(others)}" if others else ""
    return f"failed again in {again} of {of} replays: {steady}{shrunk}{seen}"


def replay_command(scenario: Path | str, command: Sequence[str]) -> str:
    """The one command that plays a scenario file again in the world that the run's own command line chose.

    Args:
        scenario: the file's path as the reader can use it.
        command: the run's command line; what it says of broker, publisher and client is said again. Passwords in it
            are hidden, so such a command asks for them to be filled in.
    """
    carried: list[str] = []
    rest = iter(command)
    for word in rest:
        if word.partition("=")[0] in _CARRIED:
            carried.append(redact(word))
            if "=" not in word and (value := next(rest, None)) is not None:
                carried.append(redact(value))
    return shlex.join(["durable-ws", "replay", str(scenario), *carried])


def rerun_command(command: Sequence[str], seed: int, only: str | None = None) -> str:
    """The command line that makes a run again, with its seed; ``only``: this one check of it."""
    again: list[str] = []
    replaced = ("--seed", "--only", "--exclude") if only is not None else ("--seed",)
    rest = iter(command)
    for word in rest:
        if word.partition("=")[0] not in replaced:
            again.append(word)
        elif "=" not in word:
            next(rest, None)
    return shlex.join([*again, *(["--only", only] if only is not None else []), "--seed", str(seed)])
