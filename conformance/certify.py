"""A whole run of ``durable-ws certify``: pytest over the catalogue, and a certificate at its end."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import conformance.catalogue
from conformance.catalogue.bridge import CatalogueBridge
from conformance.catalogue.result import CheckResult
from conformance.catalogue.session import Check, Session, Setup
from conformance.catalogue.stage import Stage
from conformance.engine.header import versions
from conformance.errors import UsageError
from conformance.report.certificate import build_certificate, write_certificate
from conformance.report.html import write_html
from conformance.world.broker.choose import MakeBroker

__all__ = ["Certified", "certify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A run's end: the certificate, the results it was made of, and whether the user cut it short."""

    certificate: dict[str, Any]
    results: list[CheckResult]
    interrupted: bool


def certify(
    setup: Setup,
    checks: Sequence[Check],
    make_broker: MakeBroker,
    *,
    command: Sequence[str],
    on_begin: Callable[[int], None] = lambda _: None,
    on_result: Callable[[CheckResult], None] = lambda _: None,
    on_phase: Callable[[str], None] = lambda _: None,
    held: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    stopped: Callable[[], bool] = lambda: False,
) -> Certified:
    """Start the broker, make every check, write the report folder.

    Args:
        setup: the run; ``setup.report`` is the folder for ``certificate.json``, ``report.html``, ``junit.xml`` and
            the evidence.
        checks: what to check, in the order of the report.
        make_broker: makes (does not start) a broker; called once for each place that the checks are made in.
        command: the command line, for the certificate.
        on_begin: called with the number of checks once the broker is up.
        on_result: called with each result in turn.
        on_phase: told what is done once the checks are over, and now and then how far a soak is.
        held: a context in which nothing raises KeyboardInterrupt: once checks have begun, what is done is done whole.
        stopped: asked while checks run; True cuts the run short.

    Raises:
        BrokerUnavailable: no broker could be started or reached.
        KeyboardInterrupt: the user cut it short before the checks had begun.
        UsageError: the report folder can't be written.
    """
    began, began_at = time.monotonic(), datetime.now(UTC)
    broker: dict[str, Any] | None = None
    checked_from, interrupted = began, False
    report = _prepared(setup.report)
    stage = Stage(make_broker, logs=report / "logs" if report is not None else None)
    session = Session(setup, checks, stage, tell=on_phase)
    with contextlib.ExitStack() as ending:
        try:
            broker = stage.shared.broker().describe()
            session.begin()
            checked_from = time.monotonic()
            ending.enter_context(held())
            on_begin(len(checks))
            interrupted = _run_pytest(session, on_result, report, stopped) == pytest.ExitCode.INTERRUPTED
        except KeyboardInterrupt:
            if broker is None:
                raise
            interrupted = True
        finally:
            ending.enter_context(held())
            stage.timings["checks"] = round(time.monotonic() - checked_from, 1)
            if broker is not None:
                on_phase("interrupted: ending what runs" if interrupted else "ending the broker")
            stage.close()
        on_phase("writing the report")
        results = session.results_so_far()
        certificate = build_certificate(
            results=results,
            contract=setup.contract,
            broker=broker,
            publisher=setup.publisher_name,
            client=setup.client,
            seed=setup.seed,
            command=list(command),
            versions=versions(),
            timings=stage.timings,
            began=began_at,
            today=setup.today,
            seconds=round(time.monotonic() - began, 1),
            interrupted=interrupted,
            report=report,
            coverage=None if session.coverage is None else session.coverage.to_dict(),
        )
        if report is not None:
            write_certificate(report / "certificate.json", certificate)
            write_html(report / "report.html", certificate, results)
        return Certified(certificate=certificate, results=results, interrupted=interrupted)


def _prepared(report: Path | None) -> Path | None:
    """The report folder, made and seen to be writable before anything is started, without an earlier run's verdict."""
    if report is None:
        return None
    try:
        report.mkdir(parents=True, exist_ok=True)
        for name in ("certificate.json", "report.html", "junit.xml"):
            (report / name).unlink(missing_ok=True)
        probe = report / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as exc:
        raise UsageError(
            "--report", f"{str(report)!r} can't be written ({exc.strerror})", "Name a folder that is yours."
        ) from exc
    return report


def _run_pytest(
    session: Session, on_result: Callable[[CheckResult], None], report: Path | None, stopped: Callable[[], bool]
) -> int:
    folder = Path(conformance.catalogue.__path__[0])
    arguments = [
        str(folder / "test_catalogue.py"),
        f"--config-file={folder / 'pytest.ini'}",
        f"--rootdir={folder}",
        "--disable-plugin-autoload",
        "-p", "no:cacheprovider",
        "--capture=no",
        # Neither rewritten assertions nor quoted sources: Hypothesis parses sources in other threads meanwhile, and
        # ast.parse is not safe for threads before Python 3.11.8 (https://github.com/python/cpython/issues/106905).
        "--assert=plain",
        "--tb=native",
        "-o", "junit_suite_name=durable-ws",
        *([f"--junitxml={report / 'junit.xml'}"] if report is not None else []),
    ]  # fmt: skip
    # pytest's own words are for its own users: what a run of the catalogue says is the report's to say.
    with contextlib.redirect_stdout(io.StringIO()):
        return pytest.main(arguments, plugins=[CatalogueBridge(session, on_result, stopped)])
