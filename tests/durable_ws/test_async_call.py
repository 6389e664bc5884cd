"""Where one task waits: awaited by asyncio's own tasks, those in C and those in Python, and told in each way."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from durable_ws import NotSent, Receipt
from durable_ws.async_call import AsyncCall
from durable_ws.async_waiters import Waiters
from durable_ws.job import Job
from durable_ws.message import build

pytestmark = pytest.mark.usefixtures("each_loop")

RECEIPT = Receipt("m", True, 1, 0.5)
WHO: ContextVar[str] = ContextVar("who", default="nobody")

Act = Callable[[], Coroutine[Any, Any, None]]


def python_task(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any) -> Any:
    """As asyncio makes tasks where it has none in C."""
    return asyncio.tasks._PyTask(coro, loop=loop, **options)  # type: ignore[attr-defined]


KINDS: dict[str, Any] = {"c": None, "python": python_task}
if hasattr(asyncio, "eager_task_factory"):  # 3.12
    KINDS["eager"] = asyncio.eager_task_factory


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, each_loop: str) -> Callable[[Act], None]:
    """Run it with tasks of that kind, on a loop that says what goes wrong behind the back."""

    def run(act: Act) -> None:
        if (request.param, each_loop) == ("eager", "uvloop"):
            pytest.skip("what uvloop asks of a task factory, not every release of Python 3.13 has")

        async def main() -> None:
            loop = asyncio.get_running_loop()
            wrong: list[dict[str, Any]] = []
            loop.set_exception_handler(lambda _, context: wrong.append(context))
            loop.set_task_factory(KINDS[request.param])
            async with asyncio.timeout(20):
                await loop.create_task(act())
            assert wrong == []

        asyncio.run(main())

    return run


def waiters() -> Waiters:
    """Of the running loop."""
    return Waiters(asyncio.get_running_loop(), lambda: None)


def make(cancelled: Callable[[Job], str] = lambda _: "outcome unknown") -> AsyncCall:
    """One of the running loop, with its job."""
    call = AsyncCall(waiters(), "m", cancelled)
    call.job = Job(build("a", exchange="x", message_id="m"), 0.0, 1.0, None, False, call)
    return call


async def of(call: Awaitable[Receipt]) -> Receipt:
    """What a task gets that awaits it."""
    try:
        return await call
    finally:
        del call  # as the publisher does


async def awaited(call: AsyncCall) -> None:
    """Until a task awaits it."""
    while call._wake is None:  # noqa: ASYNC110 - it is the turns of the loop that matter
        await asyncio.sleep(0)


async def begun(call: AsyncCall) -> asyncio.Task[Receipt]:
    """A task that awaits it already."""
    task = asyncio.get_running_loop().create_task(of(call))
    await awaited(call)
    return task


def test_it_is_told_before_it_is_awaited(run: Callable[[Act], None]) -> None:
    """Then nobody waits."""

    async def act() -> None:
        call = make()
        assert (call.done(), call.outcome) == (False, None)
        call.set_result(RECEIPT)
        assert (call.done(), call.outcome) == (True, RECEIPT)
        assert await call is RECEIPT
        failed = make()
        error = NotSent("m", "too late", attempts=0)
        failed.set_exception(error)
        assert (failed.done(), failed.outcome) == (True, error)
        with pytest.raises(NotSent) as caught:
            await failed
        assert caught.value is error

    run(act)


def test_it_is_told_while_a_task_waits(run: Callable[[Act], None]) -> None:
    """It goes on in the loop's next turn, as after any future."""

    async def act() -> None:
        call = make()
        task = await begun(call)
        assert asyncio.isfuture(call)
        call.set_result(RECEIPT)
        assert not task.done()
        assert await task is RECEIPT
        failed = make()
        task = await begun(failed)
        failed.set_exception(NotSent("m", "too late", attempts=0))
        assert not task.done()
        with pytest.raises(NotSent, match="too late"):
            await task

    run(act)


def test_it_is_woken_at_once(run: Callable[[Act], None]) -> None:
    """The task has gone on to its next wait, in its own context, when the callback that tells it returns."""
    seen: list[object] = []

    async def act() -> None:
        loop = asyncio.get_running_loop()
        calls = [make() for _ in range(3)]

        async def publish() -> None:
            WHO.set("the task")
            for call in calls:
                seen.append(await call)
                seen.append((WHO.get(), asyncio.current_task() is task))

        def tell(call: AsyncCall) -> None:
            assert asyncio.current_task() is None
            seen.append("before")
            call.tell_last(RECEIPT)
            seen.append(("after", WHO.get()))
            assert asyncio.current_task() is None

        task = loop.create_task(publish())
        for call in calls:
            await awaited(call)
            loop.call_soon(tell, call)
        await task
        assert seen == ["before", RECEIPT, ("the task", True), ("after", "nobody")] * 3

    run(act)


