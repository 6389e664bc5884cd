"""The peers that are installed here, and why the others are not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_PEERS = Path(__file__).parent / "peers"

YARDSTICK = "C librabbitmq"
CEILING = "Python, a bare socket"
OURS = ("durable_ws Publisher", "durable_ws AsyncPublisher")


@dataclass(frozen=True)
class Peer:
    """A program that publishes; ``works``: the letters of what it can do."""

    name: str
    command: list[str]
    works: str = "abc"


def found(folder: str) -> tuple[list[Peer], dict[str, str]]:
    """The peers that are here, and why the others are not; ``folder`` takes what is compiled."""
    peers, missing = [], {}
    c = _compiled(folder)
    if isinstance(c, str):
        missing[YARDSTICK] = c
    else:
        peers.append(Peer(YARDSTICK, c))
    python = {
        OURS[0]: ("durable_ws", "durable_ws_sync.py"),
        OURS[1]: ("durable_ws", "durable_ws_async.py"),
        "py-amqp": ("amqp", "py_amqp.py"),
        "pika": ("pika", "pika_blocking.py"),
        "aio-pika": ("aio_pika", "aio_pika.py"),
    }
    for name, (module, program) in python.items():
        if find_spec(module) is None:
            missing[name] = f"pip install {name}"
        else:
            peers.append(Peer(name, [sys.executable, str(_PEERS / program)]))
    peers.append(Peer(CEILING, [sys.executable, str(_PEERS / "bare_socket.py")], works="ac"))
    ruby = shutil.which("ruby")
    if ruby and subprocess.run([ruby, "-e", "require 'bunny'"], capture_output=True, check=False).returncode == 0:  # noqa: S603
        peers.append(Peer("bunny", [ruby, str(_PEERS / "bunny.rb")]))
    else:
        missing["bunny"] = "the gem is not installed (ruby-bunny)"
    return peers, missing


def _compiled(folder: str) -> list[str] | str:
    """The C client's command, or why there is none."""
    program = str(Path(folder) / "librabbitmq")
    if shutil.which("gcc") is None:
        return "there is no gcc"
    source = str(_PEERS / "librabbitmq.c")
    done = subprocess.run(  # noqa: S603
        ["gcc", "-O2", "-o", program, source, "-lrabbitmq", "-lpthread"],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [program] if done.returncode == 0 else "librabbitmq's headers are not installed (librabbitmq-dev)"
