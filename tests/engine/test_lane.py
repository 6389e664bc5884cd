"""The publishing side of a play, without a broker: what it records, and that it ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from conformance.contract.model import Contract
from conformance.contract.naming import Naming
from conformance.engine.lane import PublisherLane
from conformance.history.events import (
    PublishConfirmed,
    PublisherClosed,
    PublisherClosing,
    PublishInvoked,
    PublishUnknown,
)
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


class Keeping:
    """A publisher that keeps what it is given, and may fail to close."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.given: list[dict[str, Any]] = []
        self.closed = threading.Event()
        self._trouble = trouble

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str, **offered: Any) -> None:  # noqa: ARG002
        """Keep it."""
        self.given.append(offered)

    def close(self) -> None:
        """Say so, or fail."""
        self.closed.set()
        if self._trouble is not None:
            raise self._trouble


@pytest.mark.timeout(60)
def test_what_a_step_asks_for_is_handed_over_and_recorded(recorder: HistoryWriter) -> None:
    """Each message with a copy of its own, in the publisher's own name; nothing where nothing was asked for."""
    publisher = Keeping()
    lane = PublisherLane(lambda: publisher, Naming(Contract(), "n123456"), recorder, user="somebody")
    asked = {"user_id": "{user}", "headers": {"a": [1]}}
    lane.publish(Publish(count=2, properties=asked, timeout_s=0.5)).result(20)  # type: ignore[arg-type]
    lane.publish(Publish()).result(20)
    lane.close()
    told = {"user_id": "somebody", "headers": {"a": [1]}}
    assert publisher.given == [{"properties": told, "timeout": 0.5}] * 2 + [{}]
    assert publisher.given[0]["properties"]["headers"] is not publisher.given[1]["properties"]["headers"]
    invoked = [event for event in recorder.events if isinstance(event, PublishInvoked)]
    assert [(event.properties, event.timeout_s) for event in invoked] == [(told, 0.5)] * 2 + [(None, None)]


@pytest.mark.timeout(60)
def test_a_publisher_that_can_not_take_what_is_asked_for(recorder: HistoryWriter) -> None:
    """Nothing is known of such a message."""
    lane = PublisherLane(Held, Naming(Contract(), "n123456"), recorder)
    lane.publish(Publish(timeout_s=0.5)).result(20)
    lane.close()
    (unknown,) = [event for event in recorder.events if isinstance(event, PublishUnknown)]
    assert "unexpected keyword argument 'timeout'" in unknown.detail


@pytest.mark.timeout(60)
def test_a_publisher_is_closed_and_the_next_message_is_anothers(recorder: HistoryWriter) -> None:
    """It is asked once; whatever it raises is told and ends nothing."""
    made: list[Keeping] = []

    def make() -> Keeping:
        made.append(Keeping(OSError("it would not") if not made else None))
        return made[-1]

    lane = PublisherLane(make, Naming(Contract(), "n123456"), recorder)
    lane.close_publisher().result(20)  # none has published yet
    assert made == []
    lane.publish(Publish()).result(20)
    lane.close_publisher().result(20)
    lane.publish(Publish()).result(20)
    lane.close()
    lane.raise_errors()
    assert [len(one.given) for one in made] == [1, 1]
    assert all(one.closed.is_set() for one in made)
    closings = [event for event in recorder.events if isinstance(event, PublisherClosing | PublisherClosed)]
    assert [type(event) for event in closings] == [PublisherClosing, PublisherClosed] * 2
    assert [event.detail for event in closings if isinstance(event, PublisherClosed)] == ["", "OSError: it would not"]
