"""``durable-ws selftest``: can the suite see?"""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from conformance.catalogue.stage import Stage
from conformance.cli.options import BrokerOption, ImageOption, ManagementOption, WebStompOption
from conformance.errors import UsageError
from conformance.report.console import forget_output, make_console
from conformance.selftest.brokers import CARELESS_BROKER, SOUND_BROKER
from conformance.selftest.run import Judged, judge_worlds
from conformance.selftest.worlds import WORLDS
from conformance.world.broker.choose import broker_maker
from conformance.world.broker.hardened import Hardened

__all__ = ["selftest"]


def selftest(
    globs: Annotated[list[str] | None, typer.Argument(metavar="WORLD", help="Only worlds that match.")] = None,
    broker: BrokerOption = "auto",
    image: ImageOption = None,
    web_stomp: WebStompOption = None,
    management: ManagementOption = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the evidence here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> int:
    """Play broken worlds, each of which must be violated for the right cause, and sound ones, which must not.

    Exit status: 0 if every verdict is the expected one, else 1; 2 bad usage; 3 no broker.
    """
    worlds = [world for world in WORLDS.values() if not globs or any(fnmatchcase(world.id, glob) for glob in globs)]
    if not worlds:
        raise UsageError("WORLD", f"{' '.join(globs or ())!r} matches no world", f"There are: {', '.join(WORLDS)}.")
    progress = make_console(stderr=True)

    def tell(judged: Judged) -> None:
        if not as_json:
            progress.print(f"{'ok ' if judged.right else 'WRONG'} {judged.world.id}", style="dim")

    def stage_of(hardened: Hardened) -> Stage:
        return Stage(broker_maker(broker, image=image, hardened=hardened, web_stomp=web_stomp, management=management))

    with stage_of(SOUND_BROKER) as stage, stage_of(CARELESS_BROKER) as careless:
        version = stage.shared.broker().version
        judged = judge_worlds(worlds, stage, careless=careless, report=report, on_judged=tell)
    right = all(one.right for one in judged)
    try:
        if as_json:
            told = {"rabbitmq": version, "right": right, "worlds": [_row(one) for one in judged]}
            sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        else:
            _print(judged, version)
        sys.stdout.flush()
    except BrokenPipeError:
        forget_output()  # the exit status is the verdict's all the same
    return 0 if right else 1


def _row(judged: Judged) -> dict[str, Any]:
    return {
        "id": judged.world.id,
        "why": judged.world.why,
        "expected": judged.expected,
        "verdict": judged.verdict,
        "class": judged.kind,
        "cause": judged.cause,
        "right": judged.right,
        "checks": {result.id: result.verdict for result in judged.results},
    }


def _print(judged: list[Judged], version: str) -> None:
    console = make_console(markup=True)
    table = Table(
        title=f"What the suite says of each world, on RabbitMQ {version}",
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for heading in ("", "world", "verdict", "class", "cause", "time"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "time" else "left")
    for one in judged:
        mark = "[green]✓[/]" if one.right else "[bold red]✗[/]"
        verdict = one.verdict if one.right else f"{one.verdict}, not {one.expected}"
        seconds = f"{sum(result.seconds for result in one.results):.1f} s"
        table.add_row(mark, escape(one.world.id), verdict, one.kind or "", escape(one.cause or ""), seconds)
    console.print(table)
    for one in judged:
        if not one.right:
            console.print(f"[bold red]✗ {escape(one.world.id)}[/]: {escape(one.world.why)}")
            for result in one.results:
                console.print(f"    {escape(result.id)}: {result.verdict}: {escape(result.summary)}", soft_wrap=True)
    broken = [one for one in judged if one.expected == "violated"]
    sound = [one for one in judged if one.expected == "certified"]
    console.print(
        f"{sum(one.right for one in broken)} of {len(broken)} broken worlds were caught for the right cause; "
        f"{sum(one.right for one in sound)} of {len(sound)} sound worlds raised no alarm."
    )
