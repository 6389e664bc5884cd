"""The tap of a publisher's link: what was published, confirmed and returned, whatever the split."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header
from pamqp.heartbeat import Heartbeat

from conformance.faults.base import Piece
from conformance.history.events import ConfirmSeen, PublishSeen, ReturnSeen, digest
from conformance.world.network.amqp_tap import AmqpTap
from conformance.world.network.taps import MOST_BYTES
from tests.world.network.wire import ANY_TIME, CONFIRM_SELECT, OPEN, confirm, publish, returned

HELLO = b"AMQP\x00\x00\x09\x01"
CONNECTION = 7

Step = tuple[str, list[bytes], list[tuple[tuple[str, ...], list[tuple[type[Any], dict[str, Any]]]]]]
"""A direction, frames, and of each frame its marks and what is seen with it."""


class Model:
    """What a broker and a publisher know of it, in the plainest way: channel to tag to digest."""

    def __init__(self) -> None:
        self.tags: dict[int, int] = {1: 0, 2: 0}
        self.open: dict[int, dict[int, str]] = {1: {}, 2: {}}

    def publish(self, channel: int, content: bytes, message_id: str | None, frame_max: int) -> Step:
        """A publish, on a channel that has confirms (1, 2) or not (3)."""
        frames = publish(content, channel=channel, message_id=message_id, frame_max=frame_max)
        tag = None
        if channel in self.tags:
            self.tags[channel] += 1
            tag = self.tags[channel]
            self.open[channel][tag] = digest(content)
        fields = {
            "connection": CONNECTION,
            "channel": channel,
            "message_id": message_id,
            "body_digest": digest(content),
            "delivery_tag": tag,
            "exchange": "ex",
            "routing_key": "key",
            "mandatory": True,
            "delivery_mode": 2,
            "properties": {},
        }
        last = (("publish",), [(PublishSeen, fields)])
        return "to_broker", frames, [(("publish_begins",), []), *[((), [])] * (len(frames) - 2), last]

    def confirm(self, channel: int, tag: int, *, multiple: bool, nack: bool) -> Step:
        """An ack or nack, of whatever tag."""
        unsettled = self.open.get(channel, {})
        settled = [one for one in sorted(unsettled) if (one <= tag or tag == 0 if multiple else one == tag)]
        digests = tuple(unsettled.pop(one) for one in settled)
        fields = {
            "connection": CONNECTION,
            "channel": channel,
            "kind": "nack" if nack else "ack",
            "body_digests": digests,
        }
        marks = ("confirm",) * len(digests)
        return (
            "to_client",
            [confirm(tag, channel=channel, multiple=multiple, nack=nack)],
            [(marks, [(ConfirmSeen, fields)])],
        )

    def returned(self, channel: int, content: bytes, message_id: str | None, frame_max: int) -> Step:
        """A basic.return."""
        frames = returned(content, channel=channel, message_id=message_id, frame_max=frame_max)
        fields = {
            "connection": CONNECTION,
            "channel": channel,
            "message_id": message_id,
            "body_digest": digest(content),
            "reply_text": "NO_ROUTE",
        }
        return "to_client", frames, [*[((), [])] * (len(frames) - 1), (("return",), [(ReturnSeen, fields)])]


contents = st.binary(max_size=300)
channels = st.integers(1, 3)
ids = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
OTHERS = [
    ("to_broker", frame.marshal(Heartbeat(), 0)),
    ("to_client", frame.marshal(Heartbeat(), 0)),
    ("to_broker", frame.marshal(commands.Basic.Ack(1, True), 1)),  # a consumer's: settles no publish
    ("to_client", frame.marshal(commands.Basic.Deliver("tag", 1, False, "ex", "key"), 1)),
    ("to_client", frame.marshal(header.ContentHeader(0, 4, commands.Basic.Properties()), 1)),
    ("to_client", frame.marshal(body.ContentBody(b"body"), 1)),
    ("to_broker", frame.marshal(commands.Queue.Declare(0, "queue"), 2)),
    ("to_client", frame.marshal(commands.Confirm.SelectOk(), 1)),
]


@st.composite
def conversations(draw: st.DrawFn) -> list[Step]:
    """Publishes, confirms and returns on three channels, with other frames between them."""
    model = Model()
    steps: list[Step] = []
    for _ in range(draw(st.integers(0, 12))):
        match draw(st.sampled_from(["publish", "publish", "confirm", "return", "other"])):
            case "publish":
                steps.append(model.publish(draw(channels), draw(contents), draw(ids), draw(st.integers(1, 200))))
            case "confirm":
                step = model.confirm(
                    draw(channels), draw(st.integers(0, 6)), multiple=draw(st.booleans()), nack=draw(st.booleans())
                )
                steps.append(step)
            case "return":
                steps.append(model.returned(draw(channels), draw(contents), draw(ids), draw(st.integers(1, 200))))
            case _:
                direction, data = draw(st.sampled_from(OTHERS))
                steps.append((direction, [data], [((), [])]))
    return steps


def ready() -> AmqpTap:
    """A tap whose channels 1 and 2 are in confirm mode."""
    tap = AmqpTap(CONNECTION)
    tap.feed("to_broker", HELLO + OPEN + CONFIRM_SELECT + frame.marshal(commands.Confirm.Select(), 2))
    return tap


def feed(tap: AmqpTap, direction: str, data: bytes, cuts: list[int]) -> list[Piece]:
    """What the tap makes of the bytes, split there."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces: list[Piece] = []
    for start, end in itertools.pairwise(places):
        pieces += tap.feed(direction, data[start:end])  # type: ignore[arg-type]
    return pieces


