"""AMQP 0-9-1 for a publisher, without I/O: bytes in, events out, and the bytes to send.

Only what a publisher needs, and all of it: see :mod:`durable_ws.amqp.connection`.
"""

from __future__ import annotations

__all__: list[str] = []
