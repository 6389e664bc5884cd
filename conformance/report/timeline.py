"""A play as a picture: a lane for the publisher, the broker and each tab, messages as lines from publish to ack.

Pure geometry; ``timeline.html.j2`` draws it as SVG. What is left out beyond the caps is said in the picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from conformance.checker.verdict import Violation
from conformance.report.axis import Axis, make_axis
from conformance.report.lives import Life, Play, Receipt, Stretch
from conformance.report.view import span

__all__ = [
    "MOST_BANDS",
    "MOST_MESSAGES",
    "MOST_TABS",
    "Band",
    "Flag",
    "Label",
    "Lane",
    "Line",
    "Mark",
    "Message",
    "Timeline",
    "make_timeline",
]

MOST_TABS: Final = 10
MOST_MESSAGES: Final = 40
"""So many are drawn beside the one that is told of: those published nearest to it."""
MOST_BANDS: Final = 120

_GUTTER = 140
_WIDTH = 1000
_MARGIN = 40
_TOP = 36
_LANE = 50
_TICKS = 7
_LABEL = 6.2
"""The width of a letter of a label, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A row; ``y`` is its middle. ``told``: the tab that the violation is about."""

    name: str
    y: float
    told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Something that lasts: a ``session`` that is subscribed, a ``fault``, or the broker ``down``.

    ``label`` is empty where there is no room for it.
    """

    kind: str
    x: float
    y: float
    width: float
    label: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A message's way: ``sent``, ``delivery``, ``again`` (a redelivery) or ``missing`` (a delivery that never came)."""

    kind: str
    points: tuple[tuple[float, float], ...]

    @property
    def d(self) -> str:
        """As SVG's path data."""
        return "M" + "L".join(f"{x:g} {y:g}" for x, y in self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment: ``published``, ``confirmed``, ``refused`` (no confirm came), ``delivered``, ``handled``, ``acked``, or
    ``lost``: the end of waiting.
    """

    kind: str
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message; ``hot``: the one that the violation is about. ``title`` tells its life in a line."""

    hot: bool
    title: str
    lines: list[Line]
    marks: list[Mark]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Words on the axis: a time, or how long a pause was that is cut there."""

    x: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """The word that names the violation; ``end``: the words end there, else they begin there."""

    x: float
    y: float
    text: str
    end: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The picture, its lanes from ``left`` to ``right``.

    ``story``: the numbers of the story's lines at their times; ``left_out`` says in words what is not in it.
    """

    width: int
    height: int
    left: int
    right: int
    lane_height: int
    lanes: list[Lane]
    bands: list[Band]
    messages: list[Message]
    ticks: list[Label]
    breaks: list[Label]
    story: list[Label]
    flag: Flag | None
    left_out: str

    @property
    def hot(self) -> bool:
        """Whether a message stands out."""
        return any(message.hot for message in self.messages)


@dataclass(slots=True, kw_only=True)
class _Canvas:
    """Where things are."""

    axis: Axis
    y: dict[str, float]
    end_ns: int
    violation: Violation | None
    hot: list[Life] = field(default_factory=list)


def make_timeline(play: Play, violation: Violation | None) -> Timeline | None:
    """Lay out a play.

    Args:
        play: as :func:`conformance.report.lives.collect` read it.
        violation: whose message and tab stand out; None: none does.

    Returns:
        The picture; None where nothing in the history can be drawn.
    """
    if not play.lives and not play.stretches:
        return None
    hot = [life for life in play.lives if _is_of(life, violation)]
    lives = _nearest(play.lives, hot)
    tabs = _tabs(play.tabs, violation)
    names = {"publisher": "publisher", "broker": "broker"} | {f"tab:{tab}": f"tab {tab}" for tab in tabs}
    y = {lane: float(_TOP + _LANE * row + _LANE // 2) for row, lane in enumerate(names)}
    since_ns, to_ns = _window(play, lives, violation)
    stretches = [
        stretch
        for stretch in play.stretches
        if stretch.lane in y and stretch.since_ns <= to_ns and stretch.to_ns >= since_ns
    ]
    bands, more_bands = _most_telling(stretches)
    moments = {since_ns, to_ns}
    moments.update(moment for life in lives for moment in life.moments_ns if since_ns <= moment <= to_ns)
    moments.update(moment for one in bands for moment in (one.since_ns, one.to_ns) if since_ns <= moment <= to_ns)
    axis = make_axis(moments, _GUTTER, _WIDTH - _MARGIN)
    canvas = _Canvas(axis=axis, y=y, end_ns=to_ns, violation=violation, hot=hot)
    told = None if violation is None or violation.tab is None else f"tab:{violation.tab}"
    return Timeline(
        width=_WIDTH,
        height=_TOP + _LANE * len(y) + 26,
        left=_GUTTER,
        right=_WIDTH - _MARGIN,
        lane_height=_LANE,
        lanes=[Lane(name=name, y=y[lane], told=lane == told) for lane, name in names.items()],
        bands=_bands(bands, canvas),
        # what stands out is drawn last, above the others
        messages=sorted((_message(life, canvas) for life in lives), key=lambda message: message.hot),
        ticks=_ticks(axis),
        breaks=[Label(x=gap.x, text=span(gap.length_ns / 1e9)) for gap in axis.breaks],
        story=_story(axis, violation, since_ns, to_ns),
        flag=_flag(canvas),
        left_out=_left_out(play, len(lives), len(play.tabs) - len(tabs), more_bands, since_ns, to_ns),
    )


# --- what is drawn -------------------------------------------------------------------------------


def _is_of(life: Life, violation: Violation | None) -> bool:
    if violation is None:
        return False
    same_id = life.message_id is not None and life.message_id == violation.message_id
    return same_id or life.body_digest == violation.body_digest


def _nearest(lives: list[Life], hot: list[Life]) -> list[Life]:
    """The hot ones, and of the others those published nearest to the first of them, in order."""
    if len(lives) <= MOST_MESSAGES + len(hot):
        return lives
    centre = next((at for at, life in enumerate(lives) if life in hot), 0) if hot else 0
    first = min(max(centre - MOST_MESSAGES // 2, 0), len(lives) - MOST_MESSAGES - 1)
    near = lives[first : first + MOST_MESSAGES + 1]
    return [life for life in near if life not in hot][:MOST_MESSAGES] + hot


def _tabs(tabs: list[str], violation: Violation | None) -> list[str]:
    """The first tabs; the violation's is always among them."""
    told = violation.tab if violation is not None else None
    first = tabs[:MOST_TABS]
    return first if told is None or told in first or told not in tabs else [*first[:-1], told]


def _window(play: Play, lives: list[Life], violation: Violation | None) -> tuple[int, int]:
    """The whole play; if messages are left out, what is around the others, the story among it."""
    moments = [moment for life in lives for moment in life.moments_ns]
    if len(lives) == len(play.lives) or not moments:
        return 0, max(play.end_ns, 1)
    if violation is not None:
        moments += [round(line.time_s * 1e9) for line in violation.story]
    since_ns, to_ns = min(moments), max(moments)
    rim_ns = (to_ns - since_ns) // 50
    return max(since_ns - rim_ns, 0), min(to_ns + rim_ns, max(play.end_ns, 1))


def _most_telling(stretches: list[Stretch]) -> tuple[list[Stretch], int]:
    """The stretches that are drawn, sessions first (they lie below the faults that end them), and how many are not."""
    by_weight = sorted(stretches, key=lambda one: one.kind == "session")
    kept = by_weight[:MOST_BANDS]
    return sorted(kept, key=lambda one: one.kind != "session"), len(stretches) - len(kept)


# --- where it is drawn ---------------------------------------------------------------------------


def _bands(stretches: Iterable[Stretch], canvas: _Canvas) -> list[Band]:
    found = []
    taken: dict[float, float] = {}
    for stretch in stretches:
        x, to = canvas.axis.x(stretch.since_ns), canvas.axis.x(stretch.to_ns)
        y = canvas.y[stretch.lane]
        room = stretch.kind != "session" and x >= taken.get(y, 0.0)
        if room:
            taken[y] = x + len(stretch.label) * _LABEL + 6
        found.append(
            Band(
                kind=stretch.kind,
                x=x,
                y=y,
                width=max(round(to - x, 1), 3.0),
                label=stretch.label if room else "",
                title=f"{span(stretch.since_ns / 1e9)} to {span(stretch.to_ns / 1e9)}: {stretch.title}",
            )
        )
    return found


def _message(life: Life, canvas: _Canvas) -> Message:
    hot = life in canvas.hot
    message = Message(hot=hot, title=_title(life), lines=[], marks=[])
    source = _sent(life, message, canvas)
    for receipt in life.receipts:
        if f"tab:{receipt.tab}" in canvas.y:
            _received(receipt, source, message, canvas)
    violation = canvas.violation
    if hot and source is not None and violation is not None and violation.kind == "lost":
        end_y = canvas.y.get(f"tab:{violation.tab}")
        if end_y is not None:
            end = (canvas.axis.x(canvas.end_ns), end_y)
            message.lines.append(Line(kind="missing", points=(source, end)))
            message.marks.append(Mark(kind="lost", x=end[0], y=end[1]))
    return message


def _sent(life: Life, message: Message, canvas: _Canvas) -> tuple[float, float] | None:
    """Draw its way to the broker and what the publisher was told; where it goes on from, None: nowhere known."""
    x, y = canvas.axis.x, canvas.y
    at = None
    if life.published_ns is not None:
        at = (x(life.published_ns), y["publisher"])
        message.marks.append(Mark(kind="published", x=at[0], y=at[1]))
    if (at_broker_ns := _at_broker_ns(life)) is not None:
        arrived = (x(at_broker_ns), y["broker"])
        if at is not None:
            message.lines.append(Line(kind="sent", points=(at, arrived)))
        at = arrived
    if life.outcome_ns is not None:
        kind, lane = ("confirmed", "broker") if life.outcome == "confirmed" else ("refused", "publisher")
        message.marks.append(Mark(kind=kind, x=x(life.outcome_ns), y=y[lane]))
    return at


def _at_broker_ns(life: Life) -> int | None:
    """When it was at the broker at the latest; None: it may never have been."""
    if life.at_broker_ns is not None:
        return life.at_broker_ns
    known = [receipt.delivered_ns for receipt in life.receipts]
    if life.outcome in ("confirmed", "returned") and life.outcome_ns is not None:
        known.append(life.outcome_ns)
    return min(known, default=None)


def _received(receipt: Receipt, source: tuple[float, float] | None, message: Message, canvas: _Canvas) -> None:
    x, y = canvas.axis.x, canvas.y[f"tab:{receipt.tab}"]
    arrived = (x(receipt.delivered_ns), y)
    begin = (min(source[0], arrived[0]), source[1]) if source is not None else (arrived[0], canvas.y["broker"])
    points = [begin, arrived]
    message.marks.append(Mark(kind="delivered", x=arrived[0], y=y))
    if receipt.done_ns is not None:
        points.append((x(receipt.done_ns), y))
        message.marks.append(Mark(kind=receipt.done, x=points[-1][0], y=y))
    message.lines.append(Line(kind="again" if receipt.redelivered else "delivery", points=tuple(points)))


def _title(life: Life) -> str:
    words = []
    if life.published_ns is not None:
        words.append(f"published {span(life.published_ns / 1e9)}")
    if life.outcome_ns is not None:
        words.append(f"{life.outcome} {span(life.outcome_ns / 1e9)}")
    for receipt in life.receipts:
        done = f", {receipt.done} {span(receipt.done_ns / 1e9)}" if receipt.done_ns is not None else ""
        words.append(f"tab {receipt.tab}: delivered {span(receipt.delivered_ns / 1e9)}{done}")
    return f"{life.message_id or life.body_digest}: {', '.join(words)}"


def _flag(canvas: _Canvas) -> Flag | None:
    violation = canvas.violation
    if violation is None:
        return None
    moments = [moment for life in canvas.hot for moment in life.moments_ns]
    tab_y = canvas.y.get(f"tab:{violation.tab}")
    if violation.kind == "lost" or not moments:
        moments = [canvas.end_ns]
    x = canvas.axis.x(max(moments))
    y = tab_y if tab_y is not None else canvas.y["publisher" if canvas.hot else "broker"]
    return Flag(x=x, y=y, text=violation.kind, end=x > _WIDTH - _MARGIN - 80)


def _ticks(axis: Axis) -> list[Label]:
    step = (_WIDTH - _MARGIN - _GUTTER) / (_TICKS - 1)
    places = [round(_GUTTER + step * number, 1) for number in range(_TICKS)]
    seconds = {place: axis.time_ns(place) / 1e9 for place in places if not axis.in_break(place)}
    texts = [span(moment_s) for moment_s in seconds.values()]
    if len(set(texts)) < len(texts):  # too close for so few digits
        texts = [f"{moment_s:.3f} s" for moment_s in seconds.values()]
    return [Label(x=place, text=text) for place, text in zip(seconds, texts, strict=True)]


def _story(axis: Axis, violation: Violation | None, since_ns: int, to_ns: int) -> list[Label]:
    """The numbers of the story's lines; those that would stand on each other become one range."""
    found: list[tuple[float, int, int]] = []
    for number, line in enumerate(violation.story if violation is not None else (), start=1):
        time_ns = round(line.time_s * 1e9)
        if not since_ns <= time_ns <= to_ns:
            continue
        place = axis.x(time_ns)
        if found and place - found[-1][0] < 34:
            found[-1] = (found[-1][0], found[-1][1], number)
        else:
            found.append((place, number, number))
    return [Label(x=place, text=f"{first}" if first == last else f"{first}–{last}") for place, first, last in found]


def _left_out(play: Play, lives: int, tabs: int, bands: int, since_ns: int, to_ns: int) -> str:
    more = len(play.lives) - lives
    parts = [
        *(
            [f"{more} of {len(play.lives)} messages (drawn are the {lives} nearest in order of publishing)"]
            if more
            else []
        ),
        *([f"{tabs} more tabs"] if tabs else []),
        *([f"{bands} more sessions and faults"] if bands else []),
        *([f"what was before {span(since_ns / 1e9)} and after {span(to_ns / 1e9)}"] if more else []),
    ]
    return ", ".join(parts)
