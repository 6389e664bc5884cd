"""What the publishers say and do on a connection, frame by frame, before a broker that is only played."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pamqp import body, commands
from pamqp.heartbeat import Heartbeat

from durable_ws import AsyncPublisher, ConfigError, Exchange, NotSent, OutcomeUnknown, Publisher, Receipt, Refused
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker, Frame, Talk

PublishAll = Callable[..., list[Receipt]]
OPTIONS: dict[str, Any] = {"timeout": WAIT_S, "reconnect_first_s": 0.02, "reconnect_most_s": 0.1}
EXCHANGES = {"pubsub": Exchange("x")}


def with_threads(url: str, payloads: list[Any], **options: Any) -> list[Receipt]:
    """Publish one after the other by the publisher for threads."""
    with Publisher(url, EXCHANGES, **{**OPTIONS, **options}) as publisher:
        return [publisher.publish(payload) for payload in payloads]


def with_asyncio(url: str, payloads: list[Any], **options: Any) -> list[Receipt]:
    """The same, by the one for asyncio."""
    return asyncio.run(_publish_all(url, payloads, options))


def with_uvloop(url: str, payloads: list[Any], **options: Any) -> list[Receipt]:
    """The same, on the loop that many web servers take, which has sockets and TLS of its own."""
    uvloop = pytest.importorskip("uvloop", reason="there is no uvloop for Windows")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_publish_all(url, payloads, options))


async def _publish_all(url: str, payloads: list[Any], options: dict[str, Any]) -> list[Receipt]:
    async with AsyncPublisher(url, EXCHANGES, **{**OPTIONS, **options}) as publisher:
        return [await publisher.publish(payload) for payload in payloads]


each_way = pytest.mark.parametrize("publish_all", [with_threads, with_asyncio, with_uvloop])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who vouches for both sides."""
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The broker's side; it asks for the client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    """The client's files by what the URL calls them."""
    own = authority.issue_cert("publisher@example.org", common_name="publisher")
    found = {name: tmp_path / f"{name}.pem" for name in ("cacertfile", "certfile", "keyfile")}
    authority.cert_pem.write_to_path(found["cacertfile"])
    own.cert_chain_pems[0].write_to_path(found["certfile"])
    own.private_key_pem.write_to_path(found["keyfile"])
    return found


@each_way
def test_tls(publish_all: PublishAll, server_tls: ssl.SSLContext, files: dict[str, Path]) -> None:
    """``cacertfile`` says whom to trust; a megabyte goes through."""
    with FakeBroker(tls=server_tls) as broker:
        receipts = publish_all(f"{broker.url}?cacertfile={files['cacertfile']}", ["a", b"x" * 1_000_000])
        assert [receipt.attempts for receipt in receipts] == [1, 1]
        assert len(b"".join(one.value for one in broker.of(body.ContentBody))) == 1_000_001


def test_tls_by_ssl_options(server_tls: ssl.SSLContext, files: dict[str, Path]) -> None:
    """As a dict in the URL, which pika's users have."""
    options = {"cafile": str(files["cacertfile"]), "server_hostname": "localhost"}
    with FakeBroker(tls=server_tls) as broker:
        assert with_threads(f"{broker.url}?ssl_options={options}".replace(" ", ""), ["a"])[0].attempts == 1


@each_way
def test_a_certificate_of_another_host(
    publish_all: PublishAll, server_tls: ssl.SSLContext, files: dict[str, Path]
) -> None:
    """It is refused at once, and no password is sent."""
    with FakeBroker(tls=server_tls) as broker:
        url = broker.url.replace("localhost", "127.0.0.1") + f"?cacertfile={files['cacertfile']}"
        with pytest.raises(Refused, match=r"the broker's certificate can't be trusted: .*not valid for '127\.0\.0\.1'"):
            publish_all(url, ["a"])
        assert broker.of(commands.Connection.StartOk) == []


@each_way
def test_external(publish_all: PublishAll, server_tls: ssl.SSLContext, files: dict[str, Path]) -> None:
    """The client's certificate logs in; no name and no password are said."""
    server_tls.verify_mode = ssl.CERT_REQUIRED
    query = "&".join(["auth_mechanism=external", *(f"{name}={path}" for name, path in files.items())])
    with FakeBroker(tls=server_tls, mechanisms="EXTERNAL") as broker:
        assert publish_all(f"amqps://localhost:{broker.port}?{query}", ["a"])[0].attempts == 1
        (told,) = broker.of(commands.Connection.StartOk)
        assert (told.mechanism, told.response) == ("EXTERNAL", "")


