"""What the broker's bytes say, as values in the order in which it said it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "Blocked",
    "ChannelClosed",
    "ClosedByBroker",
    "ClosedInOrder",
    "Confirmed",
    "Declared",
    "Event",
    "Failed",
    "Opened",
    "Returned",
    "Selected",
    "Unblocked",
]


class Opened(NamedTuple):
    """The connection is open: channels may be opened."""


class Selected(NamedTuple):
    """The channel is in confirm mode; its next publish has tag 1."""

    channel: int


class Declared(NamedTuple):
    """The exchange that was asked for on the channel is there."""

    channel: int


class Confirmed(NamedTuple):
    """basic.ack, or basic.nack where ``nack``; ``multiple``: for all tags up to this one (0: for all)."""

    channel: int
    tag: int
    multiple: bool
    nack: bool


class Returned(NamedTuple):
    """A message came back whole; ``text`` is the broker's, such as ``NO_ROUTE``."""

    channel: int
    message_id: str | None
    text: str


class Blocked(NamedTuple):
    """The broker has an alarm and reads no more publishes."""

    reason: str


class Unblocked(NamedTuple):
    """The alarm is over."""


class ChannelClosed(NamedTuple):
    """The broker has closed the channel for an error; its number may be opened anew."""

    channel: int
    code: int
    text: str


class ClosedByBroker(NamedTuple):
    """The broker has closed the connection; ``class_id`` is that of the method that it minds, or 0."""

    code: int
    text: str
    class_id: int


class ClosedInOrder(NamedTuple):
    """The broker has answered our close."""


class Failed(NamedTuple):
    """The connection can't go on: the peer breaks the protocol, or says nothing any more.

    ``refused``: trying on would not help, as the peer is sound and does not offer what is asked for.
    """

    reason: str
    refused: bool = False


Event = (
    Opened
    | Selected
    | Declared
    | Confirmed
    | Returned
    | Blocked
    | Unblocked
    | ChannelClosed
    | ClosedByBroker
    | ClosedInOrder
    | Failed
)
