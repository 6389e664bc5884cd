"""The tap of a publisher's link to RabbitMQ's management API: HTTP requests and answers, with what was published.

``POST /api/exchanges/VHOST/NAME/publish`` publishes with the mandatory flag on a channel in confirm mode, and is
answered once the broker has acked (``{"routed": true}``, or false where the message was returned) or nacked (status
400, the reason begins with ``rejected``). Other requests pass unread.

Sources: https://www.rabbitmq.com/docs/management#http-api; RFC 9112 sections 2 and 6 (messages, their length).
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from typing import Any
from urllib.parse import unquote

from conformance.faults.base import Direction, Piece
from conformance.history.events import ConfirmSeen, PublishSeen, ReturnSeen, digest
from conformance.world.network.taps import MOST_BYTES, BufferedTap

__all__ = ["HttpTap"]

_HEAD_END = b"\r\n\r\n"
_MOST_HEAD_BYTES = 64 * 1024
_BEGINNINGS: dict[Direction, re.Pattern[bytes]] = {
    "to_broker": re.compile(rb"[A-Z]{1,16}(?: |\Z)"),
    "to_client": re.compile(rb"HTTP/|H(?:T(?:TP?)?)?\Z"),
}
"""What a head, or the first bytes of one, begins with."""
_BEGINNING_BYTES = 17
_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,12})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:", re.IGNORECASE | re.MULTILINE)
_PUBLISH = re.compile(rb"\APOST /api/exchanges/[^/ ]+/([^/ ]+)/publish(?:\?[^ ]*)? HTTP/")
_OK = re.compile(rb"\AHTTP/1\.[01] 200\b")
_BAD = re.compile(rb"\AHTTP/1\.[01] 400\b")
_CONTINUE = re.compile(rb"\AHTTP/1\.[01] 1[0-9][0-9]\b")
_CHANNEL = 0


class HttpTap(BufferedTap):
    """Implements :class:`conformance.world.network.taps.Tap`.

    Marks: ``publish_begins`` and ``publish`` (a whole request), ``return``, ``confirm`` (a whole answer to one).

    Args:
        connection: the number that stands in the wire events.
    """

    def __init__(self, connection: int) -> None:
        super().__init__(connection)
        self._published = 0
        self._asked: deque[dict[str, Any] | None] = deque()
        """By request that has no answer yet, in order: what it published; None: nothing."""

    def _next(self, direction: Direction) -> Piece | None:
        buffer = self._buffers[direction]
        if not buffer:
            return None
        if not _BEGINNINGS[direction].match(buffer[:_BEGINNING_BYTES]):
            return self._give_up(direction)
        end = buffer.find(_HEAD_END)
        if end < 0:
            return self._give_up(direction) if len(buffer) > _MOST_HEAD_BYTES else None
        head = bytes(buffer[: end + len(_HEAD_END)])
        length = _LENGTH.search(head)
        if _CHUNKED.search(head):
            return self._give_up(direction)  # where such a body ends is not looked for
        size = len(head) + (int(length[1]) if length else 0)
        if size > MOST_BYTES:
            return self._give_up(direction)
        if len(buffer) < size:
            return None
        data = bytes(buffer[:size])
        del buffer[:size]
        body = data[len(head) :]
        return self._request(head, body, data) if direction == "to_broker" else self._answer(head, body, data)

    def _request(self, head: bytes, body: bytes, data: bytes) -> Piece:
        asked = _PUBLISH.match(head)
        published = None if asked is None else _published(body)
        if asked is None or published is None:
            self._asked.append(None)
            return Piece(data)
        self._published += 1
        fields = {
            "connection": self._connection,
            "channel": _CHANNEL,
            "delivery_tag": self._published,
            "exchange": unquote(asked[1].decode("ascii", errors="replace")),
            "mandatory": True,
            **published,
        }
        self._asked.append(fields)
        return Piece(data, ("publish_begins", "publish"), ((PublishSeen, fields),))

    def _answer(self, head: bytes, body: bytes, data: bytes) -> Piece:
        if _CONTINUE.match(head) or not self._asked:
            return Piece(data)
        published = self._asked.popleft()
        nacked = _BAD.match(head) is not None and str(_field(body, "reason")).startswith("rejected")
        routed = _field(body, "routed") if _OK.match(head) else None
        if published is None or not (nacked or isinstance(routed, bool)):
            return Piece(data)
        where = {"connection": self._connection, "channel": _CHANNEL}
        told = {"message_id": published["message_id"], "body_digest": published["body_digest"]}
        kind = "nack" if nacked else "ack"
        confirmed = (ConfirmSeen, {**where, "kind": kind, "body_digests": (published["body_digest"],)})
        if routed or nacked:
            return Piece(data, ("confirm",), (confirmed,))
        returned = (ReturnSeen, {**where, **told, "reply_text": "routed: false"})
        return Piece(data, ("return", "confirm"), (returned, confirmed))


def _published(body: bytes) -> dict[str, Any] | None:
    """What a request publishes, as fields of the event; None: it can't be read, and the broker will refuse it."""
    try:
        told = json.loads(body)
        properties, payload = told["properties"], told["payload"]
        content = base64.b64decode(payload, validate=True) if told["payload_encoding"] == "base64" else payload.encode()
        return {
            "message_id": properties.get("message_id"),
            "routing_key": told["routing_key"],
            "delivery_mode": properties.get("delivery_mode"),
            "body_digest": digest(content),
            "properties": {
                name: value for name, value in properties.items() if name not in ("message_id", "delivery_mode")
            },
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _field(body: bytes, name: str) -> object:
    """A field of an answer; None: there is none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told.get(name) if isinstance(told, dict) else None
