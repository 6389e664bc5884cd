"""Scenario files: written, read, and refused where they were cut, altered or made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.errors import UsageError
from conformance.scenario.codec import dump_scenario, load_scenario, load_scenario_file, scenario_from_dict
from conformance.scenario.steps import (
    AddAddress,
    AwaitFault,
    BeginFault,
    Behave,
    BrokerDown,
    BrokerUp,
    ClosePublisher,
    CloseTab,
    DuplicateTab,
    EndFault,
    OpenTab,
    Publish,
    ReloadTab,
    Scenario,
    Settle,
)

WHOLE = Scenario(
    seed=7,
    steps=(
        OpenTab(tab="t1", key="news.*"),
        Publish(key="news.é", count=3, body="unicode", wait=False),
        Publish(key="news.a", properties={"priority": 7, "headers": {"a": [1, None]}}, timeout_s=0.5, wait_s=2),
        AddAddress(),
        ClosePublisher(wait_s=0.5),
        Behave(tab="t1", withhold_acks=True),
        BeginFault(link="t1", fault="cut_after_delivery", parameters={"n": 2}),
        AwaitFault(link="t1"),
        EndFault(link="t1"),
        ReloadTab(tab="t1"),
        DuplicateTab(tab="t1"),
        BrokerDown(how="kill"),
        BrokerUp(),
        Settle(),
        CloseTab(tab="t1"),
    ),
)
OPEN = {"step": "open_tab", "tab": "t1"}


def write(folder: Path, content: Any) -> Path:
    """A file that holds the content: text as it is, all else as JSON."""
    path = folder / "scenario.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_round_trip(tmp_path: Path) -> None:
    """Every kind of step comes back as it was."""
    assert load_scenario(write(tmp_path, dump_scenario(WHOLE))) == WHOLE


def test_the_contract_travels_with_it(tmp_path: Path) -> None:
    """A file made with a contract is enough to play the scenario again."""
    contract = contract_from_dict({"tab": {"prefetch": 1}, "promise": {"abandoned_queues_expire": "never"}})
    path = write(tmp_path, dump_scenario(WHOLE, contract))
    assert load_scenario_file(path) == (WHOLE, contract)
    assert load_scenario(path) == WHOLE


def test_the_same_scenario_gives_the_same_text() -> None:
    """The text is used to know a scenario again."""
    assert dump_scenario(WHOLE) == dump_scenario(Scenario.model_validate(WHOLE.model_dump()))
    assert len(dump_scenario(WHOLE).splitlines()) == len(WHOLE.steps) + 6


def test_a_scenario_without_steps(tmp_path: Path) -> None:
    """Nothing to do is fine."""
    assert load_scenario(write(tmp_path, dump_scenario(Scenario()))) == Scenario()
    assert load_scenario(write(tmp_path, {})) == Scenario()


def test_the_contract_has_a_say(tmp_path: Path) -> None:
    """Exchanges are held against the contract that stands in the file."""
    step = {**OPEN, "exchange": "broadcats"}
    assert load_scenario(write(tmp_path, {"steps": [step]})).steps
    with pytest.raises(UsageError, match='Did you mean "broadcast"'):
        load_scenario(write(tmp_path, {"steps": [step], "contract": {}}))


def test_a_file_that_was_cut_short(tmp_path: Path) -> None:
    """Wherever it was cut, the error names the file and the place, and nothing is played."""
    text = dump_scenario(WHOLE, Contract()).rstrip()
    for length in range(0, len(text), 40):
        with pytest.raises(UsageError, match="no JSON") as caught:
            load_scenario(write(tmp_path, text[:length]))
        assert caught.value.field == str(tmp_path / "scenario.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ("[]", "no object"),
        ("null", "no object"),
        (" " * 5_000_001, "larger than 5000000 bytes"),
    ],
)
def test_refuses_other_files(tmp_path: Path, content: str, says: str) -> None:
    """The file is named."""
    with pytest.raises(UsageError, match=says) as caught:
        load_scenario(write(tmp_path, content))
    assert caught.value.field == str(tmp_path / "scenario.json")


def test_refuses_what_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, and bytes that are no UTF-8."""
    with pytest.raises(UsageError, match="can't be read"):
        load_scenario(tmp_path / "missing.json")
    path = tmp_path / "scenario.json"
    path.write_bytes(b'{"steps": ["\xff"]}')
    with pytest.raises(UsageError, match="not UTF-8"):
        load_scenario(path)


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        ({"stpes": []}, "stpes", 'Did you mean "steps"?'),
        ({"schema": 2}, "schema", "Write 1."),
        ({"seed": "7"}, "seed", "not an integer"),
        ({"steps": {}}, "steps", "not a list"),
        ({"steps": [3]}, "steps[0]", "an integer (3), not a table"),
        ({"steps": [OPEN, {"tab": "t1"}]}, "steps[1].step", "missing"),
        ({"steps": [OPEN, {"step": "relod_tab", "tab": "t1"}]}, "steps[1].step", 'Did you mean "reload_tab"?'),
        ({"steps": [{"step": ["x"]}]}, "steps[0].step", "not known"),
        ({"steps": [{"step": "open_tab"}]}, "steps[0].tab", "missing"),
        ({"steps": [{**OPEN, "tba": "t1"}]}, "steps[0].tba", 'Did you mean "tab"?'),
        ({"steps": [{**OPEN, "tab": 1}]}, "steps[0].tab", "an integer (1), not text"),
        ({"steps": [{**OPEN, "wait": "yes"}]}, "steps[0].wait", "not true or false"),
        ({"steps": [{"step": "publish", "count": 0}]}, "steps[0].count", "greater than or equal to 1"),
        ({"steps": [{"step": "publish", "count": 2.5}]}, "steps[0].count", "not an integer"),
        ({"steps": [{"step": "publish", "count": 10**9}]}, "steps[0].count", "less than or equal to"),
        ({"steps": [{"step": "publish", "body": "txt"}]}, "steps[0].body", 'Did you mean "text"?'),
        ({"steps": [{"step": "broker_down", "how": "pull the plug"}]}, "steps[0].how", "terminate, kill"),
        (
            {"steps": [OPEN, {"step": "begin_fault", "link": "t1", "fault": "rts"}]},
            "steps[1].fault",
            "Did you mean 'rst'?",
        ),
        (
            {"steps": [OPEN, {"step": "begin_fault", "link": "t1", "fault": "rst", "parameters": {"dwon": True}}]},
            "steps[1].parameters.dwon",
            "Its parameters are: down.",
        ),
        (
            {"steps": [OPEN, {"step": "begin_fault", "link": "t1", "fault": "rst", "parameters": []}]},
            "steps[1].parameters",
            "not a table",
        ),
    ],
)
def test_refuses_altered_steps(data: dict[str, Any], field: str, says: str) -> None:
    """The place in the file, the value, and a suggestion."""
    with pytest.raises(UsageError) as caught:
        scenario_from_dict(data)
    assert caught.value.field == field
    assert says in str(caught.value)


def test_refuses_a_contract_that_is_none(tmp_path: Path) -> None:
    """The contract's keys are named below ``contract``."""
    with pytest.raises(UsageError, match=r"contract\.tabb: .*Did you mean \"tab\""):
        load_scenario(write(tmp_path, {"contract": {"tabb": 1}}))
    with pytest.raises(UsageError, match="contract: this is no object"):
        load_scenario(write(tmp_path, {"contract": []}))


def test_tells_everything_at_once() -> None:
    """Two wrong steps, two lines."""
    with pytest.raises(UsageError) as caught:
        scenario_from_dict({"steps": [{"step": "opn_tab"}, {"step": "publish", "count": 0}]})
    assert "Also wrong:\n  steps[1].count" in str(caught.value)
