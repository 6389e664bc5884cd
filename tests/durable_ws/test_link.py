"""One connection over its reconnects, before a broker that is only played: hosts, pauses, refusals, declarations."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import body, commands, header

from durable_ws import Exchange, Health, NotSent, OutcomeUnknown, Publisher, Refused, Unroutable
from durable_ws.observe import Blocked, Connected, Disconnected, Unblocked
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker, Frame, Talk
from tests.durable_ws.observers import Notebook, Outcomes, log_is_written

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Wait

Make = Callable[..., Publisher]

LONG_S = 1000.0


@pytest.fixture
def make() -> Iterator[Make]:
    """Make publishers, which are closed in the end."""
    made: list[Publisher] = []

    def make(url: str, exchanges: Any = None, **options: Any) -> Publisher:
        options = {"timeout": WAIT_S, "reconnect_first_s": 0.01, "reconnect_most_s": 0.05, **options}
        made.append(Publisher(url, exchanges or {"pubsub": Exchange("x")}, **options))
        return made[-1]

    yield make
    for publisher in made:
        publisher._close_timeout_s = 0.0
        publisher.close()


class Once:
    """An answer of a broker that is given once, and the usual one afterwards."""

    def __init__(self, kind: type[Any], answer: Callable[[Talk, int], object], times: int = 1) -> None:
        self._kind = kind
        self._answer = answer
        self._left = times

    def __call__(self, talk: Talk, channel: int, one: Frame) -> bool:
        """See FakeBroker."""
        if not isinstance(one, self._kind) or not self._left:
            return False
        self._left -= 1
        self._answer(talk, channel)
        return True


def closes(code: int, text: str, class_id: int = 0, method_id: int = 0) -> Callable[[Talk, int], object]:
    """The broker closes the connection."""
    return lambda talk, _: talk.say(0, commands.Connection.Close(code, text, class_id, method_id))


def closes_channel(code: int, text: str) -> Callable[[Talk, int], object]:
    """The broker closes the channel."""
    return lambda talk, channel: talk.say(channel, commands.Channel.Close(code, text, 60, 40))


def told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The warnings of the connections' log."""
    return [one for one in caplog.records if one.name == "durable_ws.connection" and one.levelno > logging.INFO]


def pauses(caplog: pytest.LogCaptureFixture) -> list[tuple[int, float]]:
    """Each pause before another attempt to connect: its number, and how long it is."""
    records: list[Any] = [one for one in caplog.records if one.name == "durable_ws.connection"]
    return [(record.attempt, record.pause_s) for record in records if record.event == "pause"]


