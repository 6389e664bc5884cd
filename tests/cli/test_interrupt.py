"""Ctrl-C and its like at any phase of a run: one message, the exit status, a certificate of what was done, no rest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.conftest import Command, Start

pytestmark = pytest.mark.broker

LONG = "cut/blackhole/before-delivery"
"""A check that takes half a minute."""


def wait(condition: Callable[[], object], what: str, *, most_s: float = 60.0) -> None:
    """Wait for something outside this process; fails after 60 s, or what it may take."""
    deadline = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


def processes_of(text: str) -> list[str]:
    """The command lines of all processes that have the text in their command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue  # it has ended, or is another user's
        if text.encode() in command + environment:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def interrupted(command: Command, number: signal.Signals) -> None:
    """Send the signal: the exit status is the signal's, one message says so, and nothing is a traceback."""
    status = command.end(number)
    said = "".join(command.err)
    assert status == 128 + number, said
    assert said.lower().count("interrupted") == 1
    assert "Traceback" not in said
    assert "Exception" not in said


def certificate(folder: Path) -> dict[str, Any]:
    """The certificate that the run left; it is valid, and no other file is half there."""
    schema = json.loads(files("conformance.report").joinpath("certificate.schema.json").read_text())
    told: dict[str, Any] = json.loads((folder / "certificate.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(told)
    assert (folder / "report.html").read_text().rstrip().endswith("</html>")
    assert {path.name for path in folder.iterdir()} <= {
        "certificate.json", "report.html", "junit.xml", "evidence", "logs",
    }  # fmt: skip
    return told


def assert_unfinished(told: dict[str, Any]) -> None:
    """Says that it was interrupted, and claims nothing."""
    assert told["interrupted"]
    assert told["verdict"] == "inconclusive"
    assert "interrupted" in told["summary"]


def assert_nothing_is_left(cache: Path) -> None:
    """No node, epmd or helper runs, and no node's folder is there."""
    wait(lambda: not processes_of(str(cache)), "node, epmd and helpers end")
    wait(lambda: not list((cache / "nodes").glob("*")), "the node's folder goes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_while_the_broker_starts(
    number: signal.Signals, start: Start, own_cache: dict[str, str], tmp_path: Path
) -> None:
    """No check had begun: there is no certificate, not even an earlier run's, and nothing of the broker."""
    report = tmp_path / "durable-ws-report"
    report.mkdir()
    (report / "certificate.json").write_text('{"verdict": "certified"}')
    command = start("certify", "--broker", "local", **own_cache)
    command.until("using the local broker")
    wait(lambda: any("epmd" in line for line in processes_of(str(tmp_path / "cache"))), "epmd runs")
    interrupted(command, number)
    assert command.out == []
    assert list(report.iterdir()) == []
    assert_nothing_is_left(tmp_path / "cache")


def test_while_checks_run_on_a_node_of_its_own(start: Start, own_cache: dict[str, str], tmp_path: Path) -> None:
    """What was checked is in the certificate with its verdict, what was cut off shows nothing, the node is gone."""
    short = "delivery/steady"
    words = ["--only", short, "--only", LONG, "--timelines", "all"]  # so that the short one's history stays
    command = start("certify", "--broker", "local", *words, **own_cache)
    command.until("of 2 checks")
    evidence = tmp_path / "durable-ws-report/evidence"
    wait((evidence / short.replace("/", "-") / "history.jsonl").exists, "the short check is over")
    wait(lambda: list((evidence / LONG.replace("/", "-")).glob("play-*.jsonl")), "the long check is on")
    interrupted(command, signal.SIGINT)
    told = certificate(tmp_path / "durable-ws-report")
    assert_unfinished(told)
    assert [check["verdict"] for check in told["checks"]] == ["certified", "inconclusive"]
    assert told["checks"][1]["counts"]["lost"] == 0
    assert (tmp_path / "durable-ws-report" / told["checks"][1]["history"]).is_file()
    assert "INCONCLUSIVE: the run was interrupted" in "".join(command.out)
    assert_nothing_is_left(tmp_path / "cache")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_while_checks_run(number: signal.Signals, start: Start, shared: list[str], tmp_path: Path) -> None:
    """Every signal that asks for an end is obeyed in the same way; checks that wait in line are not made."""
    command = start("certify", *shared, "--only", "cut/blackhole*", "--json")
    evidence = tmp_path / "durable-ws-report/evidence"
    wait(lambda: list(evidence.glob("*/play-*.jsonl")), "a check is on")
    status = command.end(number)
    assert status == 128 + number
    assert "".join(command.err) == ""
    told = certificate(tmp_path / "durable-ws-report")
    assert json.loads("".join(command.out)) == told
    assert_unfinished(told)
    assert {check["verdict"] for check in told["checks"]} <= {"inconclusive", "not_checked", "certified"}


@pytest.mark.timeout(360)
def test_while_scenarios_are_drawn(start: Start, shared: list[str], tmp_path: Path) -> None:
    """The scenarios that were played count; the search ends at once."""
    command = start("certify", *shared, "--only", "generated/links", "--seed", "1", "--budget", "10m")
    command.until("generated/links")
    evidence = tmp_path / "durable-ws-report/evidence/generated-links"
    # A history goes with its play, so there is one at a time.
    wait(
        lambda: [path for path in evidence.glob("play-*.jsonl") if int(path.stem[5:]) >= 3],
        "some are played",
        most_s=150.0,
    )
    interrupted(command, signal.SIGINT)
    told = certificate(tmp_path / "durable-ws-report")
    assert told["interrupted"]
    [check] = told["checks"]
    assert check["evidence"]["scenarios"] >= 2
    assert not list(evidence.glob("play-*"))


HELD_UP = """
import signal, time
import conformance.certify
from conformance.cli.interrupts import INTERRUPTS
from conformance.cli.main import main

def held_up(*arguments):
    while INTERRUPTS.number is None:
        time.sleep(0.01)
    return whole(*arguments)

owner, name = {owner}, {name!r}
whole = getattr(owner, name)
setattr(owner, name, held_up)
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""The program, which does not go on with the named function before a signal was noted."""


@pytest.mark.parametrize(
    ("phase", "owner", "name"),
    [
        ("ending the broker", "conformance.certify.Stage", "close"),
        ("writing the report", "conformance.certify", "write_html"),
    ],
    ids=["ending the broker", "writing the report"],
)
def test_once_all_is_checked(
    phase: str, owner: str, name: str, shared: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    """Clean-up and report are done whole, and only then is the interruption told."""
    with subprocess.Popen(
        [
            sys.executable, "-c", HELD_UP.format(owner=owner, name=name),
            "certify", *shared, "--only", "delivery/steady",
        ],
        cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            command = Command(process)
            command.until(phase)
            interrupted(command, signal.SIGINT)
        finally:
            process.kill()
    told = certificate(tmp_path / "durable-ws-report")
    assert (told["interrupted"], told["verdict"]) == (False, "certified")
    assert "CERTIFIED" in "".join(command.out)
    assert command.err[-1] == "Interrupted.\n"


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    """Whoever can't wait for clean-up presses again: the supervisor does what is left to do."""
    program = (
        "import signal, sys, threading;"
        "from conformance.cli.interrupts import INTERRUPTS;"
        "INTERRUPTS.take(); INTERRUPTS.hold(); print('held', flush=True);"
        "threading.Event().wait()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        deadline = time.monotonic() + 20.0
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)  # between two presses of a key
        assert process.wait(0) == 128 + signal.SIGTERM


def test_a_signal_that_was_to_be_ignored_is_ignored() -> None:
    """Under nohup the end of the terminal is not the end of the run."""
    program = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "from conformance.cli.interrupts import INTERRUPTS;"
        "INTERRUPTS.take(); signal.raise_signal(signal.SIGHUP); print(INTERRUPTS.number)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
