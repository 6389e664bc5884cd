"""Cases in which the broker's node goes down and comes back, or is in trouble."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from conformance.catalogue.case import Shows, case
from conformance.catalogue.steps import Telling
from conformance.checker.verdict import Violation
from conformance.contract.model import Contract, Survivable
from conformance.history.events import Event, FaultBegan, FaultEnded, PublishConfirmed, TabHandled
from conformance.scenario.steps import Step

__all__: list[str] = []

_PERSISTENCE = "https://www.rabbitmq.com/docs/persistence-conf"
_ALARMS = "https://www.rabbitmq.com/docs/alarms#client-connections"
_BROKER = "broker"
_HEART_BEATS = 2.2
"""A client gives up a connection that was silent for two heart-beats."""
_PAUSE_LEAST_S, _PAUSE_MOST_S = 3.0, 25.0
_WAYS: dict[str, tuple[Literal["terminate", "kill"], Survivable, str]] = {
    "restart": ("terminate", "broker-restart", "a restart"),
    "kill": ("kill", "broker-kill", "a kill -9"),
}


def _while_away(name: str) -> None:
    how, survivable, words = _WAYS[name]

    @case(
        f"broker/{name}-while-away",
        rule=f"Messages that wait for a tab survive {words} of the broker.",
        source=_PERSISTENCE,
        expectation="What was confirmed before the node went down arrives after it is back.",
        asks=[survivable],
        needs=["restart" if how == "terminate" else "kill"],
    )
    def while_away(contract: Contract) -> Iterable[Step]:
        """The tab is cut, messages wait, the node goes and comes back, then the tab."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.publish(2),
            tell.settle(),
            tell.begin("rst"),
            tell.publish(20, pipelined=True),
            tell.down(how),
            tell.up(),
            tell.heal(),
            tell.publish(2),
            tell.settle(),
        )


def _under_traffic(name: str) -> None:
    how, survivable, words = _WAYS[name]

    @case(
        f"broker/{name}-under-traffic",
        rule=f"Nothing that was confirmed is lost when {words} comes in the middle of traffic.",
        source=_PERSISTENCE,
        expectation="Every publish has an outcome; what was confirmed arrives; the tabs come back by themselves.",
        asks=[survivable],
        needs=["restart" if how == "terminate" else "kill"],
    )
    def under_traffic(contract: Contract) -> Iterable[Step]:
        """Two tabs are fed, one of them slow to ack, while the node goes down."""
        tell = Telling(contract)
        keys = len(contract.tab.routing_keys)
        return (
            tell.open(1),
            tell.open(1 + keys),
            tell.behave(1, withhold_acks=True),
            tell.publish(10, pipelined=True),
            tell.publish(400, wait=False),
            tell.down(how),
            tell.up(),
            tell.behave(1),
            tell.settle(),
        )


for _name in _WAYS:
    _while_away(_name)
    _under_traffic(_name)


# --- the node stays up, and is in trouble --------------------------------------------------------


@case(
    "broker/paused-beyond-the-heart-beats",
    rule="A broker that stands still for longer than its clients' heart-beats allow (25 s at most) loses nothing.",
    source="https://www.rabbitmq.com/docs/heartbeats",
    expectation="Clients give up the silent connection or bear with it; once the broker goes on, all arrives.",
    asks=["broker-pause"],
    needs=["pause"],
)
def paused(contract: Contract) -> Iterable[Step]:
    """SIGSTOP while the page holds acks back and messages are published, then SIGCONT."""
    tell = Telling(contract)
    at_least_s = max(_PAUSE_LEAST_S, min(_HEART_BEATS * contract.tab.heart_beat, _PAUSE_MOST_S))
    return (
        tell.open(),
        tell.behave(withhold_acks=True),
        tell.publish(tell.at_most_prefetch(3)),
        tell.settle(),
        tell.begin("pause", link=_BROKER, at_least_s=at_least_s),
        tell.publish(4, wait=False),
        tell.heal(_BROKER),
        tell.behave(),
        tell.publish(2),
        tell.settle(),
    )


