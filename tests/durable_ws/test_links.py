"""Which link a message takes, and how all of them end: over links that are only played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import durable_ws.links
from durable_ws.address import parameters_from
from durable_ws.job import Job
from durable_ws.ledger import Fate, Settled
from durable_ws.link import LinkSettings
from durable_ws.links import Links
from durable_ws.loan import Burden, Loan
from durable_ws.message import Message, build
from durable_ws.observe import Health
from tests.durable_ws.leaping_clock import run

SETTINGS = LinkSettings(
    parameters_from("amqp://localhost", "url", heartbeat_s=5, connect_timeout_s=5.0), {}, 10, 0.1, 1.0
)


LOAN: Any = type("APlayedLoan", (), {})()


class Played:
    """A link that takes everything in and settles what it is told to."""

    made: list[Played]

    def __init__(self, loop: object, settings: LinkSettings, **calls: Callable[..., None]) -> None:
        assert loop is asyncio.get_running_loop()
        assert settings is SETTINGS
        self._on_settled = calls.pop("on_settled")
        self._on_confirmed = calls.pop("on_confirmed")
        self._on_joined = calls.pop("on_joined")
        assert not calls
        self.takes_alone = True
        self.lends = True
        self.lone: Job | None = None
        self.jobs: list[Job] = []
        self.log: list[str] = []
        self.is_ready = True
        self.trouble: tuple[float, str] | None = None
        self.blocked: str | None = None
        self.closes_by_itself = True
        self.closes_once_aborted = True
        self._aborted = asyncio.Event()
        Played.made.append(self)

    @property
    def load(self) -> int:
        """How much is under way."""
        return len(self.jobs)

    def publish(self, job: Job) -> None:
        """Take it in."""
        self.jobs.append(job)
        self.log.append(f"publish {job.message.message_id}")

    def write_alone(self, message: Message) -> bool:
        """Noted, if nothing else is under way here."""
        if not self.takes_alone or self.jobs:
            return False
        self.log.append(f"write alone {message.message_id}")
        return True

    def expect(self, job: Job) -> None:
        """The one that was written."""
        assert self.log[-1] == f"write alone {job.message.message_id}"
        self.jobs.append(job)
        self.lone = job

    def join(self) -> None:
        """Noted, if there is one."""
        if self.lone is not None:
            self.log.append(f"{self.lone.message.message_id} joins")
            job, self.lone = self.lone, None
            self._on_joined(job)

    def lend(self, give_back: Callable[[Loan], None], *, shared: bool) -> Loan | None:
        """Noted, if it can."""
        if not self.lends:
            return None
        self.log.append("lend to several" if shared else "lend")
        give_back(LOAN)
        return LOAN

    def end_loan(self, loan: Loan, burden: Burden) -> None:
        """Go on with what it has."""
        assert loan is LOAN
        self.log.append("end loan")
        self.adopt(burden)

    def adopt(self, burden: Burden) -> None:
        """Take all of it in."""
        self.jobs += burden.jobs
        self.log.append(f"adopt {' '.join(job.message.message_id for job in burden.jobs)}")

    def pump(self) -> None:
        """Noted."""
        self.log.append("pump")

    async def close(self) -> None:
        """End, or wait to be cut off."""
        self.log.append("close")
        if not self.closes_by_itself:
            await self._aborted.wait()

    def abort(self, reason: str) -> None:
        """Cut off."""
        self.log.append(f"abort: {reason}")
        if self.closes_once_aborted:
            self._aborted.set()

    def settle(self, *jobs: Job) -> None:
        """Confirm these."""
        for job in jobs:
            self.jobs.remove(job)
        if self.lone in jobs:
            self.lone = None
            self._on_confirmed(*jobs)
        else:
            self._on_settled([Settled(job, Fate.CONFIRMED, 1, "") for job in jobs])


@pytest.fixture(autouse=True)
def played(monkeypatch: pytest.MonkeyPatch) -> list[Played]:
    """Links are played; the list of those that were made."""
    Played.made = []
    monkeypatch.setattr(durable_ws.links, "Link", Played)
    return Played.made


def job(name: str, lane: object) -> Job:
    """A job of that message id in that lane."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    return Job(build("a", exchange="x", message_id=name), 0.0, 30.0, lane, False, future)


def make(max_connections: int = 3, window: int = 6) -> tuple[Links, list[list[Settled[Job]]]]:
    """Links on the running loop, and what they tell of what was settled."""
    told: list[list[Settled[Job]]] = []
    loop = asyncio.get_running_loop()
    links = Links(
        loop,
        SETTINGS,
        max_connections=max_connections,
        window=window,
        on_settled=told.append,
        on_confirmed=lambda job: told.append([Settled(job, Fate.CONFIRMED, 1, "")]),
    )
    return links, told


