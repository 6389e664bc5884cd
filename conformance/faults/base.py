"""What a fault is: frozen parameters, and an acting part that says of each piece of traffic what becomes of it.

A fault of a link knows no sockets. The proxy tells it of connections and of *pieces*: whole protocol units (a
WebSocket frame, an AMQP frame) with *marks* that say what they are. The fault answers with an :data:`Action`.
A fault of the broker is :class:`conformance.faults.broker.base.BrokerFault`, one of the publisher's program
:class:`conformance.faults.program.base.ProgramFault`.
"""

from __future__ import annotations

import difflib
import json
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from conformance.errors import UsageError

__all__ = [
    "FAULTS",
    "HOLD",
    "PASS",
    "VANISH",
    "Acting",
    "Action",
    "Connection",
    "Cut",
    "Delay",
    "Direction",
    "Fault",
    "Hold",
    "LinkFault",
    "LinkKind",
    "Pass",
    "Piece",
    "Trickle",
    "Vanish",
    "make_fault",
    "register",
]

Direction = Literal["to_broker", "to_client"]
LinkKind = Literal["tab", "publisher", "broker", "program"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that belong together.

    Attributes:
        data: a whole protocol unit, or bytes that the tap could not read.
        marks: what it holds, in order: lower-case STOMP commands (``message``, ``ack``, ``receipt`` …), ``http``,
            ``publish_begins``, ``publish`` (its last frame), ``confirm``, ``return``, ``amqp_open`` …
        seen: wire events to record once the piece is passed on: event classes of the history with their fields.
    """

    data: bytes
    marks: tuple[str, ...] = ()
    seen: tuple[tuple[type[Any], dict[str, Any]], ...] = ()


class Connection(Protocol):
    """One proxied connection, as far as a fault may act on it."""

    number: int

    def cut(self, *, reset: bool) -> None:
        """End both sides: by a reset, or in an orderly way."""
        ...

    def cut_soon(self, delay_s: float, *, reset: bool, then: Callable[[], None]) -> None:
        """``cut`` after a delay, in seconds, and call ``then``; not if it, or the fault, has ended by then."""
        ...

    def silence(self, directions: Collection[Direction]) -> None:
        """From now on nothing passes that way for good, ends included: the far side keeps its socket."""
        ...


@dataclass(frozen=True, slots=True)
class Pass:
    """Pass the piece on."""


@dataclass(frozen=True, slots=True)
class Vanish:
    """The piece is lost; the connection stays."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait with this piece and all behind it until the fault ends, then pass it on."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Pass the first ``pass_bytes`` (None: all), then end the connection; the far side of what passed gets a FIN."""

    pass_bytes: int | None
    reset: bool


@dataclass(frozen=True, slots=True)
class Delay:
    """Pass the piece on that much later, in seconds, in order."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Trickle:
    """Pass the piece on in segments, with a pause after each, in seconds (after a shorter one: shorter in
    proportion)."""

    segment_bytes: int
    pause_s: float = 0.0


Action = Pass | Vanish | Hold | Cut | Delay | Trickle
PASS, VANISH, HOLD = Pass(), Vanish(), Hold()


class Acting:
    """A fault at work on one link; this one does nothing. All calls come from one thread.

    Attributes:
        counts: what it did.
        down: new connections are refused.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.down = False

    @property
    def fired(self) -> bool:
        """Whether it did anything."""
        return self.counts.total() > 0

    def begin(self, connections: Collection[Connection]) -> None:
        """The fault begins; ``connections`` are open."""

    def connect(self, connection: Connection) -> bool:  # noqa: ARG002 - for those that mind
        """A client connects; False: it is turned away."""
        if self.down:
            self.counts["refused"] += 1
        return not self.down

    def act(self, connection: Connection, direction: Direction, piece: Piece) -> Action:  # noqa: ARG002
        """What becomes of the piece."""
        return PASS


class Fault:
    """A fault's parameters. Subclasses are frozen dataclasses, one file each, made known by :func:`register`."""

    name: ClassVar[str]
    links: ClassVar[frozenset[LinkKind]]

    def check_link(self, link: LinkKind) -> None:
        """Whether it can happen on such a link with these parameters. Raises UsageError where it can't."""


class LinkFault(Fault, ABC):
    """A fault of the link of a tab or of the publisher."""

    links: ClassVar[frozenset[LinkKind]] = frozenset({"tab", "publisher"})

    @abstractmethod
    def acting(self, rng: random.Random) -> Acting:
        """A new acting part for one link; ``rng`` is the link's own seeded randomness."""


FAULTS: dict[str, type[Fault]] = {}
"""Every fault by its name."""

_adapters: dict[str, TypeAdapter[Fault]] = {}


F = TypeVar("F", bound=Fault)


def register(cls: type[F]) -> type[F]:
    """Make a fault known by its name."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
    FAULTS[cls.name] = cls
    return cls


def make_fault(name: str, parameters: Mapping[str, object], *, link: LinkKind | None = None) -> Fault:
    """A fault from plain data.

    Args:
        name: a key of :data:`FAULTS`.
        parameters: its fields.
        link: the kind of link that it is for; None: not known.

    Raises:
        UsageError: there is no such fault or parameter, a value is out of range, or it does not fit the link.
    """
    import conformance.faults.all  # noqa: F401 - registers them; they import this module

    if name not in FAULTS:
        close = difflib.get_close_matches(name, FAULTS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(FAULTS)}."
        raise UsageError("fault", f"{name!r} is no fault", hint)
    cls = FAULTS[name]
    if link is not None and link not in cls.links:
        fitting = ", ".join(fault for fault, kind in FAULTS.items() if link in kind.links)
        what = {"broker": "the broker itself", "program": "the publisher's program"}.get(link, f"the link of a {link}")
        raise UsageError("fault", f"{name!r} does nothing to {what}", f"Take one of: {fitting}.")
    if name not in _adapters:
        _adapters[name] = TypeAdapter(cls)
    try:
        # As JSON, for which strict validation takes a mapping for a dataclass.
        fault = _adapters[name].validate_json(json.dumps(dict(parameters)))
    except TypeError as exc:
        raise UsageError("parameters", f"hold what JSON can't ({exc})", "Use numbers, text and booleans.") from exc
    except ValidationError as exc:
        error = exc.errors()[0]
        where = ".".join(["parameters", *(str(part) for part in error["loc"])])
        fields = ", ".join(cls.__dataclass_fields__) or "none"  # type: ignore[attr-defined]
        raise UsageError(
            where,
            f"{error['input']!r} does not go with the fault {name!r} ({error['msg']})",
            f"Its parameters are: {fields}.",
        ) from exc
    if link is not None:
        fault.check_link(link)
    return fault
