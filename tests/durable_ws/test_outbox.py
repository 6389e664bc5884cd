"""The outbox example, certified: a relay killed between commit and confirm loses nothing and invents nothing."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durable_ws import Exchange

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, Queues

pytestmark = pytest.mark.broker

EXAMPLES = Path(__file__).parents[2] / "examples" / "outbox"
PATIENCE_S = 60.0


OVERLAP = """
import json, sys, threading
from relay import publish_waiting
from shop import open_database, place_order
from sqlalchemy.orm import Session

engine, stop, published = open_database(sys.argv[1]), threading.Event(), []

def place(item):
    with Session(engine) as session, session.begin():
        place_order(session, item)

class Relay:
    def __init__(self, meanwhile):
        self.meanwhile = meanwhile

    def publish(self, body, **words):
        published.append(json.loads(body)["item"])
        self.meanwhile()

def other():
    assert publish_waiting(engine, Relay(lambda: None), stop) == 1
    place("milk")

place("tea")
assert publish_waiting(engine, Relay(other), stop) == 1
assert publish_waiting(engine, Relay(lambda: None), stop) == 1
print(json.dumps(published))
"""
"""Another relay publishes and deletes the row that this one is about to delete, and the next order takes its place."""


class Shop:
    """The example's programs on one database."""

    def __init__(self, folder: Path, exchange: Exchange) -> None:
        self._path = folder / "shop.db"
        self._exchange = exchange.name
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *words: str, url: str = "") -> subprocess.Popen[str]:
        """Start Python with these words, in the examples' folder; DATABASE stands for the database."""
        program = subprocess.Popen(
            [sys.executable, *(f"sqlite:///{self._path}" if word == "DATABASE" else word for word in words)],
            cwd=EXAMPLES,
            env={
                **os.environ,
                "RABBITMQ_URL": url,
                "OUTBOX_EXCHANGE": self._exchange,
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(program)
        return program

    def run(self, *words: str, url: str = "") -> str:
        """The same to its end, which must be good; what it said."""
        program = self.start(*words, url=url)
        said, _ = program.communicate(timeout=PATIENCE_S)
        assert program.returncode == 0, said
        return said

    def rows(self, table: str, column: str) -> list[str]:
        """What is committed."""
        with contextlib.closing(sqlite3.connect(self._path, timeout=PATIENCE_S)) as connection:
            return [str(row[0]) for row in connection.execute(f"SELECT {column} FROM {table} ORDER BY rowid")]  # noqa: S608

    def end(self) -> None:
        """Whatever runs still."""
        for program in self._started:
            program.kill()
            program.communicate(timeout=PATIENCE_S)


@pytest.fixture
def shop(tmp_path: Path, exchange: Exchange) -> Iterator[Shop]:
    """A shop that publishes to the test's exchange; none of its programs is left."""
    shop = Shop(tmp_path, exchange)
    yield shop
    shop.end()


def until(condition: Callable[[], object], program: subprocess.Popen[str], what: str) -> None:
    """Wait for what a program does; fails with what it printed if it ends first."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if program.poll() is not None or time.monotonic() > deadline:
            program.kill()
            pytest.fail(f"waited in vain: {what}; it printed: {program.communicate()[0]}")
        time.sleep(0.02)


def test_a_relay_killed_between_commit_and_confirm(
    shop: Shop, link: Link, url: str, queues: Queues, queue: str
) -> None:
    """All that was committed is published in order; what had no confirm twice, under one id; nothing else."""
    shop.run("shop.py", "DATABASE", "tea", "milk")
    ids = shop.rows("outbox", "id")
    relay = shop.start("relay.py", "DATABASE", url=f"{link.url}?heartbeat=600")  # so that it waits for the confirm
    until(lambda: not shop.rows("outbox", "id"), relay, "the first rows are published and gone")
    with link.fault("hold_confirms") as active:
        shop.run("shop.py", "DATABASE", "coffee", "sugar", "rum")
        committed = shop.rows("outbox", "id")
        ids += committed
        until(lambda: active.fired, relay, "a confirm is held")
        relay.kill()  # SIGKILL
        relay.communicate(timeout=PATIENCE_S)
    assert shop.rows("outbox", "id") == committed, "what is not known to be confirmed is still to be published"
    shop.run("relay.py", "--until-empty", "DATABASE", url=url)
    assert shop.rows("outbox", "id") == []
    got = queues.take(queue)
    told = [message.properties.message_id for message in got]
    assert told == [*ids[:3], *ids[2:]], "the third had no confirm, so it comes again, and nothing else does"
    assert [json.loads(message.body)["item"] for message in got] == ["tea", "milk", "coffee", "coffee", "sugar", "rum"]
    assert shop.rows("orders", "item") == ["tea", "milk", "coffee", "sugar", "rum"]


def test_a_writer_killed_before_its_commit(shop: Shop, url: str, queues: Queues, queue: str) -> None:
    """Neither the order nor its message ever was."""
    shop.run("shop.py", "DATABASE", "tea")
    program = (
        "import sys\nfrom shop import *\n"
        "with Session(open_database(sys.argv[1])) as session, session.begin():\n"
        "    place_order(session, 'ghost')\n    session.flush()\n    print('written', flush=True)\n    input()\n"
    )
    writer = shop.start("-c", program, "DATABASE")
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written\n"
    writer.kill()
    writer.communicate(timeout=PATIENCE_S)
    shop.run("relay.py", "--until-empty", "DATABASE", url=url)
    assert [json.loads(message.body)["item"] for message in queues.take(queue)] == ["tea"]
    assert shop.rows("orders", "item") == ["tea"]


def test_no_queue_is_bound_yet(shop: Shop, url: str, queues: Queues, exchange: Exchange) -> None:
    """The row waits for one; the relay says so and goes on trying."""
    shop.run("shop.py", "DATABASE", "tea")
    relay = shop.start("relay.py", "DATABASE", url=url)
    assert relay.stdout is not None
    assert any("no queue is bound for it (NO_ROUTE); trying again" in line for line in relay.stdout)
    (row,) = shop.rows("outbox", "id")
    queue = queues.make(exchange)
    until(lambda: not shop.rows("outbox", "id"), relay, "the row is published and gone")
    assert [message.properties.message_id for message in queues.take(queue)] == [row]


def test_the_relay_says_what_is_wrong(shop: Shop) -> None:
    """A URL that is none: one line, exit code 2."""
    relay = shop.start("relay.py", "DATABASE", url="http://nowhere")
    said, _ = relay.communicate(timeout=PATIENCE_S)
    assert relay.returncode == 2
    assert said.startswith("relay: RABBITMQ_URL: ")
    assert "Traceback" not in said


def test_relays_that_overlap(shop: Shop) -> None:
    """As one takes over from the other: what both have read may be published twice, and no other row is deleted."""
    assert json.loads(shop.run("-c", OVERLAP, "DATABASE")) == ["tea", "tea", "milk"]
    assert shop.rows("outbox", "id") == []
