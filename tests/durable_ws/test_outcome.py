"""Where the outcome of a message goes: nobody who asks misses it, whoever is first, and nobody hears it twice."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import itertools
import logging
import math
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import _base
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import durable_ws.outcome
from durable_ws import Nacked, OutcomeUnknown, PublishError, Receipt
from durable_ws.outcome import Call, Outcome
from tests.durable_ws.fake_broker import WAIT_S

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Wait

RECEIPT = Receipt("m", True, 1, 0.5)
SHORT_S = 0.002
"""What has to wait for another may take so long; where more is needed, a test sees less and does not fail."""

ROUNDS = 200
MADE_ON_DEMAND = {"_condition", "_waiters", "_done_callbacks"}

T = TypeVar("T")
Fate = Receipt | PublishError
Ask = Callable[[Outcome, list[object]], None]


@pytest.fixture(params=["receipt", "error"])
def fate(request: pytest.FixtureRequest) -> Fate:
    """What is told."""
    return RECEIPT if request.param == "receipt" else Nacked("m", "why")


def begin(work: Callable[..., T], *arguments: Any) -> futures.Future[T]:
    """Do it in a thread of its own, which is left alone should it wait in vain."""
    ended = futures.Future[T]()

    def run() -> None:
        try:
            ended.set_result(work(*arguments))
        except BaseException as exc:  # noqa: BLE001 - it is the test's
            ended.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return ended


def end_of(begun: futures.Future[Receipt]) -> object:
    """What came of it, by and by."""
    error = begun.exception(WAIT_S / 2)
    if error is not None:
        return error
    assert isinstance(begun.result(), Receipt)
    return begun.result()


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """What is told and not noticed shows by the time that a wait takes, as each looks once more in the end."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < WAIT_S, "waited in vain"


def tell(outcome: Outcome | Call, fate: Fate) -> None:
    """As the I/O thread does."""
    if isinstance(fate, Receipt):
        outcome.set_result(fate)
    else:
        outcome.set_exception(fate)


def told(outcome: futures.Future[Receipt]) -> object:
    """What it was told, without a wait."""
    return outcome.exception(0) or outcome.result(0)


def asleep(outcome: Outcome) -> int:
    """How many wait in ``result()`` or ``exception()``."""
    return len(vars(outcome).get("_sleepers", ()))


def left_behind(outcome: Outcome) -> list[object]:
    """All that stands in its lists."""
    return [one for held in vars(outcome).values() if isinstance(held, list) for one in held]


# One thread


def test_before_it_is_told() -> None:
    """It is pending."""
    outcome = Outcome()
    assert isinstance(outcome, futures.Future)
    assert (outcome.done(), outcome.running(), outcome.cancelled()) == (False, False, False)
    assert repr(outcome) == f"<Outcome at {id(outcome):#x} state=pending>"


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_receipt(asked_before: bool) -> None:
    """It is the result, and there is no exception."""
    outcome = Outcome()
    if asked_before:
        assert not outcome.running()
    outcome.set_result(RECEIPT)
    assert outcome.result() is RECEIPT
    assert outcome.exception() is None
    assert (outcome.done(), outcome.running(), outcome.cancelled()) == (True, False, False)
    assert repr(outcome) == f"<Outcome at {id(outcome):#x} state=finished returned Receipt>"


@pytest.mark.parametrize("asked_before", [False, True])
def test_an_error(asked_before: bool) -> None:
    """It is raised each time, the very same, and it is the exception."""
    outcome, error = Outcome(), OutcomeUnknown("m", "why", attempts=2)
    if asked_before:
        assert not outcome.running()
    outcome.set_exception(error)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown) as raised:
            outcome.result()
        assert raised.value is error
    assert outcome.exception() is error
    assert (outcome.done(), outcome.running(), outcome.cancelled()) == (True, False, False)
    assert repr(outcome) == f"<Outcome at {id(outcome):#x} state=finished raised OutcomeUnknown>"


@pytest.mark.parametrize("timeout", [None, 0, 0.0, -1, 0.01, 1e300, math.inf, -math.inf])
def test_who_comes_late_does_not_wait(timeout: float | None, fate: Fate) -> None:
    """Whatever the timeout."""
    outcome = Outcome()
    tell(outcome, fate)
    assert outcome.exception(timeout) is (None if fate is RECEIPT else fate)
    with contextlib.nullcontext() if fate is RECEIPT else pytest.raises(Nacked):
        assert outcome.result(timeout) is RECEIPT


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, -1e300, -math.inf, 0.05])
def test_a_wait_in_vain(timeout: float) -> None:
    """It takes as long as it may, and no time where that is none; the outcome can still be told."""
    outcome = Outcome()
    for ask in (outcome.result, outcome.exception):
        began = time.monotonic()
        with pytest.raises(futures.TimeoutError):
            ask(timeout)
        assert max(0.0, timeout) <= time.monotonic() - began < WAIT_S / 2
    assert not outcome.done()
    outcome.set_result(RECEIPT)
    assert outcome.result(timeout) is RECEIPT


