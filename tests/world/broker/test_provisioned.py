"""RabbitMQ from the distribution's packages: fetched once, checked, remade where it is damaged, by one at a time.

apt-get and apt-cache are stand-ins that hand out one small package made with the real dpkg-deb.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.errors import BrokerUnavailable, UsageError
from conformance.world.broker.provisioned import PACKAGES, provisioned_program

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")

APT_GET = """#!/bin/sh
echo "$@" >>"$FAKE_APT/calls"
for word in "$@"; do case "$word" in
  update) [ ! -e "$FAKE_APT/broken" ] || { echo "E: The repository can't be reached" >&2; exit 100; };;
  download) cp "$FAKE_APT/server.deb" .;;
esac; done
"""
APT_CACHE = """#!/bin/sh
echo "Package: rabbitmq-server"
echo "SHA256: $(sha256sum <"$FAKE_APT/listed.deb" | cut -d' ' -f1)"
"""
SERVER = "usr/lib/rabbitmq/lib/rabbitmq_server-9.9.9/sbin/rabbitmq-server"
FILES = {
    SERVER: "#!/bin/sh\n",
    "usr/lib/rabbitmq/lib/rabbitmq_server-9.9.9/ebin/rabbit.beam": "code",
    "usr/lib/erlang/bin/erl": "#!/bin/sh\nROOTDIR=/usr/lib/erlang\nexec true\n",
    "usr/lib/erlang/bin/start": "#!/bin/sh\nROOTDIR=/usr/lib/erlang\n",
    "usr/lib/erlang/bin/epmd": "#!/bin/sh\n",
    "usr/share/doc/rabbitmq-server/README": "what is not needed",
}


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-ins' folder: the package that they hand out, the one that the list names, their calls."""
    folder = tmp_path / "apt"
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name, script in (("apt-get", APT_GET), ("apt-cache", APT_CACHE)):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    build(folder / "server.deb", FILES)
    shutil.copy(folder / "server.deb", folder / "listed.deb")
    monkeypatch.setenv("FAKE_APT", str(folder))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return folder


def build(deb: Path, files: dict[str, str]) -> None:
    """Make a package of these files."""
    tree = deb.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if "bin/" in name else 0o644)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: rabbitmq-server\nVersion: 9.9.9\nArchitecture: all\nMaintainer: nobody\nDescription: a stand-in\n"
    )
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(deb)], check=True, capture_output=True)


def calls(apt: Path) -> list[str]:
    """What apt-get was asked for so far."""
    path = apt / "calls"
    return path.read_text().splitlines() if path.exists() else []


def tree_of(cache: Path) -> list[str]:
    """Everything below the cache's rabbitmq folder but the lock."""
    return sorted(path.name for path in (cache / "rabbitmq").iterdir() if not path.name.endswith(".lock"))


def test_it_is_fetched_once(apt: Path, tmp_path: Path) -> None:
    """All packages in one download with a state of our own; scripts know their place; the next run asks nobody."""
    cache = tmp_path / "a cache's folder"
    told: list[str] = []
    program = provisioned_program(cache, told.append)
    assert program.server.is_relative_to(cache)
    assert str(program.server).endswith(SERVER)
    assert os.access(program.epmd, os.X_OK)
    erl = program.epmd.with_name("erl")
    assert subprocess.run([erl], check=False).returncode == 0, "its place is quoted"
    assert str(cache).replace("'", "'\"'\"'") in erl.read_text()
    assert not list(cache.glob("rabbitmq/*/usr/share")), "only what is needed"
    [update, download] = calls(apt)
    assert all(package in download for package in PACKAGES)
    assert f"Dir::State={cache}/apt/state" in update
    assert told
    assert len(tree_of(cache)) == 1
    again: list[str] = []
    assert provisioned_program(cache, again.append) == program
    assert again == []
    assert len(calls(apt)) == 2


