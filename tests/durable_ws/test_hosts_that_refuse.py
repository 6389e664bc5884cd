"""Several hosts in the URL, some of which refuse: nothing is given up as long as another may take it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pamqp import commands

from durable_ws import AsyncPublisher, Exchange, NotSent, Publisher, Receipt, Refused
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker, Frame, Talk

Publish = Callable[..., Receipt]
_SAID = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN"
_OPTIONS: dict[str, Any] = {
    "exchanges": {"pubsub": Exchange("x")}, "timeout": WAIT_S, "reconnect_first_s": 0.02, "reconnect_most_s": 0.1,
}  # fmt: skip


def refuse_login(talk: Talk, _channel: int, one: Frame) -> bool:
    """As a RabbitMQ does that does not know the user."""
    if isinstance(one, commands.Connection.StartOk):
        talk.say(0, commands.Connection.Close(403, _SAID, 0, 0))
        return True
    return False


def with_threads(url: str, **options: Any) -> Receipt:
    """Publish one message by the publisher for threads."""
    with Publisher(url, **{**_OPTIONS, **options}) as publisher:
        return publisher.publish("a")


def with_asyncio(url: str, **options: Any) -> Receipt:
    """The same, by the one for asyncio."""

    async def main() -> Receipt:
        async with AsyncPublisher(url, **{**_OPTIONS, **options}) as publisher:
            return await publisher.publish("a")

    return asyncio.run(main())


def url_of(*ports: int) -> str:
    """A URL with these hosts, in this order."""
    return f"amqp://guest:guest@{','.join(f'localhost:{port}' for port in ports)}/%2F"


both = pytest.mark.parametrize("publish", [with_threads, with_asyncio])


@both
def test_one_refuses_the_login(publish: Publish) -> None:
    """The next one is asked, without a pause, and takes the message."""
    with FakeBroker(refuse_login) as first, FakeBroker() as second:
        receipt = publish(url_of(first.port, second.port), reconnect_first_s=1000.0, reconnect_most_s=1000.0)
        assert receipt.attempts == 1
        assert [len(broker.of(commands.Basic.Publish)) for broker in (first, second)] == [0, 1]


@both
def test_one_has_no_such_login(publish: Publish) -> None:
    """The same where the refusal is ours, as the broker does not offer what was asked for."""
    with FakeBroker(mechanisms="EXTERNAL") as first, FakeBroker() as second:
        url = url_of(first.port, second.port)
        assert publish(url, reconnect_first_s=1000.0, reconnect_most_s=1000.0).attempts == 1


@both
def test_all_refuse_the_login(publish: Publish) -> None:
    """Then it is refused at once, in the words of the last one, and each was asked once."""
    with FakeBroker(refuse_login) as first, FakeBroker(refuse_login) as second:
        with pytest.raises(Refused, match=r"refused the connection: \(403\) ACCESS_REFUSED"):
            publish(url_of(first.port, second.port), reconnect_first_s=1000.0, reconnect_most_s=1000.0)
        assert [len(broker.of(commands.Connection.StartOk)) for broker in (first, second)] == [1, 1]


@both
def test_one_refuses_and_one_is_away(publish: Publish, closed_port: int) -> None:
    """The one that is away may take it yet: at the deadline it is not sent, and nothing was refused for good."""
    with FakeBroker(refuse_login) as first:
        with pytest.raises(NotSent, match="the deadline passed without a connection") as caught:
            publish(url_of(first.port, closed_port), timeout=1.0)
        assert not isinstance(caught.value, Refused)


def test_both_are_asked_again_and_again(closed_port: int) -> None:
    """As long as one of them may take it."""
    with FakeBroker(refuse_login) as first:
        publisher = Publisher(url_of(first.port, closed_port), **_OPTIONS, close_timeout_s=0.1)
        with publisher:
            future = publisher.submit("a")
            first.wait(lambda: len(first.of(commands.Connection.StartOk)) >= 3, "it logs in once more")
            assert not future.done()
        assert type(future.exception()) is NotSent


def test_each_message_asks_every_host_anew() -> None:
    """A host that was mended meanwhile takes the next message, though the other one still refuses."""
    mended = False

    def refuse_at_first(talk: Talk, channel: int, one: Frame) -> bool:
        return not mended and refuse_login(talk, channel, one)

    with FakeBroker(refuse_login) as first, FakeBroker(refuse_at_first) as second:
        with Publisher(url_of(first.port, second.port), **_OPTIONS) as publisher:
            with pytest.raises(Refused):
                publisher.publish("a")
            mended = True
            assert publisher.publish("b").routed
        assert len(second.of(commands.Basic.Publish)) == 1
