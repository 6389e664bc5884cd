"""Where libfaketime is: installed, in the cache, or fetched into it from the distribution's own packages."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import filelock

from conformance.errors import BrokerUnavailable
from conformance.world.broker.apt import Apt
from conformance.world.broker.release import release

__all__ = ["PACKAGE", "faketime_library", "works"]

PACKAGE = "libfaketime"
_NAME = "libfaketimeMT.so.1"
"""The one for programs with threads."""
_PLACES = (
    f"usr/lib/*-linux-gnu*/faketime/{_NAME}",  # Debian, Ubuntu
    f"usr/lib64/faketime/{_NAME}",  # Fedora
    f"usr/lib/faketime/{_NAME}",  # Arch
    f"usr/local/lib/faketime/{_NAME}",  # its own `make install`
)
_LOCK_S = 300.0
_TRY_AGAIN_S = 24 * 3600.0
_TRY_S = 10.0
_DAY_S = 86_400


def faketime_library(cache: Path, on_progress: Callable[[str], None] = lambda _: None) -> Path | None:
    """The installed library, else that in the cache, fetched first if it is not there (47 kB).

    Never raises for want of it: where it can't be had, or does nothing on this system, clocks can't be moved. Whether
    it can be fetched is tried once a day.

    Args:
        cache: the suite's cache folder.
        on_progress: told what takes time.
    """
    if not sys.platform.startswith("linux"):
        return None
    installed = _first(Path("/"))
    if installed is not None and works(installed):
        return installed
    root = cache / "faketime" / release()
    fetched = _first(root) or (_fetched(root, cache, on_progress) if Apt.is_there() else None)
    return fetched if fetched is not None and works(fetched) else None


@functools.cache
def works(library: Path) -> bool:
    """Whether a program that it is preloaded into really sees another time."""
    try:
        told = subprocess.run(
            [shutil.which("date") or "/bin/date", "+%s"],
            env={"LD_PRELOAD": str(library), "FAKETIME": f"+{_DAY_S}"},
            capture_output=True,
            text=True,
            timeout=_TRY_S,
            check=True,
        ).stdout
        return abs(int(told) - time.time() - _DAY_S) < _DAY_S / 2
    except (OSError, ValueError, subprocess.SubprocessError):
        return False


def _first(root: Path) -> Path | None:
    found: Iterable[Path] = (path for place in _PLACES for path in sorted(root.glob(place)))
    return next(iter(found), None)


def _fetched(root: Path, cache: Path, on_progress: Callable[[str], None]) -> Path | None:
    """Fetch and unpack beside ``root``, then put it in place in one step; None where that fails."""
    root.parent.mkdir(parents=True, exist_ok=True)
    failed = root.with_name(root.name + ".failed")
    with filelock.FileLock(root.with_name(root.name + ".lock"), timeout=_LOCK_S):
        if (there := _first(root)) is not None:
            return there
        if failed.exists() and time.time() - failed.stat().st_mtime < _TRY_AGAIN_S:
            return None
        on_progress(f"fetching {PACKAGE}, which moves a broker's clock")
        work = root.with_name(root.name + ".new")
        shutil.rmtree(work, ignore_errors=True)
        (work / "download").mkdir(parents=True)
        try:
            apt = Apt(cache / "apt")
            apt.update()
            apt.unpack(apt.download([PACKAGE], work / "download"), work / "tree")
        except BrokerUnavailable as exc:
            failed.write_text(f"{exc}\n", encoding="utf-8")
            return None
        else:
            shutil.rmtree(root, ignore_errors=True)
            (work / "tree").rename(root)
            failed.unlink(missing_ok=True)
            return _first(root)
        finally:
            shutil.rmtree(work, ignore_errors=True)
