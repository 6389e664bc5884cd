"""A named case: the rule it holds a setup to, where the rule is from, and the scenario that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from conformance.catalogue.stage import Place, place_of
from conformance.checker.verdict import Violation
from conformance.contract.model import Contract, Survivable
from conformance.history.events import Event
from conformance.scenario.steps import Step
from conformance.world.broker.base import Capability

__all__ = ["CASES", "Case", "Plan", "Shows", "case"]

Plan = Callable[[Contract], Iterable[Step]]
"""Makes the steps for a contract."""

Shows = Callable[[list[Event], Contract], list[Violation]]
"""What a case asks of the history beyond the checker."""


def _always(_: Contract) -> bool:
    return True


CASES: dict[str, Case] = {}
"""Every named case by its id, in the order of the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One named case.

    Attributes:
        id: stable; ``area/name``.
        rule: what a setup must do, in one sentence.
        source: the specification's section or RabbitMQ's page that the rule rests on.
        expectation: what must be seen in the history.
        plan: makes the steps.
        asks: the parts of ``promise.survives`` that it belongs to; it is made only where all are promised.
        needs: what the broker must be able to do; where it can't, the case is not checked.
        shows: a check of its own on top of the checker's.
        fits: whether it can be told with this contract at all; where not, it is not made.
        by_settings: the plan that takes its place where the broker can't do what it needs or ``tries`` says no: then
            ``shows`` decides from the queue's real settings alone.
        tries: whether the contract's times can be told apart by a trial.
        by: what a certificate says of how it was made, where there are two ways; None: there is one.
    """

    id: str
    rule: str
    source: str
    expectation: str
    plan: Plan
    asks: frozenset[Survivable] = field(default_factory=frozenset)
    needs: frozenset[Capability] = field(default_factory=frozenset)
    shows: Shows | None = None
    fits: Callable[[Contract], bool] = _always
    by_settings: Plan | None = None
    tries: Callable[[Contract], bool] = _always
    by: Literal["trial", "settings"] | None = None

    @property
    def place(self) -> Place:
        """Where it is made: what disturbs the whole node has one to itself."""
        return place_of(self.needs)

    def as_made(self, broker_can: frozenset[Capability], contract: Contract) -> Case:
        """The case as it is made on a broker with these capabilities: by trial if it can be, else from settings."""
        if self.by_settings is None:
            return self
        if self.needs <= broker_can and self.tries(contract):
            return replace(self, by="trial")
        return replace(self, plan=self.by_settings, needs=frozenset(), by="settings")


def case(
    case_id: str,
    *,
    rule: str,
    source: str,
    expectation: str,
    asks: Iterable[Survivable] = (),
    needs: Iterable[Capability] = (),
    shows: Shows | None = None,
    fits: Callable[[Contract], bool] = _always,
    by_settings: Plan | None = None,
    tries: Callable[[Contract], bool] = _always,
) -> Callable[[Plan], Plan]:
    """Register the decorated plan as a case (see :class:`Case` for the arguments).

    Raises:
        ValueError: the id is taken.
    """

    def register(plan: Plan) -> Plan:
        if case_id in CASES:
            raise ValueError(f"two cases are called {case_id}")
        CASES[case_id] = Case(
            id=case_id,
            rule=rule,
            source=source,
            expectation=expectation,
            plan=plan,
            asks=frozenset(asks),
            needs=frozenset(needs),
            shows=shows,
            fits=fits,
            by_settings=by_settings,
            tries=tries,
        )
        return plan

    return register
