"""Worlds with policies: what matches what, and what is said where policies can't be set."""

from __future__ import annotations

import re

import pytest

from conformance.catalogue.stage import Stage
from conformance.contract.naming import Naming
from conformance.selftest.run import judge_worlds
from conformance.selftest.worlds import WORLDS
from conformance.world.broker.base import Broker
from conformance.world.broker.external import ExternalBroker

ADMINISTERED = [world for world in WORLDS.values() if world.policies]


def test_a_worlds_policies_match_its_own_queues_alone() -> None:
    """Worlds share one broker and run side by side."""
    queues = {world.id: Naming(world.resolved(), "n0a1b2c").queue("t1") for world in WORLDS.values()}
    for world in ADMINISTERED:
        assert [id_ for id_, queue in queues.items() if re.search(world.pattern, queue)] == [world.id]


def test_there_are_enough_worlds_by_version() -> None:
    """At least 12 that are broken by settings and policies on each version, and sound ones beside them."""
    for version in ("3.10.8", "4.0.5", "4.3.6"):
        of_settings = [
            world.expected(version)
            for world in WORLDS.values()
            if world.policies or any(check.startswith("settings/") for check in world.checks)
        ]
        assert of_settings.count("violated") >= 12
        assert of_settings.count("certified") >= 4


def test_no_world_hangs_on_a_quick_subscription() -> None:
    """A tab of a broken world has to be there before it can lose anything, on a busy machine, too."""
    assert min(world.pace.subscribe_s for world in WORLDS.values()) >= 10.0


@pytest.mark.broker
def test_a_world_goes_and_takes_its_policies_with_it(broker: Broker) -> None:
    """Red for the right cause, and nothing is left at the broker."""
    with Stage(lambda _: _reached(broker, management=True)) as stage:
        [judged] = judge_worlds([WORLDS["operator-max-length"]], stage)
    assert judged.right, judged
    assert broker.ask("GET", "/operator-policies") == []


@pytest.mark.broker
def test_without_management_such_a_world_can_not_be_made(broker: Broker) -> None:
    """It is told so, and never counted as caught."""
    with Stage(lambda _: _reached(broker, management=False)) as stage:
        [judged] = judge_worlds([WORLDS["operator-max-length"]], stage)
    assert not judged.right
    assert {result.verdict for result in judged.results} == {"not_checked"}
    assert "no management API in reach" in judged.results[0].summary


@pytest.mark.broker
def test_a_world_with_a_user_is_not_made_at_a_broker_that_runs_already(broker: Broker) -> None:
    """No user is left there, nor made."""
    before = broker.ask("GET", "/users")
    with Stage(lambda _: _reached(broker, management=True)) as stage:
        [judged] = judge_worlds([WORLDS["tabs-are-administrators"]], stage)
    assert {result.verdict for result in judged.results} == {"not_checked"}
    assert "on a broker of the suite's own alone" in judged.results[0].summary
    assert broker.ask("GET", "/users") == before


def _reached(broker: Broker, *, management: bool) -> Broker:
    """The shared broker as one that runs already, so that the stage does not end it."""
    addresses = broker.addresses
    return ExternalBroker(
        addresses.amqp,
        web_stomp_url=addresses.web_stomp,
        management_url=addresses.management if management else None,
    )
