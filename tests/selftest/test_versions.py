"""The suite sees on every RabbitMQ: each broken world turns red for its cause, each sound one stays green."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images import images, why_not

pytestmark = [pytest.mark.broker, pytest.mark.docker, pytest.mark.timeout(900)]


def _of_this_system(image: str) -> bool:
    """Whether the image is made of the packages that this machine's own broker is made of."""
    with contextlib.suppress(OSError):
        return image.endswith(f":{platform.freedesktop_os_release().get('VERSION_CODENAME')}")
    return False


@pytest.mark.parametrize("image", [image for image in images() if not _of_this_system(image)])
def test_every_world_is_judged_rightly(image: str) -> None:
    """``durable-ws selftest`` as a user runs it; ``tox run -e selftest`` runs it on this machine's own packages."""
    reason = why_not(image)
    if reason is not None:
        pytest.skip(reason)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("durable-ws")), "selftest", "--json", "--image", image],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        env=os.environ | {"COLUMNS": "100"},
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    wrong = [world for world in told["worlds"] if not world["right"]]
    assert not wrong, json.dumps(wrong, indent=2)
    assert done.returncode == 0
    assert sum(world["expected"] == "violated" for world in told["worlds"]) >= 20
