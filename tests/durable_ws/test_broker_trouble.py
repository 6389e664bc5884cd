"""A broker that blocks publishers by an alarm, speaks TLS, or is restarted; on a node of this file's own."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from conformance.world.broker.base import Broker
from conformance.world.broker.choose import choose_broker
from conformance.world.broker.ports import free_ports
from durable_ws import AsyncPublisher, BatchError, Exchange, NotSent, OutcomeUnknown, Receipt, Refused

if TYPE_CHECKING:
    from tests.durable_ws.conftest import MakePublisher, Queues, Wait

pytestmark = pytest.mark.broker


CN = "durable-ws-publisher"  # whom the client's certificate names


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """PEM files: the authority's certificate, and the broker's and the publisher's with their keys."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    issued = {"broker": authority.issue_cert("localhost"), CN: authority.issue_cert("p@example.org", common_name=CN)}
    for name, certificate in issued.items():
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    return {name: folder / f"{name}.pem" for name in ("authority", *issued)}


@pytest.fixture(scope="module")
def node() -> Iterator[Broker]:
    """A RabbitMQ of this file's tests alone, on this host, as it is to read certificates from files."""
    node = choose_broker("provisioned")
    node.start()
    yield node
    node.stop()


@pytest.fixture
def memory_alarm(node: Broker) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """The broker is low on memory, as it thinks, in the ``with``."""

    @contextlib.contextmanager
    def memory_alarm() -> Iterator[None]:
        node.ctl("set_vm_memory_high_watermark", "0.000001")
        try:
            yield
        finally:
            node.ctl("set_vm_memory_high_watermark", "0.9")

    return memory_alarm


def test_blocked_by_an_alarm(  # noqa: PLR0913, RUF100
    node: Broker,
    make_publisher: MakePublisher,
    make_queues: Callable[[str], Queues],
    exchange: Exchange,
    memory_alarm: Callable[[], contextlib.AbstractContextManager[None]],
    wait: Wait,
) -> None:
    """An error at the deadline, never a hang, that tells of the alarm; once it is over, publishing goes on."""
    url = node.addresses.amqp
    queues = make_queues(url)
    queue = queues.make(exchange)
    publisher, newcomer, closing = (make_publisher(url) for _ in range(3))
    blocked = r"the deadline passed while the broker blocks publishers \(low on memory\)"
    publisher.publish("before")
    closing.publish("before")
    with memory_alarm():
        # The broker tells who publishes, and only then: the first message is on its way by then. It may take some
        # before, as its connections hear of the alarm a moment after it is set.
        written, caught = 0, None
        while caught is None:
            written += 1
            future = publisher.submit(f"written {written}", timeout=5.0)
            wait(lambda: future.done() or publisher.health().blocked, "a confirm or the alarm")  # noqa: B023
            try:
                future.result()
            except OutcomeUnknown as exc:
                caught = exc
        assert re.search(blocked, str(caught))
        assert caught.attempts == 1
        health = publisher.health()
        assert (health.connections, health.blocked, health.trouble) == (1, "low on memory", None)
        before = time.monotonic()
        with pytest.raises(NotSent, match=blocked) as unsent:
            publisher.publish("never", timeout=0.3)
        assert 0.3 <= time.monotonic() - before < 10.0
        assert unsent.value.attempts == 0
        with pytest.raises(BatchError) as batch:
            publisher.publish_many(["never"] * 3, timeout=0.3)
        assert [type(outcome) for outcome in batch.value.outcomes] == [NotSent] * 3
        newest = newcomer.submit("newcomer", timeout=60.0)
        wait(lambda: newcomer.health().blocked, "the newcomer hears of the alarm")
        with pytest.raises(NotSent, match=blocked):
            newcomer.publish("never", timeout=0.3)
        patient = publisher.submit("patient", timeout=60.0)
        given_up = closing.submit("given up")
        before = time.monotonic()
        closing._close_timeout_s = 0.3
        closing.close()
        assert time.monotonic() - before < 20.0
        with pytest.raises(OutcomeUnknown, match="the publisher was closed"):
            given_up.result(0)
        assert not patient.done()
    assert patient.result() == Receipt(patient.result().message_id, True, 1, patient.result().latency_s)  # noqa: FBT003, RUF100
    assert publisher.publish("after").attempts == 1
    assert publisher.health().blocked is None
    assert newest.result().attempts == newcomer.publish("after").attempts == 1
    bodies = [got.body for got in queues.take(queue)]
    assert b"never" not in bodies, "not sent means not sent"
    assert [bodies.count(f"written {number}".encode()) for number in range(1, written + 1)] == [1] * written, (
        "unknown means that it may come"
    )
    assert bodies.count(b"patient") == 1
    assert bodies.count(b"after") == 2


