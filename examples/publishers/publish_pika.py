"""pika: one message at a time, confirmed and mandatory, published again under its id until a deadline."""

import json
import os
import sys
import time

import pika
from pika.exceptions import AMQPError, NackError, UnroutableError

DEADLINE_S = 20


class Publisher:
    def __init__(self, url):
        self.parameters, self.channel = pika.URLParameters(url), None
        self.parameters.heartbeat = 5  # a link that went silent is noticed before the deadline
        self.parameters.blocked_connection_timeout = DEADLINE_S  # so is a broker that blocks publishers

    def publish(self, request):
        """The outcome, and what there is to be said of it."""
        properties = pika.BasicProperties(message_id=request["id"], delivery_mode=2)
        deadline, outcome = time.monotonic() + DEADLINE_S, "failed"
        while True:
            try:
                channel = self.open()
                outcome = "unknown"  # from the first byte on, until the broker has answered
                channel.basic_publish(
                    request["exchange"], request["routing_key"], request["body"].encode(), properties, mandatory=True
                )
            except UnroutableError:
                return "returned", "no queue is bound"
            except NackError:
                return "nacked", "the broker could not take it"
            except (AMQPError, OSError, ValueError) as exc:  # pika's word for a socket reset as it was connected
                self.close()
                if time.monotonic() > deadline:
                    return outcome, repr(exc)
                time.sleep(0.05)
            else:
                return "confirmed", ""

    def open(self):
        if self.channel is None:
            self.channel = pika.BlockingConnection(self.parameters).channel()
            self.channel.confirm_delivery()
        return self.channel

    def close(self):
        channel, self.channel = self.channel, None
        if channel is not None and channel.connection.is_open:
            channel.connection.close()


publisher = Publisher(os.environ["RABBITMQ_URL"])
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "close":
        break
    outcome, detail = publisher.publish(request)
    print(json.dumps({"id": request["id"], "outcome": outcome, "detail": detail}), flush=True)
publisher.close()
