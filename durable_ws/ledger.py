"""The confirm ledger: what has become of every message of one channel, over its reconnects.

Pure: no I/O, no clock, no randomness. The caller tells what happened (``publish``, ``write``, ``ack``, ``nack``,
``returned``, ``lost``, …, each with the time where it matters) and takes what was settled from :meth:`Ledger.settled`;
every publish is settled exactly once.

What it must cope with (https://www.rabbitmq.com/docs/confirms, and measured):

* Confirms do not come in the order of their tags; a tag speaks for earlier ones only if ``multiple`` is set.
* A return comes before its confirm and carries no tag, so it is found by its message id. Therefore two messages of
  the same id are never unconfirmed on the channel at once: the second waits until the broker has answered the first.
* Where the channel is lost, what was unconfirmed is written again under the same message id. What was unconfirmed
  when the *broker* closed the channel for an error is written again one at a time, after its exchange was declared
  anew; so the next such error names its message.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Entry", "Fate", "Ledger", "Settled"]

_K = TypeVar("_K")

_STALE = 64  # so many settled messages may stand in the queues, or as many as there are others


class Fate(Enum):
    """What is known of a message in the end."""

    CONFIRMED = "confirmed"
    RETURNED = "returned"
    NACKED = "nacked"
    REFUSED = "refused"
    NOT_SENT = "not sent"
    UNKNOWN = "unknown"


class Settled(NamedTuple, Generic[_K]):
    """The one event of each publish. ``reason`` is empty for CONFIRMED; ``attempts`` counts the writes.

    NOT_SENT and REFUSED mean that the broker certainly does not have it: it was never written, or every attempt was
    returned or refused. RETURNED tells of the last attempt, and its reason of a doubt about earlier ones.
    """

    key: _K
    fate: Fate
    attempts: int
    reason: str


class Entry(Generic[_K]):
    """A message in the ledger; only good for :meth:`Ledger.cancel`."""

    __slots__ = (
        "alone", "attempts", "behind", "deadline", "doubts", "exchange", "key", "message_id", "return_text", "settled",
    )  # fmt: skip

    def __init__(self, key: _K, message_id: str, exchange: str, deadline: float) -> None:
        self.key: _K | None = key  # None once settled, so that nothing of the caller's is held
        self.message_id = message_id
        self.exchange = exchange
        self.deadline = deadline
        self.attempts = 0
        self.doubts = 0  # attempts that the broker may have taken
        self.return_text: str | None = None  # of the present attempt
        self.alone = False
        self.settled = False
        self.behind: deque[Entry[_K]] | None = None  # same message id, waiting for the present attempt's answer


class Ledger(Generic[_K]):
    """The bookkeeping of one channel.

    Args:
        window: the most messages that are unconfirmed on the channel at once, at least 1.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._open = False
        self._blocked: str | None = None
        self._trouble = "no connection yet"
        self._declared: set[str] = set()
        self._undeclared: dict[str, deque[Entry[_K]]] = {}  # by exchange, in order of arrival
        self._ready: deque[Entry[_K]] = deque()  # in order of arrival; what is settled is skipped
        self._stale = 0  # settled ones in the two above and behind others, at most
        self._unconfirmed: dict[int, Entry[_K]] = {}  # by delivery tag, rising; settled ones stay until answered
        self._alone = False  # what is unconfirmed is one message that must be alone
        self._by_id: dict[str, Entry[_K]] = {}  # the unconfirmed by message id
        self._next_tag = 1
        self._deadlines: deque[Entry[_K]] = deque()  # as long as they come in order, which is nearly always
        self._odd_deadlines: list[tuple[float, int, Entry[_K]]] = []  # the others, a heap
        self._unsettled = 0
        self._events: list[Settled[_K]] = []
        self._arrival = itertools.count()

    # --- what the caller asks ---------------------------------------------------------------------

    @property
    def unsettled(self) -> int:
        """How many publishes have no fate yet."""
        return self._unsettled

    @property
    def unconfirmed(self) -> int:
        """How many writes the broker has not answered on the present channel; includes those past their deadline."""
        return len(self._unconfirmed)

    @property
    def undeclared(self) -> list[str]:
        """The exchanges that something waits for; answer with :meth:`declared` or :meth:`exchange_refused`."""
        if not self._undeclared:
            return []
        return [name for name, entries in self._undeclared.items() if any(not entry.settled for entry in entries)]

    def next_deadline(self) -> float | None:
        """When :meth:`tick` will have something to do; None: never."""
        in_order, odd = self._deadlines, self._odd_deadlines
        while in_order and in_order[0].settled:
            in_order.popleft()
        while odd and odd[0][2].settled:
            heapq.heappop(odd)
        if not odd:
            return in_order[0].deadline if in_order else None
        return min(in_order[0].deadline, odd[0][0]) if in_order else odd[0][0]

    def settled(self) -> list[Settled[_K]]:
        """What was settled since the last call, in that order. Call it after every input."""
        events = self._events
        if events:
            self._events = []
        return events

    def is_idle(self, exchange: str) -> bool:
        """Whether nothing is under way, and a message for this exchange could be written at once."""
        return (
            self._open
            and not self._unsettled
            and not self._unconfirmed
            and self._blocked is None
            and exchange in self._declared
        )

    @property
    def declared_exchanges(self) -> AbstractSet[str]:
        """Those that are known to be there, at present."""
        return self._declared

    @property
    def next_tag(self) -> int:
        """The tag of the next write on the present channel."""
        return self._next_tag

    # --- inputs -----------------------------------------------------------------------------------

    def publish(self, key: _K, message_id: str, exchange: str, deadline: float) -> Entry[_K]:
        """Take in a message. ``key`` is the caller's, unique; ``deadline`` is on the clock of :meth:`tick`.

        Returns:
            What :meth:`cancel` takes.
        """
        entry = Entry(key, message_id, exchange, deadline)
        self._expect_by(entry)
        self._queue(entry)
        return entry

    def cancel(self, entry: Entry[_K], reason: str) -> None:
        """The caller wants no more of it: it is settled now, as unknown if it was written, and else never written."""
        self._settle(entry, Fate.UNKNOWN if entry.doubts else Fate.NOT_SENT, reason)

    def opened(self) -> None:
        """A channel in confirm mode is open; its first write has tag 1. Nothing is declared on it yet."""
        self._open = True
        self._next_tag = 1

    def declared(self, exchange: str) -> None:
        """The exchange is known to be there: what waits for it goes ahead, in order."""
        self._declared.add(exchange)
        self._ready.extend(self._undeclared.pop(exchange, ()))

    def exchange_refused(self, exchange: str, reason: str) -> None:
        """The broker refused to declare or find the exchange: nothing that waits for it can be published."""
        for entry in self._undeclared.pop(exchange, ()):
            self._settle(entry, Fate.UNKNOWN if entry.doubts else Fate.REFUSED, reason)

    def write(self) -> _K | None:
        """The key of the message to write now, which counts as written from this call on; None: nothing may be."""
        ready, unconfirmed = self._ready, self._unconfirmed
        if not ready or not self._open or self._blocked is not None or self._alone or len(unconfirmed) >= self._window:
            return None
        while ready:
            entry = ready[0]
            if entry.alone and unconfirmed and not entry.settled:
                return None
            ready.popleft()
            if entry.settled:
                continue
            holder = self._by_id.get(entry.message_id)
            if holder is not None:
                if holder.behind is None:
                    holder.behind = deque()
                holder.behind.append(entry)
                continue
            entry.attempts += 1
            entry.doubts += 1
            entry.return_text = None
            unconfirmed[self._next_tag] = entry
            self._by_id[entry.message_id] = entry
            self._next_tag += 1
            self._alone = entry.alone
            return entry.key
        return None

    def write_alone(self) -> None:
        """A message is written with the next tag, without an entry here; only while :meth:`is_idle`.

        If its confirm comes before anything else happens, that is all; else :meth:`adopt` it first.
        """
        self._next_tag += 1

    def skip_to(self, tag: int) -> None:
        """Others have written on the channel while nothing was under way here: the next tag is this one."""
        self._next_tag = tag

    def adopt(self, key: _K, message_id: str, exchange: str, deadline: float, tag: int | None) -> Entry[_K]:
        """Take in a message that was written already, once, and not answered yet; as :meth:`publish`.

        ``tag`` is that of :meth:`write_alone`, or None: the channel on which it was written is lost.
        """
        entry = Entry(key, message_id, exchange, deadline)
        entry.attempts = entry.doubts = 1
        self._expect_by(entry)
        if tag is None:
            self._queue(entry)
        else:
            self._unconfirmed[tag] = entry
            self._by_id[message_id] = entry
        return entry

    def unwritten(self, reason: str) -> None:
        """What the last :meth:`write` told to write can't be said on this connection: it is refused, and not written.

        Call it right after that write.
        """
        self._next_tag -= 1
        (entry,) = self._answered(self._next_tag, multiple=False)
        entry.attempts -= 1
        entry.doubts -= 1
        self._settle(entry, Fate.UNKNOWN if entry.doubts else Fate.REFUSED, reason)

    def returned(self, message_id: str | None, text: str) -> None:
        """basic.return came for the message of that id; ``text`` is the broker's, such as ``NO_ROUTE``."""
        entry = self._by_id.get(message_id) if message_id is not None else None
        if entry is not None and entry.return_text is None:
            entry.return_text = text
            entry.doubts -= 1

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """basic.ack came; ``multiple`` speaks for every unconfirmed tag up to this one (tag 0: for all)."""
        for entry in self._answered(tag, multiple=multiple):
            if entry.return_text is None:
                self._settle(entry, Fate.CONFIRMED, "")
            else:
                doubt = "; an earlier attempt, whose confirm never came, may have found one" if entry.doubts else ""
                self._settle(entry, Fate.RETURNED, f"no queue is bound for it ({entry.return_text}){doubt}")

    def nack(self, tag: int, *, multiple: bool = False) -> None:
        """basic.nack came; ``multiple`` as with :meth:`ack`."""
        for entry in self._answered(tag, multiple=multiple):
            self._settle(entry, Fate.NACKED, "the broker could not take responsibility for it (basic.nack)")

    def blocked(self, reason: str) -> None:
        """connection.blocked came: the broker has an alarm, and nothing more is written until :meth:`unblocked`."""
        self._blocked = reason

    def unblocked(self) -> None:
        """connection.unblocked came."""
        self._blocked = None

    def trouble(self, reason: str) -> None:
        """Why there is no channel at present, for the errors at the deadline."""
        self._trouble = reason

    def lost(self, reason: str) -> None:
        """The connection is gone: what is unconfirmed is written again on the next one, before all else."""
        self._blocked = None
        self._lose_channel(reason)

    def _lose_channel(self, reason: str) -> None:
        self._trouble = reason
        self._open = False
        again: deque[Entry[_K]] = deque()
        for entry in self._unconfirmed.values():
            again.append(entry)
            again.extend(entry.behind or ())
            entry.behind = None
        again.extend(self._ready)
        self._ready.clear()
        self._unconfirmed.clear()
        self._alone = False
        self._by_id.clear()
        self._declared.clear()
        for entry in again:
            if not entry.settled:
                self._queue(entry)

    def poisoned(self, reason: str) -> None:
        """The broker closed the channel for an error of something that was written on it.

        An alarm goes on: the broker does not tell of it again. Should the connection have gone, too, call :meth:`lost`
        besides.

        A message that was alone on the channel for this reason already is the culprit, and settled. The others are
        written again, each alone.
        """
        suspects = list(self._unconfirmed.values())
        if len(suspects) == 1 and suspects[0].return_text is None:
            suspects[0].doubts -= 1  # certainly not taken: it is what the broker refused
        for entry in suspects:
            if entry.alone:
                self._settle(entry, Fate.UNKNOWN if entry.doubts else Fate.REFUSED, reason)
            entry.alone = True
        self._lose_channel(reason)

    def refused(self, reason: str) -> None:
        """The broker refuses the connection for good (login, vhost): nothing that waits can be published."""
        self.lost(reason)
        self._give_up(math.inf, reason, unwritten=Fate.REFUSED)

    def tick(self, now: float) -> None:
        """The clock: whatever is at or past its deadline is settled with what is known of it."""
        self._give_up(now, None, unwritten=Fate.NOT_SENT)

    def close(self, reason: str) -> None:
        """Give up on everything that is not settled yet."""
        self._give_up(math.inf, reason, unwritten=Fate.NOT_SENT)

    # --- inside -----------------------------------------------------------------------------------

    def _expect_by(self, entry: Entry[_K]) -> None:
        """From here on it is unsettled, until its deadline at most."""
        self._unsettled += 1
        if self._deadlines and entry.deadline < self._deadlines[-1].deadline:
            heapq.heappush(self._odd_deadlines, (entry.deadline, next(self._arrival), entry))
        else:
            self._deadlines.append(entry)

    def _queue(self, entry: Entry[_K]) -> None:
        """Line the message up to be written; one whose exchange is not declared stays out of the others' way."""
        if entry.exchange in self._declared:
            self._ready.append(entry)
        else:
            self._undeclared.setdefault(entry.exchange, deque()).append(entry)

    def _answered(self, tag: int, *, multiple: bool) -> list[Entry[_K]]:
        """Take what an answer speaks for off the channel, in the order of the tags."""
        unconfirmed, by_id = self._unconfirmed, self._by_id
        if not multiple:
            entry = unconfirmed.pop(tag, None)
            if entry is None:
                return []
            del by_id[entry.message_id]
            entries = [entry]
        else:
            tags = list(itertools.takewhile(lambda known: known <= tag or tag == 0, unconfirmed))
            entries = [unconfirmed.pop(known) for known in tags]
            for entry in entries:
                del by_id[entry.message_id]
        if not unconfirmed:
            self._alone = False
        for entry in reversed(entries):
            if entry.behind:
                self._ready.extendleft(reversed(entry.behind))
                entry.behind = None
        return entries

    def _give_up(self, until: float, reason: str | None, *, unwritten: Fate) -> None:
        while (deadline := self.next_deadline()) is not None and deadline <= until:
            odd = self._odd_deadlines
            entry = heapq.heappop(odd)[2] if odd and odd[0][0] == deadline else self._deadlines.popleft()
            fate = Fate.UNKNOWN if entry.doubts else unwritten
            self._settle(entry, fate, reason or self._why_late(entry))

    def _why_late(self, entry: Entry[_K]) -> str:
        """What stood in the way of a message at its deadline."""
        if self._blocked is not None:
            return f"the deadline passed while the broker blocks publishers ({self._blocked})"
        if not self._open:
            return f"the deadline passed without a connection ({self._trouble})"
        if entry.attempts:
            return "the deadline passed without a confirm"
        if entry.exchange not in self._declared:
            return f"the deadline passed before the broker answered the declaration of {entry.exchange!r}"
        return f"the deadline passed while {len(self._unconfirmed)} earlier messages were unconfirmed"

    def _settle(self, entry: Entry[_K], fate: Fate, reason: str) -> None:
        key = entry.key
        if key is None:  # settled before
            return
        entry.settled = True
        entry.key = None
        self._unsettled -= 1
        self._events.append(Settled(key, fate, entry.attempts, reason))
        if fate is not Fate.CONFIRMED:
            self._stale += 1
            if self._stale > max(_STALE, self._unsettled):
                self._sweep()

    def _sweep(self) -> None:
        """Let go of settled messages that still stand in the queues, so that they do not pile up while nothing can be
        written."""
        self._stale = 0
        queues = [self._ready, *self._undeclared.values(), *(e.behind for e in self._unconfirmed.values() if e.behind)]
        for queue in queues:
            waiting = [entry for entry in queue if not entry.settled]
            queue.clear()
            queue.extend(waiting)
        for name in [name for name, queue in self._undeclared.items() if not queue]:
            del self._undeclared[name]
