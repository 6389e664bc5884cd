"""``durable_ws.AsyncPublisher``."""

from __future__ import annotations

import asyncio
from collections import deque

from common import BODY, CALLERS, QUEUE, URL, WINDOW, WORK, Clock, turns

from durable_ws import AsyncPublisher, Exchange, Receipt


async def call(publisher: AsyncPublisher, clock: Clock, counts: list[int]) -> None:
    """One caller that waits for each confirm."""
    while clock.goes_on(counts[0]):
        await publisher.publish(BODY, "queue", QUEUE)
        counts[0] += 1


async def pipelined(publisher: AsyncPublisher, clock: Clock, counts: list[int]) -> None:
    """A thousand unconfirmed."""
    under_way: deque[asyncio.Future[Receipt]] = deque()
    while clock.goes_on(counts[0]):
        under_way.append(await publisher.submit(BODY, "queue", QUEUE))  # waits while the window is full
        while under_way and under_way[0].done():
            under_way.popleft().result()
            counts[0] += 1
    for future in under_way:
        await future
        counts[0] += 1


async def main() -> None:
    """Do the work."""
    async with AsyncPublisher(URL, {"queue": Exchange("", "direct")}, window=WINDOW) as publisher:
        for clock in turns():
            counts = [0]
            if WORK == "b":
                await pipelined(publisher, clock, counts)
            else:
                await asyncio.gather(*(call(publisher, clock, counts) for _ in range(1 if WORK == "a" else CALLERS)))
            clock.tell(counts[0])


asyncio.run(main())
