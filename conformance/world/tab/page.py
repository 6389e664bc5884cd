"""One open page of a tab: it connects again and again, handles what arrives, and can be told to go."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

from conformance.errors import HarnessError
from conformance.history.recorder import Recorder
from conformance.world.tab.base import TabBehaviour, TabSettings
from conformance.world.tab.handling import Ack, Handle, Inbox
from conformance.world.tab.message import TabMessage
from conformance.world.tab.session import MakeLink, Session

__all__ = ["OnHandled", "Page", "reconnect_delays"]

OnHandled = Callable[[TabMessage], None]

_END_S = 15.0  # a thread that takes longer to end has a bug


def reconnect_delays(first_s: float, most_s: float, rng: random.Random) -> Iterator[float]:
    """Delays in seconds before attempts in a row: doubled each time up to the most, up to half of it off as jitter."""
    delay_s = first_s
    while True:
        yield min(delay_s, most_s) * rng.uniform(0.5, 1.0)
        delay_s = min(2 * delay_s, most_s)


class Page:
    """A page with two threads: one connects and reads, one handles messages and minds the time.

    Args:
        name: of the threads, and what the jitter is seeded with.
        settings: the tab's.
        behaviour: how it treats messages at first.
        recorder: where the events go.
        make_link: makes a connection.
        next_session: gives the next session's number.
        changed: the tab's; guards the state of all its pages and is notified of every change.
        on_handled: called with each message when it is handled, in a thread of the page.
    """

    def __init__(
        self,
        name: str,
        settings: TabSettings,
        behaviour: TabBehaviour,
        recorder: Recorder,
        make_link: MakeLink,
        next_session: Callable[[], int],
        changed: threading.Condition,
        on_handled: OnHandled | None = None,
    ) -> None:
        self._settings = settings
        self._recorder = recorder
        self._make_link = make_link
        self._next_session = next_session
        self._changed = changed
        self._on_handled = on_handled
        self._inbox: Inbox[TabMessage] = Inbox(behaviour, acks=settings.ack != "auto")
        self._rng = random.Random(f"{settings.seed}/{name}")
        self._session: Session | None = None
        self._hurry = False  # connect at once
        self._going = False  # and never again
        self._threads = [
            threading.Thread(target=self._connect_and_read, name=f"{name} reader", daemon=True),
            threading.Thread(target=self._handle_and_tend, name=f"{name} worker", daemon=True),
        ]

    def start(self) -> None:
        """Begin to connect; called once."""
        for thread in self._threads:
            thread.start()

    @property
    def subscribed(self) -> bool:
        """Whether its subscription stands."""
        return self._session is not None and self._session.subscribed

    def behave(self, behaviour: TabBehaviour) -> None:
        """Treat messages like this from now on."""
        with self._changed:
            self._inbox.behave(behaviour)
            self._changed.notify_all()

    def reload(self) -> None:
        """End the session without a DISCONNECT and connect at once; the old one is over when this returns."""
        with self._changed:
            self._hurry = True
            session = self._session
            self._changed.notify_all()
        if session is not None:
            session.quit("reload")

    def begin_leaving(self, timeout_s: float) -> bool:
        """Connect no more, and send DISCONNECT; False: that can't be done, and there is no receipt to wait for."""
        session = self._go()
        return session is not None and session.begin_leaving(timeout_s)

    def await_over(self, timeout_s: float) -> None:
        """Wait until the session is over, at most so long."""
        with self._changed:
            self._changed.wait_for(self._is_over, timeout_s)

    def stop(self, reason: str) -> None:
        """End the session without a DISCONNECT and wait for the threads' end.

        Raises:
            HarnessError: a thread did not end.
        """
        session = self._go()
        if session is not None:
            session.quit(reason)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_END_S)
                if thread.is_alive():
                    raise HarnessError(f"the thread {thread.name!r} did not end within {_END_S:g} s")

    def _go(self) -> Session | None:
        with self._changed:
            self._going = True
            self._changed.notify_all()
            return self._session

    def _is_over(self) -> bool:
        return self._session is None or self._session.over

    # --- reader ----------------------------------------------------------------------------------

    def _connect_and_read(self) -> None:
        delays = self._new_delays()
        while True:
            session = self._new_session()
            if session is None:
                return
            session.run()
            if session.during == "subscribed" and not session.refused:
                delays = self._new_delays()
            with self._changed:
                pause_s = None if session.gave_up else next(delays)
                if self._changed.wait_for(lambda: self._going or self._hurry, pause_s):
                    delays = self._new_delays()

    def _new_delays(self) -> Iterator[float]:
        return reconnect_delays(self._settings.reconnect_first_s, self._settings.reconnect_most_s, self._rng)

    def _new_session(self) -> Session | None:
        with self._changed:
            if self._going:
                return None
            self._hurry = False
            self._session = Session(
                self._next_session(), self._settings, self._recorder, self._make_link, self._inbox, self._changed
            )
            return self._session

    # --- worker ----------------------------------------------------------------------------------

    def _handle_and_tend(self) -> None:
        while (work := self._next_work()) is not None:
            session, actions = work
            for action in actions:
                if isinstance(action, Ack):
                    session.ack(action.message)
                elif session.handle(action.message) and self._on_handled is not None:
                    self._on_handled(action.message)
            session.tend(time.monotonic())

    def _next_work(self) -> tuple[Session, list[Handle[TabMessage] | Ack[TabMessage]]] | None:
        """Wait for something to do; None: there will be nothing any more."""
        with self._changed:
            while not (self._going and self._is_over()):
                now = time.monotonic()
                wake = self._inbox.due
                if self._session is not None:
                    # The inbox is emptied when a session ends, so what is in it is the present session's.
                    actions = self._inbox.act(now)
                    due = self._session.due
                    if actions or (due is not None and now >= due):
                        return self._session, actions
                    wake = min((at for at in (due, self._inbox.due) if at is not None), default=None)
                self._changed.wait(None if wake is None else max(0.0, wake - now))
            return None
