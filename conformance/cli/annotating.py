"""What ``durable-ws certify`` tells the CI system that runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.contract.refusal import did_you_mean
from conformance.errors import UsageError
from conformance.report.annotations import (
    SYSTEMS,
    System,
    annotate,
    code_quality,
    detect,
    remarks_of,
    repository_path,
    summary_markdown,
)
from conformance.report.whole import write_whole

__all__ = ["annotate_run", "chosen_system"]

_CODE_QUALITY = "gl-code-quality-report.json"


def chosen_system(value: str) -> System | None:
    """The system that ``--annotations`` names: ``auto`` is the one that runs this process, ``none`` none.

    Raises:
        UsageError: it is neither and no system that is known.
    """
    if value == "auto":
        return detect(os.environ)
    if value == "none":
        return None
    for system in SYSTEMS:
        if value == system:
            return system
    raise UsageError(
        "--annotations", f"{value!r} is no CI system that is known", did_you_mean(value, ["auto", "none", *SYSTEMS])
    )


def annotate_run(
    system: System | None, certificate: Mapping[str, Any], *, contract: Path | None, report: Path, to_stderr: bool
) -> None:
    """Tell the system: lines in the job's log, on GitHub a job summary, on GitLab a code-quality report.

    Args:
        system: None: nothing is told.
        certificate: the run's.
        contract: the contract's file.
        report: the report folder, where the code-quality report goes.
        to_stderr: standard output is not for it (``--json``).
    """
    if system is None:
        return
    pinned_to = None if contract is None else repository_path(contract, system, os.environ)
    remarks = remarks_of(certificate, file=pinned_to)
    (sys.stderr if to_stderr else sys.stdout).write(annotate(system, remarks))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if system == "github" and summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(summary_markdown(certificate))
        except OSError as exc:
            _warn(f"GITHUB_STEP_SUMMARY {summary!r} can't be written ({exc.strerror}): no job summary.")
    if system == "gitlab":
        try:
            write_whole(report / _CODE_QUALITY, code_quality(remarks))
        except UsageError as exc:
            _warn(str(exc))


def _warn(words: str) -> None:
    """The run is over: its verdict and exit status stand, whatever can't be told."""
    sys.stderr.write(f"Warning: {words}\n")
