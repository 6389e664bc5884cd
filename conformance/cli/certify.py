"""``durable-ws certify``."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from conformance.catalogue.generated import Budget
from conformance.catalogue.select import promised, refuse_unknown_accepted, select
from conformance.catalogue.session import Setup
from conformance.certify import certify as run
from conformance.cli.annotating import annotate_run, chosen_system
from conformance.cli.interrupts import INTERRUPTS
from conformance.cli.options import (
    BrokerOption,
    ClientOption,
    ContractArgument,
    ImageOption,
    ManagementOption,
    WebStompOption,
    contract_for,
    definitions_file,
    duration_option,
    image_of,
    whole_option,
)
from conformance.errors import UsageError
from conformance.report.certificate import certificate_json
from conformance.report.console import forget_output
from conformance.report.terminal import Progress, print_report
from conformance.world.broker.choose import broker_maker
from conformance.world.broker.hardened import hardened_for
from conformance.world.publisher.choose import chosen_publisher, with_offers, with_publisher

__all__ = ["EXIT_STATUS", "certify"]

EXIT_STATUS = {"certified": 0, "violated": 1, "inconclusive": 3}
"""The exit status of each verdict (design.md); a run that was interrupted ends with 130 (129 after SIGHUP, 143 after
SIGTERM)."""

_DEFAULT_REPORT = Path("durable-ws-report")


_DEFAULT_BUDGET = "60s"
_LEAST_SOAK_S = 1.0


def _soak_option(soak: str | None, budget: str | None) -> float | None:
    """How long to soak, in seconds; None: not at all.

    Raises:
        UsageError: it is no such time, or stands beside ``--budget``.
    """
    if soak is None:
        return None
    soak_s = duration_option("--soak", soak)
    if soak_s < _LEAST_SOAK_S:
        raise UsageError("--soak", f"{soak!r} is too short", "Write a time from 1s up, such as 30m.")
    if budget is not None:
        raise UsageError(
            "--soak", f"{soak!r} beside --budget {budget!r}: both say how long", "Leave one of the two out."
        )
    return soak_s


def certify(
    contract: ContractArgument = None,
    broker: BrokerOption = "auto",
    image: ImageOption = None,
    web_stomp: WebStompOption = None,
    management: ManagementOption = None,
    publisher: Annotated[
        str | None, typer.Option(metavar="MODULE:FACTORY", help="A Python publisher of your own.")
    ] = None,
    publisher_command: Annotated[
        str | None, typer.Option(metavar='"PROGRAM ARGS"', help="A publisher that speaks JSON lines.")
    ] = None,
    report: Annotated[Path, typer.Option(metavar="DIR", help="Where the certificate and the evidence go.")] = (
        _DEFAULT_REPORT
    ),
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="For generated scenarios: 60s (the default), 5m; 0s for none.")
    ] = None,
    soak: Annotated[
        str | None, typer.Option(metavar="TIME", help="Generated scenarios alone, until the time is up: 30m, 8h.")
    ] = None,
    seed: Annotated[str | None, typer.Option(metavar="NUMBER", help="Repeat a choice of scenarios.")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these checks (repeatable).")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Not these checks (repeatable).")] = None,
    client: ClientOption = "websocket-client",
    timelines: Annotated[
        str,
        typer.Option(metavar="violated|all", help="What the report draws: what is not certified, or every check."),
    ] = "violated",
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON.")] = False,
    annotations: Annotated[
        str, typer.Option(metavar="auto|none|github|gitlab|azure|teamcity", help="For which CI system to annotate.")
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the verdict and what is violated.")] = False,
) -> int:
    """Certify a setup: start the broker, play tabs, cut their links, check every message's fate.

    Exit status: 0 certified, 1 violated, 2 bad usage or contract, 3 inconclusive or no broker, 130 interrupted.
    """
    system = chosen_system(annotations)
    resolved, note = contract_for(contract, broker)
    refuse_unknown_accepted(resolved)
    resolved = with_offers(resolved, publisher, publisher_command)
    resolved = with_publisher(resolved, publisher, publisher_command)
    soak_s = _soak_option(soak, budget)
    generate_s = duration_option("--budget", budget or _DEFAULT_BUDGET)
    run_seed = secrets.randbelow(2**32) if seed is None else whole_option("--seed", seed)
    checks = select(promised(resolved), only or (), exclude or ())
    if soak_s is not None:
        checks = [check for check in checks if check.id.startswith("generated/")]
    elif generate_s == 0:
        checks = [check for check in checks if not check.id.startswith("generated/")]
    if timelines not in ("violated", "all"):
        raise UsageError("--timelines", f"{timelines!r} is no choice of timelines", "Take violated or all.")
    if not checks:
        raise UsageError(
            "--only",
            "no check is left that the contract's promise asks for, of what the publisher offers",
            "Pick others, promise more, or see publisher.offers.",
        )
    name, make_publisher = chosen_publisher(resolved, publisher, publisher_command)
    folder = contract.parent if contract is not None else Path()
    with Progress(enabled=not (quiet or as_json)) as progress:
        setup = Setup(
            contract=resolved,
            make_publisher=make_publisher,
            publisher_name=name,
            client=client,
            seed=run_seed,
            budget=Budget(generate_s=generate_s),
            report=report,
            soak_s=soak_s,
            keep_all=timelines == "all",
        )
        make_broker = broker_maker(
            broker,
            image=image or image_of(resolved, broker),
            conf=folder / resolved.broker.conf if resolved.broker.conf else None,
            definitions=definitions_file(resolved, folder),
            hardened=hardened_for(resolved) if "://" not in broker else None,
            web_stomp=web_stomp,
            management=management,
            on_progress=progress.phase,
        )
        if note:
            progress.phase(note)
        progress.phase("starting the broker")
        certified = run(
            setup,
            checks,
            make_broker,
            command=sys.argv,
            on_begin=lambda count: progress.start(count, [check.id for check in checks]),
            on_result=progress.check_done,
            on_phase=progress.phase,
            held=INTERRUPTS.held,
            stopped=lambda: INTERRUPTS.number is not None,
        )
    with INTERRUPTS.held():
        try:
            if as_json:
                sys.stdout.write(certificate_json(certified.certificate))
            else:
                print_report(certified.certificate, certified.results, report=report, quiet=quiet)
            annotate_run(system, certified.certificate, contract=contract, report=report, to_stderr=as_json)
            sys.stdout.flush()
        except BrokenPipeError:
            forget_output()  # the report folder has it all, and the exit status is the verdict's
    if certified.interrupted:
        # Plays that were cut off may still wait in threads of their own; what they recorded is on disk.
        os._exit(INTERRUPTS.exit_status)
    if INTERRUPTS.number is not None:
        raise KeyboardInterrupt  # it came when all was checked, and waited for the report
    return EXIT_STATUS[certified.certificate["verdict"]]
