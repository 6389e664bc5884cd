"""When those who wait go on: with the callback that has heard the broker, or in the loop's next turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from durable_ws.async_waiters import Waiters

pytestmark = pytest.mark.usefixtures("each_loop")

WHO: ContextVar[str] = ContextVar("who", default="nobody")
OWNER = "owner"


class Noted:
    """Waiters of the running loop, and what happens to them, in order."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.waiters = Waiters(asyncio.get_running_loop(), lambda: self.seen.append(OWNER))

    def tell(self, *names: str, then: Callable[[], object] = lambda: None) -> None:
        """Wake some of these names, who do something then."""

        def go_on(told: str) -> None:
            self.seen.append((told, WHO.get()))
            then()

        for name in names:
            context = copy_context()
            context.run(WHO.set, name)
            self.waiters.wake(go_on, name, context)

    async def next_turn(self) -> list[Any]:
        """What happens in it."""
        self.seen.clear()
        await asyncio.sleep(0)
        return self.seen


def run(act: Callable[[Noted], Any]) -> None:
    """On a loop of its own."""

    async def main() -> None:
        await act(Noted())

    asyncio.run(main())


def test_they_go_on_at_the_end_of_the_callback() -> None:
    """In their order and each in its context, and not before; then the owner is called; and all of it once."""

    async def act(noted: Noted) -> None:
        assert noted.waiters.loop is asyncio.get_running_loop()
        for _ in range(2):
            noted.seen.clear()
            noted.tell("a", "b")
            assert noted.seen == []
            noted.waiters.go_on()
            assert noted.seen == [("a", "a"), ("b", "b"), OWNER]
            assert await noted.next_turn() == [OWNER]
            assert await noted.next_turn() == []

    run(act)


def test_nobody_was_told() -> None:
    """Nothing happens."""

    async def act(noted: Noted) -> None:
        noted.waiters.go_on()
        assert noted.seen == []
        assert await noted.next_turn() == []

    run(act)


def test_told_elsewhere() -> None:
    """They go on in the loop's next turn, once, and then the owner is called."""

    async def act(noted: Noted) -> None:
        for _ in range(2):
            noted.tell("a", "b")
            assert await noted.next_turn() == [("a", "a"), ("b", "b"), OWNER]
            assert await noted.next_turn() == []

    run(act)


@pytest.mark.parametrize("at_once", [False, True])
def test_told_by_one_who_goes_on(at_once: bool) -> None:
    """In the next turn: no task has its turn within another's, and others have theirs between."""

    async def act(noted: Noted) -> None:
        noted.tell("a", then=lambda: noted.tell("c"))
        noted.tell("b")
        if at_once:
            noted.waiters.go_on()
        else:
            await noted.next_turn()
        assert noted.seen == [("a", "a"), ("b", "b"), OWNER]
        assert await noted.next_turn() == [("c", "c"), OWNER]

    run(act)


def test_whoever_runs_the_loop_meanwhile() -> None:
    """As nest_asyncio lets a task do: in that turn the owner is called, and the others go on."""

    async def act(noted: Noted) -> None:
        def turn_of_the_loop() -> None:
            (handle,) = handles
            handle()

        handles: list[Callable[[], object]] = []
        noted.waiters.loop = Turns(handles)  # type: ignore[assignment]
        noted.tell("a", then=turn_of_the_loop)
        noted.tell("b")
        noted.waiters.go_on()
        assert noted.seen == [("a", "a"), ("b", "b"), OWNER, OWNER]

    run(act)


class Turns:
    """A loop that only notes what it is to call."""

    def __init__(self, handles: list[Callable[[], object]]) -> None:
        self._handles = handles

    def call_soon(self, handle: Callable[[], object]) -> None:
        """Noted."""
        self._handles.append(handle)


@pytest.mark.parametrize("way", ["at once", "at the end", "in the next turn"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_one_who_ends_the_loop(error: type[BaseException], way: str) -> None:
    """Once it runs on, the others and the owner have their turn."""
    struck = error()

    def end() -> None:
        raise struck

    async def begin() -> Noted:
        return Noted()

    def tell() -> None:
        if way == "at once":
            noted.waiters.wake_now(lambda _: end(), None, copy_context())
        else:
            noted.tell("a", then=end)
            noted.tell("b", "c")
            if way == "at the end":
                noted.waiters.go_on()

    loop = asyncio.new_event_loop()
    try:
        noted = loop.run_until_complete(begin())
        loop.call_soon(tell)
        with pytest.raises(error) as caught:
            loop.run_forever()
        assert caught.value is struck
        loop.run_until_complete(asyncio.sleep(0))
        told = [("a", "a"), ("b", "b"), ("c", "c")]
        assert noted.seen[:3] == ([] if way == "at once" else told)
        assert set(noted.seen[3:]) == (set() if way == "at once" else {OWNER})
    finally:
        loop.close()
