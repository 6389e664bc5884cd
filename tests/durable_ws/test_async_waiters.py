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


class Noted:
    """Waiters of the running loop, and what happens to them, in order."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.waiters = Waiters(asyncio.get_running_loop(), lambda: self.seen.append(("woken", self.waiters.waking)))

    def tell(self, name: str, then: Callable[[], object] = lambda: None) -> None:
        """Wake one of that name, who does something then."""

        def go_on(told: str) -> None:
            self.seen.append((told, WHO.get(), self.waiters.waking))
            then()

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


def test_they_go_on_at_the_end_of_the_block() -> None:
    """In their order and each in its context, and not before; then the owner is called, once."""

    async def act(noted: Noted) -> None:
        for _ in range(2):
            with noted.waiters:
                noted.tell("a")
                noted.tell("b")
                assert noted.seen == []
            assert noted.seen == [("a", "a", True), ("b", "b", True), ("woken", False)]
            assert await noted.next_turn() == []

    run(act)


def test_outside_of_a_block() -> None:
    """In the loop's next turn, and the owner need not know."""

    async def act(noted: Noted) -> None:
        assert noted.waiters.loop is asyncio.get_running_loop()
        with noted.waiters:
            pass  # nobody was told
        noted.tell("a")
        assert noted.seen == []
        assert await noted.next_turn() == [("a", "a", False)]

    run(act)


def test_told_by_one_who_goes_on() -> None:
    """As outside of a block: no task has its turn within another's."""

    async def act(noted: Noted) -> None:
        with noted.waiters:
            noted.tell("a", lambda: noted.tell("c"))
            noted.tell("b")
        assert noted.seen == [("a", "a", True), ("b", "b", True), ("woken", False)]
        assert await noted.next_turn() == [("c", "c", False)]

    run(act)


def test_a_block_that_raises() -> None:
    """Who was told before goes on in the next turn, and the next block is as any other."""

    def tell_two(noted: Noted) -> None:
        noted.tell("a")
        noted.tell("b")
        raise LookupError

    async def act(noted: Noted) -> None:
        with pytest.raises(LookupError), noted.waiters:
            tell_two(noted)
        assert noted.seen == []
        noted.tell("c")
        assert await noted.next_turn() == [("a", "a", False), ("b", "b", False), ("c", "c", False)]
        noted.seen.clear()
        with noted.waiters:
            noted.tell("d")
        assert noted.seen == [("d", "d", True), ("woken", False)]

    run(act)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_one_who_ends_the_loop(error: type[BaseException], at_once: bool) -> None:
    """Once it runs on, the others and the owner have their turn."""
    struck = error()

    def end() -> None:
        raise struck

    async def begin() -> Noted:
        return Noted()

    def tell() -> None:
        if at_once:
            noted.waiters.wake_now(lambda _: end(), None, copy_context())
        else:
            with noted.waiters:
                for name in "abc":
                    noted.tell(name, end if name == "a" else lambda: None)

    loop = asyncio.new_event_loop()
    try:
        noted = loop.run_until_complete(begin())
        loop.call_soon(tell)
        with pytest.raises(error) as caught:
            loop.run_forever()
        assert caught.value is struck
        loop.run_until_complete(asyncio.sleep(0))
        others = [("b", "b", False), ("c", "c", False), ("woken", False)]
        assert noted.seen == ([] if at_once else [("a", "a", True), *others])
        assert not noted.waiters.waking
    finally:
        loop.close()
