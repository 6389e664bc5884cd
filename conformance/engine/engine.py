"""Acts in a world: carries out steps, comes to rest, looks into the tabs' queues, cleans up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Any
from urllib.parse import unquote, urlsplit

from conformance.checker.checker import Checker
from conformance.contract.naming import Naming
from conformance.engine.lane import PublisherLane
from conformance.engine.live import Live
from conformance.engine.node import NodeAtFault
from conformance.engine.program import ProgramAtFault
from conformance.engine.world import World, real_exchanges, with_behaviour
from conformance.errors import ConformanceError, HarnessError
from conformance.faults.base import LinkFault, LinkKind, make_fault
from conformance.faults.broker.base import BrokerFault
from conformance.faults.program.base import ProgramFault
from conformance.history.events import (
    Attempted,
    BrokerChanged,
    ClockAdvanced,
    FaultBegan,
    FaultEnded,
    FaultFired,
    PublisherMisbehaved,
    QueueObserved,
    Quiesced,
)
from conformance.history.file import HistoryWriter
from conformance.scenario.steps import (
    AddAddress,
    AdvanceClock,
    Attempt,
    AwaitFault,
    AwaitQueue,
    BeginFault,
    Behave,
    BrokerDown,
    BrokerUp,
    ClosePublisher,
    CloseTab,
    DuplicateTab,
    EndFault,
    ObserveQueue,
    OpenTab,
    Publish,
    ReloadTab,
    Settle,
)
from conformance.world.attacker.all import tries_of
from conformance.world.attacker.page import Page
from conformance.world.broker.exchanges import declare_exchanges
from conformance.world.network.proxy import ActiveFault, LinkProxy, Network, Protocol
from conformance.world.publisher.base import PublisherUnderTest
from conformance.world.publisher.command import CommandPublisher
from conformance.world.tab.base import Tab, TabBehaviour, TabSettings
from conformance.world.tab.clients import TAB_CLIENTS

__all__ = ["Engine"]

_PUBLISHER = "publisher"
_FURTHER = "publisher's further address"
_BROKER = "broker"
_PROGRAM = "program"
_LOOK_S = 0.25
_LAG_S = 5.0
"""How long a tab that was cut is given to notice."""
_COUNTS_LAG_S = 6.0
"""What management says of unacked messages is no older than that (``collect_statistics_interval`` is 5 s)."""
_REFUSALS = 8
"""So many in a row, with growing delays, take some seconds: no broker that is only starting refuses that long."""


@dataclass(slots=True)
class _Link:
    """One proxied link and the fault that is on."""

    proxy: LinkProxy
    target: str
    active: ActiveFault | None = None
    fault_id: int = -1


@dataclass(slots=True)
class _Page:
    """A tab of the scenario."""

    tab: Tab
    link: _Link
    behaviour: TabBehaviour
    closed: bool = False
    observed: int = 0
    """How many subscriptions it had when its queue was last looked into."""
    refused_before: int = 0
    """How often it had been refused when the play began to come to rest."""
    doomed: frozenset[int] = frozenset()
    """Its sessions that the broker ends, for what was done to it, whether the tab has read that or not."""


class Engine:
    """Acts in a world, step by step; everything that happens goes to the recorder.

    Args:
        world: where; its broker is started.
        network: makes the fault proxies.
        naming: real names for this play's namespace.
        recorder: the history; ``checker`` and ``live`` listen to it.
        checker: tells what is still outstanding.
        live: what the engine waits on.
        seed: for jitter in tabs and faults.
    """

    def __init__(
        self,
        world: World,
        network: Network,
        naming: Naming,
        recorder: HistoryWriter,
        checker: Checker,
        live: Live,
        *,
        seed: int = 0,
    ) -> None:
        self._seed = seed
        self._world = world
        self._network = network
        self._naming = naming
        self._recorder = recorder
        self._record = recorder.record
        self._checker = checker
        self._live = live
        self._exchanges = real_exchanges(naming)
        self._pages: dict[str, _Page] = {}
        self.on_handled: dict[str, Callable[[bytes], None]] = {}
        """By the scenario's tab name: called with the body of each message as the page handles it."""
        self._broker_is_up = True
        self._fault_ids = 0
        self._amqp = urlsplit(world.broker.addresses.amqp)
        self._web_stomp = urlsplit(world.broker.addresses.web_stomp)
        self._publisher_link = self._link_to_door(_PUBLISHER)
        self._further_links: list[_Link] = []
        self._node = NodeAtFault(
            world.broker, naming, recorder, lambda seconds: live.wait_for(lambda: False, seconds), live
        )
        self._lane = PublisherLane(
            self.make_publisher, naming, recorder, live.nudge, user=unquote(self._amqp.username or "guest")
        )
        self._program = ProgramAtFault(
            self._lane.publisher, recorder, lambda seconds: live.wait_for(lambda: False, seconds)
        )
        self._programs: list[CommandPublisher] = []

    # --- the run ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Declare the exchanges: tabs subscribe before anything is published."""
        declare_exchanges(self._world.broker.addresses.amqp, self._exchanges)

    @singledispatchmethod
    def do(self, step: object) -> None:
        """Carry out one step (the classes of :mod:`conformance.scenario.steps` say what each means)."""
        raise HarnessError(f"the engine has no way to play a {type(step).__name__}")

    @do.register
    def _(self, step: OpenTab) -> None:
        tab_id = self._naming.tab_id(step.tab)
        section = self._world.contract.tab
        link = self._link(f"tab:{tab_id}", (self._web_stomp.hostname, self._web_stomp.port), "web-stomp")
        exchange = self._world.contract.exchanges[step.exchange]
        host, port = link.proxy.address
        settings = TabSettings(
            tab=tab_id,
            url=f"{self._web_stomp.scheme}://{host}:{port}{self._web_stomp.path}",
            login=section.login,
            passcode=section.passcode,
            vhost=unquote(self._amqp.path[1:]) or "/",
            destination=self._naming.destination(step.tab, step.exchange, step.key),
            subscribe_headers=self._naming.subscribe_headers(step.tab),
            ack=section.ack,
            heart_beat_s=section.heart_beat,
            queue=self._naming.queue(step.tab),
            exchange=self._naming.exchange(step.exchange),
            exchange_type=exchange.type,
            binding_key=self._naming.routing_key(step.exchange, step.key),
            seed=self._seed,
            behaviour=self._world.behaviour,
        )
        take = self.on_handled.get(step.tab)
        tab = TAB_CLIENTS[self._world.client](
            settings, self._recorder, on_handled=None if take is None else lambda message: take(message.body)
        )
        self._pages[step.tab] = _Page(tab, link, self._world.behaviour)
        tab.open()
        if step.wait:
            self._wait_subscribed(step.tab)

    @do.register
    def _(self, step: ReloadTab) -> None:
        page = self._pages[step.tab]
        before = self._live.subscribed[page.tab.id]
        page.tab.reload()
        if self._is_in_reach(page):
            self._live.wait_for(lambda: self._live.subscribed[page.tab.id] > before, self._world.pace.subscribe_s)
            self._look_after_subscription(step.tab)

    @do.register
    def _(self, step: DuplicateTab) -> None:
        page = self._pages[step.tab]
        before = self._live.subscribed[page.tab.id]
        page.tab.duplicate()
        if self._is_in_reach(page):
            self._live.wait_for(lambda: self._live.subscribed[page.tab.id] > before, self._world.pace.subscribe_s)
            self._look_after_subscription(step.tab)

    @do.register
    def _(self, step: CloseTab) -> None:
        page = self._pages[step.tab]
        page.closed = True
        page.tab.close()

    @do.register
    def _(self, step: Behave) -> None:
        page = self._pages[step.tab]
        page.tab.behave(
            with_behaviour(
                page.behaviour,
                withhold_acks=step.withhold_acks,
                withhold_handling=step.withhold_handling,
                delay_s=step.delay_ms / 1000 or page.behaviour.delay_s,
            )
        )

    @do.register
    def _(self, step: Publish) -> None:
        future = self._lane.publish(step)
        if step.wait:
            # A publisher that keeps no deadline of its own must not hang the run: it goes on, and what has no
            # outcome by the end is counted as unknown.
            self._live.wait_for(future.done, self._publish_patience_s if step.wait_s is None else step.wait_s)

    @do.register
    def _(self, step: AddAddress) -> None:  # noqa: ARG002 - a step without parameters
        self._further_links.append(self._link_to_door(_FURTHER))

    @do.register
    def _(self, step: ClosePublisher) -> None:
        self._live.wait_for(self._lane.close_publisher().done, step.wait_s)

    @do.register
    def _(self, step: BeginFault) -> None:
        kinds: dict[str, LinkKind] = {_PUBLISHER: "publisher", _BROKER: "broker", _PROGRAM: "program"}
        fault = make_fault(step.fault, step.parameters, link=kinds.get(step.link, "tab"))
        self._fault_ids += 1
        if isinstance(fault, BrokerFault):
            missing = fault.needs - self._world.broker.capabilities
            if missing:
                raise HarnessError(f"this broker can't be asked to: {', '.join(sorted(missing))}")
            if (page := self._pages.get(fault.cancels or "")) is not None:
                page.doomed |= self._live.sessions[page.tab.id]
            self._node.begin(fault, self._fault_ids, step.parameters)
            return
        if isinstance(fault, ProgramFault):
            self._program.begin(fault, self._fault_ids, step.parameters)
            return
        assert isinstance(fault, LinkFault)  # noqa: S101 - every fault is of a link, of the broker or of the program
        link = self._link_of(step.link)
        link.fault_id = self._fault_ids
        self._record(
            FaultBegan, fault_id=link.fault_id, fault=step.fault, target=link.target, parameters=dict(step.parameters)
        )
        told = {"fault_id": link.fault_id, "fault": step.fault, "target": link.target}
        link.active = link.proxy.begin(fault, lambda: self._record(FaultFired, **told))

    @do.register
    def _(self, step: AwaitFault) -> None:
        if step.link == _BROKER:
            self._look_until(lambda: self._node.fired, self._world.pace.fault_s)
            return
        if step.link == _PROGRAM:
            self._program.wait_fired(self._publish_patience_s)
            return
        active = self._link_of(step.link).active
        if active is None:
            return
        page = self._pages.get(step.link)
        refused = self._live.refused[page.tab.id] if page else 0
        done, deadline = 0, time.monotonic() + self._world.pace.fault_s
        while not active.wait_fired(_LOOK_S) and time.monotonic() < deadline:
            self._live.wait_for(lambda: True, 0.0)  # a run that is stopped waits no longer
            if page is not None and self._will_not_fire(step.link, page, refused):
                return
            if (now_done := sum(active.counts.values())) > done:  # one that takes many cuts has the time for each
                done, deadline = now_done, time.monotonic() + self._world.pace.fault_s

    @do.register
    def _(self, step: EndFault) -> None:
        if step.link == _BROKER:
            self._node.end()
            self._wait_all_back()
            return
        if step.link == _PROGRAM:
            self._program.end()
            return
        link = self._link_of(step.link)
        self._heal(link)
        if step.link in self._pages and self._broker_is_up and self._node.tabs_reach:
            self._wait_subscribed(step.link)

    @do.register
    def _(self, step: BrokerDown) -> None:
        # Down begins before the signal: what the broker took just before its end is the fault's to answer for.
        self._record(BrokerChanged, state="down", how=step.how)
        self._broker_is_up = False
        if step.how == "kill":
            self._world.broker.kill()
        else:
            self._world.broker.terminate()

    @do.register
    def _(self, step: BrokerUp) -> None:  # noqa: ARG002 - a step without parameters
        self._revive()

    @do.register
    def _(self, step: AdvanceClock) -> None:
        # Recorded first: what the broker does because of it must not stand before it.
        # And a tab that has been cut knows by then, or it would be away for seconds instead of hours.
        self._live.wait_for(lambda: not any(map(self._is_unaware, self._pages.values())), _LAG_S)
        self._record(ClockAdvanced, by_s=step.by_s)
        self._world.broker.advance_clock(step.by_s)

    @do.register
    def _(self, step: ObserveQueue) -> None:
        self._observe(step.tab, "away")

    @do.register
    def _(self, step: AwaitQueue) -> None:
        queue, left, page = self._naming.queue(step.tab), 0, self._pages.get(step.tab)

        def reached() -> bool:
            nonlocal left
            if step.until == "gone":
                return not self._world.broker.queue_exists(queue)
            facts = self._world.broker.queue_facts(queue)
            if step.until == "left":
                # A tab that has been cut has to know it as well; and a queue that goes may go at this very moment.
                unaware = page is not None and self._is_unaware(page)
                left = 0 if unaware or (facts.exists and facts.consumers) else left + 1
                return left > 1
            return not facts.exists or not (facts.consumers or facts.ready)

        self._look_until(reached, self._world.pace.fault_s, every_s=step.every_s)
        self._observe(step.tab, "away")

    @do.register
    def _(self, step: Attempt) -> None:
        page = Page(self._world.broker, self._naming)
        login, tags = self._world.contract.tab.login, page.user_tags()
        try:
            with contextlib.closing(tries_of(step.what, page)) as tries:
                for tried in tries:
                    self._record(
                        Attempted,
                        attempt=step.what,
                        what=tried.what,
                        outcome=tried.outcome,
                        words=tried.words,
                        effect=tried.effect,
                        login=login,
                        tags=tags,
                    )
                    self._live.wait_for(lambda: True, 0.0)  # a run that is stopped tries nothing more
        finally:
            page.clean_up()

    @do.register
    def _(self, step: Settle) -> None:  # noqa: ARG002 - a step without parameters
        self._live.wait_for(lambda: self._lane.idle, self._publish_patience_s)
        owed = {name: page for name, page in self._pages.items() if not page.closed}
        self._await_met(owed, time.monotonic() + self._world.recovery_s)

    # --- the broker ------------------------------------------------------------------------------

    def _is_in_reach(self, page: _Page) -> bool:
        """Whether a tab that connects now can be expected to get through."""
        return page.link.active is None and self._broker_is_up and self._node.tabs_reach

    def _wait_all_back(self) -> None:
        """Wait for every tab whose own link is sound: the broker is well again."""
        for name, page in self._pages.items():
            if not page.closed and self._is_in_reach(page):
                self._wait_subscribed(name)

    def _will_not_fire(self, name: str, page: _Page, refused_before: int) -> bool:
        """Whether a fault that waits for the tab waits in vain.

        The broker refuses the tab again and again, or the tab is owed something that its queue does not hold any more.
        """
        if self._live.refused[page.tab.id] - refused_before >= _REFUSALS:
            return True
        waits = page.tab.subscribed and self._lane.idle and self._checker.outstanding_for(page.tab.id) > 0
        quiet_s = time.monotonic() - self._live.last_arrival
        return waits and quiet_s >= _COUNTS_LAG_S and self._nothing_can_come({name: page})

    def _look_until(self, condition: Callable[[], bool], timeout_s: float, *, every_s: float = _LOOK_S) -> bool:
        """Wait for what the broker tells nobody: it has to be asked again and again."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= deadline:
                return False
            self._live.wait_for(lambda: False, every_s)
        return True

    # --- links and faults ------------------------------------------------------------------------

    def _link(self, target: str, address: tuple[str | None, int | None], protocol: Protocol) -> _Link:
        host, port = address
        if host is None or port is None:
            raise HarnessError(f"the broker's address for {target} names no host and port")
        proxy = self._network.proxy(
            name=target,
            target=(host, port),
            protocol=protocol,
            observer=self._record,
            seed=self._seed,
        )
        return _Link(proxy, target)

    def _link_of(self, name: str) -> _Link:
        return self._publisher_link if name == _PUBLISHER else self._pages[name].link

    def _heal(self, link: _Link) -> None:
        active, link.active = link.active, None
        if active is not None:
            link.proxy.end(active)
            self._record(
                FaultEnded,
                fault_id=link.fault_id,
                fault=active.fault.name,
                target=link.target,
                fired=active.fired,
                counts=dict(active.counts),
            )

    def _revive(self) -> None:
        if not self._broker_is_up:
            self._world.broker.revive()
            self._broker_is_up = True
            self._record(BrokerChanged, state="up", how="revive")

    # --- publisher -------------------------------------------------------------------------------

    def make_publisher(self) -> PublisherUnderTest:
        """The publisher under test, on its proxied link, and on further ones if there are any."""
        url = self._url_through(self._publisher_link)
        further = [self._url_through(link) for link in self._further_links]
        more: dict[str, Any] = {"failover": further} if further else {}
        publisher = self._world.make_publisher(url, self._exchanges, **more)
        if isinstance(publisher, CommandPublisher):
            self._programs.append(publisher)
            publisher.listen(lambda breach: self._record(PublisherMisbehaved, what=breach.what, detail=breach.detail))
        return publisher

    def publisher_stderr(self) -> bytes:
        """What the publisher under test, where it is a program, wrote on its standard error."""
        return b"".join(program.stderr() for program in self._programs)

    def _link_to_door(self, target: str) -> _Link:
        """A proxied link to where the publisher under test goes: AMQP, or the management API."""
        door = urlsplit(_publishers_door(self._world))
        protocol: Protocol = "amqp" if self._world.contract.publisher.via == "amqp" else "http"
        return self._link(target, (door.hostname, door.port), protocol)

    def _url_through(self, link: _Link) -> str:
        door = urlsplit(_publishers_door(self._world))
        host, port = link.proxy.address
        credentials, at, _ = door.netloc.rpartition("@")
        return door._replace(netloc=f"{credentials}{at}{host}:{port}").geturl()

    @property
    def _publish_patience_s(self) -> float:
        return self._world.publish_s + 5.0

    # --- tabs ------------------------------------------------------------------------------------

    def _wait_subscribed(self, name: str) -> None:
        """Wait for a tab that can reach the broker; a broker that refuses it again and again ends the wait."""
        page = self._pages[name]
        refused = self._live.refused[page.tab.id]
        self._live.wait_for(
            lambda: self._is_back(page) or self._live.refused[page.tab.id] >= refused + 3,
            self._world.pace.subscribe_s,
        )
        self._look_after_subscription(name)

    def _is_back(self, page: _Page) -> bool:
        return not self._is_unaware(page) and page.tab.subscribed

    def _is_unaware(self, page: _Page) -> bool:
        """Whether it takes itself for subscribed, in a session that is over: it has not read so yet."""
        over = not page.link.proxy.carried or page.doomed & self._live.sessions[page.tab.id]
        return page.tab.subscribed and bool(over)

    def _look_after_subscription(self, name: str) -> None:
        """What the broker really made of it: asked after each subscription that is there to be seen."""
        page = self._pages[name]
        count = self._live.subscribed[page.tab.id]
        if page.tab.subscribed and page.observed < count:
            page.observed = count
            self._observe(name, "subscribed")

    def _observe(self, name: str, when: str) -> None:
        page = self._pages[name]
        queue, broker = self._naming.queue(name), self._world.broker
        if when == "subscribed":
            facts = broker.queue_settings(queue, self._naming.subscribe_headers(name))
        else:
            facts = broker.queue_facts(queue)
        self._record(
            QueueObserved,
            when=when,
            tab=page.tab.id,
            queue=facts.name,
            exists=facts.exists,
            ready=facts.ready,
            unacked=facts.unacked,
            consumers=facts.consumers,
            durable=facts.durable,
            exclusive=facts.exclusive,
            auto_delete=facts.auto_delete,
            queue_type=facts.queue_type,
            arguments=facts.arguments,
            policy=facts.policy,
            operator_policy=facts.operator_policy,
            effective_policy=facts.effective_policy,
            operator_definition=facts.operator_definition,
            default_delivery_limit=facts.default_delivery_limit,
        )

    # --- the end ---------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        """Heal everything, wait until what is owed has come or can't come any more, and look into the queues.

        That nothing can come is observed, not slept for: with every tab subscribed, its queue holds nothing
        ready and is consumed by no session but the tab's own. What was still on its way, or held by a ghost, then
        shows up as ready once the tabs have left and the ghosts are gone, and the tabs come back for it.
        """
        self._node.end()
        self._program.end()
        for link in (self._publisher_link, *(page.link for page in self._pages.values())):
            self._heal(link)
        self._revive()
        open_pages = {name: page for name, page in self._pages.items() if not page.closed}
        for page in open_pages.values():
            page.tab.behave(page.behaviour)
            page.refused_before = self._live.refused[page.tab.id]
        began = time.monotonic()
        self._live.wait_for(lambda: self._lane.idle, self._publish_patience_s)
        self._lane.raise_errors()
        for name in open_pages:
            self._wait_subscribed(name)
        deadline = time.monotonic() + self._world.recovery_s
        reached = self._await_met(open_pages, deadline)
        while True:
            for page in open_pages.values():
                page.tab.leave()
            drained = self._await_ghosts_gone(open_pages, deadline) and not self._left(open_pages)
            if drained or time.monotonic() >= deadline:
                break
            for page in open_pages.values():
                page.tab.open()
            self._await_drained(open_pages, deadline)
        self._record(Quiesced, reached=reached and drained, waited_s=round(time.monotonic() - began, 3))
        for name in open_pages:
            self._observe(name, "end")

    def _await_met(self, pages: dict[str, _Page], deadline: float) -> bool:
        """Wait until nothing is outstanding (True), nothing can come any more (True), or the deadline (False)."""
        while True:
            left_s = deadline - time.monotonic()
            if self._live.wait_for(lambda: self._checker.outstanding() == 0, min(self._world.pace.idle_s, left_s)):
                return True
            if left_s <= 0:
                return False
            quiet_s = time.monotonic() - self._live.last_arrival
            if quiet_s >= self._world.pace.idle_s and self._nothing_can_come(pages):
                return True

    def _await_drained(self, pages: dict[str, _Page], deadline: float) -> None:
        """Wait until the tabs, back again, have taken what was left in their queues, or the deadline."""
        for name in pages:
            self._wait_subscribed(name)
        while time.monotonic() < deadline:
            self._live.wait_for(lambda: False, self._world.pace.idle_s)
            if self._nothing_can_come(pages, draining=True):
                return

    def _await_ghosts_gone(self, pages: dict[str, _Page], deadline: float) -> bool:
        """Wait until no queue has a consumer, now that the tabs have left; False: one still had at the deadline."""

        def consumed() -> bool:
            return any(self._world.broker.queue_facts(self._naming.queue(name)).consumers for name in pages)

        return self._look_until(lambda: not consumed(), deadline - time.monotonic())

    def _left(self, pages: dict[str, _Page]) -> bool:
        """Whether any of the tabs' queues holds something."""
        return any(self._world.broker.ready_count(self._naming.queue(name)) for name in pages)

    def _nothing_can_come(self, pages: dict[str, _Page], *, draining: bool = False) -> bool:
        """Whether the queues hold nothing for tabs that are owed something (or, draining, for any tab)."""
        for name, page in pages.items():
            if not self._checker.outstanding_for(page.tab.id) and not draining:
                continue
            if not page.tab.subscribed:
                # Refused again and again although the broker answers: it can't come back.
                if self._live.refused[page.tab.id] - page.refused_before < _REFUSALS:
                    return False
                continue
            queue = self._naming.queue(name)
            facts = self._world.broker.queue_facts(queue)
            own = sum(
                len(self._live.sessions[other.tab.id])
                for other_name, other in self._pages.items()
                if self._naming.queue(other_name) == queue
            )
            if facts.exists and (facts.ready or facts.unacked or facts.consumers not in (None, own)):
                return False
        return True

    def clean_up(self) -> None:
        """Close everything and remove what this play made at the broker."""
        for at_fault in (self._node, self._program):
            with contextlib.suppress(ConformanceError):  # the run has failed for that already
                at_fault.end()
        try:
            for page in self._pages.values():
                page.tab.leave()
            self._lane.close()
        finally:
            pages = (page.link for page in self._pages.values())
            for link in (self._publisher_link, *self._further_links, *pages):
                link.proxy.close()
            if self._broker_is_up:
                self._world.broker.delete(
                    queues=[self._naming.queue(name) for name in self._pages],
                    exchanges=[exchange.name for exchange in self._exchanges if not exchange.name.startswith("amq.")],
                )


def _publishers_door(world: World) -> str:
    """The URL that the publisher under test would use without the proxy; of management with the vhost as its path.

    Raises:
        HarnessError: the contract's publisher uses the management API, and this broker has none in reach.
    """
    addresses = world.broker.addresses
    if world.contract.publisher.via == "amqp":
        return addresses.amqp
    if addresses.management is None:
        raise HarnessError("the publisher uses the management API (publisher.via), and this broker has none in reach")
    return addresses.management.rstrip("/") + (urlsplit(addresses.amqp).path or "/%2F")
