"""The picture of a play: who is where, what is left out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.catalogue.result import CheckResult
from conformance.checker.verdict import StoryLine
from conformance.history.events import (
    BrokerChanged,
    Event,
    FaultBegan,
    FaultEnded,
    PublishConfirmed,
    PublishInvoked,
    PublishSeen,
    Quiesced,
    TabAcked,
    TabDelivered,
    TabDisconnected,
    TabHandled,
    TabOpened,
    TabSubscribed,
)
from conformance.report.axis import BREAK, make_axis
from conformance.report.lives import collect
from conformance.report.timeline import MOST_BANDS, MOST_MESSAGES, MOST_TABS, Message, make_timeline

MS = 1_000_000


class Log:
    """Makes events with the next index at a given millisecond."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._index = itertools.count()

    def at(self, ms: int, event_type: type[Event], **fields: Any) -> None:
        """Append an event."""
        self.events.append(event_type(index=next(self._index), time_ns=ms * MS, **fields))

    def subscribed(self, ms: int, tab: str, session: int = 1) -> None:
        """A tab is subscribed."""
        self.at(
            ms, TabSubscribed, tab=tab, session=session, queue=f"q-{tab}", exchange="x", exchange_type="topic",
            binding_key="#", destination="/exchange/x/#",
        )  # fmt: skip

    def published(self, ms: int, message_id: str, body_digest: str = "aa") -> None:
        """A message is published."""
        self.at(
            ms, PublishInvoked, publisher="p", message_id=message_id, exchange="x", routing_key="k",
            body_digest=body_digest, size_bytes=1,
        )  # fmt: skip

    def seen(self, ms: int, message_id: str, body_digest: str = "aa") -> None:
        """Its publish has passed towards the broker."""
        self.at(
            ms, PublishSeen, connection=1, channel=1, delivery_tag=1, message_id=message_id, exchange="x",
            routing_key="k", mandatory=True, delivery_mode=2, body_digest=body_digest,
        )  # fmt: skip

    def delivered(self, ms: int, message_id: str, body_digest: str, tab: str = "t1", **fields: Any) -> None:
        """A tab has got it."""
        self.at(
            ms, TabDelivered, tab=tab, session=1, message_id=message_id, body_digest=body_digest, ack_id="1", **fields
        )

    def done(self, ms: int, what: type[Event], message_id: str, body_digest: str, **fields: Any) -> None:
        """Tab t1 has handled or acked it."""
        self.at(ms, what, tab="t1", session=1, message_id=message_id, body_digest=body_digest, **fields)


