"""Where the broker is: an AMQP URL made into an :class:`Address`, with errors that say what to mend.

The form is that of https://www.rabbitmq.com/docs/uri-spec, where several hosts may stand with commas between them. The
query parameters are those of pika's URLParameters and, of
https://www.rabbitmq.com/docs/uri-query-parameters, ``auth_mechanism``, ``cacertfile``, ``certfile`` and ``keyfile``.
No error repeats the URL or its password.
"""

from __future__ import annotations

import ast
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from durable_ws.amqp.connection import FRAME_MAX, FRAME_MIN, Offer
from durable_ws.exceptions import ConfigError, closest
from durable_ws.table import checked_table

__all__ = ["MOST_HEARTBEAT_S", "Address", "Credentials", "TlsOptions", "parameters_from", "url_from"]

MOST_HEARTBEAT_S = 0xFFFF
"""AMQP 0-9-1, connection.tune: the heart-beat has 16 bits."""

_FORM = "Write it like amqp://user:password@host:5672/vhost (the vhost / is %2F, and so is any slash in a vhost)."
_ENCODE = "A :, /, ?, # or @ in the password is written %3A, %2F, %3F, %23 or %40."
_SHORT_STRING_BYTES = 255  # AMQP 0-9-1, 4.2.5.3: connection.open's vhost is a short string
_LEAST_CHANNELS = 2  # exchanges are declared on a channel of their own
_TLS = ("cacertfile", "certfile", "keyfile")
_TLS_OPTIONS = (
    "ca_certs", "ca_data", "ca_path", "cadata", "cafile", "capath", "certfile", "ciphers", "keyfile", "password",
    "server_hostname",
)  # fmt: skip
_TCP_OPTIONS = ("TCP_KEEPCNT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_USER_TIMEOUT")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in.

    Attributes:
        username, password: as they are, not percent-encoded; not looked at with EXTERNAL.
        mechanism: ``PLAIN``, or ``EXTERNAL`` where the client's certificate tells.
    """

    username: str = "guest"
    password: str = field(default="guest", repr=False)
    mechanism: str = "PLAIN"


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How the broker is known and we are known to it.

    Attributes:
        context: with the certificates.
        server_hostname: whose certificate it must be; None: the host's that is connected to.
    """

    context: ssl.SSLContext
    server_hostname: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """All that it takes to connect.

    Attributes:
        hosts: host and port of each broker that will do, at least one, in the order in which they are tried.
        virtual_host, credentials, ssl_options, locale, client_properties: see there; no ssl_options: no TLS.
        heartbeat: in seconds, 0 for none.
        channel_max, frame_max: what is proposed.
        socket_timeout: in seconds, for TCP and TLS.
        stack_timeout: in seconds, for TCP, TLS and the AMQP handshake together.
        blocked_connection_timeout: for how many seconds the broker may block the connection before it is given up;
            None: for ever.
        tcp_options: socket options by name.
    """

    hosts: tuple[tuple[str, int], ...]
    virtual_host: str = "/"
    credentials: Credentials = Credentials()
    ssl_options: TlsOptions | None = None
    locale: str = "en_US"
    client_properties: Mapping[str, Any] = field(default_factory=dict)
    heartbeat: int
    channel_max: int = 0xFFFF
    frame_max: int = FRAME_MAX
    socket_timeout: float
    stack_timeout: float
    blocked_connection_timeout: float | None = None
    tcp_options: Mapping[str, int] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The first host."""
        return self.hosts[0][0]

    @property
    def port(self) -> int:
        """The first host's port."""
        return self.hosts[0][1]

    def offer(self) -> Offer:
        """What is said to the broker."""
        told = self.credentials
        plain = b"\0" + told.username.encode() + b"\0" + told.password.encode()
        return Offer(
            mechanism=told.mechanism,
            response=plain if told.mechanism == "PLAIN" else b"",
            virtual_host=self.virtual_host,
            heartbeat_s=self.heartbeat,
            channel_max=self.channel_max,
            frame_max=self.frame_max,
            locale=self.locale,
            client_properties={  # now: it may have been made before a fork
                "connection_name": f"durable_ws of process {os.getpid()}",
                **self.client_properties,
            },
        )


