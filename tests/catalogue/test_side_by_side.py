"""Two setups on one broker at a time: names of one case are none of another's, whatever contract it is played under."""

from __future__ import annotations

from typing import cast

import pytest

from conformance.catalogue.select import all_checks, select
from conformance.catalogue.session import Session, Setup
from conformance.catalogue.stage import Stage
from conformance.contract.loader import contract_from_dict
from conformance.world.broker.base import Broker
from conformance.world.publisher.durable import DurableWs
from tests.borrowed import Borrowed

CHECKS = ["delivery/steady", "routing/*", "isolation/s*", "hostile-input/*-i*", "hostile-input/longest-keys"]

ANOTHER = {
    # the names of the built-in contract, with other types, keys and a queue pattern that begins alike
    "exchanges": {
        "pubsub": {"name": "durable-websocket-pubsub", "type": "direct"},
        "broadcast": {"name": "durable-websocket-broadcast", "type": "topic"},
    },
    "tab": {"routing_keys": ["ticks", "news.sport", "prices"], "queue": "web-client-{tab}.x"},
}


@pytest.mark.broker
def test_two_contracts_on_one_broker(broker: Broker) -> None:
    """The same checks of both, all at once: each is certified, and nothing of them stays."""
    with Stage(lambda _: cast("Broker", Borrowed(broker))) as stage:
        sessions = [
            Session(
                Setup(
                    contract=contract_from_dict(data),
                    make_publisher=lambda url, exchanges: DurableWs(url, exchanges=exchanges),
                ),
                select(all_checks(), CHECKS),
                stage,
            )
            for data in ({}, ANOTHER)
        ]
        for session in sessions:
            session.begin()
        results = [session.result(check_id) for session in sessions for check_id in session.checks]
    assert len(results) >= 20
    assert {result.id: result.summary for result in results if result.verdict != "certified"} == {}
    by_id = {result.id: result for result in results}
    ids = by_id["hostile-input/unicode-ids"]
    assert ids.detail is not None
    assert ids.detail.counts.obligations == 4 * 6
