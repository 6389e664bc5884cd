"""What the broker makes of a queue, read by management and over AMQP alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from conformance.errors import NotFound
from conformance.world.broker.admin import Admin
from conformance.world.broker.base import Broker, QueueFacts
from conformance.world.broker.declared import first_guess
from conformance.world.broker.reached import Reached, vhost_of

pytestmark = pytest.mark.broker

HEADERS = {"durable": "true", "auto-delete": "false", "x-expires": "86400000"}


class AmqpAlone(Reached):
    """The same broker for one who has no management API."""

    def __init__(self, broker: Broker) -> None:
        super().__init__()
        self._reach(replace(broker.addresses, management=None))

    def leave(self) -> None:
        """Close its connections."""
        self._leave()


@pytest.fixture
def alone(broker: Broker) -> Iterator[AmqpAlone]:
    """The shared broker over AMQP alone."""
    alone = AmqpAlone(broker)
    yield alone
    alone.leave()


@pytest.fixture
def channel(broker: Broker) -> Iterator[BlockingChannel]:
    """Another client's channel."""
    with pika.BlockingConnection(pika.URLParameters(broker.addresses.amqp)) as connection:
        yield connection.channel()


QUEUES: list[dict[str, Any]] = [
    {"durable": True, "arguments": {"x-expires": 86400000}},
    {"durable": True, "arguments": {}},
    {"durable": False, "auto_delete": True, "arguments": {"x-max-priority": 10, "x-message-ttl": 70_000}},
    {
        "durable": True,
        "arguments": {
            "x-dead-letter-exchange": "dlx",
            "x-dead-letter-routing-key": "it's a 'key'",
            "x-expires": 5_000_000,
            "x-max-length": 10,
            "x-max-length-bytes": 1000,
            "x-overflow": "reject-publish",
            "x-single-active-consumer": True,
        },
    },
    {"durable": True, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 50}},
]


@pytest.mark.parametrize("declared", QUEUES, ids=["recommended", "bare", "transient", "everything", "quorum"])
def test_both_ways_read_the_same(
    broker: Broker, alone: AmqpAlone, channel: BlockingChannel, namespace: str, declared: dict[str, Any]
) -> None:
    """Properties, type and every argument; what AMQP can't tell is None."""
    channel.queue_declare(namespace, **declared)
    try:
        by_management = broker.queue_settings(namespace, HEADERS)
        by_amqp = alone.queue_settings(namespace, HEADERS)
    finally:
        broker.delete(queues=[namespace], exchanges=[])
    arguments = {key: value for key, value in (by_management.arguments or {}).items() if key != "x-queue-type"}
    assert by_amqp == replace(
        by_management, arguments=arguments, unacked=by_amqp.unacked, effective_policy=None, operator_definition=None
    )
    assert arguments == {key: value for key, value in declared["arguments"].items() if key != "x-queue-type"}
    assert by_management.effective_policy == {}


def test_an_exclusive_queue_is_another_connections_own(
    broker: Broker, alone: AmqpAlone, channel: BlockingChannel, namespace: str
) -> None:
    """405 says exclusive, and exclusive is not durable."""
    channel.queue_declare(namespace, durable=True, exclusive=True)
    for way in (broker, alone):
        facts = way.queue_settings(namespace, HEADERS)
        assert (facts.exists, facts.exclusive, facts.durable) == (True, True, False)


def test_looking_creates_no_queue(broker: Broker, alone: AmqpAlone, namespace: str) -> None:
    """Not even where it is gone between the look whether it is there and the question what it is."""
    for asked in (HEADERS, {**HEADERS, "x-queue-type": "quorum"}, {}):
        assert alone.queue_settings(namespace, asked) == QueueFacts(name=namespace, exists=False)
        admin = Admin(broker.addresses.amqp)
        assert admin.declared(namespace, first_guess(asked)) is None
        admin.close()
        assert not broker.queue_facts(namespace).exists


