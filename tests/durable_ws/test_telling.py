"""What is told to an observer and to the log, word for word, without a connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from durable_ws import ConfigError, Health, Observer
from durable_ws.message import Message, build
from durable_ws.observe import (
    Blocked,
    Connected,
    Disconnected,
    MessageSettled,
    MessageTaken,
    Unblocked,
    no_health,
)
from durable_ws.telling import ConnectionTeller, Guarded, guarded
from tests.durable_ws.observers import Notebook

AT = {"host": "h", "port": 5672}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """What the connections' log holds, from DEBUG on: level, text, and the facts."""
    caplog.set_level(logging.DEBUG, "durable_ws.connection")
    usual = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

    def log() -> list[dict[str, Any]]:
        records = [record for record in caplog.records if record.name == "durable_ws.connection"]
        return [
            {"level": record.levelname, "text": record.getMessage()}
            | {name: value for name, value in vars(record).items() if name not in usual}
            for record in records
        ]

    return log


def at_h(observer: Observer | None) -> ConnectionTeller:
    """One that is connected to the host h, and has told so."""
    teller = ConnectionTeller(guarded(observer))
    teller.dialling("h", 5672)
    teller.connected()
    return teller


# --- the log and the observer ---------------------------------------------------------------------


Told = tuple[Callable[[ConnectionTeller], object], dict[str, Any], list[object]]

