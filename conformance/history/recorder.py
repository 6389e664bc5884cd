"""What every part of a world writes its events to."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from conformance.history.events import Event

__all__ = ["Recorder"]

E = TypeVar("E", bound=Event)


class Recorder(Protocol):
    """Takes events from any thread, in order."""

    def record(self, event_type: type[E], /, **fields: Any) -> E:
        """Make the event with the next index and the present time, keep it, and return it.

        Args:
            event_type: a class of :mod:`conformance.history.events`.
            **fields: its fields but ``index`` and ``time_ns``.
        """
        ...
