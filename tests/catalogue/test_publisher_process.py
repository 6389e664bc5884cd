"""What is told of a publisher's process: for each case a program that it catches, and a sound one that it does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from conformance.catalogue.result import CheckResult
from conformance.catalogue.select import promised, select
from conformance.catalogue.session import Session, Setup
from conformance.catalogue.stage import Stage
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.history.events import FaultBegan, FaultEnded, FaultFired, PublishConfirmed, PublishUnknown
from conformance.history.file import read_history
from conformance.report.certificate import check_entry
from conformance.world.broker.base import Broker
from conformance.world.publisher.choose import chosen_publisher
from tests.borrowed import Borrowed

HERE = Path(__file__).parent
README = (HERE.parents[1] / "README.md").read_text(encoding="utf-8")
SOUND = HERE.parents[1] / "examples" / "publishers" / "publish_pika.py"
ALL = [check.id for check in promised(contract_from_dict({"publisher": {"command": ["x"]}}))]
CASES = [check_id for check_id in ALL if check_id.startswith("publisher-process/")]


@pytest.fixture(scope="module")
def stage(broker: Broker) -> Iterator[Stage]:
    """One stage for the file, on the broker that all tests share."""
    with Stage(lambda _: cast("Broker", Borrowed(broker))) as stage:
        yield stage


def played(stage: Stage, report: Path, command: list[str], *cases: str, keep: bool = False) -> list[CheckResult]:
    """What the cases say of the program."""
    contract = contract_from_dict({"publisher": {"command": command}})
    name, make_publisher = chosen_publisher(contract, None, None)
    setup = Setup(contract=contract, make_publisher=make_publisher, publisher_name=name, report=report, keep_all=keep)
    checks = select(promised(contract), cases)
    session = Session(setup, checks, stage)
    session.begin()
    return [session.result(check.id) for check in checks]


def broken(way: str, *arguments: object) -> list[str]:
    """The command of a broken program."""
    return [sys.executable, str(HERE / "broken_program.py"), way, *map(str, arguments)]


def told(result: CheckResult) -> str:
    """For a test that fails."""
    return f"{result.id} {result.verdict}: {result.summary} {[] if result.detail is None else result.detail.tally}"


def test_only_programs_are_killed() -> None:
    """For a publisher in this process the cases are not in the list; nor are bodies that a program can't be given."""
    in_process = [check.id for check in promised(Contract())]
    assert len(CASES) == 5
    assert not set(CASES) & set(in_process)
    assert set(in_process) - set(ALL) == {"delivery/binary-bodies", "hostile-input/not-utf8", "hostile-input/megabyte"}


@pytest.mark.broker
def test_a_sound_program_holds(stage: Stage, tmp_path: Path) -> None:
    """Each fault is seen to have happened in the middle of publishes, and all that was confirmed came."""
    results = played(stage, tmp_path, [sys.executable, str(SOUND)], "publisher-process/*", keep=True)
    assert [result.verdict for result in results] == ["certified"] * len(CASES), "\n".join(map(told, results))
    for result in results:
        assert result.history is not None
        events = list(read_history(result.history))
        (began,) = (event for event in events if isinstance(event, FaultBegan) and event.target == "program")
        (ended,) = (event for event in events if isinstance(event, FaultEnded) and event.target == "program")
        (fired,) = (event for event in events if isinstance(event, FaultFired) and event.target == "program")
        assert ended.fired
        assert began.index < fired.index < ended.index
        unknown = sum(isinstance(event, PublishUnknown) for event in events)
        assert unknown == ended.counts.get("under_way", 0), result.id
        later = [event for event in events if isinstance(event, PublishConfirmed) and event.index > ended.index]
        assert later, f"{result.id}: nothing was confirmed after it"
    assert {result.id.rpartition("/")[2]: _killed(result) for result in results} == {
        "killed": 1,
        "killed-again": 3,
        "started-without-broker": 1,
        "stopped": 0,
        "stopped-and-cut": 0,
    }


