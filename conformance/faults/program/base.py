"""What a fault of the publisher's program is: frozen parameters, and an acting part that does it in the middle of
publishes.

A fault knows no processes: the world gives it a :class:`Program`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import ClassVar, Protocol

from conformance.faults.base import Fault, LinkKind

__all__ = ["Program", "ProgramActing", "ProgramFault"]


class Program(Protocol):
    """A program as far as a fault may act on it. Whatever fails raises HarnessError: the run is then inconclusive."""

    def kill(self) -> int:
        """Kill it (SIGKILL) and start it again; both have happened when this returns.

        Returns how many publishes were under way with it: their outcome is unknown from then on.
        """
        ...

    def stop(self) -> None:
        """Stop it where it stands (SIGSTOP); it was seen to stand still when this returns."""
        ...

    def resume(self) -> None:
        """Have it go on (SIGCONT)."""
        ...

    def hold(self, seconds: float) -> None:
        """Let so much time pass: for a fault that must last. Raises HarnessError where the run is stopped meanwhile."""
        ...


class ProgramActing(ABC):
    """A fault at work on a program. ``handed`` and ``end`` never run side by side.

    Attributes:
        counts: what it did, by what was seen of it.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @property
    def fired(self) -> bool:
        """Whether it was seen to have happened in the middle of publishes."""
        return self.counts.total() > 0

    @abstractmethod
    def handed(self, program: Program) -> None:
        """A publish was just handed to the program, and the next one waits until this returns."""

    def end(self, program: Program) -> None:  # noqa: B027 - what is done is done, for some
        """Heal it fully. Called once, also where it never did anything."""


class ProgramFault(Fault, ABC):
    """A fault of the publisher's program. Subclasses are frozen dataclasses, one file each, registered by name."""

    links: ClassVar[frozenset[LinkKind]] = frozenset({"program"})

    @abstractmethod
    def acting(self) -> ProgramActing:
        """A new acting part."""
