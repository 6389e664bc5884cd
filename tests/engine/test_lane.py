"""The publishing side of a play, without a broker: what it records, and that it ends."""

from __future__ import annotations

import threading

import pytest

from conformance.contract.model import Contract
from conformance.contract.naming import Naming
from conformance.engine.lane import PublisherLane
from conformance.history.events import PublishConfirmed, PublishInvoked
from conformance.history.file import HistoryHeader, HistoryWriter
from conformance.scenario.steps import Publish


class Held:
    """A publisher whose calls return once they are let go."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.go = threading.Event()

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> None:  # noqa: ARG002
        """Wait to be let go."""
        self.called.set()
        assert self.go.wait(20)

    def close(self) -> None:
        """Let every call go."""
        self.go.set()


@pytest.fixture
def recorder() -> HistoryWriter:
    """In memory."""
    header = HistoryHeader(seed=0, command="", versions={}, case="x", namespace="n", contract={"schema": 1}, broker={})
    return HistoryWriter(None, header, keep=True)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pipelined", [True, False])
def test_a_lane_that_is_closed_in_the_middle_ends(recorder: HistoryWriter, pipelined: bool) -> None:
    """Far more is asked for than is under way: what has not begun is dropped, what has is waited for."""
    publisher = Held()
    lane = PublisherLane(lambda: publisher, Naming(Contract(), "n123456"), recorder)
    step = lane.publish(Publish(count=500, pipelined=pipelined))
    assert publisher.called.wait(20)
    lane.close()
    assert step.done()
    kinds = [type(event) for event in recorder.events]
    assert kinds.count(PublishInvoked) == kinds.count(PublishConfirmed) >= 1
    assert kinds.count(PublishInvoked) < 500
