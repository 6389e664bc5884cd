"""One connection of a tab, whatever STOMP client makes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from conformance.stomp.session import HeartBeatTimes
from conformance.world.tab.base import TabSettings
from conformance.world.tab.message import TabMessage

__all__ = [
    "DISCONNECT_RECEIPT",
    "SILENCE_FACTOR",
    "SUBSCRIBE_RECEIPT",
    "Link",
    "LinkError",
    "LinkListener",
    "LinkLost",
    "LinkRefused",
    "error_text",
]

SILENCE_FACTOR = 2.0
"""A broker that was silent for this many heart-beat intervals is gone."""

SUBSCRIBE_RECEIPT = "subscribed"
"""The ``receipt`` of SUBSCRIBE."""
DISCONNECT_RECEIPT = "left"
"""The ``receipt`` of DISCONNECT."""


class LinkError(Exception):
    """The connection is over; the message says why, in a few words."""


class LinkLost(LinkError):  # noqa: N818 - it is an error by its base
    """The connection was closed, broken, or spoke no proper STOMP."""


class LinkRefused(LinkError):  # noqa: N818 - it is an error by its base
    """The broker answered ERROR."""


class LinkListener(Protocol):
    """Told what happens, in order, by the thread that called :meth:`Link.run`."""

    def on_waiting(self, awaited: str) -> None:
        """A step of connecting begins; ``awaited`` (``CONNECTED``) should come within the tab's connect timeout."""
        ...

    def on_connected(self, heart_beat: HeartBeatTimes) -> None:
        """The broker answered CONNECTED."""
        ...

    def on_subscribing(self) -> None:
        """SUBSCRIBE was written; its receipt should come within the tab's connect timeout."""
        ...

    def on_subscribed(self) -> None:
        """SUBSCRIBE's receipt came."""
        ...

    def on_message(self, message: TabMessage) -> None:
        """A MESSAGE came; that may be before the receipt."""
        ...


class Link(ABC):
    """Connects, subscribes and reads in :meth:`run`; the other methods may be called by any thread at any time."""

    def __init__(self, settings: TabSettings, listener: LinkListener) -> None:
        self.settings = settings
        self.listener = listener

    @abstractmethod
    def run(self) -> None:
        """Play the whole connection; returns once an orderly DISCONNECT was answered.

        Waits as long as it takes: ending what takes too long is for the caller of :meth:`abort`.

        Raises:
            LinkRefused: the broker answered ERROR.
            LinkLost: it ended in any other way.
        """

    @abstractmethod
    def free(self) -> None:
        """Free the socket and end the client's threads; called once, by the thread that called ``run``, after it.

        Apart from ``run``, so that why it ended can be recorded before others stumble over a closed socket.
        """

    @abstractmethod
    def ack(self, ack_id: str) -> None:
        """Write an ACK. Raises LinkLost where that can't be done."""

    @abstractmethod
    def disconnect(self, timeout_s: float) -> None:
        """Write a DISCONNECT with a receipt, on which ``run`` returns; not before ``on_subscribing``.

        Raises:
            LinkLost: it can't be written.
        """

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection, without a word to the broker; ``run`` ends soon. Never blocks, never raises."""

    @property
    def next_beat(self) -> float | None:
        """When :meth:`beat` must be called (``time.monotonic``); None: the client sends heart-beats by itself."""
        return None

    def beat(self) -> None:  # noqa: B027 - nothing to do for a client that sends its own
        """Write a heart-beat. Raises LinkLost where that can't be done."""

    @property
    def subscription(self) -> str:
        """SUBSCRIBE's ``id``: the tab's own, as the page sends it, unless its headers have another."""
        return self.settings.subscribe_headers.get("id", self.settings.tab)

    @property
    def subscribe_headers(self) -> dict[str, str]:
        """SUBSCRIBE's headers beside destination, id and receipt."""
        return {name: value for name, value in self.settings.subscribe_headers.items() if name != "id"}

    @property
    def heart_beat_ms(self) -> int:
        """What CONNECT offers, both ways."""
        return round(self.settings.heart_beat_s * 1000)


def error_text(message: str | None, body: bytes) -> str:
    """An ERROR frame in one line: its ``message`` header and the beginning of its body."""
    detail = " ".join(body[:500].decode(errors="replace").split())
    return ": ".join(part for part in ("ERROR", message, detail) if part)
