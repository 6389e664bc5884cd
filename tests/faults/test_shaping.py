"""Faults that slow a link down or stop it, and lose nothing: side by side with a link without a fault."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest

from conformance.faults.base import PASS, Acting, Delay, LinkFault, Piece, Trickle, make_fault
from tests.world.network.wire import (
    PATIENCE_S,
    Link,
    Pair,
    ack,
    ending,
    is_silent,
    message,
    receive,
    wait_until,
)

MESSAGES = [message(number, 50 * number) for number in range(40)]
"""Of 0 to 2,000 bytes; 42 kB in all."""

GENTLE = [
    ("bandwidth", {"bytes_per_s": 1_000_000}),
    ("jitter", {"most_ms": 30}),
    ("latency", {"delay_ms": 30}),
    ("noop", {}),
    ("slicer", {"size_bytes": 7}),
]


def data_segments(end: socket.socket) -> int:
    """How many segments with data have come (``tcpi_data_segs_in`` of linux/tcp.h)."""
    return int(struct.unpack_from("I", end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)[0])


def fastest_s(pair: Pair) -> float:
    """The fastest of some round trips."""
    return min(pair.ping_s(ack(1), message(1)) for _ in range(5))


def acting_of(name: str, **parameters: object) -> Acting:
    """A fault's acting part, with randomness that repeats."""
    fault = make_fault(name, parameters)
    assert isinstance(fault, LinkFault)
    return fault.acting(random.Random(7))


@pytest.mark.parametrize(("fault", "parameters"), GENTLE)
def test_everything_passes_in_order(link: Link, fault: str, parameters: dict[str, object]) -> None:
    """Both ways at once, on two connections, every byte arrives in its place, and the end as well."""
    stream = b"".join(MESSAGES)
    pairs = [link.connect(), link.connect()]
    with link.fault(fault, **parameters) as active:
        for pair in pairs:
            pair.client.sendall(stream)
            pair.broker.sendall(stream)
        for pair in pairs:
            assert receive(pair.broker, len(stream)) == receive(pair.client, len(stream)) == stream
            pair.client.shutdown(socket.SHUT_WR)
            assert ending(pair.broker) == ("fin", b"")
            pair.broker.shutdown(socket.SHUT_WR)
            assert ending(pair.client) == ("fin", b"")
        assert active.wait_fired(PATIENCE_S)
        assert active.fired
    counts = dict(active.counts)
    link.connect().ping_s(ack(1), message(1))
    assert active.counts == counts


def test_latency_is_there_and_gone(make_link: Callable[..., Link]) -> None:
    """A round trip takes both delays; one beside it does not; nor does one afterwards."""
    link, beside = make_link(), make_link(name="beside")
    pair, other = link.connect(), beside.connect()
    with link.fault("latency", delay_ms=100) as active:
        assert not active.fired
        slow_s = fastest_s(pair)
        assert slow_s >= 0.199
        assert active.counts == {"delayed": 10}
        assert fastest_s(other) < slow_s / 2
    assert fastest_s(pair) < slow_s / 2


def test_latency_does_not_narrow_the_link(link: Link) -> None:
    """Messages that are on their way together arrive together: the delays do not add up."""
    pair = link.connect()
    with link.fault("latency", delay_ms=500):
        began = time.monotonic()
        for one in MESSAGES:
            pair.broker.sendall(one)
        for one in MESSAGES:
            assert receive(pair.client, len(one)) == one
        assert 0.499 <= time.monotonic() - began < 0.5 * len(MESSAGES) / 2


