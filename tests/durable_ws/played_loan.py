"""What the tests of loans share: messages, what the peer says, and errors that strike at one instruction."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Container
from types import CodeType, FrameType
from typing import Any, Self

from pamqp import body, commands, frame, header

from durable_ws.amqp.content import encode_content
from durable_ws.job import Job
from durable_ws.message import build
from durable_ws.outcome import Call

CHANNEL, TAG = 3, 7
LONG_S = 1000.0


def make_job(
    payload: object = "a",
    *,
    exchange: str = "x",
    timeout_s: float = LONG_S,
    message_id: str = "m",
    **properties: Any,
) -> Job:
    """Of a message that begins now."""
    message = build(payload, exchange=exchange, routing_key="k", message_id=message_id, properties=properties)
    began = time.monotonic()
    return Job(message, began, began + timeout_s, "lane", False, Call())


def call_of(job: Job) -> Call:
    """Where its outcome is told."""
    assert isinstance(job.future, Call)
    return job.future


def frames_of(job: Job) -> bytes:
    """What is to be written for it."""
    message = job.message
    frames = encode_content(CHANNEL, message.address, message.header, message.body, 4096)
    assert frames is not None
    return frames


def ack(tag: int = TAG, *, multiple: bool = False, channel: int = CHANNEL) -> bytes:
    """As pamqp writes it."""
    return frame.marshal(commands.Basic.Ack(tag, multiple), channel)


def returned() -> bytes:
    """The message comes back."""
    properties = commands.Basic.Properties(message_id="m")
    return b"".join(
        frame.marshal(one, CHANNEL)
        for one in (
            commands.Basic.Return(312, "NO_ROUTE", "x", "k"),
            header.ContentHeader(body_size=1, properties=properties),
            body.ContentBody(b"a"),
        )
    )


def received_by(peer: socket.socket) -> bytes:
    """All that has come to a socket until now."""
    peer.setblocking(False)
    data = b""
    with contextlib.suppress(BlockingIOError):
        while more := peer.recv(1 << 20):
            data += more
    return data


class Struck(KeyboardInterrupt):
    """What a signal handler raises."""


class LateError(TimeoutError):
    """The same, and it looks like a system's error but for its number."""


class Strike:
    """Raise an error before the n-th instruction of these functions that is run in the ``with``; 0: never.

    Python 3.13 tells of fewer instructions than those before it.
    """

    def __init__(self, number: int, error: BaseException, codes: Container[CodeType]) -> None:
        self._left = number
        self._codes = codes
        self.error = error
        self.where: tuple[str, int | None] | None = None
        """The function and the line, once it has struck."""

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # as 3.12 has it: asked for before the trace begins
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _on_call(self, frame: FrameType, _event: str, _argument: object) -> Any:
        if frame.f_code not in self._codes:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._on_instruction

    def _on_instruction(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "opcode" and self.where is None:
            self._left -= 1
            if self._left == 0:
                self.where = (frame.f_code.co_name, frame.f_lineno)
                raise self.error
        return self._on_instruction
