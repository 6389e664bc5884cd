"""What operators see of a publisher on a real broker: its health, what its observer is told, its log."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from durable_ws import (
    AsyncPublisher,
    ConfigError,
    Exchange,
    Health,
    NotSent,
    Observer,
    OutcomeUnknown,
    Publisher,
    Refused,
)
from durable_ws.observe import (
    Blocked,
    Connected,
    Disconnected,
    MessageSettled,
    MessageTaken,
    Unblocked,
)
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker
from tests.durable_ws.observers import Notebook, log_is_written

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues, Wait

pytestmark = pytest.mark.broker

PATIENCE_S = 60.0
BACK_OFF = {"reconnect_first_s": 0.02, "reconnect_most_s": 0.1}


class Broken(Notebook):
    """Raises whatever it is told."""

    def connected(self, fact: Connected, /) -> None:
        """Raises."""
        super().connected(fact)
        raise LookupError("broken")

    disconnected = blocked = unblocked = settled = connected  # type: ignore[assignment]

    def taken(self, fact: MessageTaken, /) -> Mapping[str, str] | None:
        """Raises."""
        super().taken(fact)
        raise LookupError("broken")


async def until(condition: Callable[[], object]) -> None:
    """Wait for what no event tells."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


def all_is_written(publisher: Publisher) -> None:
    """Wait until the log of a publisher that was closed is complete."""
    assert publisher._pool is not None
    publisher._pool._scribe.join(WAIT_S)
    assert not publisher._pool._scribe._thread.is_alive()


# --- health ---------------------------------------------------------------------------------------


