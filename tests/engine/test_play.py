"""Whole plays on a real broker: through both clients, and what is kept when things go wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conformance.catalogue.case import Case
from conformance.catalogue.select import all_checks
from conformance.checker import check
from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.engine.play import Played, play
from conformance.engine.world import Pace, World
from conformance.errors import HarnessError, UsageError
from conformance.history.events import QueueObserved
from conformance.history.file import read_history
from conformance.scenario.steps import AwaitQueue, BeginFault, OpenTab, Publish, Scenario, Settle
from conformance.selftest import publishers
from conformance.world.broker.base import Broker, QueueFacts
from conformance.world.network.proxy import Network
from conformance.world.publisher.base import PublisherUnderTest
from conformance.world.publisher.choose import chosen_publisher
from conformance.world.tab.base import TabBehaviour

pytestmark = pytest.mark.broker

_NAMED = {check.id: check for check in all_checks() if isinstance(check, Case)}
_BOTH_CLIENTS = (
    "delivery/steady",
    "delivery/acks-withheld",
    "delivery/binary-bodies",
    "delivery/unicode-bodies",
    "reconnection/published-while-away",
    "reconnection/reload",
    "reconnection/flapping",
    "reconnection/duplicated-page",
    "cut/fin/between-delivery-and-ack",
    "cut/rst/during-resubscription",
    "cut/after-delivery-1",
    "cut/before-ack-1",
    "cut/mid-frame",
    "cut/before-receipt",
    "cut/in-stomp-handshake",
    "routing/wildcards",
    "publishing/cut-before-confirm",
)


def _world(broker: Broker, contract: Contract, *, client: str = "websocket-client", **more: object) -> World:
    _, make_publisher = chosen_publisher(contract, None, None)
    return World(broker=broker, contract=contract, make_publisher=make_publisher, client=client, **more)  # type: ignore[arg-type]


def _play(case_id: str, world: World, network: Network, path: Path | None = None) -> Played:
    steps = tuple(_NAMED[case_id].plan(world.contract))
    return play(Scenario(steps=steps), world, network, case=case_id, path=path)


@pytest.mark.parametrize("case_id", _BOTH_CLIENTS)
def test_both_clients_come_to_the_same_verdict_on_a_sound_setup(case_id: str, broker: Broker, network: Network) -> None:
    """websocket-client under our codec and stomp.py: certified by both."""
    verdicts = {
        client: _play(case_id, _world(broker, Contract(), client=client), network).verdict
        for client in ("websocket-client", "stomp.py")
    }
    assert {client: verdict.verdict for client, verdict in verdicts.items()} == dict.fromkeys(verdicts, "certified")


@pytest.mark.parametrize(
    ("case_id", "keys", "behaviour", "cause"),
    [
        ("reconnection/published-while-away", {"auto-delete": "true"}, TabBehaviour(), "auto-delete-queue"),
        ("reconnection/published-while-away", {"x-max-length": "10"}, TabBehaviour(), "max-length"),
        ("cut/after-ack-1", {}, TabBehaviour(ack_first=True, delay_s=60.0), "ack-before-handling"),
    ],
)
def test_both_clients_come_to_the_same_verdict_on_a_broken_setup(
    case_id: str, keys: dict[str, str], behaviour: TabBehaviour, cause: str, broker: Broker, network: Network
) -> None:
    """Both are violated, for the same cause."""
    headers = Contract().tab.headers | keys
    contract = contract_from_dict({"tab": {"headers": headers}})
    for client in ("websocket-client", "stomp.py"):
        verdict = _play(case_id, _world(broker, contract, client=client, behaviour=behaviour), network).verdict
        assert verdict.verdict == "violated", client
        # Which message is told first depends on which of the callers came first.
        assert cause in {violation.cause for violation in verdict.violations}, client


def test_the_history_on_disk_gives_the_same_verdict(broker: Broker, network: Network, tmp_path: Path) -> None:
    """The checker alone, over the file, says what the run said."""
    contract = contract_from_dict({"tab": {"headers": Contract().tab.headers | {"auto-delete": "true"}}})
    path = tmp_path / "history.jsonl"
    played = _play("reconnection/published-while-away", _world(broker, contract), network, path)
    again = check(read_history(path), contract)
    assert played.verdict.verdict == "violated"
    assert again == played.verdict


def test_a_fault_that_never_fires_is_inconclusive(broker: Broker, network: Network) -> None:
    """A cut that waits for a hundredth message among three did not happen: no pass for want of evidence."""
    steps = (
        OpenTab(tab="t1", key="ticks"),
        BeginFault(link="t1", fault="cut_after_delivery", parameters={"n": 100}),
        Publish(key="ticks", count=3),
        Settle(),
    )
    verdict = play(Scenario(steps=steps), _world(broker, Contract()), network).verdict
    assert verdict.verdict == "inconclusive"
    assert "cut_after_delivery" in verdict.inconclusive_reasons[0]


def test_nothing_published_is_inconclusive(broker: Broker, network: Network) -> None:
    """A run that showed nothing passes nothing."""
    verdict = play(Scenario(steps=(OpenTab(tab="t1", key="ticks"),)), _world(broker, Contract()), network).verdict
    assert verdict.verdict == "inconclusive"


def test_an_unknown_fault_is_the_users_error(broker: Broker, network: Network) -> None:
    """It is told as such, and the play cleans up."""
    steps = (OpenTab(tab="t1", key="ticks"), BeginFault(link="t1", fault="rts"))
    with pytest.raises(UsageError, match="Did you mean 'rst'"):
        play(Scenario(steps=steps), _world(broker, Contract()), network)


def test_a_stopped_play_is_inconclusive(broker: Broker, network: Network) -> None:
    """Told to stop, a play ends and says so; its history stays readable."""
    steps = (OpenTab(tab="t1", key="ticks"), Publish(key="ticks", count=3), Settle())
    world = _world(broker, Contract(), pace=Pace())
    verdict = play(Scenario(steps=steps), world, network, stop=lambda: True).verdict
    assert verdict.verdict == "inconclusive"


def test_nothing_is_left_at_the_broker(broker: Broker, network: Network) -> None:
    """Queues of the play are gone afterwards."""
    steps = (OpenTab(tab="t1", key="ticks"), Publish(key="ticks", count=3), Settle())
    play(Scenario(steps=steps), _world(broker, Contract()), network, namespace="nleft")
    assert not broker.queue_facts("web-client-nleft-t1").exists


def test_a_queue_is_left_once_it_was_seen_so_twice(
    broker: Broker, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes with its consumer is there for a moment longer, and what is published then is nacked."""
    look, consumers = broker.queue_facts, [1, 0, 5, 0, 0]  # the first look is that of the subscription

    def looks(queue: str) -> QueueFacts:
        facts = look(queue)
        return replace(facts, consumers=consumers.pop(0)) if consumers else facts

    monkeypatch.setattr(broker, "queue_facts", looks)
    steps = (OpenTab(tab="t1", key="ticks"), AwaitQueue(tab="t1", until="left", every_s=0.01))
    told = play(Scenario(steps=steps), _world(broker, Contract()), network)
    assert consumers == []
    observed = [event.consumers for event in told.events if isinstance(event, QueueObserved)]
    assert observed[:2] == [1, 1], "by the subscription, and as it really is after the wait"


