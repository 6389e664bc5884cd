"""What a scenario has brought about so far: a small model of the world, without a world.

The one place that knows which step makes sense when. :mod:`conformance.scenario.validate` holds finished
scenarios against it, :mod:`conformance.scenario.strategies` draws steps that it takes.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import singledispatchmethod

from conformance.contract.model import Contract
from conformance.contract.naming import most_key_bytes, subscribable
from conformance.contract.refusal import did_you_mean
from conformance.errors import UsageError
from conformance.faults.base import LinkKind, make_fault
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

__all__ = ["BROKER", "MOST_TABS", "PROGRAM", "PUBLISHER", "Page", "Stage"]

PUBLISHER = "publisher"
"""The name of the publisher's link; every other link has its tab's name."""
BROKER = "broker"
"""Where a fault of the broker itself is begun and ended."""
PROGRAM = "program"
"""Where a fault of the publisher's program is begun and ended."""
MOST_TABS = 100
_TAB_NAME = re.compile(r"[\w-]{1,20}")
_MOST_KEY_BYTES = 255  # AMQP 0-9-1, 4.2.5.3 (short strings)


@dataclass(slots=True)
class Page:
    """A tab that was opened. ``pages`` counts it and its duplicates."""

    exchange: str
    key: str
    pages: int = 1
    closed: bool = False
    behaviour: Behave | None = None


