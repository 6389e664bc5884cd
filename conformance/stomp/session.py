"""A client's side of a STOMP 1.2 conversation: calls give the bytes to send, received bytes give events."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from conformance.stomp.errors import InvalidState, MalformedFrame, ProtocolError, UnexpectedFrame, VersionRefused
from conformance.stomp.frames import Frame
from conformance.stomp.parser import HeartBeat, Limits, Parser

__all__ = [
    "ClientSession",
    "Connected",
    "ErrorReceived",
    "HeartBeatTimes",
    "MessageReceived",
    "ReceiptReceived",
    "SessionEvent",
    "State",
]


@dataclass(frozen=True, slots=True)
class HeartBeatTimes:
    """What was agreed on (Heart-beating): milliseconds, 0 for none.

    Attributes:
        send_ms: we send something at least this often.
        expect_ms: the server sends something at least this often.
    """

    send_ms: int = 0
    expect_ms: int = 0

    @classmethod
    def agree(cls, ours_ms: int, header: str) -> HeartBeatTimes:
        """Agree with a CONNECTED frame's ``heart-beat`` header, where CONNECT had ``ours_ms`` both ways.

        Raises:
            MalformedFrame: the header is no pair of numbers.
        """
        numbers = header.split(",")
        if len(numbers) != 2 or not all(n.isascii() and n.isdigit() and len(n) < 16 for n in numbers):
            raise MalformedFrame(f"heart-beat is no pair of numbers: {header[:40]!r}")
        sends_ms, wants_ms = map(int, numbers)
        return cls(
            send_ms=max(ours_ms, wants_ms) if ours_ms and wants_ms else 0,
            expect_ms=max(ours_ms, sends_ms) if ours_ms and sends_ms else 0,
        )

    def next_send(self, last_sent: float) -> float | None:
        """When the next heart-beat is due, on the clock (seconds) of ``last_sent``; None: never."""
        return last_sent + self.send_ms / 1000 if self.send_ms else None

    def silence_limit_s(self, factor: float = 2.0) -> float | None:
        """How long the server may be silent until it counts as gone; None: for ever.

        "Because of timing inaccuracies, the receiver SHOULD be tolerant and take into account an error margin":
        ``factor`` is that margin.
        """
        return self.expect_ms / 1000 * factor if self.expect_ms else None


@dataclass(frozen=True, slots=True)
class Connected:
    """CONNECTED came."""

    heart_beat: HeartBeatTimes
    server: str


@dataclass(frozen=True, slots=True)
class ReceiptReceived:
    """RECEIPT came for the frame with this ``receipt`` header."""

    receipt: str


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """MESSAGE came."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class ErrorReceived:
    """ERROR came: the server closes the connection after it (ERROR)."""

    frame: Frame


SessionEvent = Connected | ReceiptReceived | MessageReceived | ErrorReceived | HeartBeat


