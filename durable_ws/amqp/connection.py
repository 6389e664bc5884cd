"""One AMQP 0-9-1 connection, as a publisher needs it: a state machine without I/O.

::

    connection = Connection(...)
    send(connection.take())               # the protocol header
    for event in connection.receive(data):
        ...                               # Opened, Confirmed, Returned, … in the broker's order
    connection.publish(1, ...)
    send(connection.take())               # call it after every other call

What the peer does wrong ends in one :class:`Failed` event and a dead connection, never in an exception. Its frames are
bounded by what was negotiated (by 128 KiB until then), and what it sends back of a returned message's body is counted
and not kept, so no peer can make it take more memory than one frame.

Source: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, and RabbitMQ's extensions
(https://www.rabbitmq.com/docs/extensions): confirm.select, basic.nack, connection.blocked.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib import metadata
from typing import Any

from durable_ws.amqp.content import encode_content
from durable_ws.amqp.events import (
    Blocked,
    ChannelClosed,
    ClosedByBroker,
    ClosedInOrder,
    Confirmed,
    Declared,
    Event,
    Failed,
    Opened,
    Returned,
    Selected,
    Unblocked,
)
from durable_ws.amqp.payload import Malformed, Payload
from durable_ws.amqp.table import encode_short, encode_table

__all__ = ["FRAME_MAX", "FRAME_MIN", "Connection", "Offer"]

FRAME_MAX = 131_072
"""The largest frame that is proposed, and the bound on the peer's until it is negotiated."""

FRAME_MIN = 4096
"""AMQP 0-9-1, 4.2.3: no peer may ask for less."""

_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_END = 0xCE
_METHOD, _HEADER, _BODY, _BEAT = 1, 2, 3, 8
_CONFIRM = struct.Struct(">BHIHHQBB")  # a whole frame of basic.ack or basic.nack
_CONFIRM_BYTES = _CONFIRM.size
_TICKS_OF_SILENCE = 4  # two heart-beats (4.2.7), at two ticks each


class _State(Enum):
    START = "before connection.start"
    TUNE = "before connection.tune"
    OPEN_OK = "before connection.open-ok"
    OPEN = "open"
    CLOSING = "after our connection.close"
    DEAD = "over"


@dataclass(frozen=True, slots=True)
class Offer:
    """What the client asks for.

    Attributes:
        mechanism: of SASL, ``PLAIN`` or ``EXTERNAL``.
        response: what the mechanism sends; for PLAIN ``\\0user\\0password``.
        virtual_host: at most 255 bytes.
        heartbeat_s: 0 for none; it is the client's word that counts at RabbitMQ.
        channel_max, frame_max: the most that the client wants, above 0; the lower of both sides' counts.
        locale: ``en_US`` is the one that RabbitMQ has.
        client_properties: added to what the library says of itself.
    """

    mechanism: str = "PLAIN"
    response: bytes = field(default=b"\0guest\0guest", repr=False)
    virtual_host: str = "/"
    heartbeat_s: int = 5
    channel_max: int = 0xFFFF
    frame_max: int = FRAME_MAX
    locale: str = "en_US"
    client_properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Channel:
    closing: bool = False  # by us: what still comes on it is of no interest
    text: str = ""  # of the return that is coming
    header_due: bool = False
    body_due: int = 0  # bytes of the return's body that are still to come
    message_id: str | None = None


