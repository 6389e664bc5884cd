"""One connection on its socket, before a broker that is only played: limits of time, socket options, the last word."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import body, commands

from durable_ws import Exchange, NotSent, Publisher
from durable_ws.session import _describe
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker, Frame, Talk

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Wait

Make = Callable[..., Publisher]

LONG_S = 1000.0


@pytest.fixture
def make() -> Iterator[Make]:
    """Make publishers, which are closed in the end."""
    made: list[Publisher] = []

    def make(url: str, **options: Any) -> Publisher:
        options = {"timeout": WAIT_S, "reconnect_first_s": 0.01, "reconnect_most_s": 0.05, **options}
        made.append(Publisher(url, {"pubsub": Exchange("x")}, **options))
        return made[-1]

    yield make
    for publisher in made:
        publisher._close_timeout_s = 0.0
        publisher.close()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_handshake_that_never_ends(make: Make, silent: socket.socket, wait: Wait) -> None:
    """``connect_timeout_s`` is for all of it, and the error says how long that was."""
    port = silent.getsockname()[1]
    publisher = make(
        f"amqp://127.0.0.1:{port}", connect_timeout_s=0.1, reconnect_first_s=LONG_S, reconnect_most_s=LONG_S
    )
    publisher.submit("a", timeout=LONG_S)
    wait(lambda: publisher.health().trouble, "the attempt has ended")
    with pytest.raises(NotSent) as caught:
        publisher.publish("b", timeout=0.01)
    said = f"timeout, no AMQP connection to 127.0.0.1:{port} in 0.1 s"
    assert caught.value.detail == f"the deadline passed without a connection (can't connect: {said})"
    assert publisher.health().trouble == said


def test_a_name_server_that_never_answers(make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    """The limit holds for it too, and so does close while it is asked."""
    answer = threading.Event()

    def getaddrinfo(*_: object) -> object:
        answer.wait(WAIT_S)
        raise socket.gaierror(-2, "too late")

    monkeypatch.setattr("durable_ws.loop.socket.getaddrinfo", getaddrinfo)
    url = "amqp://broker.example:5672/?socket_timeout=0.1"
    publisher = make(url, reconnect_first_s=LONG_S, reconnect_most_s=LONG_S)
    publisher.submit("a", timeout=LONG_S)
    wait(lambda: publisher.health().trouble, "the attempt has ended")
    with pytest.raises(NotSent) as caught:
        publisher.publish("b", timeout=0.01)
    assert "can't connect: timeout, no connection to broker.example:5672 in 0.1 s" in caught.value.detail
    hanging = make("amqp://broker.example:5672/")
    future = hanging.submit("a")
    hanging._close_timeout_s = 0.0
    closing = threading.Thread(target=hanging.close, daemon=True)
    closing.start()
    closing.join(WAIT_S / 2)
    assert not closing.is_alive()
    with pytest.raises(NotSent, match="the publisher was closed"):
        future.result(0)
    answer.set()
    for thread in threading.enumerate():
        if thread.name == "durable_ws resolver":
            assert thread.daemon
            thread.join(WAIT_S)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), r"\[Errno -2\] Name or service not known"),
        (UnicodeError("label too long"), "label too long"),
        (OSError(errno.ENETUNREACH, "as asyncio puts it"), r"\[Errno 101\] Network is unreachable"),
    ],
    ids=["unknown", "no name", "no way"],
)
def test_a_name_that_is_not_found(
    make: Make, monkeypatch: pytest.MonkeyPatch, wait: Wait, error: Exception, said: str
) -> None:
    """The system's word, and the host, are in the error."""

    def getaddrinfo(*_: object) -> object:
        raise error

    monkeypatch.setattr("durable_ws.loop.socket.getaddrinfo", getaddrinfo)
    publisher = make("amqp://broker.example:5672/")
    publisher.submit("a", timeout=LONG_S)
    wait(lambda: publisher.health().trouble, "the attempt has ended")
    with pytest.raises(NotSent, match=rf"\(can't connect: {said} \(broker\.example:5672\)\)$"):
        publisher.publish("b", timeout=0.01)


