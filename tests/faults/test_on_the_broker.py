"""Faults between real clients and a real broker: their moments are found, and the broker sees what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from conformance.contract.model import Exchange
from conformance.faults.base import LinkFault, make_fault
from conformance.history.events import (
    ConfirmSeen,
    Event,
    PublishSeen,
    ReturnSeen,
    TabAcked,
    TabConnected,
    TabDelivered,
    TabHandled,
    TabRefused,
    TabSubscribed,
    digest,
)
from conformance.world.broker.base import Broker
from conformance.world.network.proxy import ActiveFault, LinkProxy, Network
from conformance.world.publisher.durable import DurableWs
from conformance.world.tab.clients import TAB_CLIENTS
from conformance.world.tab.played import PlayedTab
from tests.world.network.wire import wait_until
from tests.world.tab.conftest import MemoryRecorder, settings_for

pytestmark = pytest.mark.broker

PATIENCE_S = 30.0


class Bench:
    """An exchange with a queue at the real broker, and proxied links to it."""

    def __init__(self, broker: Broker, network: Network, name: str) -> None:
        self.name = name
        self.recorder = MemoryRecorder()
        self.seen: list[tuple[type[Event], dict[str, Any]]] = []
        self._broker = broker
        self._amqp = urlsplit(broker.addresses.amqp)
        self._web_stomp = urlsplit(broker.addresses.web_stomp)
        self._connection = pika.BlockingConnection(pika.URLParameters(broker.addresses.amqp))
        self._channel: BlockingChannel = self._connection.channel()
        self._channel.confirm_delivery()
        self._channel.exchange_declare(name, "topic", durable=True)
        self._closers: list[Callable[[], None]] = []
        self.tab_link = self._link(network, "tab", self._web_stomp.port)
        self.publisher_link = self._link(network, "publisher", self._amqp.port)

    def _link(self, network: Network, kind: str, port: int | None) -> LinkProxy:
        assert port is not None
        return network.proxy(
            name=f"{kind} of {self.name}",
            target=("127.0.0.1", port),
            protocol="amqp" if kind == "publisher" else "web-stomp",
            observer=lambda event_type, **fields: self.seen.append((event_type, fields)),
        )

    def begin(self, fault: str, link: LinkProxy, **parameters: object) -> ActiveFault:
        """Switch a fault on."""
        made = make_fault(fault, parameters, link="tab" if link is self.tab_link else "publisher")
        assert isinstance(made, LinkFault)
        return link.begin(made)

    def tab(self, client: str = "websocket-client", *, path: str | None = None, **changes: Any) -> PlayedTab:
        """A tab through its link, not yet open."""
        host, port = self.tab_link.address
        settings = settings_for(
            f"ws://{host}:{port}{path or self._web_stomp.path}",
            tab=self.name,
            login=unquote(self._amqp.username or "guest"),
            passcode=unquote(self._amqp.password or "guest"),
            vhost=unquote(self._amqp.path[1:]) or "/",
            destination=f"/exchange/{self.name}/key",
            subscribe_headers={
                "ack": "client-individual",
                "x-queue-name": self.name,
                "durable": "true",
                "auto-delete": "false",
                "exclusive": "false",
                "x-expires": "600000",
                "prefetch-count": "50",
            },
            queue=self.name,
            exchange=self.name,
            binding_key="key",
            **changes,
        )
        tab = TAB_CLIENTS[client](settings, self.recorder)
        self._closers.append(tab.close)
        return tab

    def publisher(self) -> DurableWs:
        """``durable_ws`` through its link."""
        host, port = self.publisher_link.address
        credentials = self._amqp.netloc.rpartition("@")[0]
        url = self._amqp._replace(netloc=f"{credentials}@{host}:{port}").geturl()
        publisher = DurableWs(url, exchanges=[Exchange(name=self.name)], reconnect_first_s=0.02)
        self._closers.append(publisher.close)
        return publisher

    def publish(self, *bodies: bytes) -> None:
        """Publish beside the links, with confirms."""
        for body in bodies:
            properties = pika.BasicProperties(message_id=body.decode(), delivery_mode=2)
            self._channel.basic_publish(self.name, "key", body, properties, mandatory=True)

    def bind(self) -> None:
        """A queue, for publishers without a tab."""
        self._channel.queue_declare(self.name, durable=True)
        self._channel.queue_bind(self.name, self.name, "key")

    def ready(self) -> int:
        """Messages in the queue that nobody holds."""
        return int(self._channel.queue_declare(self.name, passive=True).method.message_count)

    def of(self, event_type: type[Event]) -> list[dict[str, Any]]:
        """The fields of what was seen on the wire so far."""
        return [fields for kind, fields in self.seen if kind is event_type]

    def close(self) -> None:
        """Close what was made, and remove it from the broker."""
        for close in self._closers:
            close()
        self.tab_link.close()
        self.publisher_link.close()
        self._channel.queue_delete(self.name)
        self._channel.exchange_delete(self.name)
        self._connection.close()


@pytest.fixture
def bench(broker: Broker, network: Network, namespace: str) -> Iterator[Bench]:
    """See :class:`Bench`."""
    bench = Bench(broker, network, f"faults-{namespace}")
    yield bench
    bench.close()


def deliveries(bench: Bench, body: bytes) -> list[tuple[int, bool]]:
    """In which sessions the message was delivered, and whether marked as redelivered."""
    return [
        (event.session, event.redelivered)
        for event in bench.recorder.of(TabDelivered, body_digest=digest(body))
        if isinstance(event, TabDelivered)
    ]


# --- tabs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", list(TAB_CLIENTS))
@pytest.mark.parametrize(
    ("fault", "first"),
    [
        ("cut_after_delivery", [(1, False), (2, True)]),
        ("cut_before_ack", [(1, False), (2, True)]),
        ("cut_after_ack", [(1, False)]),
        ("cut_mid_frame", [(2, True)]),
    ],
)
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "orderly"])
def test_a_cut_around_a_delivery(
    broker: Broker, bench: Bench, client: str, fault: str, first: list[tuple[int, bool]], reset: bool
) -> None:
    """What the broker does with the first message shows where the link was cut; both are handled in the end."""
    tab = bench.tab(client)
    tab.open()
    assert tab.wait_subscribed(PATIENCE_S)
    active = bench.begin(fault, bench.tab_link, reset=reset, down=False)
    bench.publish(b"one")
    assert active.wait_fired(PATIENCE_S)
    bench.tab_link.end(active)
    bench.recorder.wait(TabSubscribed, 2)
    wait_until(lambda: broker.queue_facts(bench.name).consumers == 1, "the broker has noticed the first session's end")
    bench.publish(b"two")
    bench.recorder.wait(TabAcked, session=2, message_id="two")
    bench.recorder.wait(TabHandled, message_id="one")
    assert active.counts["cut"] == 1
    assert deliveries(bench, b"one") == first
    assert deliveries(bench, b"two") == [(2, False)]
    tab.leave()
    assert bench.ready() == 0


@pytest.mark.parametrize("client", list(TAB_CLIENTS))
@pytest.mark.parametrize(("fault", "n"), [("cut_after_delivery", 3), ("cut_before_ack", 3), ("cut_after_ack", 3)])
def test_a_cut_at_the_third(bench: Bench, client: str, fault: str, n: int) -> None:
    """Of five messages at once, those acked before the cut are not delivered again; all are handled."""
    tab = bench.tab(client)
    tab.open()
    assert tab.wait_subscribed(PATIENCE_S)
    active = bench.begin(fault, bench.tab_link, n=n, down=False)
    bodies = [str(number).encode() for number in range(5)]
    bench.publish(*bodies)
    assert active.wait_fired(PATIENCE_S)
    bench.tab_link.end(active)
    for body in bodies:
        bench.recorder.wait(TabHandled, body_digest=digest(body))
    acked = 3 if fault == "cut_after_ack" else 2
    if fault != "cut_after_delivery":  # there, acks of the first two may come before or after the third
        assert [deliveries(bench, body) for body in bodies[:acked]] == [[(1, False)]] * acked
    bench.recorder.wait(TabDelivered, body_digest=digest(bodies[4]), session=2)
    assert active.counts["cut"] == 1


@pytest.mark.parametrize("client", list(TAB_CLIENTS))
@pytest.mark.parametrize(
    ("fault", "parameters", "got_to"),
    [
        ("cut_before_receipt", {}, TabConnected),
        ("cut_in_handshake", {"where": "connect"}, None),
        ("cut_in_handshake", {"where": "http"}, None),
        ("refuse", {}, None),
        ("rst", {}, None),
        ("fin", {}, None),
    ],
)
def test_a_cut_while_connecting(
    bench: Bench, client: str, fault: str, parameters: dict[str, object], got_to: type[Event] | None
) -> None:
    """The tab gets so far and no farther until the link is healed; then it subscribes."""
    active = bench.begin(fault, bench.tab_link, **parameters)
    tab = bench.tab(client)
    tab.open()
    assert active.wait_fired(PATIENCE_S)
    wait_until(lambda: active.counts.get("refused", 0) >= 2, "it tries again, and is refused")
    assert bench.recorder.of(TabSubscribed) == []
    assert len(bench.recorder.of(TabConnected)) == (1 if got_to is TabConnected else 0)
    if fault == "cut_before_receipt":
        wait_until(lambda: bench.ready() == 0, "the broker has declared the queue all the same")
    bench.tab_link.end(active)
    bench.recorder.wait(TabSubscribed)


def test_flapping(bench: Bench) -> None:
    """So many sessions end before the message has come; the next one has it, redelivered as often."""
    tab = bench.tab()
    tab.open()
    assert tab.wait_subscribed(PATIENCE_S)
    active = bench.begin("flap", bench.tab_link, times=4)
    bench.publish(b"one", b"two")
    assert active.wait_fired(PATIENCE_S)
    bench.recorder.wait(TabAcked, message_id="two")
    bench.tab_link.end(active)
    assert active.counts == {"cut": 4}
    assert deliveries(bench, b"one") == [(5, True)]


@pytest.mark.parametrize("client", list(TAB_CLIENTS))
@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("bandwidth", {"bytes_per_s": 50_000}),
        ("jitter", {"most_ms": 20}),
        ("latency", {"delay_ms": 20}),
        ("slicer", {}),
    ],
)
def test_a_poor_link(bench: Bench, client: str, fault: str, parameters: dict[str, object]) -> None:
    """The tab connects, subscribes and handles everything once, in one session."""
    active = bench.begin(fault, bench.tab_link, **parameters)
    tab = bench.tab(client)
    tab.open()
    assert tab.wait_subscribed(PATIENCE_S)
    bodies = [str(number).encode() for number in range(20)]
    bench.publish(*bodies)
    bench.recorder.wait(TabAcked, 20)
    bench.tab_link.end(active)
    assert active.fired
    assert [deliveries(bench, body) for body in bodies] == [[(1, False)]] * 20


def test_a_stall_ends_no_session(bench: Bench) -> None:
    """Held messages arrive once the link goes on, in the same session and in order."""
    tab = bench.tab()
    tab.open()
    assert tab.wait_subscribed(PATIENCE_S)
    active = bench.begin("stall", bench.tab_link)
    bench.publish(b"one", b"two", b"three")
    assert active.wait_fired(PATIENCE_S)
    assert bench.recorder.of(TabDelivered) == []
    bench.tab_link.end(active)
    bench.recorder.wait(TabAcked, 3)
    assert [event.message_id for event in bench.recorder.of(TabDelivered)] == ["one", "two", "three"]
    assert len(bench.recorder.of(TabSubscribed)) == 1


def test_a_ghost_keeps_what_it_was_sent(broker: Broker, bench: Bench) -> None:
    """A tab that reloads over a blackhole leaves a second consumer at the broker, which is gone with the proxy."""
    tab = bench.tab()
    tab.open()
    assert tab.wait_subscribed(PATIENCE_S)
    active = bench.begin("blackhole", bench.tab_link)
    tab.reload()
    bench.recorder.wait(TabSubscribed, session=2)
    wait_until(lambda: broker.queue_facts(bench.name).consumers == 2, "the ghost is there")
    bench.tab_link.end(active)
    assert active.counts == {"silenced": 1}
    bench.publish(b"one", b"two")  # the broker takes turns: one of them is the ghost's
    bench.recorder.wait(TabAcked)
    wait_until(lambda: broker.queue_facts(bench.name).unacked == 1, "the broker has the ack, the ghost its message")
    tab.close()
    bench.tab_link.close()
    wait_until(lambda: bench.ready() == 1, "the ghost's message is back in the queue")
    assert len(bench.recorder.of(TabAcked)) == 1


@pytest.mark.parametrize("client", list(TAB_CLIENTS))
def test_a_wrong_path_is_refused_at_once(bench: Bench, client: str) -> None:
    """The broker's answer, body and all, reaches a tab that asks for a WebSocket where there is none."""
    tab = bench.tab(client, path="/nowhere", connect_timeout_s=60.0)
    tab.open()
    bench.recorder.wait(TabRefused)
    assert bench.recorder.of(TabConnected) == []


