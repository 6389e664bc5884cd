"""RabbitMQ from the distribution's own packages, unpacked into the cache: no root, nothing installed."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import filelock

from conformance.errors import BrokerUnavailable, UsageError
from conformance.world.broker.apt import Apt
from conformance.world.broker.node import Program
from conformance.world.broker.release import release

__all__ = ["PACKAGES", "provisioned_program"]

PACKAGES = (
    "rabbitmq-server",
    *(
        f"erlang-{name}"
        for name in (
            "asn1", "base", "crypto", "eldap", "ftp", "inets", "mnesia", "os-mon", "parsetools", "public-key",
            "runtime-tools", "snmp", "ssl", "syntax-tools", "tftp", "tools", "xmerl",
        )
    ),
)  # fmt: skip
"""What a node needs of Debian's or Ubuntu's packages."""

_LIBRARIES = {"libtinfo.so.6": "libtinfo6", "libsystemd.so.0": "libsystemd0", "libstdc++.so.6": "libstdc++6"}
"""Shared libraries that a very small system may lack, and the packages that hold them."""

_LOCK_S = 600.0
_MANIFEST = "durable-ws-manifest.json"


def provisioned_program(cache: Path, on_progress: Callable[[str], None] = lambda _: None) -> Program:
    """The program in the cache, fetched first if it is not there or is damaged.

    Args:
        cache: the suite's cache folder.
        on_progress: told what takes time.

    Raises:
        BrokerUnavailable: this system has no apt, or the packages can't be fetched.
        UsageError: the cache can't be written.
    """
    if not Apt.is_there():
        raise BrokerUnavailable("this system has no apt-get and dpkg (needs Debian, Ubuntu or a relative)")
    root = cache / "rabbitmq" / release()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(root.with_name(root.name + ".lock"), timeout=_LOCK_S):
            if not _is_whole(root):
                if root.exists():
                    on_progress("what the cache holds of RabbitMQ is damaged: making it anew")
                _make(root, cache, on_progress)
    except filelock.Timeout as exc:
        raise BrokerUnavailable(f"another run has been filling the cache for {_LOCK_S:g} s ({exc.lock_file})") from exc
    except OSError as exc:
        raise UsageError(
            "DURABLE_WS_CACHE",
            f"the cache folder {str(cache)!r} can't be filled ({exc.strerror}: {exc.filename or root})",
            "Remove what is there, make room, or set DURABLE_WS_CACHE to another folder that is yours.",
        ) from exc
    return _program(root)


def _make(root: Path, cache: Path, on_progress: Callable[[str], None]) -> None:
    """Fetch and unpack beside ``root``, then put it in place in one step."""
    if root.exists():
        shutil.rmtree(root)
    work = root.with_name(root.name + ".new")
    shutil.rmtree(work, ignore_errors=True)
    try:
        _make_in(work, root, cache, on_progress)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _make_in(work: Path, root: Path, cache: Path, on_progress: Callable[[str], None]) -> None:
    downloads = work / "downloads"
    downloads.mkdir(parents=True)
    apt = Apt(cache / "apt")
    on_progress("reading the package lists")
    apt.update()
    on_progress("fetching RabbitMQ and Erlang (34 MB)")
    files = apt.download(PACKAGES, downloads)
    on_progress("unpacking")
    tree = work / "tree"
    tree.mkdir()
    apt.unpack(files, tree)
    missing = _missing_libraries(tree)
    if missing:
        more = work / "libraries"
        more.mkdir()
        apt.unpack(apt.download(missing, more), tree)
    shutil.rmtree(tree / "usr/share", ignore_errors=True)
    _move_erlang(tree, root)
    (tree / _MANIFEST).write_text(json.dumps({"root": str(root), "files": _manifest(tree)}), encoding="utf-8")
    tree.rename(root)


def _move_erlang(tree: Path, root: Path) -> None:
    """Have Erlang's start scripts name the place where it will lie: they hold the packages' own."""
    place = shlex.quote(str(root / "usr/lib/erlang"))
    for name in ("erl", "start"):
        script = tree / "usr/lib/erlang/bin" / name
        if script.exists():
            text = script.read_text(encoding="utf-8")
            moved = re.sub(r"(?m)^(\s*)ROOTDIR=.*$", lambda found: f"{found[1]}ROOTDIR={place}", text)
            script.write_text(moved, encoding="utf-8")


def _manifest(root: Path) -> dict[str, str]:
    """Every file's path, its size and its hash."""
    return {
        str(path.relative_to(root)): f"{path.stat().st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name != _MANIFEST
    }


def _is_whole(root: Path) -> bool:
    """Whether the unpacked tree is what was unpacked; a manifest of old knows the size alone of some files."""
    try:
        expected = json.loads((root / _MANIFEST).read_text(encoding="utf-8"))
        found = _manifest(root)
        return (
            expected["root"] == str(root)
            and expected["files"].keys() == found.keys()
            and all(found[name].startswith(told) for name, told in expected["files"].items())
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def _missing_libraries(tree: Path) -> list[str]:
    """The packages of shared libraries that Erlang's machine needs and this system lacks."""
    machine = next(tree.glob("usr/lib/erlang/erts-*/bin/beam.smp"), None)
    if machine is None:
        return []
    told = subprocess.run(["/usr/bin/env", "ldd", str(machine)], capture_output=True, text=True, check=False).stdout
    absent = re.findall(r"(\S+) => not found", told)
    return [_LIBRARIES[library] for library in absent if library in _LIBRARIES]


def _program(root: Path) -> Program:
    server = next(iter(sorted(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))), None)
    erlang = root / "usr/lib/erlang"
    if server is None or not (erlang / "bin/erl").exists():
        raise BrokerUnavailable(f"the packages of this release hold no RabbitMQ that is known here ({root})")
    libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu*") if path.is_dir())
    return Program(
        server=server,
        epmd=erlang / "bin/epmd",
        environment={"LD_LIBRARY_PATH": libraries} if libraries else {},
    )
