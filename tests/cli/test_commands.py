"""Each command as it is typed: what it prints, where, and its exit status."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from conformance.catalogue.select import all_checks
from conformance.world.broker.base import Broker
from conformance.world.tab.page import Page
from tests.world.network.wire import wait_until

if TYPE_CHECKING:
    from tests.cli.conftest import Run, Start

AWAY = "reconnection/published-while-away"
AUTO_DELETE = """
[tab.headers]
durable = "true"
exclusive = "false"
auto-delete = "true"
x-expires = "86400000"
"""


@pytest.fixture
def contract(broker: Broker, tmp_path: Path, namespace: str) -> Iterator[Path]:
    """A contract with names of the test's own: its exchange, which is there, and the queue of tab `t`."""
    path = tmp_path / "contract.toml"
    path.write_text(f'[exchanges.pubsub]\nname = "{namespace}"\n[tab]\nqueue = "{namespace}-{{tab}}"\n')
    broker.ask("PUT", f"/exchanges/%2F/{namespace}", {"type": "topic", "durable": True})
    yield path
    broker.delete(queues=[f"{namespace}-t"], exchanges=[namespace])


# --- the program ---------------------------------------------------------------------------------


def test_the_version(run: Run) -> None:
    """Name and version, nothing else."""
    ended = run("--version")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"durable-ws {importlib.metadata.version('durable-ws')}\n"


def test_help_names_every_command(run: Run) -> None:
    """Asked for, it is no error; typed without a word, it is bad usage that shows the same."""
    asked, bare = run("--help"), run()
    assert (asked.status, bare.status) == (0, 2)
    assert asked.out == bare.out
    for command in ("certify", "replay", "check", "cases", "diff", "schema", "selftest", "publish", "tail", "broker"):
        assert re.search(rf"(?m)^\W*{command}\s", asked.out)
        assert run(command, "--help").status == 0


def test_a_list_whose_reader_goes() -> None:
    """`cases | head -1`: the program ends as others do, without a word about it."""
    read, write = os.pipe()
    os.close(read)
    program = "from conformance.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "cases"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


# --- cases ---------------------------------------------------------------------------------------


def test_cases(run: Run) -> None:
    """Every check with rule, expectation and source; a glob picks; JSON has the same."""
    everything = run("cases", "--json")
    rows = json.loads(everything.out)
    assert everything.status == 0
    assert [row["id"] for row in rows] == [check.id for check in all_checks()]
    assert all(row["rule"] and row["source"] and row["expectation"] for row in rows)
    picked = run("cases", "delivery/*")
    assert picked.status == 0
    ids = [line for line in picked.out.splitlines() if line and not line.startswith(" ")]
    assert ids == [row["id"] for row in rows if row["id"].startswith("delivery/")]
    assert "Expected: " in picked.out
    assert "Source: " in picked.out


# --- certify, check, replay ----------------------------------------------------------------------


@pytest.mark.broker
def test_certify(run: Run, shared: list[str], tmp_path: Path) -> None:
    """What is certified: a table on standard output, progress on standard error, the report's files."""
    ended = run("certify", "--only", "delivery/steady", "--seed", "7", "--report", "kept", *shared)
    assert ended.status == 0
    assert "CERTIFIED: the one check held" in ended.out
    assert re.search(r"delivery/steady +\d+ +\d+ +0 ", ended.out)
    assert "seed 7" in " ".join(ended.out.split())
    assert "Report: kept/report.html" in ended.out
    assert max(len(line) for line in ended.out.splitlines()) <= 80
    assert "\x1b" not in ended.out + ended.err
    assert "starting the broker" in ended.err
    assert "[1 of 1 checks, " in ended.err
    told = json.loads((tmp_path / "kept/certificate.json").read_text())
    assert (told["verdict"], told["seed"], [check["id"] for check in told["checks"]]) == (
        "certified", 7, ["delivery/steady"],
    )  # fmt: skip
    assert {"certificate.json", "report.html", "junit.xml"} <= {path.name for path in (tmp_path / "kept").iterdir()}


