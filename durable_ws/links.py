"""The links of one publisher on one loop, and which of them a message takes; shared by threads and asyncio."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Sequence
from weakref import WeakKeyDictionary

from durable_ws.job import Job
from durable_ws.ledger import Settled
from durable_ws.link import Link, LinkSettings
from durable_ws.loan import Burden, Loan
from durable_ws.message import Message
from durable_ws.observe import Health

__all__ = ["Links"]

_LAST_WORD_S = 1.0  # for the broker's answer to connection.close


class Links:
    """The links of one publisher. Everything here runs on the loop's thread.

    One link is used as long as it can keep up (one shared channel costs the broker least); another is opened when each
    has a fair share of the window unconfirmed, up to ``max_connections``. What is under way in one *lane* stays on one
    link, so that its order is kept.

    Args:
        loop: the running loop.
        settings: of the links.
        max_connections: the most links.
        window: the most messages under way, over all links.
        on_settled: gets what was settled, each job that was taken in once; it tells the callers.
        on_confirmed: gets one that was given to :meth:`expect` and confirmed as expected; called last of all.
        on_joined: is told of one that was given to :meth:`expect`, and will come to ``on_settled`` after all.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: LinkSettings,
        *,
        max_connections: int,
        window: int,
        on_settled: Callable[[list[Settled[Job]]], None],
        on_confirmed: Callable[[Job], None],
        on_joined: Callable[[Job], None] = lambda _: None,
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._max_connections = max_connections
        self._share = math.ceil(window / max_connections)
        self._on_settled = on_settled
        self._on_confirmed = on_confirmed
        self._on_joined = on_joined
        self._lanes: dict[Hashable, list[int]] = {}  # how much of each is under way
        self._lane_links: dict[Hashable, Link] = {}
        self._lenders: WeakKeyDictionary[Loan, Link] = WeakKeyDictionary()
        self._jobs: set[Job] = set()  # under way, but for a lone one
        self._alone: Link | None = None  # the last one that has written one
        self.all: list[Link] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._jobs and (self._alone is None or self._alone.lone is None)

    @property
    def jobs(self) -> set[Job]:
        """What is under way."""
        lone = None if self._alone is None else self._alone.lone
        return self._jobs if lone is None else {lone}

    def write_alone(self, message: Message) -> bool:
        """Write a message, if nothing else is under way and that can be done at once; see :meth:`Link.write_alone`."""
        if self._jobs:
            return False
        if self._alone is not None and self._alone.write_alone(message):
            return True
        if self.is_idle:
            for link in self.all:
                if link is not self._alone and link.write_alone(message):
                    self._alone = link
                    return True
        return False

    def expect(self, job: Job) -> None:
        """Take in the job of the message that was just written."""
        assert self._alone is not None  # noqa: S101 - it has just written it
        self._alone.expect(job)

    def join(self) -> None:
        """A lone message, if there is one, is so no longer: something else is to be done."""
        if self._alone is not None:
            self._alone.join()

    def take_in(self, jobs: Sequence[Job]) -> None:
        """Begin to publish these, in this order; their deadlines are on the loop's clock."""
        self.join()
        touched: dict[Link, None] = {}
        for job in jobs:
            link = self._choose(job.lane)
            self._jobs.add(job)
            link.publish(job)
            touched[link] = None
        for link in touched:
            link.pump()

    def lend(self, give_back: Callable[[Loan], None], *, shared: bool) -> Loan | None:
        """Lend a link, while nothing is under way; until :meth:`end_loan` nothing may be taken in.

        Args:
            give_back: see :class:`Loan`.
            shared: to several threads, by a :class:`SharedLoan`.
        """
        if self._jobs:
            return None
        for link in self.all:
            loan = link.lend(give_back, shared=shared)
            if loan is not None:
                self._lenders[loan] = link
                return loan
        return None

    def give_up(self, loan: Loan, burden: Burden, reason: str) -> None:
        """Go on without the connection of a loan that does not end, and with what could be rescued of it."""
        link = self._lenders[loan]
        link.abort(reason)
        self._join(burden.jobs, link)
        link.adopt(burden)
        link.pump()

    def end_loan(self, loan: Loan, burden: Burden) -> None:
        """Take back a loan that has ended; what was under way on it is from here on under way here."""
        link = self._lenders.pop(loan, None)
        if link is not None:  # else it was told before
            self._join(burden.jobs, link)
            link.end_loan(loan, burden)

    async def close(self) -> None:
        """Give up on what is not settled and end the connections, in order if the broker answers within a second."""
        closing = [self._loop.create_task(link.close()) for link in self.all]
        if closing:
            _, late = await asyncio.wait(closing, timeout=_LAST_WORD_S)
            if late:
                self.abort("the publisher was closed")
                await asyncio.wait(late, timeout=1.0)

    def health(self, *, under_way: int, closed: bool) -> Health:
        """How these are now; any thread may ask, and never waits."""
        links = list(self.all)
        troubles = [trouble for link in links if (trouble := link.trouble) is not None]
        return Health(
            connections=sum(link.is_ready for link in links),
            most_connections=self._max_connections,
            blocked=next((reason for link in links if (reason := link.blocked) is not None), None),
            trouble=max(troubles)[1] if troubles else None,
            under_way=under_way,
            closed=closed,
        )

    def abort(self, reason: str) -> None:
        """Begin all connections anew."""
        for link in self.all:
            link.abort(reason)

    def _join(self, jobs: Sequence[Job], link: Link) -> None:
        self._jobs.update(jobs)
        for job in jobs:
            self._enlist(job.lane, link)

    def _choose(self, lane: Hashable) -> Link:
        if lane in self._lanes:
            return self._enlist(lane, self._lane_links[lane])
        links = self.all
        link = links[0] if len(links) == 1 else min(links, key=_load, default=None) or self._add_link()
        if link.load >= self._share and len(self.all) < self._max_connections:
            link = self._add_link()
        return self._enlist(lane, link)

    def _enlist(self, lane: Hashable, link: Link) -> Link:
        """One more of the lane is under way, on this link if none of it was."""
        count = self._lanes.get(lane)
        if count is None:
            self._lanes[lane] = [1]
            self._lane_links[lane] = link
        else:
            count[0] += 1
        return link

    def _add_link(self) -> Link:
        def joined(job: Job) -> None:
            self._join([job], link)
            self._on_joined(job)

        link = Link(
            self._loop,
            self._settings,
            on_settled=self._settle,
            on_confirmed=self._on_confirmed,
            on_joined=joined,
        )
        self.all.append(link)
        return link

    def _settle(self, events: list[Settled[Job]]) -> None:
        for event in events:
            job = event.key
            self._jobs.discard(job)
            count = self._lanes[job.lane]
            count[0] -= 1
            if not count[0]:
                del self._lanes[job.lane], self._lane_links[job.lane]
        self._on_settled(events)


def _load(link: Link) -> int:
    return link.load
