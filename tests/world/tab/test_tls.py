"""Tabs through TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conformance.history.events import TabAcked, TabDisconnected, TabRefused, TabSubscribed
from conformance.world.tab.tls import SharedTlsSocket

if TYPE_CHECKING:
    from tests.world.tab.conftest import FakeBroker, MakeTab, MemoryRecorder, Peer

PEM = Path(__file__).with_name("localhost.pem")


def over_tls(peer: Peer) -> None:
    """Do TLS, accept the tab and send a message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    try:
        peer.socket = context.wrap_socket(peer.socket, server_side=True)
    except (ssl.SSLError, OSError) as exc:
        raise EOFError from exc
    peer.subscribe()
    peer.message(b"\xff\x00", ack="m1", message_id="m1")
    peer.until_gone()


def test_a_verified_broker(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``wss://`` with a certificate that the system trusts works as ``ws://`` does, to the end of the session."""
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    fake.scripts = [over_tls]
    tab = make_tab(url=fake.url.replace("ws:", "wss:"))
    tab.open()
    recorder.wait(TabAcked)
    tab.reload()
    recorder.wait(TabSubscribed, 1, session=2)
    recorder.wait(TabAcked, 1, session=2)
    tab.leave()
    assert [event.reason for event in recorder.of(TabDisconnected)] == ["reload", "left"]
    assert [frame.command for frame in fake.peers[1].frames[-2:]] == ["ACK", "DISCONNECT"]


def test_a_broker_that_is_not_trusted(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """A certificate that nobody vouches for is refused, and the refusal says so."""
    fake.scripts = [over_tls]
    make_tab(url=fake.url.replace("ws:", "wss:")).open()
    assert "CERTIFICATE_VERIFY_FAILED" in recorder.wait(TabRefused)[0].detail


@pytest.fixture
def pair() -> Iterator[tuple[SharedTlsSocket, ssl.SSLSocket]]:
    """The tab's end and the broker's end of one connection, after the handshake."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(PEM)
    client = ssl.create_default_context(cafile=PEM)
    client.sslsocket_class = SharedTlsSocket
    ours, theirs = socket.socketpair()
    made: list[ssl.SSLSocket] = []
    accepting = threading.Thread(target=lambda: made.append(server.wrap_socket(theirs, server_side=True)))
    accepting.start()
    shared = client.wrap_socket(ours, server_hostname="localhost")
    accepting.join()
    assert isinstance(shared, SharedTlsSocket)
    with shared, made[0] as other:
        yield shared, other


def test_who_reads_holds_up_no_writer(pair: tuple[SharedTlsSocket, ssl.SSLSocket]) -> None:
    """A thread waits for the broker while another writes; then it gets its answer."""
    shared, other = pair
    came: list[bytes] = []
    reading = threading.Thread(target=lambda: came.append(shared.recv(10)))
    reading.start()
    shared.sendall(b"question")
    assert other.recv(10) == b"question"
    other.sendall(b"answer")
    reading.join()
    assert came == [b"answer"]


def test_reading_and_writing_take_turns(
    pair: tuple[SharedTlsSocket, ssl.SSLSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL is never asked by two threads at once: a write that begins within a read waits for its end."""
    shared, other = pair
    other.sendall(b"x")
    within, written, overlapped = threading.Event(), threading.Event(), []
    read, send = ssl.SSLSocket.read, ssl.SSLSocket.send

    def slow_read(self: ssl.SSLSocket, *args: Any) -> bytes:
        within.set()
        overlapped.append(written.wait(0.2))
        return read(self, *args)

    def told_send(self: ssl.SSLSocket, *args: Any) -> int:
        written.set()
        return send(self, *args)

    monkeypatch.setattr(ssl.SSLSocket, "read", slow_read)
    reading = threading.Thread(target=shared.recv, args=(1,))
    reading.start()
    assert within.wait(10)
    monkeypatch.setattr(ssl.SSLSocket, "send", told_send)
    shared.sendall(b"y")
    reading.join()
    assert (written.is_set(), any(overlapped)) == (True, False)


@pytest.mark.parametrize("timeout_s", [0.0, 0.01])
def test_silence_has_its_limit(pair: tuple[SharedTlsSocket, ssl.SSLSocket], timeout_s: float) -> None:
    """A read ends with the time that it was given."""
    shared, _ = pair
    shared.settimeout(timeout_s)
    assert shared.gettimeout() == timeout_s
    with pytest.raises(TimeoutError):
        shared.recv(1)


def test_a_handshake_that_is_not_answered() -> None:
    """A peer that speaks no TLS ends the handshake with an error; one that is silent, with the time."""
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context(cafile=PEM)
    context.sslsocket_class = SharedTlsSocket
    with contextlib.closing(
        context.wrap_socket(ours, server_hostname="localhost", do_handshake_on_connect=False)
    ) as made:
        made.settimeout(0.01)
        with pytest.raises(TimeoutError):
            made.do_handshake()
        theirs.sendall(b"I am no server\r\n")
        with pytest.raises(ssl.SSLError):
            made.do_handshake()
    theirs.close()
