"""The publisher's link is cut: what is unconfirmed is published again, under the same message id."""

from __future__ import annotations

import logging
import time
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from durable_ws import BatchError, NotSent, OutcomeUnknown, Unroutable
from tests.durable_ws.observers import log_is_written

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues, Wait

pytestmark = pytest.mark.broker


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "fin"])
@pytest.mark.parametrize(
    ("fault", "copies"), [("cut_before_publish", 1), ("cut_before_confirm", 2)], ids=["before", "after"]
)
def test_cut_before_or_after_the_broker_had_it(  # noqa: PLR0913, RUF100
    make_publisher: MakePublisher, link: Link, queues: Queues, queue: str, fault: str, copies: int, reset: bool
) -> None:
    """It is published again under the same id: once in the queue if the broker had not had it, else twice."""
    publisher = make_publisher(link.url)
    with link.fault(fault, reset=reset, down=False) as active:
        receipt = publisher.publish("a", routing_key="k", priority=3)
        assert active.fired
    assert (receipt.routed, receipt.attempts) == (True, 2)
    taken = queues.take(queue)
    assert len(taken) == copies
    for got in taken:
        assert (got.body, got.routing_key, got.properties.priority) == (b"a", "k", 3)
        assert got.properties.message_id == receipt.message_id
    assert set(link.published) == {receipt.message_id}


def test_an_open_connection_is_cut_between_two_messages(
    make_publisher: MakePublisher, link: Link, queues: Queues, queue: str
) -> None:
    """The next publish connects again; nothing is published twice."""
    publisher = make_publisher(link.url)
    publisher.publish("a")
    with link.fault("rst", down=False):
        pass
    assert publisher.publish("b").routed
    assert [got.body for got in queues.take(queue)] == [b"a", b"b"]


def test_many_cuts_under_traffic(make_publisher: MakePublisher, link: Link, queues: Queues, queue: str) -> None:
    """Whatever is cut, every message is confirmed and in the queue; ids repeat, and no other id appears."""
    publisher = make_publisher(link.url)
    publisher.publish("first")
    futures = []
    for round_ in range(5):
        futures += [publisher.submit({"n": n}, message_id=f"m{n}") for n in range(round_ * 100, round_ * 100 + 100)]
        with link.fault("cut_before_confirm", n=1 + round_ * 17, down=False) as active:
            futures += [publisher.submit("more", message_id=f"more-{round_}-{n}") for n in range(100)]
            assert active.wait_fired(20.0)
    receipts = [future.result() for future in futures]
    assert all(receipt.routed for receipt in receipts)
    arrived = Counter(got.properties.message_id for got in queues.take(queue))
    assert set(arrived) >= {receipt.message_id for receipt in receipts}
    assert len(arrived) == len(receipts) + 1
    assert max(receipt.attempts for receipt in receipts) > 1
    assert all(arrived[receipt.message_id] <= receipt.attempts for receipt in receipts)


def test_a_batch_over_a_cut(make_publisher: MakePublisher, link: Link, queues: Queues, queue: str) -> None:
    """A batch does not notice, but for the attempts in its receipts."""
    publisher = make_publisher(link.url, window=10)
    with link.fault("cut_before_confirm", n=25, down=False) as active, publisher.batch() as batch:
        for n in range(50):
            batch.publish({"n": n})
        batch.wait()
        assert active.fired
    attempts = [receipt.attempts for receipt in batch.outcomes]  # type: ignore[union-attr]
    assert set(attempts) == {1, 2}
    assert {got.body for got in queues.take(queue)} == {b'{"n":%d}' % n for n in range(50)}


def test_unroutable_after_a_doubt(make_publisher: MakePublisher, link: Link) -> None:
    """A message that was returned after an attempt without an answer says that the first may have found a queue."""
    publisher = make_publisher(link.url)
    doubt = "an earlier attempt, whose confirm never came, may have found one"
    with link.fault("cut_before_publish", down=False), pytest.raises(Unroutable, match=doubt) as caught:
        publisher.publish("a", require_route=True)
    assert caught.value.attempts == 2


def test_unroutable_without_a_doubt(make_publisher: MakePublisher, link: Link) -> None:
    """Where the return of the first attempt came before the cut, nothing is left in doubt."""
    publisher = make_publisher(link.url)
    with link.fault("cut_before_confirm", down=False), pytest.raises(Unroutable, match=r"\(NO_ROUTE\)$") as caught:
        publisher.publish("a", require_route=True)
    assert caught.value.attempts == 2


