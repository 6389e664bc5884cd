"""The certificate: its form, its honesty about secrets, its way onto the disk."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from conformance.catalogue.result import CheckResult
from conformance.contract.model import AcceptedSection, Contract, TabSection
from conformance.errors import UsageError
from conformance.report.certificate import certificate_json, write_certificate

Make = Callable[..., CheckResult]
Certify = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The JSON Schema that is part of the package."""
    found: dict[str, Any] = json.loads(files("conformance.report").joinpath("certificate.schema.json").read_text())
    return found


def test_every_kind_of_check_fits_the_schema(
    schema: dict[str, Any], certify: Certify, certified: Make, violated: Make, drawn: Make, not_checked: CheckResult
) -> None:
    """What is built is what the schema describes, and the schema describes every key of it."""
    certificate = certify([certified(), violated(violations=2), drawn(), not_checked])
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    validator.check_schema(schema)
    validator.validate(certificate)
    assert set(certificate) == set(schema["properties"])
    check = schema["$defs"]["check"]
    assert all(set(entry) == set(check["properties"]) for entry in certificate["checks"])
    assert set(certificate["checks"][1]["violations"][0]) == set(schema["$defs"]["violation"]["properties"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.pop("verdict"),
        lambda c: c.update(verdict="not_checked"),
        lambda c: c["checks"][0].pop("counts"),
        lambda c: c["checks"][0]["counts"].update(lost=-1),
        lambda c: c["checks"][0].update(violations=[{}]),
    ],
)
def test_the_schema_refuses_what_is_wrong(
    schema: dict[str, Any], certify: Certify, certified: Make, spoil: Callable[[dict[str, Any]], object]
) -> None:
    """The schema is not so wide that everything fits."""
    certificate = certify([certified()])
    spoil(certificate)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(certificate, schema)


def test_a_violated_check_says_all(certify: Certify, violated: Make) -> None:
    """Verdict, counts, the whole violation with its story, and paths relative to the report's folder."""
    check = violated(
        scenario_path=Path("out/evidence/x/scenario.json"),
        history=Path("out/evidence/x/history.jsonl"),
        evidence={"replays": 5, "replays_violated": 4},
    )
    certificate = certify([check])
    entry = certificate["checks"][0]
    assert certificate["verdict"] == "violated"
    assert certificate["totals"] == {"violated": 1, "inconclusive": 0, "not_checked": 0, "certified": 0, "accepted": 0}
    assert certificate["command"] == ["durable-ws", "certify", "--seed", "42"]
    assert certificate["contract"]["promise"]["longest_outage"] == "1h"
    assert (entry["scenario"], entry["history"]) == ("evidence/x/scenario.json", "evidence/x/history.jsonl")
    assert entry["replay"] == "durable-ws replay evidence/x/scenario.json"
    assert entry["counts"]["lost"] == 1
    assert entry["evidence"] == {"replays": 5, "replays_violated": 4}
    assert entry["tally"] == [{"kind": "lost", "cause": "auto-delete-queue", "count": 1}]
    assert entry["violations"][0]["story"][4]["time_s"] == 1.5
    assert entry["steps"][1] == "2. begin rst on the link of t1"


def test_each_cause_of_a_generated_check_has_its_files(
    schema: dict[str, Any], certify: Certify, violated: Make
) -> None:
    """Relative to the report's folder, with the command that replays them; null where they were not kept."""
    kept = {"scenario": Path("out/evidence/g/lost-x/scenario.json"), "history": Path("out/evidence/g/lost-x/h.jsonl")}
    causes = [{"cause": name, "seen": 1, "replays": 1, "replays_violated": 1} for name in ("lost-x", "lost-y")]
    certificate = certify([violated(evidence={"causes": [causes[0] | kept, causes[1]]})])
    jsonschema.validate(certificate, schema)
    first, second = certificate["checks"][0]["evidence"]["causes"]
    assert (first["scenario"], first["history"]) == ("evidence/g/lost-x/scenario.json", "evidence/g/lost-x/h.jsonl")
    assert first["replay"] == "durable-ws replay evidence/g/lost-x/scenario.json"
    assert (second["scenario"], second["history"], second["replay"]) == (None, None, None)


def test_the_day_that_decides_is_the_runs(schema: dict[str, Any], certify: Certify, violated: Make) -> None:
    """What was accepted is not told as expired because midnight was in between."""
    accepted = AcceptedSection(case="cut/rst/while-away", reason="known", until=date(2026, 1, 1))
    contract = Contract(accepted=[accepted])
    for today, state in ((date(2026, 1, 1), "deviated"), (date(2026, 1, 2), "expired")):
        certificate = certify([violated()], contract=contract, today=today)  # begun on 2026-01-02
        jsonschema.validate(certificate, schema)
        [told] = certificate["acceptances"]
        assert set(told) == set(schema["properties"]["acceptances"]["items"]["properties"])
        assert told["state"] == state


def test_no_password_is_anywhere(certify: Certify, violated: Make) -> None:
    """Not in the contract, the broker's facts, the command line, a summary or an evidence."""
    certificate = certify(
        [violated(summary="can't reach amqp://u:s3cret@h", evidence={"url": "http://u:s3cret@h", "token": "s3cret"})],
        contract=Contract(tab=TabSection(passcode="s3cret")),
        broker={"version": "4.0.5", "amqp": "amqp://u:s3cret@h", "nested": [{"password": "s3cret"}]},
        command=["durable-ws", "certify", "--broker", "amqp://u:s3cret@h"],
    )
    assert "s3cret" not in certificate_json(certificate)
    assert certificate["contract"]["tab"] | {"passcode": "***", "login": "guest"} == certificate["contract"]["tab"]


def test_whatever_evidence_holds_becomes_json(certify: Certify, drawn: Make) -> None:
    """Paths, sets, tuples, NaN and keys that are no text."""
    evidence = {1: Path("a"), "set": {"b", "a"}, "tuple": (1, None), "nan": math.nan, "raw": b"\xff", "yes": True}
    entry = certify([drawn(evidence=evidence)])["checks"][0]
    assert entry["evidence"] == {
        "1": "a",
        "set": ["a", "b"],
        "tuple": [1, None],
        "nan": None,
        "raw": r"b'\xff'",
        "yes": True,
    }


def test_its_text_is_safe_to_print_and_faithful(certify: Certify, violated: Make) -> None:
    """No control character in the text, not even those that JSON allows; read back they are all there."""
    hostile = "\x1b[2J \x9b \x85 \u202e \u2028 \ud83d é"
    certificate = certify([violated(summary=hostile)])
    text = certificate_json(certificate)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "é" in text
    text.encode()
    assert json.loads(text) == certificate


def test_it_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certify: Certify, certified: Make
) -> None:
    """A rename that fails leaves the earlier certificate and no litter; a success replaces it."""
    path = tmp_path / "certificate.json"
    path.write_text("earlier")
    certificate = certify([certified()])

    def no_rename(*_: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", no_rename)
        with pytest.raises(UsageError, match="No space left on device"):
            write_certificate(path, certificate)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]
    write_certificate(path, certificate)
    assert json.loads(path.read_text(encoding="utf-8")) == certificate
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, certify: Certify, certified: Make) -> None:
    """One clear error that names the file."""
    with pytest.raises(UsageError, match="missing"):
        write_certificate(tmp_path / "missing" / "certificate.json", certify([certified()]))
