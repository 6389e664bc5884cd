"""Brokers that refuse, lie, fall silent or go: the tab says why and keeps to its reconnects, without a traceback."""

from __future__ import annotations

import queue
import re
import select
import socket
import subprocess
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from conformance.history.events import TabConnected, TabDelivered, TabDisconnected, TabRefused, TabSubscribed

if TYPE_CHECKING:
    from tests.world.tab.conftest import FakeBroker, MakeTab, MemoryRecorder, Peer

OURS = "websocket-client"


def error(message: str, detail: str) -> bytes:
    """An ERROR as RabbitMQ sends it."""
    return f"ERROR\nmessage:{message}\ncontent-type:text/plain\n\n{detail}\x00\n".encode()


def bad_connect(peer: Peer) -> None:
    """Answer CONNECT with ERROR."""
    peer.accept()
    peer.receive("CONNECT")
    peer.send(error("Bad CONNECT", "Access refused for user 'guest'\n"))


def test_refusals_are_recorded_each_with_growing_delays(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder
) -> None:
    """A wrong password: every attempt is a session of its own that says so, later and later."""
    fake.scripts = [bad_connect]
    make_tab(reconnect_first_s=0.05, reconnect_most_s=10.0).open()
    refused = recorder.wait(TabRefused, 4)
    assert {event.detail for event in refused} == {"ERROR: Bad CONNECT: Access refused for user 'guest'"}
    assert {event.during for event in refused} == {"connect"}
    assert [event.session for event in refused[:4]] == [1, 2, 3, 4]
    gaps_s = [(after.time_ns - before.time_ns) / 1e9 for before, after in pairwise(refused)]
    assert gaps_s[0] >= 0.025
    assert gaps_s[1] >= 0.05
    assert gaps_s[2] >= 0.1
    assert recorder.of(TabConnected) == recorder.of(TabDisconnected) == []


def test_refused_subscription(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """ERROR to SUBSCRIBE: refused, and the session that was connected is disconnected."""

    def script(peer: Peer) -> None:
        peer.connect()
        peer.receive("SUBSCRIBE")
        peer.send(error("not_found", "NOT_FOUND - no exchange 'ex' in vhost '/'"))

    fake.scripts = [script]
    tab = make_tab()
    tab.open()
    (refused, *_) = recorder.wait(TabRefused, 2, during="subscribe")
    assert refused.detail == "ERROR: not_found: NOT_FOUND - no exchange 'ex' in vhost '/'"
    assert recorder.of(TabDisconnected)[0].reason == refused.detail
    assert not tab.subscribed


def test_error_after_the_subscription(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """ERROR to a subscribed tab: refused while subscribed, then it comes back."""

    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.send(error("precondition_failed", "unknown delivery tag"))

    fake.scripts = [script, lambda peer: (peer.subscribe(), peer.until_gone())[0]]
    make_tab().open()
    recorder.wait(TabSubscribed, 2)
    (refused,) = recorder.of(TabRefused)
    assert (refused.session, refused.during) == (1, "subscribed")
    assert recorder.of(TabDisconnected)[0].reason == "ERROR: precondition_failed: unknown delivery tag"


def silent(peer: Peer) -> None:
    """Say nothing, not even HTTP."""
    peer.socket.recv(65536)
    while peer.socket.recv(65536):
        pass


def no_connected(peer: Peer) -> None:
    """Never answer CONNECT."""
    peer.accept()
    peer.until_gone()


def no_receipt(peer: Peer) -> None:
    """Never answer SUBSCRIBE."""
    peer.connect()
    peer.until_gone()


@pytest.mark.parametrize(
    ("script", "during", "detail"),
    [
        (silent, "connect", "no WebSocket handshake within 1 s"),
        (no_connected, "connect", "no CONNECTED within 1 s"),
        (no_receipt, "subscribe", "no RECEIPT of SUBSCRIBE within 1 s"),
    ],
)
def test_a_broker_that_never_answers(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, script: object, during: str, detail: str
) -> None:
    """Each step has the connect timeout; then the tab gives up and tries again."""
    fake.scripts = [script]  # type: ignore[list-item]
    make_tab(connect_timeout_s=1.0).open()
    recorder.wait(TabRefused, 2, during=during, detail=detail)
    # A tab that was held up may have given up at an earlier step.
    assert all(re.fullmatch("no .+ within 1 s", event.detail or "") for event in recorder.of(TabRefused))


def test_a_handshake_in_drips_has_the_same_deadline(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder
) -> None:
    """A byte now and then does not put the deadline off."""

    def script(peer: Peer) -> None:
        peer.send_raw(b"HTTP/1.1 101 Switching Protocols\r\n")
        while True:
            peer.send_raw(b"x: y\r\n")
            peer.socket.settimeout(0.05)
            try:
                if not peer.socket.recv(65536):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    fake.scripts = [script]
    make_tab(connect_timeout_s=0.3).open()
    recorder.wait(TabRefused, detail="no WebSocket handshake within 0.3 s")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n", "Redirect"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "WebSocket"),
        (b"AMQP\x00\x00\x09\x01\r\n\r\n", ""),
        (b"\xff\xfe\r\n\r\n", "UTF-8"),
        (b"SSH-2.0-OpenSSH_9\r\n", ""),
        (b"", ""),
    ],
)
def test_what_is_no_websocket(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, answer: bytes, words: str
) -> None:
    """Another server at that address, or a broker without the plugin there."""

    def script(peer: Peer) -> None:
        peer.socket.recv(65536)
        peer.send_raw(answer)

    fake.scripts = [script]
    make_tab().open()
    refused = recorder.wait(TabRefused, 2)
    assert {event.during for event in refused} == {"connect"}
    assert all(event.detail and words in event.detail for event in refused)