@each_way
def test_a_login_that_is_not_offered(publish_all: PublishAll) -> None:
    """A broker without PLAIN is told from one that refuses the password, at once; it never hears it."""
    with FakeBroker(mechanisms="EXTERNAL") as broker:
        with pytest.raises(Refused, match="the broker has no PLAIN login, only EXTERNAL"):
            publish_all(broker.url, ["a"])
        assert broker.of(commands.Connection.StartOk) == []


@each_way
def test_the_second_host(publish_all: PublishAll, closed_port: int) -> None:
    """Where the first can't be reached the second is taken, without a pause in between."""
    with FakeBroker() as broker:
        url = f"amqp://guest:guest@127.0.0.1:{closed_port},localhost:{broker.port}/%2F"
        assert publish_all(url, ["a"], reconnect_first_s=1000.0, reconnect_most_s=1000.0)[0].attempts == 1


def test_from_host_to_host() -> None:
    """A connection that is lost is made anew to the next one, and what was unconfirmed is published there."""

    def hang_up(talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, body.ContentBody):
            talk.hang_up()
        return False

    with FakeBroker(hang_up, confirms=False) as first, FakeBroker() as second:
        url = f"amqp://guest:guest@localhost:{first.port},localhost:{second.port}/%2F"
        with Publisher(url, EXCHANGES, **OPTIONS) as publisher:
            assert publisher.publish("a", message_id="m").attempts == 2
        assert [len(broker.of(commands.Basic.Publish)) for broker in (first, second)] == [1, 1]


@each_way
def test_no_host_at_all(publish_all: PublishAll, closed_port: int) -> None:
    """The error tells of one of them, by the deadline."""
    at = f"127.0.0.1:{closed_port}"
    with pytest.raises(NotSent, match=rf"can't connect: \[Errno \d+\] Connection refused \({re.escape(at)}\)"):
        publish_all(f"amqp://{at},{at}", ["a"], timeout=0.5)


def beat_back(talk: Talk, channel: int, one: Frame) -> bool:
    """Answer each heart-beat with one."""
    if isinstance(one, Heartbeat):
        talk.say(channel, Heartbeat())
    return False


def test_heart_beats_while_idle() -> None:
    """Both sides beat: past twice ``heartbeat_s`` the connection stays, and the broker hears that we are alive."""
    with FakeBroker(beat_back) as broker, Publisher(broker.url, EXCHANGES, **OPTIONS, heartbeat_s=3) as publisher:
        publisher.publish("a")
        broker.wait(lambda: len(broker.of(Heartbeat)) >= 5, "heart-beats, two in each interval")
        publisher.publish("b")
        assert len(broker.talks) == 1
        assert [one.heartbeat for one in broker.of(commands.Connection.TuneOk)] == [3]


def test_heart_beats_while_idle_on_a_loop() -> None:
    """The same for asyncio."""

    async def main(broker: FakeBroker) -> None:
        async with AsyncPublisher(broker.url, EXCHANGES, **OPTIONS, heartbeat_s=3) as publisher:
            await publisher.publish("a")
            await asyncio.to_thread(broker.wait, lambda: len(broker.of(Heartbeat)) >= 5, "heart-beats")
            await publisher.publish("b")

    with FakeBroker(beat_back) as broker:
        asyncio.run(main(broker))
        assert len(broker.talks) == 1


def test_a_broker_that_falls_silent() -> None:
    """After two heart-beats without a word the connection is given up, also while idle; the next has another."""
    with FakeBroker() as broker, Publisher(broker.url, EXCHANGES, **OPTIONS, heartbeat_s=3) as publisher:
        assert publisher.publish("a").attempts == 1
        broker.wait(lambda: broker.talks[0].ended.is_set(), "it is given up")
        assert len(broker.of(Heartbeat)) >= 2
        assert publisher.publish("b").attempts == 1
        assert len(broker.talks) == 2


def test_no_heart_beats() -> None:
    """0 is none: none is agreed and none is sent."""
    with FakeBroker() as broker:
        with_threads(broker.url, ["a"], heartbeat_s=0)
        assert [one.heartbeat for one in broker.of(commands.Connection.TuneOk)] == [0]


def test_blocked() -> None:
    """From connection.blocked to connection.unblocked nothing is written; then it is."""
    with FakeBroker(confirms=False) as broker, Publisher(broker.url, EXCHANGES, **OPTIONS) as publisher:
        first = publisher.submit("first")
        broker.wait(lambda: broker.of(commands.Basic.Publish), "it is written")
        (talk,) = broker.talks
        talk.say(0, commands.Connection.Blocked("low on memory"))
        talk.say(1, commands.Basic.Ack(1))
        assert first.result(WAIT_S).attempts == 1
        waits = publisher.submit("waits")
        with pytest.raises(NotSent, match=r"while the broker blocks publishers \(low on memory\)"):
            publisher.publish("never", timeout=0.1)
        assert len(broker.of(commands.Basic.Publish)) == 1
        broker.confirms = True
        talk.say(0, commands.Connection.Unblocked())
        assert waits.result(WAIT_S).attempts == 1
        broker.wait(lambda: len(broker.of(body.ContentBody)) == 2, "both are there")
        assert [one.value for one in broker.of(body.ContentBody)] == [b"first", b"waits"]


