"""From run to run: accepted deviations, annotations, certificates compared; the README's walk-through."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from tests.cli.test_commands import AUTO_DELETE, AWAY
from tests.images import DEFAULT, why_not

if TYPE_CHECKING:
    from tests.cli.conftest import Run

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ACCEPTED = (
    f'{AUTO_DELETE}[[accepted]]\ncase = "{AWAY}"\nkind = "lost"\ncause = "auto-delete-queue"\n'
    'reason = "pages reload all <when> back"\n'
)


# --- accepted deviations, annotations ------------------------------------------------------------


@pytest.mark.broker
def test_an_accepted_deviation_is_told_everywhere(run: Run, shared: list[str], tmp_path: Path) -> None:
    """Exit status 0; reason and losses in terminal, certificate, JUnit and HTML; a stale one is told."""
    stale = '[[accepted]]\ncase = "delivery/ste*"\nkind = "lost"\ncause = "max-length"\nreason = "was slow"\n'
    (tmp_path / "c.toml").write_text(ACCEPTED + stale)
    ended = run("certify", "c.toml", "--only", AWAY, "--only", "delivery/steady", "--report", "kept", *shared)
    said = " ".join(ended.out.split())
    assert ended.status == 0
    assert "CERTIFIED with 1 accepted deviation: 1 of 2 checks held" in said
    assert "Accepted: pages reload all <when> back" in said
    assert "owed lost (auto-delete-queue)" in said
    assert "it did not deviate: delivery/ste*" in said
    told = json.loads((tmp_path / "kept/certificate.json").read_text())
    schema = json.loads(files("conformance.report").joinpath("certificate.schema.json").read_text())
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(told)
    [deviation] = [check for check in told["checks"] if check["id"] == AWAY]
    assert (told["verdict"], deviation["verdict"]) == ("certified", "accepted")
    assert deviation["violations"]
    assert [(one["case"], one["state"]) for one in told["acceptances"]] == [
        (AWAY, "deviated"), ("delivery/ste*", "stale"),
    ]  # fmt: skip
    skipped = junit_case(tmp_path / "kept/junit.xml", AWAY).find("skipped")
    assert skipped is not None
    assert "Accepted deviation: pages reload all <when> back" in skipped.attrib["message"]
    assert "Accepted: pages reload all &lt;when&gt; back" in (tmp_path / "kept/report.html").read_text()


@pytest.mark.broker
def test_an_acceptance_does_not_cover_others(run: Run, shared: list[str], tmp_path: Path) -> None:
    """What is violated beside it decides, and an expired acceptance accepts nothing."""
    (tmp_path / "c.toml").write_text(ACCEPTED)
    other = "cut/rst/between-delivery-and-ack"
    assert run("certify", "c.toml", "--only", AWAY, "--only", other, *shared).status == 1
    (tmp_path / "c.toml").write_text(ACCEPTED + "until = 2020-01-01\n")
    ended = run("certify", "c.toml", "--only", AWAY, *shared)
    assert ended.status == 1
    assert "No longer accepted since 2020-01-01 is over" in " ".join(ended.out.split())
    (tmp_path / "c.toml").write_text(ACCEPTED.replace("auto-delete-queue", "message-ttl"))
    ended = run("certify", "c.toml", "--only", AWAY, *shared)
    assert ended.status == 1
    assert f"Not accepted: {AWAY}: lost (auto-delete-queue)" in " ".join(ended.out.split())


@pytest.mark.broker
def test_nothing_but_what_is_accepted_certifies_nothing(run: Run, shared: list[str], tmp_path: Path) -> None:
    """Exit status 3: nothing was shown to hold."""
    (tmp_path / "c.toml").write_text(ACCEPTED)
    ended = run("certify", "c.toml", "--only", AWAY, *shared)
    assert ended.status == 3
    assert "INCONCLUSIVE: 1 of 1 check deviated as accepted and nothing was shown to hold." in " ".join(
        ended.out.split()
    )


def test_an_acceptance_of_nothing(run: Run, tmp_path: Path) -> None:
    """An unknown case is refused before anything is started."""
    (tmp_path / "c.toml").write_text('[[accepted]]\ncase = "delivery/stedy"\nreason = "x"\n')
    ended = run("certify", "c.toml")
    assert ended.status == 2
    assert "accepted[0].case: 'delivery/stedy' matches no check. Did you mean delivery/steady" in ended.err


def junit_case(path: Path, name: str) -> ET.Element:
    """The test case of that name."""
    [found] = [one for one in ET.parse(path).getroot().iter("testcase") if one.attrib["name"] == name]  # noqa: S314 - our own file
    return found


@pytest.mark.broker
def test_junit_and_annotations(run: Run, shared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JUnit names area, check, cause and what to change; GitHub gets an annotation and a job summary by itself."""
    (tmp_path / "c.toml").write_text(AUTO_DELETE)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    ended = run("certify", "c.toml", "--only", AWAY, "--only", "delivery/steady", "--report", "kept", *shared)
    assert ended.status == 1
    assert f"::error file=c.toml,title={AWAY}%3A violated::" in ended.out
    assert f"| `{AWAY}` | violated |" in (tmp_path / "summary.md").read_text()
    case = junit_case(tmp_path / "kept/junit.xml", AWAY)
    failure = case.find("failure")
    assert failure is not None
    assert case.attrib["classname"] == "reconnection"
    assert "lost (auto-delete-queue)" in failure.attrib["message"]
    assert 'What to change: Set tab.headers.auto-delete = "false"' in failure.attrib["message"]
    properties = {one.attrib["name"]: one.attrib["value"] for one in case.iter("property")}
    assert (properties["verdict"], properties["source"][:8]) == ("violated", "https://")
    assert junit_case(tmp_path / "kept/junit.xml", "delivery/steady").find("failure") is None


