"""``durable-ws check``: the checker alone, over a history on disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from conformance.checker.checker import check as check_events
from conformance.cli.certify import EXIT_STATUS
from conformance.contract.loader import contract_from_dict, load_contract
from conformance.history.file import read_history
from conformance.report.console import forget_output
from conformance.report.terminal import print_verdict

__all__ = ["check"]


def check(
    history: Annotated[Path, typer.Argument(metavar="HISTORY.jsonl", help="A recorded history.")],
    contract: Annotated[
        Path | None, typer.Option(metavar="CONTRACT.toml", help="Hold it against this one, not the recorded one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> int:
    """Check a recorded history again: no broker, no network, the same verdict.

    Exit status: 0 certified, 1 violated, 2 bad usage or file, 3 inconclusive.
    """
    recorded = read_history(history)
    resolved = contract_from_dict(recorded.header.contract) if contract is None else load_contract(contract)
    verdict = check_events(recorded, resolved)
    try:
        if as_json:
            told = verdict.to_dict() | {"case": recorded.header.case, "torn": recorded.torn}
            sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        else:
            if recorded.torn:
                sys.stderr.write(f"Note: {recorded.torn}\n")
            print_verdict(recorded.header.case, verdict)
        sys.stdout.flush()
    except BrokenPipeError:
        forget_output()  # the exit status is the verdict's all the same
    return EXIT_STATUS[verdict.verdict]
