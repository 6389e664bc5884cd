"""A small disk for a container's data: a volume in memory that outlives the container's restarts."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from conformance.errors import HarnessError
from conformance.world.broker.container_exec import run_in

__all__ = ["SmallDisk", "disk_of"]


def disk_of(container: str) -> str:
    """The name of a container's disk: of its volume and of what holds it."""
    return f"{container}-disk"


class SmallDisk:
    """A tmpfs volume, and a second container that holds it mounted: the last one to go takes what is in it along.

    Args:
        name: of the container that it is for.
        image: runs ``sleep`` for the second container.
        path: where both mount it.
        size_bytes: how much it holds.
        labels: of all that is made.

    Raises:
        HarnessError: the daemon won't.
    """

    def __init__(self, name: str, image: str, path: str, size_bytes: int, labels: Mapping[str, str]) -> None:
        import docker
        from docker.errors import DockerException

        from conformance.world.broker.docker_daemon import ACT_S

        self.volume = disk_of(name)
        self._path = path
        self._client = docker.from_env(timeout=ACT_S)
        try:
            self._client.volumes.create(
                self.volume,
                driver="local",
                driver_opts={"type": "tmpfs", "device": "tmpfs", "o": f"size={size_bytes},mode=1777"},
                labels=dict(labels),
            )
            self._holder: Any = self._client.containers.run(
                image,
                ["sleep", "infinity"],
                entrypoint=[],
                detach=True,
                name=self.volume,
                user="0",
                network_mode="none",
                volumes={self.volume: {"bind": path, "mode": "rw"}},
                labels=dict(labels),
            )
        except (DockerException, OSError) as exc:
            self._client.close()
            raise HarnessError(f"no small disk can be made: {exc}") from exc

    def fill(self, leave_bytes: int) -> None:
        """Write a ballast file until so many bytes are free."""
        self._sh(
            f"free=$(df -B1 --output=avail {self._path} | tail -n 1); "
            f"head -c $((free - {leave_bytes})) /dev/zero > {self._path}/ballast; sync"
        )

    def free(self) -> None:
        """Remove the ballast."""
        self._sh(f"rm -f {self._path}/ballast")

    def remove(self) -> None:
        """Remove holder and volume, as far as the daemon lets us: the watcher does the rest."""
        from docker.errors import DockerException

        with contextlib.suppress(DockerException, OSError):
            self._holder.remove(force=True)
        with contextlib.suppress(DockerException, OSError):
            self._client.volumes.get(self.volume).remove(force=True)
        self._client.close()

    def _sh(self, script: str) -> None:
        from docker.errors import DockerException

        try:
            code, told = run_in(self._holder, ["sh", "-c", script], user="0")
        except (DockerException, OSError) as exc:
            raise HarnessError(f"the small disk can't be reached: {exc}") from exc
        if code:
            raise HarnessError(f"the small disk: {told.strip()[-300:]}")