@pytest.mark.broker
def test_gitlab(run: Run, shared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section in the log and a code-quality report; asked for none, nothing."""
    (tmp_path / "c.toml").write_text(AUTO_DELETE)
    monkeypatch.setenv("GITLAB_CI", "true")
    ended = run("certify", "c.toml", "--only", AWAY, "--report", "kept", *shared)
    assert "section_start:0:durable_ws[collapsed=true]" in ended.out
    [entry] = json.loads((tmp_path / "kept/gl-code-quality-report.json").read_text())
    assert (entry["check_name"], entry["severity"], entry["location"]["path"]) == (AWAY, "critical", "c.toml")
    ended = run("certify", "c.toml", "--only", AWAY, "--annotations", "none", *shared)
    assert "section_start" not in ended.out


def test_an_unknown_ci_system(run: Run) -> None:
    """Refused with a suggestion."""
    ended = run("certify", "--annotations", "githb")
    assert (ended.status, 'Did you mean "github"?' in ended.err) == (2, True)


# --- cases, schema, diff -------------------------------------------------------------------------


def test_cases_are_counted_by_area(run: Run) -> None:
    """All areas that the catalogue has, with globs and excludes; the sum at the end."""
    counts = json.loads(run("cases", "--areas", "--json").out)
    wanted = {"delivery", "reconnection", "publishing", "routing", "broker", "time", "order", "isolation", "capacity"}
    assert wanted | {"hostile-input"} <= set(counts)
    assert sum(counts.values()) >= 100
    told = run("cases", "order/*", "capacity/*", "--exclude", "*/many-*", "--areas").out.split()
    assert told == ["4", "capacity", "5", "order", "9", "in", "all"]
    refused = run("cases", "--exclude", "ordr/*")
    assert (refused.status, "--exclude" in refused.err) == (2, True)


@pytest.mark.parametrize("name", ["certificate", "contract", "matrix", "scenario"])
def test_schemas(run: Run, name: str) -> None:
    """Each is a JSON Schema with an id that names no host."""
    document = json.loads(run("schema", name).out)
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$id"] == f"urn:durable-ws:schema:{name}:1"


def test_the_schema_of_contracts_takes_the_readmes(run: Run) -> None:
    """The contracts of the README's walk-through fit, a misspelt key does not."""
    validator = jsonschema.Draft202012Validator(json.loads(run("schema", "contract").out))
    for block in section_blocks("toml"):
        data = json.loads(json.dumps(tomllib.loads(block), default=str))
        validator.validate(data)
        assert not validator.is_valid(data | {"publishr": {}})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "can't be read"),
        ("{", "this is no JSON"),
        ("[]", "this is no certificate"),
        ('{"schema": 2}', "this is no certificate: schema"),
        ('{"schema": 1, "worlds": []}', "this is no certificate: verdict: this key is missing"),
    ],
)
def test_diff_of_what_is_no_certificate(run: Run, tmp_path: Path, content: str | None, says: str) -> None:
    """Exit status 2 and one message that names the file."""
    if content is not None:
        (tmp_path / "old.json").write_text(content)
    ended = run("diff", "old.json", "old.json")
    assert (ended.status, ended.out) == (2, "")
    assert "old.json" in ended.err
    assert says in ended.err


