"""Recipes on a real broker."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from conformance.checker.checker import check
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.errors import BrokerUnavailable
from conformance.history.file import read_history
from conformance.matrix.cells import Cell, Matrix
from conformance.matrix.plays import CUT
from conformance.matrix.recipes import BUILT_IN, Recipe, load_recipes, select_recipes
from conformance.matrix.run import Source, run_matrix
from conformance.report.matrix import cell_lines, cell_text
from conformance.scenario.codec import load_scenario_file
from conformance.scenario.steps import Step
from conformance.world.broker.base import Broker
from conformance.world.broker.choose import MakeBroker, broker_maker
from tests.images import images, why_not
from tests.matrix.expected import expected


def _source(broker: Broker) -> Source:
    """The shared broker as one that runs already: nothing takes it down."""
    at = broker.addresses

    def make(conf: Path | None, definitions: Path | None, on_progress: Callable[[str], None]) -> MakeBroker:
        return broker_maker(
            at.amqp,
            conf=conf,
            definitions=definitions,
            web_stomp=at.web_stomp,
            management=at.management,
            on_progress=on_progress,
        )

    return Source(label="shared", options=("--broker", "x"), make=make)


def _nowhere(label: str = "nowhere") -> Source:
    def make(*_: object) -> NoReturn:
        raise BrokerUnavailable("there is none")

    return Source(label=label, options=(), make=make)


def _told(cells: Iterable[Cell]) -> dict[str, tuple[str, str]]:
    return {cell.recipe.id: (cell.verdict, cell_text(cell)) for cell in cells}


@pytest.mark.broker
def test_cells_are_what_was_measured(broker: Broker, tmp_path: Path) -> None:
    """Each verdict of those that a broker can have which runs already; and the evidence of every one."""
    wanted = expected(broker.version)
    if wanted is None:
        pytest.skip(f"nobody has measured RabbitMQ {broker.version} by hand")
    recipes = select_recipes(
        list(BUILT_IN.values()), ["gem", "auto-delete", "ack-auto", "expires-100", "message-ttl-100", "max-length-1",
                                  "quorum-priority"],
    )  # fmt: skip
    seen: list[Cell] = []
    matrix = run_matrix(recipes, [_source(broker)], seed=7, report=tmp_path, on_cell=seen.append)
    assert _told(matrix.cells) == {recipe.id: wanted[recipe.id] for recipe in recipes}
    assert {cell.id for cell in seen} == {cell.id for cell in matrix.cells}
    assert matrix.columns[0].version == broker.version
    for cell in matrix.cells:
        folder = tmp_path / "evidence" / "shared" / cell.recipe.id / "cut"
        scenario, contract = load_scenario_file(folder / "scenario.json")
        assert scenario.seed == 7
        assert contract == cell.recipe.contract
        result = cell.outcomes[0].result
        assert result.history == folder / "history.jsonl"
        assert check(read_history(folder / "history.jsonl"), cell.recipe.contract) == result.detail


@pytest.mark.broker
def test_what_this_broker_cannot_do_is_told(broker: Broker) -> None:
    """A restart is not asked of a broker that runs already, and the cell is not certified for the half."""
    (cell,) = run_matrix([BUILT_IN["recommended"]], [_source(broker)]).cells
    assert cell.verdict == "not_checked"
    assert cell_lines(cell) == ["3/3, restart not checked"]
    assert "restart" in cell.summary


@pytest.mark.broker
def test_a_contract_file_is_held_to_its_promise_by_its_settings(broker: Broker, tmp_path: Path) -> None:
    """An expiry below the promised outage shows though nothing was lost in the cut."""
    path = tmp_path / "short.toml"
    headers = "durable = true\nauto-delete = false\nexclusive = false\nx-expires = 600000\n"
    path.write_text(f'[promise]\nsurvives = ["cut"]\n[tab.headers]\n{headers}')
    (cell,) = run_matrix(load_recipes([path]), [_source(broker)], report=tmp_path).cells
    assert (cell.recipe.id, cell.verdict) == ("short", "violated")
    assert cell_lines(cell) == ["3/3, longest-outage", "queue-expires"]


@pytest.mark.broker
def test_what_breaks_spoils_nothing_else(broker: Broker) -> None:
    """A plan that fails, settings that this broker can't have, a broker that is not there."""

    def breaks(_: Contract) -> Iterable[Step]:
        raise ZeroDivisionError("what a plan")

    ours = Recipe(id="ours", title="", contract=Contract(), plays=(CUT,))
    broken = Recipe(id="broken", title="", contract=Contract(), plays=(replace(CUT, plan=breaks),))
    settings = contract_from_dict({"broker": {"definitions": "d.json"}})
    other = Recipe(id="other-settings", title="", contract=settings, plays=(CUT,))
    nothing = Recipe(id="nothing", title="", contract=Contract(), plays=())
    matrix = run_matrix([broken, other, ours, nothing], [_nowhere(), _source(broker)])
    verdicts = {cell.id: cell.verdict for cell in matrix.cells}
    assert verdicts == {
        "broken@nowhere": "not_checked",
        "other-settings@nowhere": "not_checked",
        "ours@nowhere": "not_checked",
        "nothing@nowhere": "not_checked",
        "broken@shared": "inconclusive",
        "other-settings@shared": "not_checked",
        "ours@shared": "certified",
        "nothing@shared": "not_checked",
    }
    said = {cell.id: cell.summary for cell in matrix.cells}
    assert "ZeroDivisionError: what a plan" in said["broken@shared"]
    assert "d.json" in said["other-settings@shared"]
    assert said["ours@nowhere"] == "there is none"
    assert matrix.verdict == "inconclusive"