def test_a_peer_that_hangs_up(make: Make, wait: Wait) -> None:
    """Without a word, or with a reset: the trouble says which."""
    with FakeBroker() as broker:
        publisher = make(broker.url)
        publisher.publish("a")
        broker.talks[-1].hang_up()
        wait(lambda: publisher.health().trouble, "it is seen")
        assert publisher.health().trouble == "the peer closed the connection without a word"
        publisher.publish("b")
        wait(lambda: publisher.health().connections == 1, "it is connected")
        broker.talks[-1]._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        broker.talks[-1]._peer.shutdown(socket.SHUT_RD)
        wait(lambda: not publisher.health().connections, "it is seen")


def test_the_last_word(make: Make, wait: Wait) -> None:
    """A broker that closes gets its close-ok and the end of the connection, though it does not hang up itself."""
    with FakeBroker() as broker:
        publisher = make(broker.url)
        publisher.publish("a")
        talk = broker.talks[0]
        talk.say(0, commands.Connection.Close(320, "CONNECTION_FORCED - bye.", 0, 0))
        assert talk.ended.wait(WAIT_S)
        assert len(talk.of(commands.Connection.CloseOk)) == 1
        wait(lambda: publisher.health().trouble, "it is seen")
        assert publisher.health().trouble == "the broker closed the connection: (320) CONNECTION_FORCED - bye"


def test_a_last_word_that_is_not_taken(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that closes and reads no more is left alone after a while, and the messages go another way."""
    monkeypatch.setattr("durable_ws.session._FAREWELL_S", 0.2)
    hold = threading.Event()

    def stop_reading(talk: Talk, _channel: int, one: Frame) -> bool:
        first = talk is broker.talks[0]
        if first and isinstance(one, commands.Basic.Publish) and len(talk.of(commands.Basic.Publish)) == 2:
            talk.say(0, commands.Connection.Close(320, "CONNECTION_FORCED - bye.", 0, 0))
            hold.wait(WAIT_S)
        return False

    with FakeBroker(stop_reading) as broker:
        publisher = make(broker.url, heartbeat_s=0)
        publisher.publish("a")
        futures = [publisher.submit(b"x" * 1_000_000) for _ in range(12)]
        assert all(future.result(WAIT_S).routed for future in futures)
        assert not hold.is_set()
        assert len(broker.talks) == 2
        hold.set()


def test_a_broker_that_reads_again(make: Make) -> None:
    """What the socket did not take is written once it does, all of it, and once."""
    held, hold = threading.Event(), threading.Event()

    def stop_reading(talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Basic.Publish) and len(talk.of(commands.Basic.Publish)) == 2:
            held.set()
            hold.wait(WAIT_S)
        return False

    with FakeBroker(stop_reading) as broker:
        publisher = make(broker.url, heartbeat_s=0, max_connections=1)
        publisher.publish("a")
        futures = [publisher.submit(b"x" * 1_000_000) for _ in range(12)]
        assert held.wait(WAIT_S)
        assert publisher.submit("b", timeout=0.2).exception(WAIT_S) is not None
        hold.set()
        assert [future.result(WAIT_S).attempts for future in futures] == [1] * 12
        assert len(broker.talks) == 1
        broker.wait(lambda: sum(len(one.value) for one in broker.of(body.ContentBody)) == 12_000_001, "all is there")


def test_options_of_the_socket(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is set on it; those of keep-alive turn that on as well."""
    told: list[tuple[int, ...]] = []
    setsockopt = TransportSocket.setsockopt

    def note(self: TransportSocket, *arguments: Any) -> None:
        told.append(arguments)
        setsockopt(self, *arguments)

    monkeypatch.setattr(TransportSocket, "setsockopt", note)
    with FakeBroker() as broker:
        make(f"{broker.url}?tcp_options={{'TCP_USER_TIMEOUT':5000}}").publish("a")
        assert told == [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000)]
        told.clear()
        make(f"{broker.url}?tcp_options={{'TCP_KEEPIDLE':60}}").publish("a")
        assert told == [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
        ]  # fmt: skip


