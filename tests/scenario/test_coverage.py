"""Coverage: what can be met, what a history has met, and steering towards what is missing."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from conformance.contract.model import Contract
from conformance.history.events import (
    Event,
    FaultBegan,
    FaultEnded,
    FaultFired,
    PublishConfirmed,
    PublishInvoked,
    TabAcked,
    TabConnected,
    TabDelivered,
    TabDisconnected,
    TabSubscribed,
)
from conformance.scenario.bursts import CALLERS, CUTS, bursts
from conformance.scenario.coverage import RULES, Coverage, Universe
from conformance.scenario.situations import Situation, situations
from conformance.scenario.steered import Steering
from conformance.scenario.steps import BeginFault, Publish, Scenario
from conformance.scenario.trouble import labels
from conformance.scenario.validate import validate

_CAN = frozenset({"restart", "kill", "admin", "ctl", "pause", "management"})


class _Told:
    """A history, event by event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, event_type: type[Event], **fields: object) -> None:
        self.events.append(event_type(index=len(self.events), time_ns=len(self.events), **fields))

    def subscribed(self, tab: str, session: int = 1) -> None:
        self.add(TabConnected, tab=tab, session=session)
        self.add(
            TabSubscribed, tab=tab, session=session, queue=tab, exchange="e", exchange_type="topic",
            binding_key="k", destination="d",
        )  # fmt: skip

    def published(self, name: str) -> None:
        self.add(
            PublishInvoked, publisher="p1", message_id=name, exchange="e", routing_key="k", body_digest=name,
            size_bytes=1,
        )  # fmt: skip

    def delivered(self, name: str, tab: str, session: int = 1, *, redelivered: bool = False) -> None:
        self.add(
            TabDelivered, tab=tab, session=session, message_id=name, body_digest=name, ack_id="1",
            redelivered=redelivered,
        )  # fmt: skip


def test_a_cut_tab_goes_through_its_phases() -> None:
    """Held when it is cut, waiting while it is away, redelivered once it is back; nothing before the fault acts."""
    told = _Told()
    told.subscribed("t1")
    told.subscribed("t2")
    told.published("m1")
    told.add(PublishConfirmed, publisher="p1", message_id="m1")
    told.delivered("m1", "t1")
    told.delivered("m1", "t2")
    told.add(TabAcked, tab="t2", session=1, message_id="m1", body_digest="m1", ack_id="1")
    told.add(FaultBegan, fault_id=1, fault="rst", target="tab:t1")
    assert situations(told.events) == set()
    told.add(FaultFired, fault_id=1, fault="rst", target="tab:t1")
    assert situations(told.events) == {Situation("rst", "with unacked", "unacked", "nobody")}
    told.add(TabDisconnected, tab="t1", session=1, reason="reset")
    told.add(FaultEnded, fault_id=1, fault="rst", target="tab:t1", fired=True)
    told.subscribed("t1", 2)
    told.delivered("m1", "t1", 2, redelivered=True)
    told.add(TabAcked, tab="t1", session=2, message_id="m1", body_digest="m1", ack_id="2")
    met = situations(told.events)
    assert {
        Situation("rst", "away", "waiting", "one tab"),
        Situation("rst", "resubscribing", "waiting", "one tab"),
        Situation("rst", "with unacked", "redelivered", "nobody"),
        Situation("rst", "idle", "acked", "nobody"),
    } <= met
    told.published("m2")
    assert situations(told.events) == met, "the fault is over: its tab is well again"


def test_a_publisher_is_away_until_something_passes() -> None:
    """And a fault that never fired met nothing."""
    told = _Told()
    told.subscribed("t1")
    told.add(FaultBegan, fault_id=1, fault="rst", target="publisher")
    told.published("m1")
    assert situations(told.events) == set()
    told.add(FaultFired, fault_id=1, fault="rst", target="publisher")
    told.published("m2")
    assert situations(told.events) == {
        Situation("rst (publisher)", "idle", "unconfirmed", "nobody"),
        Situation("rst (publisher)", "idle", "unconfirmed", "publisher"),
    }


