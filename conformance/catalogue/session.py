"""One run over the catalogue: a future for each check of one setup."""

from __future__ import annotations

import itertools
import re
import shutil
import traceback
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from conformance.catalogue.accepted import accepted_ways, with_acceptance
from conformance.catalogue.case import Case
from conformance.catalogue.found import Cause, Causes
from conformance.catalogue.generated import Budget, Rounds, Search, search, steered, with_bursts
from conformance.catalogue.result import CheckResult, CheckVerdict, with_violations
from conformance.catalogue.soak import KeepSmallest, SoakProgress, soak
from conformance.catalogue.stage import Lane, Place, Stage
from conformance.contract.model import Contract
from conformance.engine.play import Played, play
from conformance.engine.world import Pace, World
from conformance.errors import ConformanceError
from conformance.scenario.bursts import bursts
from conformance.scenario.codec import dump_scenario
from conformance.scenario.coverage import Coverage, Universe
from conformance.scenario.situations import situations
from conformance.scenario.steered import Steering
from conformance.scenario.steps import Scenario
from conformance.scenario.strategies import scenarios
from conformance.scenario.trouble import labels
from conformance.world.broker.base import Capability
from conformance.world.publisher.base import MakePublisher
from conformance.world.tab.base import TabBehaviour

__all__ = ["GENERATED", "Check", "Generated", "Session", "Setup"]


_STDERR = "publisher-stderr.txt"
"""What a publisher that is a program wrote on its standard error, in the folder of the check."""
_MOST_KEPT = 3
"""Plays of one cause whose history stays, beside the smallest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A generated check."""

    id: str
    rule: str
    expectation: str
    broker_faults: bool
    share: float
    """Of the run's budget for generating."""
    source: str = "https://hypothesis.readthedocs.io/en/latest/"

    @property
    def needs(self) -> frozenset[Capability]:
        """What the broker must be able to do."""
        return frozenset({"restart", "kill"}) if self.broker_faults else frozenset()

    @property
    def place(self) -> Place:
        """Where it is made."""
        return "alone" if self.broker_faults else "shared"


GENERATED = (
    Generated(
        id="generated/links",
        rule="Whatever happens to the tabs' and the publisher's links, nothing that was confirmed is lost.",
        expectation="No drawn scenario is violated.",
        broker_faults=False,
        share=1.0,
    ),
    Generated(
        id="generated/broker",
        rule="Whatever happens to links and the broker's node, nothing that was confirmed is lost.",
        expectation="No drawn scenario is violated.",
        broker_faults=True,
        share=1.0,
    ),
)
"""The generated checks, drawn from the run's seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a run is over.

    Attributes:
        report: folder for histories and scenarios of checks that are not certified; None: they are not kept.
        soak_s: how long generated checks go on, violated or not; None: each search ends with its budget or the first
            violation.
        keep_all: whether those of certified checks that play one scenario are kept there as well.
    """

    contract: Contract
    make_publisher: MakePublisher
    publisher_name: str = "durable_ws"
    client: str = "websocket-client"
    behaviour: TabBehaviour = field(default_factory=TabBehaviour)
    pace: Pace = field(default_factory=Pace)
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    report: Path | None = None
    soak_s: float | None = None
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    """Decides which accepted deviations have expired."""
    keep_all: bool = False


Check = Case | Generated


