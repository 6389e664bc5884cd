"""The errors: their tree, their facts, their texts, and that they can be pickled."""

from __future__ import annotations

import copy
import pickle

import pytest

from durable_ws import (
    BatchError,
    ConfigError,
    DurableWsError,
    InvalidState,
    Nacked,
    NotSent,
    OutcomeUnknown,
    PublishError,
    Receipt,
    Refused,
    Unroutable,
)
from durable_ws.exceptions import closest

RECEIPT = Receipt("m0", routed=True, attempts=1, latency_s=0.25)
MEND = "Mend the URL, the exchanges or the permissions and publish it again."
ERRORS: list[tuple[DurableWsError, str]] = [
    (ConfigError("timeout", "0 is too small", "Give more."), "timeout: 0 is too small. Give more."),
    (InvalidState("the publisher is closed"), "the publisher is closed"),
    (NotSent("m1", "no connection"), "message m1: not sent: no connection"),
    (
        Refused("m1", "no vhost", attempts=2),
        f"message m1: refused by the broker (attempt 2): no vhost. {MEND}",
    ),
    (Nacked("m1", "queue full", attempts=1), "message m1: nacked by the broker: queue full"),
    (Unroutable("m1", "no queue", attempts=1), "message m1: returned by the broker: no queue"),
    (OutcomeUnknown("m1", "no confirm", attempts=3), "message m1: outcome unknown (attempt 3): no confirm"),
    (
        BatchError([RECEIPT, NotSent("m1", "no connection")]),
        "1 of 2 messages failed, all others were confirmed; the first is number 1: message m1: not sent: no connection",
    ),
    (BatchError([RECEIPT]), "cut short after 1 messages, all confirmed"),
]


@pytest.mark.parametrize(("error", "text"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_texts(error: DurableWsError, text: str) -> None:
    """Each error is one sentence made of its facts."""
    assert str(error) == text


@pytest.mark.parametrize("error", [error for error, _ in ERRORS], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_can_be_pickled(error: DurableWsError, protocol: int) -> None:
    """They cross a process boundary with every fact, notes included."""
    error = copy.copy(error)
    error.add_note("seen in the worker")
    back = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert repr(vars(back)) == repr(vars(error))
    assert back.__notes__ == ["seen in the worker"]


def test_receipts_can_be_pickled() -> None:
    """A receipt is a value."""
    assert pickle.loads(pickle.dumps(RECEIPT)) == RECEIPT  # noqa: S301


def test_the_tree() -> None:
    """The class tells what to do: NotSent may be published again, Refused must be mended first."""
    assert {error.__bases__ for error in (NotSent, Nacked, Unroutable, OutcomeUnknown)} == {(PublishError,)}
    assert Refused.__bases__ == (NotSent, ConfigError)
    assert ConfigError.__bases__ == (DurableWsError, ValueError)
    assert {error.__bases__ for error in (PublishError, BatchError, InvalidState)} == {(DurableWsError,)}
    assert not issubclass(PublishError, ValueError)


def test_a_refusal_is_a_config_error_in_full() -> None:
    """It has the facts of both its parents."""
    refused = Refused("m", "no exchange 'x'", attempts=1)
    assert (refused.field, refused.problem) == ("broker", "no exchange 'x'")
    assert "publish it again" in refused.way_out
    assert (refused.message_id, refused.detail, refused.attempts) == ("m", "no exchange 'x'", 1)


def test_failures_by_place() -> None:
    """A batch's errors are found by their place among all messages."""
    first, second = NotSent("a", "x"), Nacked("b", "y")
    assert BatchError([first, RECEIPT, second]).failures == {0: first, 2: second}


@pytest.mark.parametrize(
    ("given", "known", "text"),
    [
        ("pubsbu", ["broadcast", "pubsub"], "Did you mean 'pubsub'? Known: 'broadcast', 'pubsub'."),
        ("zzz", ["pubsub"], "Known: 'pubsub'."),
        ("zzz", [], "None is known."),
    ],
)
def test_the_nearest_name(given: str, known: list[str], text: str) -> None:
    """A way out lists what would do."""
    assert closest(given, known) == text