def test_one_link_as_long_as_it_keeps_up(played: list[Played]) -> None:
    """The next is opened when each has its share of the window, here two; then the least loaded takes all."""

    async def main() -> None:
        links, told = make()
        jobs = [job(str(number), number) for number in range(9)]
        taken = []
        for one in jobs:
            links.take_in([one])
            taken.append(next(place for place, link in enumerate(played) if one in link.jobs))
        assert taken == [0, 0, 1, 1, 2, 2, 0, 1, 2]
        assert links.all == played
        assert links.jobs == set(jobs)
        played[1].settle(jobs[2], jobs[3])
        assert told == [[Settled(jobs[2], Fate.CONFIRMED, 1, ""), Settled(jobs[3], Fate.CONFIRMED, 1, "")]]
        assert links.jobs == set(jobs) - {jobs[2], jobs[3]}
        links.take_in([late := job("late", "late")])
        assert late in played[1].jobs

    run(main())


def test_a_share_that_is_no_whole_number(played: list[Played]) -> None:
    """It is rounded up: five for three is two for each."""

    async def main() -> None:
        links, _ = make(max_connections=3, window=5)
        links.take_in([job(str(number), number) for number in range(3)])
        assert [link.load for link in played] == [2, 1]

    run(main())


def test_no_more_links_than_allowed(played: list[Played]) -> None:
    """However much there is to do."""

    async def main() -> None:
        links, _ = make(max_connections=1, window=1)
        links.take_in([job(str(number), number) for number in range(5)])
        assert [link.load for link in played] == [5]

    run(main())


def test_a_lane_stays_on_its_link(played: list[Played]) -> None:
    """As long as something of it is under way there; so its order is kept. Then it is free to go elsewhere."""

    async def main() -> None:
        links, _ = make(window=6)
        first = [job(f"a{number}", "a") for number in range(4)]
        links.take_in(first)
        assert played[0].jobs == first
        links.take_in([other := job("b", "b")])
        assert played[1].jobs == [other]
        played[0].settle(first[1])
        played[0].settle(first[0], first[2])
        links.take_in([again := job("a4", "a")])
        assert played[0].jobs == [first[3], again]
        played[0].settle(first[3])
        links.take_in([more := job("a5", "a")])
        played[0].settle(again)
        links.take_in([last := job("a6", "a"), *(job(f"c{number}", number) for number in range(3))])
        assert played[0].jobs[:2] == [more, last]
        played[0].settle(more, last)
        played[0].jobs += [job("d", "d"), job("e", "e"), job("f", "f")]
        links.take_in([elsewhere := job("a7", "a")])
        assert elsewhere not in played[0].jobs

    run(main())


def test_a_lane_that_was_settled_is_forgotten() -> None:
    """Each batch is a lane, so they must not pile up."""

    async def main() -> None:
        links, _ = make()
        for number in range(10):
            links.take_in([one := job("m", number), two := job("n", number)])
            links.all[0].settle(one)  # type: ignore[attr-defined]
            links.all[0].settle(two)  # type: ignore[attr-defined]
        assert not links._lanes
        assert not links._lane_links
        assert not links.jobs

    run(main())


def test_each_link_is_pumped_once_for_all_that_it_got(played: list[Played]) -> None:
    """In the order in which they came."""

    async def main() -> None:
        links, _ = make()
        links.take_in([job("1", "a"), job("2", "a"), job("3", "b"), job("4", "a")])
        assert played[0].log == ["publish 1", "publish 2", "publish 4", "pump"]
        assert played[1].log == ["publish 3", "pump"]

    run(main())


def test_one_that_comes_while_nothing_is_under_way(played: list[Played]) -> None:
    """It goes alone, on the link that its lane is given; in company, or beside what is under way, none does."""

    async def main() -> None:
        links, told = make(window=3)
        links.take_in([])
        assert played == []
        assert (links.jobs, links.is_idle) == (set(), True)
        assert links.write_alone(job("0", "a").message) is False, "there is no link yet"
        links.take_in([zeroth := job("0", "a")])
        assert [link.log for link in played] == [["publish 0", "pump"]]
        assert links.is_idle is False
        played[0].settle(zeroth)
        played[0].log.clear()
        first = job("1", "a")
        assert links.write_alone(first.message) is True
        links.expect(first)
        assert (links.jobs, links.is_idle) == ({first}, False)
        assert links.write_alone(first.message) is False
        assert not links._lanes
        assert [link.log for link in played] == [["write alone 1"]]
        links.take_in([second := job("2", "b")])
        assert links.jobs == {first, second}
        assert links._lanes == {"a": [1], "b": [1]}
        assert [link.log for link in played] == [["write alone 1", "1 joins"], ["publish 2", "pump"]]
        played[0].settle(first)
        links.take_in([third := job("3", "c")])
        assert played[0].log == ["write alone 1", "1 joins", "publish 3", "pump"], "the other link is not idle"
        played[0].settle(third)
        played[1].settle(second)
        assert len(told) == 4
        assert (links.jobs, links.is_idle) == (set(), True)
        played[0].jobs.append(job("late", "of no concern"))  # whose answer is still to come
        fourth = job("4", "b")
        assert links.write_alone(fourth.message) is True
        links.expect(fourth)
        assert played[1].log == ["publish 2", "pump", "write alone 4"], "the first that can"
        assert not links._lanes
        played[1].settle(fourth)
        assert told[-1] == [Settled(fourth, Fate.CONFIRMED, 1, "")]
        assert links.is_idle is True
        assert not links._lanes
        assert not links._lane_links
        played[1].takes_alone = False
        assert links.write_alone(fourth.message) is False
        links.take_in([job("5", "d"), job("6", "d")])
        assert played[1].log[3:] == ["publish 5", "publish 6", "pump"]

    run(main())