class Session:
    """Makes the checks of one setup on a stage.

    Args:
        setup: what the run is over.
        checks: in the order of their results.
        stage: brokers and threads; may be shared with other sessions.
        tell: takes a line now and then on how far a soak is.
    """

    def __init__(
        self, setup: Setup, checks: Iterable[Check], stage: Stage, *, tell: Callable[[str], object] = lambda _: None
    ) -> None:
        self.setup = setup
        self.checks: dict[str, Check] = {check.id: check for check in checks}
        self._stage = stage
        self._tell = tell
        self._progress: SoakProgress | None = None
        self._plays = itertools.count(1)
        self._futures: dict[str, Future[CheckResult]] = {}
        self.coverage: Coverage | None = None
        """How far the generated checks went, all together; None: none of them is made, or none has begun."""

    def begin(self) -> None:
        """Start the broker and hand every check to its lane.

        Raises:
            BrokerUnavailable: no broker could be started or reached.
        """
        can = self._stage.shared.broker().capabilities
        drawn = [check for check in self.checks.values() if isinstance(check, Generated) and check.needs <= can]
        if drawn:
            self.coverage = Coverage(
                Universe.of(self.setup.contract, broker_faults=_broker_faults(self.setup, drawn, can))
            )
            if self.setup.soak_s is not None:
                self._progress = SoakProgress(self.setup.soak_s, self.coverage, self._tell)
        for check in self.checks.values():
            if isinstance(check, Case):
                check = check.as_made(can, self.setup.contract)
            if missing := check.needs - can:
                words = ", ".join(sorted(missing))
                self._futures[check.id] = _done(_not_checked(check, f"this broker can't be asked to: {words}"))
            else:
                lane = self._stage.lanes[check.place]
                self._futures[check.id] = lane.submit(self._check, check, lane)

    def result(self, check_id: str) -> CheckResult:
        """The check's result; waits for it."""
        return self._futures[check_id].result()

    def done(self, check_id: str, *, within_s: float) -> bool:
        """Whether the check is over; waits so long for it."""
        return bool(wait([self._futures[check_id]], within_s).done)

    def results_so_far(self) -> list[CheckResult]:
        """What has been checked; what has not is there as not checked."""
        return [
            self._futures[check.id].result()
            if check.id in self._futures and self._futures[check.id].done() and not self._futures[check.id].cancelled()
            else _not_checked(check, "the run ended before it")
            for check in self.checks.values()
        ]

    # --- one check -------------------------------------------------------------------------------

    def _check(self, check: Case | Generated, lane: Lane) -> CheckResult:
        try:
            broker = lane.broker()
            world = World(
                broker=broker,
                contract=self.setup.contract,
                make_publisher=self.setup.make_publisher,
                publisher_name=self.setup.publisher_name,
                client=self.setup.client,
                behaviour=self.setup.behaviour,
                pace=self.setup.pace,
            )
            made = self._named(check, world) if isinstance(check, Case) else self._generated(check, world)
            return with_acceptance(made, self.setup.contract, self.setup.today)
        except ConformanceError as exc:
            return _unseen(check, f"The suite could not make this check: {exc}")
        except Exception as exc:  # noqa: BLE001 - a check that crashes shows nothing, and the others go on
            crash = "".join(traceback.format_exception(exc))
            return _unseen(check, f"The suite crashed in this check: {exc!r}. This is a bug of its own.", crash=crash)

    def _named(self, check: Case, world: World) -> CheckResult:
        scenario = Scenario(seed=self.setup.seed, steps=tuple(check.plan(self.setup.contract)))
        played = self._play(check, scenario, world)
        if check.shows is not None:
            shown = check.shows(played.events, self.setup.contract)
            if check.by == "trial":  # what the trial showed need not be said again of the settings
                tried = {(entry.kind, entry.cause) for entry in played.verdict.tally}
                shown = [violation for violation in shown if (violation.kind, violation.cause) not in tried]
            played = replace(played, verdict=with_violations(played.verdict, shown))
        return self._keep(check, scenario, played, {} if check.by is None else {"by": check.by})

    def _play(self, check: Case | Generated, scenario: Scenario, world: World) -> Played:
        """Play one scenario; its history grows on disk meanwhile, so that a crash of the suite leaves it there."""
        path = None
        if self.setup.report is not None:
            folder = self._folder(check)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"play-{next(self._plays)}.jsonl"
        try:
            return play(
                scenario, world, self._stage.network, case=check.id, path=path, stop=self._stage.stopping.is_set
            )
        except Exception:
            if self._progress is not None and path is not None:
                path.unlink(missing_ok=True)  # a soak goes on, and may break off many times
            raise

    def _folder(self, check: Case | Generated) -> Path:
        return (self.setup.report or Path()) / "evidence" / check.id.replace("/", "-")

    def _generated(self, check: Generated, world: World) -> CheckResult:
        setup, coverage = self.setup, self.coverage
        assert coverage is not None  # made before any check was begun
        drawn: dict[str, Any] = {
            "broker_faults": check.broker_faults,
            "broker_can": world.broker.capabilities,
            "seed": setup.seed,
        }
        rounds = steered(scenarios(setup.contract, **drawn), Steering(setup.contract, coverage, **drawn))
        causes = Causes(
            keep=lambda cause, scenario, played, needed: self._keep_seen(check, cause, scenario, played, needed=needed),
            most_kept=_MOST_KEPT,
            discard=_discard,
            accepted=lambda verdict: accepted_ways(check.id, verdict.tally, setup.contract, setup.today),
        )

        def play_one(scenario: Scenario) -> Played:
            played = self._play(check, scenario, world)
            if played.verdict.verdict != "violated":
                _discard(played)  # it may go on for hours: only what shows a violation stays
            return played

        def keep_smallest(scenario: Scenario, played: Played) -> tuple[Path, Path] | None:
            return self._keep_files(self._folder(check) / _slug(causes.target), scenario, played)

        if self._progress is None:
            found = self._searched(play_one, rounds, coverage, causes, keep_smallest, share=check.share)
        else:
            found = self._soaked(check, play_one, rounds, coverage, causes, keep_smallest, self._progress)
        if setup.report is not None:
            self._tidy(self._folder(check))
        return self._drawn(check, found, causes)

    def _searched(
        self,
        play_one: Callable[[Scenario], Played],
        rounds: Rounds,
        coverage: Coverage,
        causes: Causes,
        keep_smallest: KeepSmallest,
        *,
        share: float,
    ) -> Search:
        """One search, which ends with the first violation that the contract does not accept."""
        found = search(
            rounds,
            play_one,
            run_seed=self.setup.seed,
            budget=replace(self.setup.budget, generate_s=self.setup.budget.generate_s * share),
            stop=self._stage.stopping.is_set,
            on_play=lambda played: coverage.add(situations(played.events)),
            on_violation=causes.take,
            wants=causes.wants,
            same=causes.same,
        )
        if found.found is not None:
            causes.shrunk(
                *found.found,
                replays=found.replayed,
                again=found.again,
                first_steps=found.first_steps,
                files=keep_smallest(*found.found),
            )
        elif found.broke is not None and not causes:
            raise found.broke
        return found

    def _soaked(
        self,
        check: Generated,
        play_one: Callable[[Scenario], Played],
        rounds: Rounds,
        coverage: Coverage,
        causes: Causes,
        keep_smallest: KeepSmallest,
        progress: SoakProgress,
    ) -> Search:
        setup = self.setup
        if not check.broker_faults and "cut" in setup.contract.promise.survives:
            rounds = with_bursts(rounds, bursts(setup.contract, seed=setup.seed))

        def note(played: Played) -> None:
            coverage.add(situations(played.events))
            progress.look()

        return soak(
            rounds,
            play_one,
            run_seed=setup.seed,
            budget=replace(setup.budget, generate_s=setup.soak_s or 0.0),
            stop=self._stage.stopping.is_set,
            on_play=note,
            on_drawn=progress.drawn,
            causes=causes,
            keep_smallest=keep_smallest,
            discard=_discard,
        ).total

    def _drawn(self, check: Generated, found: Search, causes: Causes) -> CheckResult:
        """The result of a generated check: every cause that was found, or that nothing was."""
        evidence = _evidence(found)
        first, verdict = causes.first(), causes.verdict
        missing = _broken_off(found, cut_short=self._stage.stopping.is_set())
        if first is None or verdict is None:
            return _without_failure(check, found, evidence, missing)
        scenario_path, history = first.files or (None, None)
        stderr = None if history is None else history.with_name(_STDERR)
        evidence |= {
            "violated": found.played["violated"],
            "steps_at_first": first.first_steps,
            "replays": first.replayed,
            "replays_violated": first.failed_again,
            "causes": [
                cause.to_dict() | dict(zip(("scenario", "history"), cause.files or (), strict=False))
                for cause in causes
            ],
        }
        return CheckResult(
            id=check.id,
            verdict="violated",
            summary=verdict.summary,
            rule=check.rule,
            source=check.source,
            expectation=check.expectation,
            detail=replace(verdict, inconclusive_reasons=missing),
            evidence=evidence,
            scenario=first.scenario,
            scenario_path=scenario_path,
            history=history,
            stderr=stderr if stderr is not None and stderr.exists() else None,
            seconds=found.spent_s,
        )

    def _keep_seen(
        self, check: Generated, cause: Cause, scenario: Scenario, played: Played, *, needed: bool
    ) -> tuple[Path, Path] | None:
        """Keep a violating play at once: of each cause the first few as they came."""
        folder = self._folder(check) / _slug(cause.name) / f"seen-{cause.kept}"
        return self._keep_files(folder, scenario, played, copy=needed)

    def _keep_files(
        self, folder: Path, scenario: Scenario, played: Played, *, copy: bool = False
    ) -> tuple[Path, Path] | None:
        """A play's scenario and its history in a folder of their own; None: they are not, for there is none or no room.

        A violation stands whether or not it could be kept.
        """
        if played.path is None or not played.path.exists():
            return None
        scenario_path, history = folder / "scenario.json", folder / "history.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if copy:
                shutil.copyfile(played.path, history)
            else:
                played.path.replace(history)
            scenario_path.write_text(dump_scenario(scenario, self.setup.contract), encoding="utf-8")
            _keep_stderr(folder, played)
        except OSError:
            return None
        return scenario_path, history

    def _keep(self, check: Case, scenario: Scenario, played: Played, evidence: dict[str, object]) -> CheckResult:
        """The result; what shows why it is not certified stays on disk, the other plays' histories go."""
        history = scenario_path = stderr = None
        if self.setup.report is not None:
            folder = self._folder(check)
            stderr = _keep_stderr(folder, played)
            if self.setup.keep_all or played.verdict.verdict != "certified":
                scenario_path, history = self._keep_files(folder, scenario, played) or (None, None)
            self._tidy(folder)
        return CheckResult(
            id=check.id,
            verdict=played.verdict.verdict,
            summary=played.verdict.summary,
            rule=check.rule,
            source=check.source,
            expectation=check.expectation,
            detail=played.verdict,
            evidence=evidence,
            scenario=scenario,
            scenario_path=scenario_path,
            history=history,
            stderr=stderr,
            seconds=played.seconds,
        )

    def _tidy(self, folder: Path) -> None:
        for path in folder.glob("play-*.jsonl"):
            path.unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _discard(played: Played) -> None:
    """Its history shows nothing that is not kept elsewhere."""
    if played.path is not None:
        played.path.unlink(missing_ok=True)