def test_what_a_rule_bars_is_told_and_does_not_count() -> None:
    """Each rule bars something in the default contract or says of what it speaks; the ghost needs short heart-beats."""
    universe = Universe.of(Contract(), broker_faults=labels(Contract(), broker_faults=True, broker_can=_CAN))
    assert set(universe.barred) == {rule.why for rule in RULES if "ghost" not in rule.why}
    pairs = {tuple(value for _, value in pair) for pair in universe.pairs}
    assert ("rst", "connecting") not in pairs
    assert ("away", "nobody") not in pairs
    assert ("with unacked", "redelivered") in pairs
    assert not any("ghost" in pair for pair in pairs)
    quick = Contract.model_validate({"tab": {"heart_beat": 2.0}})
    assert ("blackhole", "ghost") in {tuple(value for _, value in pair) for pair in Universe.of(quick).pairs}


def test_shares_and_rows_add_up() -> None:
    """The rows count what the share of the pairs counts, but for pairs without a fault."""
    coverage = Coverage(Universe.of(Contract()))
    assert coverage.share() == 0.0
    coverage.add([Situation("rst", "away", "waiting", "one tab")])
    told = coverage.to_dict()
    assert told["pairs"]["met"] == 6
    assert told["triples"]["met"] == 4
    row = next(row for row in told["rows"] if row["fault"] == "rst")
    assert [row[key][0] for key in ("tab", "message", "away")] == [1, 1, 1]
    assert len(told["missing_pairs"]) == told["pairs"]["can_be_met"] - 6
    coverage.add([Situation("rst", "away", "waiting", "nobody")])
    assert coverage.to_dict()["beyond"] == 1, "what a rule bars and happens all the same is told, not counted"


def _drawn(steering: Steering, rounds: int) -> list[Scenario]:
    found: list[Scenario] = []
    for number in range(rounds):
        strategy = steering.next()
        assert strategy is not None

        @seed(number)
        @settings(
            max_examples=3,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def draw(scenario: Scenario) -> None:
            found.append(scenario)

        draw()
    return found


@pytest.mark.parametrize("broker_faults", [False, True], ids=["links", "broker"])
def test_steered_scenarios_can_be_played_and_turn_to_each_fault(broker_faults: bool) -> None:
    """Valid by construction, whatever is left out; every fault that is missing has its turn; the seed repeats them."""
    contract = Contract()
    faults = labels(contract, broker_faults=broker_faults, broker_can=_CAN)
    universe = Universe.of(contract, broker_faults=faults)

    def drawn() -> list[Scenario]:
        steering = Steering(contract, Coverage(universe), broker_faults=broker_faults, broker_can=_CAN)
        return _drawn(steering, len(faults) if broker_faults else len(universe.faults))

    scenarios = drawn()
    for scenario in scenarios:
        validate(scenario, contract)
    if not broker_faults:
        struck = {step.fault for scenario in scenarios for step in scenario.steps if isinstance(step, BeginFault)}
        assert {fault.removesuffix(" (publisher)") for fault in universe.faults} - {"administrator"} <= struck
    assert drawn() == scenarios


def test_nothing_is_steered_towards_once_all_is_met() -> None:
    """Then scenarios are drawn freely."""
    universe = Universe.of(Contract())
    coverage = Coverage(universe)
    steering = Steering(Contract(), coverage)
    assert steering.next() is not None
    full = Coverage(universe)
    full._met[2] = set(universe.pairs)
    assert full.share() == 1.0
    assert Steering(Contract(), full).next() is None


def test_a_burst_sets_off_every_cut() -> None:
    """Also of a publisher with a connection for each caller: its messages suffice."""
    found: list[Scenario] = []

    @seed(1)
    @settings(max_examples=20, database=None, deadline=None, phases=(Phase.generate,))
    @given(bursts(Contract()))
    def draw(scenario: Scenario) -> None:
        found.append(scenario)

    draw()
    for scenario in found:
        validate(scenario, Contract())
        for fault, salvo in zip(scenario.steps, islice(scenario.steps, 1, None), strict=False):
            if isinstance(fault, BeginFault):
                assert isinstance(salvo, Publish)
                assert salvo.callers == CALLERS
                assert salvo.count >= CUTS * ((fault.parameters["n"] - 1) * CALLERS + 1)
