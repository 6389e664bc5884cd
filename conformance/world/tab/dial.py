"""Opens a WebSocket for STOMP in a way that can be given up at any moment."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import websocket

from conformance.errors import UsageError
from conformance.world.tab.link import LinkLost
from conformance.world.tab.tls import SharedTlsSocket

__all__ = ["Dial", "close_reason", "reason_of", "ws_address"]


def reason_of(error: BaseException) -> str:
    """Why a connection failed, in a few words."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.rstrip(".")


def close_reason(payload: bytes) -> str:
    """What a WebSocket's close frame says (RFC 6455, 5.5.1), in a few words."""
    code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")
    return f"the broker closed the WebSocket ({', '.join(filter(None, (str(code or 'no code'), reason)))})"


def ws_address(url: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is asked for, of a ``ws://`` or ``wss://`` URL.

    Raises:
        UsageError: it is no such URL.
    """
    way_out = "Write ws://HOST:PORT/ws."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise UsageError("url", f"{url!r} is no URL: {exc}", way_out) from exc
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise UsageError("url", f"{url!r} is no WebSocket URL", way_out)
    secure = parts.scheme == "wss"
    return parts.hostname, port or (443 if secure else 80), secure


class Dial:
    """One attempt to open one WebSocket.

    The socket is made here and not by the client, so that another thread can cut it even while TCP or the handshake
    is at work, and so that no proxy from the environment is asked: what stands between a tab and the broker is the
    suite's own business.

    Args:
        url: ``ws://`` or ``wss://`` with a host; the latter is verified with the system's certificates.
        timeout_s: for TCP's connection.

    Raises:
        UsageError: the URL is no such URL.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self.host, self.port, self._secure = ws_address(url)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._aborted = False

    def open(self, on_waiting: Callable[[str], None]) -> websocket.WebSocket:
        """Connect and shake hands; the WebSocket has no timeout.

        Text frames are not checked for UTF-8, because RabbitMQ sends any body in text frames; the parts of a
        fragmented message come one by one, so that no message has to be held before the codec can refuse it.

        Args:
            on_waiting: told what is waited for, as :meth:`LinkListener.on_waiting`.

        Raises:
            LinkLost: it failed, or was aborted.
        """
        try:
            on_waiting("TCP connection")
            connection = self._connect()
            on_waiting("WebSocket handshake")
            if self._secure:
                context = ssl.create_default_context()
                context.sslsocket_class = SharedTlsSocket
                encrypted = context.wrap_socket(connection, server_hostname=self.host, do_handshake_on_connect=False)
                connection = self._keep(encrypted)
                encrypted.do_handshake()
            return websocket.create_connection(
                self._url,
                socket=connection,
                subprotocols=["v12.stomp"],
                redirect_limit=0,
                skip_utf8_validation=True,
                fire_cont_frame=True,
                enable_multithread=True,
            )
        except LinkLost:
            raise
        except Exception as exc:  # the client may fail in any way on hostile bytes
            raise LinkLost(reason_of(exc)) from exc

    def abort(self) -> None:
        """Cut the connection: whoever reads from it or writes to it gets an end or an error. Never blocks."""
        with self._lock:
            self._aborted = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # The plain socket's method: SSLSocket's own takes TLS away under a thread that is reading.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the socket, once no thread works with it."""
        self.abort()
        with self._lock:
            if self._socket is not None:
                self._socket.close()

    def _connect(self) -> socket.socket:
        failure: OSError = OSError(f"{self.host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            connection = self._keep(socket.socket(family, kind, protocol))
            try:
                self._connect_to(connection, address)
            except OSError as exc:
                connection.close()
                failure = exc
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        raise failure

    def _connect_to(self, connection: socket.socket, address: Any) -> None:
        """As ``connect``, but begun under the lock: a new socket can't be shut down, a connecting one can."""
        with self._lock:
            connection.setblocking(False)
            error = errno.ECONNABORTED if self._aborted else connection.connect_ex(address)
        if error == errno.EINPROGRESS:
            connected = select.poll()
            connected.register(connection, select.POLLOUT)
            if not connected.poll(self._timeout_s * 1000):
                raise TimeoutError("timed out")
            error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        connection.setblocking(True)

    def _keep(self, connection: socket.socket) -> socket.socket:
        """Make ``abort`` reach this socket."""
        with self._lock:
            self._socket = connection
            if self._aborted:
                connection.close()
                raise LinkLost("given up")
        return connection