class Connection:
    """The state machine; see the module.

    Args:
        offer: what the client asks for.
    """

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._state = _State.START
        self._rest = b""
        self._out: list[bytes] = [_PROTOCOL_HEADER]
        self._channels: dict[int, _Channel] = {}
        self._frame_max = 0
        self._most_bytes = FRAME_MAX
        self._received = self._sent = True  # since the last tick
        self._silent_ticks = 0

    # --- what the caller asks ---------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether channels may be opened and messages published."""
        return self._state is _State.OPEN

    @property
    def is_dead(self) -> bool:
        """Whether nothing more will come of it: it was closed by either side, or has failed."""
        return self._state is _State.DEAD

    @property
    def frame_max(self) -> int:
        """The largest frame in bytes, once open."""
        return self._frame_max

    @property
    def tick_every_s(self) -> float:
        """How often to call :meth:`tick` while open; 0: never."""
        return self._offer.heartbeat_s / 2

    def is_between(self, number: int) -> bool:
        """Whether what comes next on the channel begins anew: no frame and no returned message has come in part."""
        channel = self._channels.get(number)
        return not (self._rest or channel is None or channel.header_due or channel.body_due or channel.closing)

    @staticmethod
    def confirm_of(number: int, tag: int) -> bytes:
        """What the broker sends to confirm one message and no other."""
        return _CONFIRM.pack(_METHOD, number, 13, 60, 80, tag, 0, _END)

    def take(self) -> bytes:
        """The bytes to send now, each once."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        if data != _HEARTBEAT:
            self._sent = True
        return data

    # --- what the caller does ---------------------------------------------------------------------

    def open_channel(self, number: int) -> None:
        """Open a channel; what is asked of it may follow at once."""
        self._channels[number] = _Channel()
        self._method(number, 20, 10, b"\x00")

    def select_confirms(self, number: int) -> None:
        """Put the channel into confirm mode; answered by :class:`Selected`."""
        self._method(number, 85, 10, b"\x00")

    def declare(  # noqa: PLR0913, RUF100
        self,
        number: int,
        exchange: str,
        type_: str,
        *,
        passive: bool,
        durable: bool,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Declare an exchange, or look for it; answered by :class:`Declared` or :class:`ChannelClosed`."""
        flags = bytes((passive | durable << 1,))
        arguments_ = encode_table(arguments or {})
        self._method(number, 40, 10, b"\x00\x00" + encode_short(exchange) + encode_short(type_) + flags + arguments_)

    def publish(self, number: int, address: bytes, properties: bytes, body: bytes) -> bool:
        """Publish a mandatory message; see :func:`durable_ws.amqp.content.encode_content`.

        Returns:
            Whether it will be sent: not if its properties do not fit into a frame.
        """
        frames = encode_content(number, address, properties, body, self._frame_max)
        if frames is None:
            return False
        self._out.append(frames)
        return True

    def message(self, number: int, address: bytes, properties: bytes, body: bytes) -> bytes | None:
        """The bytes of a message, for who sends them at once and nothing else; see :meth:`publish`.

        Returns:
            None: its properties do not fit into a frame, or something else is to be sent before.
        """
        if self._out:
            return None
        frames = encode_content(number, address, properties, body, self._frame_max)
        if frames is not None:
            self._sent = True
        return frames

    def close_channel(self, number: int) -> None:
        """Close a channel that is open; nothing more is told of it."""
        self._channels[number].closing = True
        self._method(number, 20, 40, struct.pack(">HBHH", 200, 0, 0, 0))

    def close(self) -> None:
        """Close the connection in order; answered by :class:`ClosedInOrder`."""
        if self._state is not _State.DEAD:
            self._state = _State.CLOSING
            self._method(0, 10, 50, struct.pack(">HBHH", 200, 0, 0, 0))

    def tick(self) -> list[Event]:
        """Half a heart-beat has gone by: sends one if nothing else was sent, and looks whether the peer is alive."""
        if self._state is not _State.OPEN:
            return []
        if not self._sent:
            self._out.append(_HEARTBEAT)
        self._sent = False
        self._silent_ticks = 0 if self._received else self._silent_ticks + 1
        self._received = False
        if self._silent_ticks < _TICKS_OF_SILENCE:
            return []
        self._state = _State.DEAD
        return [Failed(f"nothing was heard for two heart-beats of {self._offer.heartbeat_s} s")]

    # --- what the peer says -----------------------------------------------------------------------

    def heard(self) -> None:
        """Something has come from the peer that need not be taken in, as its meaning is known; see confirm_of."""
        self._received = True

    def conversed(self) -> None:
        """Others have sent and received whole frames on the connection."""
        self._received = self._sent = True

    def receive(self, data: bytes) -> list[Event]:
        """Take in what was received; any split of the stream gives the same events."""
        events: list[Event] = []
        if self._state is _State.DEAD:
            return events
        self._received = True
        if self._rest:
            data = self._rest + data
        try:
            used = self._frames(data, events)
        except Malformed as exc:
            self._state = _State.DEAD
            self._rest = b""
            events.append(Failed(str(exc)))
        else:
            self._rest = data[used:]
        return events

    def _frames(self, data: bytes, events: list[Event]) -> int:
        """Deal with all whole frames; how many bytes they took."""
        place, size = 0, len(data)
        confirmable = self._channels
        while size - place >= 8:  # no frame is shorter
            # Confirms are most of what a publisher ever hears, and all of one form: they are read here only.
            if size - place >= _CONFIRM_BYTES and data[place] == _METHOD:
                _, number, length, class_id, method_id, tag, bits, end = _CONFIRM.unpack_from(data, place)
                if length == 13 and class_id == 60 and method_id in (80, 120) and end == _END:
                    channel = confirmable.get(number)
                    if channel is not None and not channel.closing and not channel.header_due and not channel.body_due:
                        events.append(Confirmed(number, tag, bits & 1 == 1, method_id == 120))
                        place += _CONFIRM_BYTES
                        continue
            kind = data[place]
            if kind not in (_METHOD, _HEADER, _BODY, _BEAT):
                raise Malformed(self._no_frame(data[place : place + 8]))
            number = int.from_bytes(data[place + 1 : place + 3], "big")
            length = int.from_bytes(data[place + 3 : place + 7], "big")
            whole = length + 8
            if whole > self._most_bytes:
                raise Malformed(
                    f"the peer announces a frame of {whole:,} bytes, at most {self._most_bytes:,} are agreed"
                )
            if size - place < whole:
                break
            if data[place + whole - 1] != _END:
                raise Malformed("a frame of the peer does not end as it should")
            self._frame(kind, number, data[place + 7 : place + whole - 1], events)
            place += whole
            if self._state is _State.DEAD:
                break
        return place

    def _no_frame(self, data: bytes) -> str:
        if self._state is _State.START and data.startswith(b"AMQP"):
            return f"the peer speaks another version of AMQP ({data[4:].hex()})"
        return f"the peer does not speak AMQP (it says {data!r:.40})"

    def _frame(self, kind: int, number: int, payload: bytes, events: list[Event]) -> None:
        if kind == _BEAT:
            if number or payload:
                raise Malformed("a heart-beat of the peer is not empty")
            return
        if kind == _METHOD:
            if len(payload) < 4:
                raise Malformed("a frame ends in the middle of a field")
            method = (int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big"))
            if number == 0:
                self._on_connection(method, payload, events)
            else:
                self._on_channel(number, method, payload, events)
            return
        if self._state is _State.CLOSING:
            return
        channel = self._channels.get(number)
        if channel is None:
            raise Malformed(f"content came on channel {number}, where none is due")
        if not channel.closing:
            self._on_content(number, channel, kind, payload, events)

    # --- on channel 0 -----------------------------------------------------------------------------

    def _on_connection(self, method: tuple[int, int], payload: bytes, events: list[Event]) -> None:
        arguments = Payload(payload, 4)
        if method == (10, 50):  # close
            code, text = arguments.integer(2), arguments.short_text()
            events.append(ClosedByBroker(code, text, arguments.integer(2)))
            self._method(0, 10, 51, b"")
            self._state = _State.DEAD
        elif method == (10, 51) and self._state is _State.CLOSING:
            events.append(ClosedInOrder())
            self._state = _State.DEAD
        elif self._state is _State.CLOSING:
            return
        elif method == (10, 60) and self._state is _State.OPEN:
            events.append(Blocked(arguments.short_text()))
        elif method == (10, 61) and self._state is _State.OPEN:
            events.append(Unblocked())
        else:
            step = _HANDSHAKE.get((self._state, method))
            if step is None:
                raise Malformed(f"the peer sent method {method[0]}.{method[1]} {self._state.value}")
            step(self, arguments, events)

    def _on_start(self, arguments: Payload, events: list[Event]) -> None:
        major, minor = arguments.integer(1), arguments.integer(1)
        arguments.skip_table()
        mechanisms = arguments.long_text()
        offer = self._offer
        if (major, minor) != (0, 9):
            raise Malformed(f"the peer speaks AMQP {major}.{minor}, not 0.9")
        if offer.mechanism not in mechanisms.split():
            self._state = _State.DEAD
            events.append(Failed(f"the broker has no {offer.mechanism} login, only {mechanisms}", refused=True))
            return
        self._state = _State.TUNE
        properties = {**_ABOUT, **offer.client_properties}
        self._method(
            0, 10, 11,
            encode_table(properties) + encode_short(offer.mechanism)
            + struct.pack(">I", len(offer.response)) + offer.response + encode_short(offer.locale),
        )  # fmt: skip

    def _on_tune(self, arguments: Payload, events: list[Event]) -> None:
        offer = self._offer
        channel_max, frame_max = arguments.integer(2), arguments.integer(4)
        channel_max = _lower(channel_max, offer.channel_max)
        if channel_max == 1:
            self._state = _State.DEAD
            events.append(Failed("the broker allows one channel a connection, and two are needed", refused=True))
            return
        if 0 < frame_max < FRAME_MIN:
            raise Malformed(f"the peer asks for frames of at most {frame_max} bytes, fewer than AMQP allows")
        self._frame_max = _lower(frame_max, offer.frame_max)
        self._most_bytes = self._frame_max
        self._state = _State.OPEN_OK
        self._method(0, 10, 31, struct.pack(">HIH", channel_max, self._frame_max, offer.heartbeat_s))
        self._method(0, 10, 40, encode_short(offer.virtual_host) + b"\x00\x00")

    def _on_open_ok(self, _arguments: Payload, events: list[Event]) -> None:
        self._state = _State.OPEN
        events.append(Opened())

    # --- on other channels ------------------------------------------------------------------------

    def _on_channel(self, number: int, method: tuple[int, int], payload: bytes, events: list[Event]) -> None:
        channel = self._channels.get(number)
        if channel is None:
            raise Malformed(f"the peer speaks on channel {number}, which is not open")
        arguments = Payload(payload, 4)
        if method == (20, 40):  # close
            del self._channels[number]
            self._method(number, 20, 41, b"")
            if not channel.closing and self._state is _State.OPEN:
                code = arguments.integer(2)
                events.append(ChannelClosed(number, code, arguments.short_text()))
        elif channel.closing:
            if method == (20, 41):
                del self._channels[number]
        elif self._state is not _State.CLOSING:
            if channel.header_due or channel.body_due:
                raise Malformed("the peer begins a method in the midst of a returned message")
            self._on_publishing(number, channel, method, arguments, events)

    def _on_publishing(  # noqa: PLR0913, RUF100
        self, number: int, channel: _Channel, method: tuple[int, int], arguments: Payload, events: list[Event]
    ) -> None:
        if method == (60, 50):  # return
            arguments.integer(2)
            channel.text = arguments.short_text()
            channel.header_due = True
        elif method == (85, 11):
            events.append(Selected(number))
        elif method == (40, 11):
            events.append(Declared(number))
        elif method != (20, 11):  # open-ok says nothing that what follows does not
            raise Malformed(f"the peer sent method {method[0]}.{method[1]} on a publisher's channel")

    def _on_content(self, number: int, channel: _Channel, kind: int, payload: bytes, events: list[Event]) -> None:
        """Header and body of a returned message."""
        if kind == _HEADER and channel.header_due:
            arguments = Payload(payload, 4)
            channel.body_due = arguments.integer(8)
            channel.message_id = arguments.message_id()
            channel.header_due = False
        elif kind == _BODY and not channel.header_due and 0 < len(payload) <= channel.body_due:
            channel.body_due -= len(payload)
        else:
            raise Malformed(f"content came on channel {number}, where none is due")
        if not channel.body_due:
            events.append(Returned(number, channel.message_id, channel.text))

    def _method(self, number: int, class_id: int, method_id: int, arguments: bytes) -> None:
        self._out.append(struct.pack(">BHIHH", _METHOD, number, len(arguments) + 4, class_id, method_id))
        self._out.append(arguments + b"\xce")


_HANDSHAKE: dict[tuple[_State, tuple[int, int]], Callable[[Connection, Payload, list[Event]], None]] = {
    (_State.START, (10, 10)): Connection._on_start,
    (_State.TUNE, (10, 30)): Connection._on_tune,
    (_State.OPEN_OK, (10, 41)): Connection._on_open_ok,
}


def _about() -> dict[str, Any]:
    """What the library says of itself; https://www.rabbitmq.com/docs/connections#capabilities."""
    try:
        version = metadata.version("durable-ws")
    except metadata.PackageNotFoundError:  # run from a copy of the sources
        version = "unknown"
    return {
        "product": "durable_ws",
        "version": version,
        "platform": f"Python {platform.python_version()}",
        "capabilities": {
            "authentication_failure_close": True,
            "basic.nack": True,
            "connection.blocked": True,
            "publisher_confirms": True,
        },
    }


# Once and for all: it imports modules, and a child that is forked while the I/O thread does so can never import them.
_ABOUT = _about()


def _lower(one: int, other: int) -> int:
    """The lower of two limits, of which 0 is none."""
    return min(one, other) or max(one, other)