def test_jitter_is_drawn_from_the_links_own_seed(link: Link) -> None:
    """The delays differ, lie in their range, repeat with the seed, and are really made."""
    delays = []
    for _ in range(2):
        acting = acting_of("jitter", most_ms=80)
        actions = [acting.act(None, "to_client", Piece(b"x")) for _ in range(50)]  # type: ignore[arg-type]
        delays.append([action.delay_s for action in actions if isinstance(action, Delay)])
    assert delays[0] == delays[1]
    assert len(set(delays[0])) == 50
    assert all(0 <= delay_s <= 0.08 for delay_s in delays[0])
    assert max(delays[0]) - min(delays[0]) > 0.04
    pair = link.connect()
    with link.fault("jitter", most_ms=80) as active:
        rng = random.Random("0/link")
        drawn_s = sum(rng.uniform(0, 80) for _ in range(10)) / 1000
        slow_s = sum(pair.ping_s(ack(1), message(1)) for _ in range(5))
        assert slow_s >= drawn_s - 0.001
        assert active.counts == {"delayed": 10}
    wait_until(lambda: sum(pair.ping_s(ack(1), message(1)) for _ in range(20)) < slow_s / 2, "it is fast again")


def test_a_narrow_link(make_link: Callable[..., Link]) -> None:
    """5,000 bytes at 10,000 a second take about half a second, and much less beside it and afterwards."""
    link, beside = make_link(), make_link(name="beside")
    pair, other = link.connect(), beside.connect()

    def taken_s(pair: Pair) -> float:
        began = time.monotonic()
        pair.down(message(1, 5_000))
        return time.monotonic() - began

    with link.fault("bandwidth", bytes_per_s=10_000) as active:
        assert not active.fired
        slow_s = taken_s(pair)
        assert slow_s >= 0.44
        assert active.counts == {"narrowed": 1}
        assert min(taken_s(other) for _ in range(3)) < slow_s / 2
    assert min(taken_s(pair) for _ in range(3)) < slow_s / 2


def test_small_messages_take_no_longer_than_a_large_one(link: Link) -> None:
    """A narrow link counts bytes, not messages."""
    pair = link.connect()
    small = [message(number, 1_000) for number in range(40)]
    large = message(1, sum(map(len, small)))

    def taken_s(*messages: bytes) -> float:
        began = time.monotonic()
        for one in messages:
            pair.broker.sendall(one)
        for one in messages:
            assert receive(pair.client, len(one)) == one
        return time.monotonic() - began

    with link.fault("bandwidth", bytes_per_s=100_000):
        large_s = taken_s(large)
        assert large_s >= 0.4
        for _ in range(5):
            small_s = taken_s(*small)
            assert small_s >= 0.4
            if small_s < 3 * large_s:
                break
        assert small_s < 3 * large_s


def test_one_byte_segments(make_link: Callable[..., Link]) -> None:
    """The far side gets many times the segments that it gets without the fault, though TCP joins some again."""
    link, beside = make_link(), make_link(name="beside")
    pair, other = link.connect(), beside.connect()
    data = message(1, 300)

    def segments(pair: Pair) -> int:
        before = data_segments(pair.client)
        pair.down(data)
        return data_segments(pair.client) - before

    with link.fault("slicer") as active:
        assert not active.fired
        sliced = segments(pair)
        assert sliced >= 5
        assert active.counts == {"sliced": 1}
        assert segments(other) < sliced / 2
    assert segments(pair) < sliced / 2


# --- what would do nothing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "parameters", "data", "works"),
    [
        ("latency", {"delay_ms": 0}, b"data", False),
        ("latency", {"delay_ms": 1}, b"data", True),
        ("jitter", {"most_ms": 0}, b"data", False),
        ("jitter", {"most_ms": 1}, b"data", True),
        ("slicer", {"size_bytes": 4}, b"data", False),
        ("slicer", {"size_bytes": 3}, b"data", True),
        ("slicer", {"size_bytes": 1}, b"", False),
        ("bandwidth", {"bytes_per_s": 100}, b"", False),
        ("bandwidth", {"bytes_per_s": 100}, b"d", True),
        ("stall", {}, b"", True),
    ],
)
def test_it_counts_only_what_it_does(fault: str, parameters: dict[str, object], data: bytes, works: bool) -> None:
    """No delay, and nothing to cut in slices, is no effect: such a fault has not fired."""
    acting = acting_of(fault, **parameters)
    action = acting.act(None, "to_client", Piece(data, () if data else ("end",)))  # type: ignore[arg-type]
    assert acting.fired == works
    assert (action == PASS) == (not works)
    if fault in ("slicer", "bandwidth") and works:
        assert isinstance(action, Trickle)


