"""Bursts: many messages under way while the publisher's link is cut again and again. For soaks.

What they are for is a publisher that loses one message in thousands, and only of those whose link is cut between the
write and the confirm. The scenarios of a short search put some messages in that place; a salvo puts ``CUTS`` times up
to ``CALLERS`` there, 1,280 in all (1,235 to 1,268 were counted with ``durable_ws``, which has one window for all
callers). A loss of one in 5,000 of these happens in the fifth salvo at the latest if it comes with every 5,000th, and
if it comes by chance, with 1 - (1 - 1/5000) ** 1235 = 22 % in each: all but one in a million within 56. The suite sees
each such loss, also of a message that the broker did get: its confirm was never on the wire. A salvo took three to
eight seconds on two cores at a load of 18, and every other scenario of a soak is a burst of one to three.
A publisher that has one message under way at a time gets 20 a salvo, and takes as many times longer.
"""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.contract.model import Contract
from conformance.scenario.keys import Route, keys_for
from conformance.scenario.steps import AwaitFault, BeginFault, EndFault, OpenTab, Publish, Scenario, Step

__all__ = ["CALLERS", "CUTS", "bursts"]

CALLERS = 64
"""Messages under way at once."""

CUTS = 20
"""Cuts of one salvo."""

_MOST_SALVOES = 3
_FAULTS = ("cut_before_publish", "cut_before_confirm")
_LINK = "publisher"


def bursts(contract: Contract, *, seed: int = 0) -> st.SearchStrategy[Scenario]:
    """One to three salvoes at one tab; each is published while the publisher's link is cut ``CUTS`` times in a row.

    Half of the cuts come before the broker has the first message of a connection (all that is under way was written
    and is lost on the way), half after it has confirmed some and before the publisher learns of it.
    """
    binding = keys_for(contract).bindings[0]
    route = keys_for(contract).matching(binding)
    salvo = st.builds(
        lambda fault, n, reset: _salvo(route, fault, n, reset=reset),
        st.sampled_from(_FAULTS),
        st.sampled_from([1, 1, 2]),
        st.booleans(),
    )

    def told(salvoes: list[tuple[Step, ...]]) -> Scenario:
        opened = OpenTab(tab="t1", exchange=binding.exchange, key=binding.key)
        first = Publish(exchange=route.exchange, key=route.key)
        return Scenario(seed=seed, steps=(opened, first, *(step for salvo in salvoes for step in salvo)))

    return st.lists(salvo, min_size=1, max_size=_MOST_SALVOES).map(told)


def _salvo(route: Route, fault: str, n: int, *, reset: bool) -> tuple[Step, ...]:
    """As many messages as set off every cut, also of a publisher with a connection for each caller."""
    count = CUTS * ((n - 1) * CALLERS + 1) + CALLERS
    return (
        BeginFault(link=_LINK, fault=fault, parameters={"n": n, "reset": reset, "down": False, "times": CUTS}),
        Publish(exchange=route.exchange, key=route.key, count=count, pipelined=True, callers=CALLERS),
        AwaitFault(link=_LINK),
        EndFault(link=_LINK),
    )