def test_waits_in_vain_leave_nothing_behind() -> None:
    """Or who looks again and again would fill the memory."""
    outcome = Outcome()
    for _ in range(200):
        for ask in (outcome.result, outcome.exception):
            with pytest.raises(TimeoutError):
                ask(0)
        assert futures.wait([outcome], 0).not_done == {outcome}
        with pytest.raises(TimeoutError):
            next(futures.as_completed([outcome], 0))
    assert left_behind(outcome) == []


def test_it_can_not_be_cancelled(fate: Fate) -> None:
    """The answer is no, before and after, and nothing has changed."""
    outcome, called = Outcome(), list[object]()
    outcome.add_done_callback(called.append)
    before = dict(vars(outcome))
    assert outcome.cancel() is False
    assert vars(outcome) == before
    assert not outcome.cancelled()
    assert called == []
    tell(outcome, fate)
    before = dict(vars(outcome))
    assert outcome.cancel() is False
    assert vars(outcome) == before
    assert not outcome.cancelled()
    assert called == [outcome]
    assert told(outcome) is fate


def test_what_nobody_asks_for_is_not_made(wait: Wait, fate: Fate) -> None:
    """Neither by those who look whether it is done, nor by those who wait for the result, nor by telling."""
    outcome, new = Outcome(), vars(Outcome()).keys()
    assert not new & MADE_ON_DEMAND
    assert not outcome.done()
    assert not outcome.cancel()
    assert vars(outcome).keys() == new
    waits = begin(outcome.exception, WAIT_S)
    wait(lambda: asleep(outcome), "it sleeps")
    unasked = Outcome()
    for one in (outcome, unasked):
        tell(one, fate)
        assert one.done()
        assert told(one) is fate
    waits.result()
    for one in (outcome, unasked):
        assert not vars(one).keys() & MADE_ON_DEMAND
        assert not any(isinstance(held, threading.Condition) for held in vars(one).values())
    assert not any(isinstance(held, list) for held in vars(unasked).values())


@pytest.mark.parametrize("name", sorted(MADE_ON_DEMAND))
def test_what_somebody_asks_for_is_made_once(name: str) -> None:
    """The same for all."""
    outcome = Outcome()
    made = getattr(outcome, name)
    assert getattr(outcome, name) is made
    assert getattr(Outcome(), name) is not made


@pytest.mark.parametrize("name", ["nothing", "_nothing", "__deepcopy__", "_MADE"])
def test_what_it_does_not_have(name: str) -> None:
    """The error names it, as Python's own does."""
    outcome = Outcome()
    with pytest.raises(AttributeError, match=rf"^'Outcome' object has no attribute '{name}'$"):
        getattr(outcome, name)
    assert not hasattr(outcome, name)
    assert getattr(outcome, name, "another") == "another"


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
def test_copies(duplicate: Callable[[Outcome], Outcome], asked: bool, fate: Fate) -> None:
    """Nobody needs one: it can be had or not, and looking for what a copy does not have yet comes to an end."""
    outcome = Outcome()
    if asked:
        assert not outcome.running()
    with contextlib.suppress(TypeError):  # a lock can't be copied
        assert not duplicate(outcome).done()
    tell(outcome, fate)
    with contextlib.suppress(TypeError):
        assert str(told(duplicate(outcome))) == str(fate)
    bare = Outcome.__new__(Outcome)
    assert not hasattr(bare, "_state") or not bare.done()
    assert told(outcome) is fate


# Callbacks, and what the standard library does with futures


def test_callbacks(fate: Fate) -> None:
    """Those of before are called in their order by the thread that tells, those of after by their own, each once."""
    outcome, called = Outcome(), list[object]()

    def note(n: int) -> Callable[[futures.Future[Receipt]], None]:
        return lambda done: called.append((n, done, told(done), threading.get_ident()))

    for n in range(3):
        outcome.add_done_callback(note(n))
    assert called == []
    teller = threading.Thread(target=tell, args=(outcome, fate))
    teller.start()
    teller.join()
    assert called == [(n, outcome, fate, teller.ident) for n in range(3)]
    outcome.add_done_callback(note(3))
    assert called[3:] == [(3, outcome, fate, threading.get_ident())]


