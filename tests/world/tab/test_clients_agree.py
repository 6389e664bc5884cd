"""Both clients, told the same on a real broker, record the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from conformance.history.events import (
    Event,
    TabAcked,
    TabConnected,
    TabDelivered,
    TabDisconnected,
    TabHandled,
    TabRefused,
    TabSubscribed,
    digest,
)
from conformance.world.broker.base import Broker
from conformance.world.tab.base import TabBehaviour
from conformance.world.tab.clients import TAB_CLIENTS
from conformance.world.tab.played import PlayedTab

if TYPE_CHECKING:
    from tests.world.tab.conftest import MakeRecorder, MakeSettings, MemoryRecorder

pytestmark = pytest.mark.broker

KEY = "a/b.%20é"
BODIES = [b"", b"plain", "ünïcødé ✓".encode(), b"\x00\x01\x00", b"\xff\xfe", bytes(range(256)) * 1000]


class World:
    """An exchange and a tab of one client with a queue of its own, on the real broker."""

    def __init__(self, channel: BlockingChannel, name: str, tab: PlayedTab, recorder: MemoryRecorder) -> None:
        self.tab = tab
        self.recorder = recorder
        self._channel = channel
        self._name = name
        self._published = 0

    def publish(self, *bodies: bytes, persistent: bool = True) -> None:
        """Publish with confirms, under the ids m1, m2 …"""
        for body in bodies:
            self._published += 1
            properties = pika.BasicProperties(message_id=f"m{self._published}", delivery_mode=2 if persistent else 1)
            self._channel.basic_publish(self._name, KEY, body, properties, mandatory=True)

    def ready(self) -> int:
        """Messages in the queue that no tab holds."""
        return int(self._channel.queue_declare(self._name, passive=True).method.message_count)

    def told(self) -> dict[str, list[tuple[object, ...]]]:
        """What was recorded, by type; without times and the broker's own ids."""
        facts: dict[type[Event], Callable[..., tuple[object, ...]]] = {
            TabConnected: lambda event: (event.session, event.heart_beat_ms),
            TabSubscribed: lambda event: (event.session, event.binding_key),
            TabDelivered: lambda event: (
                event.session, event.message_id, event.body_digest, event.redelivered, event.persistent,
                event.routing_key, bool(event.ack_id),
            ),
            TabHandled: lambda event: (event.session, event.message_id),
            TabAcked: lambda event: (event.session, event.message_id),
            TabRefused: lambda event: (event.session, event.during, event.detail),
            TabDisconnected: lambda event: (event.session, event.reason),
        }  # fmt: skip
        return {
            kind.type: [describe(event) for event in self.recorder.events if isinstance(event, kind)]
            for kind, describe in facts.items()
        }


Play = Callable[[World], None]
Compare = Callable[..., list[dict[str, list[tuple[object, ...]]]]]


@pytest.fixture
def play_both(
    broker: Broker, namespace: str, make_recorder: MakeRecorder, make_settings: MakeSettings
) -> Iterator[Compare]:
    """Plays the same with each client and gives what each recorded."""
    amqp = urlsplit(broker.addresses.amqp)
    connection = pika.BlockingConnection(pika.URLParameters(broker.addresses.amqp))
    channel = connection.channel()
    channel.confirm_delivery()
    names = [f"tabs-{namespace}-{client}" for client in TAB_CLIENTS]

    def play(
        script: Play, *, ack: str = "client-individual", prefetch: int = 50, refused: bool = False, **changes: object
    ) -> object:
        told = []
        for name, tab_class in zip(names, TAB_CLIENTS.values(), strict=True):
            channel.exchange_declare(name, "topic", durable=True)
            settings = make_settings(
                broker.addresses.web_stomp,
                tab=name,
                login=unquote(amqp.username or "guest"),
                passcode=unquote(amqp.password or "guest"),
                vhost=unquote(amqp.path[1:]) or "/",
                destination=f"/exchange/{name}/{KEY.replace('/', '%2F')}",
                subscribe_headers={
                    "ack": ack,
                    "x-queue-name": name,
                    "durable": "true",
                    "auto-delete": "false",
                    "exclusive": "false",
                    "x-expires": "600000",
                    "prefetch-count": str(prefetch),
                },
                ack=ack,
                queue=name,
                exchange=name,
                binding_key=KEY,
                heart_beat_s=10.0,
            )
            settings = replace(settings, **changes)  # type: ignore[arg-type]
            recorder = make_recorder()
            tab = tab_class(settings, recorder)
            tab.open()
            try:
                assert refused or tab.wait_subscribed(10)
                script(World(channel, name, tab, recorder))
                told.append(World(channel, name, tab, recorder).told())
            finally:
                tab.close()
        return told

    yield play  # type: ignore[misc]
    for name in names:
        channel.queue_delete(name)
        channel.exchange_delete(name)
    connection.close()


def test_bodies_and_what_is_told_of_them(play_both: Compare) -> None:
    """Every kind of body, a persistent and a transient message: the same facts, and all of it acked at the end."""

    def script(world: World) -> None:
        world.publish(*BODIES)
        world.publish(b"transient", persistent=False)
        world.recorder.wait(TabAcked, len(BODIES) + 1)
        world.tab.leave()
        assert world.ready() == 0

    ours, theirs = play_both(script)
    assert ours == theirs
    assert ours["tab_connected"] == [(1, (10_000, 10_000))]
    assert ours["tab_delivered"] == [
        *((1, f"m{n}", digest(body), False, True, KEY, True) for n, body in enumerate(BODIES, 1)),
        (1, "m7", digest(b"transient"), False, False, KEY, True),
    ]
    assert ours["tab_acked"] == ours["tab_handled"] == [(1, f"m{n}") for n in range(1, 8)]
    assert ours["tab_disconnected"] == [(1, "left")]


