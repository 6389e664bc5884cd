"""A tab that reads late that it was cut, and one that is cut often: the verdict is of the setup, not of the delay."""

from __future__ import annotations

import time

import pytest

from conformance.catalogue.case import Case
from conformance.catalogue.select import all_checks
from conformance.checker.verdict import Verdict
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.engine.play import play
from conformance.engine.world import Pace, World
from conformance.scenario.steps import Scenario
from conformance.world.broker.base import Broker
from conformance.world.network.proxy import Network
from conformance.world.publisher.choose import chosen_publisher
from conformance.world.tab.session import Session

pytestmark = pytest.mark.broker

_NAMED = {check.id: check for check in all_checks() if isinstance(check, Case)}
_LATE_S = 2.5


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads that its session is over gets no processor for a while."""
    end = Session._end

    def late(self: Session, reason: str, *, refused: bool = False) -> None:
        if self.subscribed and self._our_reason is None:
            time.sleep(_LATE_S)
        end(self, reason, refused=refused)

    monkeypatch.setattr(Session, "_end", late)


def _verdict(case_id: str, contract: Contract, broker: Broker, network: Network, pace: Pace | None = None) -> Verdict:
    _, make_publisher = chosen_publisher(contract, None, None)
    world = World(broker=broker, contract=contract, make_publisher=make_publisher, pace=pace or Pace())
    return play(Scenario(steps=tuple(_NAMED[case_id].plan(contract))), world, network, case=case_id).verdict


@pytest.mark.usefixtures("held_up")
def test_a_session_that_the_broker_has_ended_is_not_back(broker: Broker, network: Network) -> None:
    """The tab's queue was deleted: what is published before it has come back is owed nobody."""
    verdict = _verdict("administrator/queue-deleted-while-subscribed", Contract(), broker, network)
    assert (verdict.verdict, verdict.violations, verdict.inconclusive_reasons) == ("certified", (), ())


@pytest.mark.usefixtures("held_up")
def test_a_session_that_was_cut_is_not_back(broker: Broker, network: Network) -> None:
    """Its queue went with the cut; that the tab was cut at all is a part of the cause."""
    contract = contract_from_dict({"tab": {"headers": Contract().tab.headers | {"auto-delete": "true"}}})
    verdict = _verdict("reconnection/published-while-away", contract, broker, network)
    assert {violation.cause for violation in verdict.violations} == {"auto-delete-queue"}


def test_what_takes_many_cuts_has_the_time_for_each(
    broker: Broker, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty cuts in a row take longer than one may, however fast or slow the machine."""
    run = Session.run

    def slow(self: Session) -> None:
        time.sleep(0.25)
        run(self)

    monkeypatch.setattr(Session, "run", slow)
    begun = time.monotonic()
    verdict = _verdict("reconnection/flapping", Contract(), broker, network, Pace(fault_s=5.0))
    assert (verdict.verdict, verdict.inconclusive_reasons) == ("certified", ())
    assert time.monotonic() - begun > 30 * 0.25
