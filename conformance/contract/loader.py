"""The contract file: read, check in full, and written again as resolved."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from conformance.contract.duration import FROM_FILE
from conformance.contract.model import AcceptedSection, Contract
from conformance.contract.recommended import RECOMMENDED
from conformance.contract.refusal import Loc, all_at_once, read_text, refusals
from conformance.contract.sense import nonsense
from conformance.errors import UsageError

__all__ = ["contract_from_dict", "contract_to_dict", "contract_to_toml", "load_contract"]

_MOST_BYTES = 1_000_000


def load_contract(path: Path | None) -> Contract:
    """Read a contract file; None gives the built-in contract.

    ``broker.conf`` and ``broker.definitions`` are resolved against the file's folder and must be there.

    Raises:
        UsageError: the file can't be read, is no TOML, or holds what a contract can't; it names the first
            wrong key and lists the others.
    """
    if path is None:
        return Contract()
    try:
        data = tomllib.loads(read_text(path, _MOST_BYTES, "a contract file"))
    except (ValueError, RecursionError) as exc:  # TOMLDecodeError is a ValueError, as is an endless integer
        raise UsageError(str(path), f"this is no TOML: {exc}", "Correct that line.") from exc
    return contract_from_dict(data, folder=path.resolve().parent)


def contract_from_dict(data: Mapping[str, Any], *, folder: Path | None = None) -> Contract:
    """Make a contract of what a contract file (or :func:`contract_to_dict`) holds.

    Args:
        data: the tables and values.
        folder: what ``broker.conf`` and ``broker.definitions`` are relative to, and where they must be;
            None: they stay as they stand and are not looked for.

    Raises:
        UsageError: as :func:`load_contract`.
    """
    contract, errors = _validated(data)
    wrong = {error.field for error in errors}
    if contract is not None:
        errors += [error for error in nonsense(contract) if error.field not in wrong]
        if folder is not None:
            contract, missing = _with_files(contract, folder)
            errors += missing
    if errors or contract is None:
        raise all_at_once(errors)
    return contract


def contract_to_dict(contract: Contract) -> dict[str, Any]:
    """The resolved contract as plain data that JSON and TOML can say; keys that are not set are left out."""
    dumped: dict[str, Any] = _without_none(contract.model_dump(mode="json"))
    return dumped


def contract_to_toml(contract: Contract) -> str:
    """The resolved contract as a contract file."""
    return tomli_w.dumps(contract_to_dict(contract))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(below) for key, below in value.items() if below is not None}
    return [_without_none(below) for below in value] if isinstance(value, list) else value


def _with_files(contract: Contract, folder: Path) -> tuple[Contract, list[UsageError]]:
    """The contract with absolute names of the broker's files, and what is wrong with these files."""
    errors: list[UsageError] = []
    found: dict[str, str] = {}
    for key in ("conf", "definitions"):
        name = getattr(contract.broker, key)
        if name is None or (key == "definitions" and name == RECOMMENDED):
            continue
        path = folder / name
        try:
            text = path.read_text(encoding="utf-8")
            if key == "definitions" and not isinstance(json.loads(text), dict):
                raise ValueError("it is no JSON object")
        except OSError as exc:
            errors.append(
                UsageError(
                    f"broker.{key}",
                    f"{name!r} can't be read ({exc.strerror}: {path})",
                    "The name is relative to the contract's own folder.",
                )
            )
        except ValueError as exc:
            errors.append(
                UsageError(f"broker.{key}", f"{name!r} can't be used ({exc})", "Export it again, or correct it.")
            )
        else:
            found[key] = str(path)
    return contract.model_copy(update={"broker": contract.broker.model_copy(update=found)}), errors


def _validated(data: Mapping[str, Any]) -> tuple[Contract | None, list[UsageError]]:
    """The contract, and what is wrong with types and names.

    Where something is, the contract is made of the rest, so that the rest can be checked in the same go; None
    where that can't be done.
    """
    context = {FROM_FILE: True}
    try:
        return Contract.model_validate(dict(data), context=context), []
    except ValidationError as exc:
        errors = [_explained(error) for error in refusals(exc, _known_keys)]
        wrong = [detail["loc"] for detail in exc.errors()]
    rest: Any = data
    for loc in wrong:
        rest = _without(rest, loc)
    try:
        return Contract.model_validate(rest, context=context), errors
    except ValidationError:
        return None, errors


def _without(value: Any, loc: Loc) -> Any:
    """A copy of ``value`` without what stands at ``loc`` (of a list, without the list)."""
    first, *below = loc
    inner = value.get(first)
    if below and isinstance(inner, Mapping):
        return {**value, first: _without(inner, tuple(below))}
    return {key: kept for key, kept in value.items() if key != first}


def _explained(error: UsageError) -> UsageError:
    """The error with the reason where the mere type says too little."""
    if error.field.startswith("exchanges.") and error.problem.startswith("'headers' is none of"):
        return UsageError(
            error.field,
            "a headers exchange routes by the message's headers, which a tab's STOMP destination can't ask for",
            error.way_out,
        )
    return error


def _known_keys(loc: Loc) -> list[str]:
    """The keys that the section at ``loc`` has."""
    if loc[:1] == ("accepted",):
        return list(AcceptedSection.model_fields)
    section: Any = Contract()
    for part in loc:
        section = next(iter(section.values())) if isinstance(section, Mapping) else getattr(section, str(part))
    return [field.alias or name for name, field in type(section).model_fields.items()]
