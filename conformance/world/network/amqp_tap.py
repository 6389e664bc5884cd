"""The tap of a publisher's link: AMQP 0-9-1 frames, with what was published, confirmed and returned.

Source: AMQP 0-9-1, section 2.3.5 (frames); https://www.rabbitmq.com/docs/confirms (delivery tags count the publishes
of a channel from confirm.select on). Frames are decoded by pamqp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pamqp import commands, frame, header

from conformance.faults.base import Direction, Piece
from conformance.history.events import ConfirmSeen, PublishSeen, ReturnSeen, digest
from conformance.world.network.properties import said
from conformance.world.network.taps import MOST_BYTES, BufferedTap

__all__ = ["AmqpTap"]

_PROTOCOL_HEADER = b"AMQP"
_PROTOCOL_HEADER_BYTES = 8
_FRAME_HEADER_BYTES = 7
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_FRAME_TYPES = (_METHOD, _HEADER, _BODY, _HEARTBEAT)
_FRAME_END = 0xCE
_CLASS_AND_METHOD = {
    (10, 40): "open",
    (20, 10): "channel_open",
    (60, 40): "publish",
    (60, 50): "return",
    (60, 80): "ack",
    (60, 120): "nack",
    (85, 10): "select",
}
"""The methods that matter, by class and method id: no other is decoded."""


@dataclass(slots=True)
class _Content:
    """A publish or a return whose header and body are on their way."""

    method: Any
    properties: Any = None
    size_bytes: int = 0
    body: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Channel:
    confirms: bool = False
    last_tag: int = 0
    unconfirmed: dict[int, str] = field(default_factory=dict)  # delivery tag to body digest, in order
    contents: dict[Direction, _Content] = field(default_factory=dict)


class AmqpTap(BufferedTap):
    """Implements :class:`conformance.world.network.taps.Tap`.

    Marks: ``amqp_open``, ``publish_begins``, ``publish`` (its last frame), ``confirm`` (as
    often as an ack or nack settles publishes), ``return``.

    Args:
        connection: the number that stands in the wire events.
    """

    def __init__(self, connection: int) -> None:
        super().__init__(connection)
        self._channels: dict[int, _Channel] = {}

    def _next(self, direction: Direction) -> Piece | None:
        buffer = self._buffers[direction]
        if buffer.startswith(_PROTOCOL_HEADER):
            return Piece(self._take(buffer, _PROTOCOL_HEADER_BYTES)) if len(buffer) >= _PROTOCOL_HEADER_BYTES else None
        if buffer and buffer[0] not in _FRAME_TYPES and not _PROTOCOL_HEADER.startswith(buffer):
            return self._give_up(direction)
        if len(buffer) < _FRAME_HEADER_BYTES:
            return None
        size = _FRAME_HEADER_BYTES + int.from_bytes(buffer[3:7], "big") + 1
        if size > MOST_BYTES:
            return self._give_up(direction)
        if len(buffer) < size:
            return None
        if buffer[size - 1] != _FRAME_END:
            return self._give_up(direction)
        data = bytes(buffer[:size])
        try:
            piece = self._piece(direction, data)
        except Exception:  # noqa: BLE001 - whatever a peer's bytes make a decoder raise, they are to pass
            return self._give_up(direction)
        del buffer[:size]
        return piece

    def _piece(self, direction: Direction, data: bytes) -> Piece:
        channel = self._channels.setdefault(int.from_bytes(data[1:3], "big"), _Channel())
        if data[0] == _METHOD:
            ids = int.from_bytes(data[7:9], "big"), int.from_bytes(data[9:11], "big")
            return self._method(direction, channel, _CLASS_AND_METHOD.get(ids), data)
        content = channel.contents.get(direction)
        if content is None or data[0] not in (_HEADER, _BODY):
            return Piece(data)
        if data[0] == _HEADER:
            _, _, content_header = frame.unmarshal(data)
            if isinstance(content_header, header.ContentHeader):
                content.properties, content.size_bytes = content_header.properties, content_header.body_size
        else:
            content.body += data[_FRAME_HEADER_BYTES:-1]
        if len(content.body) < content.size_bytes:
            return Piece(data)
        del channel.contents[direction]
        return self._whole(int.from_bytes(data[1:3], "big"), channel, content, data)

    def _method(self, direction: Direction, channel: _Channel, method: str | None, data: bytes) -> Piece:
        match method:
            case "open":
                return Piece(data, ("amqp_open",))
            case "channel_open" if direction == "to_broker":
                # The number of a channel that was closed may be taken again; its delivery tags begin anew.
                self._channels[int.from_bytes(data[1:3], "big")] = _Channel()
            case "select":
                channel.confirms = True
            case "publish" | "return":
                _, _, decoded = frame.unmarshal(data)
                channel.contents[direction] = _Content(decoded)
                return Piece(data, ("publish_begins",) if method == "publish" else ())
            case "ack" | "nack" if direction == "to_client":
                number, tag = int.from_bytes(data[1:3], "big"), int.from_bytes(data[11:19], "big")
                settled = _settle(channel, tag, multiple=bool(data[19] & 1))
                fields = {
                    "connection": self._connection,
                    "channel": number,
                    "kind": method,
                    "body_digests": settled,
                }
                return Piece(data, ("confirm",) * len(settled), ((ConfirmSeen, fields),))
        return Piece(data)

    def _whole(self, number: int, channel: _Channel, content: _Content, data: bytes) -> Piece:
        """The piece that ends a publish or a return."""
        method, properties, body_digest = content.method, content.properties, digest(bytes(content.body))
        fields: dict[str, Any] = {
            "connection": self._connection,
            "channel": number,
            "message_id": properties.message_id,
            "body_digest": body_digest,
        }
        if isinstance(method, commands.Basic.Return):
            return Piece(data, ("return",), ((ReturnSeen, {**fields, "reply_text": method.reply_text}),))
        tag = None
        if channel.confirms:
            channel.last_tag += 1
            tag = channel.last_tag
            channel.unconfirmed[tag] = body_digest
        fields |= {
            "delivery_tag": tag,
            "exchange": method.exchange,
            "routing_key": method.routing_key,
            "mandatory": method.mandatory,
            "delivery_mode": properties.delivery_mode,
            "properties": said(properties),
        }
        return Piece(data, ("publish",), ((PublishSeen, fields),))

    def _take(self, buffer: bytearray, size: int) -> bytes:
        taken = bytes(buffer[:size])
        del buffer[:size]
        return taken


def _settle(channel: _Channel, tag: int, *, multiple: bool) -> tuple[str, ...]:
    """The digests of what an ack or nack settles: up to the tag with ``multiple`` (0: all), else that one."""
    if not multiple:
        settled = channel.unconfirmed.pop(tag, None)
        return () if settled is None else (settled,)
    tags = [one for one in channel.unconfirmed if tag in (0,) or one <= tag]
    return tuple(channel.unconfirmed.pop(one) for one in tags)
