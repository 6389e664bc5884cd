"""The example publishers, put under test by the suite: their verdicts are those of the README."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pytest

from conformance.catalogue.result import CheckResult, overall
from conformance.catalogue.select import promised, select
from conformance.catalogue.session import Session, Setup
from conformance.catalogue.stage import Stage
from conformance.contract.loader import contract_from_dict
from conformance.world.broker.base import Broker
from conformance.world.publisher.choose import chosen_publisher
from tests.borrowed import Borrowed

pytestmark = pytest.mark.broker

FOLDER = Path(__file__).parents[1] / "examples" / "publishers"
CHECKS = (
    "delivery/steady",
    "publishing/nobody-bound",
    "publishing/cut-before-publish",
    "publishing/cut-before-confirm",
    "publisher-process/killed",
    "publisher-process/stopped-and-cut",
)
"""A few that tell the examples apart, and take seconds."""


JARS = ":".join(f"/usr/share/java/{name}.jar" for name in ("amqp-client", "gson", "slf4j-api", "slf4j-nop"))


@dataclass(frozen=True)
class Example:
    """One example and what the suite must say of it."""

    command: tuple[str, ...]
    file: str
    checks: tuple[str, ...] = CHECKS
    violated: frozenset[tuple[str, str]] = frozenset()
    """Kind and cause of the violations; none: it is certified."""
    publisher: dict[str, Any] = field(default_factory=dict)
    """More of the contract's section."""
    needs: tuple[str, ...] = ()
    """Files without which it can't run."""
    built: bool = False
    """It is compiled: then the command's ``{classes}`` is the folder of what comes of it."""
    install: str = ""


EXAMPLES = {
    "pika": Example((sys.executable,), "publish_pika.py"),
    "aio-pika": Example((sys.executable,), "publish_aio_pika.py"),
    "kombu": Example((sys.executable,), "publish_kombu.py"),
    "http": Example((sys.executable,), "publish_http.py", publisher={"via": "management"}),
    "bunny": Example(("ruby",), "publish_bunny.rb", install="apt-get install ruby-bunny"),
    "bunny-without-confirms": Example(
        ("ruby",),
        "publish_bunny_without_confirms.rb",
        checks=tuple(check for check in CHECKS if check != "publishing/cut-before-confirm"),  # there is none to cut
        violated=frozenset({("lost", "unconfirmed"), ("misreported", "unconfirmed")}),
        install="apt-get install ruby-bunny",
    ),
    "node": Example(
        ("node",),
        "node/publish.mjs",
        needs=(str(FOLDER / "node" / "node_modules" / "amqplib"),),
        install="apt-get install nodejs npm, then npm install --prefix examples/publishers/node",
    ),
    "java": Example(
        ("java", "-cp", f"{{classes}}:{JARS}", "Publish"),
        "Publish.java",
        needs=(*JARS.split(":"),),
        built=True,
        install="apt-get install default-jdk-headless librabbitmq-client-java libgoogle-gson-java",
    ),
}


def why_not(example: Example) -> str | None:
    """Why the example can't run here, with the way out; None: it can."""
    programs = [example.command[0], *(["javac"] if example.built else [])]
    missing = [program for program in programs if shutil.which(program) is None]
    missing += [path for path in example.needs if not Path(path).exists()]
    if example.command[0] == "ruby" and not missing and not _has_bunny():
        missing.append("bunny")
    return f"left out: there is no {' and no '.join(missing)}. {example.install}" if missing else None


def _has_bunny() -> bool:
    """Whether Ruby finds it."""
    return subprocess.run(["ruby", "-e", "require 'bunny'"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def stage(broker: Broker) -> Iterator[Stage]:
    """One stage for the file, on the broker that all tests share."""
    with Stage(lambda _: cast("Broker", Borrowed(broker))) as stage:
        yield stage


def test_every_example_is_tested() -> None:
    """None is left out."""
    suffixes = {".py", ".rb", ".mjs", ".java"}
    files = {
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*")
        if path.suffix in suffixes and "node_modules" not in path.parts
    }
    assert files == {example.file for example in EXAMPLES.values()}


def test_python_examples_find_their_clients() -> None:
    """They are in the test environment, so no Python example is ever left out."""
    assert [name for name in ("pika", "aio_pika", "kombu") if find_spec(name) is None] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_verdict(name: str, stage: Stage, tmp_path: Path) -> None:
    """Certified where it waits for confirms, told where not."""
    example = EXAMPLES[name]
    results = _results(example, example.checks, stage, tmp_path)
    told = "\n".join(map(_told, results))
    assert len(results) == len(example.checks), "one was not made"
    assert overall(results) == ("violated" if example.violated else "certified"), told
    assert example.violated <= _found(results), told


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["pika", "bunny-without-confirms"])
def test_the_readmes_row(name: str, stage: Stage, tmp_path: Path) -> None:
    """All checks that the README's command makes; of the one that is violated, none is certified."""
    example = EXAMPLES[name]
    results = _results(example, ("publish*",), stage, tmp_path)
    told = "\n".join(map(_told, results))
    verdicts = Counter(result.verdict for result in results)
    if not example.violated:
        assert verdicts == {"certified": 23}, told
        return
    assert verdicts.total() == 23
    assert verdicts["certified"] == 0, told
    assert verdicts["violated"] >= 21, told  # one cut or two may come when nothing is lost
    causes = {cause for _, cause in _found(results)}
    assert {"unconfirmed"} <= causes <= {"unconfirmed", "never-came-back", "unexplained", "not-mandatory"}, told


def _results(example: Example, patterns: tuple[str, ...], stage: Stage, folder: Path) -> list[CheckResult]:
    """What the suite says of an example in these checks."""
    if reason := why_not(example):
        pytest.skip(reason)
    command = _command(example, folder / "classes")
    contract = contract_from_dict({"publisher": {"command": command, **example.publisher}})
    publisher, make_publisher = chosen_publisher(contract, None, None)
    setup = Setup(contract=contract, make_publisher=make_publisher, publisher_name=publisher, report=folder / "report")
    checks = select(promised(contract), patterns)
    session = Session(setup, checks, stage)
    session.begin()
    return [session.result(check.id) for check in checks]


def _found(results: list[CheckResult]) -> set[tuple[str, str]]:
    """Kind and cause of all violations."""
    return {
        (entry.kind, entry.cause) for result in results if result.detail is not None for entry in result.detail.tally
    }


def _command(example: Example, classes: Path) -> list[str]:
    """What runs it; compiled, if it has to be."""
    source = str(FOLDER / example.file)
    if not example.built:
        return [*example.command, source]
    subprocess.run(["javac", "-d", str(classes), "-cp", JARS, source], check=True)
    return [word.format(classes=classes) for word in example.command]


def _told(result: CheckResult) -> str:
    stderr = "" if result.stderr is None else result.stderr.read_text()[-500:]
    return f"{result.id}: {result.verdict} in {result.seconds:.1f} s: {result.summary} {stderr}"
