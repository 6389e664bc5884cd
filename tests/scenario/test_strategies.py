"""Drawn scenarios can be played, show everything there is to show, and shrink well."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st

import conformance.faults.all  # noqa: F401 - registers them
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.faults.base import FAULTS, make_fault
from conformance.scenario.codec import dump_scenario, scenario_from_dict
from conformance.scenario.cues import CUES, cues_for
from conformance.scenario.keys import Route, keys_for
from conformance.scenario.steps import (
    AwaitFault,
    BeginFault,
    Behave,
    BrokerDown,
    CloseTab,
    OpenTab,
    Publish,
    ReloadTab,
    Scenario,
)
from conformance.scenario.strategies import MOST_STEPS, MOST_TABS, scenarios
from conformance.scenario.text import scenario_text
from conformance.scenario.validate import validate

SHORT_HEART_BEATS = contract_from_dict({"tab": {"heart_beat": "1s"}})
CONTRACTS: dict[str, Contract] = {
    "built-in": Contract(),
    "short heart-beats": SHORT_HEART_BEATS,
    "nothing promised": contract_from_dict({"promise": {"survives": []}}),
    "cuts alone": contract_from_dict({"promise": {"survives": ["cut"]}}),
    "direct": contract_from_dict({"exchanges": {"d": {"type": "direct"}}, "tab": {"exchange": "d"}}),
    "fanout": contract_from_dict(
        {"exchanges": {"f": {"type": "fanout"}}, "tab": {"exchange": "f", "destination": "/exchange/{exchange}"}}
    ),
    "amq.topic": contract_from_dict(
        {
            "exchanges": {"t": {"name": "amq.topic"}},
            "tab": {"exchange": "t", "destination": "/topic/{routing_key}", "routing_keys": ["#", "é.*"]},
        }
    ),
    "ack auto": contract_from_dict({"tab": {"ack": "auto"}}),
    "a program": contract_from_dict({"publisher": {"command": ["ruby", "publisher.rb"]}}),
}


def sample(strategy: st.SearchStrategy[Scenario], count: int, run_seed: int = 1) -> list[Scenario]:
    """The first ``count`` scenarios that a seed draws."""
    drawn: list[Scenario] = []

    @seed(run_seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(scenario: Scenario) -> None:
        drawn.append(scenario)

    draw()
    return drawn


def smallest(strategy: st.SearchStrategy[Scenario], fails: Callable[[Scenario], bool]) -> Scenario:
    """The smallest scenario that fails, as Hypothesis finds it."""
    return find(
        strategy, fails, settings=settings(max_examples=3000, database=None, suppress_health_check=list(HealthCheck))
    )


def faults(scenario: Scenario) -> list[BeginFault]:
    """The faults of the scenario."""
    return [step for step in scenario.steps if isinstance(step, BeginFault)]


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize("broker_faults", [False, True])
def test_every_drawn_scenario_can_be_played(name: str, broker_faults: bool) -> None:
    """It makes sense step by step, is short enough, reads as text and survives JSON."""
    contract = CONTRACTS[name]
    for scenario in sample(scenarios(contract, broker_faults=broker_faults), 100):
        validate(scenario, contract)
        assert 2 <= len(scenario.steps) <= MOST_STEPS
        assert 1 <= sum(isinstance(step, OpenTab) for step in scenario.steps) <= MOST_TABS
        assert scenario_text(scenario)
        assert scenario_from_dict(json.loads(dump_scenario(scenario)), contract) == scenario


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_scenario_owes_a_tab_something(name: str) -> None:
    """A run in which nobody is owed a thing would be inconclusive."""
    contract = CONTRACTS[name]
    keys = keys_for(contract)
    for scenario in sample(scenarios(contract, broker_faults=True), 100):
        bound: dict[str, Route] = {}
        owed = False
        for step in scenario.steps:
            if isinstance(step, OpenTab):
                bound[step.tab] = Route(step.exchange, step.key)
            elif isinstance(step, CloseTab):
                del bound[step.tab]
            elif isinstance(step, Publish):
                owed |= any(keys.matches(binding, Route(step.exchange, step.key)) for binding in bound.values())
        assert owed


def test_faults_that_wait_get_what_they_wait_for() -> None:
    """Traffic that matches, enough of it, or a reload; and they are awaited, so that none stays unfired."""
    contract = SHORT_HEART_BEATS
    keys = keys_for(contract)
    cues = {cue.fault: cue for cue in CUES}
    for scenario in sample(scenarios(contract, broker_faults=True), 400):
        bindings = {step.tab: Route(step.exchange, step.key) for step in scenario.steps if isinstance(step, OpenTab)}
        withholding: set[str] = set()
        for number, step in enumerate(scenario.steps):
            if isinstance(step, Behave):
                (withholding.add if step.withhold_acks or step.withhold_handling else withholding.discard)(step.tab)
            if not isinstance(step, BeginFault):
                continue
            if cues[step.fault].waits_for == "nothing":
                assert scenario.steps[number + 1] == AwaitFault(link=step.link)
                continue
            cue, sets_off, waits = cues[step.fault], *scenario.steps[number + 1 : number + 3]
            assert waits == AwaitFault(link=step.link)
            if cue.waits_for == "connecting":
                assert sets_off == ReloadTab(tab=step.link)
                continue
            assert isinstance(sets_off, Publish)
            assert sets_off.count >= cue.messages(step.parameters)
            if step.link != "publisher":
                assert keys.matches(bindings[step.link], Route(sets_off.exchange, sets_off.key))
                assert step.link not in withholding


def test_every_kind_of_step_and_fault_is_drawn() -> None:
    """Twice 300 scenarios show all there is, on both kinds of link."""
    drawn = [
        scenario
        for run_seed in (1, 2)
        for scenario in sample(scenarios(SHORT_HEART_BEATS, broker_faults=True), 300, run_seed)
    ]
    kinds = Counter(step.step for scenario in drawn for step in scenario.steps)
    assert set(kinds) == {
        "open_tab", "reload_tab", "duplicate_tab", "close_tab", "behave", "publish", "begin_fault", "await_fault",
        "end_fault", "broker_down", "broker_up", "settle",
    }  # fmt: skip
    seen = {(fault.fault, fault.link == "publisher") for scenario in drawn for fault in faults(scenario)}
    assert {fault for fault, _ in seen} == {cue.fault for cue in CUES}
    assert seen >= {(cue.fault, True) for cue in CUES if cue.on == {"publisher"}}
    assert any(len(scenario.steps) > 20 for scenario in drawn)
    bursts = [step for scenario in drawn for step in scenario.steps if isinstance(step, Publish) and step.count >= 200]
    assert len(bursts) >= 30
    tabs = {sum(isinstance(step, OpenTab) for step in scenario.steps) for scenario in drawn}
    assert tabs == {1, 2, 3, 4, 5}
    assert {step.body for scenario in drawn for step in scenario.steps if isinstance(step, Publish)} == {
        "text",
        "unicode",
        "binary",
    }


def test_a_seed_repeats_its_scenarios() -> None:
    """The choice of scenarios depends on the seed and nothing else."""
    assert sample(scenarios(Contract()), 30, 5) == sample(scenarios(Contract()), 30, 5)
    assert sample(scenarios(Contract()), 30, 5) != sample(scenarios(Contract()), 30, 6)


def test_most_scenarios_leave_the_broker_alone() -> None:
    """A restart takes seconds: none without leave, rarely with, and once in a scenario at most."""
    assert not any(
        isinstance(step, BrokerDown) for scenario in sample(scenarios(Contract()), 200) for step in scenario.steps
    )
    downs = [
        sum(isinstance(step, BrokerDown) for step in scenario.steps)
        for scenario in sample(scenarios(Contract(), broker_faults=True), 200)
    ]
    assert 0 < sum(downs) < 120
    assert max(downs) == 1


@pytest.mark.parametrize(
    ("survives", "can", "hows"),
    [
        (["broker-restart", "broker-kill"], ["restart", "kill"], {"terminate", "kill"}),
        (["broker-restart"], ["restart", "kill"], {"terminate"}),
        (["broker-restart", "broker-kill"], ["kill"], {"kill"}),
        (["cut"], ["restart", "kill"], set()),
        (["broker-kill"], [], set()),
    ],
)
def test_the_broker_goes_down_as_promised_and_as_it_can(survives: list[str], can: list[str], hows: set[str]) -> None:
    """Only ways that the promise covers and the broker knows."""
    contract = contract_from_dict({"promise": {"survives": survives}})
    drawn = sample(scenarios(contract, broker_faults=True, broker_can=can), 100)
    assert {step.how for scenario in drawn for step in scenario.steps if isinstance(step, BrokerDown)} == hows


def test_faults_are_fair() -> None:
    """What is not promised is not held against a setup, and what can't happen is not drawn."""
    names = {name: {cue.fault for cue in cues_for(contract)} for name, contract in CONTRACTS.items()}
    slow = {"latency", "jitter", "bandwidth", "slicer"}
    assert names["nothing promised"] == slow
    assert not names["cuts alone"] & {"flap", "blackhole", "refuse"}
    assert not names["ack auto"] & {"cut_after_ack", "cut_before_ack"}
    assert "blackhole" not in names["built-in"]
    assert "blackhole" in names["short heart-beats"]
    assert not any(
        step.step in ("reload_tab", "duplicate_tab")
        for scenario in sample(scenarios(CONTRACTS["cuts alone"]), 100)
        for step in scenario.steps
    )