def test_a_callback_that_adds_another(fate: Fate) -> None:
    """That one is called at once: the outcome is known."""
    outcome, called = Outcome(), list[object]()

    def first(done: futures.Future[Receipt]) -> None:
        done.add_done_callback(lambda _: called.append("inner"))
        called.append("outer")

    outcome.add_done_callback(first)
    outcome.add_done_callback(lambda _: called.append("second"))
    tell(outcome, fate)
    assert called == ["inner", "outer", "second"]


def test_a_callback_that_fails(fate: Fate, caplog: pytest.LogCaptureFixture) -> None:
    """Its error stands in the log; it harms neither the other callbacks, nor who tells, nor who asks."""
    outcome, called, error = Outcome(), list[object](), ValueError("the callback's own")

    def fail(_: object) -> None:
        raise error

    outcome.add_done_callback(called.append)
    outcome.add_done_callback(fail)
    outcome.add_done_callback(called.append)
    tell(outcome, fate)
    assert called == [outcome] * 2
    outcome.add_done_callback(fail)
    assert told(outcome) is fate
    assert [(record.name, record.levelno) for record in caplog.records] == [("concurrent.futures", logging.ERROR)] * 2
    assert [record.exc_info and record.exc_info[1] for record in caplog.records] == [error] * 2


UNTIL = pytest.mark.parametrize(
    ("until", "enough"),
    [
        (futures.FIRST_COMPLETED, ["receipt"]),
        (futures.FIRST_EXCEPTION, ["receipt", "error"]),
        (futures.ALL_COMPLETED, ["receipt", "error", "last"]),
    ],
)
"""How many of three outcomes are enough for :func:`concurrent.futures.wait`, told in this order."""


def three() -> dict[str, tuple[Outcome, Fate]]:
    """Three outcomes, and what each is to be told."""
    return {
        name: (Outcome(), Nacked("m", "why") if name == "error" else RECEIPT) for name in ("receipt", "error", "last")
    }


@UNTIL
def test_wait_for_some(until: str, enough: list[str], wait: Wait) -> None:
    """It ends as soon as enough of them are told, and not before."""
    plan = three()
    outcomes = {outcome for outcome, _ in plan.values()}
    waits = begin(futures.wait, outcomes, WAIT_S, until)
    wait(lambda: all(outcome._waiters for outcome in outcomes), "the other thread waits")
    for name in enough:
        assert not futures.wait([waits], SHORT_S).done
        tell(*plan[name])
    done = {plan[name][0] for name in enough}
    assert waits.result(WAIT_S / 2) == (done, outcomes - done)
    assert [one for outcome in outcomes for one in left_behind(outcome)] == []


@UNTIL
def test_wait_for_some_that_are_told(until: str, enough: list[str]) -> None:
    """It ends at once where enough are, and else when its time is over."""
    plan = three()
    outcomes = {outcome for outcome, _ in plan.values()}
    done = set[Outcome]()
    for name in enough:
        assert futures.wait(outcomes, 0, until) == (done, outcomes - done)
        tell(*plan[name])
        done.add(plan[name][0])
    assert futures.wait(outcomes, None, until) == (done, outcomes - done)
    assert [one for outcome in outcomes for one in left_behind(outcome)] == []


def test_as_they_are_told() -> None:
    """Each once: those that are known, then the others in their order, whatever they were told."""
    plan = three()
    (first, _), (second, _), (third, _) = plan.values()
    tell(*plan["receipt"])
    found = futures.as_completed([first, second, third], WAIT_S)
    assert next(found) is first
    for name, outcome in (("error", second), ("last", third)):
        told_elsewhere = begin(tell, *plan[name])
        assert next(found) is outcome
        told_elsewhere.result()
    assert list(found) == []
    assert left_behind(first) + left_behind(second) + left_behind(third) == []


@pytest.mark.parametrize("first", ["told", "asked"])
def test_in_asyncio(first: str, fate: Fate) -> None:
    """It can be awaited."""
    outcome = Outcome()

    async def await_it() -> Receipt:
        wrapped = asyncio.wrap_future(outcome)
        if first == "asked":
            begin(tell, outcome, fate)
        return await asyncio.wait_for(wrapped, WAIT_S)

    if first == "told":
        tell(outcome, fate)
    if fate is RECEIPT:
        assert asyncio.run(await_it()) is RECEIPT
    else:
        with pytest.raises(Nacked) as raised:
            asyncio.run(await_it())
        assert raised.value is fate


