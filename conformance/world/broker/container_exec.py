"""Running a command in a container, with all that it says.

``Container.exec_run`` of the Docker library asks the daemon to turn the connection into a raw stream and then reads the
socket past the buffer in which it has just looked for the end of the headers: words that came together with the headers
are lost, and the command seems to have said nothing (https://github.com/docker/docker-py/issues/2042). Asked without
the upgrade, the daemon answers in an ordinary body: https://docs.docker.com/reference/api/engine/ (Exec,
ContainerAttach).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["run_in"]

_FRAME = struct.Struct(">BxxxL")
"""What stands before each part of the output: the stream it is of, its length in bytes."""
_SILENT_S = 600.0
_END_S, _LOOK_S = 60.0, 0.02


def run_in(
    container: Any, words: list[str], *, user: str = "", environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command to its end.

    Args:
        container: the Docker library's ``Container``; it runs.
        words: the program and its arguments; no shell.
        user: a name or a number; "": the container's own.
        environment: variables beside the container's own.

    Returns:
        The exit code, and what the command wrote to its standard output and standard error, in order.

    Raises:
        DockerException, OSError: the daemon refuses, can't be reached, or does not say how the command ended.
    """
    api = container.client.api
    made = api.exec_create(container.id, words, user=user, environment=dict(environment or {}))["Id"]
    answer = api.post(
        f"{api.base_url}/v{api.api_version}/exec/{made}/start",
        json={"Detach": False, "Tty": False},
        timeout=(api.timeout, _SILENT_S),
    )
    if not answer.ok:
        raise OSError(f"the daemon says {answer.status_code}: {answer.text.strip()[:300]}")
    return _exit_code(api, made), _without_frames(answer.content).decode(errors="replace")


def _without_frames(body: bytes) -> bytes:
    parts, at = [], 0
    while at + _FRAME.size <= len(body):
        _, length = _FRAME.unpack_from(body, at)
        at += _FRAME.size
        parts.append(body[at : at + length])
        at += length
    return b"".join(parts)


def _exit_code(api: Any, made: str) -> int:
    """The output may end before the daemon has seen the process end."""
    deadline = time.monotonic() + _END_S
    while True:
        told = api.exec_inspect(made)
        if told["ExitCode"] is not None and not told["Running"]:
            return int(told["ExitCode"])
        if time.monotonic() > deadline:
            raise OSError(f"the command's output has ended, and {_END_S:.0f} s later it is still said to run")
        time.sleep(_LOOK_S)
