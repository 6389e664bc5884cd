"""``certify --soak``: what may be given, and that it can be interrupted."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import jsonschema
import pytest

from tests.cli.conftest import Run, Start


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--soak", "soon"], "'soon' is no time"),
        (["--soak", "-5m"], "'-5m' is no time"),
        (["--soak", "0s"], "'0s' is too short"),
        (["--soak", "30m", "--budget", "60s"], "beside --budget '60s'"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], told: str, run: Run) -> None:
    """With the option, the value and the way out."""
    ended = run("certify", *words)
    assert ended.status == 2
    assert "--soak" in ended.err
    assert told in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.broker
def test_an_interrupted_soak_leaves_a_valid_certificate(start: Start, shared: list[str], tmp_path: Path) -> None:
    """What was done so far is told: scenarios, coverage; the exit status is that of an interruption."""
    command = start("certify", *shared, "--soak", "1h", "--only", "generated/links", "--seed", "1")
    line = command.until("soak: ")
    assert "left" in line
    assert "of pairs" in line
    assert command.end(signal.SIGINT) == 130
    folder = tmp_path / "durable-ws-report"
    told = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
    schema = Path(__file__).parents[2] / "conformance/report/certificate.schema.json"
    jsonschema.validate(told, json.loads(schema.read_text(encoding="utf-8")))
    assert told["interrupted"]
    [check] = told["checks"]
    assert check["id"] == "generated/links"
    assert check["evidence"]["scenarios"] >= 1
    assert (told["verdict"], check["verdict"]) == ("inconclusive", "inconclusive")
    assert "cut short" in check["summary"]
    assert told["coverage"]["pairs"]["met"] > 0
    assert not list(folder.glob("evidence/*/play-*"))
    assert "Pairs met" in "".join(command.out)
