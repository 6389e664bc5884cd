"""Plays every recipe on every broker, side by side within the machine's means."""

from __future__ import annotations

import itertools
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.catalogue.case import Case
from conformance.catalogue.result import CheckResult, with_violations
from conformance.catalogue.stage import Lane, Stage
from conformance.engine.play import play
from conformance.engine.world import Pace, World
from conformance.errors import ConformanceError
from conformance.history.events import Event
from conformance.matrix.cells import Cell, Column, Matrix, Outcome, outcome_of
from conformance.matrix.recipes import Recipe
from conformance.scenario.codec import dump_scenario
from conformance.scenario.steps import Scenario
from conformance.world.broker.choose import MakeBroker
from conformance.world.publisher.choose import chosen_publisher

__all__ = ["Source", "run_matrix"]

_AT_ONCE = 2
"""Brokers side by side, each with up to two nodes; more would slow each other down on a small machine."""

_PACE = Pace(fault_s=60.0)
"""Forty cuts take a while where eight plays run side by side."""
_AUTO_PACE = replace(_PACE, idle_s=3.0)
"""Of what a tab that acks nothing was sent, the broker's queue shows nothing: it may only be late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a column's brokers come from.

    Attributes:
        label: what the user asked for, without a password.
        options: the command line that asks for it again.
        make: makes the maker of its brokers, given a ``rabbitmq.conf`` and definitions of a recipe's own, and where to
            tell of progress. Raises UsageError where these can't be applied to it.
    """

    label: str
    options: tuple[str, ...]
    make: Callable[[Path | None, Path | None, Callable[[str], None]], MakeBroker]


def run_matrix(
    recipes: Sequence[Recipe],
    sources: Sequence[Source],
    *,
    seed: int = 0,
    report: Path | None = None,
    on_cell: Callable[[Cell], None] = lambda _: None,
    on_phase: Callable[[str], None] = lambda _: None,
) -> Matrix:
    """Play all; a cell or a broker that fails spoils no other.

    Args:
        recipes: the rows.
        sources: the columns.
        seed: of every scenario.
        report: the folder that keeps the evidence of every play; None: nothing is kept.
        on_cell: told of each cell as it is done, from any thread.
        on_phase: told what takes time, from any thread.

    A KeyboardInterrupt ends it in good order; what has not been played then is not checked.
    """
    began = time.monotonic()
    columns = [
        Column(id=column_id, label=source.label, options=source.options)
        for column_id, source in zip(_ids(sources), sources, strict=True)
    ]
    running = [
        _Running(column, source, recipes, seed=seed, report=report, on_cell=on_cell, on_phase=on_phase)
        for column, source in zip(columns, sources, strict=True)
    ]
    interrupted = _run_all(running)
    return Matrix(
        recipes=recipes,
        columns=columns,
        cells=[cell for one in running for cell in one.cells],
        seed=seed,
        interrupted=interrupted,
        seconds=round(time.monotonic() - began, 1),
    )


def _run_all(running: Sequence[_Running]) -> bool:
    """Run every column; whether a KeyboardInterrupt stopped them. All are over when this returns."""
    over = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="column") as pool:
                list(pool.map(_Running.run, running))
        except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
            failed.append(exc)
        finally:
            over.set()

    interrupted = False
    try:
        # In a thread of its own: an interrupt comes to the main thread alone, which does nothing but wait.
        threading.Thread(target=run, name="columns").start()
        over.wait()
    except KeyboardInterrupt:
        interrupted = True
        for one in running:
            one.stop()
        over.wait()
    if failed:
        raise failed[0]
    return interrupted


def _ids(sources: Sequence[Source]) -> list[str]:
    """A name for each column that is fit for a folder."""
    found: list[str] = []
    for source in sources:
        stem = re.sub(r"[^A-Za-z0-9.-]+", "-", source.label).strip("-.") or "broker"
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        found.append(stem if stem not in found else next(name for name in numbered if name not in found))
    return found


