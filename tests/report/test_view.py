"""What the reports say in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.catalogue.result import CheckResult
from conformance.checker.verdict import Counts, Tally
from conformance.report.view import (
    areas,
    headline,
    moments,
    named_counts,
    replay_command,
    replays,
    rerun_command,
    span,
    steps,
    tally,
    worst_first,
)

Make = Callable[..., CheckResult]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.0124, "12 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"), (9.996, "10.0 s"), (99.96, "100 s")],
)
def test_spans_have_three_digits_at_most(seconds: float, text: str) -> None:
    """A span is told in the unit that suits it, also right at the borders."""
    assert span(seconds) == text


def test_headline_of_each_verdict(certified: Make, violated: Make, drawn: Make, not_checked: CheckResult) -> None:
    """The first word is the verdict; the numbers are those of the results."""
    assert headline([certified(), drawn()]) == (
        "CERTIFIED: all 2 checks held; 20 confirmed messages, none lost, and 118 drawn scenarios held."
    )
    assert headline([certified()]) == "CERTIFIED: the one check held; 20 confirmed messages, none lost."
    assert headline([certified(), violated(), not_checked]) == (
        "VIOLATED: 1 of 3 checks broke the promise (auto-delete-queue)."
    )
    unclear = certified(verdict="inconclusive")
    assert headline([certified(), unclear, not_checked]) == (
        "INCONCLUSIVE: 1 of 3 checks showed nothing and 1 of 3 checks could not be made."
    )
    assert headline([not_checked], interrupted=True) == (
        "INCONCLUSIVE: the run was interrupted; 1 of 1 check could not be made."
    )
    assert headline([]) == "INCONCLUSIVE: no check was made."


def test_checks_are_counted_and_grouped(certified: Make, violated: Make) -> None:
    """Each verdict has a count, 0 too; areas keep the order of the results."""
    results = [certified("b/1"), violated("a/1"), certified("b/2")]
    assert tally(results) == {"violated": 1, "inconclusive": 0, "not_checked": 0, "certified": 2, "accepted": 0}
    assert {area: [result.id for result in group] for area, group in areas(results).items()} == {
        "b": ["b/1", "b/2"],
        "a": ["a/1"],
    }


def test_a_new_cause_is_told_before_a_repeated_one(violated: Make, certified: Make) -> None:
    """Of three checks of which two have one cause, the third comes second."""
    first, second, third = violated("a/1"), violated("a/2"), violated("a/3")
    assert third.detail is not None
    other = replace(third.detail, tally=(Tally(kind="lost", cause="ack-auto", count=1),))
    found = worst_first([certified(), first, second, replace(third, detail=other)])
    assert [result.id for result in found] == ["a/1", "a/3", "a/2"]


def test_moments_count_from_the_violation(violated: Make) -> None:
    """Zero is the line that the violation is pinned to; without such a line the first one."""
    detail = violated().detail
    assert detail is not None
    violation = detail.violations[0]
    assert [(moment.when, moment.pinned) for moment in moments(violation)][3:6] == [
        ("-1.30 s", False),
        ("0", True),
        ("+12 ms", False),
    ]
    assert [moment.when for moment in moments(replace(violation, index=99))][:2] == ["+0 ms", "+30 ms"]
    assert moments(replace(violation, story=())) == []


def test_counts_that_say_nothing_are_left_out() -> None:
    """The basic counts are told even where they are 0, the others only where they are not."""
    assert named_counts(Counts(attempted=2, duplicated_explained=1)) == [
        ("attempted", 2),
        ("confirmed", 0),
        ("delivered", 0),
        ("handled", 0),
        ("obligations", 0),
        ("lost", 0),
        ("duplicated explained", 1),
    ]


def test_replays_tell_steady_from_intermittent(violated: Make, certified: Make) -> None:
    """k of n replays, and how far the scenario was shrunk."""
    evidence = {"replays": 5, "replays_violated": 5, "steps_at_first": 22}
    assert replays(violated(evidence=evidence)) == (
        "failed again in 5 of 5 replays: a steady failure; shrunk from 22 steps to 4"
    )
    assert "intermittent" in replays(violated(evidence=evidence | {"replays_violated": 2}))
    assert "not seen again" in replays(violated(evidence=evidence | {"replays_violated": 0}))
    assert replays(certified()) == ""
    assert steps(certified()) == []


def test_the_replay_repeats_the_world_and_hides_the_password() -> None:
    """Broker, publisher and client are carried over in either spelling, the rest of the command line is not."""
    command = ["durable-ws", "certify", "c.toml", "--broker", "amqp://u:s3cret@h", "--client=stomp.py", "--seed", "1"]
    assert replay_command(Path("a b/scenario.json"), command) == (
        "durable-ws replay 'a b/scenario.json' --broker 'amqp://u:***@h' --client=stomp.py"
    )
    assert replay_command("s.json", ["durable-ws", "certify", "--broker"]) == "durable-ws replay s.json --broker"


def test_a_run_is_made_again_with_its_seed() -> None:
    """The same command line with the seed; of one check, without the choice of checks that it had."""
    command = ["durable-ws", "certify", "c d.toml", "--only", "a/*", "--only=b", "--seed", "1", "--broker", "local"]
    assert rerun_command(command, 7) == ("durable-ws certify 'c d.toml' --only 'a/*' --only=b --broker local --seed 7")
    assert rerun_command(command, 7, "x/y") == "durable-ws certify 'c d.toml' --broker local --only x/y --seed 7"
