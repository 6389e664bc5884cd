"""Commands in a container: nothing that they say is lost. The daemon is one of the test's own and answers at once."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import docker
import pytest
from docker.models.containers import Container

from conformance.world.broker.container_exec import run_in


class Daemon(BaseHTTPRequestHandler):
    """Knows one container, and one command in it that has ended before anybody could look.

    Attributes:
        frames: what the command wrote: the stream (1: output, 2: errors) and the words.
        endings: what the daemon says of the command's end, one after the other.
        asked: the body of each request.
    """

    frames: ClassVar[list[tuple[int, bytes]]] = []
    endings: ClassVar[list[dict[str, Any]]] = []
    asked: ClassVar[list[dict[str, Any]]] = []
    refuses = False

    def do_GET(self) -> None:
        """The container, or the command's end."""
        ending = self.endings[0] if len(self.endings) == 1 else self.endings.pop(0)
        self._tell(ending if "/exec/" in self.path else {"Id": "c" * 64})

    def do_POST(self) -> None:
        """The command is made, or run: headers and output leave in one packet."""
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if not self.path.endswith("/start"):
            self._tell({"Id": "e" * 64})
            return
        if self.refuses:
            self._tell({"message": "container is paused"}, status=409)
            return
        body = b"".join(struct.pack(">BxxxL", stream, len(words)) + words for stream, words in self.frames)
        head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        if "Upgrade" not in self.headers:
            head = b"HTTP/1.1 200 OK\r\n"
        self.wfile.write(head + b"Content-Type: application/vnd.docker.raw-stream\r\n\r\n" + body)
        self.close_connection = True

    def _tell(self, told: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Not to the terminal."""


@pytest.fixture
def daemon() -> type[Daemon]:
    """Its class, to set what it says."""

    class Ours(Daemon):
        frames: ClassVar[list[tuple[int, bytes]]] = []
        endings: ClassVar[list[dict[str, Any]]] = [{"Running": False, "ExitCode": 0}]
        asked: ClassVar[list[dict[str, Any]]] = []

    return Ours


@pytest.fixture
def container(daemon: type[Daemon]) -> Iterator[Container]:
    """Its container."""
    with ThreadingHTTPServer(("127.0.0.1", 0), daemon) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            url = f"tcp://127.0.0.1:{server.server_address[1]}"
            with contextlib.closing(docker.DockerClient(base_url=url, version="1.41")) as client:
                yield client.containers.get("c" * 64)
        finally:
            server.shutdown()
            thread.join()


def test_words_that_come_with_the_headers_are_not_lost(container: Container, daemon: type[Daemon]) -> None:
    """Both streams, in order; what is asked for is what was meant."""
    daemon.frames = [(1, b"1024"), (2, "über\n".encode()), (1, b""), (1, b"4096\n")]
    assert run_in(container, ["prlimit", "--nofile"], user="7", environment={"A": "b"}) == (0, "1024über\n4096\n")
    made, started = daemon.asked
    assert (made["Cmd"], made["User"], made["Env"]) == (["prlimit", "--nofile"], "7", ["A=b"])
    assert made["AttachStdout"]
    assert made["AttachStderr"]
    assert started == {"Detach": False, "Tty": False}


def test_much_is_read_whole(container: Container, daemon: type[Daemon]) -> None:
    """More than any buffer holds."""
    daemon.frames = [(1, b"x" * 100_000)] * 30
    assert run_in(container, ["yes"]) == (0, "x" * 3_000_000)


def test_the_end_is_waited_for(container: Container, daemon: type[Daemon]) -> None:
    """A command is no success before its exit code is known."""
    running = {"Running": True, "ExitCode": None}
    daemon.endings = [running, {"Running": True, "ExitCode": 0}, {"Running": False, "ExitCode": 64}]
    assert run_in(container, ["false"]) == (64, "")


def test_an_end_that_never_comes_is_told(
    container: Container, daemon: type[Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than taken for a success."""
    monkeypatch.setattr("conformance.world.broker.container_exec._END_S", 0.1)
    daemon.endings = [{"Running": True, "ExitCode": None}]
    with pytest.raises(OSError, match="still said to run"):
        run_in(container, ["false"])


def test_a_refusal_is_told(container: Container, daemon: type[Daemon]) -> None:
    """With the daemon's own words."""
    daemon.refuses = True
    with pytest.raises(OSError, match=r"409.*container is paused"):
        run_in(container, ["false"])