def url_from(url: str | None, caller: str = "Publisher") -> tuple[str, str]:
    """The URL and what errors call it: the argument, else ``RABBITMQ_URL``.

    Raises:
        ConfigError: there is neither.
    """
    if url is not None:
        return url, "url"
    found = os.environ.get("RABBITMQ_URL")
    if not found:
        raise ConfigError(
            "RABBITMQ_URL",
            "the broker's URL is neither given as an argument nor set in the environment",
            f"Set RABBITMQ_URL, or call {caller}(url); " + _FORM[0].lower() + _FORM[1:],
        )
    return found, "RABBITMQ_URL"


def parameters_from(url: str, field: str, *, heartbeat_s: int, connect_timeout_s: float) -> Address:
    """The address that the URL stands for.

    Args:
        url: ``amqp://…`` or ``amqps://…``; its query parameters win over the arguments.
        field: what errors call it.
        heartbeat_s: proposed to the broker, at most MOST_HEARTBEAT_S; 0 for none.
        connect_timeout_s: for TCP, TLS and the AMQP handshake together.

    Raises:
        ConfigError: a part of the URL can't be used; names the part.
    """
    if not isinstance(url, str):
        raise ConfigError(field, f"is a {type(url).__name__}, not text", _FORM)
    scheme = url.partition("://")[0]
    if scheme.lower() not in ("amqp", "amqps") or "://" not in url:
        # What stands before the "://" may be half a password where the URL is badly broken: it is not shown.
        shown = (
            f"the scheme is {scheme!r}" if "://" in url and scheme.isalnum() and len(scheme) < 12 else "has no scheme"
        )
        raise ConfigError(field, f"{shown}, not amqp or amqps", _FORM)
    if any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url):
        raise ConfigError(
            field, "holds a space, line break or control character", "Percent-encode it (a space is %20)."
        )
    tls = scheme.lower() == "amqps"
    told = _check_parts(url, field)
    query = _read_query(told.query, field)
    stack_timeout = query.get("stack_timeout", connect_timeout_s)
    return Address(
        hosts=tuple((host, port or (5671 if tls or "ssl_options" in query else 5672)) for host, port in told.hosts),
        virtual_host=unquote(told.path) or "/",
        credentials=_credentials(told, field, query.get("auth_mechanism", "plain"), tls=tls),
        ssl_options=_tls_options(field, query, tls=tls),
        locale=query.get("locale", "en_US"),
        client_properties=query.get("client_properties", {}),
        heartbeat=query.get("heartbeat", heartbeat_s),
        channel_max=query.get("channel_max", 0xFFFF),
        frame_max=query.get("frame_max", FRAME_MAX),
        socket_timeout=query.get("socket_timeout", min(connect_timeout_s, stack_timeout)),
        stack_timeout=stack_timeout,
        blocked_connection_timeout=query.get("blocked_connection_timeout"),
        tcp_options=query.get("tcp_options", {}),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    hosts: list[tuple[str, int | None]]
    user: str | None
    password: str | None
    path: str
    query: dict[str, str]


def _check_parts(url: str, field: str) -> _Parts:
    """Look at each part by itself, so that the error can name it."""
    try:
        parts = urlsplit(url)
        ones = [urlsplit(f"//{one}") for one in parts.netloc.rpartition("@")[2].split(",")]
        hosts = [one.hostname for one in ones]
        for host in hosts:
            (host or "").encode("idna")
    except ValueError:
        raise ConfigError(field, "the host is not a name or address", _FORM) from None
    # Behind a bare /, ? or # in the password stands the rest of it, up to the @: nothing of it may be shown.
    hidden = "@" in url.partition("://")[2][len(parts.netloc) :]
    ports = []
    for one in ones:
        try:
            ports.append(one.port)
        except ValueError:
            shown = one.netloc.rpartition(":")[2]
            named = f" {shown!r:.20}" if "@" in parts.netloc and not hidden else ""
            raise ConfigError(field, f"the port{named} is not a number of 1–65535", f"{_FORM} {_ENCODE}") from None
    user, password = parts.username, parts.password
    vhost = "" if hidden else f" {parts.path[1:]!r:.60}"
    problems = {
        "the port is 0, not a number of 1–65535": 0 in ports,
        "there is no host" if len(hosts) == 1 else "one of the hosts is empty": not all(hosts),
        f"the user {unquote(user or '')!r} has no password": user is not None and password is None,
        f"the vhost{vhost} has a bare slash": "/" in parts.path[1:],
        f"the vhost{vhost} has more than 255 bytes": len(unquote(parts.path[1:]).encode()) > _SHORT_STRING_BYTES,
        "there is a bare #, and what follows it would be left out (write %23)": bool(parts.fragment),
    }
    for problem, found in problems.items():
        if found:
            raise ConfigError(field, problem, f"{_FORM} {_ENCODE}" if hidden else _FORM)
    query = _check_query(parts.query, field, hidden=hidden)
    return _Parts([(host or "", port) for host, port in zip(hosts, ports, strict=True)], user, password,
                  parts.path[1:], query)  # fmt: skip


def _check_query(text: str, field: str, *, hidden: bool) -> dict[str, str]:
    query = parse_qs(text, keep_blank_values=True)
    for name, values in query.items():
        if name not in _QUERY and hidden:
            raise ConfigError(field, "has a query parameter that is none of an AMQP URL here", f"{_FORM} {_ENCODE}")
        if name not in _QUERY:
            raise ConfigError(f"{field}?{name}", "is no parameter of an AMQP URL here", closest(name, _QUERY))
        if len(values) != 1 or not values[0]:
            raise ConfigError(f"{field}?{name}", "does not have exactly one value", "Give it one, or leave it out.")
    return {name: values[0] for name, values in query.items()}


def _read_query(query: Mapping[str, str], field: str) -> dict[str, Any]:
    """The values of the query. What can't be used is named and not shown: a password may stand in it."""
    read: dict[str, Any] = {}
    for name, text in query.items():
        try:
            read[name] = _QUERY[name](text)
        except ConfigError as exc:
            raise ConfigError(f"{field}?{name}", exc.problem, exc.way_out) from None
        except Exception as exc:  # noqa: BLE001 - some values are Python literals: anything may come
            raise ConfigError(
                field, f"the query parameter {name!r} can't be used ({type(exc).__name__})", f"{_FORM} {_HOW[name]}"
            ) from None
    return read


def _credentials(told: _Parts, field: str, mechanism: str, *, tls: bool) -> Credentials:
    if mechanism == "external":
        if not tls:
            raise ConfigError(
                f"{field}?auth_mechanism", "is external, which goes by the client's certificate and needs TLS",
                "Write amqps://… with certfile and keyfile.",
            )  # fmt: skip
        return Credentials("", "", "EXTERNAL")
    if told.user is None:
        return Credentials()
    return Credentials(unquote(told.user), unquote(told.password or ""))


def _tls_options(field: str, query: Mapping[str, Any], *, tls: bool) -> TlsOptions | None:
    """The TLS that scheme and query ask for.

    ``ssl_options`` makes a context of its own, as pika does; without it the system's authorities are trusted, or those
    of ``cacertfile``.
    """
    given = next((name for name in _TLS if name in query), None)
    if given and not tls:
        raise ConfigError(f"{field}?{given}", "is of use with TLS alone", "Write amqps://….")
    if given and "ssl_options" in query:
        raise ConfigError(f"{field}?{given}", "stands beside ssl_options", "Write one of the two.")
    try:
        if (options := query.get("ssl_options")) is not None:
            return _of_ssl_options(options)
        if not tls:
            return None
        context = ssl.create_default_context(cafile=query.get("cacertfile"))
        if "certfile" in query:
            context.load_cert_chain(query["certfile"], query.get("keyfile"))
        elif "keyfile" in query:
            raise ConfigError(f"{field}?keyfile", "has no certfile beside it", "Give both.")
        return TlsOptions(context)
    except ConfigError:
        raise
    except Exception as exc:  # noqa: BLE001 - files, formats, keys, and whatever stands in ssl_options
        said = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise ConfigError(
            f"{field}?{given or 'ssl_options'}", f"can't be used ({type(exc).__name__}: {said:.80})",
            "Give files in PEM that can be read.",
        ) from None  # fmt: skip


def _of_ssl_options(options: Mapping[str, Any]) -> TlsOptions:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(
        options.get("ca_certs") or options.get("cafile"),
        options.get("ca_path") or options.get("capath"),
        options.get("ca_data") or options.get("cadata"),
    )
    if "certfile" in options:
        context.load_cert_chain(options["certfile"], options.get("keyfile"), options.get("password"))
    if "ciphers" in options:
        context.set_ciphers(options["ciphers"])
    return TlsOptions(context, options.get("server_hostname"))


# --- the query's parameters ---------------------------------------------------------------------------


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise ConfigError("", f"{text:.20} is not a number of seconds above 0", "Give one, such as 10.")
    return value


def _count(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ConfigError("", f"{value} is not a whole number of {least}–{most}", "Give one, or leave it out.")
        return value

    return read


def _heartbeat(text: str) -> int:
    value = int(text)
    if value > MOST_HEARTBEAT_S:
        raise ConfigError("", f"{value} s is more than AMQP can say", "Give 5–20.")
    return _count(0, MOST_HEARTBEAT_S)(text)


def _channel_max(text: str) -> int:
    if int(text) < _LEAST_CHANNELS:
        raise ConfigError("", f"{int(text)} is too few: two channels are needed", "Leave it out.")
    return _count(_LEAST_CHANNELS, 0xFFFF)(text)


def _literal(known: tuple[str, ...]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = ast.literal_eval(text)
        if not isinstance(value, dict):
            raise TypeError("not a dict")
        for name in value:
            if name not in known:
                raise ConfigError("", f"{name!r:.40} is no option of it", closest(str(name), known))
        return value

    return read


def _tcp_options(text: str) -> dict[str, int]:
    options: dict[str, int] = _literal(_TCP_OPTIONS)(text)
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise ConfigError("", f"{name} is {value!r:.40}, not a whole number", "Give one.")
        if not hasattr(socket, name):
            raise ConfigError("", f"{name} is not known to this system", "Leave it out.")
    return options


def _client_properties(text: str) -> dict[str, Any]:
    try:
        return checked_table("", ast.literal_eval(text))[0]
    except ConfigError as exc:
        raise ConfigError("", f"{exc.field} {exc.problem}".strip(), exc.way_out) from None


def _auth_mechanism(text: str) -> str:
    if text.lower() not in ("plain", "external"):
        raise ConfigError("", f"{text!r:.20} is no mechanism here", closest(text.lower(), ("plain", "external")))
    return text.lower()


_QUERY: dict[str, Callable[[str], Any]] = {
    "auth_mechanism": _auth_mechanism,
    "blocked_connection_timeout": _seconds,
    "cacertfile": str,
    "certfile": str,
    "channel_max": _channel_max,
    "client_properties": _client_properties,
    "frame_max": _count(FRAME_MIN, FRAME_MAX),
    "heartbeat": _heartbeat,
    "keyfile": str,
    "locale": str,
    "socket_timeout": _seconds,
    "ssl_options": _literal(_TLS_OPTIONS),
    "stack_timeout": _seconds,
    "tcp_options": _tcp_options,
}
_NUMBER, _DICT = "Give it a number.", "Give it a dict as Python writes it, percent-encoded."
_HOW = {
    name: _DICT if name in ("client_properties", "ssl_options", "tcp_options") else _NUMBER for name in _QUERY
}  # fmt: skip
"""What to do about a value that can't be read, by the parameter's name."""