def seen(pieces: list[Piece], kind: type[Any]) -> list[dict[str, Any]]:
    """The fields of all events of this type."""
    return [fields for piece in pieces for event_type, fields in piece.seen if event_type is kind]


@ANY_TIME
@given(steps=conversations(), cuts=st.lists(st.integers(0, 2_000), max_size=12))
def test_a_conversation(steps: list[Step], cuts: list[int]) -> None:
    """Whatever the split: a piece for each frame, unchanged, with its marks, and all that a plain model knows."""
    tap = ready()
    for direction, frames, expected in steps:
        pieces = feed(tap, direction, b"".join(frames), cuts)
        assert pieces == [
            Piece(data, marks, tuple(events)) for data, (marks, events) in zip(frames, expected, strict=True)
        ]
    assert tap.rest("to_broker") == tap.rest("to_client") == b""  # type: ignore[comparison-overlap]


@ANY_TIME
@given(cuts=st.lists(st.integers(0, 100), max_size=6))
def test_the_first_words(cuts: list[int]) -> None:
    """The protocol header, connection.open and confirm.select are pieces of their own."""
    pieces = feed(AmqpTap(1), "to_broker", HELLO + OPEN + CONFIRM_SELECT, cuts)
    assert pieces == [Piece(HELLO), Piece(OPEN, ("amqp_open",)), Piece(CONFIRM_SELECT)]


def test_a_refusal_of_the_protocol_passes() -> None:
    """A broker that speaks another version answers with a protocol header."""
    assert AmqpTap(1).feed("to_client", HELLO) == [Piece(HELLO)]


def test_channels_may_take_turns_within_a_message() -> None:
    """Frames of one channel between those of another's message belong to their own."""
    tap = ready()
    first, second = publish(b"abcdef", frame_max=3), publish(b"123456", channel=2, frame_max=3)
    mixed = b"".join(data for both in zip(first, second, strict=True) for data in both)
    fields = seen(tap.feed("to_broker", mixed), PublishSeen)
    assert [(one["channel"], one["delivery_tag"], one["body_digest"]) for one in fields] == [
        (1, 1, digest(b"abcdef")),
        (2, 1, digest(b"123456")),
    ]


def test_a_channel_that_is_opened_anew_counts_anew() -> None:
    """After channel.close the same number is another channel: no confirms until it selects, tags from 1."""
    tap = ready()
    tap.feed("to_broker", b"".join(publish(b"one") + publish(b"two")))
    tap.feed("to_client", frame.marshal(commands.Channel.Close(404, "NOT_FOUND", 60, 40), 1))
    tap.feed("to_broker", frame.marshal(commands.Channel.CloseOk(), 1) + frame.marshal(commands.Channel.Open(), 1))
    assert seen(tap.feed("to_broker", b"".join(publish(b"three"))), PublishSeen)[0]["delivery_tag"] is None
    tap.feed("to_broker", CONFIRM_SELECT)
    assert seen(tap.feed("to_broker", b"".join(publish(b"four"))), PublishSeen)[0]["delivery_tag"] == 1
    assert seen(tap.feed("to_client", confirm(1, multiple=True)), ConfirmSeen)[0]["body_digests"] == (digest(b"four"),)


def test_a_body_larger_than_a_read() -> None:
    """Three megabytes in frames of 128 KiB, read by 64 KiB, are one publish."""
    tap = ready()
    content = bytes(range(256)) * 12_000
    data = b"".join(publish(content, frame_max=131_064))
    pieces = feed(tap, "to_broker", data, list(range(0, len(data), 65536)))
    assert b"".join(piece.data for piece in pieces) == data
    assert [fields["body_digest"] for fields in seen(pieces, PublishSeen)] == [digest(content)]


