"""A soak: goes on after a violation, loses no intermittent one, stays small; and finds what shows once in 5,000."""

from __future__ import annotations

import gc
import itertools
import json
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

import durable_ws.link
from conformance.catalogue.found import Causes
from conformance.catalogue.generated import Budget, Round, with_bursts
from conformance.catalogue.session import GENERATED, Session, Setup
from conformance.catalogue.soak import SoakProgress, soak
from conformance.catalogue.stage import Stage
from conformance.checker.verdict import Counts, Tally, Verdict
from conformance.contract.model import Contract
from conformance.engine.play import Played, play
from conformance.engine.world import World
from conformance.scenario.bursts import bursts
from conformance.scenario.codec import dump_scenario
from conformance.scenario.coverage import Coverage, Universe
from conformance.scenario.situations import situations
from conformance.scenario.steps import Scenario
from conformance.scenario.strategies import scenarios
from conformance.world.broker.base import Broker
from conformance.world.network.proxy import Network
from conformance.world.publisher.choose import chosen_publisher
from tests.catalogue import losing_publisher


def _played(cause: str | None = None) -> Played:
    tally = () if cause is None else (Tally(kind="lost", cause=cause, count=1),)
    told = Verdict(
        verdict="certified" if cause is None else "violated", summary=cause or "", counts=Counts(), tally=tally
    )
    return Played(verdict=told, events=[], header=None, seconds=0.0)  # type: ignore[arg-type]


def _free(_: int) -> Round:
    return Round(scenarios=scenarios(Contract(), most_steps=6), examples=5)


def test_a_violation_that_shows_once_in_many_is_kept() -> None:
    """It is a violation, intermittent, with its k of n, and the soak goes on."""
    plays: list[int] = []
    drawn: list[Played] = []
    kept: list[str] = []

    def one(_: Scenario) -> Played:
        plays.append(len(plays))
        return _played("rare" if len(plays) == 10 else None)

    told = soak(
        _free,
        one,
        run_seed=1,
        budget=Budget(generate_s=150, shrink_s=0.5, replays=3),
        stop=lambda: len(drawn) >= 60,
        on_drawn=drawn.append,
        causes=Causes(keep=lambda cause, _, __, ___: kept.append(cause.name)),
    )
    assert told.causes.verdict is not None
    assert told.causes.verdict.verdict == "violated"
    [cause] = told.causes
    assert (cause.name, cause.seen, cause.failed_again, cause.replayed) == ("lost-rare", 1, 0, 3)
    assert cause.is_intermittent
    assert kept[0] == "lost-rare"
    assert told.total.played["violated"] == 1
    assert told.total.played["certified"] == 59, "it went on"


def test_each_new_cause_is_shrunk_once_and_then_counted() -> None:
    """Two causes that come again and again."""
    calls = itertools.count(1)
    causes = Causes()

    def one(scenario: Scenario) -> Played:
        number = next(calls)
        return _played(None if len(scenario.steps) < 4 else ("one", "two", None)[number % 3])

    told = soak(
        _free,
        one,
        run_seed=1,
        budget=Budget(generate_s=150, shrink_s=0.3, replays=2),
        stop=lambda: sum(cause.shrunk for cause in causes) == 2 and sum(cause.seen for cause in causes) > 10,
        causes=causes,
    )
    assert {cause.name for cause in causes} == {"lost-one", "lost-two"}
    assert all(cause.shrunk and cause.replayed == 2 for cause in causes)
    assert told.total.played["violated"] == sum(cause.seen for cause in causes)
    assert causes.verdict is not None
    assert {entry.cause for entry in causes.verdict.tally} == {"one", "two"}


