"""A loan: the socket of a connection with nothing under way, lent to threads that publish one message at a time.

The thread writes its message and reads the confirm by itself, where it would wake the I/O thread else, and be woken by
it: twice the time of the rest. Whatever is not exactly as expected, and all that needs more than that, is the I/O
thread's: the loan ends, and the message goes on there as one that was written.

Who holds the socket is decided by two tokens. Each is the one entry of a dict while it lies there, and only one thread
can pop it. (A lock that nobody waits for would do the same, at several times the cost; a list would raise an error if
it is empty, and a signal handler may raise the same.)

* *free*: a thread takes it to publish, or the I/O thread to end the loan.
* *waiting*: a thread puts it down while it waits for the confirm, so that the I/O thread can end the loan then too, and
  with it the wait: another message may have come, or the broker may be slow. So a signal handler that interrupts the
  waiting thread may publish.

A thread that holds one of them works for microseconds. Should it be held up there for long (by a signal handler that
publishes), the I/O thread gives the connection up, and all goes on with a new one.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from durable_ws.amqp.connection import Connection
from durable_ws.amqp.content import encode_content
from durable_ws.interrupts import is_of_the_call
from durable_ws.job import Job
from durable_ws.message import Message
from durable_ws.outcome import Call
from durable_ws.receipt import Receipt

__all__ = ["CAN_LEND", "HERE", "Burden", "Loan", "patience_ms", "suits"]

CAN_LEND = hasattr(select, "poll")
"""Whether this system (not Windows) has what a loan needs."""

HERE = "here"
"""The entry of a token, while it lies there."""

_new = tuple.__new__  # as Receipt() does it itself, without one more function
_PATIENCE_MS = 20  # a confirm that takes longer is not worth a thread's attention
_MOST_BYTES = 64 * 1024  # what a socket takes at once, more or less
_RECEIVE_BYTES = 64  # a confirm, and a bit: what more has come, the I/O thread reads


def suits(message: Message) -> bool:
    """Whether it may go this way."""
    return len(message.body) <= _MOST_BYTES


def patience_ms(timeout_s: float) -> int:
    """How long to wait for a confirm, where the deadline is in so many seconds."""
    return _PATIENCE_MS if timeout_s * 1000 > _PATIENCE_MS else int(timeout_s * 1000)


class Burden(NamedTuple):
    """What is under way on a loan.

    Attributes:
        written: by their delivery tags, rising.
        unwritten: and to be, in their order.
    """

    written: list[tuple[int, Job]]
    unwritten: list[Job]

    @property
    def jobs(self) -> list[Job]:
        """All of them."""
        return [*(job for _, job in self.written), *self.unwritten]


class Loan:
    """See the module. A loan that has ended stays so; the next one is another.

    Args:
        sock: a handle of the socket, of the loan's own; it does not block.
        channel: to publish on.
        tag: of the next message.
        exchanges: those that may be published to.
        frame_max: the largest frame in bytes; 0: no limit.
        give_back: called by a thread that has ended the loan, or finds it wanted.
    """

    def __init__(  # noqa: PLR0913, RUF100
        self,
        sock: socket.socket,
        *,
        channel: int,
        tag: int,
        exchanges: frozenset[str],
        frame_max: int,
        give_back: Callable[[Loan], None],
    ) -> None:
        self._socket = sock
        self._channel = channel
        self._exchanges = exchanges
        self._frame_max = frame_max
        self._give_back = give_back
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        self._send, self._recv, self._poll = sock.send, sock.recv, poll.poll
        self._free = {HERE: True}
        self._waiting: dict[str, bool] = {}
        self._holder: Hashable | None = None  # the thread that is at work or waits
        self.tag = tag
        """Of the next message."""
        self.job: Job | None = None
        """What was written and not confirmed; who ends the loan takes it over, with the tag before."""
        self.unsent = b""
        """What the socket did not take of it."""
        self.received = b""
        """What came instead of the confirm."""
        self.broken: str | None = None
        """Why the connection is of no use any more."""
        self.wanted = False
        """Set by the I/O thread: to be given back by whoever has it."""
        self.ended = False
        """Set by a thread that has ended it."""
        self.uses = 0
        """How many messages went this way."""

    @property
    def under_way(self) -> int:
        """How many messages are under way. Any thread may look."""
        return 0 if self.job is None else 1

    @property
    def next_deadline(self) -> float:
        """The earliest of what is under way, infinite if nothing is. Any thread may look."""
        job = self.job
        return math.inf if job is None else job.deadline

    # --- the threads that publish -----------------------------------------------------------------

    def publish(  # noqa: C901 - each function on this path is one more to be cold
        self, message: Message, began: float, timeout_s: float, lane: Hashable, require_route: bool
    ) -> Receipt | None:
        """Publish a message and wait for its confirm; None: not this way, and nothing was done.

        Before the write comes only what it takes, and all else while the broker is at it: after each wait the
        processor's caches hold little of this, and a step costs several times of what it does in a loop.

        Args:
            message, began, lane, require_route: as of a :class:`Job`; the lane is the number of this thread.
            timeout_s: from then to the deadline.

        Raises:
            PublishError: by the deadline.
        """
        if message.exchange not in self._exchanges or not suits(message):
            return None
        frames = encode_content(self._channel, message.address, message.header, message.body, self._frame_max)
        if frames is None:
            return None
        held, tag, job = False, 0, None
        try:
            held = self._free.pop(HERE, False)  # an error right after it costs the connection: see Lender
            if not held:
                return None
            self._holder = lane
            self.uses += 1
            tag = self.tag
            self.tag = tag + 1  # from here on it may have been written
            try:
                sent = self._send(frames)
            except OSError as exc:
                self._bear(exc)
                sent = 0
            call = Call()
            self.job = job = Job(message, began, began + timeout_s, lane, require_route, call)
            if sent == len(frames):
                confirm = Connection.confirm_of(self._channel, tag)
                self._waiting[HERE] = True
                came = self._poll(patience_ms(timeout_s))
                if not self._waiting.pop(HERE, False):
                    held = False  # the I/O thread has ended the loan meanwhile
                elif came and (data := self._receive()) != confirm:
                    self.received = data
                elif came:
                    self.job = self._holder = None
                    held = False
                    self._free[HERE] = True
                    if self.wanted:  # looked at once the token is there: the I/O thread takes it after it has set this
                        self._give_back(self)
                    return _new(Receipt, (message.message_id, True, 1, time.monotonic() - began))
            elif self.broken is None:
                self.unsent = frames[sent:]
            if held:
                self._end()
        except BaseException:  # of a signal handler, Ctrl-C for one: the message goes its way without its caller
            if held:
                if job is None and self.tag > tag > 0:
                    self.job = Job(message, began, began + timeout_s, lane, require_route, Call())
                self._interrupted()
            raise
        return call.wait()

    def _interrupted(self) -> None:
        if not (_take(self._waiting) or self.ended or self.broken):
            self.broken = "a publish was interrupted"
        self._end()

    def _receive(self) -> bytes:
        try:
            return self._recv(_RECEIVE_BYTES)
        except OSError as exc:
            self._bear(exc)
            return b""

    def _bear(self, error: OSError) -> None:
        """The connection bears one error: that the socket would have to wait."""
        if not is_of_the_call(error):
            raise error
        if not isinstance(error, BlockingIOError):
            self.broken = str(error)

    def is_held_by_me(self) -> bool:
        """Whether this thread is at work with the loan, or waits: so a signal handler asks that has interrupted it."""
        return self._holder == threading.get_ident()

    def _end(self) -> None:
        self.ended = True
        self._give_back(self)

    # --- the I/O thread ---------------------------------------------------------------------------

    def take_in(self, jobs: Sequence[Job]) -> bool:  # noqa: ARG002 - a shared loan asks
        """Go on with these as with those that are published here, if all of them can be: not with this one."""
        return False

    def take(self) -> bool:
        """End the loan, unless a thread is at work with it at this moment; that one then gives it back."""
        if self.ended or _take(self._free) or _take(self._waiting):
            return True
        self.wanted = True
        return self.ended or _take(self._free) or _take(self._waiting)

    def surrender(self) -> Burden:
        """What is under way, of a loan that has ended; it is so no longer here."""
        job, self.job = self.job, None
        return Burden([] if job is None else [(self.tag - 1, job)], [])

    def rescue(self) -> Burden:
        """What of it can go on without the thread that is at work, once the connection was given up."""
        return Burden([], [])

    def close(self) -> None:
        """Close the handle; once it has ended."""
        with contextlib.suppress(OSError):
            self._socket.close()


def _take(token: dict[str, bool]) -> bool:
    return token.pop(HERE, False)
