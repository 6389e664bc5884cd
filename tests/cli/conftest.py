"""The program as a process of its own, and in this one."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from conformance.cli import main as program
from conformance.errors import BrokerUnavailable
from conformance.world.broker.base import Broker
from conformance.world.broker.cache import cache_folder
from conformance.world.broker.provisioned import provisioned_program

PATIENCE_S = 60.0
"""For what must happen."""

_START = (
    # A background job of a shell ignores SIGINT, one under nohup SIGHUP, and so would all that it starts.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL);"
    "from conformance.cli.main import main; main()"
)


@dataclass
class Command:
    """A ``durable-ws`` that runs; its lines come as they are written."""

    process: subprocess.Popen[str]
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    _lines: queue.Queue[tuple[list[str], str | None]] = field(default_factory=queue.Queue)
    _readers: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        for stream, kept in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            if stream is not None:
                reader = threading.Thread(target=self._read, args=(stream, kept))
                reader.start()
                self._readers.append(reader)

    def _read(self, stream: IO[str], kept: list[str]) -> None:
        for line in stream:
            self._lines.put((kept, line))
        self._lines.put((kept, None))

    def until(self, word: str) -> str:
        """Wait for a line of either stream that holds the word; fails where the program ends without it."""
        ended, deadline = 0, time.monotonic() + PATIENCE_S
        while ended < len(self._readers) and time.monotonic() < deadline:
            kept, line = self._lines.get(timeout=PATIENCE_S)
            if line is None:
                ended += 1
                continue
            kept.append(line)
            if word in line:
                return line
        raise AssertionError(f"no {word!r} in:\n{''.join(self.out)}\n{''.join(self.err)}")

    def end(self, number: int | None = None) -> int:
        """Send it the signal, if one is given, and wait for its end; its exit status (-n: ended by signal n)."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join()
        while not self._lines.empty():
            kept, line = self._lines.get()
            if line is not None:
                kept.append(line)
        return status


CI_SIGNS = ("GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "TEAMCITY_VERSION", "GITHUB_STEP_SUMMARY")
"""What would have a run annotate by itself."""

Start = Callable[..., Command]
Run = Callable[..., "Ended"]


@pytest.fixture
def environment() -> dict[str, str]:
    """What a program is started with: 80 columns, no colour asked for or refused, warnings as errors."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("RABBITMQ_URL", "NO_COLOR", "COLUMNS", *CI_SIGNS)
    }
    return kept | {"PYTHONWARNINGS": "error", "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def own_cache(tmp_path: Path) -> dict[str, str]:
    """An environment whose cache is the test's own, with an installed server: ``--broker local`` needs no download."""
    try:
        found = provisioned_program(cache_folder())
    except BrokerUnavailable as exc:
        pytest.skip(str(exc))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/faketime").symlink_to(cache_folder() / "faketime")
    return {
        "DURABLE_WS_CACHE": str(tmp_path / "cache"),
        "DURABLE_WS_RABBITMQ_SERVER": str(found.server),
        "PATH": f"{found.epmd.parent}:{os.environ['PATH']}",
        **found.environment,
    }


@pytest.fixture
def shared(broker: Broker) -> list[str]:
    """The options that have a command use the shared broker."""
    addresses = broker.addresses
    named = ["--broker", addresses.amqp, "--web-stomp", addresses.web_stomp]
    return [*named, "--management", addresses.management] if addresses.management else named


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Start ``durable-ws`` in the test's folder, in a session of its own; whatever still runs is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, stdin: str | None = None, **changed: str) -> Command:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *words],
            cwd=tmp_path,
            env=environment | changed,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        if stdin is not None and process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        return Command(process)

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tests run in CI, the program is not to know."""
    for name in CI_SIGNS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The program takes signals and keeps them; this process gets them back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@dataclass(frozen=True)
class Ended:
    """What a command printed, and its exit status."""

    status: object
    out: str
    err: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``durable-ws`` in this process, in the test's folder, at 80 columns."""

    def run(*words: str) -> Ended:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["durable-ws", *words])
        monkeypatch.delenv("RABBITMQ_URL", raising=False)
        monkeypatch.setenv("COLUMNS", "80")
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            program.main()
        told = capsys.readouterr()
        return Ended(ended.value.code, told.out, told.err)

    return run
