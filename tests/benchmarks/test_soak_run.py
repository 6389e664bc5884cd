"""The publishers' soak in short, on the shared broker, which is neither killed nor paused here."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.soak_publishers.plan import Act
from benchmarks.soak_publishers.report import report
from benchmarks.soak_publishers.run import soak
from conformance.world.broker.base import Broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

CALM = Act("calm", 1.0)
CUTS = Act("cuts", 2.0, cutting=True)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_short_soak(broker: Broker, one_by_one: bool) -> None:
    """Threads and tasks, through cuts and an administrator's close, closed in the midst of calls: nothing is wrong."""
    if "ctl" not in broker.capabilities:
        pytest.skip("the broker that was named can't be asked what connections it has (rabbitmqctl)")
    rounds = [([CALM, CUTS, CALM, Act("close", 0.5)], False), ([CALM, CUTS], True)]
    outcome = soak(broker, rounds, seed=1, callers=4, one_by_one=one_by_one, slack_s=60.0)
    told = report(outcome)
    assert not outcome.count, told
    confirmed: Counter[str] = Counter()
    for (program, _, what), count in outcome.totals.messages.items():
        confirmed[program] += count if what == "confirmed" else 0
    assert confirmed["threads"], told
    assert confirmed["tasks"], told
    assert sum(outcome.cuts.values()), told
