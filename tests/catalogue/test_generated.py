"""The search over generated scenarios: it finds planted losses, shrinks them, and loses no intermittent one."""

from __future__ import annotations

import itertools
import select
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from conformance.catalogue.generated import Budget, search, steered
from conformance.checker.verdict import Counts, Verdict
from conformance.contract.model import Contract
from conformance.engine.play import Played, play
from conformance.engine.world import World
from conformance.scenario.codec import dump_scenario
from conformance.scenario.coverage import Coverage, Universe
from conformance.scenario.situations import situations
from conformance.scenario.steered import Steering
from conformance.scenario.steps import BeginFault, Scenario
from conformance.scenario.strategies import scenarios
from conformance.selftest import publishers
from conformance.world.broker.base import Broker
from conformance.world.network.proxy import Network
from conformance.world.publisher.choose import chosen_publisher
from conformance.world.tab.base import TabBehaviour
from conformance.world.tab.message import TabMessage
from conformance.world.tab.session import Session
from conformance.world.tab.websocket import WebSocketLink


def _played(verdict: str) -> Played:
    told = Verdict(verdict=verdict, summary="", counts=Counts())  # type: ignore[arg-type]
    return Played(verdict=told, events=[], header=None, seconds=0.0)  # type: ignore[arg-type]


def _has_fault(scenario: Scenario) -> bool:
    return any(isinstance(step, BeginFault) and step.fault == "cut_after_ack" for step in scenario.steps)


def test_the_smallest_failure_is_kept() -> None:
    """A pure stand-in for a play: the shrunk scenario still fails and has few steps."""
    found = search(
        scenarios(Contract()),
        lambda scenario: _played("violated" if _has_fault(scenario) else "certified"),
        run_seed=7,
        budget=Budget(generate_s=30, shrink_s=30, replays=2),
    )
    assert found.found is not None
    assert _has_fault(found.found[0])
    assert len(found.found[0].steps) <= 6
    assert (found.failed_again, found.replayed) == (2, 2)


def test_a_failure_that_shows_once_is_kept_as_intermittent() -> None:
    """What failed once and never again is reported with 0 of n, not retried away."""
    calls = itertools.count()
    found = search(
        scenarios(Contract()),
        lambda _: _played("violated" if next(calls) == 5 else "certified"),
        run_seed=7,
        budget=Budget(generate_s=30, shrink_s=5, replays=3),
    )
    assert found.found is not None
    assert (found.failed_again, found.replayed) == (0, 3)


def test_the_seed_repeats_the_choice() -> None:
    """Two searches with one seed draw the same scenarios in the same order, another seed draws others."""

    def drawn(run_seed: int) -> list[str]:
        chosen: list[str] = []

        def note(scenario: Scenario) -> Played:
            chosen.append(dump_scenario(scenario))
            return _played("certified")

        search(scenarios(Contract()), note, run_seed=run_seed, budget=Budget(), stop=lambda: len(chosen) >= 20)
        return chosen

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """One network for the file."""
    with Network() as network:
        yield network


@pytest.fixture
def heeds_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page handles nothing more once its connection was cut, however late it reads that its session is over."""
    handle = Session.handle

    def heeding(self: Session, message: TabMessage) -> bool:
        return not _is_cut(self) and handle(self, message)

    monkeypatch.setattr(Session, "handle", heeding)


def _is_cut(session: Session) -> bool:
    assert isinstance(session.link, WebSocketLink)
    connection = None if session.link._socket is None else session.link._socket.sock
    if connection is None or connection.fileno() < 0:
        return True
    looks = select.poll()
    looks.register(connection, select.POLLRDHUP)
    return bool(looks.poll(0))  # an end or a reset


def _acks_first(world: World) -> World:
    return replace(world, behaviour=TabBehaviour(ack_first=True, delay_s=0.02))


def _drops_one_in_200(world: World) -> World:
    return replace(world, make_publisher=lambda url, _: publishers.Dropping(url))


@pytest.mark.broker
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("heeds_cuts")
@pytest.mark.parametrize("plant", [_acks_first, _drops_one_in_200], ids=["tab-acks-first", "drops-one-in-200"])
def test_a_planted_loss_is_found_and_shrunk(plant: Callable[[World], World], broker: Broker, network: Network) -> None:
    """Within the plays of a default budget, however slow the machine; to at most six steps."""
    contract = Contract()
    _, make_publisher = chosen_publisher(contract, None, None)
    world = plant(World(broker=broker, contract=contract, make_publisher=make_publisher))
    found = search(
        scenarios(contract),
        lambda scenario: play(scenario, world, network),
        run_seed=1,
        budget=Budget(generate_s=180, shrink_s=180, replays=3),
    )
    assert found.found is not None
    assert sum(found.played.values()) <= 60  # in 60 s
    scenario, played = found.found
    assert played.verdict.violations[0].kind == "lost"
    assert len(scenario.steps) <= 6


@pytest.mark.broker
@pytest.mark.timeout(400)
def test_a_few_steered_plays_meet_most_pairs(broker: Broker, network: Network) -> None:
    """Counted in plays, not in seconds: 32 of them meet three in five pairs of links, on however slow a machine."""
    contract = Contract()
    _, make_publisher = chosen_publisher(contract, None, None)
    world = World(broker=broker, contract=contract, make_publisher=make_publisher)
    coverage = Coverage(Universe.of(contract))
    found = search(
        steered(scenarios(contract), Steering(contract, coverage)),
        lambda scenario: play(scenario, world, network),
        run_seed=1,
        budget=Budget(generate_s=380),
        stop=lambda: coverage.scenarios >= 32,
        on_play=lambda played: coverage.add(situations(played.events)),
    )
    assert found.found is None
    assert coverage.share() >= 0.6