# --- publishers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "parameters", "seen", "kept"),
    [
        ("cut_before_publish", {}, 1, 1),
        ("cut_mid_frame", {}, 1, 1),
        ("cut_before_confirm", {}, 2, 2),
        ("cut_in_handshake", {"where": "amqp"}, 1, 1),
    ],
)
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "orderly"])
def test_a_cut_around_a_publish(
    bench: Bench, fault: str, parameters: dict[str, object], seen: int, kept: int, reset: bool
) -> None:
    """The publisher publishes again under the same id; the broker has it once more where it had it already."""
    bench.bind()
    publisher = bench.publisher()
    active = bench.begin(fault, bench.publisher_link, reset=reset, down=False, **parameters)
    receipt = publisher.publish(b"body", exchange=bench.name, routing_key="key", message_id="m1")
    assert receipt.routed
    assert active.fired
    assert active.counts == {"cut": 1}
    bench.publisher_link.end(active)
    assert [(one["message_id"], one["body_digest"]) for one in bench.of(PublishSeen)] == [
        ("m1", digest(b"body"))
    ] * seen
    assert [one["body_digests"] for one in bench.of(ConfirmSeen)] == [(digest(b"body"),)]
    wait_until(lambda: bench.ready() == kept, "the queue holds what the broker had")


