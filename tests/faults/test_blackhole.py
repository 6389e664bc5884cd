"""The ghost: bytes vanish, and nobody is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.world.network.wire import PATIENCE_S, Link, ack, ending, is_silent, message, reset, wait_until

VANISHES = {
    "both": {"up", "down"},
    "client_to_broker": {"up"},
    "broker_to_client": {"down"},
}


@pytest.mark.parametrize("direction", VANISHES)
def test_bytes_vanish_for_good(make_link: Callable[..., Link], direction: str) -> None:
    """That way nothing passes, even after the fault has ended; the other way everything does; beside it, too."""
    link, beside = make_link(), make_link(name="beside")
    pair, other = link.connect(), beside.connect()
    active = link.begin("blackhole", direction=direction)
    assert active.fired
    assert active.counts == {"silenced": 1}
    for ended in (False, True):
        if ended:
            link.proxy.end(active)
        pair.client.sendall(ack(1))
        pair.broker.sendall(message(1))
        vanishing = [end for end, way in ((pair.broker, "up"), (pair.client, "down")) if way in VANISHES[direction]]
        assert is_silent(*vanishing)
        if "up" not in VANISHES[direction]:
            pair.broker.recv(len(ack(1)))
        if "down" not in VANISHES[direction]:
            pair.client.recv(len(message(1)))
        other.ping_s(ack(1), message(1))
    assert link.proxy.connections == 1


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("direction", ["both", "client_to_broker"])
def test_the_broker_keeps_its_socket(link: Link, how: str, direction: str) -> None:
    """It is not told that the client has gone, writes into the void, and is free once it closes its end itself."""
    pair = link.connect()
    with link.fault("blackhole", direction=direction):
        if how == "fin":
            pair.client.close()
        else:
            reset(pair.client)
        assert is_silent(pair.broker)
        for number in range(20):
            pair.broker.sendall(message(number))
    assert is_silent(pair.broker)
    assert link.proxy.connections == 1
    pair.broker.sendall(message(1))
    link.connect().ping_s(ack(1), message(1))
    pair.broker.close()
    wait_until(lambda: link.proxy.connections == 1, "the ghost is gone")


@pytest.mark.parametrize("direction", ["both", "broker_to_client"])
def test_the_client_keeps_its_socket(link: Link, direction: str) -> None:
    """A broker that gives the connection up can't tell the client."""
    pair = link.connect()
    with link.fault("blackhole", direction=direction):
        pair.broker.close()
        assert is_silent(pair.client)
    assert is_silent(pair.client)


def test_new_connections_pass(link: Link) -> None:
    """The page comes back while its ghost is still there: both are open at the broker."""
    ghost = link.connect()
    with link.fault("blackhole") as active:
        second = link.connect()
        second.ping_s(ack(1), message(1))
        assert link.proxy.connections == 2
        assert active.counts == {"silenced": 1}
        assert is_silent(ghost.broker, ghost.client)


def test_new_connections_can_go_silent_as_well(link: Link) -> None:
    """They are accepted at both ends, carry nothing, and stay so; the next one after the fault is sound."""
    active = link.begin("blackhole", new_connections="blackhole")
    assert not active.fired
    pair = link.connect(handshake=False)
    assert active.wait_fired(PATIENCE_S)
    pair.client.sendall(ack(1))
    pair.broker.sendall(message(1))
    assert is_silent(pair.client, pair.broker)
    assert active.counts == {"silenced": 1}
    link.proxy.end(active)
    pair.client.sendall(ack(1))
    assert is_silent(pair.broker)
    link.connect().ping_s(ack(1), message(1))
    assert active.counts == {"silenced": 1}


def test_with_nothing_open_it_does_nothing(link: Link) -> None:
    """It has not fired, and what connects meanwhile works."""
    with link.fault("blackhole") as active:
        link.connect().ping_s(ack(1), message(1))
        assert not active.fired
        assert active.counts == {}


def test_a_ghost_ends_with_the_proxy(link: Link) -> None:
    """Closing the proxy frees both sockets of a ghost."""
    pair = link.connect()
    link.begin("blackhole")
    link.proxy.close()
    assert ending(pair.client)[0] == ending(pair.broker)[0] == "rst"
    assert link.proxy.connections == 0