@pytest.fixture
def no_chance(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Nothing is taken off a pause; what would be drawn is noted."""
    drawn: list[tuple[float, float]] = []
    monkeypatch.setattr("durable_ws.link.random.uniform", lambda *limits: (drawn.append(limits), limits[1])[1])
    return drawn


# --- connecting -----------------------------------------------------------------------------------


def test_pauses_grow_and_are_short_again_after_a_success(
    make: Make, caplog: pytest.LogCaptureFixture, no_chance: list[tuple[float, float]], wait: Wait
) -> None:
    """Doubled each time up to the most; a random part of up to a half is taken off; a connection resets it."""
    answer = Once(commands.Connection.Open, lambda talk, _: talk.hang_up(), times=5)
    with FakeBroker(answer) as broker, caplog.at_level(logging.INFO, "durable_ws.connection"):
        publisher = make(broker.url)
        assert publisher.publish("a").attempts == 1
        assert log_is_written(publisher)
        assert pauses(caplog) == [(1, 0.01), (2, 0.02), (3, 0.04), (4, 0.05), (5, 0.05)]
        assert set(no_chance) == {(0.5, 1.0)}
        caplog.clear()
        broker.talks[-1].hang_up()
        wait(lambda: not publisher.health().connections, "the end is seen")
        assert publisher.publish("b").attempts == 1
        assert log_is_written(publisher)
        assert pauses(caplog) == [(1, 0.01)]


def test_each_host_before_each_pause(
    make: Make, closed_port: int, caplog: pytest.LogCaptureFixture, no_chance: list[tuple[float, float]]
) -> None:
    """All are tried in turn, at once one after the other; then comes the pause, which grows by the round."""
    notes = Notebook()
    with FakeBroker() as broker, caplog.at_level(logging.INFO, "durable_ws.connection"):
        broker.answer = Once(commands.Connection.Open, lambda talk, _: talk.hang_up(), times=3)
        hosts = f"127.0.0.1:{closed_port},localhost:{broker.port},localhost:{broker.port}"
        publisher = make(f"amqp://guest:guest@{hosts}", observer=notes)
        assert publisher.publish("a").attempts == 1
        assert log_is_written(publisher)
        assert pauses(caplog) == [(3, 0.01)]
        assert [fact.port == closed_port for fact in notes.of(Disconnected)] == [True, False, False, True, False]
        assert notes.of(Connected) == [Connected(host="localhost", port=broker.port)]
    assert len(no_chance) == 1


def test_a_pause_is_kept(make: Make, no_chance: list[tuple[float, float]], wait: Wait) -> None:
    """Nobody connects in it, and close does not wait for its end."""
    with FakeBroker(Once(commands.Connection.Open, lambda talk, _: talk.hang_up())) as broker:
        publisher = make(broker.url, reconnect_first_s=LONG_S, reconnect_most_s=LONG_S)
        publisher.submit("a", timeout=LONG_S)
        wait(lambda: publisher.health().trouble, "the attempt has ended")
        with pytest.raises(NotSent, match=r"the deadline passed without a connection \(can't connect: .*peer closed"):
            publisher.publish("b", timeout=0.1)
        assert len(broker.talks) == 1
        waits = publisher.submit("c", timeout=LONG_S)
        publisher._close_timeout_s = 0.0
        closing = threading.Thread(target=publisher.close, daemon=True)
        closing.start()
        closing.join(WAIT_S)
        assert not closing.is_alive()
        with pytest.raises(NotSent, match="the publisher was closed"):
            waits.result(0)
    assert len(no_chance) == 1


def test_nobody_connects_for_nothing(make: Make, caplog: pytest.LogCaptureFixture, wait: Wait) -> None:
    """A connection that is lost while nothing is under way is made anew with the next message."""
    notes = Notebook()
    with FakeBroker() as broker, caplog.at_level(logging.INFO, "durable_ws.connection"):
        publisher = make(broker.url, observer=notes, reconnect_first_s=0.001, reconnect_most_s=0.001)
        publisher.publish("a")
        broker.talks[0].hang_up()
        pool = publisher._pool
        assert pool is not None
        wait(lambda: notes.of(Disconnected), "the end is seen")
        assert not publisher.health().connections

        def look() -> bool:
            """On the I/O thread, which is not amid the end then."""
            told: Future[bool] = Future()
            pool._loop.call_soon_threadsafe(lambda: told.set_result(pool._links[0]._retry is None))
            return told.result(WAIT_S)

        wait(look, "the pause is over")
        assert pool._links[0]._connection is None
        assert len(broker.talks) == 1
        assert publisher.publish("b").attempts == 1
        assert len(broker.talks) == 2


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"),
        (541, "INTERNAL_ERROR"),
        (530, "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is reached"),
    ],
)
def test_a_connection_that_is_refused_for_now(make: Make, code: int, text: str) -> None:
    """It is tried again; meanwhile the trouble is told in the broker's words."""
    notes = Notebook()
    with FakeBroker(Once(commands.Connection.Open, closes(code, text))) as broker:
        publisher = make(broker.url, observer=notes)
        assert publisher.publish("a").attempts == 1
        reason = f"the broker closed the connection: ({code}) {text}"
        assert publisher.health().trouble == reason
        assert notes.of(Disconnected) == [
            Disconnected(host="localhost", port=broker.port, reason=reason, opened=False, in_order=False)
        ]
        assert broker.talks[0].ended.wait(WAIT_S)
        assert len(broker.talks[0].of(commands.Connection.CloseOk)) == 1


def test_a_connection_that_is_refused_for_good(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """All that waits is told at once; the next message tries again, and it may be mended by then."""
    refusal = closes(530, "NOT_ALLOWED - vhost no not found.")
    with FakeBroker(Once(commands.Connection.Open, refusal, times=2)) as broker:
        publisher = make(broker.url, max_connections=1)
        with caplog.at_level(logging.INFO, "durable_ws.connection"):
            for _ in range(2):
                with pytest.raises(Refused) as caught:
                    publisher.publish("a")
                assert (
                    caught.value.detail == "the broker refused the connection: (530) NOT_ALLOWED - vhost no not found"
                )
                assert caught.value.attempts == 0
        assert publisher.publish("b").attempts == 1


def test_a_login_that_is_refused_does_not_make_the_pauses_longer(
    make: Make, caplog: pytest.LogCaptureFixture, no_chance: list[tuple[float, float]]
) -> None:
    """Who is told at once need not wait longer each time."""
    with FakeBroker(mechanisms="EXTERNAL") as broker, caplog.at_level(logging.INFO, "durable_ws.connection"):
        publisher = make(broker.url)
        for _ in range(3):
            with pytest.raises(Refused, match="no PLAIN login"):
                publisher.publish("a")
        assert log_is_written(publisher)
    assert {pause for _, pause in pauses(caplog)} == {0.01}
    assert no_chance


def test_an_open_connection_that_is_closed_for_now(make: Make) -> None:
    """As by a broker that stops: what was unconfirmed is published again, on another connection."""
    text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    with FakeBroker(Once(commands.Basic.Publish, closes(320, text))) as broker:
        publisher = make(broker.url)
        assert publisher.publish("a").attempts == 2
        assert publisher.health().trouble == f"the broker closed the connection: (320) {text}"
        assert len(broker.talks) == 2


def test_an_open_connection_that_is_closed_for_a_message(make: Make) -> None:
    """The message is tried once more, alone, and is then the culprit; those beside it are confirmed."""

    def refuse(talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Basic.Publish) and one.routing_key == "bad":
            talk.say(0, commands.Connection.Close(505, "UNEXPECTED_FRAME - type 3", 60, 40))
            return True
        return False

    with FakeBroker(refuse) as broker:
        publisher = make(broker.url)
        with pytest.raises(Refused, match=r"the broker closed the connection: \(505\) UNEXPECTED_FRAME - type 3"):
            publisher.publish("a", routing_key="bad")
        assert publisher.publish("a", routing_key="good").attempts == 1


# --- channels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [506, 541])
def test_a_channel_that_is_closed_for_now(make: Make, code: int) -> None:
    """The connection is begun anew, after the pause, and the message published again."""
    notes = Notebook()
    with FakeBroker(Once(commands.Basic.Publish, closes_channel(code, "RESOURCE_ERROR."))) as broker:
        publisher = make(broker.url, observer=notes)
        assert publisher.publish("a").attempts == 2
        assert len(broker.talks) == 2
        reason = f"the broker closed the channel: ({code}) RESOURCE_ERROR"
        assert publisher.health().trouble == reason
        assert [fact.reason for fact in notes.of(Disconnected)] == [reason]
        assert len(notes.of(Connected)) == 2


def test_a_channel_that_is_closed_for_a_message(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The channel is opened again on the same connection; the log tells why, and nobody that it was connected."""
    notes = Notebook()
    with FakeBroker(Once(commands.Basic.Publish, closes_channel(406, "PRECONDITION_FAILED - no."))) as broker:
        publisher = make(broker.url, observer=notes)
        assert publisher.publish("a").attempts == 2
        assert len(broker.talks) == 1
        assert publisher.health().trouble is None
        assert publisher.health().connections == 1
        assert len(notes.of(Connected)) == 1
        assert notes.of(Disconnected) == []
        assert log_is_written(publisher)
        (record,) = told(caplog)
        said = "the broker closed the channel: (406) PRECONDITION_FAILED - no"
        assert record.getMessage() == f"localhost:{broker.port}: {said}"
    assert (record.event, record.reason) == ("channel_closed", said)


def test_a_channel_that_is_closed_amid_a_declaration(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The one has nothing to do with the other: neither the log nor a message says that the exchange was refused."""
    held: list[Talk] = []

    def hold(talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Exchange.Declare) and one.exchange == "slow":
            held.append(talk)
            return True
        return False

    with FakeBroker(hold) as broker:
        publisher = make(broker.url, {"slow": Exchange("slow"), "good": Exchange("good")}, max_connections=1)
        assert publisher.publish("a", to="good").attempts == 1
        slow = publisher.submit("a", to="slow")
        broker.wait(lambda: held, "it is declared")
        broker.talks[0].say(1, commands.Channel.Close(406, "PRECONDITION_FAILED - no", 60, 40))
        broker.wait(lambda: len(broker.of(commands.Confirm.Select)) == 2, "the channel is opened again")
        held[0].say(2, commands.Exchange.DeclareOk())
        assert slow.result(WAIT_S).attempts == 1
        assert log_is_written(publisher)
        assert [record.event for record in told(caplog)] == ["channel_closed"]


def test_while_there_is_no_channel(make: Make, wait: Wait) -> None:
    """It is no connection that can be published on, and a message at its deadline is told why."""
    with FakeBroker() as broker:
        publisher = make(broker.url)
        publisher.publish("a")
        assert publisher.health().connections == 1

        def close_and_hold(talk: Talk, channel: int, one: Frame) -> bool:
            if isinstance(one, commands.Basic.Publish):
                talk.say(channel, commands.Channel.Close(406, "PRECONDITION_FAILED - no", 60, 40))
                return True
            return isinstance(one, commands.Confirm.Select)

        broker.answer = close_and_hold
        broken = publisher.submit("b")
        wait(lambda: publisher.health().connections == 0, "the channel is closed")
        with pytest.raises(NotSent, match=r"without a connection \(the broker closed the channel: \(406\)") as caught:
            publisher.publish("c", timeout=0.05)
        assert caught.value.attempts == 0
        assert not broken.done(), "it has another chance"


def give_back(talk: Talk, tag: int, message_id: str) -> None:
    """Return a message that no queue is bound for, and ack it."""
    properties = commands.Basic.Properties(message_id=message_id)
    talk.say(
        1,
        commands.Basic.Return(312, "NO_ROUTE", "x", ""),
        header.ContentHeader(0, 1, properties),
        body.ContentBody(b"a"),
        commands.Basic.Ack(tag),
    )


def test_returned_and_nacked(make: Make) -> None:
    """Each to its own caller; a return is an error only where a route was required."""
    with FakeBroker(confirms=False) as broker:
        publisher = make(broker.url)
        futures = [
            publisher.submit("a", message_id="m1"),
            publisher.submit("a", message_id="m2", require_route=True),
            publisher.submit("a", message_id="m3"),
            publisher.submit("a", message_id="m4"),
            publisher.submit("a", message_id="m5"),
        ]
        broker.wait(lambda: len(broker.of(commands.Basic.Publish)) == 5, "all are written")
        give_back(broker.talks[0], 2, "m2")
        broker.talks[0].say(1, commands.Basic.Nack(4, multiple=True))
        give_back(broker.talks[0], 5, "m5")
        with pytest.raises(Unroutable):
            futures[1].result(WAIT_S)
        outcomes = [type(futures[n].exception(WAIT_S)).__name__ for n in (0, 2, 3)]
        assert outcomes == ["Nacked"] * 3
        assert not futures[4].result(WAIT_S).routed


def test_what_is_never_written_is_told_at_once(make: Make) -> None:
    """Properties larger than a frame, with nothing else going on: refused now, not at the deadline."""
    with FakeBroker(frame_max=4096) as broker:
        publisher = make(broker.url, timeout=LONG_S)
        future = publisher.submit("a", headers={"h": "x" * 5000})
        with pytest.raises(Refused) as caught:
            future.result(WAIT_S)
        assert caught.value.detail == (
            "its properties do not fit into a frame of 4096 bytes, which is agreed with the broker"
        )
        assert publisher.health().trouble is None, "and the connection goes on"


def test_what_the_socket_does_not_take_is_not_written(make: Make) -> None:
    """Not even where all of it is submitted before the first byte goes out."""
    hold, go_on = threading.Event(), threading.Event()

    def stop_reading(talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Basic.Publish) and len(talk.of(commands.Basic.Publish)) == 2:
            hold.wait(2 * WAIT_S)
        return False

    with FakeBroker(stop_reading) as broker:
        publisher = make(broker.url, heartbeat_s=0, max_connections=1)
        publisher.publish("first")
        pool = publisher._pool
        assert pool is not None
        pool._loop.call_soon_threadsafe(go_on.wait, WAIT_S)
        futures = [publisher.submit(b"x" * 1_000_000, timeout=1.0) for _ in range(40)]
        go_on.set()
        kinds = [type(future.exception(WAIT_S)) for future in futures]
        hold.set()
        assert kinds[0] is OutcomeUnknown
        assert kinds[-1] is NotSent


# --- declarations ---------------------------------------------------------------------------------


def test_what_is_declared(make: Make) -> None:
    """As each exchange says, once, and only what is published to; the default exchange never is."""
    exchanges = {
        "one": Exchange("one", "fanout", durable=False, arguments={"alternate-exchange": "y"}),
        "two": Exchange("two", "direct", passive=True),
        "three": Exchange("three"),
        "queue": Exchange("", "direct"),
    }
    with FakeBroker() as broker:
        publisher = make(broker.url, exchanges)
        for _ in range(2):
            for to in ("queue", "one", "two"):
                assert publisher.publish("a", to=to).attempts == 1
        told = broker.of(commands.Exchange.Declare)
        assert [(one.exchange, one.exchange_type, one.passive, one.durable, one.arguments) for one in told] == [
            ("one", "fanout", False, False, {"alternate-exchange": "y"}),
            ("two", "direct", True, True, {}),
        ]
        (talk,) = broker.talks
        assert {channel for channel, one in talk.heard if isinstance(one, commands.Exchange.Declare)} == {2}
        assert {channel for channel, one in talk.heard if isinstance(one, commands.Basic.Publish)} == {1}
        assert len(broker.of(commands.Channel.Open)) == 2


def test_the_default_exchange_holds_no_declaration_up(make: Make) -> None:
    """Where both are published to from the start, each goes its way without an answer to the other."""
    with FakeBroker(confirms=False) as broker:
        publisher = make(broker.url, {"one": Exchange("one"), "queue": Exchange("", "direct")}, max_connections=1)
        futures = [publisher.submit("a", to=to) for to in ("queue", "one")]
        broker.wait(lambda: len(broker.of(commands.Basic.Publish)) == 2, "both are written")
        broker.talks[0].say(1, commands.Basic.Ack(2, True))
        assert [future.result(WAIT_S).attempts for future in futures] == [1, 1]
        assert [one.exchange for one in broker.of(commands.Exchange.Declare)] == ["one"]


def test_one_declaration_at_a_time(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """So a refusal names its exchange: that one's messages are refused, on the same connection all others go on."""
    held: list[Talk] = []

    def hold(talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Exchange.Declare) and one.exchange == "bad":
            held.append(talk)
            return True
        return False

    exchanges = {name: Exchange(name) for name in ("bad", "good", "more")}
    exchanges["queue"] = Exchange("", "direct")
    with FakeBroker(hold) as broker:
        publisher = make(broker.url, exchanges, max_connections=1)
        bad = [publisher.submit("a", to="bad") for _ in range(2)]
        broker.wait(lambda: held, "it is declared")
        others = [publisher.submit("a", to=to) for to in ("good", "more")]
        assert publisher.publish("a", to="queue").attempts == 1, "what needs no declaration goes ahead"
        assert len(broker.of(commands.Exchange.Declare)) == 1
        assert not any(future.done() for future in (*bad, *others))
        with pytest.raises(NotSent, match="before the broker answered the declaration of 'bad'"):
            publisher.publish("a", to="bad", timeout=0.1)
        held[0].say(2, commands.Channel.Close(406, "PRECONDITION_FAILED - otherwise.", 40, 10))
        for future in bad:
            with pytest.raises(Refused) as caught:
                future.result(WAIT_S)
            assert caught.value.detail == "the broker closed the channel: (406) PRECONDITION_FAILED - otherwise"
        assert [future.result(WAIT_S).attempts for future in others] == [1, 1]
        assert [one.exchange for one in broker.of(commands.Exchange.Declare)] == ["bad", "good", "more"]
        assert len(broker.talks) == 1
        assert len(broker.of(commands.Channel.Open)) == 3
        assert log_is_written(publisher)
        (record,) = told(caplog)
    assert (record.event, record.exchange) == ("exchange_refused", "bad")


def test_a_connection_that_is_closed_for_a_declaration(make: Make) -> None:
    """As for an exchange type that is not known: that one is refused, and the others published on the next one."""

    def refuse(talk: Talk, _channel: int, one: Frame) -> bool:
        if isinstance(one, commands.Exchange.Declare) and one.exchange == "bad":
            talk.say(0, commands.Connection.Close(503, "COMMAND_INVALID - unknown exchange type 'bad'", 40, 10))
            return True
        return False

    with FakeBroker(refuse) as broker:
        publisher = make(broker.url, {"bad": Exchange("bad"), "good": Exchange("good")}, max_connections=1)
        futures = [publisher.submit("a", to="bad"), publisher.submit("a", to="good")]
        with pytest.raises(Refused, match=r"\(503\) COMMAND_INVALID - unknown exchange type 'bad'") as caught:
            futures[0].result(WAIT_S)
        assert caught.value.attempts == 0
        assert futures[1].result(WAIT_S).attempts == 1
        assert len(broker.talks) == 2
        assert publisher.publish("a", to="good").attempts == 1


def test_after_a_reconnect_all_is_declared_again(make: Make, wait: Wait) -> None:
    """On the new connection nothing is known to be there, also where the old one ended amid a declaration."""
    hang_up = Once(commands.Exchange.Declare, lambda talk, _: talk.hang_up())
    with FakeBroker(hang_up) as broker:
        publisher = make(broker.url)
        assert publisher.publish("a").attempts == 1
        assert [len(talk.of(commands.Exchange.Declare)) for talk in broker.talks] == [1, 1]
        assert [len(talk.of(commands.Channel.Open)) for talk in broker.talks] == [2, 2]
        broker.talks[1].hang_up()
        wait(lambda: not publisher.health().connections, "the end is seen")
        assert publisher.publish("b").attempts == 1
        assert [len(talk.of(commands.Exchange.Declare)) for talk in broker.talks] == [1, 1, 1]


class Asking(Notebook):
    """Asks for the publisher's health whenever a connection has ended."""

    publisher: Publisher

    def disconnected(self, fact: Disconnected, /) -> None:
        """Noted, with the answer."""
        self.facts += [fact, self.publisher.health()]


def test_an_observer_that_asks_for_the_health(make: Make, wait: Wait) -> None:
    """It hears of no connection once it was told of its end, and why it ended."""
    notes = Asking()
    with FakeBroker() as broker:
        notes.publisher = publisher = make(broker.url, observer=notes, max_connections=1)
        publisher.publish("a")
        broker.talks[0].hang_up()
        wait(lambda: notes.of(Health), "it has asked")
        lost = notes.of(Health)[0]
    assert (lost.connections, lost.trouble) == (0, "the peer closed the connection without a word")


# --- blocking and time ----------------------------------------------------------------------------


def test_blocked_is_told(make: Make, wait: Wait) -> None:
    """To the observer and by the health, until it is over or the connection ends."""
    notes = Notebook()
    with FakeBroker() as broker:
        publisher = make(broker.url, observer=notes)
        publisher.publish("a")
        for end in ("unblocked", "the connection ends"):
            broker.talks[-1].say(0, commands.Connection.Blocked("low on memory"))
            wait(lambda: publisher.health().blocked == "low on memory", "it is blocked")
            if end == "unblocked":
                broker.talks[-1].say(0, commands.Connection.Unblocked())
            else:
                broker.talks[-1].hang_up()
            wait(lambda: publisher.health().blocked is None, "it is over")
        assert publisher.publish("b").attempts == 1
        at = {"host": "localhost", "port": broker.port}
        assert notes.of(Blocked) == [Blocked(**at, reason="low on memory")] * 2
        assert notes.of(Unblocked) == [Unblocked(**at)]


def test_each_message_has_its_own_deadline(
    make: Make, closed_port: int, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their order, each is told at its own, and not before."""
    notes = Outcomes()
    publisher = make(f"amqp://127.0.0.1:{closed_port}", max_connections=1, observer=notes)
    publisher.submit("a", message_id="last", timeout=LONG_S)
    wait(lambda: publisher.health().trouble, "an attempt has ended")
    pool, go_on = publisher._pool, threading.Event()
    assert pool is not None
    pool._loop.call_soon_threadsafe(go_on.wait, WAIT_S)
    began = time.monotonic()
    with monkeypatch.context() as at_once:  # however long it takes
        at_once.setattr("durable_ws.pool.time", SimpleNamespace(monotonic=lambda: began))
        futures = [
            publisher.submit("a", message_id=name, timeout=at) for name, at in (("c", 3.0), ("a", 1.0), ("b", 2.0))
        ]
    go_on.set()
    for future in futures:
        with pytest.raises(NotSent, match=r"can't connect: \[Errno \d+\] Connection refused"):
            future.result(WAIT_S)
    publisher._close_timeout_s = 0.0
    publisher.close()
    assert [told[0] for told in notes.told] == ["a", "b", "c", "last"]
