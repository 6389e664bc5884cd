"""A batch over a publisher that is only played; the real one is in test_pipelining.py."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import durable_ws.batch
from durable_ws import Batch, BatchError, ConfigError, DurableWsError, InvalidState, Nacked, Receipt
from durable_ws.batch import receipts_of


class Played:
    """Takes what a batch submits, and settles it as the payload says: an error is raised, else it is confirmed."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.pending: list[Future[Receipt]] = []

    def submit(self, lane: object, payload: object, to: str, routing_key: str, **options: Any) -> Future[Receipt]:
        """As the publisher's own."""
        if isinstance(payload, ConfigError | InvalidState):
            raise payload
        self.calls.append((lane, payload, to, routing_key, options))
        future: Future[Receipt] = Future()
        if isinstance(payload, Exception):
            future.set_exception(payload)
        elif payload == "pending":
            self.pending.append(future)
        else:
            future.set_result(receipt(payload))
        return future


def receipt(payload: object) -> Receipt:
    """The receipt of a played message."""
    return Receipt(str(payload), routed=True, attempts=1, latency_s=0.0)


def one_raises(payloads: list[object], error: BaseException) -> Iterator[object]:
    """The payloads, and then the error."""
    yield from payloads
    raise error


@pytest.fixture
def played() -> Played:
    """The played publisher."""
    return Played()


@pytest.fixture
def batch(played: Played) -> Batch:
    """A batch on it."""
    return Batch(played.submit)


def test_calls_are_passed_on_in_order(played: Played, batch: Batch) -> None:
    """Everything goes to the publisher as it was given, in the batch's own lane."""
    with batch:
        batch.publish("a")
        batch.publish("b", "broadcast", "key", priority=3)
    assert played.calls == [(batch, "a", "pubsub", "", {}), (batch, "b", "broadcast", "key", {"priority": 3})]
    assert batch.outcomes == (receipt("a"), receipt("b"))


def test_every_fate_in_order(batch: Batch) -> None:
    """The error holds receipts and errors, each in its place; the batch holds them too."""
    nacked = Nacked("b", "full", attempts=1)
    with pytest.raises(BatchError) as caught, batch:
        batch.publish_each(["a", nacked, "c"], "pubsub", "")
    assert caught.value.outcomes == batch.outcomes == (receipt("a"), nacked, receipt("c"))
    assert caught.value.failures == {1: nacked}


def test_a_block_that_raises_keeps_its_error(batch: Batch) -> None:
    """With a note of what became of the messages, a failed one among them."""
    with pytest.raises(KeyError) as caught, batch:
        batch.publish_each(one_raises(["a", Nacked("b", "full")], KeyError("mine")), "pubsub", "")
    assert caught.value.__notes__ == ["1 of the 2 messages that the batch had begun were confirmed"]


def test_ctrl_c_does_not_wait(played: Played, batch: Batch) -> None:
    """KeyboardInterrupt leaves at once, with messages under way."""
    with pytest.raises(KeyboardInterrupt), batch:
        batch.publish_each(one_raises(["pending"], KeyboardInterrupt()), "pubsub", "")
    assert not played.pending[0].done()


def test_a_message_that_can_not_be_published_is_no_part(batch: Batch) -> None:
    """``publish`` raises there and then; caught, the rest of the batch is sound."""
    with batch:
        batch.publish("a")
        with pytest.raises(ConfigError):
            batch.publish(ConfigError("payload", "is bad", "Mend it."))
        batch.publish("c")
    assert batch.outcomes == (receipt("a"), receipt("c"))


def test_publish_each_goes_on_after_a_bad_payload(batch: Batch) -> None:
    """A payload at fault is an outcome in its place."""
    bad = ConfigError("payload['x']", "is bad", "Mend it.")
    batch.publish_each(["a", bad, "c"], "pubsub", "")
    assert batch.wait() == (receipt("a"), bad, receipt("c"))


def test_publish_each_says_the_same_of_all(played: Played, batch: Batch) -> None:
    """Where they go, and the options."""
    batch.publish_each(["a", "b"], "broadcast", "key", priority=3)
    assert played.calls == [(batch, name, "broadcast", "key", {"priority": 3}) for name in ("a", "b")]


def test_publish_each_stops_where_no_payload_is_at_fault(batch: Batch) -> None:
    """An option that can't be used would fail for each."""
    with pytest.raises(ConfigError):
        batch.publish_each(["a", ConfigError("to", "is unknown", "Mend it."), "c"], "pubsub", "")
    assert batch.wait() == (receipt("a"),)


def test_publish_each_on_a_publisher_that_is_closed_meanwhile(batch: Batch) -> None:
    """The payload that was taken and not published has its fate, too; where it is the first, the error says it all."""
    closed = InvalidState("the publisher is closed: make a new one")
    with pytest.raises(InvalidState):
        batch.publish_each([closed], "pubsub", "")
    assert batch.wait() == ()
    with pytest.raises(InvalidState):
        batch.publish_each(["a", closed, "c"], "pubsub", "")
    assert batch.wait() == (receipt("a"), closed)


def test_publish_each_takes_from_the_iterable_one_by_one(played: Played, batch: Batch) -> None:
    """It is not read ahead, so that an endless one is bounded by the window."""

    def payloads() -> Iterator[str]:
        for number in range(3):
            assert len(played.calls) == number
            yield str(number)

    batch.publish_each(payloads(), "pubsub", "")
    assert len(batch.outcomes) == 3


def test_a_batch_of_before_a_fork(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the child it says whose it is, whatever is called."""
    batch.publish("a")
    monkeypatch.setattr(durable_ws.batch.os, "getpid", lambda: -1)
    for call in (lambda: batch.publish("b"), batch.wait, lambda: batch.outcomes):
        with pytest.raises(
            InvalidState, match=r"^this batch was begun before a fork and is the parent's: begin one in this process$"
        ):
            call()


def test_an_empty_batch(batch: Batch) -> None:
    """Nothing is nothing."""
    with batch:
        pass
    assert batch.outcomes == ()


NACKED = Nacked("b", "full")


def test_receipts_where_all_went_well() -> None:
    """In the order of the payloads."""
    assert receipts_of([receipt("a"), receipt("b")], None) == [receipt("a"), receipt("b")]
    assert receipts_of([], None) == []


@pytest.mark.parametrize(
    ("outcomes", "interrupted"),
    [
        ([receipt("a"), NACKED], None),
        ([receipt("a")], KeyError("mine")),
        ([receipt("a")], ConfigError("to", "is unknown", "Mend it.")),
        ([NACKED], InvalidState("closed")),
        ([], KeyError("mine")),
    ],
)
def test_a_failure_among_receipts(outcomes: list[Receipt | DurableWsError], interrupted: Exception | None) -> None:
    """The error holds every outcome, and what interrupted is its cause."""
    with pytest.raises(BatchError) as caught:
        receipts_of(outcomes, interrupted)
    assert caught.value.outcomes == tuple(outcomes)
    assert caught.value.__cause__ is interrupted


def test_nothing_was_sent_when_it_was_interrupted() -> None:
    """Then an error of ours says all that there is to say."""
    error = ConfigError("to", "is unknown", "Mend it.")
    with pytest.raises(ConfigError) as caught:
        receipts_of([], error)
    assert caught.value is error
