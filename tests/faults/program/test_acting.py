"""Faults of the publisher's program: when they act, and what counts as having happened. No processes."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import conformance.faults.all
from conformance.errors import UsageError
from conformance.faults.base import FAULTS, make_fault
from conformance.faults.program.base import ProgramActing, ProgramFault


class FakeProgram:
    """Notes what is done to it; ``under_way`` is how many publishes each kill finds under way."""

    def __init__(self, *under_way: int) -> None:
        self.done: list[str] = []
        self._under_way = iter(under_way)

    def kill(self) -> int:
        """Killed."""
        self.done.append("kill")
        return next(self._under_way)

    def stop(self) -> None:
        """Stopped."""
        self.done.append("stop")

    def resume(self) -> None:
        """Continued."""
        self.done.append("resume")

    def hold(self, seconds: float) -> None:
        """Time goes by."""
        self.done.append(f"hold {round(seconds)}")


def acting(name: str, **parameters: object) -> ProgramActing:
    """A fault at work."""
    fault = make_fault(name, parameters, link="program")
    assert isinstance(fault, ProgramFault)
    return fault.acting()


def handed(fault: ProgramActing, program: FakeProgram, count: int) -> list[int]:
    """Hand so many publishes over. Returns at which of them, from 1, something was done."""
    found = []
    for number in range(1, count + 1):
        before = len(program.done)
        fault.handed(program)
        if len(program.done) > before:
            found.append(number)
    return found


def test_killed_at_the_nth() -> None:
    """Once, with some under way."""
    fault, program = acting("kill_program", after=3), FakeProgram(2)
    assert not fault.fired
    assert handed(fault, program, 10) == [3]
    assert fault.fired
    assert fault.counts == {"killed": 1, "under_way": 2}
    fault.end(program)
    assert program.done == ["kill"]


def test_killed_until_it_was_in_the_middle() -> None:
    """One that had answered all by then was not killed in the middle of publishes: at the next one, then."""
    fault, program = acting("kill_program", after=3), FakeProgram(0, 0, 1)
    assert handed(fault, program, 10) == [3, 4, 5]
    assert fault.counts == {"killed": 3, "under_way": 1}


def test_killed_between_messages_alone_has_not_fired() -> None:
    """The case is inconclusive then."""
    fault, program = acting("kill_program"), FakeProgram(0, 0)
    handed(fault, program, 2)
    assert not fault.fired


def test_killed_again_and_again() -> None:
    """Counting begins anew for each run of the program."""
    fault, program = acting("kill_program", after=2, times=3), FakeProgram(1, 1, 1)
    assert handed(fault, program, 10) == [2, 4, 6]
    assert fault.counts == {"killed": 3, "under_way": 3}
    assert fault.fired


def test_stopped_and_continued() -> None:
    """Once; not before its time."""
    fault, program = acting("stop_program", after=2, at_least_s=30.0), FakeProgram()
    assert handed(fault, program, 10) == [2]
    assert fault.counts == {"stopped": 1}
    fault.end(program)
    assert program.done == ["stop", "hold 30", "resume"]


def test_one_that_was_never_stopped_is_not_continued() -> None:
    """And nothing is waited for."""
    fault, program = acting("stop_program", after=2, at_least_s=30.0), FakeProgram()
    handed(fault, program, 1)
    fault.end(program)
    assert (fault.fired, program.done) == (False, [])


def test_every_file_is_a_registered_fault() -> None:
    """Each module of the folder defines and registers the fault of its name."""
    folder = Path(conformance.faults.all.__file__).parent / "program"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "base"}
    assert modules == {name for name, cls in FAULTS.items() if issubclass(cls, ProgramFault)}
    for name in modules:
        assert importlib.import_module(f"conformance.faults.program.{name}").__all__ == [FAULTS[name].__name__]


@pytest.mark.parametrize(
    ("name", "link", "problem"),
    [
        ("kill_program", "publisher", "does nothing to the link of a publisher"),
        ("rst", "program", "does nothing to the publisher's program"),
        ("stop_program", "broker", "does nothing to the broker itself"),
    ],
)
def test_each_where_it_belongs(name: str, link: str, problem: str) -> None:
    """Told with those that fit."""
    with pytest.raises(UsageError, match=problem) as refused:
        make_fault(name, {}, link=link)  # type: ignore[arg-type]
    assert ("kill_program, stop_program" in refused.value.way_out) == (link == "program")


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [("kill_program", "after", 0), ("kill_program", "times", 101), ("stop_program", "at_least_s", -1.0)],
)
def test_parameters_out_of_range(name: str, parameter: str, value: object) -> None:
    """Refused by name."""
    with pytest.raises(UsageError) as refused:
        make_fault(name, {parameter: value})
    assert refused.value.field == f"parameters.{parameter}"
