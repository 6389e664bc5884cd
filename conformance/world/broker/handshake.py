"""Is a broker there? Asked by a handshake of each protocol, never by a line in a log."""

from __future__ import annotations

import socket
from urllib.parse import unquote, urlsplit

import pika
import websocket
from pika.exceptions import ProbableAccessDeniedError, ProbableAuthenticationError

from conformance.errors import BrokerUnavailable
from conformance.stomp.session import ClientSession, Connected, ErrorReceived
from conformance.world.broker.amqp_connection import open_amqp
from conformance.world.broker.amqp_errors import AMQP_ERRORS

__all__ = ["amqp_answers", "redacted", "web_stomp_answers"]

_TIMEOUT_S = 5.0
_CLOSE_S = 1
_NAME_IT = "Name the address where RabbitMQ's Web-STOMP listens."
_AMQP_PORT = 5672


def redacted(url: str) -> str:
    """The URL without its password, for messages."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


def amqp_answers(url: str, *, timeout_s: float = _TIMEOUT_S) -> None:
    """Open and close an AMQP connection; each step may take so long.

    Raises:
        BrokerUnavailable: it can't be opened; says why and what to do.
    """
    where = redacted(url)
    try:
        _await_greeting(url, timeout_s)
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = parameters.blocked_connection_timeout = timeout_s
        parameters.stack_timeout = 2 * timeout_s
        open_amqp(parameters).close()
    except ProbableAuthenticationError as exc:
        raise BrokerUnavailable(
            f"{where}: the broker refuses user or password. Give the right ones in the URL."
        ) from exc
    except ProbableAccessDeniedError as exc:
        raise BrokerUnavailable(
            f"{where}: the user may not open the vhost {unquote(urlsplit(url).path[1:]) or '/'!r}, or there is no such "
            "vhost. Name one that there is, percent-encoded, as the URL's path (/ is %2F)."
        ) from exc
    except AMQP_ERRORS as exc:
        cause = _first_words(exc)
        raise BrokerUnavailable(
            f"{where}: no AMQP connection ({cause}). Check host and port, and that RabbitMQ runs there."
        ) from exc


def _await_greeting(url: str, timeout_s: float) -> None:
    """Wait for the first byte of what answers to AMQP's protocol header: pika waits for a silent peer without end.

    Source: AMQP 0-9-1, 2.2.4 (protocol header), and pika 1.4, which closes a connection in order at its stack timeout.
    """
    parts = urlsplit(url)
    if parts.scheme != "amqp" or parts.hostname is None:
        return
    with socket.create_connection((parts.hostname, parts.port or _AMQP_PORT), timeout=timeout_s) as greeted:
        greeted.sendall(b"AMQP\x00\x00\x09\x01")
        greeted.recv(1)


def web_stomp_answers(url: str, login: str, passcode: str, vhost: str, *, timeout_s: float = _TIMEOUT_S) -> None:
    """Open a WebSocket with STOMP and wait for CONNECTED; each step may take so long.

    Raises:
        BrokerUnavailable: it can't be opened; says why and what to do.
    """
    try:
        connection = websocket.create_connection(
            url, timeout=timeout_s, subprotocols=["v12.stomp"], http_no_proxy=["*"]
        )
    except (websocket.WebSocketException, OSError) as exc:
        raise BrokerUnavailable(
            f"{url}: no WebSocket ({_first_words(exc)}). Enable the plugin on the broker "
            "(rabbitmq-plugins enable rabbitmq_web_stomp), or name the address where it listens."
        ) from exc
    try:
        session = ClientSession()
        connection.send(session.connect(host=vhost, login=login, passcode=passcode), websocket.ABNF.OPCODE_TEXT)
        while True:
            opcode, data = connection.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise BrokerUnavailable(f"{url}: the broker closed the WebSocket before CONNECTED. {_NAME_IT}")
            session.receive_data(bytes(data))
            for event in session.events():
                if isinstance(event, Connected):
                    return
                if isinstance(event, ErrorReceived):
                    raise BrokerUnavailable(
                        f"{url}: STOMP CONNECT as {login!r} was refused ({event.frame.get('message') or 'no reason'}). "
                        "Check tab.login, tab.passcode and the vhost."
                    )
            if session.error is not None:
                raise BrokerUnavailable(f"{url}: what answers there speaks no STOMP ({session.error}). {_NAME_IT}")
    except (websocket.WebSocketException, OSError) as exc:
        raise BrokerUnavailable(f"{url}: no CONNECTED came ({_first_words(exc)}). {_NAME_IT}") from exc
    finally:
        connection.close(timeout=_CLOSE_S)
        connection.shutdown()  # type: ignore[no-untyped-call]  # which close() leaves out where the other side has broken the protocol


def _first_words(exc: BaseException) -> str:
    """Why, in a few words: pika wraps the reason two or three times."""
    inner: BaseException | None = exc
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        nested = [arg for arg in getattr(inner, "args", ()) if isinstance(arg, BaseException)]
        for name in ("exception", "exceptions"):
            value = getattr(inner, name, None)
            nested += value if isinstance(value, list | tuple) else [value] if isinstance(value, BaseException) else []
        inner = nested[0] if nested else None
    text = str(exc) or type(exc).__name__
    return text.splitlines()[0][:200]