def test_confirms_are_held(bench: Bench) -> None:
    """The broker has the message and its publisher can't know; once the fault ends it does, and all is as before."""
    bench.bind()
    publisher = bench.publisher()
    where = {"exchange": bench.name, "routing_key": "key"}
    publisher.publish(b"before", **where, message_id="m0")
    active = bench.begin("hold_confirms", bench.publisher_link)
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(publisher.publish, b"held", **where, message_id="m1")
        assert active.wait_fired(PATIENCE_S)
        wait_until(lambda: bench.ready() == 2, "the broker has it")
        assert not call.done()
        assert [one["body_digests"] for one in bench.of(ConfirmSeen)] == [(digest(b"before"),)]
        bench.publisher_link.end(active)
        assert call.result(PATIENCE_S).attempts == 1
    assert active.counts == {"held": 1}
    assert publisher.publish(b"after", **where, message_id="m2").routed
    assert bench.ready() == 3


def test_properties_are_seen_as_they_pass(bench: Bench) -> None:
    """Those that a message was given, whole; of one that was given none, what the publisher sets on its own."""
    bench.bind()
    publisher = bench.publisher()
    where = {"exchange": bench.name, "routing_key": "key"}
    given = {"priority": 3, "expiration": "60000", "type": "t", "headers": {"a": [1, True, {"b": "ü"}]}}
    publisher.publish(b"1", **where, message_id="m1", properties=given | {"timestamp": 1_700_000_000})
    publisher.publish(b"2", **where, message_id="m2", timeout=PATIENCE_S)
    first, second = (one["properties"] for one in bench.of(PublishSeen))
    assert first.items() >= (given | {"timestamp": 1_700_000_000}).items()
    assert not second.keys() & given.keys()


