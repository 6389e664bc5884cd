"""The soak: rounds of calls under faults; at the end of each the queues are emptied and the books are settled."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Self
from urllib.parse import urlencode, urlsplit, urlunsplit

from benchmarks.soak_publishers.acts import PRODUCT, Acts
from benchmarks.soak_publishers.bodies import read_body
from benchmarks.soak_publishers.calls import EXCHANGE, KEYS
from benchmarks.soak_publishers.child import Child, Kind
from benchmarks.soak_publishers.cutting import Measure
from benchmarks.soak_publishers.judge import SLACK_S, Books, Wrong
from benchmarks.soak_publishers.leaks import Sample, census_wrongs, memory_of, memory_wrongs
from benchmarks.soak_publishers.outcome import Outcome
from benchmarks.soak_publishers.plan import Act
from benchmarks.soak_publishers.program import is_observed
from benchmarks.soak_publishers.queues import drain, make_queues, remove
from benchmarks.soak_publishers.records import Census, ConnectionFact, Held, Record, Trouble
from benchmarks.soak_publishers.seen import SEEN_BY
from benchmarks.soak_publishers.walk import Walk
from conformance.errors import HarnessError
from conformance.faults.base import Direction
from conformance.world.broker.base import Broker
from conformance.world.network.proxy import LinkProxy, Network
from durable_ws import Exchange, Publisher

__all__ = ["HEARTBEAT_S", "soak"]

HEARTBEAT_S = 2
_READY_S = 60.0
_HELD_S = 120.0
"""The longest that calls may go on after the faults, before those that have not ended are taken for hung: far more than
the longest deadline, as a call of many messages may wait for room with each of them."""


def soak(
    broker: Broker,
    rounds: Iterable[tuple[Sequence[Act], bool]],
    *,
    seed: int,
    programs: Sequence[Kind] = ("threads", "tasks"),
    callers: int = 8,
    one_by_one: bool = False,
    slack_s: float = SLACK_S,
    tell: Callable[[str], object] = lambda _: None,
) -> Outcome:
    """Run a soak.

    Args:
        broker: started; its faults must be in the rounds only if it can have them.
        rounds: what is done in each, and whether it is the last one: then the publishers are closed while they are
            called. The next one is drawn only when it is to begin.
        seed: of callers and cuts.
        programs: which publishers.
        callers: of each.
        one_by_one: they wait for each message, without pauses, and threads have no observer.
        slack_s: so much after its deadline a call may end.
        tell: takes a line of progress.

    Raises:
        HarnessError: the soak itself could not go on.
    """
    outcome = Outcome(slack_s=slack_s)
    began = time.monotonic()
    url = broker.addresses.amqp
    make_queues(url)
    try:
        with Network() as network, contextlib.ExitStack() as stack:
            proxies = {kind: _proxies(network, kind, url, seed) for kind in programs}
            every = [proxy for some in proxies.values() for proxy in some]
            outcome.walk = Walk(_measured(every[0], url), random.Random(f"{seed}/walk"))
            acts = Acts(broker, every, outcome.walk, outcome.seen)
            outcome.cuts = acts.cuts
            drain(url, lambda *_: None)
            stands = [
                stack.enter_context(
                    _Stand(
                        kind,
                        _url_of(url, proxies[kind]),
                        outcome,
                        seed=seed,
                        callers=callers,
                        one_by_one=one_by_one,
                        began=began,
                    )
                )
                for kind in programs
            ]
            _rounds(broker, rounds, acts, stands, outcome, tell)
    finally:
        remove(url)
    outcome.seconds = time.monotonic() - began
    _look_back(outcome)
    return outcome


def _rounds(
    broker: Broker,
    rounds: Iterable[tuple[Sequence[Act], bool]],
    acts: Acts,
    stands: list[_Stand],
    outcome: Outcome,
    tell: Callable[[str], object],
) -> None:
    for stand in stands:
        stand.wait_ready()
    for number, (round_, last) in enumerate(rounds, start=1):
        for stand in stands:
            stand.child.command("go", number)
        for act in round_:
            acts.do(act)
            if any(stand.child.ended for stand in stands):
                break
        outcome.seen.begin("calm")
        hung = [stand for stand in stands if not stand.hold(number, close=last)]
        acts.sever()
        drain(broker.addresses.amqp, lambda queue, body, message_id: _find(stands, queue, body, message_id))
        for stand in stands:
            outcome.add(stand.settle())
        outcome.rounds = number
        outcome.loads.append(os.getloadavg()[0])
        tell(_progress(number, round_, outcome))
        if hung:
            break
    for stand in stands:
        outcome.add(stand.left())
        outcome.memory[stand.child.kind] = memory_of(stand.samples)


class _Stand:
    """One program with its books. Its records come in a thread of their own."""

    def __init__(  # noqa: PLR0913, RUF100
        self, kind: Kind, url: str, outcome: Outcome, *, seed: int, callers: int, one_by_one: bool, began: float
    ) -> None:
        self._outcome = outcome
        self._began = began
        self._news = threading.Condition()
        self._books = Books(
            kind, KEYS, outcome.totals, outcome.slack_s, observed=is_observed(kind, one_by_one=one_by_one)
        )
        self._wrongs: list[Wrong] = []
        self._held = 0
        self._before: Census | None = None
        self._after: Census | None = None
        self.samples: list[Sample] = []
        self.child = Child(
            kind, url, seed=seed, callers=callers, one_by_one=one_by_one, heartbeat_s=HEARTBEAT_S, take=self._take
        )

    def __enter__(self) -> Self:
        self.child.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.child.__exit__(None, None, None)

    def wait_ready(self) -> None:
        """Wait until the program hears commands.

        Raises:
            HarnessError: it does not begin.
        """
        with self._news:
            ends = time.monotonic() + _READY_S
            while self._before is None:
                if self.child.ended or time.monotonic() > ends:
                    said = self.child.last_words()
                    raise HarnessError(f"the program of the publisher for {self.child.kind} does not begin\n{said}")
                self._news.wait(0.5)  # as below

    def hold(self, number: int, *, close: bool) -> bool:
        """Have the calls of the round come to their ends (and the publisher closed); whether they did."""
        self.child.command("close" if close else "hold")
        with self._news:
            ends = time.monotonic() + _HELD_S
            while self._held < number and not self.child.ended and time.monotonic() < ends:
                self._news.wait(0.5)  # its end is told by nobody
            held = self._held >= number
        if not held:
            self.child.show_stacks()
        return held

    def find(self, queue: str, tag: str, *, intact: bool, message_id: str | None) -> None:
        """A message was in a queue."""
        with self._news:
            self._books.find(queue, tag, intact=intact, message_id=message_id)

    def settle(self) -> list[Wrong]:
        """All that is wrong with the round."""
        with self._news:
            wrongs, self._wrongs = self._wrongs, []
            return wrongs + self._books.settle()

    def left(self) -> list[Wrong]:
        """What is left of the publisher, after the last round."""
        status = self.child.wait()
        wrongs = census_wrongs(self.child.kind, self._before, self._after)
        wrongs += memory_wrongs(self.child.kind, memory_of(self.samples))
        if status != 0:
            said = self.child.last_words()
            wrongs.append(Wrong("the program ended by itself", f"{self.child.kind}: exit status {status}\n{said}"))
        return wrongs

    def _take(self, record: Record) -> None:
        kind = self.child.kind
        with self._news:
            match record:
                case ConnectionFact():
                    self._outcome.seen.take(record)
                case Trouble(text):
                    self._wrongs.append(Wrong("something was logged, warned of or raised", f"{kind}: {text}"))
                case Held(number, unsettled, rss_bytes, blocks):
                    self._held = number
                    published = sum(
                        count for (program, *_), count in [*self._outcome.totals.messages.items()] if program == kind
                    )
                    at_s = time.monotonic() - self._began
                    self.samples.append(Sample(at_s, published, rss_bytes, blocks))
                    if unsettled:
                        text = f"{kind}: {unsettled} messages in round {number}"
                        self._wrongs.append(Wrong("the observer was never told the end of a message", text))
                case Census(when):
                    if when == "before":
                        self._before = record
                    else:
                        self._after = record
                case _:
                    self._books.take(record)
            self._news.notify_all()


def _find(stands: list[_Stand], queue: str, body: bytes, message_id: str | None) -> None:
    """Give a message to the books of the program that its tag names, by its first letter; any, if it names none."""
    tag, intact = read_body(body)
    letters = {"threads": "s", "tasks": "a"}
    stand = next((stand for stand in stands if tag.startswith(letters[stand.child.kind])), stands[0])
    stand.find(queue, tag, intact=intact, message_id=message_id)


def _look_back(outcome: Outcome) -> None:
    """Whether the soak says what it should."""
    confirmed = sum(count for (*_, told), count in outcome.totals.messages.items() if told == "confirmed")
    if not confirmed:
        outcome.inconclusive.append("no message was confirmed")
    for kind in SEEN_BY:
        if outcome.seen.times[kind] and not outcome.seen.effect[kind]:
            outcome.inconclusive.append(f"no publisher saw anything of {kind} ({outcome.seen.times[kind]} times)")
    if outcome.seen.times["cuts"] and not outcome.cuts:
        outcome.inconclusive.append("no connection was cut")


def _proxies(network: Network, kind: Kind, url: str, seed: int) -> list[LinkProxy]:
    """The links of a program: the one for threads is told of two hosts (which are one node)."""
    parts = urlsplit(url)
    target = parts.hostname or "127.0.0.1", parts.port or 5672
    names = [f"{kind}/{number}" for number in range(2 if kind == "threads" else 1)]
    return [network.proxy(name=name, target=target, protocol="amqp", seed=seed) for name in names]


def _url_of(url: str, proxies: list[LinkProxy]) -> str:
    parts = urlsplit(url)
    who, at, _ = parts.netloc.rpartition("@")
    hosts = ",".join("{}:{}".format(*proxy.address) for proxy in proxies)
    query = urlencode({"client_properties": {"product": PRODUCT}})
    return urlunsplit(parts._replace(netloc=f"{who}{at}{hosts}", query=query))


def _measured(proxy: LinkProxy, url: str) -> dict[Direction, int]:
    """How many bytes a conversation has each way until the first message is confirmed."""
    measure = Measure(Counter(), threading.Event())
    active = proxy.begin(measure)
    try:
        exchanges = {"pubsub": Exchange(EXCHANGE)}
        with Publisher(_url_of(url, [proxy]), exchanges, heartbeat_s=HEARTBEAT_S) as publisher:
            publisher.publish(b"x" * 100, routing_key="classic")
    finally:
        proxy.end(active)
    if not measure.known.is_set():
        raise HarnessError("the link did not see the confirm of a message")
    return {"to_broker": measure.bytes["to_broker"], "to_client": measure.bytes["to_client"]}


def _progress(number: int, round_: Sequence[Act], outcome: Outcome) -> str:
    told: Counter[str] = Counter()
    for (*_, what), count in outcome.totals.messages.items():
        told[what] += count
    acts = ", ".join(act.kind + (" with cuts" if act.cutting and act.kind != "cuts" else "") for act in round_)
    acts = acts.replace("calm, ", "")
    return (
        f"round {number} ({acts}): so far {told.total():,} messages, {told['confirmed']:,} confirmed, "
        f"{sum(outcome.cuts.values()):,} cuts, {outcome.seen.lost.total():,} connections lost, "
        f"latest {outcome.totals.latest_s:+.2f} s, load {outcome.loads[-1]:.1f}, "
        + (f"{outcome.count.total():,} wrong" if outcome.count else "nothing wrong")
    )
