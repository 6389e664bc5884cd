"""How a job tells its outcome to whoever waits for it."""

from __future__ import annotations

import time

import pytest

import durable_ws.job
from durable_ws import Nacked, NotSent, OutcomeUnknown, PublishError, Receipt, Refused, Unroutable
from durable_ws.job import Job
from durable_ws.ledger import Fate
from durable_ws.message import build
from durable_ws.outcome import Call


class Promised:
    """A future that notes what it was told."""

    def __init__(self, *, done: bool = False) -> None:
        self._done = done
        self.told: list[Receipt | PublishError] = []

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self._done

    def set_result(self, receipt: Receipt, /) -> None:
        """It was confirmed."""
        self.told.append(receipt)

    def set_exception(self, error: PublishError, /) -> None:
        """It was not."""
        self.told.append(error)


def settled(fate: Fate, attempts: int, reason: str, *, require_route: bool = False) -> Receipt | PublishError:
    """What the caller is told of a job that began three seconds ago on the monotonic clock."""
    promised = Promised()
    job = Job(build("a", exchange="x", message_id="m"), 40.0, 70.0, "lane", require_route, promised)
    job.settle(fate, attempts, reason)
    (told,) = promised.told
    return told


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands at 43 s."""
    monkeypatch.setattr(durable_ws.job, "time", type("Clock", (), {"monotonic": staticmethod(lambda: 43.0)}))


def test_a_new_job() -> None:
    """It has all that it was given, and nobody has it yet."""
    message, promised = build("a", exchange="x"), Promised()
    job = Job(message, 40.0, 70.0, "lane", True, promised)
    assert (job.message, job.began, job.deadline, job.lane) == (message, 40.0, 70.0, "lane")
    assert job.require_route is True
    assert job.future is promised
    assert job.link is job.entry is None


def test_the_clock_is_the_monotonic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``began`` is."""
    monkeypatch.undo()
    assert durable_ws.job.time is time


def test_a_confirm() -> None:
    """The receipt says what it took."""
    assert settled(Fate.CONFIRMED, 2, "", require_route=True) == Receipt("m", True, 2, 3.0)


def test_a_return() -> None:
    """It is a receipt that says so, unless a route is required."""
    assert settled(Fate.RETURNED, 2, "no queue") == Receipt("m", False, 2, 3.0)
    error = settled(Fate.RETURNED, 2, "no queue", require_route=True)
    assert isinstance(error, Unroutable)
    assert (error.message_id, error.detail, error.attempts) == ("m", "no queue", 2)


@pytest.mark.parametrize("require_route", [False, True])
@pytest.mark.parametrize(
    ("fate", "kind"),
    [
        (Fate.NACKED, Nacked),
        (Fate.REFUSED, Refused),
        (Fate.NOT_SENT, NotSent),
        (Fate.UNKNOWN, OutcomeUnknown),
    ],
)
def test_what_can_not_be_promised(fate: Fate, kind: type[PublishError], require_route: bool) -> None:
    """Each fate is an error of its own, with all that is known."""
    error = settled(fate, 3, "why", require_route=require_route)
    assert type(error) is kind
    assert isinstance(error, PublishError)
    assert (error.message_id, error.detail, error.attempts) == ("m", "why", 3)


@pytest.mark.parametrize("fate", list(Fate))
def test_who_has_cancelled_is_not_told(fate: Fate) -> None:
    """A future that is done takes no outcome (asyncio's would raise)."""
    promised = Promised(done=True)
    Job(build("a", exchange="x"), 40.0, 70.0, "lane", True, promised).settle(fate, 1, "why")
    assert promised.told == []


def test_one_that_was_told_before_is_roused() -> None:
    """As an error may have struck who told it, before its thread was woken; the outcome stays."""
    call = Call()
    job = Job(build("a", exchange="x", routing_key="k", message_id="m"), 0.0, 1.0, "lane", False, call)
    call._outcome = receipt = Receipt("m", True, 1, 0.1)
    job.settle(Fate.UNKNOWN, 1, "late")
    assert not call._lock.locked()
    assert call.wait() is receipt