def test_what_the_tap_sees(bench: Bench) -> None:
    """Publishes with their properties, confirms resolved to bodies, returns before their confirms."""
    publisher = bench.publisher()
    receipt = publisher.publish(b"nobody", exchange=bench.name, routing_key="key", message_id="m1")
    assert not receipt.routed
    bench.bind()
    large = bytes(range(256)) * 2_000  # over several frames
    for number, body in enumerate((b"", large), 2):
        assert publisher.publish(body, exchange=bench.name, routing_key="key", message_id=f"m{number}").routed
    kinds = [kind for kind, _ in bench.seen]
    assert kinds == [PublishSeen, ReturnSeen, ConfirmSeen, PublishSeen, ConfirmSeen, PublishSeen, ConfirmSeen]
    bodies = [b"nobody", b"", large]
    assert [one["body_digest"] for one in bench.of(PublishSeen)] == [digest(body) for body in bodies]
    assert [one["body_digests"] for one in bench.of(ConfirmSeen)] == [(digest(body),) for body in bodies]
    assert {
        (one["exchange"], one["routing_key"], one["mandatory"], one["delivery_mode"]) for one in bench.of(PublishSeen)
    } == {(bench.name, "key", True, 2)}
    (returned,) = bench.of(ReturnSeen)
    assert (returned["message_id"], returned["body_digest"], returned["reply_text"]) == (
        "m1",
        digest(b"nobody"),
        "NO_ROUTE",
    )


