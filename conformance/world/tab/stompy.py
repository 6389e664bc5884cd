"""Tabs played with stomp.py, the off-the-shelf client: a second opinion that shares no STOMP code with ours."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

import stomp
import websocket
from stomp.adapter.ws import WSTransport
from stomp.connect import BaseConnection
from stomp.protocol import Protocol12
from stomp.transport import BaseTransport

from conformance.stomp.errors import MalformedFrame
from conformance.stomp.session import HeartBeatTimes
from conformance.world.tab.base import TabSettings
from conformance.world.tab.dial import Dial, close_reason, reason_of
from conformance.world.tab.link import (
    DISCONNECT_RECEIPT,
    SILENCE_FACTOR,
    SUBSCRIBE_RECEIPT,
    Link,
    LinkListener,
    LinkLost,
    LinkRefused,
    error_text,
)
from conformance.world.tab.message import read_message
from conformance.world.tab.played import PlayedTab

__all__ = ["StompPyLink", "StompPyTab"]

# stomp.py logs what a hostile broker does to it as warnings and errors with tracebacks. Without any handler Python
# would print them; here the tab's events tell it.
logging.getLogger("stomp.py").addHandler(logging.NullHandler())

_THREAD_S = 5.0


class _Transport(WSTransport):  # type: ignore[misc] # stomp.py has no types
    """stomp.py's WebSocket transport with one attempt to connect, and an end that wakes the thread that reads.

    As it is, it looks for UTF-8 in text frames (RabbitMQ sends any body in them), asks for no subprotocol, retries
    by itself, can't be given up while it connects, and closes a socket under the thread that reads from it, which
    then sleeps for ever if the broker is silent.
    """

    def __init__(self, dial: Dial, on_waiting: Callable[[str], None], vhost: str) -> None:
        super().__init__([(dial.host, dial.port)], vhost=vhost, auto_decode=False)
        self._dial = dial
        self._on_waiting = on_waiting
        self.failure: str | None = None
        """Why reading ended."""

    def attempt_connection(self) -> None:
        """Connect once. Raises LinkLost."""
        self.current_host_and_port = (self._dial.host, self._dial.port)
        self.socket = self._dial.open(self._on_waiting)
        self._on_waiting("CONNECTED")

    def is_connected(self) -> bool:
        """As stomp.py's own, which fails where another thread takes the socket away between its two looks at it."""
        connection: websocket.WebSocket | None = self.socket
        return connection is not None and connection.getstatus() == 101 and bool(BaseTransport.is_connected(self))

    def receive(self) -> bytes:
        """As stomp.py's own, which forgets why it failed and takes a close frame for STOMP; empty at the end."""
        try:
            opcode, data = self.socket.recv_data()
        except Exception as exc:
            self.failure = self.failure or reason_of(exc)
            raise
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.failure = self.failure or close_reason(data)
            return b""
        return bytes(data)

    def disconnect_socket(self) -> None:
        """Cut the connection; the reading thread frees the rest. The heart-beats' thread calls this, too."""
        if threading.current_thread().name.startswith("StompHeartbeat"):
            self.failure = self.failure or "the broker was silent for too long"
        self.running = False
        self._dial.abort()
        if not self.notified_on_disconnect:
            self.notify("disconnected")


class _Connection(stomp.WSStompConnection):  # type: ignore[misc] # stomp.py has no types
    """stomp.py's connection over our transport."""

    def __init__(self, transport: _Transport, heart_beat_ms: int) -> None:
        BaseConnection.__init__(self, transport)
        Protocol12.__init__(
            self, transport, heartbeats=(heart_beat_ms, heart_beat_ms), heart_beat_receive_scale=SILENCE_FACTOR
        )


