"""What a publisher is told when it is made, checked; shared by the one for threads and the one for asyncio."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from durable_ws.address import MOST_HEARTBEAT_S, parameters_from, url_from
from durable_ws.exceptions import ConfigError, closest
from durable_ws.exchanges import Exchange, resolve
from durable_ws.link import LinkSettings
from durable_ws.message import Message, build
from durable_ws.observe import Observer
from durable_ws.telling import Guarded, guarded

__all__ = ["Options", "flag", "options_from", "seconds"]


@dataclass(frozen=True, slots=True)
class Options:
    """All of a publisher's settings; the words are those of its arguments.

    Attributes:
        exchanges: by the names that ``to=`` takes.
        timeout, window, max_connections, require_route, max_size, close_timeout_s: as the publisher's arguments.
        link: what each connection needs.
        observer: whom to tell; None: nobody.
    """

    exchanges: dict[str, Exchange]
    timeout: float
    window: int
    max_connections: int
    require_route: bool
    max_size: int
    close_timeout_s: float
    link: LinkSettings
    observer: Guarded | None

    def message(
        self, payload: object, to: str, routing_key: str, message_id: str | None, properties: Mapping[str, Any]
    ) -> Message:
        """The message that a call asks for.

        Raises:
            ConfigError: something of it can't be published; names the field.
        """
        try:
            exchange = self.exchanges[to]
        except (KeyError, TypeError):
            raise ConfigError(
                "to", f"{to!r:.60} is no exchange of this publisher", closest(str(to), self.exchanges)
            ) from None
        return build(
            payload,
            exchange=exchange.name,
            routing_key=routing_key,
            message_id=message_id,
            max_size_bytes=self.max_size,
            properties=properties,
        )


def options_from(  # noqa: PLR0913, RUF100
    caller: str,
    url: str | None,
    exchanges: Mapping[str, Exchange | Mapping[str, Any]] | None,
    *,
    max_connections: int | None,
    timeout: float,
    window: int,
    require_route: bool,
    max_size: int,
    heartbeat_s: int,
    connect_timeout_s: float,
    reconnect_first_s: float,
    reconnect_most_s: float,
    close_timeout_s: float | None,
    observer: Observer | None,
) -> Options:
    """Check what a publisher was told.

    Args:
        caller: the class that errors name.
        url, exchanges, …: see :class:`durable_ws.Publisher`.

    Raises:
        ConfigError: an argument or an environment variable can't be used, or there is no URL.
    """
    resolved = resolve(exchanges)
    timeout = seconds("timeout", timeout)
    window = _count("window", window)
    most = _max_connections(max_connections)
    require_route = flag("require_route", require_route)
    max_size = _count("max_size", max_size)
    close_timeout_s = timeout if close_timeout_s is None else seconds("close_timeout_s", close_timeout_s)
    watching = guarded(observer)
    told, field = url_from(url, caller)
    link = LinkSettings(
        address=parameters_from(
            told,
            field,
            heartbeat_s=_count("heartbeat_s", heartbeat_s, least=0, most=MOST_HEARTBEAT_S),
            connect_timeout_s=seconds("connect_timeout_s", connect_timeout_s),
        ),
        exchanges={exchange.name: exchange for exchange in resolved.values()},
        window=window,
        reconnect_first_s=seconds("reconnect_first_s", reconnect_first_s),
        reconnect_most_s=seconds("reconnect_most_s", reconnect_most_s),
        observer=watching,
    )
    return Options(resolved, timeout, window, most, require_route, max_size, close_timeout_s, link, watching)


def seconds(field: str, value: float) -> float:
    """The value as a number of seconds, if it is one above 0.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < threading.TIMEOUT_MAX:
        raise ConfigError(field, f"{value!r:.60} is not a number of seconds above 0", "Give one, such as 30.")
    return float(value)


def flag(field: str, value: bool) -> bool:
    """The value, if it is a bool.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, bool):
        raise ConfigError(field, f"{value!r:.60} is not a bool", "Write True or False.")
    return value


def _count(field: str, value: int, *, least: int = 1, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"{least}–{most}"
        raise ConfigError(field, f"{value!r:.60} is not a whole number of {span}", "Give one.")
    return value


def _max_connections(given: int | None) -> int:
    if given is not None:
        return _count("max_connections", given)
    text = os.environ.get("MAX_THREADS", "").strip()
    if not text:
        return 5
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise ConfigError(
            "MAX_THREADS", f"{text!r:.60} is not a whole number of at least 1", "Set it to one, or unset it."
        )
    return int(text)
