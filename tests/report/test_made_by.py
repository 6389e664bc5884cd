"""Whether a check of long times was made by trial or from settings is said in every report."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from conformance.catalogue.result import CheckResult
from conformance.report.html import make_html
from conformance.report.terminal import print_report

Make = Callable[..., CheckResult]
Certify = Callable[..., dict[str, Any]]


def test_both_ways_are_told_apart(certify: Certify, certified: Make, violated: Make) -> None:
    """On the terminal, on the page and in the certificate; other checks say nothing of the kind."""
    results = [
        certified("time/longest-outage", evidence={"by": "trial"}),
        violated("time/abandoned-queues-expire", evidence={"by": "settings"}),
        certified("delivery/steady"),
    ]
    certificate = certify(results)
    out = io.StringIO()
    print_report(certificate, results, console=Console(file=out, width=100))
    assert "time/longest-outage (by trial)" in out.getvalue()
    assert "lost; 31.6 s, by settings" in out.getvalue()
    page = make_html(certificate, results, {})
    assert page.count("by trial") == 2
    assert page.count("by settings") == 2
    assert [check["evidence"] for check in certificate["checks"]] == [{"by": "trial"}, {"by": "settings"}, {}]


def test_the_schema_knows_two_ways(certify: Certify, certified: Make) -> None:
    """No third one."""
    schema = json.loads(files("conformance.report").joinpath("certificate.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(certify([certified(evidence={"by": "trial"})]), schema)
    with pytest.raises(jsonschema.ValidationError, match="guess"):
        jsonschema.validate(certify([certified(evidence={"by": "guess"})]), schema)
