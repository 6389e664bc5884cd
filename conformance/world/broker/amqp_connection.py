"""Opens pika's connections, and tells of those that end as they open."""

from __future__ import annotations

import pika
from pika.exceptions import AMQPConnectionError

__all__ = ["open_amqp"]


def open_amqp(parameters: pika.ConnectionParameters) -> pika.BlockingConnection:
    """A connection that is still open.

    A broker may end one in the moment in which it has opened it, as where the vhost goes down. pika 1.4 returns that
    one all the same and forgets why it ended; and as it refuses to close what is closed, the two sockets that wake its
    loop stay open.

    Raises:
        One of :data:`conformance.world.broker.amqp_errors.AMQP_ERRORS`: there is none, or it has ended.
    """
    try:
        connection = pika.BlockingConnection(parameters)
    except ValueError as exc:  # so pika says it of a socket that was reset as it was connected
        raise AMQPConnectionError(str(exc)) from exc
    if connection.is_open:
        return connection
    connection._cleanup()
    raise AMQPConnectionError("the broker ended it as it was opened")
