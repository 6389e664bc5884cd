"""Bad input, as a table: one clear message with the way out, the right exit status, no traceback, nothing left."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conformance.cli import main as program
from conformance.contract.model import Contract
from conformance.history.events import TabOpened
from conformance.history.file import HistoryHeader, HistoryWriter
from conformance.scenario.codec import dump_scenario
from conformance.scenario.steps import OpenTab, Publish, Scenario
from conformance.world.broker.base import Broker


@dataclass(frozen=True)
class Bad:
    """One row: what is typed, the files that are there, what must be said, and the exit status."""

    id: str
    arguments: list[str]
    words: list[str]
    status: int = 2
    files: dict[str, str | bytes] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def _contract(id_: str, text: str | bytes, *words: str) -> Bad:
    return Bad(id_, ["certify", "c.toml"], list(words), files={"c.toml": text})


def _scenario(id_: str, text: str | bytes, *words: str) -> Bad:
    return Bad(id_, ["replay", "s.json"], list(words), files={"s.json": text})


def _history(id_: str, text: str | bytes, *words: str) -> Bad:
    return Bad(id_, ["check", "h.jsonl"], list(words), files={"h.jsonl": text})


_SCENARIO = dump_scenario(Scenario(steps=(OpenTab(tab="t1", key="ticks"), Publish(key="ticks"))))


def _altered(change: Callable[[dict[str, object]], object]) -> str:
    told = json.loads(_SCENARIO)
    change(told)
    return json.dumps(told)


def _oversize(told: dict[str, Any]) -> None:
    told["steps"][1]["size_bytes"] = 99_000_000


def _history_text() -> str:
    """A whole history: a header and two events."""
    import tempfile

    header = HistoryHeader(seed=0, command="", versions={}, case="x", namespace="n", contract={"schema": 1}, broker={})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h.jsonl"
        with HistoryWriter(path, header) as writer:
            writer.record(TabOpened, tab="t1", client="x")
            writer.record(TabOpened, tab="t2", client="x")
        return path.read_text()


_HISTORY = _history_text()
_HEADER, _FIRST, _SECOND = _HISTORY.splitlines()

TABLE = [
    # contract files
    Bad("contract-missing", ["certify", "no.toml"], ["no.toml"]),
    Bad("contract-is-a-folder", ["certify", "."], ["."]),
    _contract("contract-not-utf8", b"\xff\xfe", "c.toml", "UTF-8"),
    _contract("contract-syntax", "[tab\n", "c.toml", "line 1"),
    _contract("contract-unknown-section", "[tabs]\n", "tabs", "tab"),
    _contract("contract-unknown-key", "[tab]\nqueu = 'x'\n", "tab.queu", "queue"),
    _contract("contract-wrong-type", "[tab]\nprefetch = 'many'\n", "tab.prefetch", "many"),
    _contract("contract-out-of-range", "[tab]\nprefetch = 70000\n", "tab.prefetch", "70000"),
    _contract("contract-no-duration", "[tab]\nheart_beat = 'often'\n", "tab.heart_beat", "often", "10s"),
    _contract("contract-duration-without-unit", "[tab]\nheart_beat = 10\n", "tab.heart_beat", "10"),
    _contract("contract-unknown-choice", "[tab]\nack = 'clients'\n", "tab.ack", "clients", "client"),
    _contract("contract-schema", "schema = 2\n", "schema", "2"),
    _contract("contract-exchange-not-there", "[tab]\nexchange = 'events'\n", "tab.exchange", "events", "pubsub"),
    _contract("contract-unknown-exchange-type", "[exchanges.pubsub]\ntype = 'headers'\n", "exchanges.pubsub.type"),
    _contract("contract-no-keys", "[tab]\nrouting_keys = []\n", "tab.routing_keys"),
    _contract("contract-survives-what", "[promise]\nsurvives = ['cuts']\n", "promise.survives", "cuts", "cut"),
    _contract("contract-two-publishers", "[publisher]\npython = 'a:b'\ncommand = ['c']\n", "publisher"),
    _contract("contract-placeholder", "[tab]\ndestination = '/exchange/{nobody}'\n", "tab.destination"),
    _contract("contract-topic-elsewhere", "[tab]\ndestination = '/topic/{routing_key}'\n", "tab.destination"),
    _contract("contract-reserved-header", "[tab.headers]\nx-queue-name = 'q'\n", "tab.headers.x-queue-name"),
    _contract("contract-expires", "[tab.headers]\nx-expires = 'soon'\n", "tab.headers.x-expires", "soon"),
    _contract("contract-conf-missing", "[broker]\nconf = 'no.conf'\n", "broker.conf", "no.conf"),
    _contract("contract-nul", '[tab]\nqueue = "q\\u0000{tab}"\n', "tab.queue"),
    _contract("contract-queue-too-long", f"[tab]\nqueue = '{'q' * 300}'\n", "tab.queue", "255"),
    _contract("contract-header-with-newline", '[tab.headers]\nx-mine = "a\\nb"\n', "tab.headers.x-mine", "U+000A"),
    _contract("contract-header-name-with-newline", '[tab.headers]\n"x\\nb" = "a"\n', "tab.headers", "U+000A"),
    _contract("contract-huge", "# " + "x" * 1_100_000, "c.toml", "large"),
    Bad(
        "contract-definitions-no-json",
        ["certify", "c.toml"],
        ["broker.definitions", "d.json"],
        files={"c.toml": "[broker]\ndefinitions = 'd.json'\n", "d.json": "{"},
    ),
    Bad(
        "contract-conf-for-an-external-broker",
        ["certify", "c.toml", "--broker", "amqp://127.0.0.1:1/"],
        ["broker.conf", "r.conf", "--broker auto"],
        files={"c.toml": "[broker]\nconf = 'r.conf'\n", "r.conf": ""},
    ),
    # the command line
    Bad("broker-word", ["certify", "--broker", "provisoned"], ["--broker", "provisoned", "provisioned"]),
    Bad("timelines", ["certify", "--timelines", "some"], ["--timelines", "some", "violated or all"]),
    Bad("broker-scheme", ["certify", "--broker", "htp://x"], ["--broker", "htp://x", "amqp://"]),
    Bad("broker-no-host", ["certify", "--broker", "amqp://"], ["--broker", "amqp://"]),
    Bad("broker-port", ["certify", "--broker", "amqp://h:99999/"], ["--broker", "99999"]),
    Bad("image-malformed", ["certify", "--image", "::bad"], ["docker", "--image", "amqp://"], status=3),
    Bad("image-for-local", ["certify", "--broker", "local", "--image", "x:4"], ["--image", "x:4", "docker"]),
    Bad(
        "web-stomp-scheme",
        ["certify", "--broker", "amqp://127.0.0.1:1/", "--web-stomp", "http://x"],
        ["--web-stomp", "http://x"],
    ),
    Bad("web-stomp-without-url", ["certify", "--web-stomp", "ws://x/ws"], ["--web-stomp", "amqp://"]),
    Bad(
        "management-scheme",
        ["certify", "--broker", "amqp://127.0.0.1:1/", "--management", "x"],
        ["--management", "http://"],
    ),
    Bad("broker-refused", ["certify", "--broker", "amqp://u:secret@127.0.0.1:1/"], ["127.0.0.1:1", "***"], status=3),
    Bad("only-nothing", ["certify", "--only", "delivery/stedy"], ["--only", "delivery/stedy", "delivery/steady"]),
    Bad("exclude-nothing", ["certify", "--exclude", "nothing/*"], ["--exclude", "nothing/*"]),
    Bad("only-unpromised", ["certify", "--only", "delivery/steady", "--exclude", "*"], ["--only"]),
    Bad("budget", ["certify", "--budget", "soon"], ["--budget", "soon", "30s"]),
    Bad("budget-negative", ["certify", "--budget=-5s"], ["--budget", "-5s"]),
    Bad("seed", ["certify", "--seed", "one"], ["--seed", "'one'", "42"]),
    Bad("times", ["replay", "s.json", "--times", "0"], ["--times", "'0'", "from 1 to 1000"]),
    Bad("times-no-number", ["replay", "s.json", "--times", "2.5"], ["--times", "'2.5'"]),
    Bad("count", ["tail", "--count", "-1"], ["--count", "'-1'", "from 0"]),
    Bad("client", ["certify", "--client", "stompjs"], ["--client", "stompjs", "stomp.py"]),
    Bad("publisher-spec", ["certify", "--publisher", "mine"], ["--publisher", "mine"]),
    Bad("publisher-module", ["certify", "--publisher", "no_such_module:make"], ["--publisher", "no_such_module"]),
    Bad("publisher-attribute", ["certify", "--publisher", "json:make"], ["--publisher", "make"]),
    Bad("publisher-not-callable", ["certify", "--publisher", "json:__name__"], ["--publisher", "str"]),
    Bad(
        "publisher-raises",
        ["certify", "--publisher", "broken_publisher_module:make"],
        ["--publisher", "RuntimeError", "no luck"],
        files={"broken_publisher_module.py": "raise RuntimeError('no luck')\n"},
    ),
    Bad("command-empty", ["certify", "--publisher-command", " "], ["--publisher-command"]),
    Bad("command-quote", ["certify", "--publisher-command", "ruby 'p.rb"], ["--publisher-command", "quot"]),
    Bad("two-publishers", ["certify", "--publisher", "a:b", "--publisher-command", "c"], ["--publisher"]),
    Bad("report-is-a-file", ["certify", "--report", "f/r"], ["--report", "f/r"], files={"f": "x"}),
    Bad(
        "cache-below-a-file",
        ["certify", "--broker", "provisioned"],
        ["DURABLE_WS_CACHE", "f/cache"],
        files={"f": "x"},
        environment={"DURABLE_WS_CACHE": "f/cache"},
    ),
    Bad(
        "local-server",
        ["broker", "--broker", "local"],
        ["DURABLE_WS_RABBITMQ_SERVER", "/no/server"],
        environment={"DURABLE_WS_RABBITMQ_SERVER": "/no/server"},
    ),
    Bad("unknown-command", ["certfy"], ["certfy", "certify"]),
    Bad("unknown-option", ["certify", "--bugdet", "1s"], ["--bugdet", "--budget"]),
    Bad("unknown-world", ["selftest", "auto-delte"], ["auto-delte", "auto-delete"]),
    Bad("unknown-case", ["cases", "nothing/*"], ["nothing/*"]),
    # recipes by brokers
    Bad("matrix-recipe-missing", ["matrix", "no.toml"], ["no.toml"]),
    Bad(
        "matrix-recipe-broken",
        ["matrix", "r.toml"],
        ["r.toml", "tab.queu", "queue"],
        files={"r.toml": "[tab]\nqueu = 'x'\n"},
    ),
    Bad("matrix-recipe-twice", ["matrix", "r.toml", "r.toml"], ["r.toml", "twice"], files={"r.toml": ""}),
    Bad("matrix-only-nothing", ["matrix", "--only", "quorun-*"], ["--only", "quorun-*", "quorum"]),
    Bad("matrix-broker-word", ["matrix", "--broker", "provisoned"], ["--broker", "provisoned", "provisioned"]),
    Bad("matrix-image-twice", ["matrix", "--image", "x:1", "--image", "x:1"], ["--image", "x:1", "twice"]),
    Bad(
        "matrix-image-nowhere",
        ["matrix", "--image", "127.0.0.1:1/nowhere:1", "--report", "durable-ws-report"],
        ["docker", "127.0.0.1:1/nowhere:1", "--image", "amqp://"],
        status=3,
    ),
    Bad(
        "matrix-broker-refused",
        ["matrix", "--broker", "amqp://u:secret@127.0.0.1:1/", "--report", "durable-ws-report"],
        ["127.0.0.1:1", "***"],
        status=3,
    ),
    Bad("matrix-two-forms", ["matrix", "--json", "--markdown"], ["--markdown", "--json"]),
    Bad("matrix-seed", ["matrix", "--seed", "one"], ["--seed", "'one'", "42"]),
    Bad("matrix-report", ["matrix", "--report", "f/r"], ["--report", "f/r"], files={"f": "x"}),
    # scenario files
    Bad("scenario-missing", ["replay", "no.json"], ["no.json"]),
    _scenario("scenario-empty", "", "s.json"),
    _scenario("scenario-truncated", _SCENARIO[: len(_SCENARIO) // 2], "s.json"),
    _scenario("scenario-not-an-object", "[]", "s.json"),
    _scenario("scenario-unknown-step", _SCENARIO.replace("open_tab", "open_tap"), "open_tap", "open_tab"),
    _scenario("scenario-unknown-key", _altered(lambda told: told.update(sead=1)), "sead", "seed"),
    _scenario("scenario-tab-not-open", _SCENARIO.replace('"tab": "t1"', '"tab": ""'), "tab"),
    _scenario(
        "scenario-unknown-fault",
        _altered(
            lambda told: told["steps"].append(  # type: ignore[attr-defined]
                {"step": "begin_fault", "link": "t1", "fault": "rts", "parameters": {}}
            )
        ),
        "rts",
        "rst",
    ),
    _scenario("scenario-oversize-body", _altered(_oversize), "steps[1].size_bytes", "99000000"),
    _scenario("scenario-nested", "[" * 100_000, "s.json", "deep"),
    _scenario("scenario-huge", "[" * 20_000_000, "s.json", "large"),
    # history files
    Bad("history-missing", ["check", "no.jsonl"], ["no.jsonl"]),
    _history("history-empty", "", "h.jsonl"),
    _history("history-truncated-header", _HEADER[:40], "h.jsonl"),
    _history("history-other-format", '{"type":"header","format":"other"}\n', "h.jsonl"),
    _history("history-not-json", f"{_HEADER}\nhello\n{_SECOND}\n", "h.jsonl:2"),
    _history("history-unknown-event", f"{_HEADER}\n{_FIRST.replace('tab_opened', 'tab_opend')}\n", "tab_opend"),
    _history("history-wrong-type", _HISTORY.replace('"t1"', "7"), "h.jsonl:2"),
    _history("history-gap", f"{_HEADER}\n{_SECOND}\n{_FIRST}\n", "h.jsonl:2", "index"),
    _history("history-binary", b"\x00\xff" * 100, "h.jsonl"),
    _history("history-huge-line", f"{_HEADER}\n" + "x" * 9_000_000, "h.jsonl:2", "longer than"),
    _history("history-huge-header", "{" * 9_000_000, "h.jsonl:1", "longer than"),
    # publish and tail
    Bad("publish-no-url", ["publish", "x"], ["RABBITMQ_URL"]),
    Bad("publish-url", ["publish", "x", "--url", "http://u:secret@h"], ["url", "http", "amqp://"]),
    Bad("publish-exchange", ["publish", "x", "--url", "amqp://127.0.0.1:1/", "--to", "pubsb"], ["pubsb", "pubsub"]),
    Bad("publish-id-for-many", ["publish", "-", "--id", "x", "--url", "amqp://127.0.0.1:1/"], ["--id"]),
    Bad("publish-key", ["publish", "x", "--url", "amqp://127.0.0.1:1/", "-k", "k" * 300], ["255"]),
    Bad("publish-timeout", ["publish", "x", "--timeout", "-1s"], ["--timeout", "-1s", "30s"]),
    Bad("publish-timeout-none", ["publish", "x", "--timeout", "0s"], ["--timeout", "0s", "30s"]),
    Bad(
        "publish-refused",
        ["publish", "x", "--url", "amqp://u:secret@127.0.0.1:1/", "--timeout", "300ms"],
        ["127.0.0.1:1", "***", "not sent", "Check host and port"],
        status=3,
    ),
    Bad("tail-url", ["tail", "--url", "http://x"], ["--url", "http://x", "ws://"]),
    Bad("tail-exchange", ["tail", "--exchange", "events"], ["--exchange", "events", "pubsub"]),
]


def _run(row: Bad, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Type it, and hold what every row must show."""
    for name, content in row.files.items():
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("RABBITMQ_URL", raising=False)
    for name, value in row.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["durable-ws", *row.arguments])
    with pytest.raises(SystemExit) as ended:
        program.main()
    told = capsys.readouterr()
    said = re.sub(r"\s+", " ", told.err)
    assert ended.value.code == row.status, said
    assert "Traceback" not in told.err + told.out
    assert "secret" not in told.err + told.out
    assert told.out == ""
    for word in row.words:
        assert word in said
    left = {path.name for path in folder.iterdir()} - set(row.files) - {"__pycache__", "durable-ws-report"}
    assert not left
    assert not list(folder.glob("durable-ws-report/*"))
    return said


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_bad_input(
    row: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The row's exit status and words; nothing on standard output, no traceback, no password, no file."""
    _run(row, tmp_path, monkeypatch, capsys)


@pytest.mark.broker
@pytest.mark.parametrize("what", ["password", "vhost", "web-stomp", "not-amqp"])
def test_a_broker_that_will_not_have_it(
    what: str, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong password, missing vhost, no Web-STOMP at the address, a port that speaks something else."""
    addresses = broker.addresses
    web_stomp = ["--web-stomp", addresses.web_stomp]
    rows = {
        "password": Bad(
            "", ["certify", "--broker", addresses.amqp.replace(":guest@", ":wrong@"), *web_stomp], ["password"], 3
        ),
        "vhost": Bad(
            "", ["certify", "--broker", addresses.amqp.replace("%2F", "nowhere"), *web_stomp], ["nowhere", "vhost"], 3
        ),
        "web-stomp": Bad(
            "",
            ["certify", "--broker", addresses.amqp, "--web-stomp", "ws://127.0.0.1:1/ws"],
            ["ws://127.0.0.1:1/ws", "rabbitmq_web_stomp"],
            3,
        ),
        "not-amqp": Bad(
            "",
            ["certify", "--broker", (addresses.management or "").replace("http://", "amqp://") + "/%2F", *web_stomp],
            ["no AMQP connection"],
            3,
        ),
    }
    _run(rows[what], tmp_path, monkeypatch, capsys)


def test_a_torn_history_is_told_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A crash tears the last line: the rest is checked, and the user is told."""
    (tmp_path / "h.jsonl").write_text(_HISTORY[:-20])
    monkeypatch.setattr("sys.argv", ["durable-ws", "check", str(tmp_path / "h.jsonl")])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 3
    assert "Note:" in capsys.readouterr().err


def test_the_contract_of_the_table_is_the_built_in_one() -> None:
    """The rows change one thing each: what they change it in is sound."""
    assert Contract().tab.exchange in Contract().exchanges
    assert len(TABLE) >= 40