TOLD: dict[str, Told] = {
    "lost": (
        lambda teller: teller.disconnected("a cut", in_order=False, unconfirmed=2),
        {
            "level": "WARNING", "text": "lost the connection to h:5672 with 2 messages unconfirmed: a cut",
            "event": "lost", "reason": "a cut", "unconfirmed": 2,
        },
        [Disconnected(host="h", port=5672, reason="a cut", opened=True, in_order=False)],
    ),
    "closed": (
        lambda teller: teller.disconnected("the end", in_order=True, unconfirmed=0),
        {"level": "INFO", "text": "closed the connection to h:5672", "event": "closed", "reason": "the end"},
        [Disconnected(host="h", port=5672, reason="the end", opened=True, in_order=True)],
    ),
    "pause": (
        lambda teller: teller.pausing(0.25, 3),
        {
            "level": "INFO", "event": "pause", "pause_s": 0.25, "attempt": 3,
            "text": "connecting again in 0.250 s, if there is something to publish (attempt 3)",
        },
        [],
    ),
    "channel": (
        lambda teller: teller.channel_closed("(406) no", None),
        {"level": "WARNING", "text": "h:5672: (406) no", "event": "channel_closed", "reason": "(406) no"},
        [],
    ),
    "exchange": (
        lambda teller: teller.channel_closed("(404) no", "x"),
        {
            "level": "WARNING", "text": "h:5672 refused exchange 'x': (404) no",
            "event": "exchange_refused", "reason": "(404) no", "exchange": "x",
        },
        [],
    ),
    "blocked": (
        lambda teller: teller.blocked("low on disk"),
        {
            "level": "WARNING", "text": "h:5672 blocks publishers: low on disk",
            "event": "blocked", "reason": "low on disk",
        },
        [Blocked(host="h", port=5672, reason="low on disk")],
    ),
    "unblocked": (
        lambda teller: teller.unblocked(),
        {"level": "INFO", "text": "h:5672 takes messages again", "event": "unblocked"},
        [Unblocked(host="h", port=5672)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_what_happens_to_a_connection(name: str, log: Callable[[], list[dict[str, Any]]]) -> None:
    """Text, level and facts of each record; the observer hears the same, and where there is none, only the log does."""
    happens, record, facts = TOLD[name]
    notes = Notebook()
    for observer in (notes, None):
        happens(at_h(observer))
    connecting = {"level": "DEBUG", "text": "connecting to h:5672", "event": "connecting", **AT}
    connected = {"level": "INFO", "text": "connected to h:5672", "event": "connected", **AT}
    assert log() == [connecting, connected, record | AT] * 2
    assert notes.facts == [Connected(**AT), *facts]  # type: ignore[arg-type]


def test_what_could_not_be_connected_to(log: Callable[[], list[dict[str, Any]]]) -> None:
    """Was never opened; nor is the next one, though there was one that was."""
    notes = Notebook()
    teller = at_h(notes)
    for reason in ("a cut", "no way", "no way still"):
        teller.disconnected(reason, in_order=False, unconfirmed=0)
    assert [(record["level"], record["event"], record["text"]) for record in log()[2:]] == [
        ("WARNING", "lost", "lost the connection to h:5672 with 0 messages unconfirmed: a cut"),
        ("WARNING", "refused", "can't connect to h:5672: no way"),
        ("WARNING", "refused", "can't connect to h:5672: no way still"),
    ]
    assert log()[3]["reason"] == "no way"
    assert [fact.opened for fact in notes.of(Disconnected)] == [True, False, False]


def test_before_there_was_a_host(log: Callable[[], list[dict[str, Any]]]) -> None:
    """It has no name."""
    ConnectionTeller(None).unblocked()
    assert [(record["host"], record["port"]) for record in log()] == [("", 0)]


def test_connected_is_told_once(log: Callable[[], list[dict[str, Any]]]) -> None:
    """Until it ends: a channel that is opened again is no news; a level that is off writes nothing."""
    notes = Notebook()
    teller = at_h(notes)
    teller.connected()
    assert [record["event"] for record in log()] == ["connecting", "connected"]
    teller.disconnected("a cut", in_order=False, unconfirmed=0)
    teller.connected()
    assert len(notes.of(Connected)) == 2
    logging.getLogger("durable_ws.connection").setLevel(logging.ERROR)
    teller.blocked("low on disk")
    assert [record["event"] for record in log()] == ["connecting", "connected", "lost", "connected"]


def test_the_trouble() -> None:
    """When and why the latest connection was lost; an end in order is none, and takes none back."""
    teller = at_h(None)
    assert teller.trouble is None
    teller.disconnected("the end", in_order=True, unconfirmed=0)
    assert teller.trouble is None
    began = time.monotonic()
    teller.disconnected("a cut", in_order=False, unconfirmed=0)
    trouble = teller.trouble
    assert trouble is not None
    assert began <= trouble[0] <= time.monotonic()
    assert trouble[1] == "a cut"
    teller.disconnected("the end", in_order=True, unconfirmed=0)
    assert teller.trouble is trouble


# --- messages -------------------------------------------------------------------------------------


def message(**properties: Any) -> Message:
    """One of three bytes."""
    return build("abc", exchange="x", routing_key="k", message_id="m", properties=properties)


def test_what_is_told_of_a_message() -> None:
    """What was taken, and what became of that very object."""
    notes = Notebook()
    teller = Guarded(notes)
    taken = teller.take(message())
    fact = notes.facts[0]
    assert taken == message()._replace(taken=fact)
    assert (fact.message_id, fact.exchange, fact.routing_key, fact.size_bytes) == ("m", "x", "k", 3)
    began = time.monotonic() - 1000.0
    teller.settle(taken, "nacked", began, 2, "it said no")
    teller.settle(message(), "nacked", began, 2, "of which nobody was told")
    (settled,) = notes.of(MessageSettled)
    assert settled.message is fact
    assert (settled.outcome, settled.attempts, settled.reason) == ("nacked", 2, "it said no")
    assert 1000.0 <= settled.latency_s <= time.monotonic() - began


class Adding(Observer):
    """Adds these headers to each message."""

    def __init__(self, headers: Any) -> None:
        self.headers = headers

    def taken(self, fact: MessageTaken, /) -> Mapping[str, str] | None:  # noqa: ARG002
        """Added."""
        headers: Mapping[str, str] = self.headers
        return headers


def test_headers_that_are_added() -> None:
    """They stand in the properties and in what is written; those that the message has stay as they are."""
    taken = Guarded(Adding({"trace": "t", "mine": "theirs"})).take(message(headers={"mine": "own"}))
    assert taken.taken is not None
    assert taken == message(headers={"trace": "t", "mine": "own"})._replace(taken=taken.taken)


@pytest.mark.parametrize("headers", [{"bad": object()}, 7], ids=["value", "type"])
def test_headers_that_can_not_be_sent(headers: Any, caplog: pytest.LogCaptureFixture) -> None:
    """They are left out, and the log says whose fault that is."""
    taken = Guarded(Adding(headers)).take(message())
    assert taken == message()._replace(taken=taken.taken)
    (record,) = caplog.records
    assert record.getMessage() == "the observer's taken failed, publishing goes on"
    assert record.exc_info is not None
    assert issubclass(record.exc_info[0] or object, (ConfigError, TypeError))


class Broken(Observer):
    """Raises whatever it is told."""

    def __init__(self) -> None:
        self.error: Exception = LookupError("broken")

    def connected(self, fact: Any, /) -> None:  # noqa: ARG002
        """Raises."""
        raise self.error

    disconnected = blocked = unblocked = settled = connected

    def taken(self, fact: MessageTaken, /) -> Mapping[str, str] | None:  # noqa: ARG002
        """Raises."""
        raise self.error


def test_an_observer_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The first error of a method and kind is told as one, the like of it for those who debug; each by its name."""
    caplog.set_level(logging.DEBUG, "durable_ws.telling")
    observer = Broken()
    teller = Guarded(observer)

    def all_of_it() -> None:
        taken = teller.take(message())
        assert taken.taken is not None
        teller.settle(taken, "confirmed", 0.0, 1, "")
        teller.connected(Connected(host="h", port=1))
        teller.disconnected(Disconnected(host="h", port=1, reason="r", opened=True, in_order=True))
        teller.blocked(Blocked(host="h", port=1, reason="r"))
        teller.unblocked(Unblocked(host="h", port=1))

    all_of_it()
    all_of_it()
    observer.error = ValueError("broken otherwise")
    all_of_it()
    names = ("taken", "settled", "connected", "disconnected", "blocked", "unblocked")
    texts = [f"the observer's {name} failed, publishing goes on" for name in names]
    assert [record.getMessage() for record in caplog.records] == texts * 3
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 6 + ["DEBUG"] * 6 + ["ERROR"] * 6
    kinds = [record.exc_info and record.exc_info[0] for record in caplog.records]
    assert kinds == [LookupError] * 12 + [ValueError] * 6


# --- what an observer is --------------------------------------------------------------------------


class NoObserver:
    """Has none of the methods."""

    def __repr__(self) -> str:
        return "x" * 100


@pytest.mark.parametrize(
    ("wrong", "shown"), [(NoObserver(), "x" * 60), (Notebook, repr(Notebook)[:60])], ids=["object", "class"]
)
def test_what_is_no_observer(wrong: Any, shown: str) -> None:
    """The error shows it, in short, and what to give instead."""
    with pytest.raises(ConfigError) as caught:
        guarded(wrong)
    assert str(caught.value) == (
        f"observer: {shown} has not all the methods of one. "
        "Give an object of a class that inherits from durable_ws.Observer."
    )


@pytest.mark.parametrize("name", ["connected", "disconnected", "blocked", "unblocked", "taken", "settled"])
def test_a_method_that_nobody_would_await(name: str) -> None:
    """Whichever it is."""

    async def method(*_: Any) -> None:
        """Never awaited."""

    with pytest.raises(ConfigError) as caught:
        guarded(type("Waiting", (Observer,), {name: method})())
    assert str(caught.value) == (
        f"observer.{name}: is a coroutine function, and nobody would await it. Write it without async."
    )


def test_what_is_harmless() -> None:
    """Nobody is nobody; an observer that writes no method hears all and says nothing."""
    assert guarded(None) is None
    quiet = Observer.__new__(type("Quiet", (Observer,), {}))
    quiet.__init__()  # type: ignore[misc]
    teller = guarded(quiet)
    assert teller is not None
    taken = teller.take(message())
    assert taken == message()._replace(taken=taken.taken)


def test_the_health_of_one_that_did_nothing() -> None:
    """No connection, no trouble; closed as it is told."""
    for closed in (False, True):
        assert no_health(3, closed=closed) == Health(
            connections=0, most_connections=3, blocked=None, trouble=None, under_way=0, closed=closed
        )
