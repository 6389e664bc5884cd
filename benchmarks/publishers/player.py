"""A peer that runs: it is connected once, and has its turns as they are asked for."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from urllib.parse import unquote, urlsplit

from benchmarks.publishers.found import YARDSTICK, Peer

_CONNECT_S = 30.0
_END_S = 10.0
WARM_UP_S = 0.1
HEARTBEAT_S = 60


class PeerError(Exception):
    """A peer died, hung or talked nonsense; the text says which."""


@dataclass(frozen=True)
class Turn:
    """What a peer did from the end of its warm-up to its last confirm."""

    seconds: float
    messages: int
    client_cpu_s: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.messages else 0.0


class Player:
    """A peer's process."""

    def __init__(self, peer: Peer, process: subprocess.Popen[str], stderr: IO[str]) -> None:
        self.peer = peer
        self._process = process
        self._stderr = stderr

    def connect(self) -> None:
        """Wait until it is connected. Raises: PeerError."""
        if self._line(_CONNECT_S) != "ready":
            raise PeerError("it did not say that it is ready")

    def turn(self, seconds: float) -> Turn:
        """Have it publish for so long, once it has warmed up. Raises: PeerError."""
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):  # then it says nothing either
            self._process.stdin.write(f"{WARM_UP_S} {seconds}\n")
            self._process.stdin.flush()
        line = self._line(seconds * 10 + 30)
        try:
            told = json.loads(line)
            return Turn(told["seconds"], told["messages"], told["cpu_s"])
        except (ValueError, TypeError, KeyError):
            raise PeerError(f"it said {line!r:.80}, which tells no turn") from None

    def _line(self, limit_s: float) -> str:
        assert self._process.stdout is not None  # noqa: S101
        timer = threading.Timer(limit_s, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            end(self._process)
            self._stderr.seek(0)
            raise PeerError((self._stderr.read().strip().splitlines() or ["it hung, or said nothing"])[-1])
        return line.strip()


def end(process: subprocess.Popen[str]) -> None:
    """Wait for its end, which is to come by itself; in vain: make it one."""
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def playing(peer: Peer, url: str, queue: str, work: str) -> Iterator[Player]:
    """A peer's process, which ends with the block."""
    parts = urlsplit(url)
    # Some answer no heart-beats between their turns.
    arguments = [f"{url}{'&' if parts.query else '?'}heartbeat={HEARTBEAT_S}", queue, work]
    if peer.name == YARDSTICK:
        host = [parts.hostname or "", str(parts.port or 5672), parts.username or "guest", parts.password or "guest"]
        arguments = [*host, unquote(parts.path[1:]) or "/", queue, work]
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(  # noqa: S603
            [*peer.command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        try:
            yield Player(peer, process, stderr)
        finally:
            assert process.stdin is not None  # noqa: S101
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            end(process)
