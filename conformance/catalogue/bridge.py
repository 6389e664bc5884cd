"""Between pytest and a session: the catalogue's tests wait for the session's results."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict

import pytest

from conformance.catalogue.result import CheckResult, area_of
from conformance.catalogue.session import Session

__all__ = ["CatalogueBridge", "InconclusiveError", "told_in_short"]

_LOOK_S = 0.2


class InconclusiveError(Exception):
    """A check that shows nothing either way: an error in JUnit's words, not a failure."""


def told_in_short(result: CheckResult) -> str:
    """What is wrong, for JUnit, whose message pytest cuts: the summary, what to change, how it showed, the rule."""
    violations = result.detail.violations if result.detail is not None else ()
    causes = {(violation.kind, violation.cause): violation for violation in reversed(violations)}
    first = list(reversed(causes.values()))
    advice = dict.fromkeys(f"What to change: {violation.advice}" for violation in first)
    seen = [f"{violation.kind} ({violation.cause}): {violation.summary}." for violation in first]
    return "\n".join([result.summary, *advice, *seen, f"Rule: {result.rule}"])


class CatalogueBridge:
    """A pytest plugin object that feeds ``test_catalogue.py`` from a session.

    Args:
        session: has begun.
        on_result: called with each result as its test ends.
        interrupted: asked again and again; True ends the run between two tests.
    """

    def __init__(
        self, session: Session, on_result: Callable[[CheckResult], None], interrupted: Callable[[], bool]
    ) -> None:
        self._session = session
        self._on_result = on_result
        self._interrupted = interrupted

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Have nothing printed (and no source parsed for it): what is to be said is the report's to say."""
        config.pluginmanager.unregister(name="terminalreporter")

    @pytest.fixture
    def session(self) -> Session:
        """The running session."""
        return self._session

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each check, in the session's order."""
        if "check_id" in metafunc.fixturenames:
            metafunc.parametrize("check_id", list(self._session.checks))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Wait for the test's check before the test: here the run can be cut off without pytest in the middle of it."""
        while not self._session.done(_check_of(item), within_s=_LOOK_S):
            if self._interrupted():
                item.session.shouldstop = "interrupted"
                return True
        item.user_properties += _properties(self._session.result(_check_of(item)))
        return None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
        item: pytest.Item,
        call: pytest.CallInfo[None],  # noqa: ARG002 - pytest gives hooks what they name
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give the report the check's own name and the play's own time (the test only waited); pass the result on."""
        report = yield
        check_id = _check_of(item)
        report.nodeid = f"{area_of(check_id)}::{check_id}"  # JUnit's class name and name
        if report.when == "call":
            result = self._session.result(_check_of(item))
            report.duration = result.seconds
            self._on_result(result)
        return report


def _properties(result: CheckResult) -> list[tuple[str, object]]:
    """A test case's properties in JUnit."""
    counts = asdict(result.detail.counts) if result.detail is not None else {}
    return [
        ("verdict", result.verdict),
        ("rule", result.rule),
        ("source", result.source),
        *((name, value) for name, value in counts.items() if value),
    ]


def _check_of(item: pytest.Item) -> str:
    return str(item.callspec.params["check_id"])  # type: ignore[attr-defined]
