"""How a program under soak tells what happens to it: a line for each record on its standard output."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import queue
import sys
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from benchmarks.soak_publishers.records import (
    CallBegun,
    CallEnded,
    Census,
    ConnectionFact,
    Held,
    MessageBegun,
    Observed,
    Record,
    Trouble,
    encode,
)
from durable_ws import Observer
from durable_ws.observe import Blocked, Connected, Disconnected, MessageSettled, MessageTaken, Unblocked

__all__ = ["Teller", "Watcher", "census", "held", "watch_logs"]


class Teller:
    """Writes records in a thread of its own, so that no caller waits for the pipe. Safe for threads.

    Args:
        out: takes the lines.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._records: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        self._thread = threading.Thread(target=self._write, name="teller", daemon=True)
        self._thread.start()

    def tell(self, record: Record) -> None:
        """Tell it, after all that was told before."""
        self._records.put(record)

    def begin(self, way: str) -> int:
        """A call begins; its number."""
        call = next(self._numbers)
        self.tell(CallBegun(call, way))
        return call

    def message(self, call: int, tag: str, key: str, message_id: str | None) -> None:
        """A message is handed to the publisher next."""
        self.tell(MessageBegun(call, tag, key, message_id))

    def end(self, call: int, deadlines: Iterable[tuple[float, float]]) -> None:
        """A call has ended.

        Args:
            call: its number.
            deadlines: when something was due and when it came, on :func:`time.monotonic`; the latest of them counts.
        """
        self.tell(CallEnded(call, max((came - due for due, came in deadlines), default=0.0)))

    def close(self) -> None:
        """Write what is left."""
        self._records.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (record := self._records.get()) is not None:
            lines = [encode(record)]
            while not self._records.empty():
                more = self._records.get()
                if more is None:
                    self._records.put(None)
                    break
                lines.append(encode(more))
            self._out.write(b"".join(lines))
            self._out.flush()


class Watcher(Observer):
    """Tells what the publisher tells its observer, and counts what it was not told the end of.

    Args:
        teller: is told.
    """

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._lock = threading.Lock()
        self._open: set[MessageTaken] = set()

    @property
    def unsettled(self) -> int:
        """How many messages were taken and are not settled."""
        with self._lock:
            return len(self._open)

    def connected(self, fact: Connected, /) -> None:  # noqa: ARG002
        """See :class:`Observer`."""
        self._teller.tell(ConnectionFact("connected", ""))

    def disconnected(self, fact: Disconnected, /) -> None:
        """See :class:`Observer`."""
        self._teller.tell(ConnectionFact("lost" if fact.opened else "not connected", fact.reason))

    def blocked(self, fact: Blocked, /) -> None:
        """See :class:`Observer`."""
        self._teller.tell(ConnectionFact("blocked", fact.reason))

    def unblocked(self, fact: Unblocked, /) -> None:  # noqa: ARG002
        """See :class:`Observer`."""
        self._teller.tell(ConnectionFact("unblocked", ""))

    def taken(self, fact: MessageTaken, /) -> None:
        """See :class:`Observer`."""
        with self._lock:
            self._open.add(fact)

    def settled(self, fact: MessageSettled, /) -> None:
        """See :class:`Observer`."""
        message = fact.message
        with self._lock:
            known = message in self._open
        if not known:
            self._teller.tell(Trouble(f"the observer was told twice that message {message.message_id} is settled"))
        self._teller.tell(Observed(message.message_id, message.routing_key, fact.outcome, fact.attempts))
        with self._lock:
            self._open.discard(message)  # last: who finds none open takes it that all was told


def watch_logs(teller: Teller) -> None:
    """Tell what is logged as an error or warned of, by whomever; the publisher's log of its connections is expected."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = f"{record.name}: {record.getMessage()}"
            if record.exc_info and record.exc_info[1] is not None:
                text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
            teller.tell(Trouble(text))

    logging.getLogger().addHandler(Handler(logging.WARNING))
    connections = logging.getLogger("durable_ws.connection")
    connections.addHandler(logging.NullHandler())
    connections.propagate = False
    logging.captureWarnings(capture=True)
    warnings.simplefilter("always")
    threading.excepthook = lambda failed: teller.tell(
        Trouble(f"{failed.thread.name if failed.thread else 'a thread'} failed: {failed.exc_value!r}")
    )
    sys.unraisablehook = lambda failed: teller.tell(Trouble(f"{failed.err_msg}: {failed.exc_value!r}"))


def held(round_: int, watcher: Watcher) -> Held:
    """All callers of a round are done: what is left."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Held(round_, watcher.unsettled, pages * os.sysconf("SC_PAGE_SIZE"), sys.getallocatedblocks())


def census(when: str, tasks: Iterable[str] = ()) -> Census:
    """What this process holds now."""
    gc.collect()
    descriptors = []
    for path in Path("/proc/self/fd").iterdir():
        try:
            descriptors.append(str(path.readlink()).partition(":[")[0])
        except OSError:
            continue  # the one that listed the folder
    return Census(when, sorted(thread.name for thread in threading.enumerate()), sorted(tasks), sorted(descriptors))
