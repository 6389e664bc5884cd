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
from pathlib import Path

from conformance.world.broker.container_disk import disk_of
from conformance.world.broker.supervisor import lines_of_parent

__all__: list[str] = []


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
    import docker
    from docker.errors import DockerException

    with contextlib.closing(docker.from_env()) as client:
        for container in (name, disk_of(name)):
            with contextlib.suppress(DockerException, OSError):
                client.api.remove_container(container, v=True, force=True)
        with contextlib.suppress(DockerException, OSError):
            client.api.remove_volume(disk_of(name), force=True)


if __name__ == "__main__":
    main()
