"""The judge of the publishers' soak: a planted lie of each kind is found, and what is true is not called one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from benchmarks.soak_publishers.calls import CLASSIC, KEYS, QUORUM
from benchmarks.soak_publishers.judge import SLACK_S, Books, Totals
from benchmarks.soak_publishers.records import CallBegun, CallEnded, MessageBegun, MessageTold, Observed

_OBSERVED = {"confirmed": "confirmed", "unrouted": "returned", "unroutable": "returned"}


@dataclass(frozen=True)
class Life:
    """One message by one call, in its whole life; the defaults are what all is well with."""

    key: str = "classic"
    outcome: str | None = "confirmed"
    attempts: int | None = 1
    text: str = ""
    told_id: str | None = "m"
    observed: tuple[str, ...] | None = None
    observed_attempts: int | None = None
    found: tuple[str, ...] = (CLASSIC,)
    found_id: str = "m"
    intact: bool = True
    late_s: float | None = -1.0
    by_cancelling: bool = False

    def kinds(self) -> list[str]:
        """What the judge says is wrong with it."""
        books = Books("threads", KEYS, Totals())
        books.take(CallBegun(1, "publish"))
        books.take(MessageBegun(1, "t", self.key, "m"))
        if self.outcome is not None:
            told = MessageTold("t", self.outcome, self.attempts, self.told_id, self.text, self.by_cancelling)
            observed = self.observed
            if observed is None:
                observed = () if self.outcome == "nothing" else (_OBSERVED.get(self.outcome, self.outcome),)
            attempts = self.attempts if self.observed_attempts is None else self.observed_attempts
            for one in observed:
                books.take(Observed("m", self.key, one, attempts or 0))
            books.take(told)
        if self.late_s is not None:
            books.take(CallEnded(1, self.late_s))
        for queue in self.found:
            books.find(queue, "t", intact=self.intact, message_id=self.found_id)
        wrongs = books.settle()
        assert books.settle() == [], "the books are empty again"
        return [wrong.kind for wrong in wrongs]


WELL = Life()
NOT_SENT = Life(outcome="not sent", attempts=0, found=())
UNROUTABLE = Life(key="at-times", outcome="unroutable", attempts=2, found=())
DOUBT = "no queue is bound for it (NO_ROUTE); an earlier attempt, whose confirm never came, may have found one"


@pytest.mark.parametrize(
    "life",
    [
        WELL,
        replace(WELL, key="both", found=(CLASSIC, QUORUM)),
        replace(WELL, attempts=3, found=(CLASSIC,) * 3),
        replace(WELL, attempts=3),
        replace(WELL, late_s=SLACK_S),
        replace(WELL, key="at-times"),
        NOT_SENT,
        replace(NOT_SENT, attempts=2),  # each attempt was returned or refused
        replace(NOT_SENT, outcome="nothing", attempts=None, told_id=None),
        replace(NOT_SENT, outcome="nothing", attempts=None, told_id=None, observed=("not sent",), by_cancelling=True),
        replace(NOT_SENT, attempts=None, told_id=None, by_cancelling=True, observed_attempts=0),
        Life(key="nobody", outcome="unrouted", found=()),
        Life(key="nobody", outcome="unroutable", found=()),
        UNROUTABLE,
        replace(UNROUTABLE, text=DOUBT, found=(CLASSIC,)),
        replace(UNROUTABLE, outcome="unrouted", found=(CLASSIC,)),
        Life(outcome="unknown", found=()),
        Life(outcome="unknown"),
        Life(outcome="unknown", attempts=None, observed_attempts=2, found=(CLASSIC,) * 2, by_cancelling=True),
        Life(outcome="nacked", found=()),
        Life(outcome="nacked"),
        Life(outcome="cancelled", attempts=None, told_id=None, observed=("not sent",), observed_attempts=0, found=()),
        Life(outcome="cancelled", attempts=None, told_id=None, observed=("unknown",), observed_attempts=1),
    ],
)
def test_what_is_true(life: Life) -> None:
    """Nothing is wrong with what may be."""
    assert life.kinds() == []


@pytest.mark.parametrize(
    ("life", "kind"),
    [
        (replace(WELL, found=()), "a confirmed message is not in the queue"),
        (replace(WELL, key="both"), "a confirmed message is not in the queue"),  # only in one of two
        (replace(WELL, by_cancelling=True, attempts=None, found=()), "a confirmed message is not in the queue"),
        (replace(NOT_SENT, found=(CLASSIC,)), "what was told not to be there is in the queue"),
        (
            replace(NOT_SENT, outcome="nothing", attempts=None, told_id=None, found=(CLASSIC,)),
            "what was told not to be there is in the queue",
        ),
        (replace(UNROUTABLE, found=(CLASSIC,)), "what was told not to be there is in the queue"),
        (replace(UNROUTABLE, text=DOUBT, found=(CLASSIC,) * 2), "more copies than attempts"),
        (replace(UNROUTABLE, outcome="unrouted", found=(CLASSIC,) * 2), "more copies than attempts"),
        (
            replace(UNROUTABLE, outcome="unrouted", attempts=1, found=(CLASSIC,)),
            "what was told not to be there is in the queue",
        ),
        (replace(WELL, found=(CLASSIC,) * 2), "more copies than attempts"),
        (Life(outcome="unknown", found=(CLASSIC,) * 2), "more copies than attempts"),
        (
            Life(outcome="unknown", attempts=None, observed_attempts=1, found=(CLASSIC,) * 2),
            "more copies than attempts",
        ),
        (Life(outcome="unknown", attempts=0, found=()), "an outcome of what was never written"),
        (replace(WELL, key="nobody", found=()), "told routed, where no queue is bound"),
        (Life(outcome="unrouted", found=()), "told unroutable, where a queue is bound"),
        (Life(outcome="unroutable", found=()), "told unroutable, where a queue is bound"),
        (Life(outcome="odd", attempts=None, text="KeyError: 1", found=()), "an error that is not documented"),
        (replace(NOT_SENT, outcome="refused"), "refused for good, where the broker would have taken it later"),
        (replace(WELL, intact=False), "a message's body is not what was published"),
        (replace(WELL, found_id="other"), "a message has another message id"),
        (replace(WELL, found=(CLASSIC, QUORUM)), "a message is in a queue that its key does not lead to"),
        (replace(WELL, told_id="other", observed=("confirmed",)), "an outcome names another message"),
        (replace(WELL, observed=()), "the observer was not told of a message once"),
        (replace(WELL, observed=("confirmed",) * 2), "the observer was not told of a message once"),
        (replace(WELL, observed=("unknown",)), "the observer was told otherwise"),
        (replace(WELL, observed_attempts=2), "the observer was told otherwise"),
        (
            replace(NOT_SENT, outcome="nothing", attempts=None, told_id=None, observed=("not sent",)),
            "the observer was told of what was never taken in",
        ),
        (replace(WELL, late_s=SLACK_S + 0.1), "a call ended late"),
        (Life(outcome=None, found=(), late_s=None), "a call never ended"),
        (Life(outcome=None, found=()), "a call ended without an outcome of a message"),
    ],
)
def test_a_lie_of_each_kind_is_found(life: Life, kind: str) -> None:
    """What must not be is told, in the words of its kind."""
    assert kind in life.kinds()


def test_what_nobody_has_published() -> None:
    """An invented message is found, and so is one that comes once its round is settled."""
    books = Books("threads", KEYS, Totals())
    books.find(CLASSIC, "invented", intact=False, message_id=None)
    (wrong,) = books.settle()
    assert wrong.kind == "a message is in the queue that nobody has published in this round"
    books.take(CallBegun(1, "publish"))
    books.take(MessageBegun(1, "t", "classic", "m"))
    books.take(MessageTold("t", "unknown", 1, "m", ""))
    books.take(Observed("m", "classic", "unknown", 1))
    books.take(CallEnded(1, 0.0))
    assert books.settle() == []
    books.find(CLASSIC, "t", intact=True, message_id="m")
    assert [wrong.kind for wrong in books.settle()] == [
        "a message is in the queue that nobody has published in this round"
    ]


def test_twins_are_told_apart() -> None:
    """Two messages of one id: outcomes that are swapped are a confirmed one that is missing, and one too many."""
    books = Books("threads", KEYS, Totals())
    books.take(CallBegun(1, "twins"))
    for tag, key, outcome in (("one", "nobody", "confirmed"), ("two", "classic", "unrouted")):
        books.take(MessageBegun(1, tag, key, "m"))
        books.take(MessageTold(tag, outcome, 1, "m", ""))
        books.take(Observed("m", key, "confirmed" if outcome == "confirmed" else "returned", 1))
    books.take(CallEnded(1, 0.0))
    books.find(CLASSIC, "two", intact=True, message_id="m")
    assert {wrong.kind for wrong in books.settle()} == {
        "told routed, where no queue is bound",
        "told unroutable, where a queue is bound",
        "what was told not to be there is in the queue",
    }


def test_totals() -> None:
    """Calls by way, messages by outcome, copies and lateness are added up over rounds and programs."""
    totals = Totals()
    for program in ("threads", "tasks"):
        books = Books(program, KEYS, totals)
        for _ in range(2):
            books.take(CallBegun(1, "publish"))
            books.take(MessageBegun(1, "t", "classic", "m"))
            books.take(MessageTold("t", "confirmed", 2, "m", ""))
            books.take(Observed("m", "classic", "confirmed", 2))
            books.take(CallEnded(1, 0.25))
            for _ in range(2):
                books.find(CLASSIC, "t", intact=True, message_id="m")
            assert books.settle() == []
    assert totals.calls == {("threads", "publish"): 2, ("tasks", "publish"): 2}
    assert totals.messages == {("threads", "publish", "confirmed"): 2, ("tasks", "publish", "confirmed"): 2}
    assert (totals.again, totals.found, totals.copies, totals.latest_s) == (4, 8, 4, 0.25)
