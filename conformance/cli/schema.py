"""``durable-ws schema``: the forms of the files that the suite reads and writes, as JSON Schema."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from typing import Annotated, Any

import typer

from conformance.contract.model import Contract
from conformance.contract.refusal import did_you_mean
from conformance.errors import UsageError
from conformance.scenario.steps import Scenario

__all__ = ["SCHEMAS", "schema", "schema_of"]

SCHEMAS = ("certificate", "contract", "matrix", "scenario")


def schema(
    name: Annotated[str, typer.Argument(metavar="|".join(SCHEMAS), help="Of which file.")] = "certificate",
) -> int:
    """Print the JSON Schema (draft 2020-12) of a file that the suite reads or writes."""
    sys.stdout.write(json.dumps(schema_of(name), indent=2, ensure_ascii=False) + "\n")
    return 0


def schema_of(name: str) -> dict[str, Any]:
    """The schema of ``certificate.json``, a contract (TOML, read as JSON), ``matrix.json`` or a scenario file.

    Raises:
        UsageError: there is none of that name.
    """
    if name in ("certificate", "matrix"):
        text = files("conformance.report").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
    elif name == "contract":
        found = Contract.model_json_schema(mode="serialization")
    elif name == "scenario":
        found = Scenario.model_json_schema()
        found["properties"]["contract"] = {"type": "object", "description": "The contract that it was played under."}
    else:
        raise UsageError("schema", f"there is no schema of {name!r}", did_you_mean(name, SCHEMAS))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:durable-ws:schema:{name}:1", **found
    }  # fmt: skip
