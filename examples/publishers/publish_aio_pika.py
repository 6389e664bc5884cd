"""aio-pika: many messages at a time on one channel, each published again under its id until a deadline.

A message is published again only on a new connection: aio-pika tells returns by their message-id, so two copies of one
id in flight on one channel can get each other's outcome. For the same reason its own reconnecting is not used.
"""

import asyncio
import json
import os
import sys

import aio_pika
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

DEADLINE_S = 20


class Publisher:
    def __init__(self, url):
        self.url, self.connection, self.channel, self.opening = url, None, None, asyncio.Lock()

    async def publish(self, request):
        """The outcome, and what there is to be said of it."""
        message = aio_pika.Message(
            request["body"].encode(), message_id=request["id"], delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        outcome, trouble = "failed", None
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    try:
                        channel = await self.open()
                        exchange = await channel.get_exchange(request["exchange"], ensure=False)
                        outcome = "unknown"  # from the first byte on, until the broker has answered
                        await exchange.publish(message, request["routing_key"], mandatory=True)
                    except PublishError:
                        return "returned", "no queue is bound"
                    except DeliveryError:
                        return "nacked", "the broker could not take it"
                    except (AMQPError, OSError, RuntimeError) as exc:
                        trouble = exc
                        await asyncio.sleep(0.05)
                    else:
                        return "confirmed", ""
        except TimeoutError:
            return outcome, repr(trouble)

    async def open(self):
        async with self.opening:
            if self.channel is None or self.channel.is_closed or self.connection.is_closed:
                await self.close()
                self.connection = await aio_pika.connect(self.url, heartbeat=5)
                self.channel = await self.connection.channel(publisher_confirms=True, on_return_raises=True)
            return self.channel

    async def close(self):
        if self.connection is not None:
            await self.connection.close()


async def main():
    publisher, calls = Publisher(os.environ["RABBITMQ_URL"]), set()

    async def answer(request):
        outcome, detail = await publisher.publish(request)
        print(json.dumps({"id": request["id"], "outcome": outcome, "detail": detail}), flush=True)

    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        if request["op"] == "close":
            break
        calls.add(call := asyncio.create_task(answer(request)))
        call.add_done_callback(calls.discard)
    await asyncio.gather(*calls)
    await publisher.close()


asyncio.run(main())
