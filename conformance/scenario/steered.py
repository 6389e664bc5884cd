"""Scenarios that are steered towards situations that have not been met yet.

A *script* is a list of wishes written around one fault such that its scenario meets most of what that fault can be
seen with: the fault is put on, then tab after tab and the publisher are cut off and come back, with messages under way
all the time. Hypothesis draws how each wish looks and which few are left out (so no two scenarios are alike, and a
failing one shrinks by leaving out more); the director makes what is left a scenario that can be played.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hypothesis import strategies as st

from conformance.contract.model import Contract
from conformance.scenario.coverage import Coverage
from conformance.scenario.cues import CUES, Cue, Parameters, cues_for
from conformance.scenario.keys import Keys, keys_for
from conformance.scenario.situations import label_of
from conformance.scenario.steps import (
    Behave,
    BrokerDown,
    BrokerUp,
    DuplicateTab,
    OpenTab,
    Publish,
    ReloadTab,
    Scenario,
    Settle,
)
from conformance.scenario.strategies import Heal, Send, Strike, Wish, directed
from conformance.scenario.trouble import Trouble, troubles_for

__all__ = ["Steering"]

_MOST_STEPS = 56
_LEFT_OUT_IN = 12
"""One wish in so many is left out of a script."""

_NOT_CAST_IN = 200
"""One tab in so many is not opened."""

_TAKE_AWAY = frozenset({"restart", "kill", "pause"})
"""Faults with which the broker itself is away."""

_Slot = st.SearchStrategy[Wish]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Script:
    """Wishes in their order, after ``cast`` tabs were opened."""

    cast: int
    slots: list[_Slot]


class Steering:
    """Chooses around which fault the next scenario is written: the one with the most pairs missing.

    A fault that was tried before counts for less with each try, so that what can hardly be met does not take all the
    time. The choice depends on the coverage, and so on how plays went; what is drawn depends on Hypothesis's seed.

    Args:
        contract: the contract.
        coverage: what was met so far.
        broker_faults: whether the broker's node is the scenarios' own.
        broker_can: the broker's capabilities.
        seed: the seed of every scenario.
    """

    def __init__(
        self,
        contract: Contract,
        coverage: Coverage,
        *,
        broker_faults: bool = False,
        broker_can: Container[str] = ("restart", "kill"),
        seed: int = 0,
    ) -> None:
        self._keys = keys_for(contract)
        self._coverage = coverage
        self._seed = seed
        self._tries: Counter[str] = Counter()
        self._writer = _Writer(contract)
        self._scripts = _scripts(self._writer, contract, broker_faults, broker_can)
        self._of_node = _TAKE_AWAY.intersection(self._scripts)
        self._quiet = {cue.fault: self._writer.quietly(cue) for cue in cues_for(contract) if "tab" in cue.on}

    def next(self) -> st.SearchStrategy[Scenario] | None:
        """Scenarios around the fault whose turn it is; None: all that this check can meet has been met."""
        missing = self._coverage.missing()
        with_broker = [pair[0][1] for pair in missing if pair[1] == ("away", "broker") and pair[0][0] == "fault"]
        wanted: Counter[str] = Counter()
        for (dimension, value), _ in missing:
            if dimension == "fault":
                wanted[value] += 1
        for name in self._of_node:  # what links suffer while the broker is away only these can show
            wanted[name] += len(with_broker)
        fault = max(self._scripts, key=lambda name: wanted[name] / (1 + self._tries[name]), default=None)
        if fault is None or not wanted[fault]:
            return None
        self._tries[fault] += 1
        others = with_broker if self._of_node else [name for name, _ in wanted.most_common() if name != fault]
        script = self._scripts[fault](others)
        if (("fault", fault), ("message", "none")) in missing:
            script = replace(script, slots=[*self._quiet.get(fault, ()), *script.slots])
        return _scenarios(script, self._writer.opening, self._keys, self._seed)


def _scenarios(script: _Script, opening: OpenTab, keys: Keys, seed: int) -> st.SearchStrategy[Scenario]:
    cast: list[_Slot] = [_unless_one_in(_NOT_CAST_IN, st.just(opening))] * script.cast
    slots = [*cast, *(_unless_one_in(_LEFT_OUT_IN, slot) for slot in script.slots)]
    return st.tuples(*slots).map(lambda wishes: directed(wishes, keys, most_steps=_MOST_STEPS, seed=seed))


def _unless_one_in(number: int, slot: _Slot) -> _Slot:
    """The slot, but once in so many times nothing, which is the simplest: so a failing script shrinks."""
    nothing: _Slot = st.none()
    return st.integers(0, number - 1).flatmap(lambda drawn: slot if drawn else nothing)


_Write = Callable[[Sequence[str]], _Script]
"""Takes further faults of links that are to be met, the most wanted first."""


def _scripts(writer: _Writer, contract: Contract, broker_faults: bool, broker_can: Container[str]) -> dict[str, _Write]:
    """By a situation's fault: what makes its script."""
    found: dict[str, _Write] = {}
    troubles: dict[str, list[Trouble]] = {}
    for trouble in troubles_for(contract, alone=broker_faults, broker_can=broker_can):
        troubles.setdefault(label_of(trouble.fault, "broker"), []).append(trouble)
    for label, alike in troubles.items():
        found[label] = lambda links, alike=alike: writer.trouble(alike, links)  # type: ignore[misc]
    if broker_faults:
        for way, down in _downs(contract, broker_can).items():
            found[way] = lambda links, down=down: writer.broker(down, links)  # type: ignore[misc]
        return found
    for cue in cues_for(contract):
        if "tab" in cue.on:
            found[cue.fault] = lambda links, cue=cue: writer.tab(cue, links)  # type: ignore[misc]
        if "publisher" in cue.on:
            found[label_of(cue.fault, "publisher")] = lambda links, cue=cue: writer.publisher(cue, links)  # type: ignore[misc]
    return found


