"""What CI systems are told: their own words, with their own escapes."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest

from conformance.report.annotations import (
    SYSTEMS,
    Annotation,
    System,
    annotate,
    code_quality,
    detect,
    remarks_of,
    repository_path,
    summary_markdown,
)

NASTY = Annotation(
    level="error", title="cut/a,b: violated", text="50% lost\r\nsee [x]; 'y' | ]\x1b[31m", file="a,b:c%.toml"
)


def entry(check_id: str, verdict: str, **changes: Any) -> dict[str, Any]:
    """A check of a certificate."""
    return {
        "id": check_id,
        "verdict": verdict,
        "summary": "2 of 3 owed lost",
        "accepted": None,
        "violations": [{"advice": "Do otherwise."}, {"advice": "Do otherwise."}] if verdict == "violated" else [],
        "replay": "durable-ws replay x.json" if verdict == "violated" else None,
        **changes,
    }


def certificate(*checks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A certificate, as far as it is told."""
    return {
        "summary": "VIOLATED: so it is.",
        "broker": {"version": "4.0.5"},
        "publisher": "mine",
        "client": "websocket-client",
        "seed": 1,
        "acceptances": [],
        "checks": list(checks),
        **changes,
    }


@pytest.mark.parametrize(
    ("environment", "system"),
    [
        ({"GITHUB_ACTIONS": "true"}, "github"),
        ({"GITLAB_CI": "true"}, "gitlab"),
        ({"TF_BUILD": "True"}, "azure"),
        ({"TEAMCITY_VERSION": "2024.1"}, "teamcity"),
        ({"CI": "true"}, None),
        ({"GITHUB_ACTIONS": "false", "GITLAB_CI": ""}, None),
        ({}, None),
    ],
)
def test_the_system_is_known_by_its_variable(environment: dict[str, str], system: str | None) -> None:
    """Each sets one of its own."""
    assert detect(environment) == system


ESCAPED: dict[System, str] = {
    "github": """\
::error file=a%2Cb%3Ac%25.toml,title=cut/a%2Cb%3A violated::50%25 lost\\r%0Asee [x]; 'y' | ]\\x1b[31m
""",
    "azure": """\
##vso[task.logissue type=error;sourcepath=a,b:c%AZP25.toml;]cut/a,b: violated 50%AZP25 lost\\r see [x]; 'y' | ]\\x1b[31m
""",
    "teamcity": """\
##teamcity[message text='cut/a,b: violated|n50% lost\\r|nsee |[x|]; |'y|' || |]\\x1b|[31m' status='ERROR']
""",
}


@pytest.mark.parametrize("system", ESCAPED)
def test_escapes(system: System) -> None:
    """Nothing of a message can end it, or begin a command of its own."""
    assert annotate(system, [NASTY]) == ESCAPED[system]


def test_a_section_of_gitlab() -> None:
    """Collapsed, with all remarks; the markers are the only control characters."""
    lines = annotate("gitlab", [NASTY]).splitlines(keepends=False)
    text = annotate("gitlab", [NASTY])
    assert text.startswith("\x1b[0Ksection_start:0:durable_ws[collapsed=true]\r\x1b[0Kdurable-ws: 1 remarks\n")
    assert text.endswith("\x1b[0Ksection_end:0:durable_ws\r\x1b[0K\n")
    assert "error: cut/a,b: violated" in lines


@pytest.mark.parametrize("system", SYSTEMS)
def test_nothing_to_say(system: System) -> None:
    """A certified run has no remarks."""
    assert annotate(system, remarks_of(certificate(entry("a/1", "certified")), file=None)) == ""


def test_remarks() -> None:
    """The gravest first: violated, inconclusive, accepted; stale and expired acceptances are warnings."""
    remarks = remarks_of(
        certificate(
            entry("a/1", "accepted", accepted="known"),
            entry("a/2", "inconclusive"),
            entry("a/3", "violated"),
            entry("a/4", "certified"),
            acceptances=[{"case": "a/4", "reason": "known", "until": None, "state": "stale", "checks": []}],
        ),
        file="contract.toml",
    )
    assert [(one.level, one.title) for one in remarks] == [
        ("error", "a/3: violated"),
        ("warning", "a/2: inconclusive"),
        ("warning", "a/4: stale acceptance"),
        ("notice", "a/1: accepted"),
    ]
    assert remarks[0].text == "2 of 3 owed lost\nWhat to change: Do otherwise.\nReplay: durable-ws replay x.json"
    assert "Accepted: known" in remarks[-1].text


