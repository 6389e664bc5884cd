"""Cases about a publisher that is a program of its own, and what happens to its process.

They are made only where the publisher under test is such a program (``--publisher-command``, ``publisher.command``).
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.catalogue.case import case
from conformance.catalogue.sources import CONFIRMS
from conformance.catalogue.steps import Telling
from conformance.checker.verdict import Violation
from conformance.contract.model import Contract
from conformance.history.events import Event, FaultEnded, PublishConfirmed, PublishInvoked
from conformance.scenario.steps import Step

__all__: list[str] = []

_PROGRAM = "program"
_KILL = "https://man7.org/linux/man-pages/man7/signal.7.html"
_LIMITS_OF_CONFIRMS = "https://www.rabbitmq.com/docs/confirms#publisher-confirms-latency"


def _is_a_program(contract: Contract) -> bool:
    return contract.publisher.command is not None


def _publishes_again(events: list[Event], _: Contract) -> list[Violation]:
    """A program that has nothing confirmed any more, though its link is sound; one that never had shows nothing."""
    healed = max((event.index for event in events if isinstance(event, FaultEnded)), default=None)
    if healed is None:
        return []
    later = [event for event in events if isinstance(event, PublishInvoked) and event.index > healed]
    confirmed = {event.message_id for event in events if isinstance(event, PublishConfirmed)}
    if not later or not confirmed or any(event.message_id in confirmed for event in later):
        return []
    first = later[0]
    return [
        Violation(
            kind="stuck",
            cause="never-came-back",
            summary=(
                f"none of the {len(later)} messages that were published after the fault was over was confirmed, from "
                f"{first.message_id} on"
            ),
            advice=(
                "Have the program start from whatever its last run left behind (lock files, journals), and try again "
                "to connect until its deadline instead of ending."
            ),
            source=_KILL,
            message_id=first.message_id,
            body_digest=first.body_digest,
            tab=None,
            index=first.index,
        )
    ]


@case(
    "publisher-process/killed",
    rule="What a program has reported as confirmed is not lost when it is killed, and its next run publishes on.",
    source=_KILL,
    expectation="The messages under way have an unknown outcome; what was confirmed before and after arrives.",
    fits=_is_a_program,
    shows=_publishes_again,
)
def killed(contract: Contract) -> Iterable[Step]:
    """SIGKILL in the middle of a burst, and started again at once."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("kill_program", link=_PROGRAM, after=25),
        tell.publish(80, pipelined=True, wait=False),
        tell.fired(_PROGRAM),
        tell.heal(_PROGRAM),
        tell.publish(3),
        tell.settle(),
    )


@case(
    "publisher-process/killed-again",
    rule="A program that is killed again and again starts from whatever its last run left behind.",
    source=_KILL,
    expectation="Each run has messages confirmed; what was confirmed arrives.",
    fits=_is_a_program,
    shows=_publishes_again,
)
def killed_again(contract: Contract) -> Iterable[Step]:
    """Three runs in a row, each killed in the middle of publishes."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.begin("kill_program", link=_PROGRAM, after=10, times=3),
        tell.publish(80, pipelined=True, wait=False),
        tell.fired(_PROGRAM),
        tell.heal(_PROGRAM),
        tell.publish(3),
        tell.settle(),
    )


@case(
    "publisher-process/started-without-broker",
    rule="A program that is started while the broker can't be reached tries again until its deadline.",
    source=CONFIRMS,
    expectation="What it was given meanwhile has an outcome, and what it is given once the link is sound is confirmed.",
    fits=_is_a_program,
    shows=_publishes_again,
)
def started_without_broker(contract: Contract) -> Iterable[Step]:
    """Killed in a burst; new connections are refused until its next run has tried."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("refuse", link="publisher"),
        tell.begin("kill_program", link=_PROGRAM, after=10),
        tell.publish(30, pipelined=True, wait=False),
        tell.fired(_PROGRAM),
        tell.fired("publisher"),
        tell.heal(_PROGRAM),
        tell.heal("publisher"),
        tell.publish(3),
        tell.settle(),
    )


@case(
    "publisher-process/stopped",
    rule="A program that stood still tells no message's fate from the time that has gone by.",
    source=_LIMITS_OF_CONFIRMS,
    expectation="Every publish has a true outcome, though the confirms were there long before the program read them.",
    fits=_is_a_program,
    shows=_publishes_again,
)
def stopped(contract: Contract) -> Iterable[Step]:
    """SIGSTOP for three seconds in the middle of a burst, then SIGCONT."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("stop_program", link=_PROGRAM, after=10, at_least_s=3.0),
        tell.publish(40, pipelined=True, wait=False),
        tell.fired(_PROGRAM),
        tell.heal(_PROGRAM),
        tell.publish(3),
        tell.settle(),
    )


@case(
    "publisher-process/stopped-and-cut",
    rule="A program that goes on to find its connection gone publishes again what was not confirmed.",
    source=CONFIRMS,
    expectation="Every publish has a true outcome; what was confirmed arrives (twice at most under one id).",
    fits=_is_a_program,
    shows=_publishes_again,
)
def stopped_and_cut(contract: Contract) -> Iterable[Step]:
    """Its link is reset while it stands still in the middle of a burst."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(1),
        tell.begin("stop_program", link=_PROGRAM, after=10),
        tell.publish(40, pipelined=True, wait=False),
        tell.fired(_PROGRAM),
        tell.begin("rst", link="publisher"),
        tell.heal("publisher"),
        tell.heal(_PROGRAM),
        tell.publish(3),
        tell.settle(),
    )
