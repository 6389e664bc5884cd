"""A connection that the broker ends as it opens it: that is told, and nothing of it stays open."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from pamqp import commands

from conformance.contract.model import Exchange
from conformance.errors import BrokerUnavailable, HarnessError
from conformance.world.broker.exchanges import declare_exchanges
from conformance.world.broker.handshake import amqp_answers
from tests.durable_ws.fake_broker import FakeBroker, Frame, Talk


def our_sockets() -> int:
    """How many this process has open."""
    return sum(one.is_socket() for one in Path("/proc/self/fd").iterdir())


def test_it_ends_as_it_opens() -> None:
    """As where the vhost goes down."""

    def open_and_end(talk: Talk, channel: int, one: Frame) -> bool:
        if not isinstance(one, commands.Connection.Open):
            return False
        end = commands.Connection.Close(320, "CONNECTION_FORCED - vhost '/' is down", 0, 0)
        talk.say(channel, commands.Connection.OpenOk(), end)
        return True

    with FakeBroker(open_and_end) as broker:
        gc.collect()
        before = our_sockets()
        with pytest.raises(BrokerUnavailable, match=r"no AMQP connection \(the broker ended it as it was opened\)"):
            amqp_answers(broker.url)
        broker.wait(lambda: all(talk.ended.is_set() for talk in broker.talks), "it has ended")
        assert our_sockets() <= before


def test_it_ends_as_it_is_first_used() -> None:
    """What was to be done is told, with the broker's words."""

    def end(talk: Talk, _channel: int, one: Frame) -> bool:
        if not isinstance(one, commands.Channel.Open):
            return False
        talk.say(0, commands.Connection.Close(320, "CONNECTION_FORCED - vhost '/' is down", 0, 0))
        return True

    with (
        FakeBroker(end) as broker,
        pytest.raises(HarnessError, match=r"^the exchanges can't be declared: .*vhost '/' is down"),
    ):
        declare_exchanges(broker.url, [Exchange(name="x")])
