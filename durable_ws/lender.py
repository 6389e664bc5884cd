"""When a pool lends a connection to the threads that publish, and what becomes of the loans (:mod:`durable_ws.loan`).

It is lent while one thread publishes one message after the other, each soon after the confirm of the one before, and
taken back once anything else is to be published, nobody has used it for a moment, or the pool is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from durable_ws.job import Job
from durable_ws.ledger import Fate
from durable_ws.links import Links
from durable_ws.loan import CAN_LEND, Loan, suits
from durable_ws.loop import tell
from durable_ws.outcome import Call

__all__ = ["Lender"]

_SOON_S = 0.02  # a message that comes so soon after the confirm of the one before is of a thread that waits for each
_IN_A_ROW = 8  # from so many of these on the connection is lent
_UNUSED_S = 0.1  # a loan that nobody has used for so long ends: nobody would hear the broker
_AT_WORK_S = 1.0  # a thread that is at work with a loan for so long, instead of microseconds, is held up


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
        self._given_back: deque[Loan] = deque()  # by threads, and not yet dealt with
        self._given_up: list[Loan] = []  # and not given back: their threads are held up, or an error has struck them
        self._in_a_row = 0
        self._settled_at = -math.inf
        self._over = False
        self.loan: Loan | None = None
        """The present one. Any thread may look, and publish with it."""

    @property
    def under_way(self) -> int:
        """How many messages are under way on the loan. Any thread may look."""
        loan = self.loan
        return 0 if loan is None or loan.job is None else 1

    def count(self, jobs: Sequence[Job]) -> None:
        """These are taken in next: is it one thread that publishes, and waits for each confirm?"""
        if len(jobs) == 1 and self._links.is_idle and isinstance(jobs[0].future, Call) and suits(jobs[0].message):
            soon = jobs[0].began - self._settled_at < _SOON_S
            self._in_a_row = self._in_a_row + 1 if soon else 0
        elif jobs:
            self._in_a_row = 0

    def settled(self, *, may_lend: bool) -> None:
        """Something was settled, and its caller will be told next: lend before it publishes the next one."""
        if may_lend and self._wanted and self._in_a_row >= _IN_A_ROW and self._links.is_idle:
            self.loan = self._links.lend(self._give_back)
            if self.loan is not None:
                self._uses = -1
                self._look()
        self._settled_at = time.monotonic()

    def end(self) -> bool:
        """End the loan; False: a thread is at work with it at this moment, and ``on_ended`` follows."""
        loan = self.loan
        if loan is None:
            return True
        wanted = loan.wanted
        if loan.take():
            self._take_back(loan)
            return True
        if not wanted:
            self._set_timer(_AT_WORK_S, self._give_up)
        return False

    def drop(self) -> None:
        """The I/O thread is over: nobody goes on with what is under way, nor with what is given back from here on."""
        self._over = True
        loan, self.loan = self.loan, None
        if loan is not None and loan.take():
            self._given_back.append(loan)
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
        if loan.job is not None:
            self._in_a_row = 0
            self._on_joined(loan.job)
        self._links.end_loan(loan)

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
            self._links.give_up(loan, "a thread was held up while it published on the connection")
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
            if loan is not self.loan and loan.job is not None and not self.end():
                return  # one that was given up meanwhile has to wait for the present one, which will be given back, too
            self._given_back.popleft()
            if loan in self._given_up:
                self._given_up.remove(loan)
            if loan.take():
                self._take_back(loan)
        self._on_ended()

    def _drop_given_back(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                loan = self._given_back.popleft()
                job, loan.job = loan.job, None
                if job is not None:
                    job.settle(Fate.UNKNOWN, 1, "the publisher's I/O thread has ended")
                loan.close()
