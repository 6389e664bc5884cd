"""A session's checks end in results, whatever happens in them."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn, cast

import pytest

from conformance.catalogue.select import all_checks, select
from conformance.catalogue.session import Session, Setup
from conformance.catalogue.stage import Stage
from conformance.contract.model import Contract
from conformance.errors import HarnessError
from conformance.history.file import read_history
from conformance.world.broker.base import Broker
from conformance.world.publisher.base import MakePublisher
from conformance.world.publisher.choose import chosen_publisher
from tests.borrowed import Borrowed


class FakeBroker:
    """Up at once."""

    capabilities = frozenset({"management"})

    def start(self) -> None:
        """It is."""

    def stop(self) -> None:
        """Nothing to end."""

    def log(self) -> str:
        """Nothing to tell."""
        return ""


@pytest.mark.parametrize(
    ("trouble", "told"),
    [(HarnessError("no luck"), "could not make this check: no luck"), (KeyError("oops"), "crashed in this check: Key")],
)
def test_a_check_that_fails_shows_nothing_either_way(
    trouble: Exception, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite's own trouble is inconclusive, never violated and never the end of the other checks."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise trouble

    monkeypatch.setattr("conformance.catalogue.session.play", fail)
    setup = Setup(contract=Contract(), make_publisher=cast("MakePublisher", None))
    with Stage(lambda _: cast("Broker", FakeBroker())) as stage:
        session = Session(setup, select(all_checks(), ["delivery/steady"]), stage)
        session.begin()
        result = session.result("delivery/steady")
    assert result.verdict == "inconclusive"
    assert told in result.summary
    assert ("crash" in result.evidence) == isinstance(trouble, KeyError)


@pytest.mark.broker
@pytest.mark.parametrize("keep_all", [False, True])
def test_the_history_of_what_held_is_kept_only_on_demand(keep_all: bool, broker: Broker, tmp_path: Path) -> None:
    """Asked for, a certified check leaves its history and its scenario as a violated one does."""
    _, make_publisher = chosen_publisher(Contract(), None, None)
    setup = Setup(contract=Contract(), make_publisher=make_publisher, report=tmp_path, keep_all=keep_all)
    with Stage(lambda _: cast("Broker", Borrowed(broker))) as stage:
        session = Session(setup, select(all_checks(), ["delivery/steady"]), stage)
        session.begin()
        result = session.result("delivery/steady")
    assert result.verdict == "certified", result.summary
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == (
        {"history.jsonl", "scenario.json"} if keep_all else set()
    )
    if keep_all:
        assert result.history is not None
        assert sum(1 for _ in read_history(result.history)) > 10