# --- the end of the fault -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [("latency", {"delay_ms": 60_000}), ("jitter", {"most_ms": 60_000}), ("bandwidth", {"bytes_per_s": 100})],
)
def test_what_is_on_its_way_passes_at_the_end(link: Link, fault: str, parameters: dict[str, object]) -> None:
    """What would have taken minutes arrives at once, in order, when the fault ends; so does what is sent then."""
    pair = link.connect()
    active = link.begin(fault, **parameters)
    for one in MESSAGES:
        pair.broker.sendall(one)
    assert active.wait_fired(PATIENCE_S)
    wait_until(lambda: sum(active.counts.values()) >= len(MESSAGES), "the fault has met every message")
    link.proxy.end(active)
    for one in MESSAGES:
        assert receive(pair.client, len(one)) == one
    pair.down(message(99))


# --- stall ---------------------------------------------------------------------------------------


def test_a_stalled_link(link: Link) -> None:
    """Nothing passes either way; then everything does, in order; then the link is as before."""
    pair = link.connect()
    stream = b"".join(MESSAGES)
    active = link.begin("stall")
    assert not active.fired
    pair.broker.sendall(stream)
    pair.client.sendall(stream)
    assert active.wait_fired(PATIENCE_S)
    assert is_silent(pair.client, pair.broker)
    wait_until(lambda: active.counts == {"held": 2}, "both ways are held")
    link.proxy.end(active)
    assert receive(pair.client, len(stream)) == receive(pair.broker, len(stream)) == stream
    pair.ping_s(ack(1), message(1))
    assert active.counts == {"held": 2}


def test_a_stalled_link_holds_the_end_of_the_stream(link: Link) -> None:
    """A client that goes meanwhile is not missed before the fault ends; what it had sent still arrives."""
    pair = link.connect()
    active = link.begin("stall")
    pair.client.sendall(ack(1))
    pair.client.close()
    assert active.wait_fired(PATIENCE_S)
    assert is_silent(pair.broker)
    link.proxy.end(active)
    assert ending(pair.broker) == ("fin", ack(1))


def test_a_stalled_link_takes_new_connections(link: Link) -> None:
    """Their first words are held like everything else."""
    active = link.begin("stall")
    pair = link.connect(handshake=False)
    assert not active.fired
    pair.client.sendall(ack(1))
    pair.client.sendall(b"")
    link.proxy.end(active)
    pair.client.shutdown(socket.SHUT_WR)
    assert ending(pair.broker)[1] == ack(1)


def test_a_stalled_link_pushes_back(link: Link) -> None:
    """A sender can't send for ever into it: what no buffer takes is not read; afterwards all of it arrives."""
    pair = link.connect()
    one = message(1, 60_000)
    active = link.begin("stall")
    pair.broker.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 100_000_000:
            sent += pair.broker.send(one[sent % len(one) :])
    assert sent < 100_000_000
    pair.broker.settimeout(PATIENCE_S)
    link.proxy.end(active)
    rest = threading.Thread(target=pair.broker.sendall, args=(one[sent % len(one) :],))
    rest.start()
    total = sent + len(one) - sent % len(one)
    got = receive(pair.client, total)
    rest.join()
    assert got == one * (total // len(one))


# --- nothing -------------------------------------------------------------------------------------


def test_noop_is_nothing_at_all(link: Link) -> None:
    """It counts as fired from the start and leaves the link as it is."""
    pair = link.connect()
    with link.fault("noop") as active:
        assert active.fired
        assert active.wait_fired(0)
        pair.ping_s(ack(1), message(1))
        link.connect().ping_s(ack(1), message(1))
        assert active.counts == {"nothing": 1}