def _slug(name: str) -> str:
    """A cause's name as a folder's."""
    return re.sub("[^a-z0-9-]", "-", name)


def _keep_stderr(folder: Path, played: Played) -> Path | None:
    """Keep what the publisher's program wrote on its standard error, if it wrote anything."""
    if not played.stderr:
        return None
    path = folder / _STDERR
    path.write_bytes(played.stderr)
    return path


def _broker_faults(setup: Setup, drawn: Iterable[Generated], can: Container[str]) -> list[str]:
    """What the generated checks of a run draw of the broker's faults."""
    return [
        label for check in drawn for label in labels(setup.contract, broker_faults=check.broker_faults, broker_can=can)
    ]


def _evidence(found: Search) -> dict[str, object]:
    return {
        "scenarios": found.played.total(),
        "confirmed": found.confirmed,
        "inconclusive": found.played["inconclusive"],
        "inconclusive_reasons": [reason for reason, _ in found.inconclusive.most_common(3)],
        "median_s": sorted(found.seconds)[len(found.seconds) // 2] if found.seconds else None,
    }


def _done(result: CheckResult) -> Future[CheckResult]:
    future: Future[CheckResult] = Future()
    future.set_result(result)
    return future


def _not_checked(check: Check, why: str) -> CheckResult:
    return CheckResult(
        id=check.id,
        verdict="not_checked",
        summary=f"Not checked: {why}.",
        rule=check.rule,
        source=check.source,
        expectation=check.expectation,
    )


def _unseen(check: Check, why: str, **evidence: object) -> CheckResult:
    return CheckResult(
        id=check.id,
        verdict="inconclusive",
        summary=why,
        rule=check.rule,
        source=check.source,
        expectation=check.expectation,
        evidence=evidence,
    )


def _broken_off(found: Search, *, cut_short: bool) -> tuple[str, ...]:
    """Why a search ended before its time; nothing where it did not."""
    if found.broke is not None:
        return (f"the search broke off: {found.broke}",)
    return ("the run was cut short",) if cut_short else ()


def _without_failure(
    check: Generated, found: Search, evidence: dict[str, object], missing: Sequence[str]
) -> CheckResult:
    certified = found.played["certified"]
    verdict: CheckVerdict
    if certified == 0:
        reasons = "; ".join(reason for reason, _ in found.inconclusive.most_common(3)) or "none was played in time"
        verdict, summary = "inconclusive", f"No drawn scenario showed anything: {reasons}."
    elif missing:
        verdict, summary = "inconclusive", f"After {certified} drawn scenarios, which held, {'; '.join(missing)}."
    else:
        verdict, summary = "certified", f"{certified} drawn scenarios held."
    return CheckResult(
        id=check.id,
        verdict=verdict,
        summary=summary,
        rule=check.rule,
        source=check.source,
        expectation=check.expectation,
        evidence=evidence,
        seconds=found.spent_s,
    )