def test_a_package_that_is_not_the_listed_one_is_refused(apt: Path, tmp_path: Path) -> None:
    """The file's SHA256 is not the signed list's: it is named, and nothing of it is unpacked."""
    build(apt / "listed.deb", FILES | {SERVER: "#!/bin/sh\nevil\n"})
    with pytest.raises(BrokerUnavailable, match=r"server\.deb is not the file that the package list names"):
        provisioned_program(tmp_path / "cache")
    assert tree_of(tmp_path / "cache") == []


@pytest.mark.usefixtures("apt")
@pytest.mark.parametrize(
    "damage",
    [
        lambda root: (root / SERVER).write_text("#!/bin/bash"),
        lambda root: next(root.rglob("rabbit.beam")).write_text("CODE"),
        lambda root: next(root.rglob("rabbit.beam")).unlink(),
        lambda root: next(root.rglob("*manifest.json")).unlink(),
        lambda root: next(root.rglob("*manifest.json")).write_text("[1]"),
        lambda root: next(root.rglob("*manifest.json")).write_text('{"root": "/elsewhere", "files": {}}'),
        lambda root: (root / "usr/lib/erlang/bin/more").write_text("what was not unpacked"),
    ],
    ids=["script", "same-size", "missing", "no-manifest", "no-object", "moved", "more"],
)
def test_a_damaged_tree_is_noticed_and_remade(damage: Callable[[Path], object], tmp_path: Path) -> None:
    """Whatever happened to the cache: the user is told, and the tree is as it was."""
    program = provisioned_program(tmp_path / "cache")
    root = tmp_path / "cache/rabbitmq" / tree_of(tmp_path / "cache")[0]
    damage(root)
    told: list[str] = []
    assert provisioned_program(tmp_path / "cache", told.append) == program
    assert "damaged" in told[0]
    assert program.server.read_text() == FILES[SERVER]
    assert next(root.rglob("rabbit.beam")).read_text() == "code"
    assert not (root / "usr/lib/erlang/bin/more").exists()


def test_an_old_manifest_is_good(apt: Path, tmp_path: Path) -> None:
    """A tree whose manifest knows only the sizes of some files is not fetched again for that."""
    provisioned_program(tmp_path / "cache")
    path = next((tmp_path / "cache").rglob("*manifest.json"))
    told = json.loads(path.read_text())
    told["files"] = {name: f"{entry.split()[0]} " for name, entry in told["files"].items()}
    path.write_text(json.dumps(told))
    provisioned_program(tmp_path / "cache")
    assert len(calls(apt)) == 2


def test_two_processes_at_once(apt: Path, tmp_path: Path) -> None:
    """One fetches, the other waits and finds it there."""
    program = (
        "import sys; from pathlib import Path;"
        "from conformance.world.broker.provisioned import provisioned_program;"
        "print(provisioned_program(Path(sys.argv[1])).server)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    servers = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(servers) == 1
    assert len(calls(apt)) == 2, "one update, one download"


def test_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system of another kind: says what it needs, and touches nothing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerUnavailable, match="no apt-get and dpkg"):
        provisioned_program(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_sources_out_of_reach(apt: Path, tmp_path: Path) -> None:
    """apt's own words are told, and nothing half is left."""
    (apt / "broken").touch()
    with pytest.raises(BrokerUnavailable, match="apt-get update failed: E: The repository can't be reached"):
        provisioned_program(tmp_path / "cache")
    assert tree_of(tmp_path / "cache") == []


def test_packages_without_rabbitmq(apt: Path, tmp_path: Path) -> None:
    """A release whose package lies elsewhere is told of, not a crash."""
    build(apt / "server.deb", {"usr/lib/erlang/bin/erl": "ROOTDIR=x\n"})
    shutil.copy(apt / "server.deb", apt / "listed.deb")
    with pytest.raises(BrokerUnavailable, match="hold no RabbitMQ that is known here"):
        provisioned_program(tmp_path / "cache")


@pytest.mark.usefixtures("apt")
def test_a_cache_that_is_in_the_way(tmp_path: Path) -> None:
    """A file where the cache has a folder: the error names it and the way out."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/rabbitmq").touch()
    with pytest.raises(UsageError, match=r"DURABLE_WS_CACHE: .*/cache' can't be filled .*Remove what is there"):
        provisioned_program(tmp_path / "cache")
