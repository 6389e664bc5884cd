"""How a page treats what arrives: :class:`TabBehaviour` as a state machine without I/O, threads or a clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from conformance.world.tab.base import TabBehaviour

__all__ = ["Ack", "Handle", "Inbox"]

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Handle(Generic[M]):
    """Do the page's work with the message."""

    message: M


@dataclass(frozen=True, slots=True)
class Ack(Generic[M]):
    """Acknowledge the message."""

    message: M


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[M]):
    message: M
    acked: bool  # on arrival
    dropped: bool


class Inbox(Generic[M]):
    """Messages of one page, handled one after the other in the order of their arrival.

    Call :meth:`act` after every other call and again at :attr:`due`, and do what it says before calling it again.

    Args:
        behaviour: how the page treats messages at first.
        acks: whether messages are acked at all (not with ``ack: auto``).
    """

    def __init__(self, behaviour: TabBehaviour, *, acks: bool) -> None:
        self._behaviour = behaviour
        self._acks = acks
        self._waiting: deque[_Waiting[M]] = deque()
        self._ready: deque[Ack[M]] = deque()
        self._withheld: list[M] = []
        self._began: float | None = None  # when work on the first waiting message began
        self._arrived = 0

    def behave(self, behaviour: TabBehaviour) -> None:
        """Treat messages like this from now on; acks that were withheld and no longer are become ready, in order."""
        self._behaviour = behaviour
        if behaviour.withhold_handling:
            self._began = None
        if not behaviour.withhold_acks:
            withheld, self._withheld = self._withheld, []
            for message in withheld:
                self._ack(message)

    @property
    def gives_up(self) -> bool:
        """Whether the page does not connect again after an ERROR that ended its subscription."""
        return self._behaviour.gives_up

    def arrive(self, message: M) -> None:
        """A message came."""
        self._arrived += 1
        every = self._behaviour.drop_every
        acked = self._behaviour.ack_first
        if acked:
            self._ack(message)
        self._waiting.append(_Waiting(message, acked, dropped=bool(every) and self._arrived % every == 0))

    def forget(self) -> None:
        """The session is over: the page forgets what it had not handled, and acks of it mean nothing any more."""
        self._waiting.clear()
        self._ready.clear()
        self._withheld.clear()
        self._began = None

    def act(self, now: float) -> list[Handle[M] | Ack[M]]:
        """What to do now, in order: that of one message at most; empty: nothing before :attr:`due`."""
        if self._ready:
            return [self._ready.popleft()]
        while self._waiting and not self._behaviour.withhold_handling:
            if self._began is None:
                self._began = now
            if now < self._began + self._behaviour.delay_s:
                break
            self._began = None
            done = self._waiting.popleft()
            if not done.acked:
                self._ack(done.message)
            actions: list[Handle[M] | Ack[M]] = [] if done.dropped else [Handle(done.message)]
            actions += self._ready
            self._ready.clear()
            if actions:
                return actions
        return []

    @property
    def due(self) -> float | None:
        """When :meth:`act` has something to do if nothing else happens, on its own clock; None: never."""
        return None if self._began is None else self._began + self._behaviour.delay_s

    def _ack(self, message: M) -> None:
        if not self._acks or self._behaviour.never_ack:
            return
        if self._behaviour.withhold_acks:
            self._withheld.append(message)
        else:
            self._ready.append(Ack(message))
