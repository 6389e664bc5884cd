"""The fault proxy itself: many connections, ends, large transfers, back-pressure, targets that are not there."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.errors import HarnessError
from conformance.faults.noop import Noop
from conformance.faults.rst import Rst
from conformance.history.events import PublishSeen
from conformance.world.network import connection
from conformance.world.network.proxy import Network
from tests.world.network.wire import (
    PATIENCE_S,
    Link,
    ack,
    confirm,
    ending,
    message,
    publish,
    receive,
    reset,
    wait_until,
    web_socket,
)


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def fill(end: socket.socket, data: bytes = b"x" * 60_000) -> int:
    """Send until nothing more is taken; how much was."""
    sent = 0
    end.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while sent < 100_000_000:
            sent += end.send(data[sent % len(data) :])
    end.settimeout(PATIENCE_S)
    assert sent < 100_000_000
    return sent


# --- many connections ----------------------------------------------------------------------------


def test_connections_do_not_mix(link: Link) -> None:
    """Twenty at once, each with traffic of its own, in turns."""
    pairs = [link.connect() for _ in range(20)]
    assert link.proxy.connections == 20
    for turn in range(3):
        for number, pair in enumerate(pairs):
            pair.up(ack(100 * turn + number))
            pair.down(message(100 * turn + number, number))
    for pair in pairs[:10]:
        pair.close()
    wait_until(lambda: link.proxy.connections == 10, "those that were closed are gone")
    for pair in pairs[10:]:
        pair.ping_s(ack(1), message(1))


def test_links_do_not_share_faults(make_link: Callable[..., Link]) -> None:
    """A fault on one link leaves the other's alone."""
    first, second = make_link(name="first"), make_link(name="second")
    pair = second.connect()
    with first.fault("stall"), second.fault("noop"):
        pair.ping_s(ack(1), message(1))


def test_connections_are_numbered_in_what_is_seen(amqp_link: Link) -> None:
    """Wire events name the connection, from 1, and come to the observer in the order of the wire."""
    for number in (1, 2):
        amqp_link.connect().up(b"".join(publish(b"%d" % number)))
    assert [(kind, fields["connection"]) for kind, fields in amqp_link.seen] == [(PublishSeen, 1), (PublishSeen, 2)]


def test_what_is_seen_stands_before_what_follows_from_it(amqp_link: Link) -> None:
    """An event is told before its frame is written: nobody can have answered it yet."""
    pair = amqp_link.connect()
    for number in range(1, 21):
        pair.up(b"".join(publish(b"%d" % number)))
        assert len(amqp_link.seen) == 2 * number - 1
        pair.down(confirm(number))
        assert len(amqp_link.seen) == 2 * number


def test_what_does_not_pass_is_not_seen(amqp_link: Link) -> None:
    """A publish that a fault keeps from the broker is no wire event; neither is one whose frames are torn."""
    pair = amqp_link.connect()
    with amqp_link.fault("cut_before_publish"):
        pair.client.sendall(b"".join(publish(b"never")))
        assert ending(pair.broker) == ("fin", b"")
    torn = amqp_link.connect()
    torn.client.sendall(b"".join(publish(b"torn"))[:-1])
    torn.client.shutdown(socket.SHUT_WR)
    assert ending(torn.broker) == ("fin", b"".join(publish(b"torn"))[:-1])
    assert amqp_link.seen == []


# --- one fault at a time -------------------------------------------------------------------------


def test_a_second_fault_is_refused(link: Link) -> None:
    """Only one can be on; the first stays on, and once it has ended another can begin."""
    pair = link.connect()
    active = link.begin("stall")
    with pytest.raises(HarnessError, match=r"^a fault is on at link already: stall$"):
        link.begin("rst")
    pair.client.sendall(ack(1))
    assert active.wait_fired(PATIENCE_S)
    link.proxy.end(active)
    assert receive(pair.broker, len(ack(1))) == ack(1)
    with link.fault("rst"):
        assert ending(pair.client) == ("rst", b"")


