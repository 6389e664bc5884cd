"""A bench for a user's own tests: real tabs, a recorded publisher, faults, and the contract held at the end."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from conformance.checker.checker import Checker
from conformance.checker.story import with_stories
from conformance.checker.verdict import Verdict
from conformance.contract.naming import Naming
from conformance.engine.engine import Engine
from conformance.engine.header import make_header
from conformance.engine.lane import record_outcome
from conformance.engine.live import Live
from conformance.engine.world import World
from conformance.history.events import Event, PublishInvoked, digest
from conformance.history.file import HistoryWriter
from conformance.scenario.steps import (
    AwaitFault,
    BeginFault,
    Behave,
    CloseTab,
    DuplicateTab,
    EndFault,
    OpenTab,
    ReloadTab,
    Scenario,
)
from conformance.world.network.proxy import Network
from conformance.world.publisher.base import PublisherUnderTest

__all__ = ["Bench", "BenchHistory", "BenchNetwork", "BenchPublisher", "BenchTab"]

_WAIT_S = 30.0


class Bench:
    """One test's world. Use it as a context manager: leaving it closes everything and cleans up at the broker.

    Args:
        world: broker, contract, publisher and client.
        name: stands in the history.
        path: where the history goes; None: it is kept in memory alone.
        namespace: keeps this test's names apart from others'.
    """

    def __init__(self, world: World, *, name: str, namespace: str, path: Path | None = None) -> None:
        self.world = world
        self.naming = Naming(world.contract, namespace)
        self.recorder = HistoryWriter(path, make_header(Scenario(), world, case=name, namespace=namespace), keep=True)
        self.checker = Checker(world.contract)
        self.live = Live()
        self.recorder.subscribe(self.checker.feed)
        self.recorder.subscribe(self.live)
        self._proxies = Network()
        self.engine = Engine(world, self._proxies, self.naming, self.recorder, self.checker, self.live)
        self.publisher = BenchPublisher(self)
        self.network = BenchNetwork(self)
        self.history = BenchHistory(self)
        self._tabs = itertools.count(1)

    def __enter__(self) -> Self:
        self.engine.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.publisher.close()
        self.engine.clean_up()
        self._proxies.close()
        self.recorder.close()
        # A program's own words, for who reads what the test printed.
        sys.stderr.write(self.engine.publisher_stderr().decode(errors="replace"))

    def tab(self, key: str = "", *, exchange: str | None = None) -> BenchTab:
        """Open a tab and wait until it is subscribed.

        Args:
            key: its binding key.
            exchange: a key of the contract's ``[exchanges]``; None: ``tab.exchange``.
        """
        name = f"t{next(self._tabs)}"
        tab = BenchTab(self, name)
        self.engine.on_handled[name] = tab.take
        self.engine.do(OpenTab(tab=name, exchange=exchange or self.world.contract.tab.exchange, key=key))
        return tab


class BenchTab:
    """A tab of a test."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench = bench
        self.name = name
        self._bodies: list[bytes] = []
        self._arrived = threading.Condition()

    def take(self, body: bytes) -> None:
        """Called with the body of each message as the page handles it."""
        with self._arrived:
            self._bodies.append(body)
            self._arrived.notify_all()

    @property
    def received(self) -> list[bytes]:
        """The bodies that the page has handled so far, in order, repetitions included."""
        with self._arrived:
            return list(self._bodies)

    def wait_for(self, count: int, timeout_s: float = _WAIT_S) -> list[bytes]:
        """The bodies once there are ``count`` of them.

        Raises:
            TimeoutError: fewer came in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._bodies) >= count, timeout_s):
                raise TimeoutError(f"{self.name} handled {len(self._bodies)} of {count} messages in {timeout_s:g} s")
            return list(self._bodies)

    def reload(self) -> None:
        """Reload the page, which keeps its id; waits for the new subscription."""
        self._bench.engine.do(ReloadTab(tab=self.name))

    def duplicate(self) -> None:
        """Open a second page with the same id."""
        self._bench.engine.do(DuplicateTab(tab=self.name))

    def behave(self, *, withhold_acks: bool = False, withhold_handling: bool = False, delay_ms: int = 0) -> None:
        """Change how the page treats messages."""
        self._bench.engine.do(
            Behave(tab=self.name, withhold_acks=withhold_acks, withhold_handling=withhold_handling, delay_ms=delay_ms)
        )

    def close(self) -> None:
        """Close the tab for good."""
        self._bench.engine.do(CloseTab(tab=self.name))


class BenchPublisher:
    """Publishes through the publisher under test and records what it reports."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._numbers = itertools.count(1)
        self._publisher: PublisherUnderTest | None = None
        self._making = threading.Lock()

    def publish(
        self,
        payload: str | bytes | Mapping[str, Any] | list[Any],
        to: str | None = None,
        routing_key: str = "",
        *,
        message_id: str | None = None,
    ) -> object:
        """Publish one message; what the publisher under test raises is recorded and raised again.

        Args:
            payload: text, bytes, or what JSON can hold; each message needs a body of its own, so that the checker
                can tell one from another.
            to: a key of the contract's ``[exchanges]``; None: ``tab.exchange``.
            routing_key: as in the contract.
            message_id: None: one is made.
        """
        naming = self._bench.naming
        exchange = to or self._bench.world.contract.tab.exchange
        message_id = message_id or f"{naming.namespace}-{next(self._numbers):05d}"
        body = (
            payload
            if isinstance(payload, bytes)
            else (payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)).encode()
        )
        route = {"exchange": naming.exchange(exchange), "routing_key": naming.routing_key(exchange, routing_key)}
        self._bench.recorder.record(
            PublishInvoked,
            publisher="test",
            message_id=message_id,
            **route,
            body_digest=digest(body),
            size_bytes=len(body),
        )
        under_test = self._under_test()
        return record_outcome(
            self._bench.recorder,
            "test",
            message_id,
            lambda: under_test.publish(body, **route, message_id=message_id),
        )

    def _under_test(self) -> PublisherUnderTest:
        with self._making:
            if self._publisher is None:
                self._publisher = self._bench.engine.make_publisher()
            return self._publisher

    def close(self) -> None:
        """Close the publisher under test, if it was used."""
        if self._publisher is not None:
            self._publisher.close()


