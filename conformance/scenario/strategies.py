"""Hypothesis strategies that draw whole scenarios, valid by construction.

What is drawn is a list of *wishes*: steps, and faults with what they wait for. A director goes through the list
and puts on stage what can be put there: a wish for the third tab goes to the open tab of that number (counted
around), one that makes no sense at the moment is passed over. So every list gives a scenario that can be played,
each wish stands alone, and Hypothesis shrinks by leaving wishes out.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from functools import singledispatchmethod
from itertools import chain, product
from typing import Any, ClassVar, Literal

from hypothesis import strategies as st

from conformance.contract.model import Contract
from conformance.scenario.cues import Cue, Parameters, cues_for
from conformance.scenario.keys import Keys, Route, keys_for
from conformance.scenario.stage import BROKER, PUBLISHER, Stage
from conformance.scenario.steps import (
    AwaitFault,
    BeginFault,
    Behave,
    BrokerDown,
    BrokerUp,
    CloseTab,
    DuplicateTab,
    EndFault,
    OpenTab,
    Publish,
    ReloadTab,
    Scenario,
    Settle,
    Step,
)
from conformance.scenario.trouble import Staging, Trouble, troubles_for

__all__ = ["MOST_STEPS", "MOST_TABS", "Heal", "Send", "Strike", "Wish", "directed", "publishes", "scenarios"]

MOST_STEPS = 30
MOST_TABS = 5
_ACTS = 3  # several lists give longer scenarios than one, and shrink to nothing as well
_MOST_WISHES = 8  # of an act
_MOST_MESSAGES = 900  # of a whole scenario, so that it is played in well under a second
_MOST_WHILE_SLOW = 5  # messages of one step where a page or a link is slow
_MOST_BYTES_WHILE_SLOW = 1000
_MOST_FOR_A_WISH = 4  # steps: the end of the last fault, the new one, what sets it off, the wait for it
_MOST_FOR_TROUBLE = 8  # steps, and a reload of each tab: a fault of the broker with all that goes with it
_MOST_BEFORE_SLOW = 100  # messages published before a link may become slow: some may still be on their way


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A wish for a fault: ``link`` is a tab (or, where the fault suits both, the publisher)."""

    cue: Cue
    parameters: Parameters
    link: str
    publish: Publish
    """What is published to set it off, but for key and count, which the fault decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A wish for messages: to a tab (whatever its binding matches), or with a key that may match any number of them."""

    to: str | Route
    publish: Publish


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """A wish that this very link be well, if it is at fault (an ``EndFault`` heals another where this one is not)."""

    link: str


Body = Literal["text", "unicode", "binary"]
Wish = Step | Send | Strike | Heal | Trouble | None
"""None wishes for nothing: the simplest, so that every other can shrink to it and then go."""


def scenarios(
    contract: Contract,
    *,
    broker_faults: bool = False,
    broker_can: Container[str] = ("restart", "kill"),
    most_steps: int = MOST_STEPS,
    seed: int = 0,
) -> st.SearchStrategy[Scenario]:
    """Draw scenarios for a contract: what it promises to survive, with its exchanges and keys.

    Args:
        contract: the contract.
        broker_faults: whether some scenarios (about one in three) take the broker down, once.
        broker_can: the broker's capabilities; of the two ways to take it down those it knows are drawn.
        most_steps: how long a scenario may be, at least 5.
        seed: the seed of every scenario, for the faults' and tabs' own randomness.
    """
    keys = keys_for(contract)
    wish = _wishes(contract, keys, broker_faults, broker_can)
    acts = st.tuples(*(st.lists(wish, max_size=_MOST_WISHES) for _ in range(_ACTS)))

    def told(cast: list[Route], acts: tuple[list[Wish], ...]) -> Scenario:
        opened = [OpenTab(tab="", exchange=route.exchange, key=route.key) for route in cast]
        return directed(chain(opened, *acts), keys, most_steps=most_steps, seed=seed)

    cast = st.lists(st.sampled_from(keys.bindings), min_size=1, max_size=MOST_TABS - 1)
    return st.builds(told, cast, acts)


