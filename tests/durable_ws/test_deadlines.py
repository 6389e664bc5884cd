"""What the broker or the network refuses: the class of the error tells what is known, by the deadline."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durable_ws import ConfigError, Exchange, Nacked, NotSent, Publisher, PublishError, Refused
from tests.durable_ws.observers import Outcomes

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues, Wait

pytestmark = pytest.mark.broker

PEM = Path(__file__).parents[1] / "world" / "tab" / "localhost.pem"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_nacked(publisher: Publisher, queues: Queues, exchange: Exchange) -> None:
    """A full queue that rejects makes the broker nack: the error says so at once, and the queue holds what it held."""
    queue = queues.make(exchange, x_max_length=1, x_overflow="reject-publish")
    publisher.publish("a")
    with pytest.raises(Nacked, match=r"^message m: nacked by the broker: .*\(basic\.nack\)$") as caught:
        publisher.publish("b", message_id="m")
    assert caught.value.attempts == 1
    assert [got.body for got in queues.take(queue)] == [b"a"]
    assert publisher.publish("c").routed, "and goes on when there is room"


def test_a_broker_that_is_not_there(make_publisher: MakePublisher, closed_port: int) -> None:
    """NotSent at the deadline, with the system's word, and no sooner, as it may come up; never the password."""
    publisher = make_publisher(f"amqp://guest:hunter2@127.0.0.1:{closed_port}")
    before = time.monotonic()
    with pytest.raises(NotSent, match=r"the deadline passed without a connection .*Connection refused") as caught:
        publisher.publish("a", timeout=1.0)
    assert 1.0 <= time.monotonic() - before < 10.0
    assert not isinstance(caught.value, Refused)
    assert caught.value.attempts == 0
    assert "hunter2" not in str(caught.value)


def test_a_broker_that_comes_up_in_time(
    make_publisher: MakePublisher, link: Link, wait: Wait, queues: Queues, queue: str
) -> None:
    """What waits is published as soon as the broker can be reached."""
    publisher = make_publisher(link.url)
    with link.fault("refuse") as active:
        future = publisher.submit("a")
        wait(lambda: active.counts.get("refused", 0) >= 3, "it tries again and again")
    receipt = future.result()
    assert (receipt.routed, receipt.attempts) == (True, 1)
    assert [got.body for got in queues.take(queue)] == [b"a"]


def test_a_host_that_is_not_known(make_publisher: MakePublisher, wait: Wait) -> None:
    """The resolver's word is in the error."""
    publisher = make_publisher("amqp://guest:guest@no-such-host.invalid")
    publisher.submit("a", timeout=60.0)
    wait(lambda: publisher.health().trouble, "the attempt has ended")
    with pytest.raises(NotSent, match=r"can't connect: \[Errno -\d+\]"):
        publisher.publish("b", timeout=0.1)


def test_a_port_that_says_nothing(make_publisher: MakePublisher, silent_port: int, wait: Wait) -> None:
    """A host that takes the connection and stays silent is given up for another attempt, until the deadline."""
    publisher = make_publisher(f"amqp://guest:guest@127.0.0.1:{silent_port}", connect_timeout_s=0.2)
    publisher.submit("a", timeout=60.0)
    wait(lambda: publisher.health().trouble, "an attempt has ended")
    with pytest.raises(NotSent, match=r"the deadline passed without a connection .*[Tt]imeout"):
        publisher.publish("b", timeout=0.1)


def test_a_port_that_speaks_another_protocol(make_publisher: MakePublisher) -> None:
    """What answers with something else is no broker, and is not waited for longer than the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def answer() -> None:
            while not ended.is_set():
                peer, _ = server.accept()
                with peer:
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        publisher = make_publisher(f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(NotSent, match="the deadline passed without a connection"):
            publisher.publish("a", timeout=0.4)
        publisher.close()
        ended.set()
        socket.create_connection(server.getsockname()).close()
        thread.join()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("guest:guest", "guest:hunter2", r"\(403\) ACCESS_REFUSED - Login was refused"),
        ("guest:guest", "nobody:hunter2", r"\(403\) ACCESS_REFUSED - Login was refused"),
        ("%2F", "no-such-vhost", r"\(530\) NOT_ALLOWED - vhost no-such-vhost not found"),
    ],
    ids=["password", "user", "vhost"],
)
def test_a_login_that_is_refused(make_publisher: MakePublisher, url: str, old: str, new: str, said: str) -> None:
    """At once, as trying on would not help, in the broker's words; never with the password."""
    publisher = make_publisher(url.replace(old, new))
    with pytest.raises(Refused, match=rf"refused the connection: {said}.*\. Mend the URL") as caught:
        publisher.publish("a")
    assert isinstance(caught.value, NotSent)
    assert isinstance(caught.value, ConfigError)
    assert caught.value.attempts == 0
    assert "hunter2" not in str(caught.value)


def test_tls_that_is_not_trusted(make_publisher: MakePublisher) -> None:
    """A certificate that nobody vouches for is refused at once, and nothing is sent to its owner."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def shake_hands() -> None:
            peer, _ = server.accept()
            with peer, contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as secured:
                heard.append(secured.recv(1))

        heard: list[bytes] = []
        thread = threading.Thread(target=shake_hands)
        thread.start()
        publisher = make_publisher(f"amqps://guest:guest@localhost:{server.getsockname()[1]}")
        with pytest.raises(Refused, match=r"the broker's certificate can't be trusted: self.signed certificate"):
            publisher.publish("a")
        thread.join()
    assert heard in ([], [b""])


def test_tls_to_a_port_without(make_publisher: MakePublisher, url: str, wait: Wait) -> None:
    """``amqps`` to the plain port says what OpenSSL says."""
    publisher = make_publisher(url.replace("amqp:", "amqps:"))
    publisher.submit("a", timeout=60.0)
    wait(lambda: publisher.health().trouble, "the attempt has ended")
    with pytest.raises(NotSent, match=r"can't connect: .*SSL"):
        publisher.publish("b", timeout=0.1)


@pytest.mark.parametrize("timeout", [0.000001, 0.05])
def test_a_deadline_that_can_hardly_be_met(publisher: Publisher, timeout: float) -> None:
    """However short, there is one answer, and soon."""
    before = time.monotonic()
    try:
        publisher.publish("a", timeout=timeout)
    except PublishError as exc:
        assert "the deadline passed" in exc.detail  # noqa: PT017
    assert time.monotonic() - before < timeout + 10.0
    assert publisher.publish("b").attempts == 1


def test_each_publish_may_have_its_own_deadline(make_publisher: MakePublisher, closed_port: int) -> None:
    """The shorter ends first, whatever the order of the calls."""
    notes = Outcomes()
    publisher = make_publisher(f"amqp://127.0.0.1:{closed_port}", timeout=60.0, close_timeout_s=0.1, observer=notes)
    last = publisher.submit("a", message_id="last")
    late, early = (publisher.submit("b", message_id=f"{at}", timeout=at) for at in (3.0, 0.2))
    for future in (late, early):
        with pytest.raises(NotSent, match="the deadline passed"):
            future.result(20.0)
    assert not last.done()
    publisher.close()
    assert [told[0] for told in notes.told] == ["0.2", "3.0", "last"]
