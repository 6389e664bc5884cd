"""The steps that the cases are told in, with the contract's own keys filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from conformance.catalogue.keys import binding, concrete, stray
from conformance.contract.model import Contract
from conformance.scenario.steps import (
    AddAddress,
    AwaitFault,
    BeginFault,
    Behave,
    BodyKind,
    BrokerDown,
    BrokerUp,
    ClosePublisher,
    CloseTab,
    DuplicateTab,
    EndFault,
    OpenTab,
    PropertyName,
    Publish,
    ReloadTab,
    Settle,
    Step,
)

__all__ = ["Telling", "takes_bytes"]


def takes_bytes(contract: Contract) -> bool:
    """Whether the publisher can be given bodies that are no text: a program that speaks JSON lines can't."""
    return contract.publisher.command is None


@dataclass(frozen=True, slots=True)
class Telling:
    """Makes steps for one contract. Tabs are ``t1``, ``t2`` …; tab ``n`` takes the n-th routing key in turn."""

    contract: Contract

    def at_most_prefetch(self, count: int) -> int:
        """``count``, or as many as the broker delivers to a tab that acks nothing."""
        return min(count, self.contract.tab.prefetch or count)

    def open(self, number: int = 1) -> OpenTab:
        """Open tab ``number`` on its binding."""
        return OpenTab(tab=f"t{number}", exchange=self.contract.tab.exchange, key=binding(self.contract, number - 1))

    def publish(
        self,
        count: int = 3,
        *,
        to: int = 1,
        size_bytes: int = 64,
        body: BodyKind = "text",
        pipelined: bool = False,
        wait: bool = True,
        properties: Mapping[PropertyName, Any] | None = None,
        timeout_s: float | None = None,
        wait_s: float | None = None,
    ) -> Publish:
        """Publish ``count`` messages that tab ``to``'s binding matches."""
        return Publish(
            exchange=self.contract.tab.exchange,
            key=concrete(self.contract, binding(self.contract, to - 1)),
            count=count,
            size_bytes=size_bytes,
            body=body,
            pipelined=pipelined,
            wait=wait,
            properties=None if properties is None else dict(properties),
            timeout_s=timeout_s,
            wait_s=wait_s,
        )

    def strays(self, count: int) -> tuple[Publish, ...]:
        """Publish ``count`` messages that nobody is bound for; nothing where there can be none (a fanout exchange)."""
        key = stray(self.contract)
        return () if key is None else (Publish(exchange=self.contract.tab.exchange, key=key, count=count),)

    def second_address(self) -> AddAddress:
        """Give the publisher, which is made with the first message, a second address of the broker."""
        return AddAddress()

    def close_publisher(self) -> ClosePublisher:
        """Have the publisher closed; it may take three seconds, or the rest of what is under way, whichever ends first.

        One that waits for nothing has closed by then, however late it was told.
        """
        return ClosePublisher(wait_s=3)

    def begin(self, fault: str, /, link: str = "t1", **parameters: Any) -> BeginFault:
        """Switch a fault on."""
        return BeginFault(link=link, fault=fault, parameters=parameters)

    def fired(self, link: str = "t1") -> AwaitFault:
        """Wait until the link's fault was seen to happen."""
        return AwaitFault(link=link)

    def heal(self, link: str = "t1") -> EndFault:
        """End the link's fault."""
        return EndFault(link=link)

    def reload(self, number: int = 1) -> ReloadTab:
        """Reload the page."""
        return ReloadTab(tab=f"t{number}")

    def duplicate(self, number: int = 1) -> DuplicateTab:
        """Duplicate the page."""
        return DuplicateTab(tab=f"t{number}")

    def close(self, number: int = 1) -> CloseTab:
        """Close the tab for good."""
        return CloseTab(tab=f"t{number}")

    def behave(
        self, number: int = 1, *, withhold_acks: bool = False, withhold_handling: bool = False, delay_ms: int = 0
    ) -> Behave:
        """Change how the page treats messages."""
        return Behave(
            tab=f"t{number}", withhold_acks=withhold_acks, withhold_handling=withhold_handling, delay_ms=delay_ms
        )

    def kept_out(self, fault: str, **parameters: Any) -> tuple[Step, ...]:
        """Cut the links of tab 1 and the publisher while the broker's fault lets nobody in.

        It ends once a second tab, opened meanwhile, was refused some times.
        """
        return (
            self.begin(fault, link="broker", **parameters),
            self.begin("rst"),
            self.begin("rst", link="publisher"),
            self.heal(),
            self.heal("publisher"),
            self.publish(2, wait_s=2.0),
            self.open(2),
            self.heal("broker"),
        )

    def settle(self) -> Settle:
        """Wait until what is owed so far has come."""
        return Settle()

    def down(self, how: Literal["terminate", "kill"]) -> BrokerDown:
        """End the broker's node."""
        return BrokerDown(how=how)

    def up(self) -> BrokerUp:
        """Start the node again."""
        return BrokerUp()
