"""The cases of publishing: what is asked of whom, and a publisher of its own that each of them catches."""

from __future__ import annotations

import pytest

from conformance.catalogue.case import CASES
from conformance.catalogue.select import promised
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract, Offer
from conformance.selftest.worlds import WORLDS
from conformance.world.publisher.choose import with_offers

PUBLISHING = [case_id for case_id in CASES if case_id.startswith("publishing/")]
ASKED: dict[Offer, set[str]] = {
    "properties": {
        "publishing/properties",
        "publishing/headers",
        "publishing/priority-and-expiration",
        "publishing/user-id-and-timestamp",
        "publishing/properties-on-a-retry",
    },
    "timeout": {"publishing/deadline-kept", "publishing/call-given-up"},
    "failover": {"publishing/failover"},
}
"""What is asked only of those who offer it."""


def asked_of(*offers: Offer, order: bool = False) -> set[str]:
    """The cases of publishing that a publisher with these offers is held to."""
    contract = contract_from_dict({"publisher": {"offers": list(offers)}, "promise": {"order": order}})
    return {check.id for check in promised(contract)} & set(PUBLISHING)


def test_there_are_enough() -> None:
    """Twenty and more; most of them are asked of everybody."""
    assert len(PUBLISHING) >= 20
    assert len(asked_of()) >= 15


@pytest.mark.parametrize("offer", ASKED)
def test_only_what_is_offered_is_asked_for(offer: Offer) -> None:
    """A publisher that offers nothing more can be certified without."""
    assert asked_of(offer) - asked_of() == ASKED[offer]


def test_order_is_asked_for_where_it_is_promised() -> None:
    """And nowhere else."""
    assert asked_of(order=True) - asked_of() == {"publishing/in-order"}


def test_durable_ws_is_held_to_its_offers() -> None:
    """The run's own contract says what it was."""
    contract = with_offers(Contract(), None, None)
    assert {check.id for check in promised(contract)} >= set().union(*ASKED.values())


@pytest.mark.parametrize("case_id", PUBLISHING)
def test_each_case_is_shown_by_a_broken_publisher(case_id: str) -> None:
    """Of a world that is made of this check alone, so that the check itself must turn red."""
    broken = [world for world in WORLDS.values() if world.kind is not None and world.checks == (case_id,)]
    assert broken
    assert all(world.publisher is not None for world in broken)


@pytest.mark.parametrize("case_id", PUBLISHING)
def test_each_case_holds_in_a_sound_world(case_id: str) -> None:
    """With a publisher that is right, it raises no alarm."""
    assert any(case_id in world.checks for world in WORLDS.values() if world.kind is None and world.publisher)


def test_a_broker_that_may_not_be_disturbed_can_be_certified() -> None:
    """Where only links are promised to be survived, nothing is asked that takes an administrator."""
    contract = contract_from_dict({"promise": {"survives": ["cut", "reload"]}})
    asked = [CASES[check.id] for check in promised(contract) if check.id in PUBLISHING]
    assert len(asked) >= 13
    assert all(not case.needs for case in asked)


@pytest.mark.parametrize(("kind", "asked"), [("quorum", False), ("classic", True)])
def test_a_queue_without_a_hard_limit_is_not_asked_to_refuse(kind: str, asked: bool) -> None:
    """A quorum queue goes on taking messages for a while."""
    contract = contract_from_dict({"tab": {"headers": {"x-queue-type": kind}}})
    assert ("publishing/nack-told" in {check.id for check in promised(contract)}) is asked


@pytest.mark.parametrize(
    ("exchanges", "removed"),
    [
        ({"pubsub": {}, "broadcast": {}}, {"publishing/exchange-gone", "publishing/channel-closed"}),
        ({"pubsub": {}}, {"publishing/exchange-gone"}),
        ({"pubsub": {}, "broadcast": {"name": "amq.direct", "type": "direct"}}, {"publishing/exchange-gone"}),
        ({"pubsub": {"name": "amq.topic"}, "broadcast": {}}, {"publishing/channel-closed"}),
        ({"pubsub": {"name": "theirs", "passive": True}}, set()),
    ],
)
def test_an_exchange_of_everybodys_is_not_removed(exchanges: dict[str, dict[str, object]], removed: set[str]) -> None:
    """Neither the tabs' own nor another one."""
    asked = {check.id for check in promised(contract_from_dict({"exchanges": exchanges}))}
    assert asked & {"publishing/exchange-gone", "publishing/channel-closed"} == removed
