"""Debian packages fetched and unpacked by any user, with a package state of its own, and nothing installed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from conformance.errors import BrokerUnavailable

__all__ = ["Apt"]

_TIMEOUT_S = 300.0


class Apt:
    """apt with lists, cache and state in one folder: it needs no root and leaves the system's alone.

    apt itself checks signatures and hashes of what it fetches; ``download`` checks each file against the signed
    list's SHA256 once more, because a file may have been changed since.

    Args:
        folder: where its state goes; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._options = [
            f"Dir::State={folder / 'state'}",
            f"Dir::State::Lists={folder / 'lists'}",
            "Dir::State::Status=/var/lib/dpkg/status",
            f"Dir::Cache={folder / 'cache'}",
            f"Dir::Log={folder / 'log'}",
            "APT::Sandbox::User=",
            "Acquire::Languages=none",
            "Acquire::Retries=3",
        ]

    @staticmethod
    def is_there() -> bool:
        """Whether this system has apt and dpkg."""
        return all(shutil.which(program) for program in ("apt-get", "apt-cache", "dpkg-deb"))

    def update(self) -> None:
        """Fetch the package lists of the system's own sources.

        Raises:
            BrokerUnavailable: they can't be fetched.
        """
        for name in ("state/lists/partial", "lists/partial", "cache/archives/partial", "log"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._run("apt-get", "update", "-qq")

    def download(self, packages: Iterable[str], folder: Path) -> list[Path]:
        """Fetch the packages' candidate versions into ``folder`` and check their hashes.

        Raises:
            BrokerUnavailable: one is unknown, can't be fetched, or is not what the list says.
        """
        self._run("apt-get", "download", "-qq", *packages, cwd=folder)
        files = sorted(folder.glob("*.deb"))
        known = self._hashes(packages)
        for file in files:
            if hashlib.sha256(file.read_bytes()).hexdigest() not in known:
                raise BrokerUnavailable(f"{file.name} is not the file that the package list names (SHA256 differs)")
        return files

    def unpack(self, files: Iterable[Path], folder: Path) -> None:
        """Unpack packages into ``folder``; their scripts are not run."""
        for file in files:
            self._run("dpkg-deb", "--extract", str(file), str(folder))

    def _hashes(self, packages: Iterable[str]) -> set[str]:
        shown = self._run("apt-cache", "show", *packages)
        return {line.split()[1] for line in shown.splitlines() if line.startswith("SHA256:")}

    def _run(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        options = [word for option in self._options for word in ("-o", option)] if program.startswith("apt") else []
        try:
            done = subprocess.run(
                [program, *options, *arguments],
                cwd=cwd,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise BrokerUnavailable(f"{program} {arguments[0]}: {exc}") from exc
        if done.returncode != 0:
            said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            raise BrokerUnavailable(f"{program} {arguments[0]} failed: {' '.join(said[-3:])[:500]}")
        return done.stdout
