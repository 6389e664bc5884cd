"""Faults that cut, seen from both ends of a real connection."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.faults import cut_after_delivery
from tests.world.network.wire import (
    HANDSHAKE_ANSWER,
    HANDSHAKE_REQUEST,
    OPEN,
    PATIENCE_S,
    Link,
    Pair,
    ack,
    confirm,
    ending,
    is_silent,
    message,
    publish,
    receive,
    reset,
    stomp,
    wait_until,
)

HOW = {True: "rst", False: "fin"}
CONNECTED = stomp("CONNECTED", ("version", "1.2"))
SUBSCRIBE = stomp("SUBSCRIBE", ("id", "0"), ("destination", "/topic/a"), mask=b"mask")
RECEIPT = stomp("RECEIPT", ("receipt-id", "1"))


def ending_of_next(link: Link) -> tuple[str, bytes]:
    """How a client that connects now ends, without a word of its own."""
    try:
        client = link.dial()
    except ConnectionResetError:  # so soon that connect() has seen it
        return "rst", b""
    return ending(client)


def turned_away(link: Link) -> bool:
    """Whether a client that connects now is refused before anything has come."""
    return ending_of_next(link) == ("rst", b"")


def works(link: Link) -> bool:
    """Whether a new connection works both ways."""
    pair = link.connect()
    data = message(1) if link.protocol == "web-stomp" else confirm(1)
    pair.down(data)
    return True


@pytest.mark.parametrize("fault", ["rst", "fin"])
def test_open_connections_are_cut(link: Link, fault: str) -> None:
    """Both ends of every open connection see it: a reset is ECONNRESET, an orderly end is EOF; later ones are let in
    once it has ended."""
    pairs = [link.connect(), link.connect()]
    with link.fault(fault) as active:
        for pair in pairs:
            assert ending(pair.client) == (fault, b"")
            assert ending(pair.broker) == (fault, b"")
        assert active.fired
        assert active.counts == {"cut": 2}
        assert turned_away(link)
        assert turned_away(link)
        assert active.counts == {"cut": 2, "refused": 2}
    assert works(link)
    assert active.counts == {"cut": 2, "refused": 2}


@pytest.mark.parametrize("fault", ["rst", "fin"])
def test_a_link_that_does_not_stay_down(link: Link, fault: str) -> None:
    """With down=False the client is back while the fault is still on."""
    pair = link.connect()
    with link.fault(fault, down=False) as active:
        assert ending(pair.client)[0] == fault
        assert works(link)
        assert active.counts == {"cut": 1}


@pytest.mark.parametrize("fault", ["rst", "fin"])
@pytest.mark.parametrize("down", [True, False])
def test_with_nothing_open_the_next_one_is_cut(link: Link, fault: str, down: bool) -> None:
    """The fault has not fired until somebody connects, who sees the end that the fault is named for."""
    with link.fault(fault, down=down) as active:
        assert not active.fired
        assert ending_of_next(link) == (fault, b"")
        assert active.wait_fired(PATIENCE_S)
        assert active.counts == {"cut": 1}
        assert turned_away(link) if down else works(link)
    assert works(link)


def test_refusing_leaves_open_connections_alone(link: Link) -> None:
    """New clients are reset, as often as they come, and counted; what is open goes on."""
    pair = link.connect()
    with link.fault("refuse") as active:
        assert not active.fired
        pair.down(message(1))
        assert not active.fired
        assert turned_away(link)
        assert active.wait_fired(PATIENCE_S)
        assert turned_away(link)
        assert active.counts == {"refused": 2}
        pair.down(message(2))
    assert works(link)


def test_refusing_can_cut_what_is_open(link: Link) -> None:
    """existing=True resets it as well."""
    pair = link.connect()
    with link.fault("refuse", existing=True) as active:
        assert ending(pair.client) == ending(pair.broker) == ("rst", b"")
        assert active.counts == {"cut": 1}
        assert turned_away(link)
        assert active.counts == {"cut": 1, "refused": 1}
    assert works(link)


# --- at a moment ---------------------------------------------------------------------------------


Traffic = Callable[[Pair], tuple[bytes, bytes]]
"""Says what leads up to the cut; gives what then reaches client and broker before their ends."""


def first_ack_passes(pair: Pair) -> tuple[bytes, bytes]:
    """Of two deliveries, the first ack has gone on."""
    pair.down(message(1) + message(2))
    pair.client.sendall(ack(1) + ack(2))
    return b"", ack(1)


def first_ack_is_lost(pair: Pair) -> tuple[bytes, bytes]:
    """The ack is the cut."""
    pair.down(message(1))
    pair.client.sendall(ack(1))
    return b"", b""


def delivery_arrives(pair: Pair) -> tuple[bytes, bytes]:
    """The message is there, its ack and the next message are not."""
    pair.broker.sendall(message(1) + message(2))
    assert receive(pair.client, len(message(1))) == message(1)
    pair.client.sendall(ack(1))
    return b"", b""


def receipt_is_lost(pair: Pair) -> tuple[bytes, bytes]:
    """SUBSCRIBE has gone on, what comes before its receipt as well."""
    pair.up(SUBSCRIBE)
    pair.down(message(1))
    pair.broker.sendall(RECEIPT)
    return b"", b""


def message_is_torn(pair: Pair) -> tuple[bytes, bytes]:
    """Sixteen bytes of it."""
    pair.down(CONNECTED)
    pair.broker.sendall(message(1))
    return message(1)[:16], b""


def publish_is_torn(pair: Pair) -> tuple[bytes, bytes]:
    """Sixteen bytes of the method's frame."""
    pair.client.sendall(b"".join(publish(b"body")))
    return b"", publish(b"body")[0][:16]


