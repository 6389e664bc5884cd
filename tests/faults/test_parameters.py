"""Faults as data: which there are, what they take, and which links they suit."""

from __future__ import annotations

import dataclasses
import importlib
import random
from pathlib import Path

import pytest

import conformance.faults.all
from conformance.errors import UsageError
from conformance.faults.base import FAULTS, LinkFault, make_fault

OF_LINKS = {name: cls for name, cls in FAULTS.items() if issubclass(cls, LinkFault)}
NOT_FAULTS = {"__init__", "all", "base", "cutting"}

SUITS = {
    "bandwidth": {"tab", "publisher"},
    "blackhole": {"tab", "publisher"},
    "cut_after_ack": {"tab"},
    "cut_after_delivery": {"tab"},
    "cut_before_ack": {"tab"},
    "cut_before_confirm": {"publisher"},
    "cut_before_publish": {"publisher"},
    "cut_before_receipt": {"tab"},
    "cut_in_handshake": {"tab", "publisher"},
    "cut_mid_frame": {"tab", "publisher"},
    "fin": {"tab", "publisher"},
    "flap": {"tab"},
    "hold_confirms": {"publisher"},
    "jitter": {"tab", "publisher"},
    "latency": {"tab", "publisher"},
    "noop": {"tab", "publisher"},
    "refuse": {"tab", "publisher"},
    "rst": {"tab", "publisher"},
    "slicer": {"tab", "publisher"},
    "stall": {"tab", "publisher"},
}

REFUSED = [
    ("bandwidth", "bytes_per_s", 99),
    ("bandwidth", "bytes_per_s", 1000.5),
    ("blackhole", "direction", "up"),
    ("blackhole", "new_connections", "refuse"),
    ("cut_after_ack", "n", 0),
    ("cut_after_ack", "n", True),
    ("cut_after_delivery", "n", -1),
    ("cut_before_ack", "n", 0),
    ("cut_before_confirm", "n", 0),
    ("cut_before_publish", "n", "1"),
    ("cut_before_receipt", "down", "yes"),
    ("cut_in_handshake", "where", "tls"),
    ("cut_mid_frame", "after_bytes", 0),
    ("cut_mid_frame", "reset", 1),
    ("fin", "down", None),
    ("flap", "times", 0),
    ("jitter", "most_ms", -1),
    ("jitter", "most_ms", 60_001),
    ("latency", "delay_ms", -1),
    ("latency", "delay_ms", 60_001),
    ("refuse", "existing", "no"),
    ("rst", "down", 0),
    ("slicer", "size_bytes", 0),
    ("noop", "strength", 3),
    ("stall", "bytes", 3),
]


def test_every_file_is_a_registered_fault() -> None:
    """Each module of the folder defines and registers the fault of its name, and ``all`` imports it."""
    folder = Path(conformance.faults.all.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - NOT_FAULTS
    assert set(OF_LINKS) == modules == set(SUITS)
    for name, cls in OF_LINKS.items():
        assert cls.__module__ == f"conformance.faults.{name}"
        assert importlib.import_module(cls.__module__).__all__ == [cls.__name__]
        assert name in conformance.faults.all.__all__
        assert cls.name == name
        assert cls.__doc__


@pytest.mark.parametrize("name", OF_LINKS)
def test_a_fault_is_frozen_and_the_same_from_plain_data(name: str) -> None:
    """The defaults stand for no parameters, and its own fields make it again."""
    fault = make_fault(name, {})
    fields = dataclasses.asdict(fault)  # type: ignore[call-overload]
    assert make_fault(name, fields) == fault
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        fault.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(OF_LINKS))
@pytest.mark.parametrize("link", ["tab", "publisher", "broker"])
def test_it_suits_only_its_links(name: str, link: str) -> None:
    """The wrong kind of link is refused, with the faults that suit it."""
    parameters = {"where": "amqp"} if (name, link) == ("cut_in_handshake", "publisher") else {}
    if link in SUITS[name]:
        assert make_fault(name, parameters, link=link).name == name  # type: ignore[arg-type]
        return
    with pytest.raises(UsageError) as refused:
        make_fault(name, parameters, link=link)  # type: ignore[arg-type]
    assert refused.value.field == "fault"
    assert repr(name) in refused.value.problem
    suited = refused.value.way_out.removeprefix("Take one of: ").removesuffix(".").split(", ")
    assert {one for one in suited if one in SUITS} == {one for one, kinds in SUITS.items() if link in kinds}


@pytest.mark.parametrize(
    ("where", "link"), [("amqp", "tab"), ("http", "publisher"), ("connect", "publisher")], ids=lambda value: str(value)
)
def test_a_handshake_that_the_link_has_not_is_refused(where: str, link: str) -> None:
    """A fault that could never fire on this kind of link names the parameter and what would do."""
    with pytest.raises(UsageError) as refused:
        make_fault("cut_in_handshake", {"where": where}, link=link)  # type: ignore[arg-type]
    assert refused.value.field == "parameters.where"
    assert repr(where) in refused.value.problem
    assert ("'amqp'" if link == "publisher" else "'http' or 'connect'") in refused.value.way_out
    assert make_fault("cut_in_handshake", {"where": where}).name == "cut_in_handshake"


@pytest.mark.parametrize(("name", "parameter", "value"), REFUSED)
def test_what_is_out_of_range_is_refused(name: str, parameter: str, value: object) -> None:
    """The error names the field, the value and the parameters that there are."""
    with pytest.raises(UsageError) as refused:
        make_fault(name, {parameter: value})
    assert refused.value.field == f"parameters.{parameter}"
    assert repr(value) in refused.value.problem
    assert repr(name) in refused.value.problem
    for field in OF_LINKS[name].__dataclass_fields__:  # type: ignore[attr-defined]
        assert field in refused.value.way_out


def test_what_is_no_fault_is_refused() -> None:
    """A slip gets the nearest name, anything else the whole list, what JSON can't hold a word on it."""
    with pytest.raises(UsageError, match=r"^fault: 'latancy' is no fault. Did you mean 'latency'\?$"):
        make_fault("latancy", {})
    with pytest.raises(UsageError, match=r"There are: .*rst"):
        make_fault("xyzzy", {})
    with pytest.raises(UsageError, match=r"^parameters: hold what JSON can't"):
        make_fault("cut_after_ack", {"n": {1}})


@pytest.mark.parametrize("name", sorted(OF_LINKS.keys() - {"noop"}))
def test_nothing_has_fired_before_anything_happened(name: str) -> None:
    """A fault on a link without connections and traffic has not fired, and has counted nothing."""
    fault = make_fault(name, {})
    assert isinstance(fault, LinkFault)
    acting = fault.acting(random.Random(0))
    acting.begin([])
    assert not acting.fired
    assert acting.counts.total() == 0