def test_withheld_acks_and_a_reload(play_both: Compare) -> None:
    """What was handled and not acked is redelivered to the next session, marked as such, and acked there."""

    def script(world: World) -> None:
        world.tab.behave(TabBehaviour(withhold_acks=True))
        world.publish(b"1", b"2")
        world.recorder.wait(TabHandled, 2)
        world.tab.reload()
        world.recorder.wait(TabHandled, 2, session=2)
        assert world.recorder.of(TabAcked) == []
        world.tab.behave(TabBehaviour())
        world.recorder.wait(TabAcked, 2)
        world.tab.leave()
        assert world.ready() == 0

    ours, theirs = play_both(script)
    assert ours == theirs
    assert [facts[:4:3] for facts in ours["tab_delivered"]] == [(1, False), (1, False), (2, True), (2, True)]
    assert ours["tab_acked"] == [(2, "m1"), (2, "m2")]
    assert ours["tab_disconnected"] == [(1, "reload"), (2, "left")]


def test_while_away(play_both: Compare) -> None:
    """What is published while the tab has left comes, not redelivered, when it is back."""

    def script(world: World) -> None:
        world.tab.leave()
        world.publish(b"1", b"2", b"3")
        assert world.ready() == 3
        world.tab.open()
        world.recorder.wait(TabAcked, 3)
        world.tab.leave()
        assert world.ready() == 0

    ours, theirs = play_both(script)
    assert ours == theirs
    assert [facts[:4:3] for facts in ours["tab_delivered"]] == [(2, False)] * 3


@pytest.mark.parametrize("ack", ["client-individual", "client"])
def test_prefetch(play_both: Compare, ack: str) -> None:
    """With a prefetch of 2 and nothing handled, two messages arrive and the others wait; then all come."""

    def script(world: World) -> None:
        world.tab.behave(TabBehaviour(withhold_handling=True))
        world.publish(*(b"%d" % n for n in range(6)))
        world.recorder.wait(TabDelivered, 2)
        assert world.ready() == 4
        assert len(world.recorder.of(TabDelivered)) == 2
        world.tab.behave(TabBehaviour())
        world.recorder.wait(TabAcked, 6)
        world.tab.leave()
        assert world.ready() == 0

    ours, theirs = play_both(script, ack=ack, prefetch=2)
    assert ours == theirs
    assert ours["tab_acked"] == [(1, f"m{n}") for n in range(1, 7)]


def test_auto(play_both: Compare) -> None:
    """Without acks, messages come without an ack id and nothing is acked."""

    def script(world: World) -> None:
        world.publish(b"1", b"2")
        world.recorder.wait(TabHandled, 2)
        world.tab.leave()
        assert world.ready() == 0

    ours, theirs = play_both(script, ack="auto")
    assert ours == theirs
    assert [facts[-1] for facts in ours["tab_delivered"]] == [False, False]
    assert ours["tab_acked"] == []


def test_a_duplicated_tab(play_both: Compare) -> None:
    """Two pages with one id share the queue: each message goes to one of them."""

    def script(world: World) -> None:
        world.tab.duplicate()
        world.recorder.wait(TabSubscribed, 2)
        world.publish(*(b"%d" % n for n in range(20)))
        world.recorder.wait(TabAcked, 20)
        world.tab.leave()
        assert world.ready() == 0

    for told in play_both(script, prefetch=1):
        assert sorted(str(facts[1]) for facts in told["tab_delivered"]) == sorted(f"m{n}" for n in range(1, 21))
        assert {facts[0] for facts in told["tab_delivered"]} == {1, 2}
        assert sorted(told["tab_disconnected"]) == [(1, "left"), (2, "left")]


def test_refusals(play_both: Compare) -> None:
    """A wrong password and a missing exchange are refused in the same words."""

    def script(world: World) -> None:
        world.recorder.wait(TabRefused, 2)
        world.tab.leave()

    ours, theirs = play_both(script, refused=True, passcode="wrong")
    assert ours["tab_refused"][0] == theirs["tab_refused"][0]
    assert ours["tab_refused"][0][1] == "connect"
    assert "Bad CONNECT" in str(ours["tab_refused"][0][2])
    ours, theirs = play_both(script, refused=True, destination="/exchange/there-is-none/x")
    assert ours["tab_refused"][0] == theirs["tab_refused"][0]
    assert ours["tab_refused"][0][1] == "subscribe"
    assert ours["tab_disconnected"][0] == (1, ours["tab_refused"][0][2])


def test_heart_beats_keep_a_quiet_tab(play_both: Compare) -> None:
    """With heart-beats every two seconds, a tab to which nothing comes outstays the broker's patience."""

    def script(world: World) -> None:
        assert not world.recorder.appears(TabDisconnected, within_s=5.0)
        world.publish(b"1")
        world.recorder.wait(TabAcked)

    ours, theirs = play_both(script, heart_beat_s=2.0)
    assert ours == theirs