class State(enum.Enum):
    """Where the conversation is."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTING = "disconnecting"
    CLOSED = "closed"


class ClientSession:
    """One conversation. Calls raise :class:`InvalidState` out of order; what the server does wrong is ``error``.

    Args:
        heart_beat_ms: what we offer, both ways; 0: none.
        limits: of what the server may send.
    """

    def __init__(self, *, heart_beat_ms: int = 0, limits: Limits | None = None) -> None:
        self._parser = Parser(limits)
        self._heart_beat_ms = heart_beat_ms
        self._state = State.NEW
        self._error: ProtocolError | None = None
        self._events: list[SessionEvent] = []
        self._disconnect_receipt: str | None = None

    @property
    def state(self) -> State:
        """Where the conversation is."""
        return self._state

    @property
    def error(self) -> ProtocolError | None:
        """The first thing that the server did wrong; the session is closed then."""
        return self._error

    # --- calls: bytes to send --------------------------------------------------------------------

    def connect(self, *, host: str, login: str, passcode: str) -> bytes:
        """CONNECT to the virtual host ``host``, asking for STOMP 1.2 and nothing else."""
        self._require(State.NEW)
        self._state = State.CONNECTING
        return Frame(
            "CONNECT",
            (
                ("accept-version", "1.2"),
                ("host", host),
                ("heart-beat", f"{self._heart_beat_ms},{self._heart_beat_ms}"),
                ("login", login),
                ("passcode", passcode),
            ),
        ).serialize()

    def subscribe(self, *, destination: str, subscription: str, receipt: str, headers: Mapping[str, str]) -> bytes:
        """SUBSCRIBE with the id ``subscription``; ``headers`` come after ours, so that ours count if repeated."""
        self._require(State.CONNECTED)
        ours = (("id", subscription), ("destination", destination), ("receipt", receipt))
        return Frame("SUBSCRIBE", (*ours, *headers.items())).serialize()

    def ack(self, ack_id: str) -> bytes:
        """ACK; ``ack_id`` is the MESSAGE's ``ack`` header (ACK)."""
        self._require(State.CONNECTED)
        return Frame("ACK", (("id", ack_id),)).serialize()

    def nack(self, ack_id: str) -> bytes:
        """NACK; as :meth:`ack`."""
        self._require(State.CONNECTED)
        return Frame("NACK", (("id", ack_id),)).serialize()

    def disconnect(self, *, receipt: str) -> bytes:
        """DISCONNECT; once its receipt came, the server has taken everything before it (DISCONNECT)."""
        self._require(State.CONNECTED)
        self._state = State.DISCONNECTING
        self._disconnect_receipt = receipt
        return Frame("DISCONNECT", (("receipt", receipt),)).serialize()

    def _require(self, state: State) -> None:
        if self._state is not state:
            raise InvalidState(f"the session is {self._state.value}, not {state.value}")

    # --- bytes received: events ------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take bytes as they came; dropped once the session is closed."""
        if self._state is not State.CLOSED:
            self._parser.receive_data(data)
            self._advance()

    def receive_eof(self) -> None:
        """The connection has ended."""
        if self._state is not State.CLOSED:
            self._parser.receive_eof()
            self._advance()
            self._state = State.CLOSED

    def events(self) -> list[SessionEvent]:
        """What happened since the last call, in order; what came before an error is there."""
        events, self._events = self._events, []
        return events

    def _advance(self) -> None:
        try:
            for event in self._parser.events():
                if self._state is State.CLOSED:
                    return
                self._events.append(event if isinstance(event, HeartBeat) else self._take(event))
            if self._parser.error is not None:
                raise self._parser.error
        except ProtocolError as exc:
            self._error = exc
            self._state = State.CLOSED

    def _take(self, frame: Frame) -> SessionEvent:
        if frame.command == "ERROR":
            self._state = State.CLOSED
            return ErrorReceived(frame)
        if frame.command == "CONNECTED" and self._state is State.CONNECTING:
            return self._take_connected(frame)
        if self._state in (State.CONNECTED, State.DISCONNECTING):
            if frame.command == "MESSAGE":
                return MessageReceived(frame)
            if frame.command == "RECEIPT":
                return self._take_receipt(frame)
        raise UnexpectedFrame(f"a {frame.command} frame while {self._state.value}")

    def _take_connected(self, frame: Frame) -> Connected:
        version = frame.get("version", "1.0")  # Protocol Negotiation: no header means 1.0
        if version != "1.2":
            raise VersionRefused(f"the server speaks STOMP {version[:20]!r}, we asked for '1.2'")
        self._state = State.CONNECTED
        times = HeartBeatTimes.agree(self._heart_beat_ms, frame.get("heart-beat", "0,0"))
        return Connected(times, frame.get("server", ""))

    def _take_receipt(self, frame: Frame) -> ReceiptReceived:
        receipt = frame.get("receipt-id")
        if receipt is None:
            raise MalformedFrame("a RECEIPT frame without receipt-id")
        if receipt == self._disconnect_receipt:
            self._state = State.CLOSED
        return ReceiptReceived(receipt)
