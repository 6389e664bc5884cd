"""Where the broker is: an AMQP URL made into pika's parameters, with errors that say what to mend.

The form is that of https://www.rabbitmq.com/docs/uri-spec, the query parameters those of pika's URLParameters.
No error repeats the URL or its password.
"""

from __future__ import annotations

import os
from urllib.parse import parse_qs, unquote, urlsplit

import pika

from durable_ws.exceptions import ConfigError, closest

__all__ = ["MOST_HEARTBEAT_S", "parameters_from", "url_from"]

MOST_HEARTBEAT_S = 0xFFFF
"""AMQP 0-9-1, connection.tune: the heart-beat has 16 bits."""

_FORM = "Write it like amqp://user:password@host:5672/vhost (the vhost / is %2F, and so is any slash in a vhost)."
_ENCODE = "A :, /, ?, # or @ in the password is written %3A, %2F, %3F, %23 or %40."
_SHORT_STRING_BYTES = 255  # AMQP 0-9-1, 4.2.5.3: connection.open's vhost is a short string
_LEAST_CHANNELS = 2  # exchanges are declared on a channel of their own
_QUERY = (
    "blocked_connection_timeout", "channel_max", "client_properties", "frame_max", "heartbeat", "locale",
    "socket_timeout", "ssl_options", "stack_timeout", "tcp_options",
)  # fmt: skip


def url_from(url: str | None) -> tuple[str, str]:
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
            "Set RABBITMQ_URL, or call Publisher(url); " + _FORM[0].lower() + _FORM[1:],
        )
    return found, "RABBITMQ_URL"


def parameters_from(url: str, field: str, *, heartbeat_s: int, connect_timeout_s: float) -> pika.URLParameters:
    """pika's parameters for the URL.

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
    query = _check_parts(url, field)
    try:
        parameters = pika.URLParameters(url)
    except Exception as exc:  # noqa: BLE001 - pika evaluates some values as Python literals: anything may come
        raise ConfigError(
            field, f"the query parameters {', '.join(map(repr, query))} can't be used ({type(exc).__name__})", _FORM
        ) from None
    if "heartbeat" not in query:
        parameters.heartbeat = heartbeat_s
    if parameters.heartbeat > MOST_HEARTBEAT_S:
        raise ConfigError(f"{field}?heartbeat", f"{parameters.heartbeat} s is more than AMQP can say", "Give 5–20.")
    if parameters.channel_max < _LEAST_CHANNELS:
        raise ConfigError(f"{field}?channel_max", "1 is too few: two channels are needed", "Leave it out.")
    if "stack_timeout" not in query:
        parameters.stack_timeout = connect_timeout_s
    if "socket_timeout" not in query:
        parameters.socket_timeout = min(connect_timeout_s, parameters.stack_timeout)
    parameters.client_properties = {
        "connection_name": f"durable_ws of process {os.getpid()}",
        **(parameters.client_properties or {}),
    }
    return parameters


def _check_parts(url: str, field: str) -> dict[str, list[str]]:
    """Look at each part by itself, so that the error can name it; the query's names and values come back."""
    try:
        parts = urlsplit(url)
        host, user, password = parts.hostname, parts.username, parts.password
        (host or "").encode("idna")
    except ValueError:
        raise ConfigError(field, "the host is not a name or address", _FORM) from None
    # Behind a bare /, ? or # in the password stands the rest of it, up to the @: nothing of it may be shown.
    hidden = "@" in url.partition("://")[2][len(parts.netloc) :]
    try:
        port = parts.port
    except ValueError:
        shown = parts.netloc.rpartition("@")[2].rpartition(":")[2]
        named = f" {shown!r:.20}" if "@" in parts.netloc and not hidden else ""
        raise ConfigError(field, f"the port{named} is not a number of 1–65535", f"{_FORM} {_ENCODE}") from None
    vhost = "" if hidden else f" {parts.path[1:]!r:.60}"
    problems = {
        "the port is 0, not a number of 1–65535": port == 0,
        "there is no host": not host,
        f"the user {unquote(user or '')!r} has no password": user is not None and password is None,
        f"the vhost{vhost} has a bare slash": "/" in parts.path[1:],
        f"the vhost{vhost} has more than 255 bytes": len(unquote(parts.path[1:]).encode()) > _SHORT_STRING_BYTES,
        "there is a bare #, and what follows it would be left out (write %23)": bool(parts.fragment),
    }
    for problem, found in problems.items():
        if found:
            raise ConfigError(field, problem, f"{_FORM} {_ENCODE}" if hidden else _FORM)
    return _check_query(parts.query, field, hidden=hidden)


def _check_query(text: str, field: str, *, hidden: bool) -> dict[str, list[str]]:
    query = parse_qs(text, keep_blank_values=True)
    for name, values in query.items():
        if name not in _QUERY and hidden:
            raise ConfigError(field, "has a query parameter that is none of an AMQP URL here", f"{_FORM} {_ENCODE}")
        if name not in _QUERY:
            raise ConfigError(f"{field}?{name}", "is no parameter of an AMQP URL here", closest(name, _QUERY))
        if len(values) != 1 or not values[0]:
            raise ConfigError(f"{field}?{name}", "does not have exactly one value", "Give it one, or leave it out.")
    return query
