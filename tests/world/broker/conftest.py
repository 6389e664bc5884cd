"""A node that may be taken down, and looks at the processes that belong to one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.world.broker.base import Broker
from conformance.world.broker.choose import choose_broker

Wait = Callable[[Callable[[], bool], str], None]
ProcessesOf = Callable[[str], list[int]]


@pytest.fixture(scope="session")
def node() -> Iterator[Broker]:
    """A RabbitMQ of this folder's tests alone: they may take it down, and leave it up."""
    broker = choose_broker("auto")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def wait() -> Wait:
    """Wait for a condition outside this process; fails the test after 90 s."""

    def wait(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 90.0
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            time.sleep(0.05)

    return wait


@pytest.fixture
def processes_of() -> ProcessesOf:
    """The pids of all processes that have the given text in their command line or environment."""

    def processes_of(text: str) -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue  # it has ended, or is another user's
            if text.encode() in told:
                found.append(int(process.name))
        return found

    return processes_of
