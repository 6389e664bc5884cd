"""Which broker is taken: the order of `auto`, and what is said where none is to be had."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from conformance.errors import BrokerUnavailable
from conformance.world.broker import choose
from conformance.world.broker.choose import broker_maker
from conformance.world.broker.node import Program

NO_DOCKER = "there is no Docker here"
NO_SERVER = "there is no server here"
NO_APT = "there is no apt here"


def lacking(why: str) -> object:
    """A way that is not to be had."""

    def way(*_: object, **__: object) -> NoReturn:
        raise BrokerUnavailable(why)

    return way


@pytest.fixture(autouse=True)
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has no way to a broker."""
    monkeypatch.setenv("DURABLE_WS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(choose, "faketime_library", lambda *_: None)
    monkeypatch.setattr(choose, "local_program", lacking(NO_SERVER))
    monkeypatch.setattr(choose, "provisioned_program", lacking(NO_APT))
    monkeypatch.setattr("conformance.world.broker.docker_daemon.reach_docker", lacking(NO_DOCKER))


def has(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system have it."""
    found = Program(server=Path(f"/{way}/rabbitmq-server"), epmd=Path("/epmd"))
    monkeypatch.setattr(choose, f"{way}_program", lambda *_: found)


def test_auto_takes_an_installed_server_before_it_fetches_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local comes before provisioned, and which it is is told."""
    has("provisioned", monkeypatch)
    told: list[str] = []
    assert broker_maker("auto", on_progress=told.append)(frozenset()).provider == "provisioned"
    has("local", monkeypatch)
    assert broker_maker("auto", on_progress=told.append)(frozenset()).provider == "local"
    assert told[-2:] == [
        "using the provisioned broker /provisioned/rabbitmq-server",
        "using the local broker /local/rabbitmq-server",
    ]


def test_the_way_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All brokers of one run come by the same way, each a node of its own."""
    has("local", monkeypatch)
    make = broker_maker("auto")
    first = make(frozenset())
    monkeypatch.setattr(choose, "local_program", lacking(NO_SERVER))
    assert make(frozenset()).provider == "local"
    assert make(frozenset()) is not first


def test_no_way_works() -> None:
    """Each way that was tried is listed with its reason and its remedy, and the one that needs no trying."""
    with pytest.raises(BrokerUnavailable) as raised:
        broker_maker("auto")(frozenset())
    told = str(raised.value)
    for word in ("docker", NO_DOCKER, "local", NO_SERVER, "provisioned", NO_APT, "external", "--broker amqp://"):
        assert word in told
    assert told.count("to make it work: ") == 3


@pytest.mark.parametrize(("way", "why"), [("docker", NO_DOCKER), ("local", NO_SERVER), ("provisioned", NO_APT)])
def test_the_way_that_was_asked_for(way: str, why: str) -> None:
    """No other way is tried in its stead."""
    with pytest.raises(BrokerUnavailable) as raised:
        broker_maker(way)(frozenset())
    assert why in str(raised.value)
    assert str(raised.value).count("to make it work: ") == 1
