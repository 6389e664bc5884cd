"""RabbitMQ reads our destinations as we mean them: through Web-STOMP, frame by frame."""

from __future__ import annotations

import pika
import pytest
import websocket

from conformance.contract.loader import contract_from_dict
from conformance.contract.naming import Naming
from conformance.world.broker.base import Broker

pytestmark = pytest.mark.broker

NAMES = ["plain", "a/b", "/", "100%", "%2f", "a b", "é.ů", "漢字", "a:b\\c", "x.*.#", " edges "]


def _escaped(value: str) -> str:
    """A header's value as STOMP 1.2 escapes it ("Value Encoding")."""
    for plain, escaped in (("\\", "\\\\"), (":", "\\c"), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return value


def _exchange(socket: websocket.WebSocket, command: str, headers: dict[str, str]) -> str:
    lines = "".join(f"{name}:{_escaped(value)}\n" for name, value in headers.items())
    socket.send(f"{command}\n{lines}\n\0")
    answer = socket.recv()
    return answer if isinstance(answer, str) else answer.decode()


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_the_destination(broker: Broker, namespace: str, name: str) -> None:
    """Exchange, key and queue of that name are the ones that AMQP knows by the very same name."""
    contract = contract_from_dict(
        {
            "exchanges": {"x": {"name": f"x{name}", "type": "direct"}},
            "tab": {"exchange": "x", "routing_keys": [name], "queue": f"q{name}{{tab}}"},
        }
    )
    naming = Naming(contract, namespace)
    exchange, queue = naming.exchange("x"), naming.queue("t1")
    amqp = pika.BlockingConnection(pika.URLParameters(broker.addresses.amqp))
    channel = amqp.channel()
    channel.confirm_delivery()
    channel.exchange_declare(exchange, "direct", durable=True)
    socket = websocket.create_connection(broker.addresses.web_stomp, subprotocols=["v12.stomp"], timeout=10)
    try:
        assert _exchange(
            socket, "CONNECT", {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest"}
        )
        answer = _exchange(
            socket,
            "SUBSCRIBE",
            {"id": "0", "receipt": "r", "destination": naming.destination("t1", "x", name)}
            | naming.subscribe_headers("t1"),
        )
        assert answer.startswith("RECEIPT")
        # mandatory: pika raises UnroutableError unless the queue is bound with this very key
        channel.basic_publish(exchange, naming.routing_key("x", name), b"here", mandatory=True)
        message = socket.recv()
        assert message.rstrip("\n\0").endswith("here")  # type: ignore[arg-type]
        channel.queue_declare(queue, passive=True)
    finally:
        socket.close()
        channel = amqp.channel() if channel.is_closed else channel
        channel.queue_delete(queue)
        channel.exchange_delete(exchange)
        amqp.close()


def test_a_namespace_keeps_two_cases_on_amq_topic_apart(broker: Broker, namespace: str) -> None:
    """A tab bound with ``#`` gets its own case's messages and not another's."""
    contract = contract_from_dict(
        {"exchanges": {"t": {"name": "amq.topic"}}, "tab": {"exchange": "t", "destination": "/topic/{routing_key}"}}
    )
    mine, other = Naming(contract, namespace), Naming(contract, f"{namespace}o")
    socket = websocket.create_connection(broker.addresses.web_stomp, subprotocols=["v12.stomp"], timeout=10)
    amqp = pika.BlockingConnection(pika.URLParameters(broker.addresses.amqp))
    channel = amqp.channel()
    try:
        assert _exchange(
            socket, "CONNECT", {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest"}
        )
        headers = {"id": "0", "receipt": "r", "destination": mine.destination("t1", "t", "#")}
        assert _exchange(socket, "SUBSCRIBE", headers | mine.subscribe_headers("t1")).startswith("RECEIPT")
        for naming, body in ((other, b"other's"), (mine, b"mine")):
            channel.basic_publish(naming.exchange("t"), naming.routing_key("t", "ticks"), body)
        assert str(socket.recv()).rstrip("\n\0").endswith("mine")
    finally:
        socket.close()
        channel.queue_delete(mine.queue("t1"))
        amqp.close()
