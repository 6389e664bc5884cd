"""Whether a scenario makes sense, step by step. Pure."""

from __future__ import annotations

from conformance.contract.model import Contract
from conformance.errors import UsageError
from conformance.scenario.stage import Stage
from conformance.scenario.steps import Publish, Scenario
from conformance.scenario.text import step_text

__all__ = ["MOST_MESSAGES", "MOST_STEPS", "validate"]

MOST_STEPS = 1000
MOST_MESSAGES = 200_000


def validate(scenario: Scenario, contract: Contract | None = None) -> None:
    """Check that every step can be played where it stands.

    Args:
        scenario: the scenario.
        contract: what exchanges and keys are held against; None: they are not.

    Raises:
        UsageError: the first step that can't; the field is its place in the file, counted from 0
            (``steps[3].tab``), the problem names the step as the text of the scenario does, counted from 1.
    """
    if len(scenario.steps) > MOST_STEPS:
        raise UsageError("steps", f"these are {len(scenario.steps)} steps", f"Use at most {MOST_STEPS}.")
    messages = sum(step.count for step in scenario.steps if isinstance(step, Publish))
    if messages > MOST_MESSAGES:
        raise UsageError("steps", f"they publish {messages} messages", f"Publish at most {MOST_MESSAGES}.")
    stage = Stage(contract)
    for number, step in enumerate(scenario.steps):
        place, words = f"steps[{number}]", f"step {number + 1} ({step_text(step)})"
        try:
            stage.apply(step)
        except UsageError as error:
            field = ".".join(filter(None, (place, error.field)))
            raise UsageError(field, f"{words}: {error.problem}", error.way_out) from error
