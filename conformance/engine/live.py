"""What the engine knows of a running play from its own events: cheap, thread-safe, for waiting on."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from conformance.errors import HarnessError
from conformance.history.events import (
    ConfirmSeen,
    Event,
    PublishSeen,
    TabDelivered,
    TabDisconnected,
    TabHandled,
    TabRefused,
    TabSubscribed,
)

__all__ = ["Live"]

_STOP_LOOK_S = 0.5
"""How often a wait looks whether the run was told to stop, in seconds."""


class Live:
    """Counts the tabs' events and lets the engine wait for a condition over them. Feed it as a listener."""

    def __init__(self, stop: Callable[[], bool] = lambda: False) -> None:
        self._stop = stop
        self._changed = threading.Condition()
        self.subscribed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.sessions: defaultdict[str, set[int]] = defaultdict(set)
        """By tab: its sessions that are subscribed now, those of duplicated pages included."""
        self.published: Counter[str] = Counter()
        """By the exchange's name at the broker: how many publishes have passed on the publisher's link."""
        self.nacked = 0
        """How many messages the broker has nacked on the publisher's link."""
        self.last_arrival = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Take one event (called in recording order)."""
        with self._changed:
            if isinstance(event, TabSubscribed):
                self.subscribed[event.tab] += 1
                self.sessions[event.tab].add(event.session)
            elif isinstance(event, TabDisconnected):
                self.sessions[event.tab].discard(event.session)
            elif isinstance(event, TabRefused):
                self.refused[event.tab] += 1
            elif isinstance(event, PublishSeen):
                self.published[event.exchange] += 1
            elif isinstance(event, ConfirmSeen) and event.kind == "nack":
                self.nacked += len(event.body_digests)
            if isinstance(event, TabDelivered | TabHandled | TabSubscribed):
                self.last_arrival = time.monotonic()
            self._changed.notify_all()

    def nudge(self) -> None:
        """Have a wait look at its condition again: for what is no event."""
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``condition`` holds; it is looked at again after each event. Returns whether it held.

        Raises:
            HarnessError: the run was told to stop.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if self._stop():
                    raise HarnessError("the run was stopped")
                if condition():
                    return True
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(min(left_s, _STOP_LOOK_S))
