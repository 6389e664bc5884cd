"""A publisher that gets no processor for a while: the verdict is of the setup, not of the delay."""

from __future__ import annotations

import time
from typing import Any

import pytest

from conformance.catalogue.case import Case
from conformance.catalogue.select import all_checks
from conformance.contract.loader import contract_from_dict
from conformance.engine.play import play
from conformance.engine.world import World
from conformance.scenario.steps import Scenario
from conformance.selftest.obliging import Obliging
from conformance.world.broker.base import Broker
from conformance.world.network.proxy import Network
from durable_ws import NotSent

pytestmark = pytest.mark.broker

_NAMED = {check.id: check for check in all_checks() if isinstance(check, Case)}
_LATE_S = 3.0


class HeldUp(Obliging):
    """Each call that is given a time is held up before it writes, and its time goes on."""

    def publish(self, body: bytes, *, message_id: str, timeout: float | None = None, **where: Any) -> None:
        """Late, or not at all."""
        if timeout is not None:
            time.sleep(min(_LATE_S, timeout))
            if timeout <= _LATE_S:
                raise NotSent(message_id, "its time was over")
            timeout -= _LATE_S
        super().publish(body, message_id=message_id, timeout=timeout, **where)


@pytest.mark.parametrize("case_id", ["publishing/deadline-kept", "publishing/call-given-up"])
def test_a_call_that_is_written_late(case_id: str, broker: Broker, network: Network) -> None:
    """That the link was at fault shows whether the call's time was enough for it to be written or not."""
    contract = contract_from_dict({"publisher": {"offers": ["timeout"]}})
    world = World(broker=broker, contract=contract, make_publisher=lambda url, _: HeldUp(url))
    verdict = play(Scenario(steps=tuple(_NAMED[case_id].plan(contract))), world, network, case=case_id).verdict
    assert (verdict.verdict, verdict.violations, verdict.inconclusive_reasons) == ("certified", (), ())
