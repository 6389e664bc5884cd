"""What can be wrong with STOMP.

::

    StompError
    ├── InvalidFrame              a frame of ours that STOMP can't say (raised)
    ├── InvalidState              a call that does not fit the session's state (raised)
    └── ProtocolError             what the peer sent is wrong (stored, never raised by ``receive_*``)
        ├── MalformedFrame        the bytes are no STOMP frame
        ├── UndefinedEscape       a header holds a backslash before an octet that has no meaning there
        ├── TruncatedFrame        the stream ended inside a frame
        ├── LimitExceeded
        │   ├── TooManyHeaders
        │   ├── LineTooLong
        │   └── BodyTooLarge
        ├── UnexpectedFrame       a frame that has no place in the session's state
        └── VersionRefused        the server speaks no version that we do
"""
# ruff: noqa: N818 - the name says what happened; the base class says that it is an error

from __future__ import annotations

__all__ = [
    "BodyTooLarge",
    "InvalidFrame",
    "InvalidState",
    "LimitExceeded",
    "LineTooLong",
    "MalformedFrame",
    "ProtocolError",
    "StompError",
    "TooManyHeaders",
    "TruncatedFrame",
    "UndefinedEscape",
    "UnexpectedFrame",
    "VersionRefused",
]


class StompError(Exception):
    """Base of every error of the codec."""


class InvalidFrame(StompError, ValueError):
    """STOMP 1.2 has no bytes for this frame."""


class InvalidState(StompError):
    """The call does not fit the state; a mistake of the caller."""


class ProtocolError(StompError):
    """The peer broke the protocol; the message says how."""


class MalformedFrame(ProtocolError):
    """The bytes are no STOMP frame."""


class UndefinedEscape(ProtocolError):
    """ "Undefined escape sequences such as \\t MUST be treated as a fatal protocol error" (Value Encoding)."""


class TruncatedFrame(ProtocolError):
    """The stream ended inside a frame."""


class LimitExceeded(ProtocolError):
    """A frame is larger than we take (Size Limits)."""


class TooManyHeaders(LimitExceeded):
    """More header lines than :attr:`Limits.headers`."""


class LineTooLong(LimitExceeded):
    """A command or header line longer than :attr:`Limits.line_bytes`."""


class BodyTooLarge(LimitExceeded):
    """A body larger than :attr:`Limits.body_bytes`."""


class UnexpectedFrame(ProtocolError):
    """A frame that has no place in the session's state."""


class VersionRefused(ProtocolError):
    """The server's CONNECTED names another version than 1.2 (Protocol Negotiation)."""