def test_github_shows_ten_of_a_level() -> None:
    """More are named in the tenth."""
    lines = annotate("github", remarks_of(certificate(*(entry(f"a/{n}", "violated") for n in range(25))), file=None))
    assert lines.count("::error ") == 10
    assert "title=16 more::" in lines
    assert "a/24" in lines


def test_code_quality() -> None:
    """Each entry has what GitLab asks for, and a fingerprint that stays the same over runs."""
    remarks = remarks_of(certificate(entry("a/1", "violated"), entry("a/2", "inconclusive")), file="contract.toml")
    entries = json.loads(code_quality(remarks))
    assert [(one["check_name"], one["severity"], one["location"]["path"]) for one in entries] == [
        ("a/1", "critical", "contract.toml"),
        ("a/2", "minor", "contract.toml"),
    ]
    assert len({one["fingerprint"] for one in entries}) == 2
    assert code_quality(remarks) == code_quality(remarks)


def test_each_cause_has_a_fingerprint_of_its_own() -> None:
    """GitLab takes two entries of one fingerprint for one, and tells as new what has a fingerprint that is new."""
    one = entry("a/1", "violated", tally=[{"kind": "lost", "cause": "x", "count": 1}])
    both = entry("a/1", "violated", tally=[*one["tally"], {"kind": "lost", "cause": "y", "count": 9}])
    stale = {"case": "a/4", "reason": "known", "until": None, "state": "stale", "checks": []}

    def told(*checks: dict[str, Any], file: str = "contract.toml", **changes: Any) -> dict[str, str]:
        entries = json.loads(code_quality(remarks_of(certificate(*checks, **changes), file=file)))
        assert len({one["fingerprint"] for one in entries}) == len(entries)
        return {one["description"]: one["fingerprint"] for one in entries}

    [alone] = told(one).values()
    assert told(both) == {
        "a/1: violated, lost (x). 2 of 3 owed lost": alone,
        "a/1: violated, lost (y). 2 of 3 owed lost": told(both)["a/1: violated, lost (y). 2 of 3 owed lost"],
    }
    # two jobs of one pipeline, two acceptances of one check
    assert alone not in told(one, file="other.toml").values()
    entries = json.loads(code_quality(remarks_of(certificate(acceptances=[stale, stale]), file=None)))
    assert len({one["fingerprint"] for one in entries}) == 2


@pytest.mark.parametrize(
    ("system", "variable"),
    [("github", "GITHUB_WORKSPACE"), ("gitlab", "CI_PROJECT_DIR"), ("azure", "BUILD_SOURCESDIRECTORY")],
)
def test_a_file_as_its_repository_has_it(
    system: System, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the command line named it, and wherever the command was given."""
    folder = tmp_path / "repository/messaging"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    environment = {variable: str(tmp_path / "repository")}
    for named in ("contract.toml", "../messaging/contract.toml", str(folder / "contract.toml")):
        assert repository_path(Path(named), system, environment) == "messaging/contract.toml"
    assert repository_path(Path("contract.toml"), system, {}) == "contract.toml"
    assert repository_path(tmp_path / "x.toml", system, environment) == (tmp_path / "x.toml").as_posix()
    assert repository_path(Path("x.toml"), "teamcity", {}) == "x.toml"


def test_the_job_summary() -> None:
    """Verdict, what is not certified and why, the areas; no text is markup."""
    page = summary_markdown(
        certificate(entry("a/1", "violated", summary="lost | <b>all</b>"), entry("b/1", "certified"))
    )
    assert "**VIOLATED: so it is.**" in page
    assert "| `a/1` | violated | lost &#124; &#60;b&#62;all&#60;/b&#62; | Do otherwise. |" in page
    assert "| b | 1 | 1 |" in page
    assert "b/1" not in page


def test_no_cell_of_the_job_summary_is_markup() -> None:
    """Neither what GitHub's Markdown marks up, nor what ends a cell, nor what looks like an escape already."""
    nasty = "a|b \\| ~~gone~~ &lt;b&gt; &#124; `c` *d* _e_ [f](g) <!-- h --> #1"
    page = summary_markdown(certificate(entry("a`|b", "violated", summary=nasty)))
    [row] = [line for line in page.splitlines() if "violated" in line]
    assert row.count("|") == 5, "four cells"
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert [html.unescape(cell) for cell in cells] == ["a`|b", "violated", nasty, "Do otherwise."]
    assert not set("\\`*_~<>[]") & set(row)
