"""What a hostile page tried, in hand-written histories: allowed, refused, tolerated, and not even tried."""

from __future__ import annotations

from typing import get_args

import pytest

from conformance.checker.checker import check
from conformance.checker.openings import OPENINGS
from conformance.checker.story import sentence
from conformance.checker.verdict import Verdict
from conformance.contract.model import Contract
from conformance.history import events as e
from conformance.scenario.steps import AttemptKind
from conformance.world.attacker.all import ATTEMPTS


def tried(outcome: str, attempt: str = "publish", tags: tuple[str, ...] | None = ()) -> e.Attempted:
    """One attempt."""
    return e.Attempted(
        index=0, time_ns=0, attempt=attempt, what="do it", outcome=outcome, words="said", effect="seen", login="tab",
        tags=tags,
    )  # fmt: skip


def verdict(*attempts: e.Attempted) -> Verdict:
    """What the checker says of them alone."""
    return check(list(attempts), Contract())


def test_what_is_allowed_is_a_violation() -> None:
    """With its cause, what to change, and the attempt in its story."""
    found = verdict(tried("refused"), tried("allowed"))
    assert found.verdict == "violated"
    assert [(entry.kind, entry.cause, entry.count) for entry in found.tally] == [("allowed", "publish-permission", 1)]
    (violation,) = found.violations
    assert violation.summary == "a hostile page could do it: the tabs' user has write permission there"
    assert "write permission" in violation.advice
    assert violation.source.startswith("https://")
    assert "tried to do it: allowed: said (seen)" in violation.story[-1].text


def test_what_is_refused_is_none() -> None:
    """Nothing is said of it."""
    found = verdict(tried("refused"))
    assert not found.violations
    assert not any("hostile" in note for note in (*found.notes, *found.inconclusive_reasons))


def test_what_was_not_tried_shows_nothing() -> None:
    """It is inconclusive, never a pass."""
    found = verdict(tried("unmade"))
    assert "a hostile page could not try to do it: said" in found.inconclusive_reasons


def test_what_can_not_be_refused_is_told() -> None:
    """As a note, with what protects all the same."""
    found = verdict(tried("tolerated"))
    assert not found.violations
    assert found.notes == ("a hostile page can do it, which RabbitMQ can't refuse here: seen",)


@pytest.mark.parametrize(
    ("tags", "cause"),
    [(("administrator",), "administrator-user"), (("monitoring",), "management-tag"), (None, "management-tag")],
)
def test_who_is_let_into_management(tags: tuple[str, ...] | None, cause: str) -> None:
    """By the user's tags, as far as they are known."""
    assert verdict(tried("allowed", "management", tags)).tally[0].cause == cause


def test_every_attempt_is_played_and_has_a_cause() -> None:
    """But for those that only a broken RabbitMQ lets through."""
    kinds = set(get_args(AttemptKind))
    assert set(ATTEMPTS) == kinds
    caused = {kind for kind in kinds if any(opening.is_it(tried("allowed", kind)) for opening in OPENINGS)}
    assert kinds - caused == {"malformed", "heart-beats"}


def test_a_sentence() -> None:
    """Without words and effect it is shorter."""
    bare = e.Attempted(index=0, time_ns=0, attempt="publish", what="do it", outcome="refused", login="tab")
    assert sentence(bare) == "a hostile page, logged in as tab, tried to do it: refused"