def test_diff_of_a_folder_without_certificates(run: Run, tmp_path: Path) -> None:
    """It says what the folder should hold."""
    (tmp_path / "empty").mkdir()
    ended = run("diff", "empty", "empty")
    assert (ended.status, "there is no certificate.json in this folder" in ended.err) == (2, True)


@pytest.mark.broker
def test_diff(run: Run, shared: list[str], tmp_path: Path) -> None:
    """Repeated runs of one setup are no regression, and times are judged; what is left out is one, unless allowed."""
    for number in range(4):
        run("certify", "--only", "delivery/*y", "--report", f"runs/{number}", *shared)
    new = (tmp_path / "runs/3").rename(tmp_path / "new")
    ended = run("diff", "runs", "new", "--json")
    document = json.loads(ended.out)
    assert (ended.status, document["regression"], document["times_not_judged"]) == (0, False, None)
    narrower = json.loads((new / "certificate.json").read_text())
    gone = narrower["checks"].pop()
    (tmp_path / "narrower.json").write_text(json.dumps(narrower))
    ended = run("diff", "new", "narrower.json")
    assert ended.status == 1
    assert f"{gone['id']}: certified → not there" in ended.out
    assert run("diff", "new", "narrower.json", "--allow-unchecked").status == 0
    ended = run("diff", "runs", "runs/1")
    assert (ended.status, "is one of the old runs" in ended.err) == (2, True)


# --- the README's walk-through -------------------------------------------------------------------


def section_blocks(language: str, title: str = "In CI and over time") -> list[str]:
    """The fenced blocks of one section."""
    section = README.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def played(block: str, folder: Path, environment: dict[str, str], options: list[str], images: dict[str, str]) -> str:
    """The block's commands as they are typed, in a shell; ``options`` are added to each certify. What is printed."""
    printed = []
    for line in re.findall(r"(?m)^\$ (.*)$", block):
        command = line
        for name, image in images.items():
            command = command.replace(name, image)
        if command.startswith("durable-ws certify"):
            command = command.replace(" --quiet", " --quiet " + shlex.join(options), 1)
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        expected = 1 if line.startswith("durable-ws diff") or line.endswith(">/dev/null") else 0
        assert done.returncode == expected, f"{command}\n{done.stdout}\n{done.stderr}"
        printed.append(f"$ {line}\n{done.stdout}")
    text = "".join(printed)
    for name, image in images.items():
        text = text.replace(image, name)
    return text


def told(text: str) -> list[str]:
    """The lines that must be the same: not how many were lost, nor of which queue."""
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith("    ")]
    return [line if line.startswith(("$", "  broker image")) else re.sub(r"[\d,.]+", "n", line) for line in lines]


@pytest.fixture
def walking(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """The folder with the walk-through's files, and an environment that finds the program."""
    _, contract, gem = section_blocks("toml")
    (tmp_path / "publisher.py").write_text(section_blocks("python")[0])
    (tmp_path / "contract.toml").write_text(contract)
    (tmp_path / "gem.toml").write_text(gem)
    return environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.broker
def test_a_change_to_the_publisher_is_caught(tmp_path: Path, walking: dict[str, str], shared: list[str]) -> None:
    """As the README has it: certified, one line taken out, every check worse."""
    block = section_blocks("console")[0]
    assert told(played(block, tmp_path, walking, shared, {})) == told(block)


@pytest.mark.docker
@pytest.mark.timeout(400)
def test_an_upgrade_is_caught(tmp_path: Path, walking: dict[str, str]) -> None:
    """As the README has it, with the images that the tests have: the gem's recipe holds on 3.10 and loses on 4.0."""
    for image in DEFAULT[:2]:
        if reason := why_not(image):
            pytest.skip(reason)
    block = section_blocks("console")[1]
    images = {"rabbitmq:3.10-management": DEFAULT[0], "rabbitmq:4.0-management": DEFAULT[1]}
    assert told(played(block, tmp_path, walking, [], images)) == told(block)