def test_many_are_settled_at_once() -> None:
    """A multiple ack of ten thousand publishes names them all, in order, and none twice."""
    tap = ready()
    bodies = [str(number).encode() for number in range(10_000)]
    for content in bodies:
        tap.feed("to_broker", b"".join(publish(content)))
    (fields,) = seen(tap.feed("to_client", confirm(9_000, multiple=True)), ConfirmSeen)
    assert fields["body_digests"] == tuple(map(digest, bodies[:9_000]))
    (fields,) = seen(tap.feed("to_client", confirm(0, multiple=True, nack=True)), ConfirmSeen)
    assert fields["body_digests"] == tuple(map(digest, bodies[9_000:]))
    assert fields["kind"] == "nack"


# --- what can't be read --------------------------------------------------------------------------


@ANY_TIME
@given(
    data=st.binary(max_size=400) | st.builds(lambda rest: HELLO + OPEN + rest, st.binary()),
    direction=st.sampled_from(["to_broker", "to_client"]),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
@example(data=b"\x01\x00\x01\xff\xff\xff\xff", direction="to_broker", cuts=[])
@example(data=b"\x01\x00\x01\x00\x00\x00\x00\xce", direction="to_client", cuts=[])
def test_garbage_passes_unharmed(data: bytes, direction: str, cuts: list[int]) -> None:
    """Every byte comes out in its place, at the end of the stream at the latest; nothing is raised."""
    tap = AmqpTap(1)
    pieces = feed(tap, direction, data, cuts)
    assert b"".join(piece.data for piece in pieces) + tap.rest(direction) == data  # type: ignore[arg-type]
    assert tap.rest(direction) == b""  # type: ignore[arg-type]


@ANY_TIME
@given(
    place=st.integers(0, 400),
    octet=st.integers(1, 255),
    cuts=st.lists(st.integers(0, 400), max_size=4),
    direction=st.sampled_from(["to_broker", "to_client"]),
)
def test_one_wrong_byte_is_passed_on(place: int, octet: int, cuts: list[int], direction: str) -> None:
    """In a conversation that is right but for one byte nothing is raised, and every byte passes."""
    tap = ready()
    tap.feed("to_broker", b"".join(publish(b"first") + publish(b"second")))
    if direction == "to_broker":
        right = b"".join(publish(b"some content", message_id="id", frame_max=5) * 2)
    else:
        right = (
            b"".join(returned(b"some content", message_id="id", frame_max=5)) + confirm(1) + confirm(2, multiple=True)
        )
    wrong = bytearray(right)
    wrong[place % len(wrong)] ^= octet
    pieces = feed(tap, direction, bytes(wrong), cuts)
    assert b"".join(piece.data for piece in pieces) + tap.rest(direction) == bytes(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "first",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n", b"CONNECT\n", b"\x00"],
    ids=["tls", "http", "stomp", "zero"],
)
def test_what_is_no_amqp_is_not_kept_waiting(first: bytes) -> None:
    """TLS, or any other protocol, passes at once, from its first byte on."""
    for direction in ("to_broker", "to_client"):
        tap = AmqpTap(1)
        assert tap.feed(direction, first) == [Piece(first)]  # type: ignore[arg-type]
        assert tap.feed(direction, b"\x01") == [Piece(b"\x01")]  # type: ignore[arg-type]


def test_a_frame_without_its_end_is_no_frame() -> None:
    """From the first frame that does not end in %xCE on, nothing is read (section 2.3.5), and all of it passes."""
    tap = ready()
    bad = confirm(1)[:-1] + b"\x00"
    tap.feed("to_broker", b"".join(publish(b"one")))
    assert tap.feed("to_client", bad) == [Piece(bad)]
    assert tap.feed("to_client", confirm(1)) == [Piece(confirm(1))]
    assert seen(tap.feed("to_broker", b"".join(publish(b"two"))), PublishSeen)[0]["delivery_tag"] == 2


def test_a_frame_that_claims_to_be_huge_is_passed_on() -> None:
    """It is not waited for."""
    tap = AmqpTap(1)
    huge = b"\x03\x00\x01" + struct.pack("!I", MOST_BYTES) + b"begins"
    assert tap.feed("to_broker", huge) == [Piece(huge)]


def test_properties_that_can_not_be_decoded() -> None:
    """A timestamp beyond all calendars, or a table nested without end, passes, and so does all behind it."""
    method = publish(b"")[0]
    timestamp = struct.pack("!HHQHQ", 60, 0, 0, 1 << 6, 2**64 - 1)
    table = b""
    for _ in range(3_000):
        table = b"\x01aF" + struct.pack("!I", len(table)) + table
    nested = struct.pack("!HHQH", 60, 0, 0, 1 << 13) + struct.pack("!I", len(table)) + table
    for content in (timestamp, nested):
        tap = ready()
        bad = struct.pack("!BHI", 2, 1, len(content)) + content + b"\xce"
        assert tap.feed("to_broker", method) == [Piece(method, ("publish_begins",))]
        assert tap.feed("to_broker", bad)[0].data == bad
        assert [piece.data for piece in tap.feed("to_broker", method)] == [method]