def test_to_end_twice_is_as_good_as_once(link: Link) -> None:
    """And the end of a fault that is over does not end the one that is on."""
    first = link.begin("noop")
    link.proxy.end(first)
    link.proxy.end(first)
    second = link.begin("refuse")
    link.proxy.end(first)
    with contextlib.suppress(ConnectionResetError):
        assert ending(link.dial()) == ("rst", b"")
    assert second.wait_fired(PATIENCE_S)
    link.proxy.end(second)
    link.connect().ping_s(ack(1), message(1))


def test_waiting_for_what_does_not_happen(link: Link) -> None:
    """The wait ends with the time, and says so."""
    with link.fault("refuse") as active:
        assert not active.wait_fired(0.05)
        assert not active.fired


# --- ends of the stream --------------------------------------------------------------------------


def test_half_close_by_the_client(link: Link) -> None:
    """The broker sees the end of what it reads, and can still send; then it ends as well."""
    pair = link.connect()
    pair.client.sendall(ack(1))
    pair.client.shutdown(socket.SHUT_WR)
    assert ending(pair.broker) == ("fin", ack(1))
    pair.down(message(1, 100_000))
    pair.broker.close()
    assert ending(pair.client) == ("fin", b"")
    wait_until(lambda: link.proxy.connections == 0, "the connection is over")


def test_half_close_by_the_broker(link: Link) -> None:
    """The client sees the end of what it reads, and can still send."""
    pair = link.connect()
    pair.broker.sendall(message(1))
    pair.broker.shutdown(socket.SHUT_WR)
    assert ending(pair.client) == ("fin", message(1))
    pair.up(ack(1))
    pair.client.close()
    assert ending(pair.broker) == ("fin", b"")
    wait_until(lambda: link.proxy.connections == 0, "the connection is over")


@pytest.mark.parametrize("by", ["client", "broker"])
def test_a_reset_is_passed_on(link: Link, by: str) -> None:
    """Whoever resets its end, the other sees ECONNRESET."""
    pair = link.connect()
    gone, other = (pair.client, pair.broker) if by == "client" else (pair.broker, pair.client)
    reset(gone)
    assert ending(other) == ("rst", b"")
    wait_until(lambda: link.proxy.connections == 0, "the connection is over")


def test_a_client_that_goes_while_it_is_sent_to(link: Link) -> None:
    """A broker that goes on sending after the client's close learns that nobody is there."""
    pair = link.connect()
    pair.client.close()
    assert pair.broker.recv(1) == b""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 100_000_000:
            sent += pair.broker.send(message(1, 60_000))
    assert sent < 100_000_000
    wait_until(lambda: link.proxy.connections == 0, "the connection is over")


def test_the_last_bytes_before_an_end_arrive(link: Link) -> None:
    """Bytes that are part of no whole frame are passed on at the end, unchanged."""
    pair = link.connect()
    pair.broker.sendall(message(1) + message(2)[:-3])
    pair.broker.close()
    assert ending(pair.client) == ("fin", message(1) + message(2)[:-3])


