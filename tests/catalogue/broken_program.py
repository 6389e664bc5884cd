"""A publisher that speaks JSON lines and is broken in the way that its first argument names. Run as a program.

Right but for that: pika, one message at a time, confirmed, mandatory, published again under its id.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pika
from pika.exceptions import AMQPError, UnroutableError

WAYS = ("early", "lock-file", "needs-broker", "impatient", "optimist", "talks")
WAY = sys.argv[1]
BATCH = 28
"""More than ``publisher-process/killed`` hands over before the kill (26), and a divisor of all that it hands over (84):
without the kill nothing is lost."""


class Publisher:
    """One connection, opened when it is needed."""

    def __init__(self) -> None:
        self._parameters = pika.URLParameters(os.environ["RABBITMQ_URL"])
        self._channel: pika.adapters.blocking_connection.BlockingChannel | None = None
        self._failures = 0

    def open(self) -> pika.adapters.blocking_connection.BlockingChannel:
        """The channel."""
        if self._channel is None:
            self._channel = pika.BlockingConnection(self._parameters).channel()
            self._channel.confirm_delivery()
        return self._channel

    def publish(self, request: dict[str, str]) -> str:
        """The outcome."""
        properties = pika.BasicProperties(message_id=request["id"], delivery_mode=2)
        while True:
            try:
                self.open().basic_publish(
                    request["exchange"], request["routing_key"], request["body"].encode(), properties, mandatory=True
                )
            except UnroutableError:
                return "returned"
            except (AMQPError, OSError, ValueError):  # ValueError: pika's word for a socket reset as it was connected
                self._failures += 1
                if WAY == "optimist":
                    if self._failures % 20 == 0:
                        self._channel = None  # it is noticed in the end
                    return "confirmed"
                self._channel = None
                time.sleep(0.05)
            else:
                return "confirmed"


def answer(request: dict[str, str], outcome: str) -> None:
    """Say it."""
    sys.stdout.write(json.dumps({"id": request["id"], "outcome": outcome}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read, publish, answer."""
    answered = time.monotonic()
    publisher, batch = Publisher(), list[dict[str, str]]()
    if WAY == "lock-file":
        Path(sys.argv[2]).touch(exist_ok=False)  # taken away at the end, which a kill is not
    if WAY == "needs-broker":
        publisher.open()
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "close":
            break
        if WAY == "early":
            answer(request, "confirmed")
            batch.append(request)
            if len(batch) == BATCH:
                while batch:
                    publisher.publish(batch.pop(0))
        else:
            outcome = publisher.publish(request)
            # A message has a second, from the moment at which the one before was done with: then it was not sent.
            # The clock is looked at once: wherever the program is stopped, the next message is late.
            before, answered = answered, time.monotonic()
            late = WAY == "impatient" and answered - before > 1.0
            answer(request, "failed" if late else outcome)
            if WAY == "talks":
                answer(request, "nacked")
    if WAY == "lock-file":
        Path(sys.argv[2]).unlink()


if __name__ == "__main__":
    main()
