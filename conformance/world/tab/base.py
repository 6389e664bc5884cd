"""What the suite asks of a browser tab, whatever client plays it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Tab", "TabBehaviour", "TabSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TabBehaviour:
    """How the page treats what arrives. Can be changed while it runs.

    Attributes:
        withhold_acks: handle, but do not ack until told otherwise (then what was withheld is acked).
        withhold_handling: neither handle nor ack until told otherwise (then it is done, in order).
        delay_s: time that handling one message takes (a slow page): it is handled, then acked, that much later.
        ack_first: a broken page: acks on arrival, handles ``delay_s`` later, forgets it if the link is lost first.
        never_ack: a broken page: handles and never acks.
        drop_every: a broken page: acks but never handles every n-th message (0: none).
        gives_up: a broken page: does not connect again once it was subscribed and the broker sent ERROR.
    """

    withhold_acks: bool = False
    withhold_handling: bool = False
    delay_s: float = 0.0
    ack_first: bool = False
    never_ack: bool = False
    drop_every: int = 0
    gives_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TabSettings:
    """All that a tab needs to know to connect and subscribe."""

    tab: str
    """The page's id, kept over reloads; the ``tab`` of its events."""
    url: str
    """``ws://127.0.0.1:PORT/ws``, through the fault proxy."""
    login: str
    passcode: str
    vhost: str
    destination: str
    subscribe_headers: dict[str, str]
    """Sent with SUBSCRIBE beside destination, id and receipt."""
    ack: str
    """``client-individual``, ``client`` or ``auto``: also in ``subscribe_headers``."""
    heart_beat_s: float
    """Both ways; 0: none."""
    queue: str
    exchange: str
    exchange_type: str
    binding_key: str
    reconnect_first_s: float = 0.05
    reconnect_most_s: float = 1.0
    """The delay before the n-th attempt in a row grows from the first to the most, doubled each time, with jitter."""
    connect_timeout_s: float = 10.0
    """For the TCP connection, the WebSocket handshake, CONNECTED and the SUBSCRIBE's receipt, each."""
    seed: int = 0
    behaviour: TabBehaviour = field(default_factory=TabBehaviour)


class Tab(Protocol):
    """One page with one id. Works in threads of its own; every method may be called from any thread.

    Records TabOpened, TabConnected, TabSubscribed, TabRefused, TabDelivered, TabHandled, TabAcked,
    TabDisconnected and TabClosed. Reconnects by itself until ``leave`` or ``close``.
    """

    client: str
    """``websocket-client`` or ``stomp.py``."""

    @property
    def id(self) -> str:
        """The page's id."""
        ...

    def open(self) -> None:
        """Begin to connect; returns at once."""
        ...

    def wait_subscribed(self, timeout_s: float) -> bool:
        """Wait until a session is subscribed now; False after the timeout."""
        ...

    @property
    def subscribed(self) -> bool:
        """Whether a session is subscribed now."""
        ...

    def behave(self, behaviour: TabBehaviour) -> None:
        """Change how the page treats messages from now on."""
        ...

    def reload(self) -> None:
        """The page goes (socket closed without DISCONNECT, unhandled messages forgotten) and comes back with its id."""
        ...

    def duplicate(self) -> None:
        """Open a second page with the same id (sessionStorage is copied); its sessions count on from the first's."""
        ...

    def leave(self) -> None:
        """End every page with an orderly DISCONNECT (and its receipt, where the link allows); no TabClosed."""
        ...

    def close(self) -> None:
        """The user closes the tab for good: records TabClosed, then the socket is closed. Idempotent."""
        ...