def test_columns_have_names_of_their_own() -> None:
    """Fit for folders, whatever was asked for."""
    labels = ["a/b:1", "a:b:1", "amqp://h:5672/%2F", "é"]
    matrix = run_matrix([BUILT_IN["gem"]], [_nowhere(label) for label in labels])
    assert [column.id for column in matrix.columns] == ["a-b-1", "a-b-1-2", "amqp-h-5672-2F", "broker"]


def test_an_interrupt_leaves_a_whole_matrix() -> None:
    """What has not been played is not checked; nothing is missing."""

    def make(*_: object) -> NoReturn:
        _thread.interrupt_main()
        threading.Event().wait(0.5)  # the main thread has it meanwhile
        raise BrokerUnavailable("interrupted")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born deaf to it
    try:
        matrix = run_matrix([BUILT_IN["gem"]], [Source(label="x", options=(), make=make), _nowhere()])
    finally:
        signal.signal(signal.SIGINT, before)
    assert matrix.interrupted
    assert {cell.verdict for cell in matrix.cells} == {"not_checked"}
    assert len(matrix.cells) == 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    """The built-in recipes on every image that is here."""

    def source(image: str) -> Source:
        return Source(
            label=image,
            options=("--image", image),
            make=lambda conf, definitions, on_progress: broker_maker(
                "docker", image=image, conf=conf, definitions=definitions, on_progress=on_progress
            ),
        )

    here = [image for image in images() if why_not(image) is None]
    return run_matrix(list(BUILT_IN.values()), [source(image) for image in here], report=tmp_path_factory.mktemp("m"))


@pytest.mark.broker
@pytest.mark.docker
@pytest.mark.timeout(600)
@pytest.mark.parametrize("image", images())
def test_every_cell_on_every_version(image: str, request: pytest.FixtureRequest) -> None:
    """The whole table as it was measured by hand, restarts included."""
    if (reason := why_not(image)) is not None:
        pytest.skip(reason)
    matrix: Matrix = request.getfixturevalue("whole")
    (column,) = [column for column in matrix.columns if column.label == image]
    wanted = expected(column.version)
    if wanted is None:
        pytest.skip(f"nobody has measured RabbitMQ {column.version} by hand")
    assert _told([cell for cell in matrix.cells if cell.column == column.id]) == wanted
