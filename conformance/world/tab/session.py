"""One connection of a tab as the history tells it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from conformance.history.events import (
    Event,
    TabAcked,
    TabConnected,
    TabDelivered,
    TabDisconnected,
    TabHandled,
    TabRefused,
    TabSubscribed,
)
from conformance.history.recorder import Recorder
from conformance.stomp.session import HeartBeatTimes
from conformance.world.tab.base import TabSettings
from conformance.world.tab.handling import Inbox
from conformance.world.tab.link import Link, LinkError, LinkListener, LinkLost, LinkRefused
from conformance.world.tab.message import TabMessage

__all__ = ["MakeLink", "Session"]

MakeLink = Callable[[TabSettings, LinkListener], Link]


class Session:
    """Plays a link and records it, so that nothing of a session is recorded after its TabDisconnected.

    Two locks see to that. ``changed`` belongs to the tab: it guards the inbox and is notified of every change.
    The writing lock is held while an ACK is written and recorded, apart from the first, so that a broker that takes
    no more bytes does not keep the tab from reading. Where both are taken, the writing lock comes first.

    Args:
        number: the session's, unique and growing for the tab.
        settings: the tab's.
        recorder: where the events go.
        make_link: makes the connection.
        inbox: the page's; messages go there.
        changed: the tab's; guards ``inbox``.
    """

    def __init__(
        self,
        number: int,
        settings: TabSettings,
        recorder: Recorder,
        make_link: MakeLink,
        inbox: Inbox[TabMessage],
        changed: threading.Condition,
    ) -> None:
        self.number = number
        self.link = make_link(settings, self)
        self.during: Literal["connect", "subscribe", "subscribed"] = "connect"
        self.over = False
        self.refused = False
        self.gave_up = False
        self.deadline: float | None = None
        """When the present step of connecting has taken too long (``time.monotonic``)."""
        self._settings = settings
        self._recorder = recorder
        self._inbox = inbox
        self._changed = changed
        self._writing = threading.Lock()
        self._awaited = ""
        self._asked = False  # SUBSCRIBE was sent
        self._leaving = False
        self._our_reason: str | None = None  # the page ended it by itself: no refusal
        self._broken: str | None = None  # we cut a link that does not work any more

    @property
    def subscribed(self) -> bool:
        """Whether the subscription stands."""
        return self.during == "subscribed" and not self.over

    def run(self) -> None:
        """Play the link to its end and record how it ended; raises nothing but what the recorder raises."""
        try:
            self.link.run()
            self._end("left")
        except LinkRefused as exc:
            self.gave_up = self._inbox.gives_up and self.during == "subscribed"
            self._end(str(exc), refused=True)
        except LinkLost as exc:
            self._end(self._broken or str(exc), refused=self.during != "subscribed")
        finally:
            self.link.free()

    # --- told by the link ------------------------------------------------------------------------

    def on_waiting(self, awaited: str) -> None:
        """See :meth:`LinkListener.on_waiting`."""
        with self._changed:
            self._await(awaited)

    def on_connected(self, heart_beat: HeartBeatTimes) -> None:
        """See :meth:`LinkListener.on_connected`."""
        with self._changed:
            if not self.over:
                self.during = "subscribe"
                self._record(TabConnected, heart_beat_ms=(heart_beat.send_ms, heart_beat.expect_ms))

    def on_subscribing(self) -> None:
        """See :meth:`LinkListener.on_subscribing`."""
        with self._changed:
            self._asked = True
            self._await("RECEIPT of SUBSCRIBE")

    def on_subscribed(self) -> None:
        """See :meth:`LinkListener.on_subscribed`."""
        settings = self._settings
        with self._changed:
            if self.over:
                return
            self.deadline = None
            self._record(
                TabSubscribed,
                queue=settings.queue,
                exchange=settings.exchange,
                exchange_type=settings.exchange_type,
                binding_key=settings.binding_key,
                destination=settings.destination,
                headers=settings.subscribe_headers,
            )
            self.during = "subscribed"
            self._changed.notify_all()

    def on_message(self, message: TabMessage) -> None:
        """See :meth:`LinkListener.on_message`."""
        with self._changed:
            if self.over:
                return
            self._record(
                TabDelivered,
                message_id=message.message_id,
                body_digest=message.body_digest,
                ack_id=message.ack_id,
                redelivered=message.redelivered,
                delivery_count=message.delivery_count,
                persistent=message.persistent,
                routing_key=message.routing_key,
            )
            self._inbox.arrive(message)
            self._changed.notify_all()

    # --- done by the page's worker ---------------------------------------------------------------

    def handle(self, message: TabMessage) -> bool:
        """Record that the page did its work with the message; False: the session is over, the page has forgotten it."""
        with self._changed:
            if self.over or self._leaving:
                return False
            self._record(TabHandled, message_id=message.message_id, body_digest=message.body_digest)
            return True

    def ack(self, message: TabMessage) -> None:
        """Write the message's ACK and record it, unless the session is over; a link that can't take it is cut."""
        if not message.ack_id:
            return
        with self._writing:
            if self.over or self._leaving:
                return
            try:
                self.link.ack(message.ack_id)
            except LinkError as exc:
                self.give_up(str(exc))
                return
            self._record(
                TabAcked, message_id=message.message_id, body_digest=message.body_digest, ack_id=message.ack_id
            )

    def tend(self, now: float) -> None:
        """Send a heart-beat that is due, and give up a step of connecting that takes too long."""
        if self.deadline is not None and now >= self.deadline:
            self.give_up(f"no {self._awaited} within {self._settings.connect_timeout_s:g} s")
        elif (beat := self.link.next_beat) is not None and now >= beat:
            try:
                self.link.beat()
            except LinkError as exc:
                self.give_up(str(exc))

    @property
    def due(self) -> float | None:
        """When :meth:`tend` has something to do (``time.monotonic``); None: never."""
        if self.over or self._broken is not None:
            return None
        return min((at for at in (self.deadline, self.link.next_beat) if at is not None), default=None)

    # --- the end ---------------------------------------------------------------------------------

    def give_up(self, reason: str) -> None:
        """Cut a link that does not work any more; ``run`` ends soon and records it."""
        self._broken = self._broken or reason
        self.link.abort()

    def quit(self, reason: str) -> None:
        """The page goes: the session is over and recorded as such when this returns; ``run`` ends soon."""
        self._our_reason = reason
        self.link.abort()  # first, so that nobody who writes goes on holding the writing lock
        self._end(reason)

    def begin_leaving(self, timeout_s: float) -> bool:
        """Send DISCONNECT; what has not been handled and acked by now will not be. False: it can't be sent."""
        if not self._writing.acquire(timeout=timeout_s):
            return False
        try:
            if not self._asked or self.over:
                return False
            self._our_reason = "left"
            self._leaving = True
            self.link.disconnect(timeout_s)
        except LinkError:
            return False
        finally:
            self._writing.release()
        return True

    def _await(self, awaited: str) -> None:
        self._awaited = awaited
        self.deadline = time.monotonic() + self._settings.connect_timeout_s
        self._changed.notify_all()

    def _end(self, reason: str, *, refused: bool = False) -> None:
        with self._writing, self._changed:
            if self.over:
                return
            self.over = True
            reason = self._our_reason or reason
            self.refused = refused and self._our_reason is None
            if self.refused:
                self._record(TabRefused, during=self.during, detail=reason)
            if self.during != "connect":
                self._record(TabDisconnected, reason=reason)
            self._inbox.forget()
            self._changed.notify_all()

    def _record(self, event_type: type[Event], /, **fields: object) -> None:
        self._recorder.record(event_type, tab=self._settings.tab, session=self.number, **fields)