def test_blocked_for_too_long() -> None:
    """``blocked_connection_timeout`` gives the connection up; another may not be blocked."""
    with FakeBroker() as broker:
        url = f"{broker.url}?blocked_connection_timeout=0.2"
        with Publisher(url, EXCHANGES, **OPTIONS) as publisher:
            publisher.publish("a")
            broker.talks[0].say(0, commands.Connection.Blocked("low on disk"))
            broker.wait(lambda: broker.talks[0].ended.is_set(), "it is given up")
            assert publisher.publish("b").attempts == 1
        assert len(broker.talks) == 2


@each_way
def test_a_body_larger_than_a_frame(publish_all: PublishAll) -> None:
    """It goes in as many frames as it takes, none of them larger than agreed; the lower limit counts."""
    text = bytes(range(256)) * 50
    with FakeBroker(frame_max=4096) as broker:
        publish_all(broker.url, [text, b"", b"x" * 4088])
        assert [one.frame_max for one in broker.of(commands.Connection.TuneOk)] == [4096]
        assert b"".join(one.value for one in broker.of(body.ContentBody)) == text + b"x" * 4088
        assert max(broker.talks[0].sizes) == 4096
        assert len(broker.of(body.ContentBody)) == 5


def test_properties_larger_than_a_frame() -> None:
    """AMQP can't split them: that message alone is refused, and those with it are confirmed."""
    with FakeBroker(frame_max=4096) as broker, Publisher(broker.url, EXCHANGES, **OPTIONS) as publisher:
        futures = [publisher.submit("a", headers={"h": "x" * size}) for size in (10, 5000, 10)]
        with pytest.raises(Refused, match="its properties do not fit into a frame of 4096 bytes") as caught:
            futures[1].result(WAIT_S)
        assert caught.value.attempts == 0
        assert [future.result(WAIT_S).attempts for future in (futures[0], futures[2])] == [1, 1]


@each_way
def test_a_channel_that_the_broker_closes(publish_all: PublishAll) -> None:
    """The exchange is gone: it is declared again on the same connection, and the message published again."""
    closed = threading.Event()

    def close_once(talk: Talk, channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Basic.Publish) and not closed.is_set():
            closed.set()
            talk.say(channel, commands.Channel.Close(404, "NOT_FOUND - no exchange 'x' in vhost '/'", 60, 40))
            return True
        return False

    with FakeBroker(close_once) as broker:
        assert [receipt.attempts for receipt in publish_all(broker.url, ["a", "b"])] == [2, 1]
        assert len(broker.talks) == 1
        assert len(broker.of(commands.Exchange.Declare)) == 2
        assert len(broker.of(commands.Channel.CloseOk)) == 1


@each_way
def test_an_access_that_is_refused(publish_all: PublishAll) -> None:
    """Who may not write there is told so, in the broker's words."""

    def refuse(talk: Talk, channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Basic.Publish):
            talk.say(channel, commands.Channel.Close(403, "ACCESS_REFUSED - access to exchange 'x' refused", 60, 40))
            return True
        return False

    with FakeBroker(refuse) as broker, pytest.raises(Refused, match=r"\(403\) ACCESS_REFUSED - access to exchange"):
        publish_all(broker.url, ["a"])


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x01\x00\x01\xff\xff\xff\xff", b"\x01\x00\x09\x00\x00\x00\x04" + bytes(5)],
    ids=["another protocol", "a giant frame", "no end"],
)
def test_a_broker_that_breaks_the_protocol(said: bytes) -> None:
    """The connection is given up, and what was unconfirmed is published again on another."""
    spoken = threading.Event()

    def speak(talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Basic.Publish) and not spoken.is_set():
            spoken.set()
            talk.say_bytes(said + bytes(8))
            return True
        return False

    with FakeBroker(speak) as broker:
        assert [receipt.attempts for receipt in with_threads(broker.url, ["a"])] == [2]


def test_a_broker_that_allows_one_channel() -> None:
    """Two are needed; that is said at once."""
    with (
        FakeBroker(channel_max=1) as broker,
        pytest.raises(Refused, match="one channel a connection, and two are need"),
    ):
        with_threads(broker.url, ["a"])


