"""The catalogue: what every case must have, and which are made."""

from __future__ import annotations

import pytest

from conformance.catalogue.case import Case
from conformance.catalogue.select import all_checks, promised, select
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.errors import UsageError
from conformance.scenario.steps import Scenario
from conformance.scenario.validate import validate
from conformance.selftest.worlds import WORLDS

_CASES = [check for check in all_checks() if isinstance(check, Case)]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.id)
def test_every_case_says_what_it_holds_a_setup_to(case: Case) -> None:
    """Rule, source and expectation, in sentences."""
    assert case.rule.endswith(".")
    assert case.expectation.endswith(".")
    assert case.source.startswith("https://")


@pytest.mark.parametrize("world", WORLDS.values(), ids=lambda world: world.id)
def test_every_case_of_a_world_makes_sense_under_its_contract(world: object) -> None:
    """The steps of the checks that a world is played with are valid."""
    contract = world.resolved()  # type: ignore[attr-defined]
    named = {case.id: case for case in _CASES}
    for check_id in world.checks:  # type: ignore[attr-defined]
        validate(Scenario(steps=tuple(named[check_id].plan(contract))), contract)


def test_there_are_enough_worlds() -> None:
    """At least 20 broken and 8 sound ones on every version."""
    expected = [world.expected("3.10.8") for world in WORLDS.values()]
    assert expected.count("violated") >= 20
    assert expected.count("certified") >= 8


def test_only_what_is_promised_is_asked_for() -> None:
    """A contract that does not survive restarts is not tried with them; what a hostile page tries is."""
    contract = contract_from_dict({"promise": {"survives": ["cut"], "hostile_tab": True}})
    ids = [check.id for check in promised(contract)]
    assert "broker/kill-while-away" not in ids
    assert "generated/broker" not in ids
    assert "cut/rst/before-delivery" in ids
    assert "security/publish" in ids


def test_selection_by_globs() -> None:
    """Globs pick, excludes take away, and a glob that picks nothing is refused with a suggestion."""
    chosen = select(promised(Contract()), ["cut/rst/*"], ["*/before-delivery"])
    assert [check.id for check in chosen] == [
        "cut/rst/between-delivery-and-ack",
        "cut/rst/during-resubscription",
    ]
    with pytest.raises(UsageError, match="delivery/steady"):
        select(promised(Contract()), ["delivery/stedy"])