class BenchNetwork:
    """Faults on the links of tabs and of the publisher."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    @contextmanager
    def fault(self, link: BenchTab | str, fault: str = "rst", **parameters: Any) -> Iterator[Callable[[], None]]:
        """Have a fault on a link for as long as the ``with`` block lasts.

        Args:
            link: a tab, or ``"publisher"``.
            fault: a fault's name: ``rst``, ``fin``, ``blackhole``, ``stall``, ``cut_after_delivery`` …
            **parameters: the fault's own.

        Yields:
            A function that waits until the fault was seen to happen.

        Raises:
            UsageError: there is no such fault, or it has no such parameter.
        """
        name = link if isinstance(link, str) else link.name
        self._bench.engine.do(BeginFault(link=name, fault=fault, parameters=parameters))
        try:
            yield lambda: self._bench.engine.do(AwaitFault(link=name))
        finally:
            self._bench.engine.do(EndFault(link=name))


class BenchHistory:
    """What was recorded, and the contract held against it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._verdict: Verdict | None = None

    @property
    def events(self) -> list[Event]:
        """The events so far."""
        return list(self._bench.recorder.events)

    def verdict(self) -> Verdict:
        """Heal every link, wait until what is owed has come or can't, and check; the tabs have left afterwards."""
        if self._verdict is None:
            self._bench.engine.come_to_rest()
            self._verdict = with_stories(self._bench.checker.finish(), self._bench.recorder.events)
        return self._verdict

    def assert_contract_holds(self) -> Verdict:
        """The verdict, if it is ``certified``.

        Raises:
            AssertionError: it is violated or inconclusive; tells the first violation with its story.
        """
        verdict = self.verdict()
        if verdict.verdict != "certified":
            raise AssertionError(_told(verdict))
        return verdict


def _told(verdict: Verdict) -> str:
    lines = [f"{verdict.verdict}: {verdict.summary}", *verdict.inconclusive_reasons]
    for violation in verdict.violations[:3]:
        lines += ["", f"{violation.kind} ({violation.cause}): {violation.summary}", violation.advice]
        lines += [f"  {line.time_s:8.3f} s  {line.text}" for line in violation.story]
    return "\n".join(lines)
