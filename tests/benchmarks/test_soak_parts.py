"""The pure parts of the publishers' soak: bodies, the walk of the cuts, plans, calls, fates, leaks and the report."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from benchmarks.soak_publishers.__main__ import main
from benchmarks.soak_publishers.bodies import LEAST_BYTES, body_of, read_body
from benchmarks.soak_publishers.calls import KEYS, Drawer
from benchmarks.soak_publishers.fates import told_of
from benchmarks.soak_publishers.judge import Wrong
from benchmarks.soak_publishers.leaks import MOST_GROWTH_BYTES, Sample, census_wrongs, memory_of, memory_wrongs
from benchmarks.soak_publishers.outcome import Outcome
from benchmarks.soak_publishers.plan import BIG, Plan
from benchmarks.soak_publishers.records import Census, MessageTold, decode, encode
from benchmarks.soak_publishers.report import report
from benchmarks.soak_publishers.walk import CutPoint, Walk, frame_name
from durable_ws import InvalidState, Nacked, NotSent, OutcomeUnknown, Receipt, Refused, Unroutable


def test_bodies() -> None:
    """A body names its message and its size; any byte that is another, missing or too many shows."""
    body = body_of("s1-r2-3", 300_000)
    assert len(body) == 300_000
    assert read_body(body) == ("s1-r2-3", True)
    assert len(body_of("s1-r2-3", LEAST_BYTES)) == LEAST_BYTES
    for damaged in (body[:-1], body + b"x", body[:1000] + b"?" + body[1001:], body.replace(b"300000", b"300001")):
        assert read_body(damaged) == ("s1-r2-3", False)
    assert read_body(b"\xff")[1] is False
    assert read_body(b"")[1] is False


def test_the_walk_goes_over_every_byte() -> None:
    """Each byte of both directions has its turn; one that was not hit comes again, one that was does not."""
    walk = Walk({"to_broker": 7, "to_client": 5}, random.Random(1))
    far = 0
    for _ in range(3 * 7):
        point = walk.next()
        far += point.after_bytes >= walk.conversation[point.direction]
        if point != CutPoint("to_broker", 3):
            walk.hit(point)
    assert far == 7, "every third lies further on, so that messages pass"
    assert walk.missed("to_broker") == [3]
    assert walk.missed("to_client") == []
    walk.hit(CutPoint("to_broker", 3))
    assert walk.missed("to_broker") == []
    near = {walk.next() for _ in range(3 * 7)}
    assert {CutPoint("to_broker", byte) for byte in range(7)} <= near, "and again from the beginning"


def test_names_of_frames() -> None:
    """As AMQP calls them; what is none is called other bytes."""
    assert frame_name(b"AMQP\x00\x00\x09\x01") == "protocol header"
    assert frame_name(b"\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x50" + b"\x00" * 9 + b"\xce") == "basic.ack"
    assert frame_name(b"\x01\x00\x01\x00\x00\x00\x04\x00\x01\x00\x02\xce") == "method 1.2"
    assert frame_name(b"\x03\x00\x01\x00\x00\x00\x01x\xce") == "content body"
    assert frame_name(b"") == frame_name(b"GET / HTTP/1.1") == "other bytes"


def test_plans_deal_each_fault() -> None:
    """The same seed, the same plan; each fault of the node comes before any comes again, between cuts."""
    rounds = [Plan(seed).round(40.0) for seed in (3, 3)]
    assert rounds[0] == rounds[1]
    plan = Plan(3)
    big = [act.kind for _ in range(10) for act in plan.round(40.0) if act.kind in BIG]
    assert Counter(big) == dict.fromkeys(BIG, 4)
    assert set(big[:5]) == set(BIG)
    assert [act.kind for act in Plan(3).round(20.0)].count("cuts") == 2
    assert all(act.seconds >= 3.0 for act in Plan(3).round(0.1) if act.kind == "cuts")


def test_calls_are_drawn_by_the_seed() -> None:
    """The same for the same caller; tags are never the same; every way, key and size comes; twins share an id."""
    one, other = (Drawer(1, "a", 0, cancels=True) for _ in range(2))
    calls = [one.draw(1) for _ in range(400)]
    assert calls == [other.draw(1) for _ in range(400)]
    messages = [message for call in calls for message in call.messages]
    assert len({message.tag for message in messages}) == len(messages)
    assert {call.way for call in calls} == {"publish", "submit", "batch", "publish_many", "twins"}
    assert {message.key for message in messages} == set(KEYS)
    assert any(message.size_bytes > 131_072 for message in messages)
    assert any(call.cancel_after_s is not None for call in calls)
    assert all(Drawer(1, "s", 0, cancels=False).draw(1).cancel_after_s is None for _ in range(50))
    for call in calls:
        if call.way == "twins":
            first, second = call.messages
            assert first.message_id == second.message_id == first.tag
            assert first.key != second.key
        elif call.way == "publish_many":
            assert all(message.message_id is None for message in call.messages)


def _cancelled(*notes: str) -> asyncio.CancelledError:
    error = asyncio.CancelledError()
    for note in notes:
        error.add_note(note)
    return error


@pytest.mark.parametrize(
    ("outcome", "word", "attempts"),
    [
        (Receipt("m", True, 2, 0.1), "confirmed", 2),
        (Receipt("m", False, 1, 0.1), "unrouted", 1),
        (NotSent("m", "why"), "not sent", 0),
        (Refused("m", "why"), "refused", 0),
        (Nacked("m", "why", attempts=1), "nacked", 1),
        (Unroutable("m", "why", attempts=3), "unroutable", 3),
        (OutcomeUnknown("m", "why", attempts=1), "unknown", 1),
        (InvalidState("closed"), "nothing", None),
        (KeyError("x"), "odd", None),
        (None, "odd", None),
        (_cancelled(), "nothing", None),
        (_cancelled("message m: not sent: the call was cancelled"), "not sent", None),
        (_cancelled("message m: outcome unknown: the call was cancelled"), "unknown", None),
        (_cancelled("message m: confirmed: the call was cancelled"), "confirmed", None),
        (_cancelled("message m: confirmed, but no queue is bound for it: the call was cancelled"), "unrouted", None),
        (_cancelled(f"message m: {Unroutable('m', 'NO_ROUTE')}: the call was cancelled"), "unroutable", None),
        (_cancelled("something else"), "odd", None),
    ],
)
def test_fates(outcome: object, word: str, attempts: int | None) -> None:
    """What a caller was told, in a word; it passes a pipe as it is."""
    told = told_of("t", outcome)
    assert (told.outcome, told.attempts) == (word, attempts)
    assert told.by_cancelling == isinstance(outcome, asyncio.CancelledError)
    assert decode(encode(told)) == told
    assert isinstance(told, MessageTold)


def test_memory() -> None:
    """From the first sample after a third of the time to the last: growth beyond the bounds is told."""
    samples = [Sample(at, at * 100, 40_000_000 + at, 100_000) for at in (10, 20, 30, 40, 50, 60)]
    memory = memory_of(samples)
    assert memory is not None
    assert (memory.third.at_s, memory.end.at_s) == (20, 60)
    assert memory_wrongs("threads", memory) == []
    assert memory_of(samples[:1]) is None
    assert memory_wrongs("threads", None) == []
    grown = [*samples, Sample(70, 7_000, 40_000_000 + MOST_GROWTH_BYTES + 1_000, 100_000)]
    assert [wrong.kind for wrong in memory_wrongs("threads", memory_of(grown))] == ["memory grows"]
    kept = [*samples, Sample(70, 1_000_000, 40_000_000, 1_100_000)]  # one object of each message
    assert [wrong.kind for wrong in memory_wrongs("threads", memory_of(kept))] == ["memory grows"]


def test_what_is_left() -> None:
    """A thread, a task or a descriptor more than before is told by name, as is a program that does not say."""
    before = Census("before", ["MainThread"], ["main"], ["pipe", "pipe"])
    assert census_wrongs("threads", before, before) == []
    after = Census("after", ["MainThread", "durable_ws"], ["main", "link"], ["pipe", "pipe", "socket"])
    wrongs = census_wrongs("threads", before, after)
    assert [wrong.kind for wrong in wrongs] == ["a thread is left", "a task is left", "a file descriptor is left"]
    assert [wrong.text for wrong in wrongs] == ["threads: durable_ws", "threads: link", "threads: socket"]
    assert [wrong.kind for wrong in census_wrongs("threads", before, None)] == ["the program ended by itself"]


def test_the_report_ends_with_the_verdict() -> None:
    """And so does the exit status: well, wrong, or inconclusive."""
    outcome = Outcome()
    outcome.totals.calls["threads", "publish"] = 1
    outcome.totals.messages["threads", "publish", "confirmed"] = 1
    assert "Nothing is wrong" in report(outcome)
    assert outcome.exit_status == 0
    outcome.inconclusive.append("no connection was cut")
    assert "inconclusive: no connection was cut" in report(outcome)
    assert outcome.exit_status == 3
    outcome.add(Wrong("a call ended late", f"number {number}") for number in range(30))
    assert "WRONG: a call ended late (30 times)" in report(outcome)
    assert report(outcome).count("a call ended late: number") == 10
    assert outcome.exit_status == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "0"], "--minutes: '0' is not a number from 0.1 to 1,440. Give one."),
        (["--minutes", "nan"], "--minutes: 'nan' is not a number"),
        (["--minutes", "ten"], "--minutes: 'ten' is not a number"),
        (["--seed", "1.5"], "--seed: '1.5' is not a whole number"),
        (["--callers", "0"], "--callers: '0' is not a whole number from 1 to 200"),
        (["--only", "ruby"], "--only: 'ruby' is no publisher. Take one of both, sync, async."),
        (["--broker", "amqp://localhost"], "--broker: 'amqp://localhost' runs already, and the soak kills its broker"),
        (["--broker", "dokcer"], "--broker: 'dokcer' is no way to get a broker. Did you mean docker?"),
    ],
)
def test_bad_arguments(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Field, value and way out, and status 2; never a traceback."""
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"Error: {said}")
