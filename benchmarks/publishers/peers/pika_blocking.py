"""pika: BlockingConnection for (a) and, one in each thread, for (c); SelectConnection for (b)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
from common import BODY, QUEUE, URL, WINDOW, WORK, callers, new_id, one_at_a_time, turns


def properties() -> pika.BasicProperties:
    """Of one message."""
    return pika.BasicProperties(delivery_mode=2, message_id=new_id(), content_type="application/octet-stream")


def make_publish() -> Callable[[], object]:
    """A publish that waits, on a connection of its own."""
    channel = pika.BlockingConnection(pika.URLParameters(URL)).channel()
    channel.confirm_delivery()
    return lambda: channel.basic_publish("", QUEUE, BODY, properties(), mandatory=True)


class Pipelined:
    """A thousand unconfirmed on pika's own loop."""

    def __init__(self) -> None:
        self.sent = self.confirmed = 0
        self.open: set[int] = set()
        self.connection = pika.SelectConnection(pika.URLParameters(URL), on_open_callback=self.on_open)
        self.connection.ioloop.start()

    def on_open(self, connection: Any) -> None:
        """Open a channel."""
        connection.channel(on_open_callback=self.on_channel)

    def on_channel(self, channel: Any) -> None:
        """Ask for confirms."""
        self.channel = channel
        channel.confirm_delivery(self.on_confirm, callback=self.begin)

    def begin(self, _: object) -> None:
        """Begin to publish."""
        self.turns = turns()
        self.next_turn()

    def next_turn(self) -> None:
        """Wait for one to be asked for, or end."""
        clock = next(self.turns, None)
        if clock is None:
            self.connection.ioloop.stop()
            return
        self.clock, self.confirmed = clock, 0
        self.pump()

    def on_confirm(self, frame: Any) -> None:
        """Count, and publish more."""
        tag = frame.method.delivery_tag
        done = [one for one in self.open if one <= tag] if frame.method.multiple else [tag]
        self.open.difference_update(done)
        self.confirmed += len(done)
        self.pump()

    def pump(self) -> None:
        """Fill the window, or end the turn."""
        while len(self.open) < WINDOW and self.clock.goes_on(self.confirmed):
            self.channel.basic_publish("", QUEUE, BODY, properties(), mandatory=True)
            self.sent += 1
            self.open.add(self.sent)
        if not self.open:
            self.clock.tell(self.confirmed)
            self.next_turn()


if WORK == "a":
    one_at_a_time(make_publish())
elif WORK == "c":
    callers(make_publish)
else:
    Pipelined()