def test_a_play_is_drawn_to_scale(violated: Callable[..., CheckResult]) -> None:
    """Lanes in order of appearance; bands, lines and marks where their times put them; the lost message stands out."""
    log = Log()
    log.at(0, TabOpened, tab="t1", client="c")
    log.at(0, TabOpened, tab="n1-t1", client="c")
    log.subscribed(100, "t1")
    log.published(150, "other", "bb")
    log.seen(155, "other", "bb")
    log.delivered(160, "other", "bb")
    log.at(165, PublishConfirmed, publisher="p", message_id="other")
    log.done(170, TabHandled, "other", "bb")
    log.done(180, TabAcked, "other", "bb", ack_id="1")
    log.at(200, FaultBegan, fault_id=7, fault="rst", target="tab:t1")
    log.at(210, TabDisconnected, tab="t1", session=1, reason="reset")
    log.published(300, "m-1")
    log.seen(310, "m-1")
    log.at(400, FaultEnded, fault_id=7, fault="rst", target="tab:t1", fired=True)
    log.at(500, BrokerChanged, state="down", how="kill")
    log.at(600, BrokerChanged, state="up", how="revive")
    log.subscribed(700, "t1", 2)
    log.at(900, Quiesced, reached=True, waited_s=0.1)
    detail = violated().detail
    assert detail is not None
    timeline = make_timeline(collect(log.events), detail.violations[0])
    assert timeline is not None
    assert timeline.breaks == []

    def to_ms(x: float) -> int:
        return round((x - timeline.left) / (timeline.right - timeline.left) * 900)

    def drawn(message: Message) -> tuple[list[object], list[object]]:
        name = {lane.y: lane.name for lane in timeline.lanes}
        lines = [(line.kind, *((to_ms(x), name[y]) for x, y in line.points)) for line in message.lines]
        return lines, [(mark.kind, to_ms(mark.x), name[mark.y]) for mark in message.marks]

    assert [(lane.name, lane.told) for lane in timeline.lanes] == [
        ("publisher", False), ("broker", False), ("tab t1", False), ("tab n1-t1", True),
    ]  # fmt: skip
    y = {lane.name: lane.y for lane in timeline.lanes}
    bands = [(band.kind, band.y, to_ms(band.x), to_ms(band.x + band.width), band.label) for band in timeline.bands]
    assert bands == [
        ("session", y["tab t1"], 100, 210, ""),
        ("session", y["tab t1"], 700, 900, ""),
        ("fault", y["tab t1"], 200, 400, "rst"),
        ("down", y["broker"], 500, 600, "down: kill"),
    ]
    other, lost = timeline.messages
    assert drawn(other) == (
        [
            ("sent", (150, "publisher"), (155, "broker")),
            ("delivery", (155, "broker"), (160, "tab t1"), (180, "tab t1")),
        ],
        [
            ("published", 150, "publisher"), ("confirmed", 165, "broker"), ("delivered", 160, "tab t1"),
            ("acked", 180, "tab t1"),
        ],
    )  # fmt: skip
    assert other.title == "other: published 150 ms, confirmed 165 ms, tab t1: delivered 160 ms, acked 180 ms"
    assert lost.hot
    assert drawn(lost) == (
        [("sent", (300, "publisher"), (310, "broker")), ("missing", (310, "broker"), (900, "tab n1-t1"))],
        [("published", 300, "publisher"), ("lost", 900, "tab n1-t1")],
    )
    assert timeline.flag is not None
    assert (timeline.flag.text, timeline.flag.y, timeline.flag.end) == ("lost", y["tab n1-t1"], True)
    assert (timeline.ticks[0].text, timeline.ticks[-1].text) == ("0 ms", "900 ms")
    assert timeline.left_out == ""


def test_a_redelivery_has_a_line_of_its_own() -> None:
    """Delivered twice, handled but never acked: two lines, the second marked as coming again."""
    log = Log()
    log.at(0, TabOpened, tab="t1", client="c")
    log.published(10, "m")
    log.delivered(30, "m", "aa")
    log.delivered(60, "m", "aa", redelivered=True)
    log.done(65, TabHandled, "m", "aa")
    timeline = make_timeline(collect(log.events), None)
    assert timeline is not None
    assert not timeline.hot
    (message,) = timeline.messages
    assert [line.kind for line in message.lines] == ["sent", "delivery", "again"]
    assert [mark.kind for mark in message.marks] == ["published", "delivered", "delivered", "handled"]


def test_long_pauses_are_cut_and_named() -> None:
    """A second of bursts around half a minute of silence: what happens keeps its room, time never runs backwards."""
    axis = make_axis([0, 500 * MS, 30_500 * MS, 31_000 * MS], 100, 900)
    assert [gap.length_ns for gap in axis.breaks] == [30_000 * MS]
    assert (axis.x(0), axis.x(31_000 * MS)) == (100, 900)
    assert axis.x(500 * MS) == axis.breaks[0].x - BREAK / 2
    assert axis.x(250 * MS) == (100 + axis.x(500 * MS)) / 2
    xs = [axis.x(ms * MS) for ms in range(0, 31_001, 100)]
    assert xs == sorted(xs)
    assert axis.in_break(axis.breaks[0].x)
    assert abs(axis.time_ns(axis.x(250 * MS)) - 250 * MS) < MS


