"""The checks of long times: how they are made, what is seen in settings, and both ways on a real broker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance.catalogue.case import CASES
from conformance.catalogue.select import all_checks, select
from conformance.catalogue.session import Session, Setup
from conformance.catalogue.stage import Stage
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.history import events as e
from conformance.scenario.codec import dump_scenario, scenario_from_dict
from conformance.scenario.needs import needs_of
from conformance.scenario.steps import AdvanceClock, Scenario
from conformance.scenario.validate import validate
from conformance.world.broker.base import Broker
from conformance.world.broker.choose import choose_broker
from conformance.world.broker.external import ExternalBroker
from conformance.world.publisher.durable import DurableWs

OUTAGE, ABANDONED = "time/longest-outage", "time/abandoned-queues-expire"
CAN = frozenset({"clock", "management"})
ALL = all_checks()  # registers the cases


def contract(**promise: str) -> Contract:
    """The recommended one with another promise."""
    return contract_from_dict({"promise": promise})


def jumps(check: str, of: Contract) -> list[float]:
    """By how many seconds the check moves the clock on."""
    return [step.by_s for step in CASES[check].plan(of) if isinstance(step, AdvanceClock)]


@pytest.mark.parametrize(
    ("check", "can", "promise", "by"),
    [
        (OUTAGE, CAN, {"longest_outage": "24h"}, "trial"),
        (OUTAGE, CAN - {"clock"}, {"longest_outage": "24h"}, "settings"),
        (OUTAGE, CAN - {"management"}, {"longest_outage": "24h"}, "settings"),
        (OUTAGE, CAN, {"longest_outage": "10s"}, "settings"),
        (ABANDONED, CAN, {"abandoned_queues_expire": "48h"}, "trial"),
        (ABANDONED, CAN, {"abandoned_queues_expire": "never"}, "settings"),
        (ABANDONED, frozenset(), {"abandoned_queues_expire": "48h"}, "settings"),
    ],
)
def test_a_trial_is_made_where_it_can_be(check: str, can: frozenset[str], promise: dict[str, str], by: str) -> None:
    """Else the settings decide, on a broker that is shared and needs nothing."""
    made = CASES[check].as_made(can, contract(**promise))
    assert (made.id, made.by) == (check, by)
    assert made.place == ("clock" if by == "trial" else "shared")
    assert bool(jumps_of(made, contract(**promise))) == (by == "trial")


def jumps_of(case: Any, of: Contract) -> list[AdvanceClock]:
    """The plan's jumps."""
    return [step for step in case.plan(of) if isinstance(step, AdvanceClock)]


@pytest.mark.parametrize("promise", [{}, {"longest_outage": "24h"}, {"longest_outage": "30d"}])
def test_an_outage_is_tried_twice_and_within_the_promise(promise: dict[str, str]) -> None:
    """Twice 0.95 of it: together longer than an expiry that is just long enough for one."""
    of = contract(**promise)
    assert jumps(OUTAGE, of) == [0.95 * of.promise.longest_outage] * 2


@pytest.mark.parametrize(
    "promise",
    [
        {},
        {"longest_outage": "30d", "abandoned_queues_expire": "40d"},
        {"abandoned_queues_expire": "1m"},
        {"longest_outage": "0s", "abandoned_queues_expire": "3650d"},
    ],
)
def test_a_queue_is_abandoned_for_longer_than_the_promise(promise: dict[str, str]) -> None:
    """And no tab that comes back is away for longer than it may be."""
    of = contract(**promise)
    *away, last = jumps(ABANDONED, of)
    assert sum(away) + last > of.promise.abandoned_queues_expire
    assert all(one < of.promise.longest_outage for one in away)
    for check in (OUTAGE, ABANDONED):
        scenario = Scenario(steps=tuple(CASES[check].plan(of)))
        validate(scenario, of)
        assert "clock" in needs_of(scenario.steps)
        assert scenario_from_dict(json.loads(dump_scenario(scenario))) == scenario


# --- by settings, on hand-written observations ---------------------------------------------------