@pytest.fixture
def deaf() -> Iterator[FakeBroker]:
    """A broker that does not read on once it has heard of a second message."""
    go_on = threading.Event()

    def stop_reading(talk: Talk, _channel: int, one: Frame) -> bool:
        if not isinstance(one, commands.Basic.Publish) or len(talk.of(commands.Basic.Publish)) < 2:
            return False
        go_on.wait(2 * WAIT_S)
        return True

    with FakeBroker(stop_reading) as broker:
        yield broker
        go_on.set()


def in_the_order_of_the_calls(errors: list[BaseException | None]) -> bool:
    """Whether first come those that may have been written, then those that were not, and there are both."""
    kinds = [type(error) for error in errors]
    return set(kinds) == {OutcomeUnknown, NotSent} and kinds == sorted(kinds, key=[OutcomeUnknown, NotSent].index)


def test_a_broker_that_does_not_read(deaf: FakeBroker) -> None:
    """What the socket does not take is not written: those messages are certainly not sent, and said to be so."""
    with Publisher(deaf.url, EXCHANGES, **OPTIONS, close_timeout_s=0.1, heartbeat_s=0) as publisher:
        publisher.publish("first")
        futures = [publisher.submit(b"x" * 1_000_000, timeout=2.0) for _ in range(40)]
        assert in_the_order_of_the_calls([future.exception(WAIT_S) for future in futures])


@pytest.mark.usefixtures("each_loop")
def test_a_broker_that_does_not_read_what_a_loop_writes(deaf: FakeBroker) -> None:
    """The same for asyncio, also where the loop writes when its turn is over."""

    async def main() -> list[BaseException | None]:
        async with AsyncPublisher(deaf.url, EXCHANGES, **OPTIONS, close_timeout_s=0.1, heartbeat_s=0) as publisher:
            await publisher.publish("first")
            futures = [await publisher.submit(b"x" * 1_000_000, timeout=2.0) for _ in range(40)]
            await asyncio.wait(futures)
            return [future.exception() for future in futures]

    assert in_the_order_of_the_calls(asyncio.run(main()))


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("auth_mechanism=kerberos", "url?auth_mechanism", "'kerberos' is no mechanism here"),
        ("auth_mechanism=external", "url?auth_mechanism", "needs TLS"),
        ("cacertfile=/nowhere.pem", "url?cacertfile", "is of use with TLS alone"),
        ("frame_max=100", "url?frame_max", "100 is not a whole number of 4096–131072"),
        ("socket_timeout=0", "url?socket_timeout", "0 is not a number of seconds above 0"),
        ("ssl_options={'cafil':'x'}", "url?ssl_options", "'cafil' is no option of it"),
        ("ssl_options=5", "url", "the query parameter 'ssl_options' can't be used (TypeError)"),
        ("tcp_options={'TCP_KEEPIDLE':'x'}", "url?tcp_options", "TCP_KEEPIDLE is 'x', not a whole number"),
        ("tcp_options={'TCP_NODELAY':1}", "url?tcp_options", "'TCP_NODELAY' is no option of it"),
        ("client_properties={'a':1.5}", "url?client_properties", "the float 1.5"),
        ("client_properties=[]", "url?client_properties", "is not a mapping"),
    ],
)
def test_what_a_query_can_not_say(query: str, field: str, said: str) -> None:
    """The error names the parameter and what is wrong, for both publishers."""
    for kind in (Publisher, AsyncPublisher):
        with pytest.raises(ConfigError) as caught:
            kind(f"amqp://guest:hunter2@localhost?{query}")
        assert caught.value.field == field
        assert said in caught.value.problem
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "field", "said"),
    [
        ("amqps://h?cacertfile=/nowhere.pem", "url?cacertfile", "No such file"),
        ("amqps://h?keyfile=/nowhere.pem", "url?keyfile", "has no certfile beside it"),
        ("amqps://h?cacertfile=a&ssl_options={}", "url?cacertfile", "stands beside ssl_options"),
        ("amqp://one,,two", "url", "one of the hosts is empty"),
        ("amqp://u:p@one:1,two:x", "url", "the port 'x' is not a number"),
        ("amqp://u:p@one:1,two:0", "url", "the port is 0"),
    ],
)
def test_what_a_url_can_not_say(url: str, field: str, said: str) -> None:
    """The same for files, and for several hosts."""
    with pytest.raises(ConfigError) as caught:
        Publisher(url)
    assert caught.value.field == field
    assert said in caught.value.problem


def test_tcp_options_and_a_name() -> None:
    """Options of the socket are set, and the broker hears who it is."""
    query = "tcp_options={'TCP_KEEPIDLE':60,'TCP_USER_TIMEOUT':5000}&client_properties={'connection_name':'shop'}"
    with FakeBroker() as broker:
        with_threads(f"{broker.url}?{query}", ["a"])
        (told,) = broker.of(commands.Connection.StartOk)
        assert told.client_properties["connection_name"] == "shop"
        assert told.client_properties["product"] == "durable_ws"