class _Running:
    """One column."""

    def __init__(
        self,
        column: Column,
        source: Source,
        recipes: Sequence[Recipe],
        *,
        seed: int,
        report: Path | None,
        on_cell: Callable[[Cell], None],
        on_phase: Callable[[str], None],
    ) -> None:
        self.cells: list[Cell] = []
        self._column = column
        self._source = source
        self._recipes = recipes
        self._seed = seed
        self._report = report
        self._on_cell = on_cell
        self._on_phase = on_phase
        self._stage: Stage | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End what runs; what has not been played is not checked."""
        self._stopping.set()
        if (stage := self._stage) is not None:
            stage.stopping.set()

    def run(self) -> None:
        """Play the column: recipes with the same settings of the broker share one."""
        groups: dict[tuple[str | None, str | None], list[Recipe]] = {}
        for recipe in self._recipes:
            section = recipe.contract.broker
            groups.setdefault((section.conf, section.definitions), []).append(recipe)
        for (conf, definitions), group in groups.items():
            self._run_group(group, *(None if name is None else Path(name) for name in (conf, definitions)))
        order = {recipe.id: number for number, recipe in enumerate(self._recipes)}
        self.cells.sort(key=lambda cell: order[cell.recipe.id])

    def _run_group(self, recipes: Sequence[Recipe], conf: Path | None, definitions: Path | None) -> None:
        try:
            make = self._source.make(conf, definitions, lambda text: self._on_phase(f"{self._column.label}: {text}"))
            with Stage(make, logs=None if self._report is None else self._report / "logs" / self._column.id) as stage:
                self._stage = stage
                self._play_all(recipes, stage)
        except ConformanceError as exc:
            self._give_up(recipes, str(exc))
        except Exception as exc:  # noqa: BLE001 - a broker that breaks the suite spoils no other
            self._give_up(recipes, f"the suite failed: {type(exc).__name__}: {exc}")

    def _give_up(self, recipes: Sequence[Recipe], why: str) -> None:
        """What could not be had for these recipes: the others of this column may have what they need."""
        self._column.error = self._column.error or why
        done = {cell.recipe.id for cell in self.cells}
        for recipe in recipes:
            if recipe.id not in done:
                self._done(Cell(recipe=recipe, column=self._column.id, why_not=why))

    def _play_all(self, recipes: Sequence[Recipe], stage: Stage) -> None:
        if self._stopping.is_set():
            stage.stopping.set()
        else:
            self._on_phase(f"{self._column.label}: starting the broker")
            broker = stage.shared.broker()
            self._column.version, self._column.broker = broker.version, broker.describe()
            self._on_phase(f"{self._column.label}: RabbitMQ {broker.version}")
        outcomes: dict[str, list[Outcome | None]] = {recipe.id: [None] * len(recipe.plays) for recipe in recipes}
        lock = threading.Lock()

        def keep(recipe: Recipe, number: int, outcome: Outcome) -> None:
            with lock:
                outcomes[recipe.id][number] = outcome
                known = [one for one in outcomes[recipe.id] if one is not None]
                whole = len(known) == len(recipe.plays)
            if whole:
                self._done(Cell(recipe=recipe, column=self._column.id, outcomes=tuple(known)))

        futures: list[Future[CheckResult]] = []
        for recipe in recipes:
            if not recipe.plays:
                why = "its promise asks for nothing that a matrix plays"
                self._done(Cell(recipe=recipe, column=self._column.id, why_not=why))
            for number, case in enumerate(recipe.plays):
                lane = stage.lanes[case.place]
                futures.append(lane.submit(self._play_one, recipe, case, stage, lane, number, keep))
        for future in futures:
            future.result()
        self._column.timings |= stage.timings

    def _play_one(
        self,
        recipe: Recipe,
        case: Case,
        stage: Stage,
        lane: Lane,
        number: int,
        keep: Callable[[Recipe, int, Outcome], None],
    ) -> CheckResult:
        events: list[Event] = []
        if self._stopping.is_set():
            result = _without_play(case, "not_checked", "the run ended before it")
        else:
            try:
                result, events = self._play(recipe, case, stage, lane)
            except ConformanceError as exc:
                result = _without_play(case, "inconclusive", f"the suite could not play it: {exc}")
            except Exception as exc:  # noqa: BLE001 - a cell that breaks the suite spoils no other
                result = _without_play(case, "inconclusive", f"the suite failed: {type(exc).__name__}: {exc}")
        keep(recipe, number, outcome_of(result, events))
        return result

    def _play(self, recipe: Recipe, case: Case, stage: Stage, lane: Lane) -> tuple[CheckResult, list[Event]]:
        if missing := case.needs - stage.shared.broker().capabilities:
            words = ", ".join(sorted(missing))
            return _without_play(case, "not_checked", f"this broker can't be asked to: {words}"), []
        name, make_publisher = chosen_publisher(recipe.contract, None, None)
        world = World(
            broker=lane.broker(),
            contract=recipe.contract,
            make_publisher=make_publisher,
            publisher_name=name,
            pace=_AUTO_PACE if recipe.contract.tab.ack == "auto" else _PACE,
        )
        scenario = Scenario(seed=self._seed, steps=tuple(case.plan(recipe.contract)))
        history, scenario_path = self._evidence(recipe, case)
        if scenario_path is not None:
            scenario_path.write_text(dump_scenario(scenario, recipe.contract), encoding="utf-8")
        played = play(
            scenario, world, stage.network, case=f"{recipe.id}/{case.id}", path=history, stop=stage.stopping.is_set
        )
        verdict = played.verdict
        if case.shows is not None:
            verdict = with_violations(verdict, case.shows(played.events, recipe.contract))
        return (
            CheckResult(
                id=case.id,
                verdict=verdict.verdict,
                summary=verdict.summary,
                rule=case.rule,
                source=case.source,
                expectation=case.expectation,
                detail=verdict,
                scenario=scenario,
                scenario_path=scenario_path,
                history=history,
                seconds=round(played.seconds, 3),
            ),
            played.events,
        )

    def _evidence(self, recipe: Recipe, case: Case) -> tuple[Path | None, Path | None]:
        """Where the play's history and scenario go, in a folder of its own without an earlier run's."""
        if self._report is None:
            return None, None
        names = (re.sub(r"[^A-Za-z0-9._-]+", "-", name) for name in (recipe.id, case.id))
        folder = self._report.joinpath("evidence", self._column.id, *names)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder / "history.jsonl", folder / "scenario.json"

    def _done(self, cell: Cell) -> None:
        self.cells.append(cell)
        self._on_cell(cell)


def _without_play(case: Case, verdict: str, why: str) -> CheckResult:
    return CheckResult(
        id=case.id,
        verdict="not_checked" if verdict == "not_checked" else "inconclusive",
        summary=f"{why}.",
        rule=case.rule,
        source=case.source,
        expectation=case.expectation,
    )