def test_tls_and_a_login_by_certificate(node: Broker, make_publisher: MakePublisher, files: dict[str, Path]) -> None:
    """By password over TLS, and by the client's certificate alone; whom the broker does not know is refused.

    Source: https://www.rabbitmq.com/docs/ssl, and the page of the plugin rabbitmq_auth_mechanism_ssl.
    """
    node.ctl("enable", "rabbitmq_auth_mechanism_ssl", program="rabbitmq-plugins")
    (port,) = free_ports(1)
    node.ctl(
        "eval",
        f'Options = [{{cacertfile, "{files["authority"]}"}}, {{certfile, "{files["broker"]}"}},'
        f'{{keyfile, "{files["broker"]}"}}, {{verify, verify_peer}}, {{fail_if_no_peer_cert, false}}],'
        "application:set_env(rabbit, ssl_options, Options),"
        "application:set_env(rabbit, auth_mechanisms, ['PLAIN', 'EXTERNAL']),"
        "application:set_env(rabbit, ssl_cert_login_from, common_name),"
        f'rabbit_networking:start_ssl_listener({{"127.0.0.1", {port}}}, Options, 2).',
    )
    trusting = f"localhost:{port}/%2F?cacertfile={files['authority']}"
    exchanges = {"pubsub": Exchange("amq.topic")}
    assert make_publisher(f"amqps://guest:guest@{trusting}", exchanges).publish("a" * 500_000).attempts == 1
    external = f"amqps://{trusting}&auth_mechanism=external&certfile={files[CN]}"
    with pytest.raises(Refused, match=r"refused the connection: \(403\) ACCESS_REFUSED .*EXTERNAL"):
        make_publisher(external, exchanges).publish("a")
    node.ask("PUT", f"/users/{CN}", {"password_hash": "", "tags": ""})
    node.ask("PUT", f"/permissions/%2F/{CN}", {"configure": ".*", "write": ".*", "read": ".*"})
    assert make_publisher(external, exchanges).publish("a", user_id=CN).attempts == 1, "the broker knows who it is"

    async def publish() -> Receipt:
        async with AsyncPublisher(external, exchanges) as publisher:
            return await publisher.publish("a", user_id=CN)

    assert asyncio.run(publish()).attempts == 1


def test_a_restart(
    node: Broker, make_publisher: MakePublisher, make_queues: Callable[[str], Queues], exchange: Exchange
) -> None:
    """Exchange and messages outlive the broker; what is published meanwhile waits for it, and none is lost."""
    url = node.addresses.amqp
    before = make_queues(url)
    queue = before.make(exchange)
    before.leave()
    publisher = make_publisher(url, timeout=60.0)
    publisher.publish("persistent", message_id="before")
    publisher.publish("transient", message_id="transient", delivery_mode=1)
    stop, receipts = threading.Event(), []

    def publish() -> None:
        number = 0
        while not stop.wait(0.01):  # for the pace
            receipts.append(publisher.publish({"n": number}, message_id=f"m{number}"))
            number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    node.restart()
    present = make_publisher(url, {"pubsub": Exchange(exchange.name, passive=True)})
    present.publish("after", message_id="after")
    stop.set()
    thread.join()
    assert all(receipt.routed for receipt in receipts)
    assert max(receipt.latency_s for receipt in receipts) > 0.5, "it was down for a while"
    again = make_queues(url)
    arrived = {got.properties.message_id for got in again.take(queue)}
    assert arrived - {"transient"} == {"before", "after", *(receipt.message_id for receipt in receipts)}
    assert "transient" not in arrived
    with again.channel as channel:
        channel.queue_delete(queue)
