"""A builder of hand-written histories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.checker import Verdict, check
from conformance.contract.model import Contract
from conformance.history import events as e

EXCHANGE = "durable-websocket-pubsub.ns"


class Story:
    """Writes a history line by line; each event is one millisecond after the one before, unless time is moved on."""

    def __init__(self) -> None:
        self.events: list[e.Event] = []
        self._ns = 0
        self._faults = 0
        self._broker_fault = 0
        self._tags = 0
        self._headers: dict[str, dict[str, str]] = {}

    def add(self, event_type: type[e.Event], **fields: Any) -> Story:
        """Append any event."""
        self.events.append(event_type(index=len(self.events), time_ns=self._ns, **fields))
        self._ns += 1_000_000
        return self

    def later(self, seconds: float) -> Story:
        """Let time pass."""
        self._ns += int(seconds * 1e9)
        return self

    def subscribe(
        self,
        tab: str = "t1",
        key: str = "ticks",
        session: int = 1,
        *,
        queue: str | None = None,
        kind: str = "topic",
        beat: int = 10_000,
        headers: dict[str, str] | None = None,
    ) -> Story:
        """A tab connects and subscribes; again with the same headers unless others are given."""
        sound = {"ack": "client-individual", "exclusive": "false"}
        self._headers[tab] = self._headers.get(tab, sound) if headers is None else headers
        self.add(e.TabConnected, tab=tab, session=session, heart_beat_ms=(beat, beat))
        return self.add(
            e.TabSubscribed,
            tab=tab,
            session=session,
            queue=queue or f"q-{tab}",
            exchange=EXCHANGE,
            exchange_type=kind,
            binding_key=key,
            destination=f"/exchange/{EXCHANGE}/{key}",
            headers=self._headers[tab],
        )

    def observe(self, tab: str = "t1", when: str = "subscribed", queue: str | None = None, **facts: Any) -> Story:
        """The broker is asked about the tab's queue; sound unless told otherwise, at the end just empty."""
        sound: dict[str, Any] = {"durable": True, "exclusive": False, "auto_delete": False}
        sound["arguments"] = {"x-expires": 86400000}
        facts = ({"ready": 0, "unacked": 0} if when == "end" else sound) | {"exists": True} | facts
        return self.add(e.QueueObserved, when=when, tab=tab, queue=queue or f"q-{tab}", **facts)

    def invoke(self, message: str, key: str = "ticks", **given: Any) -> Story:
        """``publish`` is called, with properties or a time if they are given."""
        return self.add(
            e.PublishInvoked,
            publisher="p",
            message_id=message,
            exchange=EXCHANGE,
            routing_key=key,
            body_digest=f"body-{message}",
            size_bytes=9,
            **given,
        )

    def wire(
        self, message: str, key: str = "ticks", *, ack: bool = True, returned: bool = False, **changes: Any
    ) -> Story:
        """The message passes the proxy, and (``ack``) the broker's answer."""
        self._tags += 1
        fields = {
            "message_id": message, "exchange": EXCHANGE, "routing_key": key, "mandatory": True, "delivery_mode": 2,
            "delivery_tag": self._tags, "body_digest": f"body-{message}",
        } | changes  # fmt: skip
        self.add(e.PublishSeen, connection=1, channel=1, **fields)
        digest = fields["body_digest"]
        if returned:
            self.add(
                e.ReturnSeen, connection=1, channel=1, message_id=message, body_digest=digest, reply_text="NO_ROUTE"
            )
        if ack:
            self.add(e.ConfirmSeen, connection=1, channel=1, kind="ack", body_digests=(digest,))
        return self

    def settle(self, message: str, outcome: str = "confirmed", **fields: Any) -> Story:
        """``publish`` ends."""
        event_type = e.EVENT_TYPES[f"publish_{outcome}"]
        return self.add(event_type, publisher="p", message_id=message, **fields)

    def publish(self, message: str, key: str = "ticks", outcome: str = "confirmed", **fields: Any) -> Story:
        """``publish`` is called and ends; nobody looks at the wire."""
        return self.invoke(message, key).settle(message, outcome, **fields)

    def deliver(
        self,
        message: str,
        tab: str = "t1",
        session: int = 1,
        *,
        handle: bool = True,
        ack: bool = True,
        as_id: str | None = "",
        body: str | None = None,
        **fields: Any,
    ) -> Story:
        """A message comes to a tab, is handled and acked. ``as_id`` and ``body``: not as published."""
        ids = {
            "tab": tab,
            "session": session,
            "message_id": message if as_id == "" else as_id,
            "body_digest": body or f"body-{message}",
        }
        self.add(e.TabDelivered, **ids, ack_id=f"T_{len(self.events)}", **fields)
        if handle:
            self.add(e.TabHandled, **ids)
        if ack:
            self.add(e.TabAcked, **ids, ack_id="T")
        return self

    def cut(
        self, tab: str = "t1", session: int = 1, fault: str | None = "rst", *, lost: bool = True, reason: str = "gone"
    ) -> Story:
        """A fault cuts a tab's link and is healed at once (None: the page goes by itself)."""
        self._faults += 1
        if fault is not None:
            self.add(e.FaultBegan, fault_id=self._faults, fault=fault, target=f"tab:{tab}")
        if lost:
            self.add(e.TabDisconnected, tab=tab, session=session, reason=reason)
        if fault is not None:
            self.add(e.FaultEnded, fault_id=self._faults, fault=fault, target=f"tab:{tab}", fired=True)
        return self

    def restart(self) -> Story:
        """The broker is ended and started again."""
        self.add(e.BrokerChanged, state="down", how="terminate")
        return self.add(e.BrokerChanged, state="up", how="revive")

    def destroy(self, what: str, name: str, by: str, *, ended: bool = True) -> Story:
        """An administrator destroys something; ``ended``: and that is all that the fault does."""
        self._faults += 1
        self._broker_fault = self._faults
        self.add(e.FaultBegan, fault_id=self._faults, fault=by, target="broker")
        self.add(e.ResourceDestroyed, what=what, name=name, by=by)
        return self.end_of_broker_fault(by) if ended else self

    def end_of_broker_fault(self, name: str) -> Story:
        """The latest fault of the broker ends."""
        return self.add(e.FaultEnded, fault_id=self._broker_fault, fault=name, target="broker", fired=True)

    def rest(self, *tabs: str, reached: bool = True, **facts: Any) -> Story:
        """The run's end, with a look into the queues of ``tabs``."""
        self.add(e.Quiesced, reached=reached, waited_s=0.5)
        for tab in tabs:
            self.observe(tab, "end", **facts)
        return self

    def verdict(self, contract: Contract | None = None) -> Verdict:
        """What the checker says."""
        return check(self.events, contract or Contract())


@pytest.fixture(scope="session")
def story() -> Callable[[], Story]:
    """Begin a hand-written history."""
    return Story
