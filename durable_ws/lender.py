"""When a pool lends a connection to the threads that publish, and what becomes of the loans (:mod:`durable_ws.loan`).

It is lent while one thread publishes one message after the other, each soon after the confirm of the one before; or to
several that do so, in company (:mod:`durable_ws.shared_loan`). It is taken back once anything else is to be published,
nobody has used it for a moment, or the pool is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum

from durable_ws.job import Job
from durable_ws.ledger import Fate
from durable_ws.links import Links
from durable_ws.loan import CAN_LEND, Burden, Loan, suits
from durable_ws.loop import tell
from durable_ws.outcome import Call
from durable_ws.shared_loan import SharedLoan

__all__ = ["ENDED", "Lender", "Share"]

_SOON_S = 0.02  # a message that comes so soon after the confirm of the one before is of a thread that waits for each
_IN_A_ROW = 8  # from so many of these on the connection is lent
_UNUSED_S = 0.1  # a loan that nobody has used for so long ends: nobody would hear the broker
_AT_WORK_S = 1.0  # a thread that is at work with a loan for so long, instead of microseconds, is held up
_AT_WORK_LEAST_S = 0.05  # or for so long, where somebody has no more time

_IN_COMPANY = 64  # messages of several threads that wait for each, one after the other: from so many on it is shared
_MOST_IN_COMPANY = 64 * 1024  # from twice as many each time, and so many at most, where that has not been worth it
_WORTH_IT = 1000  # it was worth it with so many messages
_DRAIN_S = 0.02  # what is under way before a connection is shared is confirmed by then, or it is not worth it

ENDED = "the publisher's I/O thread has ended"
"""The reason of what is settled after its end."""


class Share(Enum):
    """What becomes of messages that several threads wait for."""

    DONE = "they go by the loan"
    SOON = "they are left where they are for a moment, until nothing is under way"
    NO = "the usual way"


class Lender:
    """Lends a connection of a pool. All but :attr:`loan` is the I/O thread's.

    Args:
        loop: of the I/O thread.
        links: of the pool.
        on_joined: is told of a message that was under way on a loan, and is among those of the links from here on.
        on_ended: called when a loan has ended that could not be ended at once.
        wanted: whether it should lend at all.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        links: Links,
        *,
        on_joined: Callable[[Job], None],
        on_ended: Callable[[], None],
        wanted: bool,
    ) -> None:
        self._loop = loop
        self._links = links
        self._on_joined = on_joined
        self._on_ended = on_ended
        self._wanted = wanted and CAN_LEND
        self._uses = 0  # of the present loan, when it was last looked at
        self._timer: asyncio.TimerHandle | None = None
        self._awaited: Loan | None = None  # to be given back by the thread that is at work with it
        self._awaited_until = math.inf
        self._given_back: deque[Loan] = deque()  # by threads, and not yet dealt with
        self._given_up: list[Loan] = []  # and not given back: their threads are held up, or an error has struck them
        self._in_a_row = 0
        self._in_company = 0
        self._from = _IN_COMPANY  # it is shared
        self._drain_until: float | None = None
        self._settled_at = -math.inf
        self._over = False
        self.loan: Loan | None = None
        """The present one. Any thread may look, and publish with it."""

    @property
    def under_way(self) -> int:
        """How many messages are under way on the loan. Any thread may look."""
        loan = self.loan
        return 0 if loan is None else loan.under_way

    def count(self, jobs: Sequence[Job]) -> None:
        """These are taken in next: is it one thread that publishes, and waits for each confirm?"""
        if len(jobs) == 1 and self._links.is_idle and _waits(jobs[0]):
            soon = jobs[0].began - self._settled_at < _SOON_S
            self._in_a_row = self._in_a_row + 1 if soon else 0
        elif jobs:
            self._in_a_row = 0
            self._in_company = self._in_company + len(jobs) if all(map(_waits, jobs)) else 0

    @property
    def drains(self) -> bool:
        """Whether it shares once nothing is under way."""
        return self._drain_until is not None

    def share(self, jobs: Sequence[Job]) -> Share:
        """These are to be taken in: by a loan that several threads share?"""
        if self.loan is None and self._in_company >= self._from and self._wanted and all(map(_waits, jobs)):
            if not self._links.is_idle:
                return self._drain(jobs)
            self._in_company = 0
            self._lend(shared=True)
        self._drain_until = None
        return Share.DONE if self.loan is not None and self.loan.take_in(jobs) else Share.NO

    def _drain(self, jobs: Sequence[Job]) -> Share:
        now = time.monotonic()
        if self._drain_until is None:
            self._drain_until = now + _DRAIN_S
            self._loop.call_later(_DRAIN_S, self._on_ended)
        if now < self._drain_until < min(job.deadline for job in jobs):
            return Share.SOON
        self._drain_until, self._in_company = None, 0
        self._put_off()
        return Share.NO

    def _put_off(self) -> None:
        """It was not worth it to share: try later."""
        self._from = min(self._from * 2, _MOST_IN_COMPANY)

    def settled(self, *, may_lend: bool) -> None:
        """Something was settled, and its caller will be told next: lend before it publishes the next one."""
        if may_lend and self._wanted and self._in_a_row >= _IN_A_ROW and self._links.is_idle:
            self._lend(shared=False)
        self._settled_at = time.monotonic()

    def _lend(self, *, shared: bool) -> None:
        self.loan = self._links.lend(self._give_back, shared=shared)
        if self.loan is not None:
            self._uses = -1
            self._look()

    def end(self, jobs: Sequence[Job] = ()) -> bool:
        """End the loan; False: a thread is at work with it at this moment, and ``on_ended`` follows.

        Args:
            jobs: what waits for that, besides what is under way on the loan.
        """
        loan = self.loan
        if loan is None:
            return True
        if loan.take():
            self._take_back(loan)
            return True
        now = time.monotonic()
        deadlines = [job.deadline for job in jobs]
        until = max(now + _AT_WORK_LEAST_S, min(now + _AT_WORK_S, loan.next_deadline, *deadlines))
        if self._awaited is not loan or until < self._awaited_until:
            self._awaited, self._awaited_until = loan, until
            self._set_timer(until - now, self._give_up)
        return False

    def drop(self) -> None:
        """The I/O thread is over: nobody goes on with what is under way, nor with what is given back from here on."""
        self._over = True
        loan, self.loan = self.loan, None
        if loan is not None:
            _drop(loan)
        for loan in self._given_up:  # their connections were shut down long ago
            loan.close()
        self._given_up.clear()
        self._drop_given_back()

    def _look(self) -> None:
        loan = self.loan
        if loan is None:
            return
        if loan.uses == self._uses:
            self.end()
        else:
            self._uses = loan.uses
            self._set_timer(_UNUSED_S, self._look)

    def _take_back(self, loan: Loan) -> None:
        """Go on with what a loan that has ended has under way."""
        if loan is self.loan:
            self.loan = None
            if isinstance(loan, SharedLoan):
                if loan.uses >= _WORTH_IT:
                    self._from = _IN_COMPANY
                else:
                    self._put_off()
        burden = loan.surrender()
        self._join(burden)
        self._links.end_loan(loan, burden)

    def _join(self, burden: Burden) -> None:
        for job in burden.jobs:
            self._in_a_row = self._in_company = 0
            self._on_joined(job)

    def _give_up(self) -> None:
        """Whoever has it may be in a signal handler that waits for us: go on without, on another connection."""
        loan = self.loan
        if loan is None:
            return
        if loan.take():  # it was given back, and an error of a signal handler kept the thread from saying so
            self._take_back(loan)
        else:
            self.loan = None
            self._given_up.append(loan)
            burden = loan.rescue()
            self._join(burden)
            self._links.give_up(loan, burden, "a thread was held up while it published on the connection")
        self._loop.call_soon(self._on_given_back)  # once the connection's end was told

    def _set_timer(self, after_s: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(after_s, call)

    # --- called by the threads that publish -------------------------------------------------------

    def end_mine(self) -> None:
        """End the loan if this thread has it: a signal handler waits in it for a message that was put just now."""
        loan = self.loan
        if loan is not None and loan.is_held_by_me():
            tell(self._loop, self._give_up)

    def _give_back(self, loan: Loan) -> None:
        """A thread has ended a loan, or finds it wanted."""
        self._given_back.append(loan)
        tell(self._loop, self._on_given_back)
        if self._over:
            self._drop_given_back()

    def _on_given_back(self) -> None:
        while self._given_back:
            loan = self._given_back[0]
            if loan is not self.loan and loan.under_way and not self.end():
                return  # one that was given up meanwhile has to wait for the present one, which will be given back, too
            self._given_back.popleft()
            if loan is self.loan:
                self.end()
            elif loan.take():
                if loan in self._given_up:
                    self._given_up.remove(loan)
                self._take_back(loan)
        self._on_ended()

    def _drop_given_back(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                _drop(self._given_back.popleft())


def _waits(job: Job) -> bool:
    """Whether a thread waits for it, and it may go by a loan."""
    return isinstance(job.future, Call) and suits(job.message)


def _drop(loan: Loan) -> None:
    """Nobody goes on with it; if a thread is at work with it, that one gives it back."""
    if loan.take():
        burden = loan.surrender()
        loan.close()
    else:
        burden = loan.rescue()
    for _, job in burden.written:
        job.settle(Fate.UNKNOWN, 1, ENDED)
    for job in burden.unwritten:
        job.settle(Fate.NOT_SENT, 0, ENDED)
