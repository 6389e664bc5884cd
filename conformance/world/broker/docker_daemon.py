"""The Docker daemon: is it there, does it have an image, and fetching one with progress and a deadline."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import docker
import requests
from docker.errors import DockerException, ImageNotFound, NotFound

from conformance.errors import BrokerUnavailable

__all__ = ["ACT_S", "fetch_image", "reach_docker"]

_ASK_S = 30
ACT_S = 120
"""A daemon that answers may take that long to make or remove something."""
_PULL_S = 600.0
_QUIET_S = 60
"""How long a pull may say nothing at all, in seconds."""


def reach_docker() -> docker.DockerClient:
    """A client of the daemon that the environment names (``DOCKER_HOST`` …); close it.

    Raises:
        BrokerUnavailable: there is none that answers.
    """
    client = None
    try:
        _knock()
        client = docker.from_env(timeout=_ASK_S)
        client.ping()
        client.api.timeout = ACT_S
    except (DockerException, requests.RequestException, OSError) as exc:
        if client is not None:
            client.close()
        raise BrokerUnavailable(f"no Docker daemon answers ({_first_words(exc)})") from exc
    return client


def _knock() -> None:
    """Raise OSError where the daemon's socket can't be opened: the library would leave one of its own unclosed."""
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_ASK_S)
            door.connect(host.removeprefix("unix://"))


def fetch_image(
    client: docker.DockerClient, image: str, on_progress: Callable[[str], None], deadline_s: float = _PULL_S
) -> None:
    """Have the image: it is pulled if the daemon does not hold it.

    Args:
        client: of the daemon.
        image: ``rabbitmq:4-management``, ``registry/name:tag``, ``name@sha256:…``.
        on_progress: told how much has come.
        deadline_s: for the whole pull, in seconds.

    Raises:
        BrokerUnavailable: it is not there and can't be pulled in time.
    """
    try:
        client.images.get(image)
    except ImageNotFound:
        _pull(image, on_progress, deadline_s)
    except (DockerException, requests.RequestException) as exc:
        raise BrokerUnavailable(f"the image {image!r} can't be looked up ({_first_words(exc)})") from exc


def _pull(image: str, on_progress: Callable[[str], None], deadline_s: float) -> None:
    """Pull in a thread of its own: the stream of a daemon that is stuck can't be interrupted."""
    failed: list[Exception] = []
    layers: dict[str, tuple[int, int]] = {}

    def pull() -> None:
        try:
            with contextlib.closing(docker.from_env(timeout=_QUIET_S)) as client:
                for line in client.api.pull(
                    image, tag=None if ":" in _name(image) else "latest", stream=True, decode=True
                ):
                    _note(line, layers)
        except (DockerException, requests.RequestException, _PullError, OSError) as exc:
            failed.append(exc)

    worker = threading.Thread(target=pull, name="pull", daemon=True)
    worker.start()
    ends = time.monotonic() + deadline_s
    while worker.is_alive() and time.monotonic() < ends:
        on_progress(f"pulling {image}{_so_far(layers)}")
        worker.join(0.5)
    if worker.is_alive():
        raise BrokerUnavailable(f"the image {image!r} was not pulled within {deadline_s:g} s")
    if failed:
        raise BrokerUnavailable(f"the image {image!r} is not there and can't be pulled ({_first_words(failed[0])})")


class _PullError(Exception):
    """What the daemon says in the middle of the stream."""


def _note(line: dict[str, Any], layers: dict[str, tuple[int, int]]) -> None:
    if "error" in line:
        raise _PullError(line["error"])
    detail = line.get("progressDetail") or {}
    if line.get("status") == "Downloading" and detail.get("total"):
        layers[line["id"]] = (detail.get("current", 0), detail["total"])


def _so_far(layers: dict[str, tuple[int, int]]) -> str:
    known = list(layers.values())
    total = sum(size for _, size in known)
    return f": {sum(come for come, _ in known) / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""


def _name(image: str) -> str:
    """The last part of an image's name, where its tag or digest stands."""
    return image.rpartition("/")[2]


def _first_words(exc: BaseException) -> str:
    if isinstance(exc, NotFound):
        return "there is no such image"
    return (str(getattr(exc, "explanation", None) or exc) or type(exc).__name__).splitlines()[0][:300]
