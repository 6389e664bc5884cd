"""Recipes: the built-in ones, contract files, and picking by glob; and what is played of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.contract.loader import contract_from_dict
from conformance.errors import UsageError
from conformance.matrix.plays import CUT, FLAPPING, RESTART
from conformance.matrix.recipes import BASE, BUILT_IN, built_in, load_recipes, select_recipes
from conformance.scenario.steps import AwaitQueue, Scenario
from conformance.scenario.validate import validate
from tests.matrix.expected import expected


def test_the_built_in_recipes_are_those_that_were_measured() -> None:
    """Every row of the table that was measured by hand, and no other."""
    for version in ("3.10.8", "4.0.5", "4.3.6"):
        assert (expected(version) or {}).keys() == BUILT_IN.keys()


@pytest.mark.parametrize(
    ("recipe", "headers"),
    [
        ("gem", dict(BASE)),
        ("recommended", {**BASE, "exclusive": "false"}),
        ("no-durable", {name: value for name, value in BASE.items() if name != "durable"} | {"exclusive": "false"}),
        ("expires-100", {**BASE, "exclusive": "false", "x-expires": "100"}),
        ("quorum-priority", {**BASE, "exclusive": "false", "x-queue-type": "quorum"}),
    ],
)
def test_a_recipe_is_the_base_with_changes(recipe: str, headers: dict[str, str]) -> None:
    """Its headers are what its title says."""
    assert BUILT_IN[recipe].contract.tab.headers == headers


@pytest.mark.parametrize("recipe", built_in(), ids=lambda recipe: recipe.id)
def test_every_play_is_a_scenario_that_can_be_played(recipe: object) -> None:
    """Its steps make sense under its own contract."""
    found = BUILT_IN[recipe.id]  # type: ignore[attr-defined]
    for play in found.plays:
        validate(Scenario(steps=tuple(play.plan(found.contract))), found.contract)


@pytest.mark.parametrize(
    ("headers", "until"),
    [
        ({"x-expires": "100"}, "gone"),
        ({"x-message-ttl": "100"}, "empty"),
        ({"x-expires": "86400000"}, None),
        ({}, None),
    ],
)
def test_what_bites_soon_is_waited_for(headers: dict[str, str], until: str | None) -> None:
    """By looking at the queue; what takes longer is not."""
    contract = contract_from_dict({"tab": {"headers": headers}})
    waits = [step.until for step in CUT.plan(contract) if isinstance(step, AwaitQueue)]
    assert waits == ["left", *([until] if until else [])]


def test_looking_does_not_keep_the_queue_alive() -> None:
    """Asking counts as use, so it is asked again only after the expiry."""
    contract = contract_from_dict({"tab": {"headers": {"x-expires": "1000"}}})
    looks = [step for step in CUT.plan(contract) if isinstance(step, AwaitQueue)]
    assert looks[-1].every_s > 1.0


def test_a_contract_file_is_a_recipe(tmp_path: Path) -> None:
    """It has the file's name, and is played what its promise asks for; its settings are checked as well."""
    path = tmp_path / "mine.toml"
    path.write_text('[promise]\nsurvives = ["cut", "flapping"]\n')
    (recipe,) = load_recipes([path])
    assert (recipe.id, recipe.file) == ("mine", path)
    assert CUT in recipe.plays
    assert FLAPPING in recipe.plays
    assert RESTART not in recipe.plays
    assert {"settings/as-asked", "time/longest-outage"} <= {play.id for play in recipe.plays}
    assert {play.place for play in recipe.plays} == {"shared"}


def test_files_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    """By their folders."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "r.toml").write_text("")
    found = load_recipes([tmp_path / "a" / "r.toml", tmp_path / "b" / "r.toml"])
    assert len({recipe.id for recipe in found}) == 2


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    """File, key and way out: there may be many files."""
    path = tmp_path / "r.toml"
    path.write_text("[tab]\nqueu = 'x'\n")
    with pytest.raises(UsageError) as caught:
        load_recipes([path])
    assert caught.value.field == f"{path}: tab.queu"
    assert "queue" in caught.value.way_out


def test_recipes_are_picked_by_glob() -> None:
    """In their own order; none given means all."""
    assert [one.id for one in select_recipes(built_in(), ["quorum*", "gem"])] == [
        "gem", "quorum", "quorum-no-exclusive", "quorum-priority", "quorum-flapping",
    ]  # fmt: skip
    assert select_recipes(built_in(), []) == built_in()
    with pytest.raises(UsageError, match="quorum"):
        select_recipes(built_in(), ["quorun"])
