"""Links whose two far ends are in the test's own hands, and the frames that go over them."""

from __future__ import annotations

import contextlib
import operator
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from pamqp import body, commands, frame, header

from conformance.faults.base import LinkFault, make_fault
from conformance.history.events import Event
from conformance.stomp.frames import Frame
from conformance.world.network.proxy import ActiveFault, LinkProxy, Network, Protocol

__all__ = [
    "ANY_TIME",
    "CONFIRM_SELECT",
    "HANDSHAKE_ANSWER",
    "HANDSHAKE_REQUEST",
    "OPEN",
    "PATIENCE_S",
    "Link",
    "Pair",
    "ack",
    "confirm",
    "ending",
    "is_silent",
    "message",
    "publish",
    "receive",
    "reset",
    "returned",
    "stomp",
    "wait_until",
    "web_socket",
]

PATIENCE_S = 30.0
"""For what must happen."""
ANY_TIME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests: a busy machine fails none."""

# --- sockets ------------------------------------------------------------------------------------


def receive(end: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    got = bytearray()
    while len(got) < size:
        data = end.recv(size - len(got))
        assert data, f"the stream ended after {bytes(got)!r}"
        got += data
    return bytes(got)


def ending(end: socket.socket) -> tuple[str, bytes]:
    """Read to the end: ``fin`` or ``rst``, and what came before it."""
    got = bytearray()
    try:
        while data := end.recv(65536):
            got += data
    except ConnectionResetError:
        return "rst", bytes(got)
    return "fin", bytes(got)


def is_silent(*ends: socket.socket, within_s: float = 0.1) -> bool:
    """Whether none of these has anything to read (an end included) for so long."""
    return not select.select(ends, [], [], within_s)[0]


def reset(end: socket.socket) -> None:
    """Close with a TCP reset."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what tells nobody that it has happened; fails where it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.005)


class Pair:
    """The two ends of one connection through the proxy."""

    def __init__(self, client: socket.socket, broker: socket.socket) -> None:
        self.client = client
        self.broker = broker
        for end in (client, broker):
            end.settimeout(PATIENCE_S)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def up(self, data: bytes) -> None:
        """Pass from the client to the broker, and see it arrive."""
        self.client.sendall(data)
        assert receive(self.broker, len(data)) == data

    def down(self, data: bytes) -> None:
        """Pass from the broker to the client, and see it arrive."""
        self.broker.sendall(data)
        assert receive(self.client, len(data)) == data

    def ping_s(self, up: bytes, down: bytes) -> float:
        """The time of a round trip, in seconds."""
        began = time.monotonic()
        self.up(up)
        self.down(down)
        return time.monotonic() - began

    def close(self) -> None:
        """Close both ends."""
        self.client.close()
        self.broker.close()