def test_down_until_the_deadline_before_the_message_was_written(
    make_publisher: MakePublisher, link: Link, wait: Wait
) -> None:
    """It was never written: NotSent, by the deadline, with why; publishing again is safe and works."""
    publisher = make_publisher(link.url)
    with link.fault("refuse"):
        patient = publisher.submit("patient", timeout=60.0)
        wait(lambda: publisher.health().trouble, "an attempt has ended")
        with pytest.raises(NotSent, match=r"not sent: the deadline passed without a connection \(.*reset") as caught:
            publisher.publish("a", timeout=0.2)
    assert caught.value.attempts == 0
    assert publisher.publish("a").attempts == 1
    assert patient.result().attempts == 1


def test_down_until_the_deadline_after_the_message_was_written(
    make_publisher: MakePublisher, link: Link, queues: Queues, queue: str
) -> None:
    """Its outcome is unknown, and the error says so; here the broker has it."""
    publisher = make_publisher(link.url)
    publisher.publish("connected")
    with (
        link.fault("cut_before_confirm", down=True),
        pytest.raises(OutcomeUnknown, match="the deadline passed without a connection") as caught,
    ):
        publisher.publish("a", message_id="m", timeout=6.0)
    assert (caught.value.attempts, caught.value.message_id) == (1, "m")
    assert publisher.publish("b").attempts == 1, "what is given up is not published again"
    assert [got.body for got in queues.take(queue)] == [b"connected", b"a", b"b"]


def test_a_batch_that_is_cut_off(make_publisher: MakePublisher, link: Link, queues: Queues, queue: str) -> None:
    """Every message has its own fate: confirmed before the cut, unknown after it, or never sent."""
    publisher = make_publisher(link.url, window=5)
    publisher.publish("connected")
    payloads = [{"n": n} for n in range(20)]
    with link.fault("cut_before_confirm", n=10, down=True), pytest.raises(BatchError) as caught:
        publisher.publish_many(payloads, timeout=2.0)
    kinds = Counter(type(outcome).__name__ for outcome in caught.value.outcomes)
    assert sum(kinds.values()) == 20
    assert set(kinds) <= {"Receipt", "OutcomeUnknown", "NotSent"}
    assert kinds["OutcomeUnknown"] >= 1
    assert kinds["NotSent"] >= 5
    arrived = {got.body for got in queues.take(queue)}
    for n, outcome in enumerate(caught.value.outcomes):
        if isinstance(outcome, NotSent):
            assert b'{"n":%d}' % n not in arrived
        elif not isinstance(outcome, OutcomeUnknown):
            assert b'{"n":%d}' % n in arrived