def publish_is_lost(pair: Pair) -> tuple[bytes, bytes]:
    """None of it."""
    pair.client.sendall(b"".join(publish(b"body")))
    return b"", b""


def confirm_is_lost(pair: Pair) -> tuple[bytes, bytes]:
    """The broker has it all."""
    pair.up(b"".join(publish(b"body")))
    pair.broker.sendall(confirm(1))
    return b"", b""


MOMENTS: list[tuple[str, Traffic]] = [
    ("cut_after_ack", first_ack_passes),
    ("cut_before_ack", first_ack_is_lost),
    ("cut_after_delivery", delivery_arrives),
    ("cut_before_receipt", receipt_is_lost),
    ("cut_mid_frame", message_is_torn),
    ("cut_mid_frame", publish_is_torn),
    ("cut_before_publish", publish_is_lost),
    ("cut_before_confirm", confirm_is_lost),
]


@pytest.mark.parametrize(("fault", "traffic"), MOMENTS, ids=[traffic.__name__ for _, traffic in MOMENTS])
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "orderly"])
@pytest.mark.parametrize("down", [True, False], ids=["down", "up"])
def test_a_cut_at_a_moment(
    make_link: Callable[..., Link],
    fault: str,
    traffic: Traffic,
    reset: bool,
    down: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exactly what comes before the moment passes, once; the side that got it can read it to an orderly end."""
    monkeypatch.setattr(cut_after_delivery, "_GRACE_S", 60.0)  # there, the ack is the cut
    amqp = traffic.__name__.startswith(("publish", "confirm"))
    link = make_link("amqp" if amqp else "web-stomp")
    other = link.connect()
    pair = link.connect()
    with link.fault(fault, reset=reset, down=down) as active:
        assert not active.fired
        to_client, to_broker = traffic(pair)
        how_client, got_client = ending(pair.client)
        how_broker, got_broker = ending(pair.broker)
        assert (got_client, got_broker) == (to_client, to_broker)
        if traffic is not delivery_arrives:
            # What was on its way to one side must not be discarded by a reset of that side.
            towards = (
                "broker"
                if traffic in (first_ack_passes, first_ack_is_lost, publish_is_torn, publish_is_lost)
                else "client"
            )
            assert (how_client, how_broker) == (("fin", HOW[reset]) if towards == "client" else (HOW[reset], "fin"))
        else:
            assert (how_client, how_broker) == (HOW[reset], HOW[reset])
        assert active.wait_fired(PATIENCE_S)
        assert active.counts == {"cut": 1}
        assert turned_away(link) if down else works(link)
        other.down(message(9) if not amqp else confirm(9))  # open connections are left alone
        assert active.counts["cut"] == 1
    assert works(link)


@pytest.mark.parametrize(("fault", "n"), [("cut_after_ack", 3), ("cut_before_ack", 3)])
def test_acks_are_counted_for_each_connection(link: Link, fault: str, n: int) -> None:
    """Two acks on each of two connections are not yet a third."""
    first, second = link.connect(), link.connect()
    with link.fault(fault, n=n) as active:
        for pair in (first, second):
            pair.down(message(1) + message(2))
            pair.up(ack(1) + ack(2))
        assert not active.fired
        second.client.sendall(ack(3))
        assert ending(second.broker)[1] == (ack(3) if fault == "cut_after_ack" else b"")
        assert active.counts == {"cut": 1}
        first.up(ack(3))
        assert active.counts == {"cut": 1}


def test_deliveries_are_counted_for_each_connection(link: Link) -> None:
    """The third message of one connection, not the third of all."""
    first, second = link.connect(), link.connect()
    with link.fault("cut_after_delivery", n=3) as active:
        for pair in (first, second):
            pair.down(message(1) + message(2))
        assert not active.fired
        second.down(message(3))
        assert ending(second.client) == ending(second.broker) == ("rst", b"")
        assert active.counts == {"cut": 1}


def test_publishes_are_counted(amqp_link: Link) -> None:
    """The third publish does not pass, two do."""
    pair = amqp_link.connect()
    two = b"".join(publish(b"1") + publish(b"2"))
    with amqp_link.fault("cut_before_publish", n=3) as active:
        pair.up(two)
        assert not active.fired
        pair.client.sendall(b"".join(publish(b"3")))
        assert ending(pair.broker) == ("fin", b"")
        assert active.counts == {"cut": 1}


@pytest.mark.parametrize("multiple", [False, True])
def test_pipelined_confirms_are_counted_by_message(amqp_link: Link, multiple: bool) -> None:
    """With three publishes under way the cut is where the third is confirmed, and not before: the broker has it."""
    pair = amqp_link.connect()
    with amqp_link.fault("cut_before_confirm", n=3) as active:
        pair.up(b"".join(frame for number in range(4) for frame in publish(b"%d" % number)))
        pair.down(confirm(1))
        if not multiple:
            pair.down(confirm(2))
        assert not active.fired
        pair.broker.sendall(confirm(3, multiple=multiple))
        assert ending(pair.client) == ("fin", b"")
        assert active.counts == {"cut": 1}


@pytest.mark.parametrize(
    ("where", "to_client", "to_broker"),
    [("http", b"", b""), ("connect", HANDSHAKE_ANSWER, HANDSHAKE_REQUEST)],
)
def test_a_cut_in_a_tabs_handshake(link: Link, where: str, to_client: bytes, to_broker: bytes) -> None:
    """The request does not pass, or CONNECTED does not."""
    with link.fault("cut_in_handshake", where=where) as active:
        pair = link.connect(handshake=False)
        assert not active.fired
        pair.client.sendall(HANDSHAKE_REQUEST)
        if to_broker:
            assert receive(pair.broker, len(to_broker)) == to_broker
            pair.broker.sendall(HANDSHAKE_ANSWER + CONNECTED)
        assert ending(pair.client)[1] == to_client
        assert ending(pair.broker)[1] == b""
        assert active.counts == {"cut": 1}
    assert works(link)


def test_a_cut_in_a_publishers_handshake(amqp_link: Link) -> None:
    """connection.open does not reach the broker; what comes before it does."""
    hello = b"AMQP\x00\x00\x09\x01"
    with amqp_link.fault("cut_in_handshake", where="amqp") as active:
        pair = amqp_link.connect(handshake=False)
        pair.up(hello)
        assert not active.fired
        pair.client.sendall(OPEN)
        assert ending(pair.broker) == ("fin", b"")
        assert active.counts == {"cut": 1}
    assert works(amqp_link)


@pytest.mark.parametrize("after_bytes", [1, 10, 100_000])
def test_how_much_of_a_frame_passes(link: Link, after_bytes: int) -> None:
    """So many bytes of the MESSAGE, but never all of it."""
    pair = link.connect()
    with link.fault("cut_mid_frame", after_bytes=after_bytes):
        torn = message(1, 3000)
        pair.broker.sendall(torn)
        assert ending(pair.client) == ("fin", torn[: min(after_bytes, len(torn) - 1)])


def test_flapping_cuts_as_often_as_it_says(link: Link) -> None:
    """A connection with a burst is cut once, before its first message; it has fired after so many connections."""
    with link.fault("flap", times=3) as active:
        for number in range(1, 4):
            pair = link.connect()
            pair.down(CONNECTED)
            pair.broker.sendall(message(1) + message(2) + message(3) + message(4))
            assert ending(pair.client) == ("fin", b"")
            assert ending(pair.broker)[0] == "rst"
            assert active.counts == {"cut": number}
            assert active.fired == (number == 3)
        assert active.wait_fired(PATIENCE_S)
        pair = link.connect()
        pair.down(message(1) + message(2))
        assert active.counts == {"cut": 3}


def test_flapping_in_an_orderly_way(link: Link) -> None:
    """With reset=False the broker sees the end of the stream."""
    with link.fault("flap", times=1, reset=False):
        pair = link.connect()
        pair.broker.sendall(message(1))
        assert ending(pair.client) == ending(pair.broker) == ("fin", b"")


def test_a_burst_is_cut_once(link: Link) -> None:
    """What comes behind the cut in the same segment is not counted again."""
    pair = link.connect()
    with link.fault("cut_after_ack", n=2) as active:
        pair.client.sendall(b"".join(ack(number) for number in range(1, 9)))
        assert ending(pair.broker) == ("fin", ack(1) + ack(2))
        assert active.counts == {"cut": 1}


# --- after a delivery ----------------------------------------------------------------------------


def test_a_delivery_that_is_not_acked_is_cut_all_the_same(link: Link) -> None:
    """Where no ack comes, the cut follows by itself; what the broker sends meanwhile does not pass."""
    pair = link.connect()
    with link.fault("cut_after_delivery") as active:
        pair.broker.sendall(message(1) + message(2))
        assert receive(pair.client, len(message(1))) == message(1)
        assert ending(pair.client) == ("rst", b"")
        assert ending(pair.broker)[0] == "rst"
        assert active.wait_fired(PATIENCE_S)
        assert active.counts == {"cut": 1}


def test_it_has_not_fired_before_the_cut(link: Link) -> None:
    """Whoever heals the link as soon as it has fired finds the connection cut, and its ack not passed on."""
    pair = link.connect()
    active = link.begin("cut_after_delivery")
    pair.broker.sendall(message(1))
    assert active.wait_fired(PATIENCE_S)
    link.proxy.end(active)
    assert receive(pair.client, len(message(1))) == message(1)
    try:
        pair.client.sendall(ack(1))
    except ConnectionResetError:
        return  # the reset is there already
    assert ending(pair.client) == ("rst", b"")
    assert ending(pair.broker) == ("rst", b"")


def test_healed_before_the_cut_everything_passes(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the delivery and the cut, the end of the fault heals: nothing is cut, lost or said to have fired."""
    monkeypatch.setattr(cut_after_delivery, "_GRACE_S", 60.0)

    async def the_time_has_come() -> None:
        (connection,) = link.proxy._open.values()
        assert connection._soon is not None
        connection._soon._run()

    pair = link.connect()
    active = link.begin("cut_after_delivery")
    pair.broker.sendall(message(1) + message(2))
    assert receive(pair.client, len(message(1))) == message(1)
    link.proxy.end(active)
    assert receive(pair.client, len(message(2))) == message(2)
    link.proxy._network.call(the_time_has_come())
    pair.up(ack(1) + ack(2))
    assert is_silent(pair.client, pair.broker)
    assert active.counts == {}


def test_a_tab_that_goes_before_the_cut_leaves_the_fault_armed(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its next connection is cut in its place."""
    monkeypatch.setattr(cut_after_delivery, "_GRACE_S", 60.0)
    pair = link.connect()
    with link.fault("cut_after_delivery") as active:
        pair.down(message(1))
        reset(pair.client)
        assert ending(pair.broker)[0] == "rst"
        wait_until(lambda: link.proxy.connections == 0, "the proxy forgets the connection")
        assert not active.fired
        second = link.connect()
        second.down(message(1))
        second.client.sendall(ack(1))
        assert ending(second.client) == ("rst", b"")
        assert active.counts == {"cut": 1}