def test_an_orderly_close(played: list[Played]) -> None:
    """All links are asked at the same time; if all end it takes no time, and none is cut off."""

    async def main() -> None:
        links, _ = make(window=3)
        await links.close()
        links.take_in([job(str(number), number) for number in range(3)])
        await links.close()
        assert [link.log[-1] for link in played] == ["close"] * 3
        assert asyncio.get_running_loop().time() == 0.0

    run(main())


def test_a_link_that_does_not_end(played: list[Played]) -> None:
    """It has a second; then all are cut off, and what does not end even then is not waited for longer than another."""

    async def main(stubborn: bool) -> float:
        links, _ = make(window=3)
        links.take_in([job(str(number), number) for number in range(3)])
        played[1].closes_by_itself = False
        played[1].closes_once_aborted = not stubborn
        await links.close()
        assert played[1].log[-2:] == ["close", "abort: the publisher was closed"]
        return asyncio.get_running_loop().time()

    assert run(main(stubborn=False)) == 1.0
    played.clear()
    assert run(main(stubborn=True)) == 2.0


def test_a_cut(played: list[Played]) -> None:
    """Every link is begun anew, with the reason."""

    async def main() -> None:
        links, _ = make(window=3)
        links.take_in([job(str(number), number) for number in range(2)])
        links.abort("a try")
        assert [link.log[-1] for link in played] == ["abort: a try"] * 2

    run(main())


def test_health(played: list[Played]) -> None:
    """How many are ready, why one is blocked, and the latest trouble of any."""

    async def main() -> None:
        links, _ = make(max_connections=3, window=3)
        assert links.health(under_way=0, closed=True) == Health(
            connections=0, most_connections=3, blocked=None, trouble=None, under_way=0, closed=True
        )
        links.take_in([job(str(number), number) for number in range(3)])
        played[0].is_ready = False
        assert links.health(under_way=7, closed=False) == Health(
            connections=2, most_connections=3, blocked=None, trouble=None, under_way=7, closed=False
        )
        played[0].trouble, played[2].trouble = (5.0, "was cut"), (3.0, "was refused")
        played[1].blocked, played[2].blocked = "low on memory", "low on disk"
        assert links.health(under_way=7, closed=False) == Health(
            connections=2, most_connections=3, blocked="low on memory", trouble="was cut", under_way=7, closed=False
        )

    run(main())


@pytest.mark.parametrize("shared", [False, True])
def test_what_lends(played: list[Played], shared: bool) -> None:
    """The first link that can, while nothing is under way on any; who is to have it back is passed on."""

    async def main() -> None:
        links, _ = make()
        assert links.lend(lambda _: None, shared=shared) is None, "there is no link yet"
        jobs = [job(f"{n}", n) for n in range(3)]
        links.take_in(jobs)
        given_back: list[Loan] = []
        assert links.lend(given_back.append, shared=shared) is None
        played[0].settle(*jobs[:2])
        played[1].settle(*jobs[2:])
        played[0].lends = False
        assert links.lend(given_back.append, shared=shared) is LOAN
        assert given_back == [LOAN]
        assert played[1].log[-1] == ("lend to several" if shared else "lend")

    run(main())


@pytest.mark.parametrize("way", ["it has ended", "it is given up"])
def test_what_a_loan_had_goes_on_with_the_link_that_lent_it(played: list[Played], way: str) -> None:
    """It is under way here from then on, and what follows in its lane goes after it; a loan ends once."""

    async def main() -> None:
        links, told = make()
        first, written, unwritten, next_, other = (job(*name) for name in ("a1", "b1", "c2", "d1", "e3"))
        links.take_in([first])
        played[0].settle(first)
        loan = links.lend(lambda _: None, shared=False)
        assert loan is not None
        del played[0].log[:]
        burden = Burden([(7, written)], [unwritten])
        if way == "it has ended":
            links.end_loan(loan, burden)
            links.end_loan(loan, burden)
            assert played[0].log == ["end loan", "adopt b c"]
        else:
            links.give_up(loan, burden, "held up")
            assert played[0].log == ["abort: held up", "adopt b c", "pump"]
        assert not links.is_idle
        assert set(links.jobs) == {written, unwritten}
        links.take_in([next_])
        assert played[0].jobs == [written, unwritten, next_]
        links.take_in([other])
        assert [one.jobs for one in played[1:]] == [[other]]
        played[0].settle(written, unwritten, next_)
        played[1].settle(other)
        assert links.is_idle
        assert [len(events) for events in told] == [1, 3, 1]

    run(main())
