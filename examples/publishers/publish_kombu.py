"""kombu: one message at a time, confirmed and mandatory, published again under its id until a deadline.

Two traps: the transport (py-amqp) takes any ack for the one that it waits for, so there must be one message in flight
and a new connection after a wait that timed out; and what the broker returns raises nothing, so it is asked for.
"""

import json
import os
import sys
import time

import kombu
from amqp.exceptions import AMQPError, MessageNacked

DEADLINE_S = 20
CONFIRM_S = 10


class Publisher:
    def __init__(self, url):
        self.url, self.connection, self.producer, self.returned = url, None, None, []

    def publish(self, request):
        """The outcome, and what there is to be said of it."""
        deadline, outcome = time.monotonic() + DEADLINE_S, "failed"
        while True:
            try:
                producer = self.open()
                outcome = "unknown"  # from the first byte on, until the broker has answered
                self.returned.clear()
                producer.publish(
                    request["body"].encode(),
                    exchange=request["exchange"],
                    routing_key=request["routing_key"],
                    message_id=request["id"],
                    delivery_mode=2,
                    mandatory=True,
                    content_type="text/plain",
                    content_encoding="utf-8",
                    confirm_timeout=CONFIRM_S,
                )
            except MessageNacked:
                return "nacked", "the broker could not take it"
            except (AMQPError, OSError) as exc:
                self.close()
                if time.monotonic() > deadline:
                    return outcome, repr(exc)
                time.sleep(0.05)
            else:
                return ("returned", "no queue is bound") if self.returned else ("confirmed", "")

    def open(self):
        if self.producer is None:
            options = {"confirm_publish": True, "max_retries": 0}
            self.connection = kombu.Connection(self.url, connect_timeout=5, transport_options=options)
            channel = self.connection.channel()
            self.producer = kombu.Producer(channel, on_return=lambda *returned: self.returned.append(returned))
        return self.producer

    def close(self):
        connection, self.connection, self.producer = self.connection, None, None
        if connection is not None:
            connection.collect()  # closes the socket without a word to the broker: the link may be silent


publisher = Publisher(os.environ["RABBITMQ_URL"])
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "close":
        break
    outcome, detail = publisher.publish(request)
    print(json.dumps({"id": request["id"], "outcome": outcome, "detail": detail}), flush=True)
publisher.close()
