"""A broker that runs already, elsewhere: it is used, never started, stopped or restarted."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from conformance.errors import UsageError
from conformance.world.broker.base import Addresses, Capability
from conformance.world.broker.handshake import amqp_answers, redacted, web_stomp_answers
from conformance.world.broker.management import Management
from conformance.world.broker.reached import Reached, vhost_of

__all__ = ["ExternalBroker"]


class ExternalBroker(Reached):
    """Implements :class:`conformance.world.broker.base.Broker` for a given URL.

    Args:
        amqp_url: ``amqp://user:password@host:port/vhost``.
        web_stomp_url: None: ``ws://HOST:15674/ws``.
        management_url: None: ``http://HOST:15672`` with the AMQP URL's credentials, if it answers there.

    Raises:
        UsageError: a URL can't be used.
    """

    provider = "external"
    _management_timeout_s = 10.0

    def __init__(self, amqp_url: str, *, web_stomp_url: str | None = None, management_url: str | None = None) -> None:
        super().__init__()
        self._amqp_url = _checked("--broker", amqp_url, ("amqp",), "amqp://user:password@host:5672/%2F")
        parts = urlsplit(amqp_url)
        self._login, self._passcode = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        self._web_stomp = _checked(
            "--web-stomp", web_stomp_url or f"ws://{host}:15674/ws", ("ws",), "ws://host:15674/ws"
        )
        self._management_given = management_url is not None
        credentials = f"{parts.username or 'guest'}:{parts.password or 'guest'}"
        self._management_url = _checked(
            "--management",
            management_url or f"http://{credentials}@{host}:15672",
            ("http", "https"),
            "http://user:password@host:15672",
        )

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Nothing that takes it down."""
        return frozenset({"management"} if self._management is not None else ())

    def describe(self) -> dict[str, Any]:
        """See :meth:`Broker.describe`."""
        return {
            "provider": self.provider,
            "version": self.version,
            "amqp": redacted(self._amqp_url),
            "web_stomp": self._web_stomp,
            "management": redacted(self._management_url) if self._management is not None else None,
            "settings": "its own",
        }

    def start(self) -> None:
        """Reach it. Raises BrokerUnavailable where AMQP or Web-STOMP does not answer."""
        amqp_answers(self._amqp_url)
        web_stomp_answers(self._web_stomp, self._login, self._passcode, vhost_of(self._amqp_url))
        management = Management(self._management_url, vhost_of(self._amqp_url))
        answers = management.answers()
        management.close()
        if self._management_given and not answers:
            raise UsageError(
                "--management",
                f"{redacted(self._management_url)!r} does not answer, or refuses the user",
                "Check address and credentials, or leave it out: what it would tell is then not checked.",
            )
        self._reach(
            Addresses(
                amqp=self._amqp_url,
                web_stomp=self._web_stomp,
                management=self._management_url if answers else None,
            )
        )

    def stop(self) -> None:
        """Leave it as it is."""
        self._leave()


def _checked(field: str, url: str, schemes: tuple[str, ...], example: str) -> str:
    try:
        parts = urlsplit(url)
        ok = parts.scheme in schemes and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        ok = False
    if not ok:
        raise UsageError(
            field, f"{redacted(url) if '://' in url else url!r} is no such URL", f"Write it like {example}."
        )
    if field == "--broker" and parts.port is None:
        return parts._replace(netloc=f"{parts.netloc.removesuffix(':')}:5672").geturl()
    return url