def test_health_over_a_life(make_publisher: MakePublisher, link: Link, wait: Wait) -> None:
    """Nothing before the first message, then a connection; none while the broker is away; the trouble stays told."""
    publisher = make_publisher(link.url, max_connections=3)
    fresh = Health(connections=0, most_connections=3, blocked=None, trouble=None, under_way=0, closed=False)
    assert publisher.health() == fresh
    publisher.publish("a")
    good = dataclasses.replace(fresh, connections=1)
    wait(lambda: publisher.health() == good, "it is connected, and the message is off the books")
    with link.fault("cut_before_confirm", down=True):
        pending = publisher.submit("b")
        wait(lambda: publisher.health().trouble, "it has seen the cut")
        away = publisher.health()
        assert (away.connections, away.under_way) == (0, 1)
    pending.result(PATIENCE_S)
    wait(lambda: publisher.health().under_way == 0, "all is settled")
    again = publisher.health()
    assert again.connections == 1
    assert again.trouble
    publisher.close()
    closed = publisher.health()
    assert (closed.connections, closed.closed) == (0, True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        closed.closed = False  # type: ignore[misc]


def test_health_never_waits_for_the_lock(make_publisher: MakePublisher) -> None:
    """Whoever holds the locks, the answer comes: a probe must not hang with what it looks at."""
    publisher = make_publisher()
    publisher.publish("a")
    pool = publisher._pool
    assert pool is not None
    answers: list[Health] = []
    with publisher._lock, pool._lock:
        asker = threading.Thread(target=lambda: answers.append(publisher.health()), daemon=True)
        asker.start()
        asker.join(PATIENCE_S)
        assert len(answers) == 1


def test_health_of_the_async_one(link: Link, exchange: Exchange) -> None:
    """The same words; under way and away."""

    async def main() -> None:
        publisher = AsyncPublisher(link.url, {"pubsub": exchange}, max_connections=2, timeout=PATIENCE_S, **BACK_OFF)
        assert publisher.health() == Health(
            connections=0, most_connections=2, blocked=None, trouble=None, under_way=0, closed=False
        )
        await publisher.publish("a")
        assert publisher.health().connections == 1
        with link.fault("cut_before_confirm", down=True):
            pending = await publisher.submit("b")
            await until(lambda: not publisher.health().connections)
            assert publisher.health().under_way == 1
            assert publisher.health().trouble
        await pending
        await publisher.close()
        assert publisher.health().closed
        assert (publisher.health().connections, publisher.health().under_way) == (0, 0)

    asyncio.run(main())


def test_health_in_a_child(url: str, exchange: Exchange) -> None:
    """What belongs to the parent is no good in a child, and says so."""

    async def main() -> None:
        async with AsyncPublisher(url, {"pubsub": exchange}, timeout=PATIENCE_S) as publisher:
            await publisher.publish("a")
            publisher._inherited = True  # as it looks in a child
            health = publisher.health()
            publisher._inherited = False
        assert (health.connections, health.closed) == (0, True)

    asyncio.run(main())


# --- observers ------------------------------------------------------------------------------------


def test_an_observer_is_told(make_publisher: MakePublisher, link: Link, queue: str, exchange: Exchange) -> None:  # noqa: ARG001
    """Connections and messages, each message once from its beginning to its outcome."""
    notes = Notebook()
    publisher = make_publisher(link.url, observer=notes)
    receipt = publisher.publish("abc", routing_key="k", message_id="one")
    with link.fault("cut_before_confirm", down=False):
        publisher.publish("again", message_id="two")
    with pytest.raises((NotSent, OutcomeUnknown)), link.fault("stall"):
        publisher.publish("never", message_id="three", timeout=0.2)
    publisher.close()
    taken, settled = notes.of(MessageTaken), notes.of(MessageSettled)
    assert [(one.message_id, one.exchange, one.routing_key, one.size_bytes) for one in taken] == [
        ("one", exchange.name, "k", 3),
        ("two", exchange.name, "", 5),
        ("three", exchange.name, "", 5),
    ]
    assert [one.message for one in settled] == taken
    assert [(one.outcome, one.attempts) for one in settled[:2]] == [("confirmed", 1), ("confirmed", 2)]
    assert settled[2].outcome in ("not sent", "unknown")
    assert settled[2].reason
    assert settled[0].reason == ""
    assert receipt.latency_s <= settled[0].latency_s < PATIENCE_S
    host, port = link.proxy.address
    assert notes.facts[1] == Connected(host=host, port=port)
    ends = notes.of(Disconnected)
    assert ends[0].opened
    assert not ends[0].in_order
    assert all(end.reason for end in ends)


def test_an_orderly_end_is_told_as_one(make_publisher: MakePublisher, link: Link) -> None:
    """Closing is no trouble."""
    notes = Notebook()
    publisher = make_publisher(link.url, observer=notes)
    publisher.publish("a")
    publisher.close()
    host, port = link.proxy.address
    assert notes.of(Disconnected) == [
        Disconnected(host=host, port=port, reason="the publisher was closed", opened=True, in_order=True)
    ]
    assert publisher.health().trouble is None


def test_every_call_has_an_outcome(make_publisher: MakePublisher, link: Link) -> None:
    """Also one that found no room in the window, or a publisher that was closed meanwhile."""
    notes = Notebook()
    publisher = make_publisher(link.url, observer=notes, window=1, close_timeout_s=0.2)
    publisher.publish("first")
    with link.fault("stall"):
        held = publisher.submit("held", message_id="held", timeout=PATIENCE_S)
        with pytest.raises(NotSent, match="full window"):
            publisher.publish("no room", message_id="no room", timeout=0.1)
        publisher.close()
        error = held.exception(PATIENCE_S)
    outcomes = {one.message.message_id: one.outcome for one in notes.of(MessageSettled)}
    assert outcomes["no room"] == "not sent"
    assert outcomes["held"] == {OutcomeUnknown: "unknown", NotSent: "not sent"}[type(error)]  # type: ignore[index]
    assert len(notes.of(MessageSettled)) == len(notes.of(MessageTaken)) == 3


def test_a_cancelled_call_has_an_outcome(link: Link, exchange: Exchange) -> None:
    """Under way, in the full window, or before anything was done with it."""
    notes = Notebook()

    async def main() -> None:
        async with AsyncPublisher(
            link.url, {"pubsub": exchange}, observer=notes, window=1, timeout=PATIENCE_S, **BACK_OFF
        ) as publisher:
            await publisher.publish("first")
            with link.fault("stall"):
                calls = [asyncio.create_task(publisher.publish("a", message_id=name)) for name in ("held", "waits")]
                await until(lambda: len(notes.of(MessageTaken)) == 3)
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
        assert all(call.cancelled() for call in calls)

    asyncio.run(main())
    outcomes = {one.message.message_id: one.outcome for one in notes.of(MessageSettled)}
    assert outcomes["held"] == "unknown"
    assert outcomes["waits"] == "not sent"
    assert len(notes.of(MessageSettled)) == len(notes.of(MessageTaken)) == 3


def test_a_broken_observer_harms_nothing(
    make_publisher: MakePublisher, link: Link, queues: Queues, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises is in the log, the first of a kind as an error, and every message is confirmed."""
    broken = Broken()
    publisher = make_publisher(link.url, observer=broken)
    publisher.publish_many(range(50))
    with link.fault("cut_before_confirm", down=False):
        publisher.publish("again")
    publisher.close()
    all_is_written(publisher)
    assert len(queues.take(queue)) >= 51
    assert len(broken.of(MessageSettled)) == 51
    errors = [record for record in caplog.records if record.name == "durable_ws.telling"]
    assert sorted(record.getMessage() for record in errors if record.levelno == logging.ERROR) == [
        f"the observer's {name} failed, publishing goes on"
        for name in ("connected", "disconnected", "settled", "taken")
    ]
    assert all(record.exc_info and record.exc_info[0] is LookupError for record in errors)


@pytest.mark.parametrize("headers", [{"trace": "t", "mine": "theirs"}, {"bad": object()}, {"big": "x" * 200_000}, 7])
def test_headers_of_an_observer(make_publisher: MakePublisher, queues: Queues, queue: str, headers: Any) -> None:
    """They are added and overwrite none; what can't be sent is left out, and the message goes its way."""

    class Adding(Observer):
        def taken(self, fact: MessageTaken, /) -> Mapping[str, str] | None:  # noqa: ARG002
            added: Mapping[str, str] = headers
            return added

    make_publisher(observer=Adding()).publish("a", headers={"mine": "my own"})
    (got,) = queues.take(queue)
    good = isinstance(headers, dict) and "trace" in headers
    assert got.properties.headers == ({"trace": "t", "mine": "my own"} if good else {"mine": "my own"})


def test_blocked_and_unblocked_are_told(make_publisher: MakePublisher, wait: Wait) -> None:
    """As the broker says it; the real one's alarm is in test_broker_trouble.py."""
    from pamqp import commands

    notes = Notebook()
    with FakeBroker() as broker:
        publisher = make_publisher(f"amqp://127.0.0.1:{broker.port}", observer=notes)
        publisher.publish("a")
        broker.talks[0].say(0, commands.Connection.Blocked("low on memory"))
        wait(lambda: notes.of(Blocked), "it has heard")
        assert publisher.health().blocked == "low on memory"
        assert notes.of(Blocked) == [Blocked(host="127.0.0.1", port=broker.port, reason="low on memory")]
        broker.talks[0].say(0, commands.Connection.Unblocked())
        wait(lambda: notes.of(Unblocked), "it has heard")
        assert publisher.health().blocked is None
        publisher.close()


@pytest.mark.parametrize("wrong", ["x", 7, Notebook, object()])
def test_what_is_no_observer(wrong: Any) -> None:
    """An error that names the argument, the value and the way out."""
    with pytest.raises(ConfigError, match=r"^observer: .* has not all the methods of one\. Give an object of a class"):
        AsyncPublisher("amqp://127.0.0.1:1", observer=wrong)


def test_an_observer_that_nobody_would_await() -> None:
    """Told when the publisher is made, not by a warning for each message."""

    class Waiting(Observer):
        async def settled(self, fact: MessageSettled, /) -> None:  # type: ignore[override]
            pass

    with pytest.raises(ConfigError, match=r"^observer\.settled: is a coroutine function"):
        AsyncPublisher("amqp://127.0.0.1:1", observer=Waiting())


# --- the log --------------------------------------------------------------------------------------


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the connections' log holds."""
    return [record for record in caplog.records if record.name == "durable_ws.connection"]


def test_the_log_of_a_life(make_publisher: MakePublisher, link: Link, caplog: pytest.LogCaptureFixture) -> None:
    """Connected, lost, the pause, connected again, closed; each with its facts as attributes."""
    publisher = make_publisher(link.url)
    with caplog.at_level(logging.INFO, "durable_ws.connection"):
        with link.fault("cut_before_confirm", down=False):
            publisher.publish("a")
        publisher.close()
        all_is_written(publisher)
    records: list[Any] = told(caplog)
    assert [(record.event, record.levelname) for record in records] == [
        ("connected", "INFO"), ("lost", "WARNING"), ("pause", "INFO"), ("connected", "INFO"), ("closed", "INFO"),
    ]  # fmt: skip
    host, port = link.proxy.address
    assert {(record.host, record.port) for record in records} == {(host, port)}
    lost, pause = records[1], records[2]
    assert lost.unconfirmed == 1
    assert lost.getMessage() == f"lost the connection to {host}:{port} with 1 messages unconfirmed: {lost.reason}"
    assert (pause.attempt, 0.0 < pause.pause_s <= 0.02) == (1, True)


def test_the_log_of_what_is_refused(
    make_publisher: MakePublisher, url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password is told without it; an exchange that is not there by its name."""
    secret = "not-the-" + namespace
    missing = Exchange(f"{namespace}-missing", passive=True)
    for publisher in (
        make_publisher(url.replace("guest:guest", f"guest:{secret}")), make_publisher(url, {"pubsub": missing}),
    ):  # fmt: skip
        with pytest.raises(Refused):
            publisher.publish("a")
        assert log_is_written(publisher)
    records: list[Any] = [record for record in told(caplog) if record.levelno == logging.WARNING]
    assert [record.event for record in records] == ["refused", "exchange_refused"]
    assert "ACCESS_REFUSED" in records[0].reason
    assert records[1].exchange == missing.name
    assert "NOT_FOUND" in records[1].reason
    for record in caplog.records:
        assert secret not in repr(vars(record))
        assert "guest" not in record.getMessage() or record.name != "durable_ws.connection"
