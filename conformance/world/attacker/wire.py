"""A raw STOMP-over-WebSocket connection: sends whatever it is told to, and tells what came back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import websocket

from conformance.stomp.frames import Frame
from conformance.stomp.parser import HeartBeat, Parser

__all__ = ["Reply", "Wire", "WireClosed"]

_TIMEOUT_S = 30.0
_CLOSE_S = 1
_ERROR = "ERROR: "


class WireClosed(Exception):  # noqa: N818 - it says what happened
    """The connection is over; the message says how, in the broker's words where it had any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the broker answered.

    Attributes:
        accepted: it sent CONNECTED or the RECEIPT that was asked for.
        words: what it said, as far as it said anything.
        answered: False where neither an answer nor an end came in time.
    """

    accepted: bool
    words: str
    answered: bool = True


class Wire:
    """One connection of a hostile page. Not safe for threads.

    Args:
        url: ``ws://``.
        timeout_s: for each answer.
        explain: is asked what the broker had against the connection from this port, where it said nothing.

    Raises:
        OSError, websocket.WebSocketException: there is no WebSocket to be had.
    """

    def __init__(
        self, url: str, *, timeout_s: float = _TIMEOUT_S, explain: Callable[[int], str] = lambda _: ""
    ) -> None:
        self._explain = explain
        self._timeout_s = timeout_s
        self._parser = Parser()
        self._receipts = itertools.count(1)
        self._socket = websocket.create_connection(
            url,
            timeout=timeout_s,
            subprotocols=["v12.stomp"],
            http_no_proxy=["*"],
            skip_utf8_validation=True,
        )
        self._port = 0 if self._socket.sock is None else int(self._socket.sock.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection without asking."""
        self._socket.close(timeout=_CLOSE_S)
        self._socket.shutdown()  # type: ignore[no-untyped-call]  # which close() leaves out where the peer is rude

    def connect(self, login: str, passcode: str, vhost: str, heart_beat: str = "0,0") -> Reply:
        """CONNECT, and the answer."""
        headers = (
            ("accept-version", "1.2"), ("host", vhost), ("login", login), ("passcode", passcode),
            ("heart-beat", heart_beat),
        )  # fmt: skip
        return self._exchange(Frame("CONNECT", headers).serialize(), lambda frame: frame.command == "CONNECTED")

    def ask(self, command: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        """Send a frame with a receipt, and wait for the RECEIPT, an ERROR or the end."""
        receipt = f"r{next(self._receipts)}"
        frame = Frame(command, (*headers.items(), ("receipt", receipt)), body)
        return self._exchange(frame.serialize(), lambda came: came.get("receipt-id") == receipt)

    def raw(self, data: bytes) -> None:
        """Send bytes as they are, in one WebSocket frame.

        Raises:
            WireClosed: the connection is over.
            TimeoutError: the broker takes nothing more, and does not say why.
        """
        self._socket.settimeout(self._timeout_s)  # reading has shortened it
        try:
            self._socket.send(data, websocket.ABNF.OPCODE_TEXT)
        except (websocket.WebSocketTimeoutException, TimeoutError):
            raise TimeoutError from None
        except (websocket.WebSocketException, OSError, ValueError) as exc:
            raise WireClosed(str(exc) or type(exc).__name__) from exc

    def ended(self, within_s: float) -> Reply:
        """Wait for the broker to say ERROR or to end the connection; ``accepted`` where it did neither."""
        try:
            self._wait(lambda _: False, within_s)
        except WireClosed as exc:
            return Reply(accepted=False, words=str(exc))
        except TimeoutError:
            pass
        return Reply(accepted=True, words="", answered=False)

    def _exchange(self, data: bytes, is_answer: Callable[[Frame], bool]) -> Reply:
        try:
            self.raw(data)
            frame = self._wait(is_answer, self._timeout_s)
        except WireClosed as exc:
            words = str(exc)
            if not words.startswith(_ERROR):
                words = " ".join(filter(None, (words, self._explain(self._port))))
            return Reply(accepted=False, words=words)
        except TimeoutError:
            return Reply(accepted=False, words="no answer", answered=False)
        return Reply(accepted=True, words=str(frame))

    def _wait(self, is_it: Callable[[Frame], bool], within_s: float) -> Frame:
        """The first frame that is it; an ERROR that is not, and the end, raise WireClosed."""
        deadline = time.monotonic() + within_s
        while True:
            self._parser.receive_data(self._received(deadline - time.monotonic()))
            for event in self._parser.events():
                if isinstance(event, HeartBeat):
                    continue
                if is_it(event):
                    return event
                if event.command == "ERROR":
                    words = " ".join([event.get("message", ""), event.body.decode(errors="replace")])
                    raise WireClosed(_ERROR + " ".join(words.split())[:300])

    def _received(self, within_s: float) -> bytes:
        """What comes next."""
        if within_s <= 0:
            raise TimeoutError
        self._socket.settimeout(within_s)
        try:
            opcode, data = self._socket.recv_data()
        except websocket.WebSocketTimeoutException:
            raise TimeoutError from None
        except (websocket.WebSocketException, OSError) as exc:
            raise WireClosed(str(exc) or type(exc).__name__) from exc
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            reason = bytes(data[2:]).decode(errors="replace")
            raise WireClosed(f"closed the WebSocket ({int.from_bytes(data[:2], 'big')} {reason})".strip())
        return bytes(data)
