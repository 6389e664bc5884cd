"""What a broker must be able to do for a scenario. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.faults.base import make_fault
from conformance.faults.broker.base import BrokerFault
from conformance.scenario.steps import AdvanceClock, Attempt, AttemptKind, BeginFault, BrokerDown, Step

__all__ = ["ATTEMPT_NEEDS", "needs_of"]

ATTEMPT_NEEDS: dict[AttemptKind, frozenset[str]] = {
    "old-tls": frozenset({"tls"}),
    "management": frozenset({"management"}),
    "connections": frozenset({"attack", "admin"}),
    "queues": frozenset({"attack", "admin"}),
}
"""What the broker must be able to do for an attempt; of others ``attack``. Who fills it up has it to himself."""


def needs_of(steps: Iterable[Step]) -> frozenset[str]:
    """The capabilities (:data:`conformance.world.broker.base.Capability`) that the steps take.

    Raises:
        UsageError: a step names a fault that there is not, or parameters that it can't have.
    """
    found: set[str] = set()
    for step in steps:
        match step:
            case AdvanceClock():
                found.add("clock")
            case Attempt(what=what):
                found |= ATTEMPT_NEEDS.get(what, frozenset({"attack"}))
            case BrokerDown(how=how):
                found.add("restart" if how == "terminate" else "kill")
            case BeginFault(link="broker"):
                fault = make_fault(step.fault, step.parameters, link="broker")
                if isinstance(fault, BrokerFault):
                    found |= fault.needs
            case _:
                pass
    return frozenset(found)
