"""One publisher with many callers, in a process of its own, so that what it holds can be told from all else.

``python -m benchmarks.soak_publishers.program threads|tasks URL SEED CALLERS HEARTBEAT_S``. It reads commands, a line
each: ``go N`` (round N begins), ``hold`` (its calls come to their ends), ``close`` (the publisher is closed while it is
called), and tells what happens (:mod:`benchmarks.soak_publishers.records`). The end of its input without ``close`` ends
it at once.
"""

from __future__ import annotations

import asyncio
import faulthandler
import itertools
import os
import signal
import sys
import threading
import time
from typing import Any

from benchmarks.soak_publishers.callers_tasks import TaskCallers
from benchmarks.soak_publishers.callers_threads import Callers
from benchmarks.soak_publishers.calls import EXCHANGE, Drawer
from benchmarks.soak_publishers.records import Census
from benchmarks.soak_publishers.telling import Teller, Watcher, census, held, watch_logs
from durable_ws import AsyncPublisher, Exchange, Publisher

__all__ = ["is_observed", "main"]

_CLOSE_S = 3.0
_OBSERVER_S = 30.0
_LOG_S = 30.0
_AND_CONNECTIONS_S = 2.0  # for what close() has to say to the broker


def is_observed(kind: str, *, one_by_one: bool) -> bool:
    """Whether the publisher has an observer: that of threads that wait for each message has none: a shorter way."""
    return kind == "tasks" or not one_by_one


def _settings(watcher: Watcher | None, heartbeat_s: int) -> dict[str, Any]:
    """A publisher that is pressed: a small window, few connections, and no long pauses before it connects again."""
    return {
        "exchanges": {"pubsub": Exchange(EXCHANGE)},
        "max_connections": 3,
        "window": 60,
        "heartbeat_s": heartbeat_s,
        "connect_timeout_s": 3.0,
        "reconnect_first_s": 0.02,
        "reconnect_most_s": 0.2,
        "close_timeout_s": _CLOSE_S,
        "observer": watcher,
    }


def _threads(url: str, drawers: list[Drawer], teller: Teller, heartbeat_s: int, *, one_by_one: bool) -> None:
    watcher = Watcher(teller)
    before = census("before")
    teller.tell(before)
    observed = is_observed("threads", one_by_one=one_by_one)
    publisher = Publisher(url, **_settings(watcher if observed else None, heartbeat_s))
    callers = Callers(publisher, teller, drawers)
    round_ = 0
    for line in sys.stdin:
        match line.split():
            case ["go", number]:
                round_ = int(number)
                callers.go(round_)
            case ["hold"]:
                callers.hold()
                _wait(watcher)
                teller.tell(held(round_, watcher))
            case ["close"]:
                call = teller.begin("close")
                due = time.monotonic() + _CLOSE_S + _AND_CONNECTIONS_S
                publisher.close()
                teller.end(call, [(due, time.monotonic())])
                callers.hold()
                _wait(watcher)
                del publisher, callers
                teller.tell(held(round_, watcher))
                _wait_for_threads(before)
                teller.tell(census("after"))
                return
    os._exit(1)  # the soak has gone; callers that hang must not keep this alive


async def _tasks(url: str, drawers: list[Drawer], teller: Teller, heartbeat_s: int) -> None:
    watcher = Watcher(teller)
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in itertools.chain(iter(sys.stdin.readline, ""), ["gone"]):
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, name="commands", daemon=True).start()
    teller.tell(census("before", _names()))
    publisher = AsyncPublisher(url, **_settings(watcher, heartbeat_s))
    callers = TaskCallers(publisher, teller, drawers)
    round_ = 0
    while True:
        match (await lines.get()).split():
            case ["go", number]:
                round_ = int(number)
                callers.go(round_)
            case ["hold"]:
                await callers.hold()
                await _wait_on_loop(watcher)
                teller.tell(held(round_, watcher))
            case ["close"]:
                call = teller.begin("close")
                due = time.monotonic() + _CLOSE_S + _AND_CONNECTIONS_S
                await publisher.close()
                teller.end(call, [(due, time.monotonic())])
                await callers.hold()
                del publisher, callers
                await _wait_on_loop(watcher)
                await asyncio.sleep(0)  # a socket that was closed is let go in the next round of the loop
                teller.tell(held(round_, watcher))
                teller.tell(census("after", _names()))
                return
            case _:
                os._exit(1)


def _wait(watcher: Watcher) -> None:
    """The observer may hear of the last messages a moment after their callers."""
    ends = time.monotonic() + _OBSERVER_S
    while watcher.unsettled and time.monotonic() < ends:
        time.sleep(0.01)  # between two looks: nobody tells that the observer has heard it all


def _wait_for_threads(before: Census) -> None:
    """The thread that writes the publisher's log may end a moment after ``close()``, which waits a second for it."""
    ends = time.monotonic() + _LOG_S
    while sorted(thread.name for thread in threading.enumerate()) != before.threads and time.monotonic() < ends:
        time.sleep(0.01)  # between two looks


async def _wait_on_loop(watcher: Watcher) -> None:
    """The same where the observer is told on this loop."""
    ends = time.monotonic() + _OBSERVER_S
    while watcher.unsettled and time.monotonic() < ends:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)


def _names() -> list[str]:
    return [str(task.get_coro()).split(" at ")[0] for task in asyncio.all_tasks()]


def main(arguments: list[str]) -> None:
    """Run it; see the module."""
    kind, url, seed, callers, ways, heartbeat_s = arguments
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # for a soak that waits for a call in vain
    teller = Teller(sys.stdout.buffer)
    watch_logs(teller)
    tasks = kind == "tasks"
    letter, one_by_one = "a" if tasks else "s", ways == "one-by-one"
    drawers = [Drawer(int(seed), letter, number, cancels=tasks, wait=one_by_one) for number in range(int(callers))]
    if tasks:
        asyncio.run(_tasks(url, drawers, teller, int(heartbeat_s)))
    else:
        _threads(url, drawers, teller, int(heartbeat_s), one_by_one=one_by_one)
    teller.close()


if __name__ == "__main__":
    main(sys.argv[1:])