def test_a_program_gets_text() -> None:
    """JSON lines can't carry bodies that are no UTF-8."""
    drawn = sample(scenarios(CONTRACTS["a program"]), 200)
    assert {step.body for scenario in drawn for step in scenario.steps if isinstance(step, Publish)} == {
        "text",
        "unicode",
    }


@pytest.mark.parametrize("cue", CUES, ids=lambda cue: str(cue.fault))
@settings(max_examples=20, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_faults_take_these_parameters(cue: Any, data: st.DataObject) -> None:
    """Every fault that is drawn is one that there is, with parameters that it has, for a link that it suits."""
    for link in cue.on:
        assert make_fault(cue.fault, data.draw(cue.parameters), link=link).name == cue.fault


def test_no_fault_is_forgotten() -> None:
    """All faults of links can be drawn, but the one that does nothing and one of what ``stall`` does."""
    of_links = {name for name, fault in FAULTS.items() if fault.links & {"tab", "publisher"}}
    assert {cue.fault for cue in CUES} == of_links - {"noop", "hold_confirms"}


def test_shrinks_a_cut_after_an_ack() -> None:
    """A page that acks before it handles fails here: the tab, the fault, a message, and the wait for it are left."""
    scenario = smallest(
        scenarios(Contract()),
        lambda s: any(fault.fault == "cut_after_ack" for fault in faults(s)),
    )
    assert [step.step for step in scenario.steps] == ["open_tab", "begin_fault", "publish", "await_fault"]
    assert scenario.steps[2] == Publish(key="ticks")


def test_shrinks_a_burst() -> None:
    """A publisher that drops one message in 200 fails here: the tab and just so many messages are left."""
    scenario = smallest(
        scenarios(Contract()), lambda s: sum(step.count for step in s.steps if isinstance(step, Publish)) >= 200
    )
    assert len(scenario.steps) <= 6
    assert sum(step.count for step in scenario.steps if isinstance(step, Publish)) == 200


def test_shrinks_a_restart_between_two_tabs() -> None:
    """A condition over several steps shrinks to those."""

    def fails(scenario: Scenario) -> bool:
        kinds = [step.step for step in scenario.steps]
        return "broker_down" in kinds and kinds[: kinds.index("broker_down")].count("open_tab") >= 2

    scenario = smallest(scenarios(Contract(), broker_faults=True), fails)
    assert len(scenario.steps) <= 4
