"""A publisher under test that is a program speaking JSON lines (design.md, Interfaces).

The suite writes ``{"op":"publish","id":…,"exchange":…,"routing_key":…,"body":…}`` to the program's standard
input; the program answers each, in any order, with ``{"id":…,"outcome":…,"detail":…}``. One that offers to take
them (``publisher.offers``) finds ``"properties"`` or ``"timeout"`` (seconds) in some requests. ``RABBITMQ_URL`` in its
environment names the broker, and ``RABBITMQ_FAILOVER_URLS``, for one that offers failover, further addresses of it,
with blanks between them. Bodies are text: what is not UTF-8 can't be sent through a program. Requests are
ASCII (JSON escapes the rest), so that the program's locale does not matter. What it writes besides is told
(:mod:`conformance.world.publisher.answers`); its standard error is kept.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from conformance.errors import HarnessError, UsageError
from conformance.world.publisher.answers import Answers, Asked, Breach
from conformance.world.publisher.program import Program
from conformance.world.publisher.stderr import Stderr
from durable_ws import Nacked, NotSent, OutcomeUnknown, Unroutable

__all__ = ["CommandPublisher"]

_CLOSE_S = 5.0
_EXITED_S = 10.0
"""How long after the end of its input a program has to end, to be told with its status."""


class CommandPublisher:
    """Runs the program and speaks with it; may be used from many threads.

    A fault may kill, stop and continue the program (:mod:`conformance.faults.program`).

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
        self._command = list(command)
        self._addresses = {"RABBITMQ_URL": url}
        if failover:
            self._addresses["RABBITMQ_FAILOVER_URLS"] = " ".join(failover)
        self._timeout_s = timeout_s
        self._close_timeout_s = close_timeout_s
        self._field = field
        self._lock = threading.Lock()  # never held while anything can block
        self._breaches: list[Breach] = []
        self._listener: Callable[[Breach], object] = self._breaches.append
        self._answers = Answers(lambda breach: self._listener(breach))
        self._over = ""  # why no more answers can come
        self._closed = False
        self._changing = threading.Lock()  # held while one run of the program is replaced by the next
        self._on_handed: Callable[[], object] | None = None
        self._stderr = Stderr()
        # Written by a thread of its own: a program that does not read must not hold up who publishes.
        self._requests: queue.SimpleQueue[tuple[bytes, Asked | None] | None] = queue.SimpleQueue()
        try:
            self._program = self._start()
        except UsageError:
            self._stderr.close()
            raise
        self._writer = threading.Thread(target=self._write, name="publisher-command writer", daemon=True)
        self._writer.start()

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str, **offered: Any) -> None:
        """Hand one message to the program and wait for its answer; what it offers to take goes with the request.

        Raises:
            Unroutable: the program answered ``returned``.
            Nacked: it answered ``nacked``.
            NotSent: it answered ``failed``, had ended before, or can't be given a body that is not UTF-8.
            OutcomeUnknown: it answered ``unknown``, gave no (sensible) answer in time, or ended.
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
        with self._lock:
            if self._closed or self._over:
                raise NotSent(message_id, self._over or "the publisher is closed")
            asked = self._answers.ask(message_id)
        self._requests.put((_line(request), asked))
        try:
            outcome, detail = asked.answer.result(self._timeout_s)
        except FutureTimeoutError as exc:
            raise OutcomeUnknown(message_id, self._silent(message_id)) from exc
        except HarnessError as exc:
            raise OutcomeUnknown(message_id, str(exc)) from exc
        finally:
            with self._lock:
                self._answers.forget(asked)
        if outcome == "returned":
            raise Unroutable(message_id, detail or "the program says that the message was returned")
        if outcome == "nacked":
            raise Nacked(message_id, detail or "the program says that the broker nacked it")
        if outcome == "failed":
            raise NotSent(message_id, detail or "the program says that it was not sent")
        if outcome == "unknown":
            raise OutcomeUnknown(message_id, detail or "the program says that it can't tell")

    def close(self) -> None:
        """Ask the program to close, wait for its end, and end it (and what it started) by force if it stays."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._requests.put((_line({"op": "close"}), None))
        self._requests.put(None)
        with self._changing:
            program = self._program  # which is not replaced any more
        program.exited.wait(self._close_timeout_s)
        program.end()
        self._writer.join(_CLOSE_S)
        self._stderr.close()

    # --- for the suite -----------------------------------------------------------------------------

    def listen(self, listener: Callable[[Breach], object]) -> None:
        """Have each breach of the protocol told, those of before first; in whatever thread notices it."""
        with self._lock:
            for breach in self._breaches:
                listener(breach)
            self._listener = listener

    @property
    def over(self) -> bool:
        """Whether the program has ended by itself: no publish can be confirmed any more."""
        return bool(self._over)

    def stderr(self) -> bytes:
        """What the program wrote on its standard error."""
        return self._stderr.text()

    def on_handed(self, call: Callable[[], object] | None) -> None:
        """Have ``call`` called after each publish that was handed to the program, before the next one is; None: not."""
        self._on_handed = call

    def kill(self) -> int:
        """Kill the program (SIGKILL) and start it again. Returns how many publishes were under way with it.

        Only from within :meth:`on_handed`: nothing is handed over meanwhile.

        Raises:
            HarnessError: the publisher is closed, or the program can't be started again.
        """
        with self._changing:
            if self._closed:
                raise HarnessError("the publisher is closed")
            self._program.kill()
            with self._lock:
                under_way = [asked for asked in self._answers.waiting() if asked.handed]
                for asked in under_way:
                    self._answers.fail(asked, "the suite killed the program before it answered")
            self._program.close_input()
            try:
                self._program = self._start()
            except UsageError as exc:
                raise HarnessError(f"the program can't be started again: {exc}") from exc
            return len(under_way)

    def stop(self) -> None:
        """Stop the program where it stands (SIGSTOP); returns once it was seen to stand still."""
        self._program.stop()

    def resume(self) -> None:
        """Have it go on (SIGCONT)."""
        self._program.resume()

    # --- the writer's thread -----------------------------------------------------------------------

    def _write(self) -> None:
        patience_s = _EXITED_S
        while (request := self._requests.get()) is not None:
            line, asked = request
            program, on_handed = self._program, self._on_handed  # one that is set later is about what is handed later
            if asked is not None:
                asked.handed = True
            try:
                program.write(line)
            except OSError as exc:
                # It may be on its way out: its status tells more than the pipe does.
                why = f"the program {self._command[0]!r} reads no more ({exc.strerror}){self._besides}"
                if program.exited.wait(patience_s):
                    why = f"{self._why_over(program)} before it answered{self._besides}"
                patience_s = 0.0
                if asked is not None:
                    with self._lock:
                        self._answers.fail(asked, why)
            else:
                if asked is not None and on_handed is not None:
                    on_handed()
        self._program.close_input()

    # --- the reader's thread -----------------------------------------------------------------------

    def _start(self) -> Program:
        return Program(
            self._command,
            self._addresses,
            stderr=self._stderr.fileno(),
            on_line=self._take,
            on_end=self._ended,
            field=self._field,
        )

    def _take(self, line: bytes) -> None:
        with self._lock:
            self._answers.take(line)

    def _ended(self, program: Program) -> None:
        """No more answers can come from this run of the program."""
        if program.killed:
            return  # the next one is started at once
        with self._lock:
            self._over = self._why_over(program)
            waiting = self._answers.waiting()
            for asked in waiting:
                self._answers.fail(asked, f"{self._over} before it answered{self._besides}")
            if not self._closed:
                under_way = f"{len(waiting)} publish{'es' * (len(waiting) != 1)} under way"
                self._answers.breach("died", f"{self._over} with {under_way}{self._besides}")

    # --- what went wrong ---------------------------------------------------------------------------

    def _silent(self, message_id: str) -> str:
        """Why there was no answer in time."""
        program = self._program
        if program.exited.is_set():
            return f"{self._why_over(program)} before it answered{self._besides}"
        with self._lock:
            if not self._closed:
                self._answers.breach(
                    "silent", f"it gave no answer for message {message_id} within {self._timeout_s:g} s"
                )
        return f"the program gave no answer within {self._timeout_s:g} s{self._besides}"

    def _why_over(self, program: Program) -> str:
        if not program.exited.is_set():
            return f"the program {self._command[0]!r} closed its standard output"
        return f"the program {self._command[0]!r} ended with status {program.status}"

    @property
    def _besides(self) -> str:
        """What else it said, for the end of a sentence."""
        chatter, tail = self._answers.chatter, self._stderr.tail()
        said = f"; it wrote, besides: {chatter}" if chatter else ""
        return f"{said}; its standard error ends with: {tail!r}" if tail else said


def _line(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode("ascii") + b"\n"
