"""The examples for CI systems: of the systems' own form, with commands that there are."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from conformance.cli.main import app

EXAMPLES = Path(__file__).parents[1] / "examples" / "ci"
FORMS = {
    "github-actions.yml": ["--builtin-schema", "vendor.github-workflows"],
    "gitlab-ci.yml": ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}
COMMANDS = [
    (name, found[0])
    for name in FORMS
    for found in re.finditer(r"durable-ws (certify|diff) [^\n]*", (EXAMPLES / name).read_text(encoding="utf-8"))
]


def test_every_example_is_tested() -> None:
    """None is left out."""
    assert sorted(path.name for path in EXAMPLES.iterdir()) == sorted(FORMS)


def form_errors(path: Path, options: list[str]) -> str:
    """What the system's own schema says against the file; empty where nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *options, str(path)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("name", FORMS)
def test_form(name: str) -> None:
    """The schema that the system's own tools use takes it."""
    assert form_errors(EXAMPLES / name, FORMS[name]) == ""


def test_the_form_is_really_looked_at(tmp_path: Path) -> None:
    """A wrong key is refused, so that the test above can fail."""
    wrong = (EXAMPLES / "github-actions.yml").read_text(encoding="utf-8").replace("runs-on:", "run-on:")
    (tmp_path / "wrong.yml").write_text(wrong, encoding="utf-8")
    assert "run-on" in form_errors(tmp_path / "wrong.yml", FORMS["github-actions.yml"])


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=[f"{name}:{line[:24]}" for name, line in COMMANDS])
def test_commands(name: str, line: str) -> None:  # noqa: ARG001 - the file is in the test's name
    """Each command parses as the program would have it, up to the point of doing something."""
    words = shlex.split(line)
    program = typer.main.get_command(app)
    command = program.commands[words[1]]  # type: ignore[attr-defined]
    command.make_context(words[1], words[2:])


def test_each_example_has_its_commands() -> None:
    """Both certify and compare, with RabbitMQ 4's image."""
    for name in FORMS:
        assert {line.split()[1] for of, line in COMMANDS if of == name} == {"certify", "diff"}
        assert "rabbitmq:4-management" in (EXAMPLES / name).read_text(encoding="utf-8")