def test_in_asyncio_who_is_cancelled_cancels_nothing(fate: Fate) -> None:
    """Only the future of the loop; what is told later troubles nobody there."""
    outcome = Outcome()

    async def give_up() -> None:
        trouble = list[object]()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: trouble.append(context))
        wrapped = asyncio.wrap_future(outcome)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        assert not outcome.cancelled()
        tell(outcome, fate)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert trouble == []

    asyncio.run(give_up())
    assert told(outcome) is fate


# Several threads


@pytest.mark.parametrize("timeout", [None, WAIT_S, 10 * threading.TIMEOUT_MAX, math.inf])
def test_all_that_wait_wake(timeout: float | None, fate: Fate, wait: Wait) -> None:
    """However long they would, and though others have lost their patience."""
    outcome = Outcome()
    results = [begin(outcome.result, timeout) for _ in range(3)]
    wait(lambda: asleep(outcome) == 3, "they sleep")
    impatient = [begin(outcome.result, 5 * SHORT_S) for _ in range(3)]
    exceptions = [begin(outcome.exception, timeout) for _ in range(3)]
    wait(lambda: asleep(outcome) >= 6 and all(one.done() for one in impatient), "all sleep, and some have woken")
    assert [type(one.exception()) for one in impatient] == [TimeoutError] * 3
    assert not any(one.done() for one in results)
    assert not any(one.done() for one in exceptions)
    tell(outcome, fate)
    assert [end_of(one) for one in results] == [fate] * 3
    assert [one.result(WAIT_S / 2) for one in exceptions] == [None if fate is RECEIPT else fate] * 3


