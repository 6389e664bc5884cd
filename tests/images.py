"""The container images that tests use, and why a test that needs them is left out where they are not there."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Sequence

from conformance.errors import BrokerUnavailable
from conformance.world.broker.docker_daemon import reach_docker

DEFAULT = ("durable-ws-rabbitmq:bookworm", "durable-ws-rabbitmq:trixie", "durable-ws-rabbitmq:sid")
"""RabbitMQ 3.10, 4.0 and 4.3, as ``.ci/images`` builds them."""


def images() -> Sequence[str]:
    """``DURABLE_WS_TEST_IMAGES`` (separated by blanks), else the default three."""
    return tuple(os.environ.get("DURABLE_WS_TEST_IMAGES", "").split()) or DEFAULT


@functools.cache
def why_not(image: str) -> str | None:
    """Why nothing can be run in this image, with the way out; None: it can."""
    from docker.errors import DockerException

    try:
        with contextlib.closing(reach_docker()) as client:
            client.images.get(image)
    except BrokerUnavailable as exc:
        return f"left out: {exc}. Start Docker, run .ci/images, then tox run -e containers."
    except DockerException:
        return f"left out: there is no image {image}. Run .ci/images (or pull one), then tox run -e containers."
    return None
