"""Scenarios as JSON: what a failing run leaves behind and ``durable-ws replay`` plays again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from conformance.contract.loader import contract_from_dict, contract_to_dict
from conformance.contract.model import Contract
from conformance.contract.refusal import Loc, all_at_once, read_text, refusals
from conformance.errors import UsageError
from conformance.scenario.steps import Scenario, Step
from conformance.scenario.validate import validate

__all__ = ["dump_scenario", "load_scenario", "load_scenario_file", "scenario_from_dict"]

_MOST_BYTES = 5_000_000
_STEP_TYPES: dict[str, type[BaseModel]] = {
    step_type.model_fields["step"].default: step_type for step_type in get_args(get_args(Step)[0])
}


def dump_scenario(scenario: Scenario, contract: Contract | None = None) -> str:
    """The scenario as JSON, one step a line.

    Args:
        scenario: what to write; the same scenario gives the same text.
        contract: stands beside it in the file, so that the file alone is enough to play it again.
    """
    dumped = scenario.model_dump(mode="json")
    steps = ",\n".join(f"    {_json(step)}" for step in dumped["steps"])
    head = f'  "schema": {dumped["schema"]},\n  "seed": {dumped["seed"]}'
    if contract is not None:
        head += f',\n  "contract": {_json(contract_to_dict(contract))}'
    return f'{{\n{head},\n  "steps": [\n{steps}\n  ]\n}}\n'


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file (what it says of the contract is checked and left out).

    Raises:
        UsageError: it can't be read, is no JSON (the line is told), or holds what a scenario can't; names the
            place (``steps[3].tab``).
    """
    return load_scenario_file(path)[0]


def load_scenario_file(path: Path) -> tuple[Scenario, Contract | None]:
    """Read a scenario file and the contract that stands in it, if one does. Raises as :func:`load_scenario`."""
    text = read_text(path, _MOST_BYTES, "a scenario file")
    try:
        data = json.loads(text)
    except RecursionError as exc:
        raise UsageError(str(path), "its JSON is nested too deeply", "Name a scenario file.") from exc
    except ValueError as exc:
        raise UsageError(
            str(path),
            f"this is no JSON: {exc}",
            "Name a scenario file that was not cut short or altered.",
        ) from exc
    if not isinstance(data, dict):
        raise UsageError(str(path), "this JSON is no object", 'A scenario is {"schema": 1, "seed": 0, "steps": […]}.')
    contract = _contract(data.pop("contract")) if "contract" in data else None
    return scenario_from_dict(data, contract), contract


def scenario_from_dict(data: Mapping[str, Any], contract: Contract | None = None) -> Scenario:
    """Make a scenario of plain data and check that its steps make sense.

    Args:
        data: as :func:`dump_scenario` writes it, without the contract.
        contract: what its exchanges and keys are held against; None: they are not.

    Raises:
        UsageError: as :func:`load_scenario`.
    """
    try:
        scenario = Scenario.model_validate(dict(data))
    except ValidationError as exc:
        raise all_at_once(refusals(exc, _known_keys, _without_tag)) from exc
    validate(scenario, contract)
    return scenario


def _contract(data: Any) -> Contract:
    if not isinstance(data, dict):
        raise UsageError(
            "contract", "this is no object", "Copy a contract as certificate.json has it, or leave it out."
        )
    try:
        return contract_from_dict(data)
    except UsageError as error:
        raise UsageError(f"contract.{error.field}", error.problem, error.way_out) from error


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _without_tag(loc: Loc) -> Loc:
    """Pydantic names the step's type between the step's number and its field; the file does not."""
    return (*loc[:2], *loc[3:]) if loc[:1] == ("steps",) and len(loc) > 2 else loc


def _known_keys(loc: Loc) -> Iterable[str]:
    """The keys of the step (or of the whole) at pydantic's place."""
    if loc[:1] != ("steps",):
        return ["schema", "seed", "steps", "contract"]
    return _STEP_TYPES[str(loc[2])].model_fields