def test_how_long_the_broker_may_block(make: Make, wait: Wait) -> None:
    """Past ``blocked_connection_timeout`` the connection ends, and says why; one that was unblocked in time stays."""
    with FakeBroker() as broker:
        publisher = make(f"{broker.url}?blocked_connection_timeout=0.1", heartbeat_s=0)
        publisher.publish("a")
        talk = broker.talks[0]
        talk.say(0, commands.Connection.Blocked("low on memory"), commands.Connection.Unblocked())
        assert not talk.ended.wait(0.5)
        talk.say(0, commands.Connection.Blocked("low on disk"), commands.Connection.Blocked("low on disk still"))
        assert talk.ended.wait(WAIT_S)
        wait(lambda: publisher.health().trouble, "it is seen")
        assert publisher.health().trouble == "the broker has blocked publishers for 0.1 s (low on disk still)"
        assert publisher.publish("b").attempts == 1


def test_a_broker_that_blocks_before_anything_else(make: Make) -> None:
    """As soon as the connection is open; the limit holds for that too."""
    said = [commands.Connection.OpenOk(), commands.Connection.Blocked("low on disk")]

    def block_once(talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Connection.Open) and said:
            talk.say(0, *said)
            said.clear()
            return True
        return False

    with FakeBroker(block_once) as broker:
        publisher = make(f"{broker.url}?blocked_connection_timeout=0.2")
        assert publisher.publish("a").attempts == 1
        assert publisher.health().trouble == "the broker has blocked publishers for 0.2 s (low on disk)"
        assert len(broker.talks) == 2


def test_a_broker_that_breaks_the_protocol_says_where(make: Make) -> None:
    """What came before the connection was open is told with the host; what came later is told as it is."""
    with FakeBroker() as broker:
        broken = [True]

        def speak(talk: Talk, _channel: int, one: Frame) -> bool:
            if isinstance(one, commands.Connection.Open) and broken:
                broken.clear()
                talk.say_bytes(b"\x01\x00\x00\x00\x00\x00\x04" + bytes(8))
                return True
            return False

        broker.answer = speak
        publisher = make(broker.url)
        publisher.publish("a")
        said = publisher.health().trouble
        assert said is not None
        assert said.endswith(f"(localhost:{broker.port})")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"),
            "[Errno 111] Connection refused",
        ),
        (socket.gaierror(-2, "Name or service not known"), "[Errno -2] Name or service not known"),
        (OSError("Multiple exceptions: one, two"), "Multiple exceptions: one, two"),
        (OSError(2**70, "of no system"), None),
        (ValueError("  a text "), "a text"),
        (ConnectionResetError(), "ConnectionResetError"),
        (asyncio.IncompleteReadError(b"", 7), None),
    ],
)
def test_one_line_of_an_error(error: Exception, text: str | None) -> None:
    """What the system says, where asyncio leaves it out; never nothing."""
    said = _describe(error)
    assert said
    assert "\n" not in said
    if text is not None:
        assert said == text


def test_one_line_of_an_error_that_the_system_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then asyncio's own text has to do."""

    def strerror(_: int) -> str:
        raise ValueError("strerror() argument out of range")

    monkeypatch.setattr("durable_ws.session.os.strerror", strerror)
    assert _describe(OSError(12345, "no such number")) == "[Errno 12345] no such number"


def test_one_line_of_an_error_of_tls() -> None:
    """OpenSSL's reason, without the place in its source."""
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    error.reason = "WRONG_VERSION_NUMBER"
    assert _describe(error) == "SSL: WRONG_VERSION_NUMBER"
    error.reason = ""
    assert _describe(error).startswith("SSL: ")
    assert "wrong version number" in _describe(error)