def _are_fed(fault: str) -> Shows:
    """Asks that what waited for the tab was handled while the alarm was on."""

    def shows(events: list[Event], _: Contract) -> list[Violation]:
        began = next((event.index for event in events if isinstance(event, FaultBegan) and event.fault == fault), None)
        ended = next((event.index for event in events if isinstance(event, FaultEnded) and event.fault == fault), None)
        if began is None or ended is None:
            return []  # the checker says that it was never seen to begin or end
        handled = {
            event.message_id: event.index for event in events if isinstance(event, TabHandled) and event.index < ended
        }
        waiting = [event for event in events if isinstance(event, PublishConfirmed) and event.index < began]
        return [
            Violation(
                kind="undrained",
                cause="starved-by-an-alarm",
                summary=f"{event.message_id} waited for the tab, which was there, and came only after the alarm.",
                advice="Look for what stops consumers on this broker: an alarm alone blocks those who publish.",
                source=_ALARMS,
                message_id=event.message_id,
                body_digest=None,
                tab=None,
                index=event.index,
            )
            for event in waiting
            if event.message_id not in handled
        ]

    return shows


def _alarm(resource: str) -> None:
    fault = f"{resource}_alarm"

    @case(
        f"broker/{resource}-alarm",
        rule=f"A {resource} alarm blocks publishers without a false confirm, and tabs get what waits for them.",
        source=_ALARMS,
        expectation="Publishers get a late confirm, or an error at their deadline; tabs are fed while the alarm is on.",
        asks=["alarm"],
        needs=["admin", "ctl"],
        shows=_are_fed(fault),
    )
    def alarm(contract: Contract) -> Iterable[Step]:
        """The tab comes back to what waits for it while the alarm is on; then messages are published into it."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.publish(2),
            tell.settle(),
            tell.begin("rst"),
            tell.publish(5),
            tell.begin(fault, link=_BROKER),
            tell.heal(),
            tell.settle(),
            tell.publish(4, pipelined=True, wait_s=2.0),
            tell.heal(_BROKER),
            tell.publish(2),
            tell.settle(),
        )


_alarm("memory")
_alarm("disk")


def _connection_limit(of: Literal["vhost", "user"], words: str) -> None:
    @case(
        f"broker/connection-limit-of-the-{of}",
        rule=f"Clients that are turned away because {words} has too many connections lose nothing.",
        source="https://www.rabbitmq.com/docs/vhosts#limits"
        if of == "vhost"
        else "https://www.rabbitmq.com/docs/user-limits",
        expectation="Tabs and publisher are refused, try again and come in once the limit is lifted; all arrives.",
        asks=["limits"],
        needs=["admin"],
    )
    def connection_limit(contract: Contract) -> Iterable[Step]:
        """Links are cut with messages in hand once the limit is reached; a second tab is refused some times."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.publish(2),
            tell.settle(),
            tell.behave(withhold_handling=True),
            tell.publish(2),
            *tell.kept_out("limit_connections", of=of),
            tell.behave(),
            tell.publish(2),
            tell.settle(),
        )


_connection_limit("vhost", "the vhost")
_connection_limit("user", "their user")


@case(
    "broker/file-limit",
    rule="What was confirmed before and while a node might open no more files is there once it may again.",
    source="https://www.rabbitmq.com/docs/networking#open-file-handle-limit",
    expectation="A tab that was cut gets no answer; publishers may get errors; queues may fall, and the node is "
    "started again; what was confirmed arrives.",
    asks=["limits"],
    needs=["admin", "ctl", "file-limit", "restart"],
)
def file_limit(contract: Contract) -> Iterable[Step]:
    """One of two tabs is cut before the limit is reached, and tries in vain to come back; publishing goes on."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.open(1 + len(contract.tab.routing_keys)),
        tell.publish(2),
        tell.settle(),
        tell.begin("rst"),
        tell.publish(2),
        tell.begin("limit_files", link=_BROKER),
        tell.heal(),
        tell.publish(5, wait=False),
        tell.heal(_BROKER),
        tell.publish(2),
        tell.settle(),
    )


@case(
    "broker/disk-full",
    rule="What was confirmed before and while the disk was full is there once it has room again.",
    source="https://www.rabbitmq.com/docs/disk-alarms",
    expectation="What can't be written is nacked or has no outcome; the node may fall, and is started again; what was "
    "confirmed arrives.",
    asks=["disk-full"],
    needs=["small-disk", "restart"],
)
def disk_full(contract: Contract) -> Iterable[Step]:
    """Messages wait for a tab that is away; the disk is filled; more is published than its last pages hold."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(2),
        tell.settle(),
        tell.begin("rst"),
        tell.publish(20, pipelined=True),
        tell.begin("disk_full", link=_BROKER),
        tell.publish(20, size_bytes=20_000, pipelined=True, wait=False),
        tell.fired(_BROKER),
        tell.heal(_BROKER),
        tell.heal(),
        tell.publish(2),
        tell.settle(),
    )
