"""What a picture is drawn from: the life of each message, and who was connected, cut or down when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.checker.story import sentence
from conformance.history.events import (
    BrokerChanged,
    ConfirmSeen,
    Event,
    FaultBegan,
    FaultEnded,
    PublishConfirmed,
    PublishFailed,
    PublishInvoked,
    PublishNacked,
    PublishReturned,
    PublishSeen,
    PublishUnknown,
    TabAcked,
    TabDelivered,
    TabDisconnected,
    TabHandled,
    TabOpened,
    TabSubscribed,
)

__all__ = ["Life", "Play", "Receipt", "Stretch", "collect"]

_OUTCOMES: dict[type[Event], str] = {
    PublishConfirmed: "confirmed",
    PublishReturned: "returned",
    PublishNacked: "nacked",
    PublishUnknown: "unknown",
    PublishFailed: "failed",
}


@dataclass(slots=True, kw_only=True)
class Receipt:
    """One delivery of a message to a tab; ``done``: ``acked``, ``handled`` (but not acked) or empty."""

    tab: str
    session: int
    delivered_ns: int
    redelivered: bool
    done: str = ""
    done_ns: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Life:
    """A message. ``at_broker_ns``: when its publish, or else its confirm, passed; None: neither was seen."""

    body_digest: str
    message_id: str | None
    published_ns: int | None = None
    at_broker_ns: int | None = None
    outcome: str = ""
    outcome_ns: int | None = None
    receipts: list[Receipt] = field(default_factory=list)

    @property
    def moments_ns(self) -> list[int]:
        """Every moment of it that is known."""
        own = (self.published_ns, self.at_broker_ns, self.outcome_ns)
        theirs = (moment for receipt in self.receipts for moment in (receipt.delivered_ns, receipt.done_ns))
        return [moment for moment in (*own, *theirs) if moment is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Something that lasted in a lane: a ``session`` that is subscribed, a ``fault``, or the broker ``down``.

    The lane is ``publisher``, ``broker`` or ``tab:ID``; ``label`` is a word or two, ``title`` a sentence.
    """

    lane: str
    kind: str
    since_ns: int
    to_ns: int
    label: str
    title: str


@dataclass(slots=True, kw_only=True)
class Play:
    """A history for the eye: messages in the order of their first moment, tabs in the order of opening."""

    lives: list[Life] = field(default_factory=list)
    tabs: list[str] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    end_ns: int = 0


def collect(events: Iterable[Event]) -> Play:
    """Read a history once, in recording order."""
    collector = _Collector()
    for event in events:
        collector.take(event)
    return collector.ended()


@dataclass(slots=True)
class _Collector:
    play: Play = field(default_factory=Play)
    by_digest: dict[str, Life] = field(default_factory=dict)
    by_id: dict[str, Life] = field(default_factory=dict)
    open: dict[tuple[str, object], tuple[str, str, int, str, str]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        self.play.end_ns = event.time_ns
        match event:
            case PublishInvoked(message_id=message_id, body_digest=body_digest):
                life = self._life(body_digest, message_id)
                self.by_id[message_id] = life
                life.published_ns = event.time_ns if life.published_ns is None else life.published_ns
            case PublishSeen(body_digest=body_digest, message_id=message_id):
                life = self._life(body_digest, message_id)
                life.at_broker_ns = event.time_ns if life.at_broker_ns is None else life.at_broker_ns
            case ConfirmSeen(body_digests=body_digests, kind="ack"):
                for life in (self.by_digest[one] for one in body_digests if one in self.by_digest):
                    life.at_broker_ns = event.time_ns if life.at_broker_ns is None else life.at_broker_ns
            case PublishConfirmed() | PublishReturned() | PublishNacked() | PublishUnknown() | PublishFailed():
                if (settled := self.by_id.get(event.message_id)) is not None:
                    settled.outcome, settled.outcome_ns = _OUTCOMES[type(event)], event.time_ns
            case TabDelivered() | TabHandled() | TabAcked():
                self._take_at_tab(event)
            case _:
                self._take_stretch(event)

    def _take_at_tab(self, event: TabDelivered | TabHandled | TabAcked) -> None:
        life = self._life(event.body_digest, event.message_id)
        if isinstance(event, TabDelivered):
            life.receipts.append(
                Receipt(
                    tab=event.tab,
                    session=event.session,
                    delivered_ns=event.time_ns,
                    redelivered=event.redelivered or any(receipt.tab == event.tab for receipt in life.receipts),
                )
            )
            return
        done = "acked" if isinstance(event, TabAcked) else "handled"
        for receipt in reversed(life.receipts):
            if (receipt.tab, receipt.session) == (event.tab, event.session) and receipt.done != "acked":
                receipt.done, receipt.done_ns = done, event.time_ns
                return

    def _take_stretch(self, event: Event) -> None:
        match event:
            case TabOpened(tab=tab):
                if tab not in self.play.tabs:
                    self.play.tabs.append(tab)
            case TabSubscribed(tab=tab, session=session):
                self._begin((tab, session), f"tab:{tab}", "session", event, f"session {session}")
            case TabDisconnected(tab=tab, session=session):
                self._end((tab, session), event.time_ns)
            case FaultBegan(fault_id=fault_id, target=target, fault=fault):
                self._begin(("fault", fault_id), target, "fault", event, fault)
            case FaultEnded(fault_id=fault_id):
                self._end(("fault", fault_id), event.time_ns)
            case BrokerChanged(state="down", how=how):
                self._begin(("broker", None), "broker", "down", event, f"down: {how}")
            case BrokerChanged():
                self._end(("broker", None), event.time_ns)

    def ended(self) -> Play:
        """What lasts at the history's end ends with it."""
        for key in list(self.open):
            self._end(key, self.play.end_ns)
        return self.play

    def _life(self, body_digest: str, message_id: str | None) -> Life:
        life = self.by_digest.get(body_digest)
        if life is None:
            life = self.by_digest[body_digest] = Life(body_digest=body_digest, message_id=message_id)
            self.play.lives.append(life)
        return life

    def _begin(self, key: tuple[str, object], lane: str, kind: str, event: Event, label: str) -> None:
        self.open[key] = (lane, kind, event.time_ns, label, sentence(event))

    def _end(self, key: tuple[str, object], at_ns: int) -> None:
        if (begun := self.open.pop(key, None)) is not None:
            lane, kind, since_ns, label, title = begun
            self.play.stretches.append(
                Stretch(lane=lane, kind=kind, since_ns=since_ns, to_ns=at_ns, label=label, title=title)
            )