class _Events(stomp.ConnectionListener):  # type: ignore[misc] # stomp.py has no types
    """Puts what stomp.py's threads tell into a queue."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def on_connected(self, frame: Any) -> None:
        self.queue.put(("connected", frame))

    def on_message(self, frame: Any) -> None:
        self.queue.put(("message", frame))

    def on_receipt(self, frame: Any) -> None:
        self.queue.put(("receipt", frame))

    def on_error(self, frame: Any) -> None:
        self.queue.put(("error", frame))

    def on_disconnected(self) -> None:
        self.queue.put(("disconnected", None))


class StompPyLink(Link):
    """A connection through stomp.py, which reads and sends heart-beats in threads of its own."""

    def __init__(self, settings: TabSettings, listener: LinkListener) -> None:
        super().__init__(settings, listener)
        self._dial = Dial(settings.url, settings.connect_timeout_s)
        self._transport = _Transport(self._dial, listener.on_waiting, settings.vhost)
        self._transport.override_threading(self._start_thread)
        self._connection = _Connection(self._transport, self.heart_beat_ms)
        self._events = _Events()
        self._connection.set_listener("tab", self._events)
        self._left = False

    def run(self) -> None:
        """See :meth:`Link.run`."""
        login, passcode = self.settings.login, self.settings.passcode
        self._write(lambda: self._connection.connect(login, passcode, with_connect_command=True))
        while self._take(*self._events.queue.get()):
            pass

    def free(self) -> None:
        """See :meth:`Link.free`."""
        self._transport.disconnect_socket()
        if self._transport.io_thread is not None:
            self._transport.io_thread.join(_THREAD_S)
        # The reading thread may have started the heart-beats' in its last moment, so this comes after its end.
        heart_beats = self._connection.heartbeat_thread
        self._connection.send_sleep = 0.0
        self._connection.on_disconnected()
        if heart_beats is not None:
            heart_beats.join(_THREAD_S)
        self._dial.close()

    def ack(self, ack_id: str) -> None:
        """See :meth:`Link.ack`."""
        self._write(lambda: self._connection.ack(ack_id))

    def disconnect(self, timeout_s: float) -> None:
        """See :meth:`Link.disconnect`."""
        self._left = True
        if (connection := self._transport.socket) is not None:
            connection.settimeout(timeout_s)
        # Not the connection's own, which waits for the receipt as long as it takes.
        self._write(lambda: Protocol12.disconnect(self._connection, receipt=DISCONNECT_RECEIPT))

    def abort(self) -> None:
        """See :meth:`Link.abort`."""
        self._dial.abort()

    def _write(self, call: Callable[[], object]) -> None:
        try:
            call()
        except LinkLost:
            raise
        except Exception as exc:  # stomp.py may fail in any way on a socket that another thread cuts
            raise LinkLost(reason_of(exc)) from exc

    def _take(self, kind: str, frame: Any) -> bool:
        """Take what stomp.py told; False: it was the orderly end."""
        match kind:
            case "connected":
                self._subscribe(frame.headers)
            case "message":
                self.listener.on_message(read_message(frame.headers.get, frame.body))
            case "receipt" if frame.headers["receipt-id"] == SUBSCRIBE_RECEIPT:
                self.listener.on_subscribed()
            case "error":
                raise LinkRefused(error_text(frame.headers.get("message"), frame.body))
            case "disconnected" if self._left:
                return False
            case "disconnected":
                raise LinkLost(self._transport.failure or "the connection ended")
        return True

    def _subscribe(self, connected: dict[str, str]) -> None:
        version = connected.get("version", "1.0")
        if version != "1.2":  # stomp.py does not look
            raise LinkLost(f"protocol error: the server speaks STOMP {version[:20]!r}, we asked for '1.2'")
        try:
            times = HeartBeatTimes.agree(self.heart_beat_ms, connected.get("heart-beat", "0,0"))
        except MalformedFrame as exc:
            raise LinkLost(f"protocol error: {exc}") from exc
        self.listener.on_connected(times)
        headers = {**self.subscribe_headers, "receipt": SUBSCRIBE_RECEIPT}
        self._write(
            lambda: self._connection.subscribe(
                self.settings.destination, self.subscription, ack=self.settings.ack, headers=headers
            )
        )
        self.listener.on_subscribing()

    def _start_thread(self, loop: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=loop, name=f"tab {self.settings.tab} stomp.py reader", daemon=True)
        thread.start()
        return thread


class StompPyTab(PlayedTab):
    """A tab on stomp.py; see :class:`conformance.world.tab.base.Tab`."""

    client = "stomp.py"
    link_class = StompPyLink