def test_told_last_before_it_is_awaited(run: Callable[[Act], None]) -> None:
    """It is kept."""

    async def act() -> None:
        call = make()
        call.tell_last(RECEIPT)
        assert await of(call) is RECEIPT

    run(act)


@pytest.mark.parametrize("reason", [None, "why"])
def test_its_task_is_cancelled(run: Callable[[Act], None], reason: str | None) -> None:
    """The job is settled once, the fate is kept, and what is told later is nobody's concern."""
    settled: list[Job] = []

    def cancelled(job: Job) -> str:
        assert call.done(), "first, so that nothing is told besides"
        settled.append(job)
        return "not sent"

    async def act() -> None:
        nonlocal call
        call = make(cancelled)
        job = call.job
        task = await begun(call)
        assert call.fate is None
        assert task.cancel(reason)
        assert (call.job, call.fate, settled) == (None, "not sent", [job])
        assert not task.done()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == (() if reason is None else (reason,))
        assert call.cancel() is False
        assert settled == [job]

    call: AsyncCall
    run(act)


@pytest.mark.parametrize("told", [RECEIPT, NotSent("m", "too late", attempts=0)], ids=["receipt", "error"])
def test_cancelled_once_it_was_told(run: Callable[[Act], None], told: Any) -> None:
    """The task is cancelled all the same, and the outcome is there to be looked at."""

    async def act() -> None:
        call = make()
        call.job = None  # as who settles it does
        task = await begun(call)
        (call.set_result if told is RECEIPT else call.set_exception)(told)
        assert call.cancel() is False
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (call.outcome, call.fate) == (told, None)

    run(act)


def test_cancelled_without_a_job(run: Callable[[Act], None]) -> None:
    """Nothing is there to be settled."""

    async def act() -> None:
        call = make()
        call.job = None
        assert call.cancel() is True
        assert call.fate is None
        with pytest.raises(asyncio.CancelledError):
            await call

    run(act)


def test_cancelled_by_the_end_of_its_time(run: Callable[[Act], None]) -> None:
    """As asyncio.timeout does it."""

    async def act() -> None:
        call = make()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await call
        assert call.fate == "outcome unknown"

    run(act)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_loop(error: type[BaseException]) -> None:
    """It does, as it would from the task's own turn: asyncio's before those who wait for the task."""
    seen: list[str] = []
    loop = asyncio.new_event_loop()

    async def act() -> None:
        call = make()

        async def publish() -> None:
            await call
            raise error

        task = loop.create_task(publish())
        await awaited(call)
        loop.call_soon(call.tell_last, RECEIPT)
        with pytest.raises(error):
            await task
        seen.append("it is told, too")

    try:
        with pytest.raises(error):
            loop.run_until_complete(act())
        if isinstance(loop, asyncio.BaseEventLoop):
            assert seen == []
            loop.run_until_complete(asyncio.sleep(0))
        assert seen == ["it is told, too"]
    finally:
        loop.close()


def test_another_error_stays_in_the_task(run: Callable[[Act], None]) -> None:
    """Who tells hears nothing of it."""

    async def act() -> None:
        call = make()

        async def publish() -> None:
            await call
            raise LookupError("the user's own")

        task = asyncio.get_running_loop().create_task(publish())
        await awaited(call)
        asyncio.get_running_loop().call_soon(call.tell_last, RECEIPT)
        with pytest.raises(LookupError, match="the user's own"):
            await task

    run(act)


@pytest.mark.unmutated
@pytest.mark.parametrize("at_once", [False, True])
def test_nothing_holds_it(at_once: bool) -> None:
    """Neither a receipt nor an error leaves a ring of references behind (a task in Python has one of its own)."""

    class Noted(AsyncCall):
        __slots__ = ("__weakref__",)

    def tell(who: Waiters, calls: list[AsyncCall], told: Receipt | NotSent) -> None:
        if isinstance(told, Receipt):
            calls.pop().set_result(told)
        else:
            calls.pop().set_exception(told)
        if at_once:
            who.go_on()

    async def act() -> None:
        gc.disable()
        try:
            for told in (RECEIPT, NotSent("m", "too late", attempts=0)):
                who = waiters()
                call = Noted(who, "m", lambda _: "")
                task = await begun(call)
                asyncio.get_running_loop().call_soon(tell, who, [call], told)
                await asyncio.wait([task])
                assert (task.exception() is None) is isinstance(told, Receipt)
                seen = weakref.ref(call)
                del call, task, told
                assert seen() is None
        finally:
            gc.enable()

    asyncio.run(act())
