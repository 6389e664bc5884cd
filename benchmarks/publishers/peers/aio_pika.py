"""aio-pika, with one channel for all callers."""

from __future__ import annotations

import asyncio
import sys

sys.path.pop(0)  # this file is called as the library
import aio_pika

sys.path.insert(0, __file__.rpartition("/")[0])
from common import BODY, CALLERS, QUEUE, URL, WINDOW, WORK, Clock, new_id


async def main() -> None:
    """Do the work."""
    connection = await aio_pika.connect(URL)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = channel.default_exchange
        clock, count = Clock(), 0

        async def publish() -> None:
            nonlocal count
            message = aio_pika.Message(
                BODY, delivery_mode=2, message_id=new_id(), content_type="application/octet-stream"
            )
            await exchange.publish(message, QUEUE, mandatory=True)
            count += 1

        async def call() -> None:
            while clock.goes_on(count):
                await publish()

        await asyncio.gather(*(call() for _ in range({"a": 1, "b": WINDOW, "c": CALLERS}[WORK])))
        clock.tell(count)


asyncio.run(main())