def shown(check: str, of: Contract, **facts: Any) -> list[tuple[str, str]]:
    """Kind and cause of what the check says of a queue."""
    sound = {"durable": True, "exclusive": False, "auto_delete": False, "arguments": {"x-expires": 86_400_000}}
    queue = e.QueueObserved(index=0, time_ns=0, when="subscribed", tab="t1", queue="q", exists=True, **(sound | facts))
    shows = CASES[check].shows
    assert shows is not None
    return [(violation.kind, violation.cause) for violation in shows([queue, queue], of)]


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, []),
        ({"arguments": {}}, []),
        ({"arguments": {"x-expires": 3_600_000}}, [("lost", "queue-expires")]),
        ({"arguments": {"x-message-ttl": 3_600_000}}, [("lost", "message-ttl")]),
        ({"operator_policy": "P", "effective_policy": {"expires": 3_600_000}}, [("lost", "queue-expires")]),
        ({"policy": "P", "effective_policy": {"message-ttl": 60_000}}, [("lost", "message-ttl")]),
        ({"policy": "P", "effective_policy": {"expires": 999_999_999}}, []),
    ],
)
def test_what_is_shorter_than_the_outage_is_seen(facts: dict[str, Any], found: list[tuple[str, str]]) -> None:
    """Arguments and policies alike; each once, however many queues have it."""
    assert shown(OUTAGE, contract(longest_outage="24h"), **facts) == found


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, []),
        ({"arguments": {}}, [("leaked", "no-expiry")]),
        ({"arguments": {"x-expires": 604_800_000}}, [("leaked", "queue-expires-late")]),
        ({"arguments": {}, "policy": "P", "effective_policy": {"expires": 3_600_000}}, []),
        ({"arguments": {}, "policy": "P", "effective_policy": {"max-length": 10}}, [("leaked", "no-expiry")]),
        ({"arguments": {}, "policy": "P"}, []),
        ({"arguments": {}, "exclusive": True}, []),
    ],
)
def test_what_outlives_the_promise_is_seen(facts: dict[str, Any], found: list[tuple[str, str]]) -> None:
    """A policy's expiry is one; a policy that sets another thing is none; one that can't be read is not judged."""
    assert shown(ABANDONED, contract(abandoned_queues_expire="48h"), **facts) == found
    assert shown(ABANDONED, contract(abandoned_queues_expire="never"), **facts) == []


# --- both ways, on a real broker -----------------------------------------------------------------


def verdicts(stage: Stage, of: Contract) -> dict[str, tuple[str, Any, list[str]]]:
    """By check: the verdict, how it was made, and the causes."""
    setup = Setup(contract=of, make_publisher=lambda url, exchanges: DurableWs(url, exchanges=exchanges))
    session = Session(setup, select(ALL, ["time/*"]), stage)
    session.begin()
    results = {check: session.result(check) for check in session.checks}
    return {
        check: (
            result.verdict,
            result.evidence.get("by"),
            [entry.cause for entry in result.detail.tally] if result.detail else [],
        )
        for check, result in results.items()
    }


@pytest.fixture(scope="module")
def stage() -> Any:
    """Brokers that are started when they are asked for."""
    with Stage(lambda wishes: choose_broker("auto", wishes=wishes)) as stage:
        if "clock" not in stage.shared.broker().capabilities:
            pytest.skip("libfaketime is not to be had here")
        yield stage


SHORT = {"durable": "true", "auto-delete": "false", "exclusive": "false", "x-expires": "3600000"}


@pytest.mark.broker
def test_a_day_is_proved_by_trial(stage: Stage) -> None:
    """The recommended headers keep a promise of 24 h."""
    assert verdicts(stage, contract(longest_outage="24h")) == {
        OUTAGE: ("certified", "trial", []),
        ABANDONED: ("certified", "trial", []),
    }


@pytest.mark.broker
def test_an_expiry_of_an_hour_is_seen_to_lose_a_day(stage: Stage) -> None:
    """Red by trial, and the settings do not say it a second time."""
    of = contract_from_dict({"tab": {"headers": SHORT}, "promise": {"longest_outage": "24h"}})
    assert verdicts(stage, of)[OUTAGE] == ("violated", "trial", ["queue-expires"])


@pytest.mark.broker
def test_a_broker_whose_clock_can_not_be_moved_is_judged_by_settings(stage: Stage) -> None:
    """The same verdicts, and told to be made from settings."""
    addresses = stage.shared.broker().addresses

    def external(_: object) -> Broker:
        return ExternalBroker(addresses.amqp, web_stomp_url=addresses.web_stomp, management_url=addresses.management)

    bad = contract_from_dict({"tab": {"headers": SHORT}, "promise": {"longest_outage": "24h"}})
    with Stage(external) as other:
        assert verdicts(other, contract(longest_outage="24h")) == {
            OUTAGE: ("certified", "settings", []),
            ABANDONED: ("certified", "settings", []),
        }
        assert verdicts(other, bad)[OUTAGE] == ("violated", "settings", ["queue-expires"])
