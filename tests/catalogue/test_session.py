"""A session's checks end in results, whatever happens in them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from conformance.catalogue.generated import Budget
from conformance.catalogue.result import CheckResult
from conformance.catalogue.select import all_checks, select
from conformance.catalogue.session import GENERATED, Session, Setup
from conformance.catalogue.stage import Stage
from conformance.checker.verdict import Counts, Tally, Verdict
from conformance.contract.model import AcceptedSection, Contract
from conformance.engine.play import Played
from conformance.errors import HarnessError
from conformance.history.file import read_history
from conformance.scenario.steps import Scenario
from conformance.world.broker.base import Broker
from conformance.world.publisher.base import MakePublisher
from conformance.world.publisher.choose import chosen_publisher
from tests.borrowed import Borrowed


class FakeBroker:
    """Up at once."""

    capabilities = frozenset({"management"})

    def start(self) -> None:
        """It is."""

    def stop(self) -> None:
        """Nothing to end."""

    def log(self) -> str:
        """Nothing to tell."""
        return ""


@pytest.mark.parametrize(
    ("trouble", "told"),
    [(HarnessError("no luck"), "could not make this check: no luck"), (KeyError("oops"), "crashed in this check: Key")],
)
def test_a_check_that_fails_shows_nothing_either_way(
    trouble: Exception, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite's own trouble is inconclusive, never violated and never the end of the other checks."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise trouble

    monkeypatch.setattr("conformance.catalogue.session.play", fail)
    setup = Setup(contract=Contract(), make_publisher=cast("MakePublisher", None))
    with Stage(lambda _: cast("Broker", FakeBroker())) as stage:
        session = Session(setup, select(all_checks(), ["delivery/steady"]), stage)
        session.begin()
        result = session.result("delivery/steady")
    assert result.verdict == "inconclusive"
    assert told in result.summary
    assert ("crash" in result.evidence) == isinstance(trouble, KeyError)


@pytest.mark.broker
@pytest.mark.parametrize("keep_all", [False, True])
def test_the_history_of_what_held_is_kept_only_on_demand(keep_all: bool, broker: Broker, tmp_path: Path) -> None:
    """Asked for, a certified check leaves its history and its scenario as a violated one does."""
    _, make_publisher = chosen_publisher(Contract(), None, None)
    setup = Setup(contract=Contract(), make_publisher=make_publisher, report=tmp_path, keep_all=keep_all)
    with Stage(lambda _: cast("Broker", Borrowed(broker))) as stage:
        session = Session(setup, select(all_checks(), ["delivery/steady"]), stage)
        session.begin()
        result = session.result("delivery/steady")
    assert result.verdict == "certified", result.summary
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == (
        {"history.jsonl", "scenario.json"} if keep_all else set()
    )
    if keep_all:
        assert result.history is not None
        assert sum(1 for _ in read_history(result.history)) > 10


# --- generated checks, with plays that are made up -----------------------------------------------


class Plays:
    """Takes the place of ``play``: writes a history, and says what the next word of ``script`` does.

    A word is ``kind cause`` (several: with commas), or empty for a play that holds; the last goes on for ever. After
    ``most`` plays the stage is told to stop.
    """

    def __init__(self, *script: str, stage: Stage, most: int = 1_000_000) -> None:
        self.script, self.stage, self.most = script, stage, most
        self.on_disk: list[int] = []
        """How many histories of other plays there were as each began."""

    def __call__(self, scenario: Scenario, *_: object, path: Path, **__: object) -> Played:
        """One play."""
        self.on_disk.append(len(list(path.parent.glob("play-*"))))
        path.write_text("history\n")
        if len(self.on_disk) >= self.most:
            self.stage.stopping.set()
        ways = [cast("Any", way.split()) for way in filter(None, self._word(scenario).split(","))]
        tally = tuple(Tally(kind=kind, cause=cause, count=1) for kind, cause in ways)
        told = Verdict(
            verdict="violated" if ways else "certified", summary="made up", counts=Counts(confirmed=1), tally=tally
        )
        return Played(verdict=told, events=[], header=cast("Any", None), seconds=0.0, path=path)

    def _word(self, _: Scenario) -> str:
        return self.script[min(len(self.on_disk), len(self.script)) - 1]


def generated(
    *script: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int = 1_000_000,
    **setup: Any,
) -> tuple[CheckResult, Plays, Path]:
    """The check ``generated/links`` over such plays, how they went, and the folder of its evidence."""
    whole: dict[str, Any] = {"contract": Contract(), "seed": 1, "budget": Budget(generate_s=600, shrink_s=600), **setup}
    with Stage(lambda _: cast("Broker", FakeBroker())) as stage:
        plays = Plays(*script, stage=stage, most=most)
        monkeypatch.setattr("conformance.catalogue.session.play", plays)
        # A search's second is a play: how many are made does not depend on the machine.
        clock = SimpleNamespace(monotonic=lambda: float(len(plays.on_disk)))
        monkeypatch.setattr("conformance.catalogue.generated.time", clock)
        session = Session(
            Setup(make_publisher=cast("MakePublisher", None), report=tmp_path, **whole), [GENERATED[0]], stage
        )
        session.begin()
        return session.result("generated/links"), plays, tmp_path / "evidence/generated-links"


@pytest.mark.parametrize("soak_s", [None, 600.0])
def test_of_plays_that_held_nothing_stays_on_disk(
    soak_s: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each history goes with its play, however long it takes until the end."""
    result, plays, folder = generated("", tmp_path=tmp_path, monkeypatch=monkeypatch, most=60, soak_s=soak_s)
    assert len(plays.on_disk) == 60
    assert max(plays.on_disk) == 0
    assert result.verdict == "inconclusive"
    assert "which held, the run was cut short" in result.summary
    assert not folder.exists()


