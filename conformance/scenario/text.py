"""Scenarios as text that a person reads: one line a step, plain English."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from conformance.contract.duration import text_of
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
    Scenario,
    Settle,
)

__all__ = ["scenario_text", "step_text"]


def scenario_text(scenario: Scenario) -> str:
    """The numbered steps, one a line, without a newline at the end; steps count from 1."""
    width = len(str(len(scenario.steps)))
    return "\n".join(f"{number:>{width}}. {step_text(step)}" for number, step in enumerate(scenario.steps, 1))


@singledispatch
def step_text(step: object) -> str:
    """One step in plain English, without number or full stop."""
    raise TypeError(f"{type(step).__name__} is no step")


@step_text.register
def _(step: OpenTab) -> str:
    key = f' "{step.key}"' if step.key else ""
    return f"open tab {step.tab} on {step.exchange}{key}" + ("" if step.wait else " without waiting")


@step_text.register
def _(step: ReloadTab) -> str:
    return f"reload tab {step.tab}"


@step_text.register
def _(step: DuplicateTab) -> str:
    return f"duplicate tab {step.tab}"


@step_text.register
def _(step: CloseTab) -> str:
    return f"close tab {step.tab} for good"


@step_text.register
def _(step: Behave) -> str:
    habits = [
        *(["withholds acks"] if step.withhold_acks else []),
        *(["withholds handling"] if step.withhold_handling else []),
        *([f"takes {step.delay_ms} ms for each message"] if step.delay_ms else []),
    ]
    return f"tab {step.tab} {' and '.join(habits) or 'handles and acks at once'}"


@step_text.register
def _(step: Publish) -> str:
    what = "1 message" if step.count == 1 else f"{step.count} messages"
    kind = "" if step.body == "text" else f" ({step.body})"
    size = "" if step.size_bytes == Publish.model_fields["size_bytes"].default else f" of {step.size_bytes} bytes"
    key = f' "{step.key}"' if step.key else ""
    at_once = " all at once" if step.pipelined and step.count > 1 else ""
    if at_once and step.callers != Publish.model_fields["callers"].default:
        at_once += f" by {step.callers} callers"
    given = "" if step.properties is None else f" with {_listed(list(step.properties))}"
    given += "" if step.timeout_s is None else f" within {step.timeout_s:g} s"
    waits = "" if step.wait else " without waiting"
    if step.wait and step.wait_s is not None:
        waits = f", waiting {step.wait_s:g} s at most"
    return f"publish {what}{size}{kind} to {step.exchange}{key}{at_once}{given}{waits}"


@step_text.register
def _(step: AddAddress) -> str:  # noqa: ARG001 - a step without fields
    return "have a further address of the broker for the publisher"


@step_text.register
def _(step: ClosePublisher) -> str:
    return f"close the publisher, waiting {step.wait_s:g} s at most"


@step_text.register
def _(step: BeginFault) -> str:
    return f"begin {step.fault}{_parameters(step.parameters)} on {_link(step.link)}"


@step_text.register
def _(step: AwaitFault) -> str:
    return f"wait until the fault on {_link(step.link)} has happened"


@step_text.register
def _(step: EndFault) -> str:
    return f"heal {_link(step.link)}"


@step_text.register
def _(step: BrokerDown) -> str:
    return "stop the broker (SIGTERM)" if step.how == "terminate" else "kill the broker (SIGKILL)"


@step_text.register
def _(step: BrokerUp) -> str:  # noqa: ARG001 - a step without fields
    return "start the broker again"


@step_text.register
def _(step: AdvanceClock) -> str:
    return f"move the broker's clock on by {text_of(step.by_s)}"


@step_text.register
def _(step: ObserveQueue) -> str:
    return f"look at the queue of {step.tab}"


@step_text.register
def _(step: AwaitQueue) -> str:
    state = {"left": "has no consumer", "empty": "is empty", "gone": "is gone"}[step.until]
    return f"wait until the queue of {step.tab} {state}"


@step_text.register
def _(step: Attempt) -> str:
    return f"a hostile page tries: {step.what.replace('-', ' ')}"


@step_text.register
def _(step: Settle) -> str:  # noqa: ARG001 - a step without fields
    return "wait until all that is owed has come"


def _listed(names: list[str]) -> str:
    words = [name.replace("_", "-") for name in names]
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _link(link: str) -> str:
    named = {"publisher": "the publisher's link", "broker": "the broker", "program": "the publisher's program"}
    return named.get(link, f"the link of {link}")


def _parameters(parameters: Mapping[str, Any]) -> str:
    said = ", ".join(f"{name} {value}" for name, value in sorted(parameters.items()))
    return f" ({said})" if said else ""
