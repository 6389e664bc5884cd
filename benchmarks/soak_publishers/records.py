"""What a program under soak tells of itself: one JSON line each, in the order in which it happened to a message."""

from __future__ import annotations

import msgspec

__all__ = [
    "CallBegun",
    "CallEnded",
    "Census",
    "ConnectionFact",
    "Held",
    "MessageBegun",
    "MessageTold",
    "Observed",
    "Record",
    "Trouble",
    "decode",
    "encode",
]


class _Line(msgspec.Struct, frozen=True, array_like=True, tag=True):
    pass


class CallBegun(_Line, frozen=True):
    """A call begins.

    Attributes:
        call: its number, unique in the program.
        way: ``publish``, ``submit``, ``batch``, ``publish_many``, ``twins`` or ``close``.
    """

    call: int
    way: str


class MessageBegun(_Line, frozen=True):
    """A message is handed to the publisher next.

    Attributes:
        call: whose it is.
        tag: names the message, in its body; unique in the soak.
        key: its routing key.
        message_id: as it was given; None: the publisher makes one.
    """

    call: int
    tag: str
    key: str
    message_id: str | None


class MessageTold(_Line, frozen=True):
    """The caller was told what became of a message.

    Attributes:
        tag: which.
        outcome: ``confirmed`` (routed), ``unrouted`` (a receipt that says so), ``unroutable``, ``not sent``,
            ``refused``, ``nacked``, ``unknown``, ``nothing`` (it was never taken in), ``cancelled`` (and nothing
            else was said) or ``odd`` (an error that is not documented).
        attempts: as told; None: not told.
        message_id: as told; None: not told.
        text: of the error or the note; empty for a receipt.
        by_cancelling: the caller was cancelled, and this is what its error says.
    """

    tag: str
    outcome: str
    attempts: int | None
    message_id: str | None
    text: str
    by_cancelling: bool = False


class CallEnded(_Line, frozen=True):
    """A call has ended.

    Attributes:
        call: which.
        late_s: how long after its deadline; below 0: before it.
    """

    call: int
    late_s: float


class Observed(_Line, frozen=True):
    """The publisher's observer was told that a message is settled; the words are the observer's."""

    message_id: str
    key: str
    outcome: str
    attempts: int


class ConnectionFact(_Line, frozen=True):
    """The publisher's observer was told of a connection.

    Attributes:
        event: ``connected``, ``lost``, ``not connected``, ``blocked`` or ``unblocked``.
        reason: in one line.
    """

    event: str
    reason: str


class Held(_Line, frozen=True):
    """All calls of a round have ended and nothing is under way.

    Attributes:
        round: which.
        unsettled: messages that the observer was told of as taken, and not as settled.
        rss_bytes: resident memory, after a collection of garbage.
        blocks: allocated blocks of Python's memory (:func:`sys.getallocatedblocks`), likewise.
    """

    round: int
    unsettled: int
    rss_bytes: int
    blocks: int


class Census(_Line, frozen=True):
    """What the process holds.

    Attributes:
        when: ``before`` the publisher was used, or ``after`` it was closed.
        threads, tasks: their names.
        descriptors: what each open file descriptor is.
    """

    when: str
    threads: list[str]
    tasks: list[str]
    descriptors: list[str]


class Trouble(_Line, frozen=True):
    """Something was logged, warned of or raised that must not be."""

    text: str


Record = CallBegun | MessageBegun | MessageTold | CallEnded | Observed | ConnectionFact | Held | Census | Trouble

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """The record as a line, with its end."""
    return _encoder.encode(record) + b"\n"


def decode(line: bytes) -> Record:
    """The record that a line holds.

    Raises:
        msgspec.DecodeError: it holds none.
    """
    return _decoder.decode(line)