@pytest.mark.broker
def test_certify_json(run: Run, shared: list[str], tmp_path: Path) -> None:
    """Standard output is the certificate and nothing else; standard error is silent."""
    ended = run("certify", "--only", "delivery/*", "--exclude", "delivery/s*", "--json", *shared)
    assert (ended.status, ended.err) == (0, "")
    told = json.loads(ended.out)
    assert told == json.loads((tmp_path / "durable-ws-report/certificate.json").read_text())
    ids = [check["id"] for check in told["checks"]]
    assert ids
    assert all(check_id.startswith("delivery/") and not check_id.startswith("delivery/s") for check_id in ids)


@pytest.mark.broker
def test_certify_quiet(run: Run, shared: list[str]) -> None:
    """One sentence where all is well."""
    ended = run("certify", "--only", "delivery/steady", "--quiet", *shared)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("CERTIFIED: the one check held")
    assert len(ended.out.splitlines()) <= 2


@pytest.mark.broker
def test_what_is_violated_can_be_checked_and_replayed(run: Run, shared: list[str], tmp_path: Path) -> None:
    """A losing setup: exit status 1, the cause and the way out; its history and its scenario show the same again."""
    (tmp_path / "c.toml").write_text(AUTO_DELETE)
    ended = run("certify", "c.toml", "--only", AWAY, "--report", "lost", *shared)
    said = " ".join(ended.out.split())
    assert ended.status == 1
    assert f"VIOLATED {AWAY}" in said
    assert "Cause: auto-delete-queue" in said
    assert 'Set tab.headers.auto-delete = "false"' in said
    assert "VIOLATED: 1 of 1 check broke the promise (auto-delete-queue)." in said
    command = re.search(r"Replay: durable-ws (replay \S+/scenario\.json)", said)
    history = re.search(r"History: (\S+/history\.jsonl)", said)
    assert command is not None
    assert history is not None
    junit = (tmp_path / "lost/junit.xml").read_text()
    assert 'failures="1"' in junit
    assert "auto-delete" in junit

    again = run("check", history[1])
    assert again.status == 1
    assert again.err == ""
    assert "Cause: auto-delete-queue" in again.out
    told = json.loads(run("check", history[1], "--json").out)
    assert (told["verdict"], told["case"], told["torn"]) == ("violated", AWAY, None)

    replayed = run(*command[1].split(), "--times", "2", "--history", "again.jsonl", *shared)
    assert replayed.status == 1
    assert "2 of 2 plays were violated." in replayed.out
    assert run("check", "again.jsonl").status == 1
    counted = json.loads(run(*command[1].split(), "--json", *shared).out)
    assert (counted["verdict"], counted["plays"], counted["violated"]) == ("violated", 1, 1)

    (tmp_path / "sound.toml").write_text("")
    mended = run(*command[1].split(), "--contract", "sound.toml", *shared)
    assert mended.status == 0


@pytest.mark.broker
def test_what_an_external_broker_can_not_do_is_not_checked(run: Run, shared: list[str], tmp_path: Path) -> None:
    """A restart of a broker that the suite did not start is told, and the verdict is not `certified`."""
    ended = run("certify", "--only", "broker/restart-while-away", "--only", "delivery/steady", *shared)
    assert ended.status == 3
    assert "this broker can't be asked to: restart" in " ".join(ended.out.split())
    told = json.loads((tmp_path / "durable-ws-report/certificate.json").read_text())
    assert [check["verdict"] for check in told["checks"]] == ["certified", "not_checked"] or [
        check["verdict"] for check in told["checks"]
    ] == ["not_checked", "certified"]


