"""Durations are read, refused and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from conformance.contract.duration import FROM_FILE, Duration, DurationOrNever, parse_duration, text_of

DURATION = TypeAdapter(Duration)
OR_NEVER = TypeAdapter(DurationOrNever)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("10s", 10),
        ("90m", 5400),
        ("1h", 3600),
        ("1h30m", 5400),
        ("48h", 172_800),
        ("2d", 172_800),
        ("1d1h1m1s1ms", 90_061.001),
        (" 10s ", 10),
    ],
)
def test_reads(text: str, seconds: float) -> None:
    """Each unit, alone and with others, gives seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "10", "-1s", "1 h", "10 seconds", "1m1h", "1h1h", "1S", "1,5s", "never", "1e3s", "٣s", "99999d"]
)
def test_refuses_what_is_no_duration(text: str) -> None:
    """No unit, wrong order, a sign, another script's digits, or more than ten years."""
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


def test_an_error_shows_examples() -> None:
    """Someone who wrote nonsense sees what would be right."""
    with pytest.raises(ValueError, match='"250ms", "10s"'):
        parse_duration("soon")


@given(st.integers(0, 10**10))
def test_round_trip(milliseconds: int) -> None:
    """Whole milliseconds are read back as they were written."""
    assert parse_duration(text_of(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.25, "250ms"), (60, "1m"), (5400, "1h30m"), (172_800, "2d"), (1.0005, "1s0.5ms")]
)
def test_writes(seconds: float, text: str) -> None:
    """The greatest units come first, those that are nought not at all."""
    assert text_of(seconds) == text


def test_a_file_needs_a_unit_and_a_program_does_not() -> None:
    """A plain number is seconds to a Python caller, and a mistake in a file."""
    assert DURATION.validate_python(2.5) == 2.5
    with pytest.raises(ValidationError, match=r'has no unit; write "10s"'):
        DURATION.validate_python(10, context={FROM_FILE: True})


@pytest.mark.parametrize("value", [True, None, [1], float("nan"), float("inf"), -1.0])
def test_refuses_other_values(value: object) -> None:
    """What is neither text nor a sensible number is refused from Python too."""
    with pytest.raises(ValidationError):
        DURATION.validate_python(value)


def test_never() -> None:
    """``never`` is None, both ways; and no plain duration."""
    assert OR_NEVER.validate_python("never") is None
    assert OR_NEVER.dump_python(None, mode="json") == "never"
    assert OR_NEVER.dump_python(OR_NEVER.validate_python("2h"), mode="json") == "2h"
    with pytest.raises(ValidationError):
        DURATION.validate_python("never")


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "nans"), (1.7e300, "1.7e+300s"), (-2.0, "-2s")])
def test_what_is_no_duration_is_told_all_the_same(value: float, text: str) -> None:
    """An event may hold any number: telling of it must not fail."""
    assert text_of(value) == text
