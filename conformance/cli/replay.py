"""``durable-ws replay``: play a kept scenario again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from conformance.catalogue.stage import Stage, place_of
from conformance.cli.certify import EXIT_STATUS
from conformance.cli.options import (
    BrokerOption,
    ClientOption,
    ImageOption,
    ManagementOption,
    WebStompOption,
    whole_option,
)
from conformance.contract.loader import load_contract
from conformance.engine.play import play
from conformance.engine.world import World
from conformance.report.console import forget_output
from conformance.report.plain import plain
from conformance.report.terminal import print_verdict
from conformance.scenario.codec import load_scenario_file
from conformance.scenario.needs import needs_of
from conformance.world.broker.choose import broker_maker
from conformance.world.broker.hardened import hardened_for
from conformance.world.publisher.choose import chosen_publisher

__all__ = ["replay"]


def replay(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO.json", help="A scenario that a run left.")],
    contract: Annotated[
        Path | None, typer.Option(metavar="CONTRACT.toml", help="Play it under this one, not the recorded one.")
    ] = None,
    broker: BrokerOption = "auto",
    image: ImageOption = None,
    web_stomp: WebStompOption = None,
    management: ManagementOption = None,
    publisher: Annotated[str | None, typer.Option(metavar="MODULE:FACTORY", help="A Python publisher.")] = None,
    publisher_command: Annotated[
        str | None, typer.Option(metavar='"PROGRAM ARGS"', help="A publisher that speaks JSON lines.")
    ] = None,
    client: ClientOption = "websocket-client",
    times: Annotated[str, typer.Option(metavar="NUMBER", help="Play it so often: k of n are violated.")] = "1",
    history: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the last play's history here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the last verdict as JSON.")] = False,
) -> int:
    """Play a scenario again, on the same or another broker, with the same or another publisher.

    Exit status: that of the gravest verdict: 1 violated, 3 inconclusive, 0 certified; 2 bad usage or file.
    """
    plays_wanted = whole_option("--times", times, least=1, most=1000)
    kept, recorded_contract = load_scenario_file(scenario)
    resolved = load_contract(contract) if contract is not None or recorded_contract is None else recorded_contract
    if (
        publisher is not None or publisher_command is not None
    ):  # it offers what it offers, not what the recorded one did
        resolved = resolved.model_copy(update={"publisher": resolved.publisher.model_copy(update={"offers": None})})
    name, make_publisher = chosen_publisher(resolved, publisher, publisher_command)
    hardened = hardened_for(resolved)
    with Stage(
        broker_maker(broker, image=image, hardened=hardened, web_stomp=web_stomp, management=management)
    ) as stage:
        world = World(
            broker=stage.lanes[place_of(needs_of(kept.steps))].broker(),
            contract=resolved,
            make_publisher=make_publisher,
            publisher_name=name,
            client=client,
        )
        plays = [play(kept, world, stage.network, case=scenario.stem, path=history) for _ in range(plays_wanted)]
    verdicts = [played.verdict.verdict for played in plays]
    gravest = next(word for word in ("violated", "inconclusive", "certified") if word in verdicts)
    shown = next(played for played in reversed(plays) if played.verdict.verdict == gravest)
    try:
        if as_json:
            told = shown.verdict.to_dict() | {"plays": len(plays), "violated": verdicts.count("violated")}
            sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        else:
            print_verdict(scenario.stem, shown.verdict)
            if plays_wanted > 1:
                sys.stdout.write(f"{verdicts.count('violated')} of {plays_wanted} plays were violated.\n")
            if shown.stderr:
                sys.stdout.write("The publisher's program wrote on its standard error:\n")
                sys.stdout.writelines(
                    f"  {plain(line)}\n" for line in shown.stderr.decode(errors="replace").splitlines()
                )
        sys.stdout.flush()
    except BrokenPipeError:
        forget_output()  # the exit status is the verdict's all the same
    return EXIT_STATUS[gravest]
