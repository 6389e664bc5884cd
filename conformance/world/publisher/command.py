"""A publisher under test that is a program speaking JSON lines (design.md, Interfaces).

The suite writes ``{"op":"publish","id":…,"exchange":…,"routing_key":…,"body":…}`` to the program's standard
input; the program answers each, in any order, with ``{"id":…,"outcome":…,"detail":…}``. One that offers to take
them (``publisher.offers``) finds ``"properties"`` or ``"timeout"`` (seconds) in some requests. ``RABBITMQ_URL`` in its
environment names the broker, and ``RABBITMQ_FAILOVER_URLS``, for one that offers failover, further addresses of it,
with blanks between them. Bodies are text: what is not UTF-8 can't be sent through a program. Requests are
ASCII (JSON escapes the rest), so that the program's locale does not matter. Lines that are no answer are passed over;
where an answer does not come, the error tells the last of them. Standard error is the suite's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from conformance.errors import HarnessError, UsageError
from durable_ws import Nacked, NotSent, OutcomeUnknown, Unroutable

__all__ = ["CommandPublisher"]

_OUTCOMES = ("confirmed", "returned", "nacked", "failed")
_MOST_LINE_BYTES = 1024 * 1024
_MOST_TOLD = 200  # characters of a line that is no answer
_CLOSE_S = 5.0
_EXITED_S = 1.0
"""How long after the end of its input or output a program has to end, to be told with its status."""

_Answer = Future[tuple[str, str]]


class CommandPublisher:
    """Runs the program and speaks with it; may be used from many threads.

    The program gets a process group of its own: Ctrl-C is the suite's to handle, and what the program has started
    is ended with it.

    Args:
        command: program and arguments.
        url: the AMQP URL, handed over as ``RABBITMQ_URL``.
        timeout_s: how long an answer may take, in seconds, before the outcome counts as unknown.
        close_timeout_s: how long the program has to end once it was asked to, before it is killed.
        field: what the error calls the command.
        failover: further AMQP URLs of the same broker, handed over as ``RABBITMQ_FAILOVER_URLS`` if there are any.

    Raises:
        UsageError: the program can't be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        url: str,
        *,
        timeout_s: float = 30.0,
        close_timeout_s: float = _CLOSE_S,
        field: str = "publisher.command",
        failover: Sequence[str] = (),
    ) -> None:
        addresses = {"RABBITMQ_URL": url} | ({"RABBITMQ_FAILOVER_URLS": " ".join(failover)} if failover else {})
        self._command = list(command)
        self._timeout_s = timeout_s
        self._close_timeout_s = close_timeout_s
        self._waiting: dict[str, _Answer] = {}
        self._lock = threading.Lock()  # never held while anything can block
        self._no_answer = ""  # the last line that answered nothing
        self._over = ""  # why no more answers can come
        self._closed = False
        self._exited = threading.Event()
        self._status: int | None = None  # once it has exited; minus the signal that ended it
        # Written by a thread of its own: a program that does not read must not hold up who publishes.
        self._requests: queue.SimpleQueue[tuple[bytes, _Answer | None] | None] = queue.SimpleQueue()
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **addresses},
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc
            raise UsageError(
                field,
                f"{command[0]!r} can't be started ({reason})",
                "Name a program that is installed, with its full path if it is not on PATH.",
            ) from exc
        self._threads = [
            threading.Thread(target=work, name=f"publisher-command {name}", daemon=True)
            for name, work in (("writer", self._write), ("reader", self._read), ("watcher", self._watch))
        ]
        for thread in self._threads:
            thread.start()

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str, **offered: Any) -> None:
        """Hand one message to the program and wait for its answer; what it offers to take goes with the request.

        Raises:
            Unroutable: the program answered ``returned``.
            Nacked: it answered ``nacked``.
            NotSent: it answered ``failed``, had ended before, or can't be given a body that is not UTF-8.
            OutcomeUnknown: it gave no (sensible) answer in time, or ended.
        """
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise NotSent(message_id, "its body is not UTF-8, which a program can't be given as JSON") from exc
        request: dict[str, Any] = {
            "op": "publish",
            "id": message_id,
            "exchange": exchange,
            "routing_key": routing_key,
            "body": text,
        }
        request |= offered
        answer: _Answer = Future()
        with self._lock:
            if self._closed or self._over:
                raise NotSent(message_id, self._over or "the publisher is closed")
            self._waiting[message_id] = answer
        self._requests.put((_line(request), answer))
        try:
            outcome, detail = answer.result(self._timeout_s)
        except FutureTimeoutError as exc:
            raise OutcomeUnknown(message_id, self._why_silent()) from exc
        except HarnessError as exc:
            raise OutcomeUnknown(message_id, str(exc)) from exc
        finally:
            with self._lock:
                self._waiting.pop(message_id, None)
        if outcome == "returned":
            raise Unroutable(message_id, detail or "the program says that the message was returned")
        if outcome == "nacked":
            raise Nacked(message_id, detail or "the program says that the broker nacked it")
        if outcome == "failed":
            raise NotSent(message_id, detail or "the program says that it was not sent")

    def close(self) -> None:
        """Ask the program to close, wait for its end, and end it (and what it started) by force if it stays."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._requests.put((_line({"op": "close"}), None))
        self._requests.put(None)
        self._exited.wait(self._close_timeout_s)
        # The program is reaped only after this: until then nobody else can have the id of its group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._exited.wait()
        self._process.wait()
        for thread in self._threads:
            thread.join(_CLOSE_S)

    # --- the writer's thread -----------------------------------------------------------------------

    def _write(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it was asked for
        patience_s = _EXITED_S
        while (request := self._requests.get()) is not None:
            line, answer = request
            try:
                stdin.write(line)
                stdin.flush()
            except OSError as exc:
                # It may be on its way out: its status tells more than the pipe does.
                why = f"the program {self._command[0]!r} reads no more ({exc.strerror})"
                if self._exited.wait(patience_s):
                    why = f"{self._why_over()} before it answered{self._besides}"
                patience_s = 0.0
                self._fail(answer, why)
        with contextlib.suppress(OSError):
            stdin.close()

    # --- the reader's thread -----------------------------------------------------------------------

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it was asked for
        with stdout:
            while line := stdout.readline(_MOST_LINE_BYTES):
                self._answer(line)
        self._exited.wait(_EXITED_S)
        with self._lock:
            self._over = self._why_over()
            waiting = list(self._waiting.values())
        for answer in waiting:
            self._fail(answer, f"{self._over} before it answered{self._besides}")

    def _answer(self, line: bytes) -> None:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        message_id = told.get("id") if isinstance(told, dict) else None
        with self._lock:
            answer = self._waiting.get(message_id) if isinstance(message_id, str) else None
        if answer is None:
            self._no_answer = _shortened(line)
        elif told.get("outcome") not in _OUTCOMES:
            self._fail(answer, f"the program answered what is no outcome: {_shortened(line)}")
        else:
            detail = told.get("detail")
            with contextlib.suppress(Exception):  # it was answered before
                answer.set_result((told["outcome"], detail if isinstance(detail, str) else ""))

    # --- the watcher's thread -----------------------------------------------------------------------

    def _watch(self) -> None:
        """Wait for the program's end without reaping it."""
        with contextlib.suppress(ChildProcessError):
            end = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            if end is not None:
                self._status = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
        self._exited.set()

    # --- what went wrong ---------------------------------------------------------------------------

    def _fail(self, answer: _Answer | None, why: str) -> None:
        with contextlib.suppress(Exception):  # it was answered before
            if answer is not None:
                answer.set_exception(HarnessError(why))

    def _why_over(self) -> str:
        if not self._exited.is_set():
            return f"the program {self._command[0]!r} closed its standard output"
        return f"the program {self._command[0]!r} ended with status {self._status}"

    def _why_silent(self) -> str:
        if self._exited.is_set():
            return f"{self._why_over()} before it answered{self._besides}"
        return f"the program gave no answer within {self._timeout_s:g} s{self._besides}"

    @property
    def _besides(self) -> str:
        return f"; it wrote, besides: {self._no_answer}" if self._no_answer else ""


def _line(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode("ascii") + b"\n"


def _shortened(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return repr(text if len(text) <= _MOST_TOLD else text[:_MOST_TOLD] + "…")
