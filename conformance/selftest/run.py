"""Plays the worlds and compares what the suite says of them with what it must say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.catalogue.case import Case
from conformance.catalogue.result import CheckResult, overall
from conformance.catalogue.select import all_checks
from conformance.catalogue.session import Check, Session, Setup
from conformance.catalogue.stage import Stage
from conformance.contract.model import Exchange
from conformance.errors import HarnessError
from conformance.selftest.administered import administered
from conformance.selftest.world import World
from conformance.world.publisher.base import Factory, MakePublisher, PublisherUnderTest
from conformance.world.publisher.choose import chosen_publisher

__all__ = ["Judged", "judge_worlds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of one world.

    Attributes:
        kind, cause: of the violation that was expected if it was found, else of the first one.
        right: the verdict is the expected one and, of a broken world, so are kind and cause.
    """

    world: World
    expected: str
    verdict: str
    kind: str | None
    cause: str | None
    right: bool
    results: list[CheckResult]


def judge_worlds(
    worlds: Iterable[World],
    stage: Stage,
    *,
    careless: Stage | None = None,
    report: Path | None = None,
    on_judged: Callable[[Judged], None] = lambda _: None,
) -> list[Judged]:
    """Make every world's checks side by side on one stage, and judge each world as it is done.

    Args:
        worlds: which.
        stage: its brokers; the version decides what is expected of some worlds.
        careless: the same with brokers whose settings hold nobody back, for worlds that ask for it; None: there is
            none, and they are made on the other.
        report: where the evidence of violations goes, a folder for each world; None: nowhere.
        on_judged: called with each in turn.
    """
    version = stage.shared.broker().version
    checks = {check.id: check for check in all_checks()}
    with contextlib.ExitStack() as stack:
        begun = [
            (
                world,
                _begin(
                    world,
                    [checks[one] for one in world.checks],
                    careless if world.careless and careless else stage,
                    report,
                ),
            )
            for world in worlds
        ]
        for _, one in begun:
            stack.callback(one.undo.close)
        judged = []
        for world, one in begun:
            results = one.trouble or [one.session.result(check_id) for check_id in world.checks]
            one.undo.close()
            judged.append(_judge(world, version, results))
            on_judged(judged[-1])
        return judged


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A world's session; ``trouble``: what there is instead where its policies could not be set."""

    session: Session
    undo: contextlib.ExitStack
    trouble: list[CheckResult]


def _begin(world: World, checks: list[Check], stage: Stage, report: Path | None) -> _Begun:
    contract = world.resolved()
    name, make = chosen_publisher(contract, None, None)
    setup = Setup(
        contract=contract,
        make_publisher=make if world.publisher is None else _made_by(world.publisher),
        publisher_name=world.id if world.publisher else name,
        client=world.client,
        behaviour=world.behaviour,
        pace=world.pace,
        report=report / world.id if report is not None else None,
    )
    session, undo = Session(setup, checks, stage), contextlib.ExitStack()
    try:
        if world.policies or world.access is not None:
            can = stage.shared.broker().capabilities
            made = [check.as_made(can, setup.contract) if isinstance(check, Case) else check for check in checks]
            places = {check.place for check in made}
            undo.enter_context(administered(world, [stage.lanes[place].broker() for place in places]))
    except HarnessError as exc:
        why = f"The world's policies could not be set: {exc}"
        return _Begun(
            session=session,
            undo=undo,
            trouble=[CheckResult(id=check.id, verdict="not_checked", summary=why) for check in checks],
        )
    session.begin()
    return _Begun(session=session, undo=undo, trouble=[])


def _judge(world: World, version: str, results: list[CheckResult]) -> Judged:
    verdict = overall(results)
    expected = world.expected(version)
    told = [
        (violation.kind, violation.cause)
        for result in results
        if result.detail is not None
        for violation in result.detail.violations
    ]
    wanted = (world.kind, world.cause)
    kind, cause = wanted if wanted in told else next(iter(told), (None, None))
    right = verdict == expected and (expected == "certified" or (kind, cause) == wanted)
    return Judged(world=world, expected=expected, verdict=verdict, kind=kind, cause=cause, right=right, results=results)


def _made_by(factory: Factory) -> MakePublisher:
    def make(url: str, _: list[Exchange], /, *, failover: Sequence[str] = ()) -> PublisherUnderTest:
        return factory(url, failover=failover) if failover else factory(url)

    return make