def _killed(result: CheckResult) -> int:
    """In the middle of publishes at least so often."""
    assert result.history is not None
    (ended,) = (
        event for event in read_history(result.history) if isinstance(event, FaultEnded) and event.target == "program"
    )
    parameters = [event for event in read_history(result.history) if isinstance(event, FaultBegan)]
    wanted = next(event for event in parameters if event.target == "program").parameters.get("times", 1)
    killed = ended.counts.get("killed", 0)
    assert killed == 0 or killed >= wanted
    return wanted if killed else 0


@pytest.mark.broker
@pytest.mark.parametrize(
    ("case", "way", "kind", "cause"),
    [
        ("killed", "early", "lost", "publisher-dropped"),
        ("killed-again", "lock-file", "stuck", "never-came-back"),
        ("started-without-broker", "needs-broker", "stuck", "never-came-back"),
        ("stopped", "impatient", "misreported", "failed-but-delivered"),
        ("stopped-and-cut", "optimist", "lost", "unconfirmed"),
    ],
)
def test_a_broken_program_is_caught(case: str, way: str, kind: str, cause: str, stage: Stage, tmp_path: Path) -> None:
    """For what is wrong with it."""
    (result,) = played(stage, tmp_path, broken(way, tmp_path / "lock"), f"publisher-process/{case}")
    assert result.verdict == "violated", told(result)
    assert result.detail is not None
    assert (kind, cause) in {(entry.kind, entry.cause) for entry in result.detail.tally}, told(result)


@pytest.mark.broker
def test_its_last_words_are_kept(stage: Stage, tmp_path: Path) -> None:
    """What a program that dies wrote on its standard error stands beside the evidence, and in the reasons."""
    (tmp_path / "lock").touch()
    (result,) = played(stage, tmp_path, broken("lock-file", tmp_path / "lock"), "delivery/steady")
    assert result.verdict == "inconclusive", told(result)
    assert result.detail is not None
    (died,) = (reason for reason in result.detail.inconclusive_reasons if "broke the protocol" in reason)
    assert "ended with status 1" in died
    assert "FileExistsError" in died
    assert result.stderr == tmp_path / "evidence" / "delivery-steady" / "publisher-stderr.txt"
    assert "FileExistsError" in result.stderr.read_text(encoding="utf-8")
    entry = check_entry(result, tmp_path, ["durable-ws"])
    assert entry["stderr"] == "evidence/delivery-steady/publisher-stderr.txt"
    assert json.loads(json.dumps(entry))["history"] == "evidence/delivery-steady/history.jsonl"


@pytest.mark.broker
def test_one_that_contradicts_itself_is_not_certified(stage: Stage, tmp_path: Path) -> None:
    """All came, and yet: who says confirmed and nacked of one message may be wrong about another."""
    (result,) = played(stage, tmp_path, broken("talks"), "delivery/steady")
    assert result.verdict == "inconclusive", told(result)
    assert result.detail is not None
    assert result.detail.counts.confirmed == 20
    assert result.detail.counts.lost == 0
    (reason,) = result.detail.inconclusive_reasons
    assert "twice: first confirmed, which counts, then nacked (" in reason


@pytest.mark.broker
def test_the_readmes_ten_lines(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are all that a publisher of one's own needs to be put under test."""
    (tmp_path / "wired.py").write_text(README.split("`wired.py`, around")[1].split("```python\n")[1].split("```")[0])
    (tmp_path / "myapp").mkdir()
    (tmp_path / "myapp" / "messaging.py").write_text(
        "from conformance.selftest.publishers import Plain\n"
        "from durable_ws import Unroutable\n"
        "class Publisher(Plain):\n"
        "    def publish(self, exchange, routing_key, body, *, message_id):\n"
        "        super().publish(body.encode(), exchange=exchange, routing_key=routing_key, message_id=message_id)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{HERE.parents[1]}:{tmp_path}")
    command = [sys.executable, str(tmp_path / "wired.py")]
    results = played(stage, tmp_path, command, "delivery/steady", "publishing/nobody-bound")
    assert [result.verdict for result in results] == ["certified"] * 2, "\n".join(map(told, results))
