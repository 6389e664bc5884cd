"""py-amqp (of Celery and kombu), with a connection for each caller in (c)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import amqp
from common import BODY, QUEUE, URL, WINDOW, WORK, callers, new_id, one_at_a_time, turns

parts = urlsplit(URL)


def connect(*, confirm: bool) -> amqp.Channel:
    """A channel on a connection of its own."""
    connection = amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=parts.username,
        password=parts.password,
        virtual_host=unquote(parts.path[1:]) or "/",
        confirm_publish=confirm,
    )
    connection.connect()
    return connection.channel()


def message() -> amqp.Message:
    """One message."""
    return amqp.Message(BODY, delivery_mode=2, message_id=new_id(), content_type="application/octet-stream")


def make_publish() -> Callable[[], object]:
    """A publish that waits, on a connection of its own."""
    channel = connect(confirm=True)
    return lambda: channel.basic_publish(message(), "", QUEUE, mandatory=True)


def pipelined() -> None:
    """A thousand unconfirmed."""
    channel = connect(confirm=False)
    channel.confirm_select()
    unconfirmed: set[int] = set()
    sent = confirmed = 0

    def on_ack(tag: int, multiple: bool) -> None:
        nonlocal confirmed
        done = [one for one in unconfirmed if one <= tag] if multiple else [tag]
        unconfirmed.difference_update(done)
        confirmed += len(done)

    channel.events["basic_ack"].add(on_ack)
    for clock in turns():
        before = confirmed
        while clock.goes_on(confirmed - before):
            if len(unconfirmed) < WINDOW:
                channel.basic_publish(message(), "", QUEUE, mandatory=True)
                sent += 1
                unconfirmed.add(sent)
            else:
                channel.connection.drain_events()
        while unconfirmed:
            channel.connection.drain_events()
        clock.tell(confirmed - before)


if WORK == "a":
    one_at_a_time(make_publish())
elif WORK == "c":
    callers(make_publish)
else:
    pipelined()