def test_many_under_way_at_once(bench: Bench) -> None:
    """From many threads over several connections: every publish is seen once, and settled by one confirm."""
    bench.bind()
    publisher = bench.publisher()

    def one(number: int) -> bool:
        body = str(number).encode()
        return publisher.publish(body, exchange=bench.name, routing_key="key", message_id=f"m{number}").routed

    with ThreadPoolExecutor(16) as callers:
        assert all(callers.map(one, range(500)))
    digests = sorted(digest(str(number).encode()) for number in range(500))
    assert sorted(one["body_digest"] for one in bench.of(PublishSeen)) == digests
    assert sorted(body for one in bench.of(ConfirmSeen) for body in one["body_digests"]) == digests
    assert bench.ready() == 500


@pytest.mark.parametrize("n", [1, 3])
def test_a_confirm_that_is_lost_among_many(bench: Bench, n: int) -> None:
    """With many under way, all are confirmed in the end, and the queue has each, some twice."""
    bench.bind()
    publisher = bench.publisher()
    active = bench.begin("cut_before_confirm", bench.publisher_link, n=n, down=False)

    def one(number: int) -> bool:
        body = str(number).encode()
        return publisher.publish(body, exchange=bench.name, routing_key="key", message_id=f"m{number}").routed

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(one, range(100)))
    assert active.fired
    bench.publisher_link.end(active)
    assert active.counts == {"cut": 1}
    confirmed = {body for one in bench.of(ConfirmSeen) for body in one["body_digests"]}
    assert confirmed == {digest(str(number).encode()) for number in range(100)}
    wait_until(lambda: bench.ready() >= 101, "the one whose confirm was lost is there twice")