@pytest.mark.broker
def test_a_reader_that_goes_does_not_change_the_verdict(
    shared: list[str], tmp_path: Path, environment: dict[str, str]
) -> None:
    """`certify | head -1`: the exit status is the verdict's and the report is written."""
    (tmp_path / "c.toml").write_text(AUTO_DELETE)
    read, write = os.pipe()
    os.close(read)
    program = "from conformance.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "certify", "c.toml", "--only", AWAY, *shared],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path, env=environment,
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "durable-ws-report/certificate.json").read_text())["verdict"] == "violated"


@pytest.mark.broker
@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal(no_color: bool, shared: list[str], tmp_path: Path, environment: dict[str, str]) -> None:
    """A bar that is taken away at the end, and colours unless NO_COLOR is set."""
    master, slave = pty.openpty()
    program = "from conformance.cli.main import main; main()"
    words = [sys.executable, "-c", program, "certify", "--only", "delivery/steady", *shared]
    terminal = environment | {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})
    with subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path, env=terminal) as process:
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 65536):
                shown += chunk
        except OSError:
            pass  # how Linux says that the other side has closed
        os.close(master)
        assert process.wait() == 0
    text = shown.decode()
    assert "CERTIFIED" in text
    assert "\x1b[?25l" in text, "the bar hides the cursor"
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "and shows it again"
    coloured = re.search(r"\x1b\[[\d;]*3[0-7]m", text) is not None
    assert coloured is not no_color


# --- publish and tail ----------------------------------------------------------------------------


@pytest.mark.broker
def test_publish(run: Run, broker: Broker) -> None:
    """One receipt for a message; JSON has its fields; a route that is asked for and is not there is status 1."""
    url = broker.addresses.amqp
    ended = run("publish", "hello", "--url", url, "--key", "no.body.listens", "--id", "my-id")
    assert (ended.status, ended.err) == (0, "")
    assert re.fullmatch(r"my-id  confirmed, but no queue is bound for it  [\d.]+ ms\n", ended.out)
    told = json.loads(run("publish", "hello", "--url", url, "--key", "no.body.listens", "--json").out)
    assert set(told) == {"message_id", "routed", "attempts", "latency_ms"}
    assert (told["routed"], told["attempts"]) == (False, 1)
    asked = run("publish", "hello", "--url", url, "--key", "no.body.listens", "--require-route")
    assert (asked.status, asked.out) == (1, "")
    assert "no queue is bound" in asked.err


@pytest.mark.broker
def test_publish_to_a_broker_that_refuses(run: Run, broker: Broker) -> None:
    """Wrong password and missing vhost: what the broker said, and no password."""
    url = broker.addresses.amqp
    for wrong, word in ((url.replace(":guest@", ":secret@"), "ACCESS_REFUSED"), (f"{url[:-3]}nowhere", "nowhere")):
        ended = run("publish", "x", "--url", wrong)
        assert ended.status == 2
        assert word in ended.err
        assert "secret" not in ended.err


@pytest.mark.broker
def test_publish_lines_and_be_the_tab_that_gets_them(
    start: Start, broker: Broker, contract: Path, namespace: str
) -> None:
    """`tail` prints what `publish -` sends, acks what it printed and takes no more; the next one gets the rest."""
    addresses = broker.addresses
    tab = ["tail", contract.name, "--url", addresses.web_stomp, "--tab", "t", "--key", "#"]
    publish = (
        "import sys; from durable_ws import Exchange, Publisher;"
        "p = Publisher(sys.argv[1], exchanges={'pubsub': Exchange(name=sys.argv[2])});"
        "[p.publish(body, routing_key='a.b', require_route=True) for body in sys.argv[3:]]; p.close()"
    )
    first = start(*tab, "--count", "2")
    first.until("subscribed to")
    subprocess.run([sys.executable, "-c", publish, addresses.amqp, namespace, "one", "two", "three"], check=True)
    assert first.end() == 0
    assert first.out == ["a.b  one\n", "a.b  two\n"]
    wait_until(lambda: broker.ready_count(f"{namespace}-t") == 1, "the third is in the queue again")
    second = start(*tab, "--count", "1", "--json")
    told = json.loads(second.until("three"))
    assert (told["body"], told["routing_key"]) == ("three", "a.b")
    assert second.end() == 0
    wait_until(lambda: broker.ready_count(f"{namespace}-t") == 0, "the third was acked")
    third = start(*tab)
    third.until("subscribed to")
    assert third.end(signal.SIGTERM) == 0
    assert "leaving\n" in third.err
    assert third.out == []


