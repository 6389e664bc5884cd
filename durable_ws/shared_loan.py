"""A shared loan: the socket of a connection, lent to several threads, each of which publishes and awaits the confirm.

As with a :class:`Loan`, nobody has to wake the I/O thread, and to be woken by it. Who publishes puts the message into
the *outbox*, and writes what is there, unless another thread is at it, which looks there again. One of those that wait
reads the confirms of all, tells the others, and once its own has come has another one go on. Whatever is not exactly as
expected, and all that needs more than that, is the I/O thread's: the loan ends, and each message goes on there, as one
that was written or as one that was not.

The tokens are those of a :class:`Loan` (each is the one entry of a dict, and only one thread can pop it), and no thread
waits for one:

* *free*: a thread takes it to write what is in the outbox.
* *waiting*: a thread takes it to deal with what has been received, not while it waits for that.
* *reads*: who has it, or is made its *heir*, is the one thread that waits for the socket. Should an error of a signal
  handler strike that one, nobody reads; the others wait for a moment only, and have the loan ended.

The I/O thread ends the loan once it has *free* and *waiting*. A thread that holds one of these works for microseconds.
Should it be held up there for long, the I/O thread gives the connection up. Each message is in the outbox or among the
written ones, or for an instant in both, so that all of them go on without that thread.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial

from durable_ws.amqp.connection import Connection
from durable_ws.amqp.content import encode_content
from durable_ws.job import Job
from durable_ws.loan import HERE, Burden, Loan, patience_ms, suits
from durable_ws.message import Message
from durable_ws.outcome import Call
from durable_ws.receipt import Receipt

__all__ = ["SharedLoan"]

_new = tuple.__new__  # as Receipt() does it itself, without one more function
_RECEIVE_BYTES = 2048  # the confirms of a hundred
_CONFIRM_BYTES = len(Connection.confirm_of(1, 1))
_TAG = slice(11, 19)  # of a confirm; what stands before it is the same in each on a channel
_FRAME_END = 0xCE


class SharedLoan(Loan):
    """See the module. A loan that has ended stays so; the next one is another.

    Args:
        sock, channel, tag, exchanges, frame_max, give_back: see :class:`Loan`.
        window: the most unconfirmed messages.
    """

    def __init__(  # noqa: PLR0913, RUF100
        self,
        sock: socket.socket,
        *,
        channel: int,
        tag: int,
        exchanges: frozenset[str],
        frame_max: int,
        window: int,
        give_back: Callable[[Loan], None],
    ) -> None:
        super().__init__(
            sock, channel=channel, tag=tag, exchanges=exchanges, frame_max=frame_max, give_back=give_back
        )  # fmt: skip
        self._window = window
        self._before_tag = Connection.confirm_of(channel, 0)[: _TAG.start]
        self._waiting[HERE] = True
        self._reads = {HERE: True}
        self._heir: Call | None = None  # of the thread that reads next
        self._outbox: dict[Job, bytes] = {}  # in their order
        self._written: dict[int, Job] = {}  # by delivery tag, rising
        self._by_id: dict[str, Job] = {}  # both; a return names nothing but the id, so no two may have the same
        self._writer: Hashable | None = None
        self._reader: Hashable | None = None
        self._teller: Hashable | None = None  # has the token that the reader has put down
        self._has_free = self._has_waiting = False  # the I/O thread, for good
        self._over = False

    @property
    def under_way(self) -> int:
        """See :attr:`Loan.under_way`."""
        return len(self._by_id)

    @property
    def next_deadline(self) -> float:
        """See :attr:`Loan.next_deadline`."""
        return min((job.deadline for job in list(self._by_id.values())), default=math.inf)

    # --- the threads that publish -----------------------------------------------------------------

    def publish(
        self, message: Message, began: float, timeout_s: float, lane: Hashable, require_route: bool
    ) -> Receipt | None:
        """Publish a message and wait for its confirm; None: not this way, and nothing was done.

        Args:
            message, began, timeout_s, lane, require_route: see :meth:`Loan.publish`.

        Raises:
            PublishError: by the deadline.
        """
        if lane in (self._writer, self._reader):  # this is a signal handler, which has interrupted it
            self.wanted = True
            return None
        frames = self._frames(message)
        if frames is None:
            return None
        call = Call()
        job = Job(message, began, began + timeout_s, lane, require_route, call)
        if self._by_id.setdefault(message.message_id, job) is not job:
            return None
        self._outbox[job] = frames
        if self._over and self._outbox.pop(job, None) is not None:  # else the I/O thread has taken it
            self._by_id.pop(message.message_id, None)
            return None
        self._write(lane)
        self._wait(call, lane, timeout_s)
        return call.wait()

    def is_held_by_me(self) -> bool:
        """See :meth:`Loan.is_held_by_me`."""
        return threading.get_ident() in (self._writer, self._teller)

    def _frames(self, message: Message) -> bytes | None:
        if message.exchange not in self._exchanges or not suits(message):
            return None
        return encode_content(self._channel, message.address, message.header, message.body, self._frame_max)

    def _write(self, lane: Hashable) -> None:
        """Write what is in the outbox, as far as the window goes; or leave it to who is at it, and will look again."""
        held = False
        try:
            while self._outbox and len(self._written) < self._window and not self.ended:
                held = self._free.pop(HERE, False)  # an error right after it costs the connection: see Lender
                if not held:
                    return
                self._writer = lane
                goes_on = not self.ended and self._send_all()
                self._writer = None
                held = False
                if not self._put_down(self._free, goes_on=goes_on):
                    return
        except BaseException:  # of a signal handler, Ctrl-C for one: the messages go their way without their callers
            if held:
                self._struck(self._free)
            raise

    def _send_all(self) -> bool:
        """Write as much as may be, with one call to the system; False: the socket did not take it."""
        written, outbox, data = self._written, self._outbox, []
        for job in list(outbox):
            if len(written) >= self._window:
                break
            if self._over:  # the I/O thread has given up this loan, and whoever comes now goes another way
                return False
            written[self.tag] = job
            frames = outbox.pop(job, None)
            if frames is None:  # the I/O thread has taken it just now
                return False
            self.tag += 1
            data.append(frames)
        self.uses += len(data)
        frames = b"".join(data)
        try:
            sent = self._send(frames)
        except OSError as exc:
            self._bear(exc)
            sent = 0
        if sent < len(frames) and self.broken is None:
            self.unsent = frames[sent:]
        return sent == len(frames)

    def _wait(self, call: Call, lane: Hashable, timeout_s: float) -> None:
        """Until it is confirmed, or the loan ends; read, if nobody does, or as the heir of who did."""
        if call.done():
            return
        most_ms = patience_ms(timeout_s)
        if self._heir is not call and not self._reads.pop(HERE, False):
            woken = call.sleep(most_ms / 1000)
            if self._heir is not call:
                if not woken:
                    self._give_back(self)
                return
        self._read(call, lane, most_ms)

    def _read(self, call: Call, lane: Hashable, most_ms: int) -> None:
        """Tell whose confirms come, until one's own has."""
        held = False
        until = time.monotonic() + most_ms / 1000  # for one's own, however many others come
        try:
            self._reader, self._heir = lane, None
            while not (self._over or self.ended):
                left_ms = max(0, math.ceil((until - time.monotonic()) * 1000))
                came = call.done() or self._poll(left_ms)
                held = self._waiting.pop(HERE, False)
                if not held:  # the I/O thread has ended the loan meanwhile
                    break
                self._teller = lane
                goes_on = call.done() or (bool(came) and self._take_confirms() and (call.done() or left_ms > 0))
                self._teller = None
                held = False
                if not self._put_down(self._waiting, goes_on=goes_on):
                    break
                mine = call.done()
                if mine:
                    self._hand_over()
                self._write(lane)  # if the window was full
                if mine:
                    return
            self._reader = None
        except BaseException:
            if held:
                self._struck(self._waiting)
            elif self._waiting.pop(HERE, False):
                self._put_down(self._waiting, goes_on=False)
            raise

    def _take_confirms(self) -> bool:
        """Receive, and tell whose confirms have come; False: there is nothing, or something else."""
        try:
            data = self._recv(_RECEIVE_BYTES)
        except OSError as exc:
            self._bear(exc)
            return False
        if not data:
            return False
        self.received += data
        data, place, now, written = self.received, 0, time.monotonic(), self._written
        while place + _CONFIRM_BYTES <= len(data):
            tags = self._confirmed_by(data[place : place + _CONFIRM_BYTES], written)
            if not tags:
                break
            for tag in tags:
                job = written[tag]
                job.future.set_result(_new(Receipt, (job.message.message_id, True, 1, now - job.began)))
                del written[tag]  # once it was told: an error may strike
                self._by_id.pop(job.message.message_id, None)
            place += _CONFIRM_BYTES
        self.received = rest = data[place:]
        return len(rest) < _CONFIRM_BYTES and self._before_tag.startswith(rest[: _TAG.start])

    def _confirmed_by(self, confirm: bytes, written: dict[int, Job]) -> list[int]:
        """The tags of those that it confirms; none: it is something else, or not of ours."""
        tag, multiple = int.from_bytes(confirm[_TAG]), confirm[-2]
        if confirm[: _TAG.start] != self._before_tag or multiple > 1 or confirm[-1] != _FRAME_END:
            return []
        if multiple:
            return [known for known in list(written) if known <= tag]
        return [tag] if tag in written else []

    def _hand_over(self) -> None:
        """Have another one read, if there is one; once the token lies there."""
        self._reader = None
        while (call := self._next_call()) is None:
            self._reads[HERE] = True
            came = self._next_call() is not None  # just before the token was there
            if not came or not self._reads.pop(HERE, False):
                return
        self._heir = call
        call.rouse()

    def _next_call(self) -> Call | None:
        for job in list(self._by_id.values()):
            call = job.future
            if isinstance(call, Call) and not call.done():
                return call
        return None

    def _put_down(self, token: dict[str, bool], *, goes_on: bool) -> bool:
        """Put down a token; whether all goes on."""
        if not goes_on:
            self.ended = True
        token[HERE] = True
        if self.ended or self.wanted:  # looked at once it is there: the I/O thread takes it after it has set this
            self._give_back(self)
            return False
        return True

    def _struck(self, token: dict[str, bool]) -> None:
        self.broken = self.broken or "a publish was interrupted"
        self._put_down(token, goes_on=False)

    # --- the I/O thread ---------------------------------------------------------------------------

    def take_in(self, jobs: Sequence[Job]) -> bool:
        """See :meth:`Loan.take_in`."""
        if self.wanted or self.ended:
            return False
        entries: list[tuple[Job, bytes, Call]] = []
        for job in jobs:
            call, frames, message_id = job.future, self._frames(job.message), job.message.message_id
            if not isinstance(call, Call) or frames is None or self._by_id.setdefault(message_id, job) is not job:
                for before, _, _ in entries:
                    del self._by_id[before.message.message_id]
                return False
            entries.append((job, frames, call))
        for job, frames, call in entries:
            call.then = partial(self._go_on, job, call)
            self._outbox[job] = frames
        self._write(None)
        for _, _, call in entries:
            call.rouse()
        return True

    def _go_on(self, job: Job, call: Call) -> None:
        self._wait(call, job.lane, max(0.0, job.deadline - time.monotonic()))

    def take(self) -> bool:
        """See :meth:`Loan.take`."""
        if not self._take_both():
            self.wanted = True
            return self._take_both()
        return True

    def _take_both(self) -> bool:
        if not self._has_free and self._free.pop(HERE, False):
            self._has_free = True
        if not self._has_waiting and self._waiting.pop(HERE, False):
            self._has_waiting = True
        if not (self._has_free and self._has_waiting):
            return False
        self._over = True
        return True

    def surrender(self) -> Burden:
        """See :meth:`Loan.surrender`."""
        self._over = True
        unwritten = []
        while self._outbox:
            unwritten += [job for job in list(self._outbox) if self._outbox.pop(job, None) is not None]
        written, self._written = self._written, {}
        self._by_id.clear()
        left = []
        for tag in list(written):
            job = written.get(tag)
            if job is None or job in unwritten:
                continue
            if job.future.done():  # an error has struck who was telling it
                job.rouse()
            else:
                left.append((tag, job))
        return Burden(left, unwritten)

    def rescue(self) -> Burden:
        """See :meth:`Loan.rescue`: it is all that is under way."""
        return self.surrender()
