"""What a page does with its sessions and messages, seen from a broker that does what the test tells it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from conformance.errors import HarnessError, UsageError
from conformance.history.events import (
    TabAcked,
    TabClosed,
    TabConnected,
    TabDelivered,
    TabDisconnected,
    TabHandled,
    TabOpened,
    TabRefused,
    TabSubscribed,
    digest,
)
from conformance.stomp.frames import Frame
from conformance.world.tab import played
from conformance.world.tab.base import TabBehaviour

if TYPE_CHECKING:
    from tests.world.tab.conftest import FakeBroker, MakeTab, MemoryRecorder, Peer


def steady(peer: Peer) -> None:
    """Accept the tab and be content."""
    peer.subscribe()
    peer.until_gone()


def closing(peer: Peer) -> None:
    """Close the connection before the tab can say anything."""
    peer.reset()


def sending(*bodies: bytes) -> Callable[[Peer], None]:
    """Accept the tab and send messages with ids and ack ids m1, m2 …"""

    def script(peer: Peer) -> None:
        peer.subscribe()
        for number, body in enumerate(bodies, 1):
            peer.message(body, ack=f"m{number}", message_id=f"m{number}")
        peer.until_gone()

    return script


def kinds(recorder: MemoryRecorder) -> list[str]:
    """The types of all events, in order."""
    return [event.type for event in recorder.events]


def acks(peer: Peer) -> list[str | None]:
    """The ids of the ACK frames that the broker got."""
    return [frame.get("id") for frame in peer.frames if frame.command == "ACK"]


def test_a_whole_life(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, client: str) -> None:
    """Opened, connected, subscribed, delivered, handled, acked, disconnected, closed: in this order, with the facts."""
    fake.scripts = [sending(b"one")]
    tab = make_tab()
    assert not tab.subscribed
    tab.open()
    assert tab.wait_subscribed(10)
    recorder.wait(TabAcked)
    tab.leave()
    tab.close()
    assert kinds(recorder) == [
        "tab_opened", "tab_connected", "tab_subscribed", "tab_delivered", "tab_handled", "tab_acked",
        "tab_disconnected", "tab_closed",
    ]  # fmt: skip
    assert recorder.of(TabOpened)[0].client == tab.client == client
    (subscribed,) = recorder.of(TabSubscribed)
    assert (subscribed.queue, subscribed.exchange, subscribed.binding_key) == ("q", "ex", "a.#")
    (delivered,) = recorder.of(TabDelivered)
    assert (delivered.message_id, delivered.ack_id, delivered.routing_key) == ("m1", "m1", "a.b")
    assert delivered.body_digest == digest(b"one")
    assert recorder.of(TabDisconnected)[0].reason == "left"


def test_what_the_tab_sends(fake: FakeBroker, make_tab: MakeTab) -> None:
    """CONNECT and SUBSCRIBE with the contract's headers, then DISCONNECT with a receipt, and never UNSUBSCRIBE."""
    fake.scripts = [steady]
    tab = make_tab(
        login="me",
        passcode="a:b\\c",
        vhost="v",
        heart_beat_s=10.0,
        subscribe_headers={"ack": "client-individual", "x-queue-name": "q:1", "durable": "true"},
    )
    tab.open()
    assert tab.wait_subscribed(10)
    tab.leave()
    connect, subscribe, disconnect = fake.peers[0].frames
    assert connect.command == "CONNECT"
    assert dict(connect.headers) == {
        "accept-version": "1.2", "host": "v", "login": "me", "passcode": "a:b\\c", "heart-beat": "10000,10000"
    }  # fmt: skip
    assert subscribe.command == "SUBSCRIBE"
    assert dict(subscribe.headers) == {
        "id": "t1", "destination": "/exchange/ex/a.#", "receipt": "subscribed", "ack": "client-individual",
        "x-queue-name": "q:1", "durable": "true",
    }  # fmt: skip
    assert disconnect == Frame("DISCONNECT", (("receipt", "left"),))


