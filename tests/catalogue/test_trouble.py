"""Cases of a broker in trouble: where they are made, for whom, and what an alarm must not stop."""

from __future__ import annotations

import pytest

import conformance.faults.all  # noqa: F401 - registers them
from conformance.catalogue.case import CASES
from conformance.catalogue.select import promised
from conformance.catalogue.stage import Place, place_of
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.faults.base import FAULTS
from conformance.history.events import Event, FaultBegan, FaultEnded, PublishConfirmed, TabHandled


@pytest.mark.parametrize(
    ("needs", "place"),
    [
        ((), "shared"),
        (("management",), "shared"),
        (("restart",), "alone"),
        (("kill", "management"), "alone"),
        (("admin",), "disturbed"),
        (("small-disk", "restart"), "disturbed"),
        (("pause",), "disturbed"),
        (("clock", "restart"), "clock"),
    ],
)
def test_what_disturbs_the_node_has_one_to_itself(needs: tuple[str, ...], place: Place) -> None:
    """Those that take it down and those that disturb it in other ways do not wait for each other."""
    assert place_of(needs) == place


def test_every_fault_of_the_broker_has_a_case() -> None:
    """None is there for show."""
    told = {
        step.fault
        for case in CASES.values()
        for step in case.plan(Contract())
        if step.step == "begin_fault" and step.link == "broker"
    }
    assert told == {name for name, fault in FAULTS.items() if "broker" in fault.links}


@pytest.mark.parametrize(
    ("word", "area"),
    [
        ("broker-pause", "broker/paused-beyond-the-heart-beats"),
        ("alarm", "broker/memory-alarm"),
        ("administrator", "administrator/queue-purged"),
        ("limits", "broker/file-limit"),
        ("disk-full", "broker/disk-full"),
    ],
)
def test_each_is_asked_for_by_its_word(word: str, area: str) -> None:
    """A contract may promise one of them alone; the built-in one promises all that RabbitMQ itself holds."""
    alone = {check.id for check in promised(contract_from_dict({"promise": {"survives": [word]}}))}
    assert area in alone
    assert not {"broker/kill-while-away", "broker/disk-alarm", "administrator/exchange-removed", "broker/disk-full"} & (
        alone - {case.id for case in CASES.values() if word in case.asks}
    )
    assert (area in {check.id for check in promised(Contract())}) is (word != "disk-full")


@pytest.mark.parametrize("exchange", [{"name": "amq.topic"}, {"name": "theirs", "passive": True}])
def test_an_exchange_of_others_is_not_removed(exchange: dict[str, object]) -> None:
    """One that was there before is not the suite's to remove."""
    contract = contract_from_dict({"exchanges": {"pubsub": exchange}})
    assert "administrator/exchange-removed" not in {check.id for check in promised(contract)}


@pytest.mark.parametrize(("beat", "at_least_s"), [("10s", 22.0), ("1s", 3.0), ("0s", 3.0), ("60s", 25.0)])
def test_the_pause_is_as_long_as_the_heart_beats_ask_for(beat: str, at_least_s: float) -> None:
    """Within what a run can bear."""
    contract = contract_from_dict({"tab": {"heart_beat": beat}})
    (pause,) = [
        step
        for step in CASES["broker/paused-beyond-the-heart-beats"].plan(contract)
        if step.step == "begin_fault" and step.fault == "pause"
    ]
    assert pause.parameters == {"at_least_s": at_least_s}


def _history(*, fed: bool) -> list[Event]:
    """Two messages wait; the alarm comes and goes; both are handled, the second in time or not."""
    events: list[Event] = []

    def add(event_type: type[Event], **fields: object) -> None:
        events.append(event_type(index=len(events), time_ns=len(events), **fields))  # type: ignore[arg-type]

    def handle(message: str) -> None:
        add(TabHandled, tab="t1", session=2, message_id=message, body_digest=message)

    for message in ("m1", "m2"):
        add(PublishConfirmed, publisher="p", message_id=message)
    add(FaultBegan, fault_id=1, fault="memory_alarm", target="broker")
    handle("m1")
    if fed:
        handle("m2")
    add(PublishConfirmed, publisher="p", message_id="m3")
    add(FaultEnded, fault_id=1, fault="memory_alarm", target="broker", fired=True)
    if not fed:
        handle("m2")
    handle("m3")
    return events


def test_a_tab_must_be_fed_during_an_alarm() -> None:
    """What waited must not wait for the end of the alarm; what is published into it may."""
    shows = CASES["broker/memory-alarm"].shows
    assert shows is not None
    assert shows(_history(fed=True), Contract()) == []
    (violation,) = shows(_history(fed=False), Contract())
    assert (violation.kind, violation.cause, violation.message_id) == ("undrained", "starved-by-an-alarm", "m2")


def test_an_alarm_that_never_ended_shows_nothing() -> None:
    """The checker says that already."""
    shows = CASES["broker/disk-alarm"].shows
    assert shows is not None
    assert shows(_history(fed=False), Contract()) == []