class Link:
    """A proxied link; what its proxy sees goes to ``seen``."""

    def __init__(self, network: Network, protocol: Protocol = "web-stomp", *, name: str = "link") -> None:
        self.protocol = protocol
        self.seen: list[tuple[type[Event], dict[str, Any]]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self._pairs: list[Pair] = []
        self._clients: list[socket.socket] = []
        self.proxy: LinkProxy = network.proxy(
            name=name,
            target=self._listener.getsockname()[:2],
            protocol=protocol,
            observer=lambda event_type, **fields: self.seen.append((event_type, fields)),
        )

    def dial(self) -> socket.socket:
        """A client alone: one that may be turned away."""
        client = socket.create_connection(self.proxy.address, PATIENCE_S)
        self._clients.append(client)
        return client

    def connect(self, *, handshake: bool = True) -> Pair:
        """A connection through the proxy, with HTTP's or AMQP's first words said."""
        pair = Pair(self.dial(), self._listener.accept()[0])
        self._pairs.append(pair)
        if handshake and self.protocol == "web-stomp":
            pair.up(HANDSHAKE_REQUEST)
            pair.down(HANDSHAKE_ANSWER)
        elif handshake:
            pair.up(b"AMQP\x00\x00\x09\x01" + OPEN + CONFIRM_SELECT)
        return pair

    def begin(self, fault: str, **parameters: object) -> ActiveFault:
        """Switch a fault on."""
        made = make_fault(fault, parameters, link="publisher" if self.protocol == "amqp" else "tab")
        assert isinstance(made, LinkFault)
        return self.proxy.begin(made)

    @contextlib.contextmanager
    def fault(self, fault: str, **parameters: object) -> Iterator[ActiveFault]:
        """Switch a fault on and off again."""
        active = self.begin(fault, **parameters)
        yield active
        self.proxy.end(active)

    def close(self) -> None:
        """Close every socket of the test's, then the proxy."""
        for end in (*self._pairs, *self._clients, self._listener):
            end.close()
        self.proxy.close()


# --- WebSocket and STOMP ------------------------------------------------------------------------

HANDSHAKE_REQUEST = b"GET /ws HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
HANDSHAKE_ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def web_socket(payload: bytes, *, mask: bytes = b"", opcode: int = 1, fin: bool = True) -> bytes:
    """A WebSocket frame (RFC 6455 section 5.2)."""
    size, masked = len(payload), 0x80 if mask else 0
    if size < 126:
        length = bytes([masked | size])
    elif size < 65536:
        length = bytes([masked | 126]) + struct.pack("!H", size)
    else:
        length = bytes([masked | 127]) + struct.pack("!Q", size)
    if mask:
        repeated = (mask * (size // 4 + 1))[:size]
        payload = bytes(map(operator.xor, payload, repeated))
    return bytes([(0x80 if fin else 0) | opcode]) + length + mask + payload


def stomp(command: str, *headers: tuple[str, str], content: bytes = b"", mask: bytes = b"") -> bytes:
    """A STOMP frame in a WebSocket frame."""
    return web_socket(Frame(command, headers, content).serialize(), mask=mask)


def message(number: int, size: int = 20) -> bytes:
    """A MESSAGE as the broker sends it."""
    return stomp("MESSAGE", ("message-id", str(number)), ("ack", str(number)), content=b"m" * size)


def ack(number: int) -> bytes:
    """An ACK as a tab sends it."""
    return stomp("ACK", ("id", str(number)), mask=b"\x01\x02\x03\x04")


# --- AMQP ---------------------------------------------------------------------------------------

OPEN = frame.marshal(commands.Connection.Open("/"), 0)
CONFIRM_SELECT = frame.marshal(commands.Confirm.Select(), 1)


def _content(method: Any, channel: int, content: bytes, message_id: str | None, frame_max: int) -> list[bytes]:
    properties = commands.Basic.Properties(message_id=message_id, delivery_mode=2)
    chunks = [content[start : start + frame_max] for start in range(0, len(content), frame_max)]
    return [
        frame.marshal(method, channel),
        frame.marshal(header.ContentHeader(0, len(content), properties), channel),
        *(frame.marshal(body.ContentBody(chunk), channel) for chunk in chunks),
    ]


def publish(
    content: bytes,
    *,
    channel: int = 1,
    message_id: str | None = None,
    exchange: str = "ex",
    routing_key: str = "key",
    mandatory: bool = True,
    frame_max: int = 100_000,
) -> list[bytes]:
    """The frames of a basic.publish."""
    method = commands.Basic.Publish(0, exchange, routing_key, mandatory)
    return _content(method, channel, content, message_id, frame_max)


def returned(
    content: bytes, *, channel: int = 1, message_id: str | None = None, frame_max: int = 100_000
) -> list[bytes]:
    """The frames of a basic.return."""
    return _content(commands.Basic.Return(312, "NO_ROUTE", "ex", "key"), channel, content, message_id, frame_max)


def confirm(tag: int, *, channel: int = 1, multiple: bool = False, nack: bool = False) -> bytes:
    """The broker's basic.ack or basic.nack."""
    method = commands.Basic.Nack(tag, multiple, False) if nack else commands.Basic.Ack(tag, multiple)
    return frame.marshal(method, channel)
