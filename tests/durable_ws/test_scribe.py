"""The log of the I/O thread: written by another, so that none of logging's locks holds a message up."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import durable_ws.scribe
from durable_ws import Exchange, Observer, Publisher
from durable_ws.scribe import Scribe
from tests.durable_ws.fake_broker import WAIT_S, FakeBroker
from tests.durable_ws.observers import log_is_written

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Wait

SAID = "told by the test"


@pytest.fixture
def scribe() -> Iterator[Scribe]:
    """Ended in the end."""
    scribe = Scribe()
    yield scribe
    scribe.end()
    scribe.join(WAIT_S)


@pytest.fixture
def written() -> Iterator[tuple[logging.Handler, io.StringIO]]:
    """A handler of the connections' log that takes each level, and what it wrote."""
    log, text = logging.getLogger("durable_ws.connection"), io.StringIO()
    handler, before = logging.StreamHandler(text), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler, text
    log.setLevel(before)
    log.removeHandler(handler)


def test_lines_come_in_their_order_and_all_of_them(scribe: Scribe, caplog: pytest.LogCaptureFixture) -> None:
    """With arguments, attributes and errors; after the end nothing more is written, and the thread is gone."""
    log, error = logging.getLogger(SAID), ValueError("why")
    for n in range(100):
        scribe.log(log, logging.WARNING, "line %d", n, extra={"event": n})
    scribe.log(log, logging.ERROR, "failed", exc_info=error)
    scribe.end()
    scribe.log(log, logging.ERROR, "too late")
    scribe.join(WAIT_S)
    assert not scribe._thread.is_alive()
    records = [record for record in caplog.records if record.name == SAID]
    assert [record.getMessage() for record in records] == [*(f"line {n}" for n in range(100)), "failed"]
    assert [vars(record).get("event") for record in records] == [*range(100), None]
    assert records[-1].exc_info == (ValueError, error, None)


def test_its_thread(scribe: Scribe) -> None:
    """It can be told from others, and does not hold up an interpreter that ends, whatever a handler hangs on."""
    assert (scribe._thread.name, scribe._thread.daemon) == ("durable_ws log", True)


def test_a_line_that_can_not_be_written_costs_itself_alone(scribe: Scribe, caplog: pytest.LogCaptureFixture) -> None:
    """What a filter of the program's raises goes no further."""
    log = logging.getLogger(SAID)

    def refuse(record: logging.LogRecord) -> bool:
        return 1 // (record.getMessage() != "bad") == 1

    log.addFilter(refuse)
    try:
        for text in ("good", "bad", "better"):
            scribe.log(log, logging.WARNING, text)
        scribe.end()
        scribe.join(WAIT_S)
    finally:
        log.removeFilter(refuse)
    assert [record.getMessage() for record in caplog.records if record.name == SAID] == ["good", "better"]


def test_a_log_that_hangs(
    scribe: Scribe, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    """What waits for it takes no more memory from then on; how many lines are missing is told each time it goes on."""
    monkeypatch.setattr(durable_ws.scribe, "_MOST_LINES", 10)
    log, reached, go_on = logging.getLogger(SAID), threading.Semaphore(0), threading.Semaphore(0)

    def hang(record: logging.LogRecord) -> bool:
        if record.getMessage() == "hang":
            reached.release()
            return go_on.acquire(timeout=WAIT_S)
        return True

    log.addFilter(hang)
    try:
        for left_out in (90, 7):
            scribe.log(log, logging.WARNING, "hang")
            assert reached.acquire(timeout=WAIT_S)
            for n in range(10 + left_out):
                scribe.log(log, logging.WARNING, "line %d", n)
            assert scribe._lines.qsize() == 10
            go_on.release()
            wait(lambda: scribe._told == scribe._left_out and scribe._lines.empty(), "it is told what is missing")
        scribe.end()
        scribe.join(WAIT_S)
    finally:
        log.removeFilter(hang)
    missing = [record for record in caplog.records if record.name == "durable_ws.connection"]
    assert [(record.levelname, vars(record)["event"], vars(record)["lines"]) for record in missing] == [
        ("WARNING", "left_out", 90), ("WARNING", "left_out", 7)
    ]  # fmt: skip
    assert missing[0].getMessage() == "90 lines of the log were left out, as it took them too slowly"
    said = [record.getMessage() for record in caplog.records if record.name == SAID]
    assert said == ["hang", *(f"line {n}" for n in range(10))] * 2


@pytest.mark.parametrize("held", ["a handler's", "the one of all loggers"])
def test_who_holds_a_lock_of_the_log_can_publish(written: tuple[logging.Handler, io.StringIO], held: str) -> None:
    """As a signal handler does that interrupts a thread in the midst of a line: connected and confirmed before anybody
    can write; the lines follow."""
    handler, text = written
    lock: threading.RLock = handler.lock if held == "a handler's" else vars(logging)["_lock"]
    logging.getLogger("durable_ws.connection").manager._clear_cache()  # type: ignore[attr-defined]  # or the levels are known
    with FakeBroker() as broker, Publisher(broker.url, {"pubsub": Exchange("x")}, timeout=WAIT_S) as publisher:
        with lock:
            assert publisher.submit("a").result(WAIT_S).attempts == 1
            assert text.getvalue() == ""
        assert log_is_written(publisher)
        where = f"localhost:{broker.port}"
        assert text.getvalue() == f"connecting to {where}\nconnected to {where}\n"


def test_what_an_observer_raises_is_written_by_it(caplog: pytest.LogCaptureFixture) -> None:
    """Of connections as of messages: the I/O thread writes no line by itself."""

    class Failing(Observer):
        """Is no good."""

        def connected(self, _: object, /) -> None:
            """Of the link."""
            raise ValueError("of a connection")

        def settled(self, _: object, /) -> None:
            """Of the pool."""
            raise ValueError("of a message")

    with (
        FakeBroker() as broker,
        Publisher(broker.url, {"pubsub": Exchange("x")}, timeout=WAIT_S, observer=Failing()) as publisher,
    ):
        assert publisher.publish("a").attempts == 1
        assert log_is_written(publisher)
    failed = [record for record in caplog.records if record.exc_info is not None]
    assert {str(record.exc_info[1]) for record in failed if record.exc_info} == {"of a connection", "of a message"}
    assert {record.threadName for record in failed} == {"durable_ws log"}


def test_close_does_not_wait_for_ever_for_the_log(written: tuple[logging.Handler, io.StringIO]) -> None:
    """Who closes in the midst of a line would wait for itself."""
    handler, text = written
    assert handler.lock is not None
    with FakeBroker() as broker:
        publisher = Publisher(broker.url, {"pubsub": Exchange("x")}, timeout=WAIT_S)
        with handler.lock:
            publisher.publish("a")
            assert publisher._pool is not None
            scribe = publisher._pool._scribe
            publisher.close()
            assert scribe._thread.is_alive()
        scribe.join(WAIT_S)
    assert text.getvalue().count("\n") == 3
