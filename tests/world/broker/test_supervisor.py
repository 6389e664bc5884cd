"""Nothing of a node is left, however the suite ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance.world.broker.cache import cache_folder
from conformance.world.broker.choose import choose_broker
from conformance.world.broker.handshake import amqp_answers
from conformance.world.broker.supervisor import stands_still

if TYPE_CHECKING:
    from tests.world.broker.conftest import ProcessesOf, Wait

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes through /proc"),
]

SUITE = """
import json, os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
from conformance.world.broker.choose import choose_broker
broker = choose_broker("auto")
broker.start()
try:
    forked = os.fork() if "fork" in sys.argv else 0
    if forked or "fork" not in sys.argv:
        name = broker.describe()["node"].partition("@")[0]
        print(json.dumps({"name": name, "supervisor": broker._supervisor.pid, "forked": forked}), flush=True)
    while True:  # not signal.pause(): a signal that comes just before it would be waited for in vain
        time.sleep(0.2)
finally:
    broker.stop()
"""


@dataclass
class Suite:
    """A process that runs a node, as the suite does: its pid, and what it told of the node."""

    process: subprocess.Popen[str]
    name: str
    supervisor: int
    forked: int


@contextmanager
def suite(*arguments: str) -> Iterator[Suite]:
    """Start one and wait until its node is up; it is killed at the end if it still runs."""
    command = [sys.executable, "-c", SUITE, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        try:
            yield Suite(process, told["name"], told["supervisor"], told["forked"])
        finally:
            process.kill()
            if told["forked"]:
                os.kill(told["forked"], signal.SIGKILL)


def assert_nothing_is_left(running: Suite, wait: Wait, processes_of: ProcessesOf, folder: Path | None) -> None:
    """Wait until node, epmd and their helpers have ended, and the node's folder (None: whatever) has gone."""
    wait(lambda: not processes_of(running.name), "the node's processes end")
    if folder is not None:
        wait(lambda: not folder.exists(), "the node's folder goes")


@pytest.fixture
def nodes() -> Path:
    """Where the suite's cache keeps its nodes."""
    return cache_folder() / "nodes"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_the_suite_is_ended(number: signal.Signals, nodes: Path, wait: Wait, processes_of: ProcessesOf) -> None:
    """SIGKILL, SIGTERM (no handler) or Ctrl-C end the suite: node, epmd, helpers and folder go with it."""
    with suite() as running:
        folder = nodes / running.name
        assert folder.is_dir()
        assert len(processes_of(running.name)) >= 3, "the machine, its port programs and epmd"
        running.process.send_signal(number)
        running.process.wait()
        assert_nothing_is_left(running, wait, processes_of, folder)


def test_suite_and_supervisor_are_killed(nodes: Path, wait: Wait, processes_of: ProcessesOf) -> None:
    """SIGKILL of every Python at once leaves no process; the folder goes when the next node starts."""
    with suite() as running:
        os.kill(running.supervisor, signal.SIGKILL)
        running.process.kill()
        running.process.wait()
        assert_nothing_is_left(running, wait, processes_of, None)
    with suite() as another:
        assert not (nodes / running.name).exists()
        assert (nodes / another.name).exists()


def test_a_forked_child_outlives_the_suite(nodes: Path, wait: Wait, processes_of: ProcessesOf) -> None:
    """A child that the suite forked (a publisher's worker) holds the supervisor's pipe; the node ends all the same."""
    with suite("fork") as running:
        running.process.kill()
        running.process.wait()
        assert_nothing_is_left(running, wait, processes_of, nodes / running.name)


def test_ctrl_c_in_the_terminal_leaves_the_node_to_the_suite(processes_of: ProcessesOf) -> None:
    """Neither node nor supervisor is in the suite's process group or session, which is what Ctrl-C reaches."""
    with suite() as running:
        sessions = {os.getsid(running.supervisor)}
        for pid in processes_of(running.name):
            with suppress(ProcessLookupError):  # a helper that has ended meanwhile
                sessions.add(os.getsid(pid))
        assert os.getsid(running.process.pid) not in sessions


def comm(pid: int) -> str:
    """What the kernel calls the process; "" where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text()
    return ""


def test_a_paused_node_stands_still_in_every_thread(processes_of: ProcessesOf) -> None:
    """When pause returns no thread of the machine runs any more, and none before it is resumed."""
    broker = choose_broker("auto")
    broker.start()
    try:
        name = broker.describe()["node"].partition("@")[0]
        (machine,) = [pid for pid in processes_of(name) if comm(pid).startswith("beam")]
        assert len(list(Path(f"/proc/{machine}/task").iterdir())) > 10
        assert not stands_still(machine)
        broker.pause()
        assert stands_still(machine)
        broker.resume()
        amqp_answers(broker.addresses.amqp)
    finally:
        broker.stop()


def test_what_has_ended_stands_still() -> None:
    """There is nothing to wait for."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert stands_still(process.pid)
