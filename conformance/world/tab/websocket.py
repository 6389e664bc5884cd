"""Tabs played with websocket-client under our own STOMP codec."""

from __future__ import annotations

import time

import websocket

from conformance.stomp.errors import InvalidState
from conformance.stomp.frames import HEART_BEAT
from conformance.stomp.session import (
    ClientSession,
    Connected,
    ErrorReceived,
    HeartBeatTimes,
    MessageReceived,
    ReceiptReceived,
    SessionEvent,
)
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

__all__ = ["WebSocketLink", "WebSocketTab"]


class WebSocketLink(Link):
    """A connection through websocket-client; :class:`ClientSession` speaks STOMP."""

    def __init__(self, settings: TabSettings, listener: LinkListener) -> None:
        super().__init__(settings, listener)
        self._dial = Dial(settings.url, settings.connect_timeout_s)
        self._session = ClientSession(heart_beat_ms=self.heart_beat_ms)
        self._heart_beat = HeartBeatTimes()
        self._socket: websocket.WebSocket | None = None
        self._last_sent = 0.0

    def run(self) -> None:
        """See :meth:`Link.run`."""
        self._socket = self._dial.open(self.listener.on_waiting)
        self.listener.on_waiting("CONNECTED")
        settings = self.settings
        self._send(self._session.connect(host=settings.vhost, login=settings.login, passcode=settings.passcode))
        while not self._take_all(self._receive(self._socket)):
            pass

    def free(self) -> None:
        """See :meth:`Link.free`."""
        self._dial.close()

    def ack(self, ack_id: str) -> None:
        """See :meth:`Link.ack`."""
        try:
            frame = self._session.ack(ack_id)
        except InvalidState as exc:  # the reading thread has seen the end before us
            raise LinkLost(str(exc)) from exc
        self._send(frame)

    def disconnect(self, timeout_s: float) -> None:
        """See :meth:`Link.disconnect`."""
        try:
            frame = self._session.disconnect(receipt=DISCONNECT_RECEIPT)
        except InvalidState as exc:
            raise LinkLost(str(exc)) from exc
        if self._socket is not None:
            self._socket.settimeout(timeout_s)
        self._send(frame)

    def abort(self) -> None:
        """See :meth:`Link.abort`."""
        self._dial.abort()

    @property
    def next_beat(self) -> float | None:
        """See :attr:`Link.next_beat`."""
        return self._heart_beat.next_send(self._last_sent)

    def beat(self) -> None:
        """See :meth:`Link.beat`."""
        self._send(HEART_BEAT)

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            raise LinkLost("not connected")
        try:
            self._socket.send(data, websocket.ABNF.OPCODE_TEXT)  # ours is UTF-8: no frame of a tab has a body
        except Exception as exc:  # the client may fail in any way on a socket that another thread cuts
            raise LinkLost(reason_of(exc)) from exc
        self._last_sent = time.monotonic()

    def _receive(self, connection: websocket.WebSocket) -> bytes:
        try:
            opcode, data = connection.recv_data()
        except websocket.WebSocketTimeoutException as exc:
            limit_s = self._heart_beat.silence_limit_s(SILENCE_FACTOR)
            raise LinkLost(f"the broker was silent for {limit_s:g} s" if limit_s else "timed out") from exc
        except Exception as exc:  # the client may fail in any way on hostile bytes
            raise LinkLost(reason_of(exc)) from exc
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise LinkLost(close_reason(data))
        return bytes(data)

    def _take_all(self, data: bytes) -> bool:
        """Take what the broker sent; True: it has answered our DISCONNECT."""
        self._session.receive_data(data)
        left = False
        for event in self._session.events():
            left = self._take(event) or left
        if self._session.error is not None:
            raise LinkLost(f"protocol error: {self._session.error}") from self._session.error
        return left

    def _take(self, event: SessionEvent) -> bool:
        match event:
            case Connected(heart_beat=times):
                self._heart_beat = times
                if self._socket is not None:
                    # Any byte counts as a sign of life, not only a whole frame: a narrow link is no dead one.
                    self._socket.settimeout(times.silence_limit_s(SILENCE_FACTOR))
                self.listener.on_connected(times)
                self._send(
                    self._session.subscribe(
                        destination=self.settings.destination,
                        subscription=self.subscription,
                        receipt=SUBSCRIBE_RECEIPT,
                        headers=self.subscribe_headers,
                    )
                )
                self.listener.on_subscribing()
            case MessageReceived(frame=frame):
                self.listener.on_message(read_message(frame.get, frame.body))
            case ReceiptReceived(receipt=receipt) if receipt == SUBSCRIBE_RECEIPT:
                self.listener.on_subscribed()
            case ReceiptReceived(receipt=receipt):
                return receipt == DISCONNECT_RECEIPT
            case ErrorReceived(frame=frame):
                raise LinkRefused(error_text(frame.get("message"), frame.body))
        return False


class WebSocketTab(PlayedTab):
    """A tab on websocket-client and our codec; see :class:`conformance.world.tab.base.Tab`."""

    client = "websocket-client"
    link_class = WebSocketLink
