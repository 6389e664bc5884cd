"""What searches find: each kind and cause has an entry, also one that only comes beside a graver one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from conformance.catalogue.found import Cause, Causes, How
from conformance.checker.verdict import Counts, Tally, Verdict, Violation
from conformance.engine.play import Played
from conformance.scenario.steps import OpenTab, Publish, Scenario

SMALL = Scenario(steps=(OpenTab(tab="t1", key="ticks"),))
LARGE = Scenario(steps=(OpenTab(tab="t1", key="ticks"), Publish(key="ticks")))


def played(*ways: str, count: int = 1, path: Path | None = None) -> Played:
    """A violated play, by ``kind cause`` each."""
    pairs = [cast("Any", way.split()) for way in ways]
    verdict = Verdict(
        verdict="violated" if ways else "certified",
        summary=", ".join(ways),
        counts=Counts(),
        violations=tuple(
            Violation(
                kind=kind, cause=cause, summary=f"{kind} for {cause}", advice="", source="", message_id=None,
                body_digest=None, tab=None, index=0,
            )
            for kind, cause in pairs
        ),
        tally=tuple(Tally(kind=kind, cause=cause, count=count) for kind, cause in pairs),
    )  # fmt: skip
    return Played(verdict=verdict, events=[], header=cast("Any", None), seconds=0.0, path=path)


def taken(causes: Causes, *plays: tuple[Played, How]) -> Causes:
    """Each play taken in, none of them needed any more."""
    for one, how in plays:
        causes.take(LARGE, one, how, needed=False)
    return causes


def test_what_always_comes_beside_a_graver_one_has_its_own_entry() -> None:
    """It is in the verdict's tally, its violations and its summary."""
    causes = taken(Causes(), *[(played("lost unconfirmed", "misreported unconfirmed"), "drawn")] * 3)  # type: ignore[arg-type]
    assert [(cause.name, cause.seen) for cause in causes] == [("lost-unconfirmed", 3), ("misreported-unconfirmed", 3)]
    verdict = causes.verdict
    assert verdict is not None
    assert [(one.kind, one.cause, one.count) for one in verdict.tally] == [
        ("lost", "unconfirmed", 1),
        ("misreported", "unconfirmed", 1),
    ]
    assert [one.kind for one in verdict.violations] == ["lost", "misreported"]
    assert verdict.summary == ("2 causes: lost (unconfirmed) in 3 scenarios; misreported (unconfirmed) in 3 scenarios")


def test_what_a_step_of_shrinking_or_a_replay_shows_is_found_as_well() -> None:
    """It is no drawn scenario's, and that is told."""
    causes = taken(
        Causes(), (played("lost a"), "drawn"), (played("lost b"), "shrinking"), (played("lost c", "lost a"), "replay")
    )
    assert [(cause.name, cause.seen, cause.beside) for cause in causes] == [
        ("lost-a", 1, 1),
        ("lost-b", 0, 1),
        ("lost-c", 0, 1),
    ]
    assert causes.verdict is not None
    assert "lost (b) while another was shrunk or replayed" in causes.verdict.summary


def test_a_violation_without_a_name_is_not_dropped() -> None:
    """A violated verdict that tallies nothing would be a bug of the checker's: it must not turn into silence."""
    nameless = played("lost a")
    nameless = replace(nameless, verdict=replace(nameless.verdict, tally=(), violations=()))
    causes = taken(Causes(), (nameless, "drawn"))
    assert [cause.name for cause in causes] == ["lost-unexplained"]
    assert causes.verdict is not None
    assert causes.verdict.verdict == "violated"


def test_each_is_shrunk_once_and_what_shows_in_the_smallest_with_it() -> None:
    """The gravest first; what the smallest does not show has its turn when it comes again."""
    causes = Causes()
    first = played("lost a", "leaked b", "leaked c")
    assert causes.wants(first)
    causes.take(LARGE, first, "drawn", needed=True)
    assert causes.target == "lost-a"
    assert causes.same(played("lost a"))
    assert not causes.same(played("leaked b"))
    smallest = played("lost a", "leaked b")
    causes.take(SMALL, smallest, "shrinking", needed=True)
    again: Counter[Any] = Counter({("lost", "a"): 5, ("leaked", "b"): 2})
    causes.shrunk(SMALL, smallest, replays=5, again=again, first_steps=2, files="kept")
    told = {cause.name: (cause.shrunk, cause.failed_again, len(cause.scenario.steps), cause.files) for cause in causes}
    assert told == {
        "lost-a": (True, 5, 1, "kept"),
        "leaked-b": (True, 2, 1, "kept"),
        "leaked-c": (False, 0, 2, None),
    }
    assert [cause.is_intermittent for cause in causes] == [False, True, False]
    assert not causes.wants(played("lost a", "leaked b"))
    assert causes.wants(first)
    assert causes.target == "leaked-c"


def test_what_is_accepted_is_filed_and_not_shrunk() -> None:
    """And what comes beside it is."""
    causes = Causes(accepted=lambda _: {("lost", "a")})
    assert not causes.wants(played("lost a"))
    taken(causes, (played("lost a"), "drawn"))
    assert causes.wants(played("lost a", "leaked b"))
    assert causes.target == "leaked-b"
    assert [cause.name for cause in causes] == ["lost-a"]


def test_the_first_few_of_each_are_kept_and_the_rest_is_discarded() -> None:
    """A play is kept once, under the first of its causes that wants it; a history that is needed is not discarded."""
    kept: list[tuple[str, int, bool]] = []
    gone: list[Played] = []

    def keep(cause: Cause, _: Scenario, __: Played, needed: bool) -> str:
        kept.append((cause.name, cause.kept, needed))
        return f"{cause.name}/{cause.kept}"

    causes = Causes(keep=keep, most_kept=2, discard=gone.append)
    causes.take(LARGE, played("lost a"), "drawn", needed=True)
    taken(causes, *[(played("lost a"), "drawn")] * 3, (played("lost a", "leaked b"), "replay"))  # type: ignore[arg-type]
    assert kept == [("lost-a", 1, True), ("lost-a", 2, False), ("leaked-b", 1, False)]
    assert len(gone) == 4
    assert {cause.name: cause.files for cause in causes} == {"lost-a": "lost-a/1", "leaked-b": "leaked-b/1"}


def test_many_causes_in_a_summary() -> None:
    """The first few, and how many more; all are in the tally."""
    causes = taken(Causes(), (played(*(f"lost c{number}" for number in range(8))), "drawn"))
    assert causes.verdict is not None
    assert causes.verdict.summary.startswith("8 causes: lost (c0) in 1 scenario; lost (c1)")
    assert causes.verdict.summary.endswith("; and 3 more")
    assert len(causes.verdict.tally) == 8
