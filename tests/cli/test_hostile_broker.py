"""What the user sees where something else than a sound Web-STOMP answers."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from conformance.world.broker.base import Broker

if TYPE_CHECKING:
    from tests.cli.conftest import Run, Start

CONNECTED = b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0\n"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def text(payload: bytes) -> bytes:
    """A WebSocket text message (RFC 6455, 5.2), unmasked as a server's is."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
    return b"\x81" + length + payload


class FakeWebStomp:
    """Accepts WebSockets and answers each frame of the client's with the next of ``answers``; then falls silent."""

    def __init__(self, answers: list[bytes], *, upgrade: bool = True) -> None:
        self._answers = answers
        self._upgrade = upgrade
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self._listener.getsockname()[1]}/ws"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                with contextlib.suppress(OSError):
                    self._play(connection)

    def _play(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        if not self._upgrade:
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
            return
        found = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
        assert found is not None
        accept = base64.b64encode(hashlib.sha1(found[1] + _GUID, usedforsecurity=False).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: v12.stomp\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        for answer in self._answers:
            if not connection.recv(65536):
                return
            connection.sendall(answer)
        for _ in range(2):  # ACK and DISCONNECT
            connection.recv(65536)
        connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it."""
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join()


Fake = Callable[..., FakeWebStomp]


@pytest.fixture
def fake() -> Iterator[Fake]:
    """Make one; it is closed at the end."""
    made: list[FakeWebStomp] = []

    def make(*answers: bytes, upgrade: bool = True) -> FakeWebStomp:
        made.append(FakeWebStomp(list(answers), upgrade=upgrade))
        return made[-1]

    yield make
    for one in made:
        one.close()


HOSTILE = {
    "another-protocol": (text(b"HELLO\n\n\0"), "speaks no STOMP"),
    "no-text": (text(b"\xff\x00\xfe" * 50), "no CONNECTED came"),
    "endless-header": (text(b"CONNECTED\n" + b"x:y\n" * 10_000), "speaks no STOMP"),
    "long-line": (text(b"CONNECTED\nx:" + b"y" * 200_000), "speaks no STOMP"),
    "endless-body": (text(b"CONNECTED\ncontent-length:999999999999\n\n"), "speaks no STOMP"),
    "undefined-escape": (text(b"CONNECTED\nversion:1\\t2\n\n\0"), "speaks no STOMP"),
    "old-version": (text(b"CONNECTED\nversion:1.0\n\n\0"), "speaks no STOMP"),
    "refused": (text(b"ERROR\nmessage:\x1b[2J\x1b[31mBad\n\nAccess refused\0"), "STOMP CONNECT as 'guest' was refused"),
    "closed": (b"\x88\x02\x03\xe8", "closed the WebSocket"),
    "broken-websocket": (b"\xff\x00", "no CONNECTED came"),
}


@pytest.mark.broker
@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_a_web_stomp_that_is_none(case: str, broker: Broker, fake: Fake, run: Run) -> None:
    """Whatever comes instead of CONNECTED: one message that names the address and what is wrong, no control bytes."""
    answer, words = HOSTILE[case]
    server = fake(answer)
    ended = run("certify", "--broker", broker.addresses.amqp, "--web-stomp", server.url)
    assert (ended.status, ended.out) == (3, "")
    assert words in ended.err
    assert "Name the address" in ended.err or "Check tab.login" in ended.err
    assert server.url in ended.err
    assert "Traceback" not in ended.err
    assert "\x1b" not in ended.err


@pytest.mark.broker
def test_a_web_server_that_knows_no_websocket(broker: Broker, fake: Fake, run: Run) -> None:
    """An answer of HTTP says that the plugin may be off, and how it is enabled."""
    server = fake(upgrade=False)
    ended = run("certify", "--broker", broker.addresses.amqp, "--web-stomp", server.url)
    assert ended.status == 3
    assert f"{server.url}: no WebSocket" in ended.err
    assert "rabbitmq-plugins enable rabbitmq_web_stomp" in ended.err


def test_a_message_that_would_rewrite_the_terminal(fake: Fake, start: Start) -> None:
    """`tail` shows control characters as text, in the routing key as well as in the body."""
    message = (
        b"MESSAGE\nsubscription:0\nmessage-id:1\nack:1\n"
        b"destination:/exchange/durable-websocket-pubsub/a\x1b[31m\n\n\x1b]0;title\x07red\xff\n\0"
    )
    server = fake(text(CONNECTED), text(b"RECEIPT\nreceipt-id:subscribe\n\n\0") + text(message))
    command = start("tail", "--url", server.url, "--count", "1")
    line = command.until("red")
    assert "\x1b" not in line
    assert "\x07" not in line
    assert "\\x1b]0;title" in line
    assert command.end() == 0