def test_steps_of_shrinking_and_replays_are_told_by_nobody() -> None:
    """Progress counts what was drawn afresh, as the certificate does."""
    drawn: list[Played] = []
    every: list[Played] = []
    broke: list[str] = []
    told = soak(
        _free,
        lambda scenario: _played("one" if len(scenario.steps) > 2 else None),
        run_seed=1,
        budget=Budget(generate_s=150, shrink_s=30, replays=4),
        stop=lambda: len(drawn) >= 30,
        on_play=every.append,
        on_drawn=drawn.append,
        causes=Causes(keep=lambda cause, _, __, ___: broke.append(cause.name)),
    )
    [cause] = told.causes
    assert len(every) > len(drawn), "it was shrunk"
    assert told.total.played.total() == len(drawn)
    assert cause.seen == sum(played.verdict.verdict == "violated" for played in drawn)
    assert cause.beside >= 4


def test_a_soak_whose_every_play_breaks_off_says_so() -> None:
    """It ended before its time: what held before it is no whole soak."""
    calls = itertools.count(1)

    def one(_: Scenario) -> Played:
        if next(calls) > 3:
            raise OSError("no space left on device")
        return _played()

    told = soak(_free, one, run_seed=1, budget=Budget(generate_s=60))
    assert told.total.played["certified"] == 3
    assert isinstance(told.total.broke, OSError)


def test_a_play_that_breaks_off_loses_nothing() -> None:
    """What was found before it stands, and the soak goes on; it ends where every play breaks off."""
    calls = itertools.count(1)

    def one(scenario: Scenario) -> Played:
        number = next(calls)
        if number > 3:
            raise OSError("no space left on device")
        return _played("one" if scenario.steps else None)

    told = soak(_free, one, run_seed=1, budget=Budget(generate_s=60, shrink_s=0.3, replays=2))
    assert [cause.name for cause in told.causes] == ["lost-one"]
    assert told.causes.verdict is not None
    assert told.total.played["inconclusive"] == 20
    assert told.total.inconclusive["a play broke off: no space left on device"] == 20


def test_bursts_are_played_again() -> None:
    """What has passed may fail the next time."""
    plays: list[Scenario] = []

    def one(scenario: Scenario) -> Played:
        plays.append(scenario)
        return _played()

    made = bursts(Contract(), seed=1)
    soak(
        with_bursts(_free, made),
        one,
        run_seed=1,
        budget=Budget(generate_s=60),
        stop=lambda: len(plays) >= 200,
    )
    crowded = [
        dump_scenario(scenario)
        for scenario in plays
        if any(getattr(step, "callers", 8) == 64 for step in scenario.steps)
    ]
    assert len(crowded) > len(set(crowded)) > 1


def test_progress_tells_time_rate_coverage_and_violations() -> None:
    """A line at most every so often."""
    now = [0.0]
    lines: list[str] = []
    progress = SoakProgress(1800, Coverage(Universe.of(Contract())), lines.append, every_s=10, clock=lambda: now[0])
    for second in range(1, 26):
        now[0] = float(second)
        progress.drawn(_played("rare" if second == 3 else None))
    assert lines == [
        "soak: 10s gone, 29m50s left, 10 plays (1.0/s), 0.0% of pairs, violated: lost-rare 1",
        "soak: 20s gone, 29m40s left, 20 plays (1.0/s), 0.0% of pairs, violated: lost-rare 1",
    ]
    now[0] = 31.0
    progress.look()
    assert len(lines) == 3, "also while nothing is drawn"
    assert lines[-1].startswith("soak: 31s gone, 29m29s left, 25 plays")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """One network for the file."""
    with Network() as network:
        yield network