def test_tail_that_is_ended_as_it_opens(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIGTERM that comes before its page is whole ends it as any later one does."""
    begin = Page.start

    def start(page: Page) -> None:
        signal.raise_signal(signal.SIGTERM)
        begin(page)

    monkeypatch.setattr(Page, "start", start)
    ended = run("tail", "--url", "ws://127.0.0.1:1/ws")
    assert (ended.status, ended.out) == (0, "")
    assert "leaving\n" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.broker
def test_publish_reads_lines(start: Start, broker: Broker) -> None:
    """Each line is a message of its own."""
    command = start("publish", "-", "--url", broker.addresses.amqp, stdin="one\ntwo\n")
    assert command.end() == 0
    assert [line.split("  ")[1] for line in command.out] == ["confirmed, but no queue is bound for it"] * 2


@pytest.mark.broker
def test_tail_whose_reader_goes(
    start: Start, broker: Broker, contract: Path, namespace: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """`tail | head`: it ends, and what nobody read waits in the queue."""
    addresses = broker.addresses
    program = "from conformance.cli.main import main; main()"
    words = [
        "tail", contract.name, "--url", addresses.web_stomp, "--tab", "t", "--exchange", "pubsub", "--key", "#",
    ]  # fmt: skip
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=write, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
    ) as process:  # fmt: skip
        os.close(write)
        assert process.stderr is not None
        assert "subscribed to" in process.stderr.readline()
        os.close(read)
        broker.ask(
            "POST",
            f"/exchanges/%2F/{namespace}/publish",
            {"properties": {}, "routing_key": "k", "payload": "unread", "payload_encoding": "string"},
        )
        assert process.wait(30) == 128 + signal.SIGPIPE
        assert process.stderr.read() == ""
    again = start(*words, "--count", "1")
    assert "unread" in again.until("unread")
    assert again.end() == 0


# --- broker --------------------------------------------------------------------------------------


@pytest.mark.broker
def test_broker(start: Start, own_cache: dict[str, str], run: Run, tmp_path: Path) -> None:
    """Its addresses as JSON, usable at once; it ends on SIGTERM with status 0 and leaves nothing."""
    command = start("broker", "--broker", "local", "--json", **own_cache)
    told = json.loads(command.until('"amqp"'))
    assert set(told) == {"provider", "version", "amqp", "web_stomp", "management"}
    assert told["provider"] == "local"
    assert urlsplit(told["web_stomp"]).hostname == "127.0.0.1"
    assert run("publish", "x", "--url", told["amqp"]).status == 0
    assert command.end(signal.SIGTERM) == 0
    assert command.err[-1] == "Ending the broker.\n"
    assert list((tmp_path / "cache/nodes").iterdir()) == []


@pytest.mark.broker
def test_the_cache_folder_is_all_that_is_written_to(
    start: Start, environment: dict[str, str], shared: list[str], tmp_path: Path
) -> None:
    """The home folder stays as it is, also where the report's plots are drawn."""
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    command = start("certify", "--only", "delivery/steady", *shared, HOME=str(home), DURABLE_WS_CACHE=str(cache))
    assert command.end() == 0, command.err
    assert "<svg" in (tmp_path / "durable-ws-report/report.html").read_text(encoding="utf-8")
    assert list(home.iterdir()) == []
