"""The certificate: a run as JSON, for machines and for later (design.md, ``certificate.json``).

Its form is the JSON Schema in ``certificate.schema.json`` beside this file.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from conformance.catalogue.accepted import acceptances
from conformance.catalogue.result import CheckResult, overall
from conformance.contract.loader import contract_to_dict
from conformance.contract.model import Contract
from conformance.report.plain import HIDDEN, is_secret, redact
from conformance.report.view import headline, replay_command, steps, tally
from conformance.report.whole import write_whole

__all__ = ["SCHEMA", "build_certificate", "certificate_json", "check_entry", "clean", "write_certificate"]

SCHEMA = 1
"""The number of the certificate's form; it changes only where a reader would break."""

_UNSAFE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON lets stand in a string though a terminal obeys it, or UTF-8 can't say it."""


def build_certificate(
    *,
    results: Sequence[CheckResult],
    contract: Contract,
    broker: Mapping[str, Any],
    publisher: str,
    client: str,
    seed: int,
    command: Sequence[str],
    versions: Mapping[str, str],
    timings: Mapping[str, float],
    began: datetime,
    today: date,
    seconds: float,
    interrupted: bool = False,
    report: Path | None = None,
    coverage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put a run together as plain data that JSON can hold, without a password anywhere.

    Args:
        results: every check of the run, also those that were not made.
        contract: as resolved.
        broker: ``Broker.describe()``.
        publisher: the publisher under test.
        client: the STOMP client that played the tabs.
        seed: the run's.
        command: the command line; of its first word only the program's name is kept.
        versions: program name to version.
        timings: what the run spent its time on, in seconds, by name.
        began: when, with its time zone.
        today: the day that decided which acceptances have expired (``Setup.today``).
        seconds: how long the whole run took.
        interrupted: whether the user cut it short.
        report: the folder that the checks' paths become relative to; None: they stay as they stand.
        coverage: ``Coverage.to_dict()`` of the generated checks; None: there were none.
    """
    words = [Path(command[0]).name, *command[1:]] if command else []
    certificate = {
        "schema": SCHEMA,
        "verdict": overall(list(results)),
        "summary": headline(results, interrupted=interrupted),
        "interrupted": interrupted,
        "began": began.isoformat(timespec="seconds"),
        "seconds": seconds,
        "seed": seed,
        "command": words,
        "versions": versions,
        "broker": broker,
        "publisher": publisher,
        "client": client,
        "contract": contract_to_dict(contract),
        "totals": tally(results),
        "acceptances": [dataclasses.asdict(one) for one in acceptances(results, contract, today)],
        "timings": timings,
        "coverage": coverage,
        "checks": [check_entry(result, report, words) for result in results],
    }
    return clean(certificate)


def check_entry(result: CheckResult, report: Path | None, command: Sequence[str]) -> dict[str, Any]:
    """One check, for :func:`clean`; its paths relative to ``report``, where one is given."""
    detail = result.detail
    scenario = _relative(result.scenario_path, report)
    return {
        "id": result.id,
        "verdict": result.verdict,
        "summary": result.summary,
        "accepted": result.accepted,
        "rule": result.rule,
        "source": result.source,
        "expectation": result.expectation,
        "evidence": _evidence(result.evidence, report, command),
        "counts": {} if detail is None else dataclasses.asdict(detail.counts),
        "times": {"seconds": result.seconds} | ({} if detail is None else dataclasses.asdict(detail.times)),
        "tally": [] if detail is None else [dataclasses.asdict(entry) for entry in detail.tally],
        "violations": [] if detail is None else [dataclasses.asdict(violation) for violation in detail.violations],
        "inconclusive_reasons": [] if detail is None else detail.inconclusive_reasons,
        "notes": [] if detail is None else detail.notes,
        "settings": [] if detail is None else [dataclasses.asdict(setting) for setting in detail.settings],
        "steps": steps(result),
        "scenario": scenario,
        "history": _relative(result.history, report),
        "stderr": _relative(result.stderr, report),
        "replay": None if scenario is None else replay_command(scenario, command),
    }


def _evidence(evidence: Mapping[str, Any], report: Path | None, command: Sequence[str]) -> dict[str, Any]:
    """The evidence; where each cause of a generated check has files of its own, with the command that replays them."""
    found = dict(evidence)
    if "causes" in found:
        found["causes"] = [_cause(cause, report, command) for cause in found["causes"]]
    return found


def _cause(cause: Mapping[str, Any], report: Path | None, command: Sequence[str]) -> dict[str, Any]:
    files = {key: _relative(cause.get(key), report) for key in ("scenario", "history")}
    scenario = files["scenario"]
    return {**cause, **files, "replay": None if scenario is None else replay_command(scenario, command)}


def _relative(path: Path | None, folder: Path | None) -> str | None:
    if path is None:
        return None
    return Path(os.path.relpath(path, folder)).as_posix() if folder is not None else path.as_posix()


def clean(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document as JSON can hold it, without secrets: NaN and infinity are null, what JSON does not know is text."""
    cleaned = _clean(document)
    assert isinstance(cleaned, dict)  # noqa: S101 - it went in as one
    return cleaned


def _clean(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {
                redact(str(key)): HIDDEN if is_secret(str(key)) and item is not None else _clean(item)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_clean(item) for item in value]
        case set() | frozenset():
            return sorted((_clean(item) for item in value), key=str)
        case _:
            return redact(str(value))


def certificate_json(certificate: Mapping[str, Any]) -> str:
    """The certificate as JSON text that is safe to print, with a line break at its end."""
    text = json.dumps(certificate, indent=2, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def write_certificate(path: Path, certificate: Mapping[str, Any]) -> None:
    """Write the certificate, whole or not at all. Raises UsageError where the folder can't be written to."""
    write_whole(path, certificate_json(certificate))