def directed(
    wishes: Iterable[Wish],
    keys: Keys,
    *,
    most_steps: int = MOST_STEPS,
    most_messages: int = _MOST_MESSAGES,
    seed: int = 0,
) -> Scenario:
    """The scenario of a list of wishes: what of them can be put on stage, in their order."""
    director = _Director(keys, most_steps, most_messages)
    for wish in wishes:
        director.perform(wish)
    director.finish()
    return Scenario(seed=seed, steps=tuple(director.steps))


# --- wishes ----------------------------------------------------------------------------------------


def _wishes(contract: Contract, keys: Keys, broker_faults: bool, broker_can: Container[str]) -> st.SearchStrategy[Wish]:
    """One wish; the plainest kinds first, the frequent ones several times."""
    promise = contract.promise.survives
    tabs = st.sampled_from([f"t{number}" for number in range(1, MOST_TABS + 1)])
    publish = publishes(contract)
    send = st.builds(Send, to=tabs | st.sampled_from(keys.published), publish=publish)
    opening = st.builds(
        lambda route, wait: OpenTab(tab="", exchange=route.exchange, key=route.key, wait=wait),
        st.sampled_from(keys.bindings),
        st.sampled_from([True, True, True, False]),
    )
    links = tabs | st.just(PUBLISHER)
    strikes = [
        st.builds(Strike, cue=st.just(cue), parameters=cue.parameters, link=links, publish=publish)
        for cue in cues_for(contract)
    ]
    behave = st.builds(
        Behave,
        tab=tabs,
        withhold_acks=st.booleans(),
        withhold_handling=st.sampled_from([False, False, True]),
        delay_ms=st.sampled_from([0, 0, 1, 5]),
    )
    kinds: list[tuple[int, st.SearchStrategy[Wish]]] = [
        (1, st.none()),
        (6, send),
        (1, opening),
        (1, st.just(Settle())),
    ]
    if strikes:
        kinds += [(6, st.one_of(strikes)), (1, st.builds(EndFault, link=links))]
    if "reload" in promise:
        kinds += [(2, st.builds(ReloadTab, tab=tabs)), (1, st.builds(DuplicateTab, tab=tabs))]
    kinds += [(2, behave), (1, st.builds(CloseTab, tab=tabs))]
    ways = (BrokerDown(how="terminate"), "broker-restart", "restart"), (BrokerDown(how="kill"), "broker-kill", "kill")
    downs = [down for down, survivable, capability in ways if survivable in promise and capability in broker_can]
    if broker_faults and downs:
        kinds += [(1, st.sampled_from(downs)), (1, st.just(BrokerUp()))]
    if troubles := troubles_for(contract, alone=broker_faults, broker_can=broker_can):
        kinds.append((1, st.sampled_from(troubles)))
    # Not one_of: that takes each strategy once, however often it is named.
    weighted = [kind for weight, kind in kinds for _ in range(weight)]
    return st.sampled_from(range(len(weighted))).flatmap(weighted.__getitem__)


def publishes(contract: Contract) -> st.SearchStrategy[Publish]:
    """Some messages, at times a burst; where they go to is not said yet.

    A program that speaks JSON lines can't be given bodies that are no text.
    """
    bodies: tuple[Body, ...] = ("text", "unicode") if contract.publisher.command else ("text", "unicode", "binary")
    sizes_bytes = (64, 64, 64, 64, 0, 1000, 20_000, 200_000)  # the last is more than an AMQP frame
    waits = (True, True, False)
    # A single draw for all but the count: to Hypothesis fewer draws are simpler, and a burst shall not be that.
    few = st.builds(
        lambda count, manner: Publish(
            count=count, size_bytes=manner[0], body=manner[1], pipelined=manner[2], wait=manner[3]
        ),
        st.integers(1, 5),
        st.sampled_from([*product(sizes_bytes, bodies, (False, True), waits)]),
    )
    burst = st.builds(
        Publish,
        count=st.integers(200, 400) | st.integers(20, 60),
        pipelined=st.just(True),
        wait=st.sampled_from(waits),
    )
    return few | burst


_CUTS_NOW = ("rst", "fin")
"""Faults after which a tab is certainly gone."""


def _few(route: Route) -> Publish:
    """A few messages that nobody waits for."""
    return Publish(exchange=route.exchange, key=route.key, count=3, pipelined=True, wait=False)