def test_nobody_listens(make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """A closed port is a refusal that says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    make_tab(url=f"ws://127.0.0.1:{port}/ws").open()
    assert recorder.wait(TabRefused, 3)[0].detail == "Connection refused"


def test_a_connection_that_is_never_accepted_can_be_given_up(make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """Where TCP itself hangs, the tab can still be closed, and records no refusal for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        address = listener.getsockname()
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(address)
        tab = make_tab(url=f"ws://127.0.0.1:{address[1]}/ws", connect_timeout_s=60.0)
        tab.open()
        tab.close()
        for one in crowd:
            one.close()
    assert recorder.of(TabRefused) == []


@pytest.mark.parametrize(
    ("connected", "words"),
    [
        (b"CONNECTED\nversion:1.1\n\n\x00", "'1.1'"),
        (b"CONNECTED\n\n\x00", "'1.0'"),
        (b"CONNECTED\nversion:1.2\nheart-beat:soon,later\n\n\x00", ""),
    ],
)
def test_a_wrong_connected(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, connected: bytes, words: str
) -> None:
    """A version that we did not ask for, or heart-beats that are no numbers, end the attempt."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.receive("CONNECT")
        peer.send(connected)
        peer.until_gone()

    fake.scripts = [script]
    make_tab(heart_beat_s=10.0).open()
    refused = recorder.wait(TabRefused, 2)
    assert all(event.detail and words in event.detail for event in refused)
    assert recorder.of(TabConnected) == []


GARBAGE = {
    "no frame": b"GARBAGE\n\n\x00",
    "nuls": b"\x00" * 100,
    "binary": bytes(range(256)) * 10,
    "undefined escape": b"MESSAGE\na:\\t\n\nx\x00",
    "not UTF-8": b"MESSAGE\n\xff\xfe:x\n\nx\x00",
    "client's frame": b"SEND\ndestination:/x\n\nx\x00",
    "huge length": b"MESSAGE\ncontent-length:99999999999\n\nx\x00",
    "length is no number": b"MESSAGE\ncontent-length:ten\n\nx\x00",
    "endless line": b"MESSAGE\n" + b"a" * 100_000,
    "endless headers": b"MESSAGE\n" + b"a:b\n" * 2000,
    "receipt of nothing": b"RECEIPT\n\n\x00",
    "connected twice": b"CONNECTED\nversion:1.2\n\n\x00",
}


@pytest.mark.parametrize("client", [OURS], indirect=True)
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_ends_the_session_of_our_codec(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, garbage: bytes
) -> None:
    """Each kind of garbage is a protocol error at once; the tab reconnects."""

    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.send(garbage, opcode=2)
        peer.until_gone()

    fake.scripts = [script, lambda peer: (peer.subscribe(), peer.until_gone())[0]]
    make_tab().open()
    recorder.wait(TabSubscribed, 2)
    (over,) = recorder.of(TabDisconnected)
    assert over.reason.startswith("protocol error: ")
    assert recorder.of(TabRefused) == recorder.of(TabDelivered) == []


@pytest.mark.parametrize("name", sorted(GARBAGE.keys() - {"connected twice"}))
def test_garbage_instead_of_connected(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, name: str) -> None:
    """Both clients refuse it, by the error or by the timeout, and try again."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.receive("CONNECT")
        peer.send(GARBAGE[name])
        peer.until_gone()

    fake.scripts = [script]
    make_tab(connect_timeout_s=0.3).open()
    refused = recorder.wait(TabRefused, 2)
    assert {event.during for event in refused} == {"connect"}
    assert all(event.detail for event in refused)


def whole(peer: Peer) -> None:
    """Close after a whole frame, by TCP."""


def mid_frame(peer: Peer) -> None:
    """Close inside a STOMP frame, at the end of a WebSocket message."""
    peer.send(peer.message_frame(b"half of it")[:40])


def mid_websocket_frame(peer: Peer) -> None:
    """Close inside a WebSocket frame."""
    peer.send_raw(b"\x81\x7e\x10\x00MESSAGE\n")


def reset(peer: Peer) -> None:
    """Reset the connection."""
    peer.reset()


def close_frame(peer: Peer) -> None:
    """Close the WebSocket in order."""
    peer.send(b"\x03\xe9going away", opcode=8)


def reserved_opcode(peer: Peer) -> None:
    """Send a WebSocket frame with an opcode that there is not."""
    peer.send(b"x", opcode=5)


@pytest.mark.parametrize("end", [whole, mid_frame, mid_websocket_frame, reset, close_frame, reserved_opcode])
def test_a_connection_that_is_lost(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, end: object) -> None:
    """However it goes, the session is over with a reason, half a message is none, and the tab comes back."""

    def script(peer: Peer) -> None:
        peer.subscribe()
        end(peer)  # type: ignore[operator]

    fake.scripts = [script, lambda peer: (peer.subscribe(), peer.until_gone())[0]]
    tab = make_tab()
    tab.open()
    recorder.wait(TabSubscribed, 2)
    (over,) = recorder.of(TabDisconnected)
    assert over.session == 1
    assert over.reason
    assert recorder.of(TabRefused) == recorder.of(TabDelivered) == []


@pytest.mark.parametrize("during", ["connect", "subscribe"])
def test_a_connection_that_is_lost_on_the_way(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, during: str
) -> None:
    """Closed before CONNECTED or before the RECEIPT: a refusal."""

    def script(peer: Peer) -> None:
        if during == "subscribe":
            peer.connect()
            peer.receive("SUBSCRIBE")
        else:
            peer.accept()
            peer.receive("CONNECT")

    fake.scripts = [script]
    make_tab().open()
    refused = recorder.wait(TabRefused, 2)
    assert {event.during for event in refused} == {during}
    assert all(event.detail for event in refused)
    assert bool(recorder.of(TabDisconnected)) is (during == "subscribe")


def test_a_broker_that_falls_silent(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """With heart-beats agreed on, silence for twice the interval ends the session."""

    stayed_s: queue.SimpleQueue[float] = queue.SimpleQueue()

    def script(peer: Peer) -> None:
        peer.accept()
        began = time.monotonic()
        peer.subscribe("200,200")
        peer.until_gone()
        stayed_s.put(time.monotonic() - began)

    fake.scripts = [script]
    make_tab(heart_beat_s=0.2).open()
    (connected, *_) = recorder.wait(TabConnected)
    assert connected.heart_beat_ms == (200, 200)
    (over, *_) = recorder.wait(TabDisconnected)
    assert "silent" in over.reason
    assert stayed_s.get(timeout=30) >= 0.4
    recorder.wait(TabSubscribed, 2)


def test_heart_beats_are_sent_and_keep_the_session(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder
) -> None:
    """The tab sends them at the agreed interval; the broker's own keep it content beyond its limit of 3 s."""
    third_after_s: queue.SimpleQueue[float] = queue.SimpleQueue()

    def script(peer: Peer) -> None:
        peer.accept()
        began = time.monotonic()
        peer.subscribe("1500,1500")
        while peer.heart_beats < 3 or time.monotonic() < began + 4.0:
            before = peer.heart_beats
            if select.select([peer.socket], [], [], 0.2)[0]:
                peer.read()
            if before < 3 <= peer.heart_beats:
                third_after_s.put(time.monotonic() - began)
            peer.send(b"\n")
        peer.message(b"three came")
        peer.until_gone()

    fake.scripts = [script]
    make_tab(heart_beat_s=1.5).open()
    recorder.wait(TabDelivered)
    assert third_after_s.get(timeout=30) >= 3.0
    assert recorder.of(TabDisconnected) == []


PROGRAM = """
import sys, threading
from conformance.world.tab.base import TabSettings
from conformance.world.tab.clients import TAB_CLIENTS

enough = threading.Semaphore(0)

class Recorder:
    def record(self, event_type, /, **fields):
        if event_type.type in ("tab_refused", "tab_disconnected"):
            enough.release()

url, client = sys.argv[1:]
tab = TAB_CLIENTS[client](
    TabSettings(
        tab="t", url=url, login="guest", passcode="guest", vhost="/", destination="/topic/x", ack="client",
        subscribe_headers={"ack": "client"}, heart_beat_s=0.2, queue="q", exchange="e", exchange_type="topic",
        binding_key="x", reconnect_first_s=0.01, reconnect_most_s=0.05, connect_timeout_s=0.5,
    ),
    Recorder(),
)
tab.open()
for _ in range(12):
    assert enough.acquire(timeout=10)
tab.close()
"""


def test_nothing_is_printed(fake: FakeBroker, client: str) -> None:
    """Whatever the broker does, no warning, log line or traceback of a client reaches the terminal."""

    def garbage(peer: Peer) -> None:
        peer.subscribe("200,200")
        peer.send(b"GARBAGE\n:\n\n\x00\x00\xff", opcode=2)
        peer.send(GARBAGE["receipt of nothing"])
        peer.until_gone()

    fake.scripts = [bad_connect, garbage, mid_frame, reserved_opcode, reset, no_receipt] * 3
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PROGRAM, fake.url, client], capture_output=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
