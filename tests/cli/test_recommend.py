"""`durable-ws recommend`: what it prints and writes, and that a broker takes it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance.contract.loader import load_contract

if TYPE_CHECKING:
    from tests.cli.conftest import Run

SECURITY = "security/"


def test_it_is_printed(run: Run) -> None:
    """Every file, each line under its reason; as JSON the same."""
    printed, as_json = run("recommend"), run("recommend", "--json", "--rabbitmq", "4.3.6", "--vhost", "tabs")
    assert (printed.status, as_json.status) == (0, 0)
    for name in ("definitions.json", "reasons.txt", "rabbitmq.conf", "headers.txt", "contract.toml"):
        assert f"--- {name}" in printed.out
    told = json.loads(as_json.out)
    assert told["definitions"]["content"]["vhosts"] == [{"name": "tabs"}]
    assert "stomp.max_frame_size" in {line["key"] for line in told["rabbitmq.conf"]}
    assert all(line["reason"] for part in ("rabbitmq.conf", "tls", "headers") for line in told[part])
    assert told["tab"]["passcode"] not in json.dumps(told["definitions"])


def test_a_contract_of_ones_own(run: Run, tmp_path: Path) -> None:
    """Names and keys are the contract's; what it says of limits stays."""
    (tmp_path / "own.toml").write_text(
        '[exchanges.pubsub]\nname = "events"\ntype = "direct"\n[tab]\nqueue = "page-{tab}"\n[limits]\nqueues = 7\n'
    )
    assert run("recommend", "own.toml", "--out", "set").status == 0
    made = json.loads((tmp_path / "set/definitions.json").read_text())
    assert made["permissions"][0]["write"] == "^page\\-.+$"
    assert "topic_permissions" not in made
    contract = load_contract(tmp_path / "set/contract.toml")
    assert (contract.limits.queues, contract.promise.hostile_tab, contract.tab.login) == (7, True, "durable-ws-tab")
    assert stat.S_IMODE((tmp_path / "set/contract.toml").stat().st_mode) == 0o600


def test_what_lies_there_is_not_written_into(run: Run, tmp_path: Path) -> None:
    """A file that others may read, or a link to elsewhere, gets no passcode."""
    (tmp_path / "set").mkdir()
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "set/contract.toml").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/definitions.json").touch(mode=0o644)
    assert run("recommend", "--out", "set").status == 0
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert {stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "set").iterdir()} == {0o600}
    assert len(list((tmp_path / "set").iterdir())) == 5


def test_an_exchange_that_is_there_already(run: Run, tmp_path: Path) -> None:
    """It gets no topic permission, and the reason is told; whoever asks for one is told why not."""
    own = '[exchanges.pubsub]\nname = "amq.topic"\ntype = "topic"\n'
    (tmp_path / "own.toml").write_text(own)
    assert run("recommend", "own.toml", "--out", "set").status == 0
    assert "topic_permissions" not in json.loads((tmp_path / "set/definitions.json").read_text())
    assert "amq.topic is there already" in (tmp_path / "set/reasons.txt").read_text()
    (tmp_path / "own.toml").write_text(own + "[limits]\ntopic_permissions = true\n")
    ended = run("recommend", "own.toml")
    assert ended.status == 2
    assert "limits.topic_permissions: the exchange 'amq.topic' is there already" in ended.err


def test_another_vhost(run: Run, tmp_path: Path) -> None:
    """It is said that certifying happens elsewhere."""
    ended = run("recommend", "--vhost", "tabs", "--out", "set")
    assert "are for the vhost 'tabs'" in ended.err
    assert (tmp_path / "set/contract.toml").read_text().startswith("# These definitions are for the vhost 'tabs'.")
    assert load_contract(tmp_path / "set/contract.toml").promise.hostile_tab
    assert json.loads(run("recommend", "--vhost", "tabs", "--json").out)["notes"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rabbitmq", "3.8"], "--rabbitmq: '3.8' is older"),
        (["--rabbitmq", "new"], "--rabbitmq: 'new' is no version"),
        (["--connections", "none"], "--connections: 'none' is no whole number"),
        (["--vhost", ""], "--vhost: '' is no name"),
        (["--queues", "0"], "--queues: '0' is out of range"),
        (["--out", "file/below"], "--out: 'file/below' can't be written"),
    ],
)
def test_bad_input(run: Run, tmp_path: Path, words: list[str], told: str) -> None:
    """One message, exit status 2."""
    (tmp_path / "file").touch()
    ended = run("recommend", *words)
    assert ended.status == 2
    assert told in ended.err


def test_the_recommended_definitions_of_a_broker_that_runs_already(run: Run, tmp_path: Path) -> None:
    """They can't be imported there, and that is said before anything is tried."""
    (tmp_path / "c.toml").write_text('[broker]\ndefinitions = "recommended"\n[tab]\nlogin = "t"\n')
    ended = run("certify", "c.toml", "--broker", "amqp://guest:guest@127.0.0.1:1/%2F")
    assert ended.status == 2
    assert "broker.definitions: 'recommended' can't be applied" in ended.err


@pytest.mark.broker
def test_what_is_recommended_is_imported_and_certified(run: Run, tmp_path: Path) -> None:
    """`recommend` writes files that a broker starts with, and that let nothing through."""
    assert run("recommend", "--out", "set", "--connections", "20", "--queues", "30").status == 0
    contract = load_contract(tmp_path / "set/contract.toml")
    assert contract.limits.connections == 20
    chosen = [
        word for name in ("publish", "other-keys", "queues", "management") for word in ("--only", SECURITY + name)
    ]
    ended = run("certify", "set/contract.toml", "--broker", "auto", *chosen, "--only", "delivery/steady", "--quiet")
    assert ended.status == 0, ended.out + ended.err
    certificate = json.loads((tmp_path / "durable-ws-report/certificate.json").read_text())
    assert {check["verdict"] for check in certificate["checks"]} == {"certified"}
    assert len(certificate["checks"]) == 5
