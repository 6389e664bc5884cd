"""What a message's properties are said to be in the history."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from pamqp import commands, frame, header

from conformance.world.network.properties import said

NOW = dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)


def passed(**properties: Any) -> commands.Basic.Properties:
    """The properties as they come off the wire."""
    data = frame.marshal(header.ContentHeader(body_size=1, properties=commands.Basic.Properties(**properties)), 1)
    _, _, read = frame.unmarshal(data)
    assert isinstance(read, header.ContentHeader)
    return read.properties


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, {}),
        ({"message_id": "m1", "delivery_mode": 2}, {}),
        ({"message_type": "t", "user_id": "guest", "priority": 0}, {"type": "t", "user_id": "guest", "priority": 0}),
        ({"timestamp": NOW, "expiration": "60"}, {"timestamp": 1_700_000_000, "expiration": "60"}),
        (
            {"headers": {"a": [1, True, "ü"], "b": {"c": 2**40, "d": NOW}}},
            {"headers": {"a": [1, True, "ü"], "b": {"c": 2**40, "d": 1_700_000_000}}},
        ),
        (
            {"headers": {"bytes": bytearray(b"\xff\x00"), "decimal": Decimal("1.5")}},
            {"headers": {"bytes": "bytes ff00", "decimal": "decimal 1.5"}},
        ),
    ],
)
def test_what_is_told(given: dict[str, Any], told: dict[str, Any]) -> None:
    """By AMQP's own names, in a form that JSON can hold; what stands elsewhere in the event is left out."""
    assert said(passed(**given)) == told
    assert json.loads(json.dumps(told)) == told
