"""The history on disk: JSON lines, appended as events happen, readable after a crash.

Line 1 is the header (:class:`HistoryHeader`), each further line one event with ``type`` first, ``index`` dense
from 0 and ``time_ns`` never falling. Each line goes to the operating system in one write as its event happens, so
a crash of the suite can tear the last line and no other.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

import msgspec

from conformance.errors import HarnessError, UsageError
from conformance.history.events import EVENT_TYPES, Event

__all__ = ["FORMAT", "MAX_LINE_BYTES", "VERSION", "History", "HistoryHeader", "HistoryWriter", "read_history"]

FORMAT = "durable-ws-history"
VERSION = 1
MAX_LINE_BYTES = 8 * 1024 * 1024
"""The longest line that is read; the longest one written (a header with a contract and a scenario) is far below."""

E = TypeVar("E", bound=Event)

_END_OF_TIME_NS = 2**63
_HEADER_PREFIX = b'{"type":"header",'
_EVENT_PREFIX = b'{"type":"'
_encode = msgspec.json.Encoder(order=None).encode
_prefixes = {cls: _EVENT_PREFIX + name.encode() + b'",' for name, cls in EVENT_TYPES.items()}
_decoders: dict[bytes, Callable[[bytes], Event]] = {
    name.encode(): msgspec.json.Decoder(cls).decode for name, cls in EVENT_TYPES.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryHeader:
    """What line 1 says of the run, enough to check the rest without anything else.

    Attributes:
        seed: the run's seed.
        command: the command line, as a shell would take it.
        versions: program name to version: durable-ws, Python, the broker, the clients.
        case: the id of the case that was played.
        namespace: the short word in the case's names; empty where names stand as the contract gives them.
        contract: the contract as resolved, every key.
        broker: ``Broker.describe()``.
        scenario: the scenario as JSON; None where nothing was played (a user's own test).
    """

    seed: int
    command: str
    versions: dict[str, str]
    case: str
    namespace: str
    contract: dict[str, Any]
    broker: dict[str, Any]
    scenario: dict[str, Any] | None = None
    format: str = FORMAT
    version: int = VERSION


class HistoryWriter:
    """Takes events from any thread, numbers and times them, writes them, keeps them, hands them on.

    Implements :class:`conformance.history.recorder.Recorder`.

    Args:
        path: the file to write, replaced if it is there; None: no file.
        header: what its first line says.
        keep: whether ``events`` is to hold every event.
        clock: nanoseconds, never falling; events count from its value now.

    Raises:
        UsageError: the file can't be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        header: HistoryHeader,
        *,
        keep: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.header = header
        self.path = None if path is None else Path(path)
        self.events: list[Event] = []
        """Every event so far, in order, if ``keep``; else empty."""
        self._keep = keep
        self._clock = clock
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Event], object]] = []
        self._next_index = 0
        self._closed = False
        self._file: int | None = None
        if self.path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            try:
                self._file = os.open(self.path, flags, 0o644)
            except OSError as exc:
                raise UsageError(
                    str(self.path), f"can't be written: {exc.strerror}", "Choose a folder that exists and is yours"
                ) from exc
            self._write(_HEADER_PREFIX + _encode(header)[1:] + b"\n")
        self._start_ns = clock()

    def record(self, event_type: type[E], /, **fields: Any) -> E:
        """Make the event with the next index and the present time, keep it, and return it.

        After ``close`` the event is made and returned, but belongs to no history any more.

        Raises:
            HarnessError: the event can't be written as JSON, or the file can't be written.
        """
        with self._lock:
            event = event_type(index=self._next_index, time_ns=self._clock() - self._start_ns, **fields)
            if self._closed:
                return event
            if self._file is not None:
                try:
                    line = _prefixes[event_type] + _encode(event)[1:] + b"\n"
                except (TypeError, ValueError) as exc:
                    raise HarnessError(f"{event_type.__name__} can't be written to the history: {exc}") from exc
                self._write(line)
            self._next_index += 1
            if self._keep:
                self.events.append(event)
            for listener in self._listeners:
                listener(event)
            return event

    def subscribe(self, listener: Callable[[Event], object]) -> None:
        """Have ``listener`` called with each event from now on, in order, under the lock: it must not record."""
        with self._lock:
            self._listeners.append(listener)

    def close(self) -> None:
        """End the history. Safe to call twice."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        assert self._file is not None  # noqa: S101 - callers looked
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as exc:
            raise HarnessError(f"the history {self.path} can't be written: {exc.strerror}") from exc


@dataclass(slots=True)
class History:
    """A history file. Iterate to read its events, from the start each time, one at a time.

    Attributes:
        path: the file.
        header: its first line.
        torn: after an iteration that came to the end: what was wrong with a last line that a crash cut short, in
            one sentence; None where the file is whole.
    """

    path: Path
    header: HistoryHeader
    torn: str | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[Event]:
        """Yield the events in order.

        Raises:
            UsageError: a line is no event, or not the one that should follow.
        """
        self.torn = None
        expected, last_ns = 0, 0
        for number, line in _lines(self.path):
            if number == 1:
                continue
            try:
                event = _event(line)
            except (ValueError, RecursionError) as exc:
                if not line.endswith(b"\n"):
                    self.torn = f"line {number} is torn: the writer was ended while it wrote it"
                    return
                _refuse(self.path, number, f"is no event: {exc}")
            if event.index != expected:
                _refuse(self.path, number, f"has index {event.index} where {expected} should follow")
            if not last_ns <= event.time_ns < _END_OF_TIME_NS:
                _refuse(self.path, number, f"is out of time: {event.time_ns} ns after {last_ns} ns")
            expected, last_ns = expected + 1, event.time_ns
            yield event


def read_history(path: str | os.PathLike[str]) -> History:
    """Read the header of a history file; the events are read as the result is iterated.

    Raises:
        UsageError: the file can't be read, or its first line is no header of a format and version known here.
    """
    where = Path(path)
    _, line = next(_lines(where), (1, b""))
    if not line:
        raise UsageError(str(where), "is empty", "Give a history.jsonl that a run has written")
    if not line.startswith(_HEADER_PREFIX):
        _refuse(where, 1, f"is no header of a {FORMAT} file")
    try:
        raw = msgspec.json.decode(line)
        named = (raw.get("format"), raw.get("version")) if isinstance(raw, dict) else (None, None)
        if named != (FORMAT, VERSION):
            _refuse(where, 1, f"names format {named[0]!r} version {named[1]!r}; this is {FORMAT!r} version {VERSION}")
        return History(where, msgspec.convert(raw, HistoryHeader))
    except UsageError:
        raise
    except (ValueError, RecursionError) as exc:
        _refuse(where, 1, f"is no header: {exc}")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line with its newline); the last may lack the newline."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    _refuse(path, number, f"is longer than {MAX_LINE_BYTES:,} bytes")
                yield number, line
    except OSError as exc:
        raise UsageError(
            str(path), f"can't be read: {exc.strerror}", "Give a history.jsonl that a run has written"
        ) from exc


def _event(line: bytes) -> Event:
    """Decode one line. Raises ValueError (which every msgspec error is) or RecursionError."""
    end = line.find(b'"', 9)
    if not line.startswith(_EVENT_PREFIX) or end < 0:
        raise ValueError('it does not begin with {"type":"')
    decode = _decoders.get(line[9:end])
    if decode is None:
        raise ValueError(f"unknown type {line[9:end][:40].decode(errors='replace')!r}")
    return decode(line)


def _refuse(path: Path, number: int, problem: str) -> NoReturn:
    raise UsageError(
        f"{path}:{number}", f"the line {problem}", "Give the file as the run wrote it: it is not to be edited"
    )