@dataclass(slots=True)
class Stage:
    """The state after the steps that were applied; ``contract`` None: exchanges and keys are not checked."""

    contract: Contract | None = None
    pages: dict[str, Page] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    """The name of the fault that is on, by link."""
    broker_is_up: bool = True
    published_empty: bool = False
    """An empty body was published: a second one could not be told from it."""

    @property
    def open_tabs(self) -> list[str]:
        """The tabs that are open, in the order of their opening."""
        return [name for name, page in self.pages.items() if not page.closed]

    @singledispatchmethod
    def apply(self, step: object) -> None:
        """Take one step.

        Raises:
            UsageError: it makes no sense here, and the state is as before; the field is the step's own, empty where
                the step as a whole is wrong.
        """
        raise TypeError(f"{type(step).__name__} is no step")

    @apply.register
    def _(self, step: OpenTab) -> None:
        if not _TAB_NAME.fullmatch(step.tab) or step.tab in (PUBLISHER, BROKER, PROGRAM):
            raise UsageError(
                "tab", f"{step.tab!r} is no name of a tab", 'Write up to 20 letters and digits, such as "t1".'
            )
        if step.tab in self.pages:
            was = "was closed for good" if self.pages[step.tab].closed else "is open already"
            raise UsageError("tab", f"the tab {step.tab} {was}", "Open a tab of another name.")
        if len(self.pages) >= MOST_TABS:
            raise UsageError("", f"this is one tab more than {MOST_TABS}", "Use fewer tabs.")
        if step.wait and not self.broker_is_up:
            raise UsageError("wait", "the tab can't be subscribed while the broker is down", 'Write "wait": false.')
        self._check_key(step.exchange, step.key, subscribed=True)
        self.pages[step.tab] = Page(step.exchange, step.key)

    @apply.register
    def _(self, step: ReloadTab) -> None:
        self._open_page(step.tab).pages = 1

    @apply.register
    def _(self, step: DuplicateTab) -> None:
        self._open_page(step.tab).pages += 1

    @apply.register
    def _(self, step: CloseTab) -> None:
        self._open_page(step.tab).closed = True

    @apply.register
    def _(self, step: Behave) -> None:
        self._open_page(step.tab).behaviour = step

    @apply.register
    def _(self, step: Publish) -> None:
        self._check_key(step.exchange, step.key, subscribed=False)
        if step.body == "empty":
            if self.published_empty or step.count > 1:
                raise UsageError(
                    "body", "two empty bodies can't be told apart", "Publish one in a scenario, with count 1."
                )
            self.published_empty = True

    @apply.register(AddAddress)
    @apply.register(ClosePublisher)
    def _(self, step: AddAddress | ClosePublisher) -> None:
        """At any time, also where none has published yet."""

    @apply.register
    def _(self, step: BeginFault) -> None:
        self._check_link(step.link)
        if step.link in self.faults:
            raise UsageError(
                "link", f"{step.link} is at fault already ({self.faults[step.link]})", "End that fault first."
            )
        kinds: dict[str, LinkKind] = {PUBLISHER: "publisher", BROKER: "broker", PROGRAM: "program"}
        fault = make_fault(step.fault, step.parameters, link=kinds.get(step.link, "tab"))
        if step.link == BROKER:
            if not self.broker_is_up:
                raise UsageError("link", "the broker is down", "Put a broker_up before it.")
            tab = getattr(fault, "tab", None)
            if tab is not None:
                try:
                    self._open_page(tab)
                except UsageError as error:
                    raise UsageError("parameters.tab", error.problem, error.way_out) from None
        self.faults[step.link] = step.fault

    @apply.register
    def _(self, step: AwaitFault) -> None:
        self._check_link(step.link)
        self._check_at_fault(step.link)

    @apply.register
    def _(self, step: EndFault) -> None:
        self._check_link(step.link)
        self._check_at_fault(step.link)
        del self.faults[step.link]

    @apply.register
    def _(self, step: BrokerDown) -> None:  # noqa: ARG002 - both ways are alike here
        if not self.broker_is_up:
            raise UsageError("", "the broker is down already", "Put a broker_up before it.")
        if BROKER in self.faults:
            raise UsageError("", f"the broker is at fault ({self.faults[BROKER]})", "End that fault first.")
        self.broker_is_up = False

    @apply.register
    def _(self, step: BrokerUp) -> None:  # noqa: ARG002 - a step without fields
        if self.broker_is_up:
            raise UsageError("", "the broker is up already", "Put a broker_down before it.")
        self.broker_is_up = True

    @apply.register
    def _(self, step: AdvanceClock) -> None:  # noqa: ARG002 - any time will do
        if not self.broker_is_up:
            raise UsageError("", "the broker is down and has no clock to move", "Put a broker_up before it.")

    @apply.register(ObserveQueue)
    @apply.register(AwaitQueue)
    def _(self, step: ObserveQueue | AwaitQueue) -> None:
        if step.tab not in self.pages:
            raise UsageError("tab", f"no tab {step.tab!r} was opened before", _suggest_tab(step.tab, self.open_tabs))
        if not self.broker_is_up:
            raise UsageError("", "the broker is down and can't be asked", "Put a broker_up before it.")

    @apply.register
    def _(self, step: Attempt) -> None:  # noqa: ARG002 - any of them may be tried at any time
        if not self.broker_is_up:
            raise UsageError("", "the broker is down and nothing can be tried", "Put a broker_up before it.")

    @apply.register
    def _(self, step: Settle) -> None:  # noqa: ARG002 - a step without fields
        if not self.broker_is_up:
            raise UsageError("", "nothing can come while the broker is down", "Put a broker_up before it.")

    def _open_page(self, tab: str) -> Page:
        page = self.pages.get(tab)
        if page is None:
            raise UsageError("tab", f"no tab {tab!r} was opened before", _suggest_tab(tab, self.open_tabs))
        if page.closed:
            raise UsageError("tab", f"the tab {tab} was closed for good before", _suggest_tab(tab, self.open_tabs))
        return page

    def _check_link(self, link: str) -> None:
        if link not in (PUBLISHER, BROKER, PROGRAM):
            try:
                self._open_page(link)
            except UsageError as error:
                raise UsageError(
                    "link", error.problem, f'{error.way_out} "{PUBLISHER}" is a link too, and so is "{BROKER}".'
                ) from None

    def _check_at_fault(self, link: str) -> None:
        if link not in self.faults:
            raise UsageError("link", f"no fault is on at {link}", "Put a begin_fault before it.")

    def _check_key(self, exchange: str, key: str, *, subscribed: bool) -> None:
        if any(unicodedata.category(char) in ("Cc", "Cs") for char in key):
            raise UsageError("key", f"{key!r} holds a control character", "Write a key without.")
        _check_length(key, _MOST_KEY_BYTES)
        if "%2F" in key and subscribed:
            raise UsageError("key", f"{key!r} holds %2F, which a STOMP destination can't say", "Write / for a slash.")
        if self.contract is None:
            return
        if exchange not in self.contract.exchanges:
            raise UsageError(
                "exchange",
                f"the contract has no exchange {exchange!r}",
                did_you_mean(exchange, self.contract.exchanges),
            )
        _check_length(key, most_key_bytes(self.contract.exchanges[exchange]))
        if subscribed and exchange not in subscribable(self.contract):
            raise UsageError(
                "exchange",
                f"the contract's tab.destination can't name the exchange {exchange!r}",
                f"Open the tab on one of: {', '.join(subscribable(self.contract))}.",
            )


def _check_length(key: str, most: int) -> None:
    if len(key.encode()) > most:
        raise UsageError("key", f"{key[:40]!r}… is longer than {most} bytes", "Shorten it.")


def _suggest_tab(tab: str, open_tabs: list[str]) -> str:
    return did_you_mean(tab, open_tabs) if open_tabs else "Put an open_tab before it."
