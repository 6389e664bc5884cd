"""Plays one scenario in a world and checks what happened."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conformance.checker.checker import Checker
from conformance.checker.story import with_stories
from conformance.checker.verdict import Verdict
from conformance.contract.naming import Naming
from conformance.engine.engine import Engine
from conformance.engine.header import make_header
from conformance.engine.live import Live
from conformance.engine.world import World
from conformance.errors import ConformanceError, UsageError
from conformance.history.events import (
    Event,
    HarnessFailed,
    StepBegan,
)
from conformance.history.file import HistoryHeader, HistoryWriter
from conformance.scenario.steps import (
    Scenario,
)
from conformance.scenario.text import step_text
from conformance.world.network.proxy import Network

__all__ = ["Played", "play"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A scenario that was played: its history and what the checker says of it."""

    verdict: Verdict
    events: list[Event]
    header: HistoryHeader
    seconds: float
    path: Path | None = None
    stderr: bytes = b""
    """What the publisher under test, where it is a program, wrote on its standard error."""


def play(
    scenario: Scenario,
    world: World,
    network: Network,
    *,
    case: str = "",
    path: Path | None = None,
    namespace: str | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Played:
    """Play a scenario and check what happened.

    Args:
        scenario: what to do.
        world: where; its broker is started and is shared by plays that run side by side, unless the scenario
            takes the broker down.
        network: makes the fault proxies; may be shared.
        case: the id that stands in the history.
        path: where the history is written as it happens; None: it is kept in memory alone.
        namespace: the word that keeps this play's names apart; None: a random one.
        stop: asked between steps and while waiting; True ends the play, which is then inconclusive.

    Raises:
        UsageError: the scenario names a fault that there is not, or parameters that it can't have.
    """
    namespace = namespace or "n" + secrets.token_hex(3)
    header = make_header(scenario, world, case=case, namespace=namespace)
    began = time.monotonic()
    checker = Checker(world.contract)
    live = Live(stop)
    with HistoryWriter(path, header, keep=True) as recorder:
        recorder.subscribe(checker.feed)
        recorder.subscribe(live)
        engine = Engine(world, network, Naming(world.contract, namespace), recorder, checker, live, seed=scenario.seed)
        try:
            engine.begin()
            for number, step in enumerate(scenario.steps):
                recorder.record(StepBegan, step=number, text=step_text(step))
                engine.do(step)
            engine.come_to_rest()
        except UsageError:
            raise
        except ConformanceError as exc:
            recorder.record(HarnessFailed, error=str(exc))
        finally:
            engine.clean_up()
    verdict = checker.finish()
    if verdict.verdict != "certified":
        verdict = with_stories(verdict, recorder.events)
    return Played(
        verdict=verdict,
        events=recorder.events,
        header=header,
        seconds=time.monotonic() - began,
        path=path,
        stderr=engine.publisher_stderr(),
    )
