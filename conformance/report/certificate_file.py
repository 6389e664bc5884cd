"""Certificates of earlier runs, read again: what a comparison needs of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from conformance.contract.refusal import Loc, all_at_once, read_text, refusals
from conformance.errors import UsageError

__all__ = [
    "Acceptance",
    "Certificate",
    "CheckEntry",
    "CoverageEntry",
    "Share",
    "Spread",
    "Times",
    "Violated",
    "find_certificates",
    "read_certificate",
]

_MOST_BYTES = 64_000_000
_NAME = "certificate.json"


class _Part(BaseModel):
    """A part of a certificate; keys that a later version adds are let be."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Spread(_Part):
    """How long something took, of many."""

    median_ms: float


class Times(_Part):
    """A check's times."""

    seconds: float = 0.0
    confirm: Spread | None = None
    delivery: Spread | None = None


class Violated(_Part):
    """How often a rule was broken for one cause."""

    kind: str
    cause: str


class CheckEntry(_Part):
    """One check."""

    id: str
    verdict: Literal["certified", "violated", "inconclusive", "not_checked", "accepted"]
    summary: str
    accepted: str | None = None
    times: Times = Times()
    tally: list[Violated] = []


class Acceptance(_Part):
    """An accepted deviation, as the contract has it."""

    case: str
    reason: str
    state: str


class Share(_Part):
    """How many pairs of a situation's values were met, of those that can be."""

    met: int
    can_be_met: int
    share: float


class CoverageEntry(_Part):
    """How far the generated checks went."""

    scenarios: int
    pairs: Share
    missing_pairs: list[dict[str, str]] = []


class Certificate(_Part):
    """What is compared of a certificate (``certificate.schema.json``)."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    verdict: Literal["certified", "violated", "inconclusive"]
    summary: str
    began: str
    publisher: str
    client: str
    broker: dict[str, Any]
    contract: dict[str, Any]
    versions: dict[str, str] = {}
    acceptances: list[Acceptance] = []
    coverage: CoverageEntry | None = None
    checks: list[CheckEntry]


def find_certificates(path: Path) -> list[Path]:
    """The certificates that a user means by a path: a file, a report folder, or a folder of either.

    Raises:
        UsageError: there is none.
    """
    if not path.is_dir():
        return [path]
    if (path / _NAME).is_file():
        return [path / _NAME]
    found = sorted([*path.glob("*.json"), *path.glob(f"*/{_NAME}")])
    if not found:
        raise UsageError(
            str(path),
            f"there is no {_NAME} in this folder",
            "Name the folder that `durable-ws certify --report` wrote.",
        )
    return found


def read_certificate(path: Path) -> Certificate:
    """Read one certificate.

    Raises:
        UsageError: it can't be read, or is no certificate.
    """
    text = read_text(path, _MOST_BYTES, "a certificate.json")
    try:
        return Certificate.model_validate_json(text)
    except ValidationError as exc:
        if exc.errors()[0]["type"] == "json_invalid":
            raise UsageError(str(path), "this is no JSON", f"Name a {_NAME} of durable-ws certify.") from exc
        wrong = all_at_once(refusals(exc, _no_keys)[:1])
        told = f"this is no certificate: {wrong.field}: {wrong.problem}" if wrong.field else "this is no certificate"
        raise UsageError(str(path), told, f"Name a {_NAME} of durable-ws certify.") from exc


def _no_keys(_: Loc) -> list[str]:
    return []
