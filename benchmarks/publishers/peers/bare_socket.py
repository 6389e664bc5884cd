"""No client at all: the same bytes again and again on a bare socket, in Python.

Nothing is encoded, no message id is made, and of the confirms only the bytes are counted: what is faster than this is
not to be had from Python's blocking sockets on this machine, and for (c) not from its threads.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from common import BODY, QUEUE, URL, WORK, callers, new_id, one_at_a_time

from durable_ws.amqp.connection import Connection, Offer
from durable_ws.amqp.events import Event, Opened, Selected
from durable_ws.message import build

_CONFIRM_BYTES = 21  # one frame of basic.ack


def connect() -> tuple[socket.socket, bytes]:
    """A channel in confirm mode, and the bytes of one message on it."""
    parts = urlsplit(URL)
    offer = Offer(
        response=f"\0{unquote(parts.username or 'guest')}\0{unquote(parts.password or 'guest')}".encode(),
        virtual_host=unquote(parts.path[1:]) or "/",
        heartbeat_s=0,
    )
    connection = Connection(offer)
    link = socket.create_connection((parts.hostname, parts.port or 5672))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def converse(until: type[Event]) -> None:
        while True:
            link.sendall(connection.take())
            if any(isinstance(event, until) for event in connection.receive(link.recv(65536))):
                return

    converse(Opened)
    connection.open_channel(1)
    connection.select_confirms(1)
    converse(Selected)
    message = build(BODY, exchange="", routing_key=QUEUE, message_id=new_id())
    connection.publish(1, message.address, message.header, message.body)
    return link, connection.take()


def make_publish() -> Callable[[], object]:
    """A publish that waits, on a connection of its own."""
    link, data = connect()

    def publish() -> None:
        link.sendall(data)
        if len(link.recv(1024)) != _CONFIRM_BYTES:
            raise RuntimeError("the broker said something else")

    return publish


if WORK == "a":
    one_at_a_time(make_publish())
else:
    callers(make_publish)
