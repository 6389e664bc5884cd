"""``durable-ws matrix``: recipes by brokers."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from conformance.catalogue.result import CheckResult, CheckVerdict
from conformance.cli.certify import EXIT_STATUS
from conformance.cli.interrupts import INTERRUPTS
from conformance.cli.options import whole_option
from conformance.engine.header import versions
from conformance.errors import BrokerUnavailable, UsageError
from conformance.matrix.cells import Cell, Column
from conformance.matrix.recipes import Recipe, built_in, load_recipes, select_recipes
from conformance.matrix.run import Source, run_matrix
from conformance.report.certificate import certificate_json
from conformance.report.console import forget_output
from conformance.report.matrix import build_matrix, prepare_report, write_matrix
from conformance.report.matrix_text import matrix_markdown, print_matrix
from conformance.report.plain import redact
from conformance.report.progress import Progress
from conformance.world.broker.choose import MakeBroker, broker_maker
from conformance.world.publisher.choose import chosen_publisher

__all__ = ["matrix"]

_DEFAULT_REPORT = Path("durable-ws-matrix")


def matrix(
    recipes: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RECIPE.toml", help="Contract files; none: the built-in variations of the headers."),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option(metavar="IMAGE", help="A container image, a column (repeatable).")
    ] = None,
    broker: Annotated[
        list[str] | None,
        typer.Option(metavar="auto|docker|local|provisioned|amqp://…", help="A broker, a column (repeatable)."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these recipes (repeatable).")] = None,
    report: Annotated[Path, typer.Option(metavar="DIR", help="Where the matrix and the evidence go.")] = (
        _DEFAULT_REPORT
    ),
    seed: Annotated[str | None, typer.Option(metavar="NUMBER", help="Repeat what was drawn.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the matrix as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the table in Markdown.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the table and the verdict.")] = False,
) -> int:
    """Play each recipe on each broker: which of them loses messages on which RabbitMQ?

    Without --image and --broker: on the images that the recipes name, else on what --broker auto gives.

    Exit status: 0 every cell certified, 1 some violated or refused by the broker, 2 bad usage or recipe, 3 some
    inconclusive or no broker, 130 interrupted.
    """
    if as_json and as_markdown:
        raise UsageError("--markdown", "stands beside --json", "Give one of the two.")
    run_seed = secrets.randbelow(2**32) if seed is None else whole_option("--seed", seed)
    rows = select_recipes(load_recipes(recipes) if recipes else built_in(), only or ())
    for row in rows:
        chosen_publisher(row.contract, None, None)  # says at once what is wrong with it
    sources = _sources(image or (), broker or (), rows)
    prepare_report(report)
    began = datetime.now(UTC)
    with Progress(enabled=not (quiet or as_json)) as progress:
        progress.start(len(rows) * len(sources))
        played = run_matrix(
            rows,
            sources,
            seed=run_seed,
            report=report,
            on_cell=lambda cell: progress.check_done(_as_check(cell)),
            on_phase=progress.phase,
        )
    if not played.interrupted and not any(column.version for column in played.columns):
        raise BrokerUnavailable("\n".join(_told(column, alone=len(sources) == 1) for column in played.columns))
    with INTERRUPTS.held():
        document = build_matrix(played, command=sys.argv, versions=versions(), began=began, report=report)
        write_matrix(report, document, played)
        try:
            if as_json:
                sys.stdout.write(certificate_json(document))
            elif as_markdown:
                sys.stdout.write(matrix_markdown(played))
            else:
                print_matrix(played, report=report, quiet=quiet)
            sys.stdout.flush()
        except BrokenPipeError:
            forget_output()  # the report folder has it all, and the exit status is the verdict's
    if played.interrupted:
        # Plays that were cut off may still wait in threads of their own; what they recorded is on disk.
        os._exit(INTERRUPTS.exit_status)
    if INTERRUPTS.number is not None:
        raise KeyboardInterrupt  # it came when all was played, and waited for the report
    return EXIT_STATUS[played.verdict]


def _sources(images: Sequence[str], brokers: Sequence[str], rows: Sequence[Recipe]) -> list[Source]:
    """The columns; what is wrong with their options is said at once."""
    if not images and not brokers:
        named = (row.contract.broker for row in rows)
        images = list(dict.fromkeys(section.image for section in named if "image" in section.model_fields_set))
    given = [*(("--image", one) for one in images), *(("--broker", one) for one in brokers)] or [("--broker", "auto")]
    for option, value in given:
        if given.count((option, value)) > 1:
            raise UsageError(option, f"{redact(value)!r} is given twice", "Give each broker once.")
    return [_source(option, value) for option, value in given]


def _source(option: str, value: str) -> Source:
    spec, image = ("docker", value) if option == "--image" else (value, None)

    def make(conf: Path | None, definitions: Path | None, on_progress: Callable[[str], None]) -> MakeBroker:
        return broker_maker(spec, image=image, conf=conf, definitions=definitions, on_progress=on_progress)

    make(None, None, lambda _: None)
    # Of a URL the credentials are left out of everything that is shown or that names a folder.
    return Source(label=re.sub(r"://[^/@]*@", "://", value), options=(option, value), make=make)


def _told(column: Column, *, alone: bool) -> str:
    return column.error if alone else f"{column.label}: {column.error}"


def _as_check(cell: Cell) -> CheckResult:
    """A cell for the progress, which tells of checks."""
    verdict: CheckVerdict = "violated" if cell.verdict == "refused" else cell.verdict
    return CheckResult(id=f"{cell.recipe.id} on {cell.column}", verdict=verdict, summary=cell.summary)