def test_times_on_the_axis_differ() -> None:
    """Tenths of a second, ten seconds on: with more digits than usual."""
    log = Log()
    log.at(0, TabOpened, tab="t1", client="c")
    for ms in (0, 10_000, 10_040, 10_080, 10_120, 10_160, 10_200):
        log.published(ms, f"m-{ms}", f"d-{ms}")
    timeline = make_timeline(collect(log.events), None)
    assert timeline is not None
    assert [label.text for label in timeline.breaks] == ["10.0 s"]
    texts = [label.text for label in timeline.ticks]
    assert len(texts) >= 5
    assert len(set(texts)) == len(texts)
    assert texts[-1] == "10.200 s"


def test_the_storys_lines_are_numbered_at_their_times(violated: Callable[..., CheckResult]) -> None:
    """Those that would stand on each other are one range."""
    log = Log()
    log.at(0, TabOpened, tab="n1-t1", client="c")
    log.published(1500, "m-1")
    log.at(31500, Quiesced, reached=True, waited_s=30)
    detail = violated().detail
    assert detail is not None
    timeline = make_timeline(collect(log.events), detail.violations[0])
    assert timeline is not None
    assert [label.text for label in timeline.story] == ["1–2", "3–4", "5–6", "7"]


def test_what_is_left_out_is_said(violated: Callable[..., CheckResult]) -> None:
    """Beyond the caps all is counted; the lost message, what is around it, and its tab are drawn all the same."""
    log = Log()
    for number in range(MOST_TABS + 2):
        log.at(0, TabOpened, tab=f"t{number}", client="c")
    log.at(0, TabOpened, tab="n1-t1", client="c")
    for number in range(MOST_BANDS + 3):
        log.at(9000, FaultBegan, fault_id=number, fault="rst", target="tab:t1")
        log.at(9000, FaultEnded, fault_id=number, fault="rst", target="tab:t1", fired=True)
    for number in range(500):
        log.published(9010 + number, f"x-{number}", f"d{number}")
        if number == 250:
            log.published(9010 + number, "m-1")
    log.at(10_000, Quiesced, reached=True, waited_s=0.1)
    detail = violated().detail
    assert detail is not None
    violation = replace(detail.violations[0], story=(StoryLine(index=0, time_s=9.0, text="x"),))
    timeline = make_timeline(collect(log.events), violation)
    assert timeline is not None
    assert timeline.left_out == (
        "460 of 501 messages (drawn are the 41 nearest in order of publishing), 3 more tabs, 3 more sessions and "
        "faults, what was before 8.99 s and after 9.29 s"
    )
    assert [lane.name for lane in timeline.lanes][-1] == "tab n1-t1"
    assert len(timeline.lanes) == MOST_TABS + 2
    assert len(timeline.bands) == MOST_BANDS
    assert len(timeline.messages) == MOST_MESSAGES + 1
    assert timeline.messages[-1].hot
    near = {message.title.partition(":")[0] for message in timeline.messages}
    assert near == {"m-1", *(f"x-{number}" for number in range(231, 271))}


def test_a_violation_without_a_message_is_flagged_at_its_tab(violated: Callable[..., CheckResult]) -> None:
    """A queue that leaks has a lane and a word, and no line."""
    log = Log()
    log.at(0, TabOpened, tab="n1-t1", client="c")
    log.subscribed(10, "n1-t1")
    log.at(100, Quiesced, reached=True, waited_s=0.1)
    detail = violated().detail
    assert detail is not None
    leaked = replace(detail.violations[0], kind="leaked", message_id=None, body_digest=None)
    timeline = make_timeline(collect(log.events), leaked)
    assert timeline is not None
    assert timeline.flag is not None
    assert (timeline.flag.text, timeline.flag.y) == ("leaked", timeline.lanes[-1].y)
    assert not timeline.hot


def test_an_empty_history_has_no_picture() -> None:
    """Nothing to draw gives nothing, not an empty frame."""
    assert make_timeline(collect([]), None) is None
