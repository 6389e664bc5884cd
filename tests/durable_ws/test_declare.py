"""Exchanges at a real broker: what is declared, what is only looked for, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.world.broker.base import Broker
from durable_ws import ConfigError, Exchange, NotSent, OutcomeUnknown, Publisher, Refused

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues

pytestmark = pytest.mark.broker


def facts(broker: Broker, exchange: str) -> dict[str, object]:
    """What the broker itself says of an exchange."""
    told = broker.ask("GET", f"/exchanges/%2F/{exchange}")
    return {key: told[key] for key in ("type", "durable", "auto_delete", "internal", "arguments")}


def test_the_defaults_are_durable_at_the_broker(broker: Broker, url: str) -> None:
    """The broker says of both what the documentation promises."""
    with Publisher(url) as publisher:
        publisher.publish("a", routing_key="nobody.is.bound")
        publisher.publish("a", to="broadcast")
    plain = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}}
    assert facts(broker, "durable-websocket-pubsub") == {"type": "topic", **plain}
    assert facts(broker, "durable-websocket-broadcast") == {"type": "fanout", **plain}


def test_broadcast_goes_to_every_queue(url: str, queues: Queues) -> None:
    """The fanout ignores the routing key; the topic goes by it."""
    fanout = Exchange("durable-websocket-broadcast", "fanout")
    with Publisher(url) as publisher:
        publisher.publish("declares it", to="broadcast")
        made = [queues.make(None) for _ in range(2)]
        with queues.channel as channel:
            for queue in made:
                channel.queue_bind(queue, fanout.name)
        publisher.publish("a", to="broadcast", routing_key="whatever")
    assert [[got.body for got in queues.take(queue)] for queue in made] == [[b"a"], [b"a"]]


@pytest.mark.parametrize("type_", ["topic", "fanout", "direct", "headers"])
def test_named_exchanges_are_declared(
    make_publisher: MakePublisher, broker: Broker, queues: Queues, namespace: str, type_: str
) -> None:
    """Type, durability and arguments as given, and never auto-deleted."""
    arguments = {"alternate-exchange": f"{namespace}-rest"}
    exchange = Exchange(f"{namespace}-{type_}", type_, durable=type_ != "direct", arguments=arguments)
    queues.forget_exchange(exchange.name)
    publisher = make_publisher(exchanges={"mine": exchange})
    assert not publisher.publish("a", to="mine").routed
    assert facts(broker, exchange.name) == {
        "type": type_, "durable": exchange.durable, "auto_delete": False, "internal": False, "arguments": arguments,
    }  # fmt: skip


def test_an_exchange_is_declared_when_it_is_first_published_to(
    make_publisher: MakePublisher, broker: Broker, queues: Queues, namespace: str
) -> None:
    """What is never used is never made."""
    names = [f"{namespace}-used", f"{namespace}-unused"]
    for name in names:
        queues.forget_exchange(name)
    publisher = make_publisher(exchanges={"used": {"name": names[0]}, "unused": {"name": names[1]}})
    publisher.publish("a", to="used")
    known = {told["name"] for told in broker.ask("GET", "/exchanges/%2F")}
    assert known.intersection(names) == {names[0]}


def test_the_brokers_default_exchange(make_publisher: MakePublisher, queues: Queues) -> None:
    """``""`` is not declared (the broker would refuse) and routes to the queue that the key names."""
    queue = queues.make(None)
    publisher = make_publisher(exchanges={"queue": Exchange("", "direct")})
    assert publisher.publish("a", to="queue", routing_key=queue).routed
    assert not publisher.publish("b", to="queue", routing_key=queue + "-not").routed
    assert [got.body for got in queues.take(queue)] == [b"a"]


def test_an_exchange_of_the_broker(make_publisher: MakePublisher, queues: Queues, namespace: str) -> None:
    """``amq.topic``, on which Web-STOMP's ``/topic/…`` lives, can be published to without ``passive``."""
    queue = queues.make(None)
    with queues.channel as channel:
        channel.queue_bind(queue, "amq.topic", f"{namespace}.*")
    publisher = make_publisher(exchanges={"topic": Exchange("amq.topic")})
    assert publisher.publish("a", to="topic", routing_key=f"{namespace}.x", require_route=True).routed


def test_passive_where_it_is_there(make_publisher: MakePublisher, queues: Queues, namespace: str) -> None:
    """It is used as it is, whatever its type and durability."""
    existing = Exchange(f"{namespace}-existing", "direct", durable=False)
    queue = queues.make(existing, "key", durable=False)
    publisher = make_publisher(exchanges={"it": Exchange(existing.name, passive=True)})
    assert publisher.publish("a", to="it", routing_key="key", require_route=True).routed
    assert len(queues.take(queue)) == 1


