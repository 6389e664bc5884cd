"""An installed server: where it is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.errors import BrokerUnavailable, UsageError
from conformance.world.broker import local
from conformance.world.broker.local import local_program


def program(path: Path) -> Path:
    """Make a file that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system where places are below the test's folder, with an epmd and no server."""
    monkeypatch.setattr(local, "_SERVERS", (f"{tmp_path}/a/rabbitmq_server-*/server", f"{tmp_path}/b/server"))
    monkeypatch.setattr(local, "_EPMDS", ())
    monkeypatch.delenv("DURABLE_WS_RABBITMQ_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    program(tmp_path / "bin/epmd")
    return tmp_path


def test_the_first_place_and_its_newest_version(installed: Path) -> None:
    """3.10 is newer than 3.9, and another place counts only where the first has none."""
    program(installed / "b/server")
    assert local_program().server == installed / "b/server"
    for version in ("3.9.29", "3.10.8", "3.10.7"):
        program(installed / f"a/rabbitmq_server-{version}/server")
    assert local_program().server == installed / "a/rabbitmq_server-3.10.8/server"
    assert local_program().epmd == installed / "bin/epmd"


def test_the_one_that_was_named(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's wins, and a relative name counts from here, not from the node's folder."""
    program(installed / "b/server")
    program(installed / "mine/server")
    monkeypatch.chdir(installed)
    monkeypatch.setenv("DURABLE_WS_RABBITMQ_SERVER", "mine/server")
    assert local_program().server == installed / "mine/server"


@pytest.mark.parametrize("name", ["nothing", "bin", "text"])
def test_what_is_no_program(name: str, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing there, a folder, a file that can't be run: refused by name."""
    (installed / "text").write_text("x")
    monkeypatch.setenv("DURABLE_WS_RABBITMQ_SERVER", str(installed / name))
    with pytest.raises(UsageError, match=rf"DURABLE_WS_RABBITMQ_SERVER: '.*/{name}' is no program"):
        local_program()


def test_none_is_installed(installed: Path) -> None:
    """Says where it looked and how another is named."""
    with pytest.raises(BrokerUnavailable, match=f"looked at {installed}/a.*DURABLE_WS_RABBITMQ_SERVER"):
        local_program()


def test_without_erlang(installed: Path) -> None:
    """A server alone does not run."""
    program(installed / "b/server")
    (installed / "bin/epmd").unlink()
    with pytest.raises(BrokerUnavailable, match="no epmd on PATH"):
        local_program()
