"""The errors of the suite, each of which knows its exit status.

::

    ConformanceError
    ├── UsageError            what the user gave can't be used (exit status 2)
    └── HarnessError          the suite itself could not do its work (exit status 3)
        ├── BrokerUnavailable no broker could be started or reached (exit status 3)
        └── NotFound          the broker has no such thing

A rule of the contract that is broken is no exception: it is a value,
:class:`conformance.checker.verdict.Violation`.
"""

from __future__ import annotations

__all__ = ["BrokerUnavailable", "ConformanceError", "HarnessError", "NotFound", "UsageError"]


class ConformanceError(Exception):
    """Base of every error that the suite raises on purpose."""

    exit_status = 3


class UsageError(ConformanceError, ValueError):
    """Something that the user gave can't be used.

    Args:
        field: what it is about, as the user wrote it: ``tab.headers.x-expires``, ``--broker``, a file's name.
        problem: what is wrong with it, in one sentence without a final full stop; names the value.
        way_out: what to do instead, in one sentence; a suggestion where there is one.
    """

    exit_status = 2

    def __init__(self, field: str, problem: str, way_out: str) -> None:
        super().__init__(field, problem, way_out)
        self.field = field
        self.problem = problem
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}. {self.way_out}"


class HarnessError(ConformanceError):
    """The suite itself could not do its work; makes a case inconclusive, never violated."""

    exit_status = 3


class BrokerUnavailable(HarnessError):  # noqa: N818 - it names the state, as ConnectionRefused would
    """No broker could be started or reached; the message lists what was tried and what would make it work."""


class NotFound(HarnessError):  # noqa: N818 - it names what the broker says
    """The broker has no such thing as it was asked about."""