def test_passive_where_it_is_not_there(
    make_publisher: MakePublisher, broker: Broker, queues: Queues, namespace: str
) -> None:
    """The message is refused at once in the broker's words, nothing is declared; once it is there, it works."""
    exchange = Exchange(f"{namespace}-late", "topic")
    publisher = make_publisher(exchanges={"late": Exchange(exchange.name, passive=True)})
    with pytest.raises(
        Refused, match=rf"\(404\) NOT_FOUND - no exchange '{exchange.name}'.*Mend the URL, the ex"
    ) as caught:
        publisher.publish("a", to="late")
    assert isinstance(caught.value, NotSent)
    assert isinstance(caught.value, ConfigError)
    assert caught.value.attempts == 0
    assert exchange.name not in {told["name"] for told in broker.ask("GET", "/exchanges/%2F")}
    queue = queues.make(exchange)
    assert publisher.publish("b", to="late").routed
    assert [got.body for got in queues.take(queue)] == [b"b"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            Exchange("x", "fanout"),
            r"\(406\) PRECONDITION_FAILED - inequivalent arg 'type'.*'fanout' but current is 'topic'",
        ),
        (Exchange("x", durable=False), r"\(406\) PRECONDITION_FAILED - inequivalent arg 'durable'"),
        (Exchange("x", arguments={"alternate-exchange": "y"}), r"\(406\) PRECONDITION_FAILED - inequivalent arg 'alt"),
    ],
    ids=["type", "durable", "arguments"],
)
def test_declared_otherwise(
    make_publisher: MakePublisher, queues: Queues, exchange: Exchange, wrong: Exchange, said: str
) -> None:
    """An exchange that is there already, otherwise, is refused with what differs, and stays as it is."""
    queue = queues.make(exchange)
    mistaken = Exchange(exchange.name, wrong.type, durable=wrong.durable, arguments=wrong.arguments)
    publisher = make_publisher(exchanges={"wrong": mistaken, "other": Exchange("amq.topic")})
    with pytest.raises(Refused, match=said):
        publisher.publish("a", to="wrong")
    assert publisher.publish("b", to="other").attempts == 1, "the refusal is that exchange's alone"
    assert queues.take(queue) == []


@pytest.mark.parametrize(
    ("exchange", "said"),
    [
        (Exchange("amq.mine"), r"\(403\) ACCESS_REFUSED"),
        (Exchange("amq.rabbitmq.trace", passive=True), r"\(403\) ACCESS_REFUSED.*internal"),
        (Exchange("of-no-type", "x-of-no-plugin"), r"\(503\) COMMAND_INVALID - unknown exchange type"),
    ],
    ids=["reserved", "internal", "type"],
)
def test_exchanges_that_the_broker_refuses(make_publisher: MakePublisher, exchange: Exchange, said: str) -> None:
    """Whether the broker closes the channel or the whole connection for it, only this message is refused."""
    publisher = make_publisher(exchanges={"bad": exchange, "good": Exchange("amq.topic")})
    good = publisher.submit("b", to="good")
    with pytest.raises(Refused, match=said):
        publisher.publish("a", to="bad")
    good.result()
    assert publisher.publish("c", to="good").attempts == 1


def test_an_unknown_name_is_told_before_sending(make_publisher: MakePublisher, link: Link) -> None:
    """``to=`` takes the names of this publisher alone; it does not even connect for another."""
    publisher = make_publisher(link.url)
    with pytest.raises(ConfigError, match=r"^to: 'pubsbu' is no exchange of this publisher\. Did you mean 'pubsub'\?"):
        publisher.publish("a", to="pubsbu")
    assert link.proxy.connections == 0


def test_an_exchange_deleted_meanwhile_is_made_again(
    publisher: Publisher, broker: Broker, queues: Queues, exchange: Exchange
) -> None:
    """The broker closes the channel for the first publish after that; the message is published again, and only it."""
    publisher.publish("a")
    with queues.channel as channel:
        channel.exchange_delete(exchange.name)
    receipt = publisher.publish("b")
    assert (receipt.routed, receipt.attempts) == (False, 2)
    assert facts(broker, exchange.name)["durable"]
    queue = queues.make(exchange)
    receipt = publisher.publish("c")
    assert (receipt.routed, receipt.attempts) == (True, 1)
    assert [got.body for got in queues.take(queue)] == [b"c"]


def test_a_message_that_the_broker_minds(publisher: Publisher, queues: Queues, queue: str) -> None:
    """A wrong user id makes the broker close the channel: the message is refused, and the next is not touched."""
    with pytest.raises(Refused, match=r"\(406\) PRECONDITION_FAILED - user_id property set to 'somebody-else'"):
        publisher.publish("a", user_id="somebody-else")
    assert publisher.publish("b", user_id="guest").attempts == 1
    assert [got.body for got in queues.take(queue)] == [b"b"]


def test_a_message_that_the_broker_minds_among_others(publisher: Publisher, queues: Queues, queue: str) -> None:
    """It alone fails, in the broker's words; those that were under way with it are published again."""
    futures = [publisher.submit({"n": n}, user_id="somebody-else" if n == 5 else "guest") for n in range(10)]
    minded = futures.pop(5)
    with pytest.raises((Refused, OutcomeUnknown), match=r"\(406\) PRECONDITION_FAILED - user_id property"):
        minded.result()
    assert all(future.result().routed for future in futures)
    bodies = {got.body for got in queues.take(queue)}
    assert bodies == {b'{"n":%d}' % n for n in range(10) if n != 5}


def test_a_user_without_rights(broker: Broker, make_publisher: MakePublisher, url: str, namespace: str) -> None:
    """Who may not write is refused, in the broker's words, and the password is not among them."""
    broker.ask("PUT", f"/users/{namespace}", {"password": "hunter2", "tags": ""})
    try:
        broker.ask("PUT", f"/permissions/%2F/{namespace}", {"configure": "", "write": "", "read": ".*"})
        theirs = url.replace("guest:guest", f"{namespace}:hunter2")
        publisher = make_publisher(theirs, {"x": Exchange("amq.topic", passive=True), "y": Exchange(f"{namespace}-y")})
        for to in ("x", "y"):
            with pytest.raises(Refused, match=r"\(403\) ACCESS_REFUSED - .*access to (exchange|topic)") as caught:
                publisher.publish("a", to=to)
            assert "hunter2" not in str(caught.value)
        publisher.close()
    finally:
        broker.ask("DELETE", f"/users/{namespace}")
