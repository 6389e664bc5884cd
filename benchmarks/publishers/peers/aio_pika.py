"""aio-pika, with one channel for all callers."""

from __future__ import annotations

import asyncio
import sys

sys.path.pop(0)  # this file is called as the library
import aio_pika

sys.path.insert(0, __file__.rpartition("/")[0])
from common import BODY, CALLERS, QUEUE, URL, WINDOW, WORK, Clock, new_id, turns


async def main() -> None:
    """Do the work."""
    connection = await aio_pika.connect(URL)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = channel.default_exchange

        async def call(clock: Clock, counts: list[int]) -> None:
            while clock.goes_on(counts[0]):
                message = aio_pika.Message(
                    BODY, delivery_mode=2, message_id=new_id(), content_type="application/octet-stream"
                )
                await exchange.publish(message, QUEUE, mandatory=True)
                counts[0] += 1

        for clock in turns():
            counts = [0]
            await asyncio.gather(*(call(clock, counts) for _ in range({"a": 1, "b": WINDOW, "c": CALLERS}[WORK])))
            clock.tell(counts[0])


asyncio.run(main())