@pytest.mark.parametrize(
    ("timeout", "lock_waits_s"), [(None, -1), (0.25, 0.25), (-1.0, 0.0), (math.inf, threading.TIMEOUT_MAX)]
)
def test_how_long_a_thread_waits(monkeypatch: pytest.MonkeyPatch, timeout: float | None, lock_waits_s: float) -> None:
    """As long as it said, and no longer than a lock can; without a time for ever, which is -1 for a lock."""
    waits: list[float | None] = []

    class Lock:
        def acquire(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    monkeypatch.setattr(durable_ws.outcome.threading, "Lock", Lock)
    with pytest.raises(TimeoutError):
        Outcome().result(timeout)
    assert waits == [None, lock_waits_s]


def test_who_gives_up_while_it_is_told_keeps_nobody_from_waking(wait: Wait) -> None:
    """Those behind it move up meanwhile."""
    outcome = Outcome()

    class GivesUp:
        def release(self) -> None:
            outcome._sleepers.remove(self)

    outcome._sleepers.append(GivesUp())
    waits = begin(outcome.result, WAIT_S)
    wait(lambda: asleep(outcome) == 2, "the other sleeps")
    outcome.set_result(RECEIPT)
    assert end_of(waits) is RECEIPT


def tell_who_sleeps(outcome: Outcome, fate: Fate, wait: Wait) -> None:
    """Once somebody does."""
    wait(lambda: asleep(outcome), "somebody sleeps")
    tell(outcome, fate)


@pytest.mark.unmutated
def test_an_error_and_its_outcome_do_not_hold_each_other(wait: Wait) -> None:
    """Who keeps the error, with its traceback, keeps nothing else; no garbage is left for the collector."""
    outcome, error = Outcome(), Nacked("m", "why")
    teller = threading.Thread(target=tell_who_sleeps, args=(outcome, error, wait))
    gc.collect()
    gc.disable()
    try:
        teller.start()
        for _ in range(2):
            raised = False
            try:
                outcome.result(WAIT_S)
            except Nacked as exc:
                raised = exc is error
            assert raised
        teller.join()
        del teller
        outcome_lives, error_lives = weakref.ref(outcome), weakref.ref(error)
        del outcome
        assert outcome_lives() is None
        assert error.__traceback__ is not None
        del error
        assert error_lives() is None
    finally:
        gc.enable()


# All ways to ask: each notes what it was told, and fails where that does not come


def by_result(outcome: Outcome, got: list[object]) -> None:
    """Wait for the receipt."""
    with in_time():
        try:
            got.append(outcome.result(WAIT_S))
        except PublishError as exc:
            got.append(exc)


def by_exception(outcome: Outcome, got: list[object]) -> None:
    """Wait for the error."""
    with in_time():
        got.append(outcome.exception(WAIT_S) or told(outcome))


def by_callback(outcome: Outcome, got: list[object]) -> None:
    """Be called."""
    outcome.add_done_callback(lambda done: got.append(told(done)))


def wait_for(*outcomes: Outcome, until: str = futures.ALL_COMPLETED) -> set[futures.Future[Receipt]]:
    """Those that are told, once they are enough."""
    with in_time():
        return futures.wait(outcomes, WAIT_S, until).done


def by_wait(outcome: Outcome, got: list[object]) -> None:
    """Wait for this one alone."""
    got.extend(map(told, wait_for(outcome)))


def by_wait_until_an_error(outcome: Outcome, got: list[object]) -> None:
    """Wait for this one alone, with the other way to wait for all."""
    got.extend(map(told, wait_for(outcome, until=futures.FIRST_EXCEPTION)))


def by_wait_for_one_of_two(outcome: Outcome, got: list[object]) -> None:
    """Wait for this one, beside another that is never told."""
    got.extend(map(told, wait_for(outcome, Outcome(), until=futures.FIRST_COMPLETED)))


def told_a_moment_after(outcome: Outcome) -> Outcome:
    """Another, whose turn comes when all who wait for this one know."""
    other = Outcome()
    outcome.add_done_callback(lambda _: threading.Timer(2 * SHORT_S, other.set_result, [RECEIPT]).start())
    return other


def by_wait_for_two(outcome: Outcome, got: list[object]) -> None:
    """Wait for both, of which this one is told first: a wait that ends too soon has not got the other."""
    other = told_a_moment_after(outcome)
    assert wait_for(outcome, other) == {outcome, other}
    got.append(told(outcome))


def by_as_completed(outcome: Outcome, got: list[object]) -> None:
    """Take them as they are told, each once."""
    other = told_a_moment_after(outcome)
    completed = list(futures.as_completed([outcome, other], WAIT_S))
    assert completed in ([outcome, other], [other, outcome])  # in any order where this thread comes late
    got.append(told(outcome))


EACH_WAY = pytest.mark.parametrize(
    ("ask", "fate"),
    [
        (by_result, "receipt"),
        (by_result, "error"),
        (by_exception, "receipt"),
        (by_exception, "error"),
        (by_callback, "receipt"),
        (by_wait, "receipt"),
        (by_wait_until_an_error, "receipt"),
        (by_wait_until_an_error, "error"),
        (by_wait_for_one_of_two, "error"),
        (by_wait_for_two, "receipt"),
        (by_as_completed, "error"),
    ],
    indirect=["fate"],
)
THREE_WAYS = [by_result, by_callback, by_wait]


# Several threads at the same moment: by chance, many times


def race(*actions: Callable[[], object]) -> list[object]:
    """Let each be done by a thread of its own, all at once, and give what they returned."""
    start = threading.Barrier(len(actions))

    def go(action: Callable[[], object]) -> object:
        start.wait(WAIT_S)
        return action()

    return [one.result() for one in [begin(go, action) for action in actions]]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("ask", THREE_WAYS)
def test_a_race(ask: Ask) -> None:
    """Two that ask against the one that tells: each gets it, once, and nobody waits for ever."""
    for n in range(ROUNDS):
        outcome, got, fate = Outcome(), list[object](), Nacked("m", "why") if n % 2 else RECEIPT
        race(partial(tell, outcome, fate), partial(ask, outcome, got), partial(ask, outcome, got))
        assert got == [fate] * 2


@pytest.mark.usefixtures("hasty")
def test_a_race_of_three_ways(fate: Fate) -> None:
    """Whoever asks first, and however."""
    for _ in range(ROUNDS // 2):
        outcome, got = Outcome(), list[object]()
        race(partial(tell, outcome, fate), *(partial(ask, outcome, got) for ask in THREE_WAYS))
        assert got == [fate] * 3


@pytest.mark.usefixtures("hasty")
def test_a_race_of_two_outcomes(fate: Fate) -> None:
    """Who waits for both has both, and as they come each comes once."""
    for _ in range(ROUNDS // 2):
        pair = [Outcome(), Outcome()]
        _, _, all_told, completed = race(
            partial(tell, pair[0], fate),
            partial(tell, pair[1], RECEIPT),
            partial(wait_for, *pair),
            lambda pair=pair: sorted(futures.as_completed(pair, WAIT_S), key=pair.index),  # type: ignore[misc]
        )
        assert all_told == set(pair)
        assert completed == pair


# Several threads in each order: one is stopped at each of its steps in turn, while another gets as far as it can


TRACED = {durable_ws.outcome.__file__, _base.__file__}


def stopping(step: int, work: Callable[[], object], meanwhile: Callable[[], None]) -> bool:
    """Do the work in this thread, and something else before one of its lines, as a switch to another thread or a signal
    would; False: it has not so many, counted from 0."""

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal step
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            step -= 1
            if step == -1:
                meanwhile()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return step < 0


def at_each_step(attempt: Callable[[int], bool]) -> None:
    """Try step after step, until there is none of that number."""
    for step in itertools.count():
        if not attempt(step):
            assert step > 1
            return


def in_each_order(fate: Fate, first: Ask, *others: Ask, before: Ask | None = None, last: Ask | None = None) -> None:
    """Stop the first at each of its steps, until each of the others has got as far as it can, in a thread of its own,
    one after the other; the last comes when the first, too, has got as far as it can. All but one of them ask, and get
    what that one tells."""
    asks = len([one for one in (before, first, *others, last) if one is not None]) - 1

    def attempt(step: int) -> bool:
        outcome, got = Outcome(), list[object]()
        waiting, begun, one_at_a_time = deque(others), list[futures.Future[None]](), threading.Lock()

        def meanwhile() -> None:
            with one_at_a_time:
                while waiting:
                    begun.append(begin(waiting.popleft(), outcome, got))
                    futures.wait(begun[-1:], SHORT_S)

        if before is not None:
            before(outcome, got)
        stopped = begin(stopping, step, partial(first, outcome, got), meanwhile)
        futures.wait([stopped], SHORT_S)
        meanwhile()  # unless that was: the first waits for it, and has not come to this step
        if last is not None:
            futures.wait([stopped], SHORT_S)
            last(outcome, got)
        for one in begun:
            one.result(2 * WAIT_S)
        reached = stopped.result(2 * WAIT_S)
        assert got == [fate] * asks, f"stopped before step {step}"
        return reached

    at_each_step(attempt)


@EACH_WAY
def test_told_at_any_moment(ask: Ask, fate: Fate) -> None:
    """Wherever who asks has come to by then."""
    in_each_order(fate, ask, lambda outcome, _: tell(outcome, fate))


@EACH_WAY
def test_asked_at_any_moment(ask: Ask, fate: Fate) -> None:
    """Wherever who tells has come to by then."""
    in_each_order(fate, lambda outcome, _: tell(outcome, fate), ask)


@pytest.mark.parametrize("another", [by_result, by_callback])
@pytest.mark.parametrize("ask", THREE_WAYS)
def test_asked_by_another_and_told_at_any_moment(ask: Ask, another: Ask) -> None:
    """Wherever one has come to when another asks and both are told: neither misses it."""
    in_each_order(RECEIPT, ask, another, lambda outcome, _: outcome.set_result(RECEIPT))


@pytest.mark.parametrize("another", [by_result, by_callback])
@pytest.mark.parametrize("ask", THREE_WAYS)
def test_asked_by_another_at_any_moment(ask: Ask, another: Ask) -> None:
    """Wherever one has come to when another asks: when they are told, neither misses it."""
    in_each_order(RECEIPT, ask, another, last=lambda outcome, _: outcome.set_result(RECEIPT))


@pytest.mark.parametrize("another", [by_result, by_callback])
@pytest.mark.parametrize("ask", THREE_WAYS)
def test_asked_by_another_when_it_is_told(ask: Ask, another: Ask) -> None:
    """Wherever one has come to when another asks what both could know."""
    in_each_order(RECEIPT, ask, another, before=lambda outcome, _: outcome.set_result(RECEIPT))


def look(outcome: Outcome) -> None:
    """In the ways that take its condition, without a wait."""
    outcome.running()
    futures.wait([outcome, Outcome()], 0)


@pytest.mark.parametrize("first", ["who tells", "who looks"])
def test_called_by_the_thread_that_tells_at_any_moment(first: str) -> None:
    """Wherever it or another that looks has come to by then: that other may hold locks, or have to wait for room in the
    window, and is not known to run callbacks."""

    def attempt(step: int) -> bool:
        outcome, called, tellers = Outcome(), list[int](), list[int]()
        outcome.add_done_callback(lambda _: called.append(threading.get_ident()))

        def tell_it() -> None:
            tellers.append(threading.get_ident())
            outcome.set_result(RECEIPT)

        actions: list[Callable[[], None]] = [tell_it, partial(look, outcome)]
        stopped, other = actions if first == "who tells" else actions[::-1]
        begun = list[futures.Future[None]]()

        def meanwhile() -> None:
            begun.append(begin(other))
            futures.wait(begun, SHORT_S)

        reached = stopping(step, stopped, meanwhile)
        if not reached:
            other()
        for one in begun:
            one.result(WAIT_S)
        assert called == tellers, f"stopped before step {step}"
        return reached

    at_each_step(attempt)


@pytest.mark.parametrize("name", sorted(MADE_ON_DEMAND))
def test_made_once_at_any_moment(name: str) -> None:
    """Wherever one has come to when another asks for it, both have the same."""

    def attempt(step: int) -> bool:
        outcome, made = Outcome(), list[object]()

        def get() -> None:
            made.append(getattr(outcome, name))

        reached = stopping(step, get, lambda: begin(get).result(WAIT_S))
        get()
        assert all(one is made[0] for one in made), f"stopped before step {step}"
        assert len(made) == 2 + reached
        return reached

    at_each_step(attempt)


# Signals: what a handler does, it does in the midst of what its thread was about


class Struck(BaseException):
    """What a signal handler raises, as Ctrl-C's does."""


def strike() -> None:
    """Do so."""
    raise Struck


@pytest.mark.parametrize("ask", [by_result, by_exception])
def test_a_handler_that_tells_at_any_moment(ask: Ask, fate: Fate) -> None:
    """The thread that asks gets what it has told itself."""

    def attempt(step: int) -> bool:
        outcome, got, due = Outcome(), list[object](), deque([fate])

        def handler() -> None:
            with contextlib.suppress(IndexError):  # it was told
                tell(outcome, due.pop())

        asks = begin(stopping, step, partial(ask, outcome, got), handler)
        futures.wait([asks], SHORT_S)
        handler()  # unless that was: the other thread sleeps, and has not come to this step
        reached = asks.result(2 * WAIT_S)
        assert got == [fate], f"told before step {step}"
        return reached

    at_each_step(attempt)


@pytest.mark.parametrize("another", THREE_WAYS)
@pytest.mark.parametrize("method", ["result", "exception"])
def test_a_handler_that_raises_at_any_moment(method: str, another: Ask) -> None:
    """The outcome is as good as before: another who asks does not miss it."""

    def attempt(step: int) -> bool:
        outcome, got = Outcome(), list[object]()
        try:
            stopping(step, partial(getattr(outcome, method), 0), strike)
        except TimeoutError:
            return False
        except Struck:
            asks = begin(another, outcome, got)
            futures.wait([asks], SHORT_S)
            outcome.set_result(RECEIPT)
            asks.result(2 * WAIT_S)
            assert got == [RECEIPT], f"struck before step {step}"
        return True

    at_each_step(attempt)


PROGRAM = """
import signal, sys, threading, time
from durable_ws import Nacked, Receipt
from durable_ws.outcome import Call, Outcome
RECEIPT, MAIN, struck = Receipt("m", True, 1, 0.5), threading.main_thread().ident, []
def once(condition, act, *arguments):  # do it in another thread, when that holds
    def look():
        while not condition():
            time.sleep(0.001)
        act(*arguments)
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    return thread
def asleep(outcome):
    return len(vars(outcome).get("_sleepers", ()))
def strike():  # until it is seen: what comes right before a thread sleeps, Python sees when the next comes
    while not struck:
        signal.pthread_kill(MAIN, signal.SIGINT)
        time.sleep(0.002)
def on_strike(act):  # do it in the main thread, once
    def handler(*_):
        if not struck:
            struck.append(True)
            act()
    signal.signal(signal.SIGINT, handler)
    struck.clear()
"""


def run(tmp_path: Path, text: str) -> str:
    """Run a program, which must end in time and well; what it has printed."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], capture_output=True, text=True, timeout=60.0, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_handler_that_tells_what_the_main_thread_waits_for(tmp_path: Path) -> None:
    """It returns, whether it sleeps by then or not."""
    text = """
for ask in ("result", "exception"):
    outcome = Outcome()
    on_strike(lambda: outcome.set_result(RECEIPT))
    helper = once(lambda: asleep(outcome), strike)
    assert getattr(outcome, ask)() is {"result": RECEIPT, "exception": None}[ask]
    helper.join()
signal.signal(signal.SIGALRM, lambda *_: outcome.done() or outcome.set_result(RECEIPT))
for n in range(300):
    outcome = Outcome()
    signal.setitimer(signal.ITIMER_REAL, 0.00001 + n % 50 * 0.000002, 0.002)
    assert outcome.result() is RECEIPT
signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
"""
    assert run(tmp_path, text) == "done\n"


def test_a_handler_that_waits_itself(tmp_path: Path) -> None:
    """For another outcome, and then for this one, which the main thread waits for: all of them get it."""
    text = """
def wait_here():
    another.set_result(RECEIPT)
    assert another.result() is RECEIPT
    once(lambda: asleep(third), third.set_exception, error)
    assert third.exception() is error
    once(lambda: asleep(outcome) == 2, outcome.set_result, RECEIPT)
    got.append(outcome.result())
outcome, another, third, error, got = Outcome(), Outcome(), Outcome(), Nacked("m", "why"), []
on_strike(wait_here)
once(lambda: asleep(outcome), strike)
got.append(outcome.result())
assert got == [RECEIPT] * 2
print("done")
"""
    assert run(tmp_path, text) == "done\n"


@pytest.mark.unmutated
def test_ctrl_c_in_a_wait(tmp_path: Path) -> None:
    """It comes through at once; the outcome can be asked and told as if nothing had been, and so can a call."""
    text = """
def interrupt():
    raise KeyboardInterrupt
def interrupted(condition, wait):
    on_strike(interrupt)
    helper = once(condition, strike)
    try:
        wait()
    except KeyboardInterrupt:
        helper.join()
        print("struck")
outcome, called = Outcome(), []
for ask in (outcome.result, outcome.exception) * 2:
    before = asleep(outcome)
    interrupted(lambda: asleep(outcome) > before, ask)
assert not outcome.done()
outcome.add_done_callback(called.append)
before = asleep(outcome)
teller = once(lambda: asleep(outcome) > before, outcome.set_result, RECEIPT)
assert outcome.result() is RECEIPT
assert outcome.exception(0) is None
teller.join()
assert called == [outcome]
call = Call()
interrupted(lambda: sys._current_frames()[MAIN].f_code is Call.wait.__code__, call.wait)
assert not call.done()
call.set_result(RECEIPT)
assert call.done()
print("done")
"""
    assert run(tmp_path, text) == "struck\n" * 5 + "done\n"


# A call: one thread waits, once


def test_a_call(fate: Fate) -> None:
    """It is done once it is told, whether anybody waits or not; who waits then, gets it at once."""
    call = Call()
    assert call.done() is False
    tell(call, fate)
    assert call.done() is True
    assert end_of(begin(call.wait)) is fate
    assert call.done() is True


def test_a_call_waits_until_it_is_told(fate: Fate) -> None:
    """And no longer."""
    call = Call()
    got = begin(call.wait)
    assert not futures.wait([got], SHORT_S).done
    assert not call.done()
    tell(call, fate)
    assert end_of(got) is fate


@pytest.mark.usefixtures("hasty")
def test_a_race_for_a_call(fate: Fate) -> None:
    """Whoever is first, who waits gets it."""

    def wait(call: Call, start: threading.Barrier) -> Receipt:
        start.wait(WAIT_S)
        return call.wait()

    for _ in range(ROUNDS):
        call, start = Call(), threading.Barrier(2)
        waits = begin(wait, call, start)
        start.wait(WAIT_S)
        tell(call, fate)
        assert end_of(waits) is fate


def test_a_call_that_is_waited_for_at_any_moment(fate: Fate) -> None:
    """Wherever who tells has come to by then."""

    def attempt(step: int) -> bool:
        call, waits = Call(), list[futures.Future[Receipt]]()

        def meanwhile() -> None:
            waits.append(begin(call.wait))
            futures.wait(waits, SHORT_S)

        reached = stopping(step, partial(tell, call, fate), meanwhile)
        assert [end_of(one) for one in waits] == [fate] * reached, f"stopped before step {step}"
        return reached

    at_each_step(attempt)


@pytest.mark.parametrize("told_first", [False, True])
def test_a_call_whose_wait_is_struck_at_any_moment(told_first: bool, fate: Fate) -> None:
    """It can be told all the same."""

    def attempt(step: int) -> bool:
        call = Call()
        if told_first:
            tell(call, fate)
        elif step > 0:
            return step < 2  # it would wait there
        try:
            reached = stopping(step, call.wait, strike)
        except Nacked:
            return False
        except Struck:
            reached = True
        if not told_first:
            assert not call.done()
            tell(call, fate)
        assert call.done()
        return reached

    at_each_step(attempt)