# --- the director ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Director:
    """Turns wishes into steps.

    Attributes:
        steps: what is put on stage so far.
        sure: tabs that are subscribed for certain as the next step begins, unless a fault is on at their link.
        cut_off: links that carry nothing until they are healed.
        slow: links that a fault slows down.
        publisher_is_connected: likewise for certain.
        messages: how many are published so far.
        large_messages: whether some of them were large.
        is_owed: whether some of them are owed to a tab.
    """

    keys: Keys
    most_steps: int
    most_messages: int = _MOST_MESSAGES
    stage: Stage = field(init=False)
    steps: list[Step] = field(default_factory=list)
    sure: set[str] = field(default_factory=set)
    cut_off: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    publisher_is_connected: bool = False
    messages: int = 0
    large_messages: bool = False
    is_owed: bool = False
    broker_went_down: bool = False

    def __post_init__(self) -> None:
        self.stage = Stage(self.keys.contract)

    def perform(self, wish: Wish) -> None:
        """Put the wish on stage if there is room for it and it makes sense now."""
        if wish is not None and len(self.steps) + _MOST_FOR_A_WISH < self.most_steps:  # one is kept for the finish
            self._perform(wish)

    def finish(self) -> None:
        """See to it that a tab is owed something: a run in which none is shows nothing."""
        if not self.stage.open_tabs and len(self.stage.pages) < MOST_TABS:
            plainest = self.keys.bindings[0]
            self._perform(OpenTab(tab="", exchange=plainest.exchange, key=plainest.key))
        if not self.is_owed:
            self._publish(Publish(), self._route_to(self._open_tab("t1")))

    def _put(self, step: Step) -> None:
        self.stage.apply(step)
        self.steps.append(step)

    def _open_tab(self, wished: str) -> str | None:
        """The open tab that the wish is for, counted around; None: none is open."""
        tabs = self.stage.open_tabs
        return tabs[(int(wished[1:]) - 1) % len(tabs)] if tabs else None

    @singledispatchmethod
    def _perform(self, wish: object) -> None:
        raise TypeError(f"{type(wish).__name__} is no wish")

    @_perform.register
    def _(self, wish: OpenTab) -> None:
        if len(self.stage.pages) < MOST_TABS:
            wait = wish.wait and self.stage.broker_is_up
            step = wish.model_copy(update={"tab": f"t{len(self.stage.pages) + 1}", "wait": wait})
            self._put(step)
            if step.wait:
                self.sure.add(step.tab)

    @_perform.register
    def _(self, wish: ReloadTab) -> None:
        if (tab := self._open_tab(wish.tab)) is not None:
            self._put(ReloadTab(tab=tab))
            if self.stage.broker_is_up and tab not in self.stage.faults:
                self.sure.add(tab)

    @_perform.register
    def _(self, wish: DuplicateTab) -> None:
        tab = self._open_tab(wish.tab)
        if tab in self.sure and tab not in self.stage.faults and self.stage.pages[tab].pages == 1:
            self._put(DuplicateTab(tab=tab))

    @_perform.register
    def _(self, wish: CloseTab) -> None:
        tab = self._open_tab(wish.tab)
        if tab is not None and tab not in self.stage.faults and len(self.stage.open_tabs) > 1:
            self._put(CloseTab(tab=tab))
            self.sure.discard(tab)

    @_perform.register
    def _(self, wish: Behave) -> None:
        if (tab := self._open_tab(wish.tab)) is None:
            return
        step = wish.model_copy(update={"tab": tab})
        if step != (self.stage.pages[tab].behaviour or Behave(tab=tab)):
            self._put(step)

    @_perform.register
    def _(self, wish: Send) -> None:
        if self.messages < self.most_messages:
            self._publish(
                wish.publish, self._route_to(self._open_tab(wish.to)) if isinstance(wish.to, str) else wish.to
            )

    @_perform.register
    def _(self, wish: Settle) -> None:
        withholding = any(self._withholds(tab) for tab in self.stage.open_tabs)
        if self.stage.broker_is_up and not self.cut_off and not withholding:
            self._put(wish)

    @_perform.register
    def _(self, wish: Strike) -> None:
        cue, link = wish.cue, self._link(wish)
        if link is None or not self.stage.broker_is_up:
            return
        if link in self.stage.faults:
            self._heal(link)
        if not self._is_ready(cue, link):
            return
        self._put(BeginFault(link=link, fault=cue.fault, parameters=wish.parameters))
        if cue.cuts_off(wish.parameters):
            self.cut_off.add(link)
        if cue.asks is None:
            self.slow.add(link)
        if cue.waits_for == "connecting":
            self._put(ReloadTab(tab=link))
        elif cue.waits_for == "traffic":
            self._publish(
                wish.publish,
                self._route_to(self._open_tab("t1") if link == PUBLISHER else link),
                cue.messages(wish.parameters),
            )
        self._put(AwaitFault(link=link))
        if link == PUBLISHER and cue.asks is not None:
            self.publisher_is_connected = False

    @_perform.register
    def _(self, wish: EndFault) -> None:
        links = [*self.stage.faults]
        if links and self.stage.broker_is_up:
            self._heal(wish.link if wish.link in links else links[0])

    @_perform.register
    def _(self, wish: Heal) -> None:
        if wish.link in self.stage.faults and self.stage.broker_is_up:
            self._heal(wish.link)

    @_perform.register
    def _(self, wish: BrokerDown) -> None:
        if self.stage.broker_is_up and not self.broker_went_down:
            self._put(wish)
            self.broker_went_down = True
            self.publisher_is_connected = False
            self.sure.clear()  # once it is up again the tabs come back when they please

    @_perform.register
    def _(self, wish: BrokerUp) -> None:
        if not self.stage.broker_is_up:
            self._put(wish)

    @_perform.register
    def _(self, wish: Trouble) -> None:
        room = len(self.steps) + _MOST_FOR_TROUBLE + len(self.stage.open_tabs) < self.most_steps
        if not room or not self.stage.broker_is_up:
            return
        self._stagings[wish.staging](self, wish)

    # --- the broker's troubles -----------------------------------------------------------------------

    def _trouble(self, wish: Trouble, meanwhile: Iterable[Step], **further: Any) -> None:
        """Begin it, take the steps, heal it. No step in between waits for what can't come."""
        self._put(BeginFault(link=BROKER, fault=wish.fault, parameters=dict(wish.parameters) | further))
        for step in meanwhile:
            self._put(step)
            if isinstance(step, Publish):
                self.messages += step.count
        self._put(EndFault(link=BROKER))

    def _published_into(self, wish: Trouble) -> None:
        self._trouble(wish, [self._few_to("t1")])

    def _close_connections(self, wish: Trouble) -> None:
        if self.publisher_is_connected and self.sure - self.stage.faults.keys():
            self._trouble(wish, [AwaitFault(link=BROKER), self._few_to("t1")])
            self.publisher_is_connected = False
            self.sure.clear()

    def _keep_out(self, wish: Trouble) -> None:
        links = [self._unharmed_tab(), PUBLISHER if self.publisher_is_connected else None]
        cuts: list[Step] = []
        for link in links:
            if link is not None and link not in self.stage.faults:
                cuts += [BeginFault(link=link, fault="rst"), EndFault(link=link)]
                self.sure.discard(link)
        self._trouble(wish, [*cuts, self._few_to("t1")])
        self.publisher_is_connected = False

    def _delete_queue(self, wish: Trouble) -> None:
        if (tab := self._unharmed_tab()) is not None:
            self._trouble(wish, [AwaitFault(link=BROKER), _few(self._route_to(tab))], tab=tab)
            self.sure.discard(tab)

    def _purge_queue(self, wish: Trouble) -> None:
        tab = next((tab for tab in self.stage.faults if self.stage.faults[tab] in _CUTS_NOW), None)
        if tab in self.cut_off and tab in self.stage.pages and PUBLISHER not in self.cut_off:
            self._publish(Publish(count=2), self._route_to(tab))
            self._trouble(wish, [], tab=tab)

    def _remove_exchange(self, wish: Trouble) -> None:
        """Every tab has to subscribe again afterwards: by a reload, or because its link is cut off and will be healed.

        A tab whose link is at fault in another way might stay subscribed to a queue that nothing is bound to.
        """
        exchange = self.keys.contract.tab.exchange
        bound = [tab for tab in self.stage.open_tabs if self.stage.pages[tab].exchange == exchange]
        harmed = [tab for tab in bound if tab in self.stage.faults]
        if any(tab not in self.cut_off or self.stage.faults[tab] not in _CUTS_NOW for tab in harmed):
            return
        if any(tab not in self.sure or self.stage.pages[tab].pages > 1 for tab in bound if tab not in harmed):
            return
        self._trouble(wish, [self._few_to("t1")], exchange=exchange)
        for tab in bound:
            if tab not in harmed:
                self._put(ReloadTab(tab=tab))

    _stagings: ClassVar[dict[Staging, Callable[[_Director, Trouble], None]]] = {
        "published into": _published_into,
        "closes": _close_connections,
        "keeps out": _keep_out,
        "deletes": _delete_queue,
        "purges": _purge_queue,
        "removes": _remove_exchange,
    }

    def _few_to(self, wished: str) -> Publish:
        return _few(self._route_to(self._open_tab(wished)))

    def _unharmed_tab(self) -> str | None:
        """A tab that is subscribed for certain, by one page, with nothing wrong at its link."""
        return next(
            (
                tab
                for tab in self.stage.open_tabs
                if tab in self.sure and tab not in self.stage.faults and self.stage.pages[tab].pages == 1
            ),
            None,
        )

    # --- what faults and messages ask for ----------------------------------------------------------

    def _link(self, strike: Strike) -> str | None:
        """The link that the fault goes to: the wished one where the fault suits it."""
        if "tab" not in strike.cue.on or (strike.link == PUBLISHER and "publisher" in strike.cue.on):
            return PUBLISHER
        return self._open_tab("t1" if strike.link == PUBLISHER else strike.link)

    def _heal(self, link: str) -> None:
        self._put(EndFault(link=link))
        self.cut_off.discard(link)
        self.slow.discard(link)
        if link != PUBLISHER:
            self.sure.add(link)

    def _is_ready(self, cue: Cue, link: str) -> bool:
        """Whether what the fault waits for can be brought about at this link now."""
        if cue.asks is None and (self.large_messages or self.messages > _MOST_BEFORE_SLOW):
            return False
        if link == PUBLISHER:
            return self.publisher_is_connected
        if link not in self.sure:
            return False
        if cue.waits_for == "nothing":
            return True
        # Of a tab's two pages either may be the one that gets the message, and a page that withholds may get none.
        if self.stage.pages[link].pages > 1 or (cue.waits_for == "traffic" and self._withholds(link)):
            return False
        return not (cue.waits_for == "traffic" and PUBLISHER in self.cut_off)

    def _withholds(self, tab: str) -> bool:
        behaviour = self.stage.pages[tab].behaviour
        return behaviour is not None and (behaviour.withhold_acks or behaviour.withhold_handling)

    def _route_to(self, tab: str | None) -> Route:
        """What to publish with so that the tab is owed it."""
        if tab is None:
            return self.keys.published[0]
        page = self.stage.pages[tab]
        return self.keys.matching(Route(page.exchange, page.key))

    def _publish(self, wish: Publish, route: Route, least: int = 1) -> None:
        """Publish as wished, within what stays quick, without waiting for what can't come; at least ``least``."""
        count, size_bytes = min(wish.count, self.most_messages - self.messages), wish.size_bytes
        if self.slow or any(self._takes_its_time(tab) for tab in self.stage.open_tabs):
            count, size_bytes = min(count, _MOST_WHILE_SLOW), min(size_bytes, _MOST_BYTES_WHILE_SLOW)
        reachable = self.stage.broker_is_up and PUBLISHER not in self.cut_off
        step = wish.model_copy(
            update={
                "exchange": route.exchange,
                "key": route.key,
                "count": max(least, count),
                "size_bytes": size_bytes,
                "wait": wish.wait and reachable,
            }
        )
        self._put(step)
        self.messages += step.count
        self.large_messages |= step.size_bytes > _MOST_BYTES_WHILE_SLOW
        self.is_owed |= any(
            self.keys.matches(Route(page.exchange, page.key), route)
            for tab, page in self.stage.pages.items()
            if not page.closed
        )
        if step.wait:
            self.publisher_is_connected = True

    def _takes_its_time(self, tab: str) -> bool:
        behaviour = self.stage.pages[tab].behaviour
        return behaviour is not None and behaviour.delay_ms > 0