def _downs(contract: Contract, broker_can: Container[str]) -> dict[str, BrokerDown]:
    """The ways to take the node down that are promised and can be gone."""
    ways = {
        "restart": ("broker-restart", BrokerDown(how="terminate")),
        "kill": ("broker-kill", BrokerDown(how="kill")),
    }
    promised = contract.promise.survives
    return {way: down for way, (word, down) in ways.items() if word in promised and way in broker_can}


PUBLISHER: Literal["publisher"] = "publisher"
_RST = next(cue for cue in CUES if cue.fault == "rst")
_DOWN: Parameters = {"down": True}


class _Writer:
    """Writes scripts. Tabs are ``t1`` to ``t4``, all with the contract's first binding; ``t1`` is struck."""

    def __init__(self, contract: Contract) -> None:
        binding = keys_for(contract).bindings[0]
        self.opening = OpenTab(tab="", exchange=binding.exchange, key=binding.key)
        self._cues = cues_for(contract)
        self._cuts = "cut" in contract.promise.survives
        self._reloads = "reload" in contract.promise.survives

    def tab(self, cue: Cue, further: Sequence[str]) -> _Script:
        """A fault of a tab's link, while others are cut off and come back."""
        struck = "t1"
        of_tabs, of_publisher = self._cues_of(further, "tab"), self._cues_of(further, PUBLISHER)
        slots = [
            *self._prepared(struck, cue),
            self._strike(cue, struck),
            self._waited(struck),
            st.just(Settle()),
            self._reload(struck),
            self._some(struck),
            self._gone("t2", of_tabs),
            self._some(struck),
            *self._away("t3"),
            self._some(struck),
            *self._away("t4"),
            self._reload(struck),
            self._some(struck),
            self._gone(PUBLISHER, of_publisher),
            self._some(struck),
            self._reload(struck),
            *self._back("t4", "t3", "t2"),
            self._some(struck),
            *self._back(struck, PUBLISHER),
            st.just(Behave(tab=struck)),
            self._waited(struck),
        ]
        return _Script(cast=4, slots=slots)

    def quietly(self, cue: Cue) -> list[_Slot]:
        """A fault of a tab's link with nothing under way: before the first message, and once more after a reload."""
        struck = "t1"
        return [
            self._strike(cue, struck, down=False),
            st.just(Settle()),
            self._reload(struck),
            *self._back(struck),
        ]

    def _prepared(self, struck: str, cue: Cue) -> list[_Slot]:
        """How the tab stands when the fault comes: new, with messages, holding them back, or with two pages."""
        withheld: list[_Slot] = []
        if cue.waits_for != "traffic":
            withheld = [st.just(Behave(tab=struck, withhold_acks=True)), self._waited(struck)]
        doubled: list[_Slot] = []
        if cue.waits_for == "nothing" and self._reloads:
            doubled = [st.sampled_from([None, DuplicateTab(tab=struck)])]
        return [st.sampled_from([None, *[Send(to=struck, publish=Publish(count=2))] * 3]), *withheld, *doubled]

    def publisher(self, cue: Cue, further: Sequence[str]) -> _Script:
        """A fault of the publisher's link, while the tabs are in every phase."""
        slots = [
            *self._in_every_way(),
            self._waited("t1"),
            self._strike(cue, PUBLISHER),
            *self._comings_and_goings(further, with_publisher=False),
            *self._back(PUBLISHER),
            self._waited("t1"),
        ]
        return _Script(cast=3, slots=slots)

    def broker(self, down: BrokerDown, links: Sequence[str]) -> _Script:
        """The node goes down and comes back, with links at fault before and cut off afterwards.

        Args:
            down: how.
            links: faults of links to put on before it goes.
        """
        slots = [
            *self._before_the_broker(links),
            self._some("t2"),
            st.just(down),
            self._some("t2"),
            st.just(self.opening.model_copy(update={"wait": False})),
            self._reload("t2"),
            st.just(BrokerUp()),
            self._some("t2"),
            *self._back(PUBLISHER),
            self._waited("t2"),
            *self._back("t1", "t2", "t3", "t4"),
            *self._comings_and_goings(),
            *self._back(PUBLISHER),
            self._waited("t1"),
        ]
        return _Script(cast=4, slots=slots)

    def _before_the_broker(self, links: Sequence[str]) -> list[_Slot]:
        """Faults of links that have not been seen while the broker was away; then how the tabs stand."""
        struck = [
            self._strike(cue, tab) for cue, tab in zip(self._cues_of(links, "tab"), ("t1", "t2", "t4"), strict=False)
        ] + [self._strike(cue, PUBLISHER) for cue in self._cues_of(links, PUBLISHER)[:1]]
        if not links:
            struck = [*self._away("t1", at_times=True), *self._away(PUBLISHER, at_times=True)]
        doubled: list[_Slot] = [st.just(DuplicateTab(tab="t3"))] if self._reloads else []
        # A tab that holds messages back keeps what the node's fault did from being over, once all are back.
        holding = [st.just(Behave(tab="t3", withhold_acks=True)), *doubled]
        return [self._waited("t1"), *struck, *(holding if links else self._in_every_way())]

    def trouble(self, alike: Sequence[Trouble], links: Sequence[str]) -> _Script:
        """A fault of the broker, once while all is well and again with others cut off."""
        trouble: _Slot = st.sampled_from([*alike])
        takes_away = label_of(alike[0].fault, "broker") in _TAKE_AWAY
        slots = [
            *(self._before_the_broker(links) if takes_away and links else self._in_every_way()),
            self._waited("t1"),
            trouble,
            *(self._back("t1", "t2", "t4", PUBLISHER) if takes_away else []),
            *self._away("t1"),
            *[self._strike(cue, PUBLISHER) for cue in self._cues_of(links, PUBLISHER)[1:2] if takes_away],
            self._some("t2"),
            trouble,
            *self._comings_and_goings(),
            *self._back("t1", PUBLISHER),
            self._waited("t1"),
        ]
        return _Script(cast=4 if takes_away else 3, slots=slots)

    # --- parts -----------------------------------------------------------------------------------

    def _in_every_way(self) -> list[_Slot]:
        """One tab withholds acks, one has two pages."""
        doubled: list[_Slot] = [st.just(DuplicateTab(tab="t2"))] if self._reloads else []
        return [st.just(Behave(tab="t3", withhold_acks=True)), *doubled]

    def _comings_and_goings(self, further: Sequence[str] = (), *, with_publisher: bool = True) -> list[_Slot]:
        """A tab is opened; one after the other all go, the publisher too, and come back."""
        return [
            self._some("t1"),
            st.just(self.opening),
            self._gone("t1", self._cues_of(further, "tab")),
            self._some("t1"),
            *self._away("t2"),
            self._some("t1"),
            *self._away("t3"),
            *self._away("t4"),
            self._some("t1"),
            st.just(self.opening),
            *(self._away(PUBLISHER) if with_publisher else []),
            *self._back("t1", "t2"),
            st.just(Behave(tab="t3")),
            *self._back("t3", "t4"),
            self._some("t1"),
        ]

    def _strike(self, cue: Cue, link: str, *, down: bool | None = None) -> _Slot:
        """``down``: whether the link stays cut, where the fault can be asked; None: drawn."""
        publish = st.builds(Publish, count=st.integers(1, 5), pipelined=st.booleans(), wait=st.just(False))
        parameters = cue.parameters if down is None else _with_down(cue, down=down)
        return st.builds(Strike, cue=st.just(cue), parameters=parameters, link=st.just(link), publish=publish)

    def _away(self, link: str, *, at_times: bool = False) -> list[_Slot]:
        if not self._cuts:
            return []
        strike = Strike(cue=_RST, parameters=_DOWN, link=link, publish=Publish())
        return [st.sampled_from([None, strike]) if at_times else st.just(strike)]

    def _gone(self, link: str, cues: Sequence[Cue]) -> _Slot:
        """The link is cut off, by the first of these faults or by a plain cut."""
        away = self._away(link)
        plain: _Slot = away[0] if away else st.none()
        if not cues:
            return plain
        cue = cues[0]
        publish = st.just(Publish(count=2, pipelined=True, wait=False))
        parameters = _with_down(cue, down=True)
        strike = st.builds(Strike, cue=st.just(cue), parameters=parameters, link=st.just(link), publish=publish)
        return st.one_of(plain, strike, strike.map(lambda wish: wish))

    def _cues_of(self, labels: Sequence[str], link: Literal["tab", "publisher"]) -> list[Cue]:
        """Of the faults with these labels those that suit the link, in that order."""
        found = {label_of(cue.fault, link): cue for cue in self._cues if link in cue.on}
        return [found[label] for label in labels if label in found]

    def _back(self, *links: str) -> list[_Slot]:
        return [st.just(Heal(link=link)) for link in links]

    def _reload(self, tab: str) -> _Slot:
        return st.just(ReloadTab(tab=tab)) if self._reloads else st.none()

    def _some(self, to: str) -> _Slot:
        """A few messages that nobody waits for."""
        publish = st.builds(Publish, count=st.integers(1, 4), pipelined=st.booleans(), wait=st.just(False))
        return st.builds(Send, to=st.just(to), publish=publish)

    def _waited(self, to: str) -> _Slot:
        return st.just(Send(to=to, publish=Publish(count=2)))


def _with_down(cue: Cue, *, down: bool) -> st.SearchStrategy[Parameters]:
    return cue.parameters.map(lambda drawn: drawn | {"down": down} if "down" in drawn else drawn)