def test_of_a_soak_that_goes_on_failing_little_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each cause the first three plays and the smallest; what was kept for the shrinker goes after it."""
    result, plays, folder = generated(
        *[""] * 5, "lost a,leaked b",
        tmp_path=tmp_path, monkeypatch=monkeypatch, most=400, soak_s=600.0,
    )  # fmt: skip
    assert result.verdict == "violated"
    assert len(plays.on_disk) == 400
    assert max(plays.on_disk[-100:]) == 0, "long after the smallest was found"
    kept = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jsonl"))
    assert kept == [
        "leaked-b/seen-2/history.jsonl", "leaked-b/seen-3/history.jsonl",
        "lost-a/history.jsonl",
        "lost-a/seen-1/history.jsonl", "lost-a/seen-2/history.jsonl", "lost-a/seen-3/history.jsonl",
    ]  # fmt: skip
    assert [cause["cause"] for cause in result.evidence["causes"]] == ["lost-a", "leaked-b"]
    assert all(cause["history"] == folder / "lost-a/history.jsonl" for cause in result.evidence["causes"])
    assert result.detail is not None
    assert [(entry.kind, entry.cause) for entry in result.detail.tally] == [("lost", "a"), ("leaked", "b")]
    assert "leaked (b)" in result.summary


def test_a_play_that_breaks_off_leaves_no_history_in_a_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may happen many times in hours; twenty in a row end it, and then it is no whole soak."""

    class Breaking(Plays):
        def _word(self, _: Scenario) -> str:
            if len(self.on_disk) > 3:
                raise OSError("no space left on device")
            return ""

    monkeypatch.setattr(f"{__name__}.Plays", Breaking)
    result, plays, _ = generated("", tmp_path=tmp_path, monkeypatch=monkeypatch, soak_s=600.0)
    assert max(plays.on_disk) == 0
    assert result.verdict == "inconclusive"
    assert "the search broke off: no space left on device" in result.summary


A = [AcceptedSection(case="generated/links", kind="lost", cause="a", reason="known")]


def test_a_search_goes_on_behind_what_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accepted violation comes first again and again; another one is found behind it, shrunk and told."""
    result, _, folder = generated(
        *["lost a"] * 20, "lost b", contract=Contract(accepted=A), tmp_path=tmp_path, monkeypatch=monkeypatch
    )
    assert result.verdict == "violated"
    assert result.detail is not None
    assert {(entry.kind, entry.cause) for entry in result.detail.tally} == {("lost", "a"), ("lost", "b")}
    assert result.history == folder / "lost-b/history.jsonl"
    assert result.evidence["violated"] == 21


def test_what_is_accepted_of_drawn_scenarios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else in all of the time: accepted. A run that was cut short can't say so."""
    made: dict[str, Any] = {"contract": Contract(accepted=A), "tmp_path": tmp_path, "monkeypatch": monkeypatch}
    result, plays, _ = generated("lost a", "", budget=Budget(generate_s=20.0), **made)
    assert (result.verdict, result.accepted) == ("accepted", "known")
    assert len(plays.on_disk) >= 20
    result, _, _ = generated("lost a", "", most=30, **made)
    assert result.verdict == "inconclusive"
    assert "the run was cut short" in result.summary