@pytest.mark.broker
@pytest.mark.timeout(400)
def test_memory_does_not_grow_with_plays(broker: Broker, network: Network) -> None:
    """Some hundred plays after the first few add next to nothing."""
    contract = Contract()
    _, make_publisher = chosen_publisher(contract, None, None)
    world = World(broker=broker, contract=contract, make_publisher=make_publisher)
    coverage = Coverage(Universe.of(contract))
    short = scenarios(contract, most_steps=6)
    warm, most = 30, 130
    sizes: dict[int, int] = {}
    plays = itertools.count(1)

    def note(played: Played) -> None:
        coverage.add(situations(played.events))
        number = next(plays)
        if number in (warm, most):
            gc.collect()
            sizes[number] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        soak(
            lambda _: Round(scenarios=short, examples=20),
            lambda scenario: play(scenario, world, network),
            run_seed=1,
            budget=Budget(generate_s=300),
            stop=lambda: len(sizes) == 2,
            on_play=note,
        )
    finally:
        tracemalloc.stop()
    assert len(sizes) == 2
    per_play = (sizes[most] - sizes[warm]) / (most - warm)
    assert per_play < 10_000, f"{per_play:.0f} bytes stay of each play"


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every publisher of this process loses one in 5,000 of what a cut finds unconfirmed."""
    monkeypatch.setattr(durable_ws.link, "Ledger", losing_publisher.Losing)


@pytest.mark.broker
@pytest.mark.timeout(700)
def test_one_in_5000_of_what_is_cut_before_its_confirm_is_found(
    losing: None,  # noqa: ARG001 - it is there for what it changes
    broker: Broker,
    network: Network,
) -> None:
    """A salvo puts some 1,200 messages under a cut (20 cuts, up to 64 under way at each), so one in 5,000 is lost in
    the fifth salvo at the latest; that its confirm was made up shows on the wire, whether the broker had it or not."""
    contract = Contract()
    _, make_publisher = chosen_publisher(contract, None, None)
    world = World(broker=broker, contract=contract, make_publisher=make_publisher)
    began = time.monotonic()
    found: list[str] = []
    told = soak(
        with_bursts(_free, bursts(contract)),
        lambda scenario: play(scenario, world, network),
        run_seed=1,
        budget=Budget(generate_s=600, shrink_s=5, replays=2),
        stop=lambda: bool(found),
        causes=Causes(keep=lambda cause, _, __, ___: found.append(cause.name)),
    )
    assert found, f"not found in {time.monotonic() - began:.0f} s and {told.total.played.total()} plays"
    assert told.causes.verdict is not None
    assert told.causes.verdict.violations[0].kind in ("lost", "misreported")
    assert losing_publisher.met() > losing_publisher.EVERY


@pytest.mark.broker
@pytest.mark.timeout(390)
def test_the_evidence_is_on_disk_as_it_happens(broker: Broker, tmp_path: Path, losing: None) -> None:  # noqa: ARG001
    """A session's soak keeps the first plays of each cause and the smallest, and nothing of those that held."""
    losing_publisher.EVERY, before = 40, losing_publisher.EVERY
    folder = tmp_path / "evidence/generated-links"
    try:
        _, make_publisher = chosen_publisher(Contract(), None, None)
        setup = Setup(
            contract=Contract(),
            make_publisher=make_publisher,
            seed=1,
            budget=Budget(shrink_s=1, replays=1),
            report=tmp_path,
            soak_s=300.0,
        )
        with Stage(lambda _: _Borrowed(broker)) as stage:
            session = Session(setup, [GENERATED[0]], stage)
            session.begin()
            while not session.done("generated/links", within_s=0.1):
                if list(folder.glob("*/seen-1/history.jsonl")) and list(folder.glob("*/scenario.json")):
                    stage.stopping.set()  # one cause was seen, and its smallest is kept
            result = session.result("generated/links")
    finally:
        losing_publisher.EVERY = before
    assert result.verdict == "violated"
    [cause, *_] = result.evidence["causes"]
    assert cause["seen"] >= 1
    assert [path.name for path in folder.iterdir() if path.name.startswith("play-")] == []
    first = folder / cause["cause"] / "seen-1"
    assert (first / "history.jsonl").is_file()
    kept = json.loads((first / "scenario.json").read_text(encoding="utf-8"))
    assert kept["steps"]
    assert Path(cause["scenario"]).is_file()


class _Borrowed:
    """A broker that others use too: a stage neither starts nor ends it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> object:
        return getattr(self._broker, name)

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """It goes on."""