def test_looking_disturbs_no_consumer(alone: AmqpAlone, channel: BlockingChannel, namespace: str) -> None:
    """The other client's consumer and messages stay as they are."""
    channel.queue_declare(namespace, durable=True, arguments={"x-expires": 60_000})
    channel.basic_consume(namespace, lambda *_: None)
    channel.basic_publish("", namespace, b"one")
    facts = alone.queue_settings(namespace, {})
    assert (facts.consumers, facts.arguments) == (1, {"x-expires": 60_000})
    channel.queue_delete(namespace)


@pytest.fixture
def policies(broker: Broker, namespace: str) -> Iterator[Callable[[str, dict[str, Any]], str]]:
    """Sets policies on queues whose name begins with the namespace; gives their name."""
    vhost, name = quote(vhost_of(broker.addresses.amqp), safe=""), f"test-{namespace}"
    kinds = ("policies", "operator-policies")

    def put(kind: str, definition: dict[str, Any]) -> str:
        body = {"pattern": f"^{namespace}", "definition": definition, "apply-to": "queues"}
        broker.ask("PUT", f"/{kind}/{vhost}/{name}", body)
        return name

    yield put
    for kind in kinds:
        with contextlib.suppress(NotFound):
            broker.ask("DELETE", f"/{kind}/{vhost}/{name}")


def test_policies_are_seen_at_once_and_as_the_queue_tells_them_later(
    broker: Broker, channel: BlockingChannel, namespace: str, policies: Callable[[str, dict[str, Any]], str]
) -> None:
    """What is worked out from the lists is what the queue says itself with its next statistics."""
    name = policies("policies", {"max-length": 10, "expires": 90_000_000, "overflow": "reject-publish"})
    policies("operator-policies", {"max-length": 5, "expires": 99_000_000})
    channel.queue_declare(namespace, durable=True)
    try:
        at_once = broker.queue_settings(namespace, {})
        deadline = time.monotonic() + 15
        while (later := broker.queue_facts(namespace)).policy is None:
            assert time.monotonic() < deadline, "the queue's statistics never came"
            channel.connection.process_data_events(0.1)
    finally:
        broker.delete(queues=[namespace], exchanges=[])
    assert (at_once.policy, at_once.operator_policy) == (name, name)
    assert at_once.effective_policy == {"max-length": 5, "expires": 90_000_000, "overflow": "reject-publish"}
    assert at_once.operator_definition == {"max-length": 5, "expires": 99_000_000}
    assert later.effective_policy == at_once.effective_policy
    assert (later.policy, later.operator_policy) == (name, name)


@pytest.mark.parametrize("key", ["max-length", "expires"])
@pytest.mark.parametrize(("argument", "policy", "operator"), [(9, 5, 3), (9, 3, 5), (3, 9, 5)])
def test_the_lowest_of_the_three_really_holds(
    broker: Broker,
    channel: BlockingChannel,
    namespace: str,
    policies: Callable[[str, dict[str, Any]], str],
    key: str,
    argument: int,
    policy: int,
    operator: int,
) -> None:
    """The rule that causes are diagnosed by, on a real broker."""
    value = {3: 3, 5: 5, 9: 9} if key == "max-length" else {3: 1_200, 5: 60_000, 9: 90_000}  # milliseconds
    policies("policies", {key: value[policy]})
    policies("operator-policies", {key: value[operator]})
    channel.queue_declare(namespace, durable=True, arguments={f"x-{key}": value[argument]})
    if key == "max-length":
        channel.confirm_delivery()
        for _ in range(20):
            channel.basic_publish("", namespace, b"m")
        held = channel.queue_declare(namespace, passive=True).method.message_count
        channel.queue_delete(namespace)
        assert held == 3
        return
    began = time.monotonic()
    while not _gone(broker, namespace):  # by management: asking over AMQP would renew its lease
        assert time.monotonic() - began < 30, "not the lowest holds"
        channel.connection.process_data_events(0.01)


def _gone(broker: Broker, queue: str) -> bool:
    vhost = quote(vhost_of(broker.addresses.amqp), safe="")
    try:
        broker.ask("GET", f"/queues/{vhost}/{queue}")
    except NotFound:
        return True
    return False
