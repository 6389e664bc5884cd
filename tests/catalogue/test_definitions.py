"""`durable-ws certify CONTRACT` with definitions: policies from a file, all the way to the certificate."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.cli.main import main

pytestmark = pytest.mark.broker

CONTRACT = """
[broker]
definitions = "definitions.json"
"""
CHECKS = ("reconnection/published-while-away", "settings/as-asked", "settings/policies")


def _operator_policy(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    """As ``rabbitmqctl export_definitions`` writes it."""
    value = {"pattern": "^web-client-", "definition": definition, "priority": 0, "apply-to": "queues"}
    return {"vhost": "/", "component": "operator_policy", "name": name, "value": value}


def _certify(folder: Path, definitions: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[int, dict[str, Any]]:
    (folder / "contract.toml").write_text(CONTRACT, encoding="utf-8")
    (folder / "definitions.json").write_text(json.dumps(definitions), encoding="utf-8")
    report = folder / "report"
    words = ["certify", str(folder / "contract.toml"), "--report", str(report), "--quiet", "--seed", "1"]
    for check in CHECKS:
        words += ["--only", check]
    monkeypatch.setattr(sys, "argv", ["durable-ws", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    certificate = json.loads((report / "certificate.json").read_text(encoding="utf-8"))
    return int(ended.value.code or 0), {check["id"]: check for check in certificate["checks"]}


def test_policies_that_break_the_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator policy caps the queues and a policy lets them expire: found by trial and in the settings."""
    short = {"pattern": "^web-client-", "definition": {"expires": 600_000}, "priority": 0, "apply-to": "queues"}
    definitions = {
        "policies": [{"vhost": "/", "name": "short-lived", **short}],
        "parameters": [_operator_policy("cap", {"max-length": 10})],
    }
    status, checks = _certify(tmp_path, definitions, monkeypatch)
    assert status == 1
    away, as_asked, policies = (checks[check] for check in CHECKS)
    assert (away["verdict"], as_asked["verdict"], policies["verdict"]) == ("violated", "certified", "violated")
    assert [(one["kind"], one["cause"]) for one in away["tally"]] == [("lost", "max-length")]
    assert "max-length 10 (operator policy cap)" in away["violations"][0]["summary"]
    assert {one["cause"] for one in policies["violations"]} == {"queue-expires", "max-length"}
    assert "Raise expires in policy short-lived" in policies["violations"][0]["advice"]


def test_policies_that_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits above what the tab asks for, and a cap that refuses instead of dropping."""
    harmless = {"expires": 172_800_000, "max-length": 100_000, "overflow": "reject-publish"}
    policy = {"pattern": "^web-client-", "definition": harmless, "priority": 0, "apply-to": "queues"}
    definitions = {
        "policies": [{"vhost": "/", "name": "tabs", **policy}],
        "parameters": [_operator_policy("most", {"expires": 259_200_000})],
    }
    status, checks = _certify(tmp_path, definitions, monkeypatch)
    assert [checks[check]["verdict"] for check in CHECKS] == ["certified"] * 3
    assert status == 0
