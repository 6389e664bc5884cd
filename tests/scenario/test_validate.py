"""Which step makes sense when."""

from __future__ import annotations

import pytest

from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.contract.naming import Naming
from conformance.errors import UsageError
from conformance.scenario.steps import (
    AwaitFault,
    BeginFault,
    Behave,
    BrokerDown,
    BrokerUp,
    CloseTab,
    DuplicateTab,
    EndFault,
    OpenTab,
    Publish,
    ReloadTab,
    Scenario,
    Settle,
    Step,
)
from conformance.scenario.validate import validate

T1 = OpenTab(tab="t1", key="ticks")
CUT = BeginFault(link="t1", fault="rst")
DOWN = BrokerDown()


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [T1, ReloadTab(tab="t1"), DuplicateTab(tab="t1"), Behave(tab="t1"), CloseTab(tab="t1")],
        [T1, CUT, AwaitFault(link="t1"), EndFault(link="t1"), CUT],
        [T1, CUT, CloseTab(tab="t1")],
        [BeginFault(link="publisher", fault="rst"), EndFault(link="publisher")],
        [T1, DOWN, ReloadTab(tab="t1"), OpenTab(tab="t2", wait=False), Publish(wait=False), BrokerUp(), Settle(), DOWN],
        [T1, DOWN],
        [OpenTab(tab="t1", exchange="broadcast"), Publish(exchange="broadcast")],
        [OpenTab(tab="t1", key="a.*.#"), Publish(key="")],
        [OpenTab(tab="вкладка", key="k" * 255), Publish(key="é" * 127 + "k")],
    ],
)
def test_takes(steps: list[Step]) -> None:
    """What can be played."""
    validate(Scenario(steps=tuple(steps)), Contract())


@pytest.mark.parametrize(
    ("steps", "field", "says"),
    [
        ([ReloadTab(tab="t1")], "steps[0].tab", "step 1 (reload tab t1): no tab 't1' was opened before"),
        ([T1, ReloadTab(tab="t2")], "steps[1].tab", "Known are: t1."),
        ([Publish(body="empty", count=2)], "steps[0].body", "two empty bodies can't be told apart"),
        ([Publish(body="empty"), Publish(body="empty")], "steps[1].body", "two empty bodies can't be told apart"),
        ([T1, T1], "steps[1].tab", "is open already"),
        ([T1, CloseTab(tab="t1"), T1], "steps[2].tab", "closed for good"),
        ([T1, CloseTab(tab="t1"), Behave(tab="t1")], "steps[2].tab", "closed for good"),
        ([T1, CloseTab(tab="t1"), CloseTab(tab="t1")], "steps[2].tab", "closed for good"),
        ([DuplicateTab(tab="t1")], "steps[0].tab", "no tab"),
        ([CUT], "steps[0].link", '"publisher" is a link too'),
        ([T1, CUT, CUT], "steps[2].link", "at fault already (rst)"),
        ([T1, AwaitFault(link="t1")], "steps[1].link", "no fault is on"),
        ([T1, EndFault(link="t1")], "steps[1].link", "no fault is on"),
        ([T1, CUT, EndFault(link="t1"), EndFault(link="t1")], "steps[3].link", "no fault is on"),
        ([T1, CUT, CloseTab(tab="t1"), EndFault(link="t1")], "steps[3].link", "closed for good"),
        ([EndFault(link="publisher")], "steps[0].link", "no fault is on"),
        ([BrokerUp()], "steps[0]", "up already"),
        ([DOWN, DOWN], "steps[1]", "down already"),
        ([DOWN, T1], "steps[1].wait", "while the broker is down"),
        ([DOWN, Settle()], "steps[1]", "while the broker is down"),
        ([OpenTab(tab="publisher")], "steps[0].tab", "no name of a tab"),
        ([OpenTab(tab="")], "steps[0].tab", "no name of a tab"),
        ([OpenTab(tab="t 1\n")], "steps[0].tab", "no name of a tab"),
        ([OpenTab(tab="t1", exchange="pubsb")], "steps[0].exchange", 'Did you mean "pubsub"?'),
        ([Publish(exchange="other")], "steps[0].exchange", "Known are: pubsub, broadcast."),
        ([Publish(key="a\0b")], "steps[0].key", "control character"),
        ([Publish(key="\ud800")], "steps[0].key", "control character"),
        ([Publish(key="é" * 128)], "steps[0].key", "longer than 255 bytes"),
        ([OpenTab(tab="t1", key="a%2Fb")], "steps[0].key", "%2F"),
        ([T1, BeginFault(link="t1", fault="rts")], "steps[1].fault", "Did you mean 'rst'?"),
        ([T1, BeginFault(link="t1", fault="cut_before_publish")], "steps[1].fault", "the link of a tab"),
        ([T1, BeginFault(link="publisher", fault="cut_after_ack")], "steps[1].fault", "of a publisher"),
        ([OpenTab(tab=f"t{n}") for n in range(101)], "steps[100]", "more than 100"),
        ([Settle()] * 1001, "steps", "1001 steps"),
        ([Publish(count=10_000)] * 21, "steps", "210000 messages"),
    ],
)
def test_refuses(steps: list[Step], field: str, says: str) -> None:
    """The step's place in the file and its number, and why."""
    with pytest.raises(UsageError) as caught:
        validate(Scenario(steps=tuple(steps)), Contract())
    assert caught.value.field == field
    assert says in str(caught.value)


def test_without_a_contract_any_exchange_goes() -> None:
    """Nothing is known of exchanges then."""
    validate(Scenario(steps=(OpenTab(tab="t1", exchange="whatever"),)))


def test_a_destination_that_cannot_name_the_exchange() -> None:
    """``/topic/…`` reaches amq.topic alone."""
    contract = contract_from_dict(
        {
            "exchanges": {"t": {"name": "amq.topic"}, "mine": {}},
            "tab": {"exchange": "t", "destination": "/topic/{routing_key}"},
        }
    )
    validate(Scenario(steps=(OpenTab(tab="t1", exchange="t"), Publish(exchange="mine"))), contract)
    with pytest.raises(UsageError, match=r"steps\[0\]\.exchange: .*can't name the exchange 'mine'"):
        validate(Scenario(steps=(OpenTab(tab="t1", exchange="mine"),)), contract)


def test_a_key_on_an_exchange_that_keeps_its_name_leaves_room_for_the_cases_word() -> None:
    """There the word goes in front of the key."""
    contract = contract_from_dict(
        {"exchanges": {"pubsub": {"name": "amq.topic"}}, "tab": {"destination": "/topic/{routing_key}"}}
    )
    validate(Scenario(steps=(OpenTab(tab="t1", key="k" * 240),)), contract)
    assert len(Naming(contract, "n0a1b2c").routing_key("pubsub", "k" * 240)) == 248
    with pytest.raises(UsageError, match="longer than 240 bytes"):
        validate(Scenario(steps=(OpenTab(tab="t1", key="k" * 241),)), contract)