# --- large transfers -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5_000_000, 40_000_000])
def test_large_transfers_are_intact(link: Link, size: int) -> None:
    """One frame of five megabytes, and one that is too large for the tap, both ways at once."""
    pair = link.connect()
    up = web_socket(os.urandom(1_000_000) * (size // 1_000_000), opcode=2)
    down = web_socket(os.urandom(1_000_000) * (size // 1_000_000), opcode=2)
    senders = [
        threading.Thread(target=pair.client.sendall, args=(up,)),
        threading.Thread(target=pair.broker.sendall, args=(down,)),
    ]
    got: list[bytes] = []
    senders.append(threading.Thread(target=lambda: got.append(receive(pair.broker, len(up)))))
    for thread in senders:
        thread.start()
    assert receive(pair.client, len(down)) == down
    for thread in senders:
        thread.join()
    assert got == [up]
    pair.ping_s(ack(1), message(1))


def test_many_small_messages_are_intact(amqp_link: Link) -> None:
    """Five thousand publishes, each seen, and their bytes as they were."""
    pair = amqp_link.connect()
    stream = b"".join(data for number in range(5_000) for data in publish(b"%d" % number))
    sender = threading.Thread(target=pair.client.sendall, args=(stream,))
    sender.start()
    assert receive(pair.broker, len(stream)) == stream
    sender.join()
    assert [fields["delivery_tag"] for _, fields in amqp_link.seen] == list(range(1, 5_001))


def test_a_reader_that_does_not_read_is_pushed_back_on(link: Link) -> None:
    """The broker's sends are held up by a tab that reads nothing, one connection does not hold up another, and all
    that was sent arrives once the tab reads."""
    pair, other = link.connect(), link.connect()
    one = message(1, 60_000)
    sent = fill(pair.broker, one)
    other.ping_s(ack(1), message(1))
    rest = threading.Thread(target=pair.broker.sendall, args=(one[sent % len(one) :],))
    rest.start()
    total = sent + len(one) - sent % len(one)
    assert receive(pair.client, total) == one * (total // len(one))
    rest.join()


def test_an_ended_connection_is_not_cut_again(link: Link) -> None:
    """A client that has yet to read up to its end is no connection that the next fault could cut."""
    pair = link.connect()
    sent = fill(pair.broker)
    with link.fault("fin") as active:
        assert active.counts == {"cut": 1}
    with link.fault("rst") as active:
        assert not active.fired
    assert len(ending(pair.client)[1]) <= sent
    wait_until(lambda: link.proxy.connections == 0, "the connection is over")


def test_what_passes_before_a_cut_arrives_whatever_is_on_its_way_back(link: Link) -> None:
    """The broker has the ack, though it has more to say than the tab takes, and goes on to speak."""
    pair = link.connect()
    one = message(1, 60_000)
    sent = fill(pair.broker, one)
    with link.fault("cut_after_ack"):
        pair.client.sendall(ack(1))
        wait_until(lambda: link.proxy.carried == 0, "it is cut")
        pair.broker.sendall(one[sent % len(one) :])
        assert ending(pair.broker) == ("fin", ack(1))
        assert link.proxy.connections == 1
        pair.broker.close()
        wait_until(lambda: link.proxy.connections == 0, "both sides have ended")
    assert len(ending(pair.client)[1]) <= sent


# --- targets -------------------------------------------------------------------------------------


def test_a_target_that_refuses(network: Network) -> None:
    """The client is reset as by the target itself; the proxy stays, for when the target is there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = listener.getsockname()[:2]
    proxy = network.proxy(name="link", target=target, protocol="amqp")
    for _ in range(3):
        with contextlib.suppress(ConnectionResetError), socket.create_connection(proxy.address, PATIENCE_S) as client:
            assert ending(client) == ("rst", b"")
    wait_until(lambda: proxy.connections == 0, "the connections are over")
    with socket.create_server(target) as listener, socket.create_connection(proxy.address, PATIENCE_S) as client:
        listener.settimeout(PATIENCE_S)
        broker = listener.accept()[0]
        broker.close()
        assert ending(client) == ("fin", b"")


def test_a_target_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing does not wait for it (that would raise): a client on its way is reset."""
    monkeypatch.setattr(connection, "_CONNECT_S", 3600.0)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as clients:
        while True:  # fill the backlog, until SYNs are dropped
            client = clients.enter_context(socket.socket())
            client.settimeout(0.2)
            try:
                client.connect(listener.getsockname())
            except TimeoutError:
                break
        with Network() as network:
            proxy = network.proxy(name="link", target=listener.getsockname()[:2], protocol="amqp")
            client = clients.enter_context(socket.create_connection(proxy.address, PATIENCE_S))
            wait_until(lambda: proxy.connections == 1, "the client is on its way")
            proxy.close()
            client.settimeout(PATIENCE_S)
            assert ending(client) == ("rst", b"")


def test_a_target_that_is_no_host(network: Network) -> None:
    """A name that does not resolve is a refusal as well."""
    proxy = network.proxy(name="link", target=("no-such-host.invalid", 1), protocol="amqp")
    with contextlib.suppress(ConnectionResetError), socket.create_connection(proxy.address, PATIENCE_S) as client:
        assert ending(client) == ("rst", b"")


# --- the end of it all ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["idle", "stalled", "silent", "slow", "full", "half", "cut while full"])
def test_closing_ends_everything(state: str) -> None:
    """In whatever state the connections are: no task, thread, socket or warning is left, and the ends see it."""
    gc.collect()  # what other tests left must not go in the middle of this one
    before = open_files()
    network = Network()
    link = Link(network)
    pairs = [link.connect() for _ in range(3)]
    address = link.proxy.address
    match state:
        case "stalled":
            link.begin("stall")
            pairs[0].broker.sendall(message(1))
            pairs[1].client.sendall(ack(1))
        case "silent":
            link.begin("blackhole")
            pairs[0].client.close()
        case "slow":
            active = link.begin("latency", delay_ms=60_000)
            pairs[0].broker.sendall(message(1))
            assert active.wait_fired(PATIENCE_S)
        case "full":
            fill(pairs[0].broker, message(1, 60_000))
        case "half":
            pairs[0].client.shutdown(socket.SHUT_WR)
            assert ending(pairs[0].broker) == ("fin", b"")
        case "cut while full":
            fill(pairs[0].broker, message(1, 60_000))
            link.begin("fin")
    link.proxy.close()
    assert network.call(others()) == []
    network.close()
    network.close()
    assert link.proxy.connections == 0
    for pair in pairs[1:]:
        assert ending(pair.client)[0] in ("rst", "fin")
        assert ending(pair.broker)[0] in ("rst", "fin")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE_S)
    link.close()
    assert open_files() == before


async def others() -> list[str]:
    """The loop's tasks, but for the one that asks."""
    return [repr(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]


@pytest.mark.parametrize("turns", range(8))
def test_a_fault_that_ends_just_after_its_connection(network: Network, turns: int) -> None:
    """However many turns of the loop lie between them, no task is left."""
    link = Link(network)
    pair = link.connect()
    active = link.begin("latency", delay_ms=60_000)
    pair.broker.sendall(message(1))
    assert active.wait_fired(PATIENCE_S)

    async def cut_and_end() -> None:
        link.proxy._cut()
        for _ in range(turns):
            await asyncio.sleep(0)
        active.released.set()

    network.call(cut_and_end())
    link.close()
    assert network.call(others()) == []


def test_a_closed_proxy_says_so(network: Network) -> None:
    """Its address is gone, closing again is nothing, and the others of the network go on."""
    first, second = Link(network, name="first"), Link(network, name="second")
    pair = second.connect()
    first.close()
    first.close()
    with pytest.raises(HarnessError, match=r"^the proxy of first is closed$"):
        _ = first.proxy.address
    pair.ping_s(ack(1), message(1))
    second.close()


def test_a_closed_network_says_so() -> None:
    """Nothing new can be asked of it; what is closed or ended after it is no error."""
    network = Network()
    link = Link(network)
    active = link.begin("noop")
    network.close()
    with pytest.raises(HarnessError, match=r"^the network is closed$"):
        network.proxy(name="late", target=("127.0.0.1", 1), protocol="amqp")
    with pytest.raises(HarnessError, match=r"^the network is closed$"):
        link.proxy.begin(Noop())
    link.proxy.end(active)
    link.close()


def test_a_fault_after_the_close_of_its_proxy(network: Network) -> None:
    """It finds nothing to do."""
    link = Link(network)
    link.connect()
    link.close()
    active = link.proxy.begin(Rst())
    assert not active.fired
    link.proxy.end(active)


def test_many_rounds_leave_nothing_behind(network: Network) -> None:
    """Fifty links with connections that end in each way, and no file more than before."""
    gc.collect()
    before = open_files()
    for number in range(50):
        link = Link(network, name=f"link {number}")
        pair, other = link.connect(), link.connect()
        if number % 3 == 0:
            reset(pair.client)
        elif number % 3 == 1:
            pair.broker.close()
        else:
            with link.fault("rst"):
                assert ending(other.client)[0] == "rst"
        link.close()
        assert link.proxy.connections == 0
    wait_until(lambda: open_files() == before, "every socket is closed")
