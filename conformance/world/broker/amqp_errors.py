"""What pika raises where a broker can't be reached or ends a conversation."""

from __future__ import annotations

from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError

__all__ = ["AMQP_ERRORS"]

AMQP_ERRORS = (AMQPError, AMQPConnectorException, OSError)
"""Its connector's errors (a handshake that takes too long) are none of its AMQPError."""