def test_a_publisher_that_can_not_be_made_is_the_users_error(broker: Broker, network: Network) -> None:
    """What was given is no publisher: no outcome of a message, but an error that names it."""

    def make(url: str, exchanges: object) -> PublisherUnderTest:
        raise UsageError("--publisher", f"can't publish to {url} and {exchanges}", "Name another.")

    steps = (OpenTab(tab="t1", key="ticks"), Publish(key="ticks", count=2, pipelined=True), Settle())
    with pytest.raises(UsageError, match="--publisher"):
        play(Scenario(steps=steps), replace(_world(broker, Contract()), make_publisher=make), network)


def test_a_publisher_that_can_not_be_closed_leaves_nothing_at_the_broker(broker: Broker, network: Network) -> None:
    """Its error is told, and the queues of the play are gone all the same."""

    class Stuck(publishers.Plain):
        def close(self) -> None:
            super().close()
            raise HarnessError("close() did not return")

    steps = (OpenTab(tab="t1", key="ticks"), Publish(key="ticks"), Settle())
    world = replace(_world(broker, Contract()), make_publisher=lambda url, _: Stuck(url))
    with pytest.raises(HarnessError, match="close"):
        play(Scenario(steps=steps), world, network, namespace="nstuck")
    assert not broker.queue_facts("web-client-nstuck-t1").exists