def test_attempts_to_connect_are_spaced(
    make_publisher: MakePublisher, link: Link, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    """The pause doubles up to the most, each with a random part of up to a half taken off it."""
    drawn: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        drawn.append((least, most))
        return most

    monkeypatch.setattr("durable_ws.link.random.uniform", uniform)
    publisher = make_publisher(link.url, reconnect_first_s=0.05, reconnect_most_s=0.2)
    with link.fault("refuse") as active:
        before = time.monotonic()
        future = publisher.submit("a", timeout=60.0)
        wait(lambda: active.counts.get("refused", 0) >= 6, "it tries again and again")
        spent = time.monotonic() - before
    assert spent >= 0.75, "at 0, 0.05, 0.15, 0.35, 0.55 and 0.75 s, or later on a busy machine"
    assert set(drawn) == {(0.5, 1.0)}
    assert future.result().attempts == 1


def test_a_connection_that_worked_makes_the_pause_short_again(
    make_publisher: MakePublisher, link: Link, caplog: pytest.LogCaptureFixture, wait: Wait
) -> None:
    """After a success, the first pause is the shortest again: the second loss does not cost what the first did."""
    caplog.set_level("INFO", "durable_ws.connection")

    def attempts() -> list[int]:
        assert log_is_written(publisher)
        told = [int(vars(record)["attempt"]) for record in caplog.records if vars(record).get("event") == "pause"]
        caplog.clear()
        return told

    publisher = make_publisher(link.url, reconnect_first_s=0.02, reconnect_most_s=30.0)
    with link.fault("refuse") as active:
        future = publisher.submit("a", timeout=60.0)
        wait(lambda: active.counts.get("refused", 0) >= 3, "it tries again and again")
    assert future.result().attempts == 1
    before = attempts()
    assert before == list(range(1, len(before) + 1))
    assert len(before) > 1
    with link.fault("rst", down=False):
        pass
    publisher.publish("c")
    assert attempts() == [1]


def test_nothing_connects_while_there_is_nothing_to_send(make_publisher: MakePublisher, link: Link, wait: Wait) -> None:
    """A publisher that has given up all its messages does not knock on: no connection, no timer."""
    publisher = make_publisher(link.url)
    with link.fault("refuse"):
        with pytest.raises(NotSent):
            publisher.publish("a", timeout=0.2)
        pool = publisher._pool
        assert pool is not None

        def idle() -> bool:
            """As the I/O thread sees it, between two of its steps."""
            told: Future[bool] = Future()
            pool._loop.call_soon_threadsafe(
                lambda: told.set_result(all(one._connection is one._retry is None for one in pool._links))
            )
            return told.result()

        wait(idle, "it comes to rest")
    assert publisher.publish("b").attempts == 1


def test_a_silent_link_is_an_error_at_the_deadline(
    make_publisher: MakePublisher, link: Link, queues: Queues, queue: str
) -> None:
    """Nobody tells of a blackhole: outcome unknown for what was written, by the deadline."""
    publisher = make_publisher(link.url)
    publisher.publish("a")
    with (
        link.fault("blackhole", new_connections="blackhole"),
        pytest.raises(OutcomeUnknown, match="the deadline passed without a confirm"),
    ):
        publisher.publish("b", timeout=0.3)
    assert [got.body for got in queues.take(queue)] == [b"a"]


def test_a_silent_link_is_noticed_by_heart_beats(
    make_publisher: MakePublisher, link: Link, queues: Queues, queue: str
) -> None:
    """Then it connects again and publishes what the silence swallowed."""
    publisher = make_publisher(link.url, heartbeat_s=3)
    publisher.publish("a")
    with link.fault("blackhole", new_connections="pass"):
        receipt = publisher.publish("b", timeout=60.0)
    assert (receipt.routed, receipt.attempts) == (True, 2)
    assert 3.0 < receipt.latency_s < 60.0
    assert [got.body for got in queues.take(queue)] == [b"a", b"b"]


def test_a_link_that_goes_silent_while_it_connects(make_publisher: MakePublisher, link: Link) -> None:
    """``connect_timeout_s`` ends the attempt, and the next one works."""
    publisher = make_publisher(link.url, connect_timeout_s=0.4)
    with link.fault("blackhole", new_connections="blackhole") as active:
        future = publisher.submit("a")
        assert active.wait_fired(20.0)
    receipt = future.result()
    assert receipt.attempts == 1
    assert receipt.latency_s >= 0.4


def test_a_message_cut_in_the_middle(make_publisher: MakePublisher, link: Link, queues: Queues, queue: str) -> None:
    """Half a message is none: it is published again, whole."""
    publisher = make_publisher(link.url)
    publisher.publish("first")
    with link.fault("cut_mid_frame", after_bytes=16, down=False):
        receipt = publisher.publish(b"x" * 500_000)
    assert receipt.attempts == 2
    assert [len(got.body) for got in queues.take(queue)] == [5, 500_000]


@pytest.mark.parametrize("fault", ["slicer", "latency"])
def test_bad_links_that_are_not_cut(
    make_publisher: MakePublisher, link: Link, queues: Queues, queue: str, fault: str
) -> None:
    """One-byte segments, a long round trip: slower, and otherwise the same."""
    publisher = make_publisher(link.url)
    with link.fault(fault) as active:
        receipts = publisher.publish_many([{"n": n} for n in range(20)])
        assert active.fired
    assert {receipt.attempts for receipt in receipts} == {1}
    assert len(queues.take(queue)) == 20


def test_reconnecting_logs_no_error(
    make_publisher: MakePublisher, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    """A lost connection is no internal error: durable_ws.connection tells of it, and nobody else above INFO."""
    publisher = make_publisher(link.url)
    with caplog.at_level(logging.DEBUG):
        with link.fault("cut_before_confirm", down=False):
            publisher.publish("a")
        publisher.close()
    told = [record for record in caplog.records if not record.name.startswith(("pika", "durable_ws.connection"))]
    assert [record for record in told if record.levelno > logging.INFO] == []
