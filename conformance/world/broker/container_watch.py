"""The small process that a container lives by: it removes the container when its parent ends, however that ends.

Run as ``python -m`` in a session of its own, so that Ctrl-C in the terminal does not reach it. Reads the container's
name from its command line, and removes the container at the end of its standard input or of its parent. It keeps the
lock file locked for as long as it lives: a container whose lock is free has lost its watcher, and is removed by the
next run. Testcontainers' own reaper (Ryuk) is one more image to pull, which is not to be had everywhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from conformance.world.broker.container_disk import disk_of
from conformance.world.broker.supervisor import lines_of_parent

__all__: list[str] = []

_REMOVE_S, _AGAIN_S = 60.0, 1.0
_ASK_S = 60


def main() -> None:
    """Wait for the end, then remove the container."""
    name, lock = sys.argv[1:]
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    parent = os.getppid()
    with Path(lock).open("w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with contextlib.suppress(BrokenPipeError):
            os.write(1, b"watching\n")
        for _ in lines_of_parent(parent):
            pass
        _remove(name)
        Path(lock).unlink(missing_ok=True)


def _remove(name: str) -> None:
    """Remove the container and its disk; a daemon that is busy or refuses is asked again for a while."""
    import docker
    from docker.errors import DockerException

    deadline = time.monotonic() + _REMOVE_S
    while True:
        try:
            with contextlib.closing(docker.from_env(timeout=_ASK_S)) as client:
                for container in (name, disk_of(name)):
                    _gone(client.api.remove_container, container, v=True, force=True)
                _gone(client.api.remove_volume, disk_of(name), force=True)
                return
        except (DockerException, OSError):
            if time.monotonic() >= deadline:
                return
            time.sleep(_AGAIN_S)  # between two requests to the daemon: there is no event to wait for


def _gone(remove: Callable[..., object], name: str, **how: bool) -> None:
    """Have it removed, if there is such a thing."""
    from docker.errors import NotFound

    with contextlib.suppress(NotFound):
        remove(name, **how)


if __name__ == "__main__":
    main()