def test_messages_may_come_before_the_receipt(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """What waited in the queue arrives first: it is handled, and the tab is not subscribed by it."""

    def script(peer: Peer) -> None:
        peer.connect()
        subscribe = peer.receive("SUBSCRIBE")
        peer.message(b"early", ack="m1", message_id="m1")
        peer.receive("ACK")
        peer.receipt(subscribe)
        peer.until_gone()

    fake.scripts = [script]
    make_tab().open()
    recorder.wait(TabSubscribed)
    recorder.wait(TabAcked)
    # The ACK is written in one thread and the receipt that follows on it read in another: either may be recorded first.
    seen = kinds(recorder)[2:]
    assert seen[:2] == ["tab_delivered", "tab_handled"]
    assert sorted(seen[2:]) == ["tab_acked", "tab_subscribed"]


BODIES = [b"", b"plain", "ünïcødé ✓\r\n".encode(), b"\x00\x01\x00", b"\xff\xfe binary", bytes(range(256)) * 400]


def test_bodies_arrive_to_the_byte(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """Empty, Unicode, NULs, no UTF-8 in a text frame, large."""
    fake.scripts = [sending(*BODIES)]
    tab = make_tab()
    tab.open()
    delivered = recorder.wait(TabDelivered, len(BODIES))
    assert [event.body_digest for event in delivered] == [digest(body) for body in BODIES]
    recorder.wait(TabAcked, len(BODIES))
    tab.leave()
    assert acks(fake.peers[0]) == [f"m{number}" for number in range(1, len(BODIES) + 1)]


def test_a_websocket_message_is_no_frame(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """Frames in one WebSocket message, a frame over several, fragments, a ping between: the same messages come."""

    def script(peer: Peer) -> None:
        peer.subscribe()
        first, second, third, fourth = (
            peer.message_frame(b"body %d" % n, ack=f"m{n}", message_id=f"m{n}") for n in (1, 2, 3, 4)
        )
        peer.send(first + second)
        peer.send(third[:30])
        peer.send(b"ping", opcode=9)
        peer.send(third[30:])
        peer.send(fourth[:20], fin=False)
        peer.send(fourth[20:], opcode=0)
        peer.until_gone()

    fake.scripts = [script]
    make_tab().open()
    assert [event.message_id for event in recorder.wait(TabAcked, 4)] == ["m1", "m2", "m3", "m4"]


@pytest.mark.parametrize("ack", ["client-individual", "client"])
def test_each_message_is_acked(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, ack: str) -> None:
    """One ACK each, in order, with the MESSAGE's ack header."""
    fake.scripts = [sending(b"1", b"2", b"3")]
    tab = make_tab(ack=ack)
    tab.open()
    assert [event.ack_id for event in recorder.wait(TabAcked, 3)] == ["m1", "m2", "m3"]
    tab.leave()
    assert acks(fake.peers[0]) == ["m1", "m2", "m3"]


def test_auto_is_not_acked(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """With ``ack: auto`` messages are handled and no ACK is sent."""
    fake.scripts = [sending(b"1", b"2")]
    tab = make_tab(ack="auto")
    tab.open()
    recorder.wait(TabHandled, 2)
    tab.leave()
    assert acks(fake.peers[0]) == []
    assert recorder.of(TabAcked) == []


def test_withheld_acks_are_sent_when_told(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """Handled without ACKs; then all of them, in order."""
    fake.scripts = [sending(b"1", b"2")]
    tab = make_tab(behaviour=TabBehaviour(withhold_acks=True))
    tab.open()
    recorder.wait(TabHandled, 2)
    assert recorder.of(TabAcked) == []
    tab.behave(TabBehaviour())
    assert [event.ack_id for event in recorder.wait(TabAcked, 2)] == ["m1", "m2"]
    tab.leave()
    assert acks(fake.peers[0]) == ["m1", "m2"]


def test_acks_of_a_lost_session_are_never_sent(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """The link is cut with acks withheld: the page forgets them, and acks only what the new session brings."""

    def cut(peer: Peer) -> None:
        sending_two(peer)
        peer.reset()

    def sending_two(peer: Peer) -> None:
        peer.subscribe()
        peer.message(b"1", ack="old-1", message_id="m1")
        peer.message(b"2", ack="old-2", message_id="m2")
        recorder.wait(TabHandled, 2)

    def again(peer: Peer) -> None:
        peer.subscribe()
        peer.message(b"1", ack="new-1", message_id="m1", redelivered="true")
        peer.until_gone()

    fake.scripts = [cut, again]
    tab = make_tab(behaviour=TabBehaviour(withhold_acks=True))
    tab.open()
    (redelivered,) = recorder.wait(TabDelivered, 1, session=2)
    assert redelivered.redelivered
    recorder.wait(TabHandled, 1, session=2)
    tab.behave(TabBehaviour())
    (acked,) = recorder.wait(TabAcked)
    assert (acked.session, acked.ack_id) == (2, "new-1")
    tab.leave()
    assert acks(fake.peers[1]) == ["new-1"]
    assert len(recorder.of(TabAcked)) == 1


def test_a_slow_page_goes_on_reading(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """While it takes its time for the first message, the others arrive; what it has not handled is forgotten."""
    fake.scripts = [sending(b"1", b"2", b"3"), steady]
    tab = make_tab(behaviour=TabBehaviour(delay_s=60.0))
    tab.open()
    recorder.wait(TabDelivered, 3)
    assert recorder.of(TabHandled) == []
    tab.reload()
    recorder.wait(TabSubscribed, 2)
    tab.behave(TabBehaviour())
    tab.leave()
    assert recorder.of(TabHandled) == recorder.of(TabAcked) == []


def test_a_slow_page_takes_its_time(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """Each message is handled and acked ``delay_s`` after the one before."""
    fake.scripts = [sending(b"1", b"2")]
    make_tab(behaviour=TabBehaviour(delay_s=0.15)).open()
    recorder.wait(TabAcked, 2)
    first, second = recorder.of(TabHandled)
    assert (first.time_ns - recorder.of(TabDelivered)[0].time_ns) / 1e9 >= 0.14
    assert (second.time_ns - first.time_ns) / 1e9 >= 0.14


def test_a_page_that_acks_first(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """The broken page acks on arrival, and what a cut makes it forget is never handled."""
    fake.scripts = [sending(b"1", b"2"), steady]
    tab = make_tab(behaviour=TabBehaviour(ack_first=True, delay_s=60.0))
    tab.open()
    recorder.wait(TabAcked, 2)
    tab.reload()
    recorder.wait(TabSubscribed, 2)
    assert recorder.of(TabHandled) == []


def test_pages_that_never_ack_or_drop(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """The other broken pages."""
    fake.scripts = [sending(b"1", b"2", b"3", b"4")]
    dropping, silent = make_tab(behaviour=TabBehaviour(drop_every=2)), make_tab(behaviour=TabBehaviour(never_ack=True))
    dropping.open()
    recorder.wait(TabAcked, 4)
    assert [event.message_id for event in recorder.of(TabHandled)] == ["m1", "m3"]
    dropping.close()
    silent.open()
    recorder.wait(TabHandled, 6)
    silent.leave()
    assert acks(fake.peers[1]) == []


def test_reload(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """The socket goes without DISCONNECT; the old session is over at once, the next one connects without delay."""
    fake.scripts = [steady]
    tab = make_tab(reconnect_first_s=60.0, reconnect_most_s=60.0)
    tab.open()
    assert tab.wait_subscribed(10)
    tab.reload()
    assert [event.reason for event in recorder.of(TabDisconnected)] == ["reload"]
    recorder.wait(TabSubscribed, 1, session=2)
    assert [frame.command for frame in fake.peers[0].frames] == ["CONNECT", "SUBSCRIBE"]


def test_reload_ends_a_long_wait(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """A page that waits before its next attempt connects at once when it is reloaded."""
    fake.scripts = [closing, steady]
    tab = make_tab(reconnect_first_s=600.0, reconnect_most_s=600.0)
    tab.open()
    recorder.wait(TabRefused)
    tab.reload()
    assert tab.wait_subscribed(10)


def test_duplicate(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """A second page with the same id: a session of its own beside the first, ended by the same leave."""
    fake.scripts = [steady]
    tab = make_tab()
    tab.open()
    assert tab.wait_subscribed(10)
    tab.duplicate()
    recorder.wait(TabSubscribed, 1, session=2)
    assert [peer.frames[1].get("x-queue-name") for peer in fake.peers] == ["q", "q"]
    tab.leave()
    assert not tab.subscribed
    assert {(event.session, event.reason) for event in recorder.of(TabDisconnected)} == {(1, "left"), (2, "left")}
    assert len(recorder.of(TabOpened)) == 1


def test_leave_and_come_back(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, tab_threads: Callable[[], list[str]]
) -> None:
    """After ``leave`` no thread is there, and ``open`` brings the same page id back with its next session."""
    fake.scripts = [steady]
    tab = make_tab()
    tab.open()
    assert tab.wait_subscribed(10)
    tab.open()
    tab.leave()
    tab.leave()
    assert tab_threads() == []
    assert not tab.wait_subscribed(0)
    tab.open()
    assert tab.wait_subscribed(10)
    assert [event.session for event in recorder.of(TabConnected)] == [1, 2]
    assert len(recorder.of(TabOpened)) == 1
    assert recorder.of(TabClosed) == []


def test_leave_does_not_wait_for_ever(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that does not answer DISCONNECT is left all the same."""
    monkeypatch.setattr(played, "_LEAVE_S", 2.0)
    goodbye = threading.Event()

    def deaf(peer: Peer) -> None:
        peer.subscribe()
        peer.receive("DISCONNECT")
        goodbye.set()
        while True:
            peer.read()

    fake.scripts = [deaf]
    tab = make_tab()
    tab.open()
    assert tab.wait_subscribed(10)
    tab.leave()
    assert recorder.of(TabDisconnected)[0].reason == "left"
    assert goodbye.wait(30)


def test_leave_while_connecting_is_quick(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody to say goodbye to: no wait for a receipt, no refusal, no TabDisconnected."""
    monkeypatch.setattr(played, "_LEAVE_S", 60.0)
    accepted = threading.Event()

    def mute(peer: Peer) -> None:
        peer.accept()
        peer.receive("CONNECT")
        accepted.set()
        peer.until_gone()

    fake.scripts = [mute]
    tab = make_tab()
    tab.open()
    assert accepted.wait(10)
    began = time.monotonic()
    tab.leave()
    assert time.monotonic() - began < 30.0
    assert kinds(recorder) == ["tab_opened"]


def test_a_message_after_disconnect_is_delivered_and_not_handled(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder
) -> None:
    """Between DISCONNECT and its receipt the page has gone already: the broker will redeliver what comes then."""

    def script(peer: Peer) -> None:
        peer.subscribe()
        goodbye = peer.receive("DISCONNECT")
        peer.message(b"late", ack="m1", message_id="m1")
        peer.receipt(goodbye)
        peer.until_gone()

    fake.scripts = [script]
    tab = make_tab()
    tab.open()
    assert tab.wait_subscribed(10)
    tab.leave()
    assert kinds(recorder)[3:] == ["tab_delivered", "tab_disconnected"]


def test_close(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, tab_threads: Callable[[], list[str]]
) -> None:
    """TabClosed, then the socket goes without DISCONNECT; once, and for good."""
    fake.scripts = [steady]
    tab = make_tab()
    tab.open()
    assert tab.wait_subscribed(10)
    tab.close()
    tab.close()
    assert kinds(recorder)[-2:] == ["tab_closed", "tab_disconnected"]
    assert tab_threads() == []
    assert fake.peers[0].frames[-1].command == "SUBSCRIBE"
    for call in (tab.open, tab.duplicate):
        with pytest.raises(HarnessError, match="closed for good"):
            call()
    tab.reload()
    tab.leave()
    tab.behave(TabBehaviour())
    assert len(recorder.of(TabClosed)) == len(recorder.of(TabOpened)) == 1


def test_nothing_follows_the_end_of_a_session(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """With messages pouring in, nothing of a session stands after its TabDisconnected, reload after reload."""

    def pouring(peer: Peer) -> None:
        peer.subscribe()
        for number in range(100_000):
            peer.message(b"x", ack=f"m{number}", message_id=f"m{number}")

    fake.scripts = [pouring]
    tab = make_tab()
    tab.open()
    for session in range(1, 6):
        recorder.wait(TabAcked, 20, session=session)
        tab.reload()
    tab.close()
    over: set[int] = set()
    for event in recorder.events:
        session_number = getattr(event, "session", None)
        assert session_number not in over, event
        if isinstance(event, TabDisconnected):
            over.add(event.session)
    assert {1, 2, 3, 4, 5} <= over


def test_many_threads(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """Every method from many threads at once: nothing raises, nothing hangs, and the end is clean."""
    fake.scripts = [sending(b"1", b"2")]
    tab = make_tab()
    tab.open()
    calls = [tab.reload, tab.duplicate, tab.leave, tab.open, lambda: tab.behave(TabBehaviour(delay_s=0.001))]
    failures: list[BaseException] = []

    def play(first: int) -> None:
        try:
            for number in range(15):
                calls[(first + number) % len(calls)]()
        except BaseException as exc:  # noqa: BLE001 - shown below
            failures.append(exc)

    threads = [threading.Thread(target=play, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tab.close()
    assert failures == []
    assert len(recorder.of(TabOpened)) == len(recorder.of(TabClosed)) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"login": "a\nb"}, "tab.login"),
        ({"subscribe_headers": {"a": "\x00"}}, "tab.headers"),
        ({"destination": "/exchange/\ud800"}, "tab.destination"),
    ],
)
def test_settings_that_can_never_work_are_refused(make_tab: MakeTab, changes: dict[str, object], field: str) -> None:
    """What would fail at every attempt is the user's mistake, told before the first one."""
    with pytest.raises(UsageError) as caught:
        make_tab(**changes)
    assert caught.value.field == field
