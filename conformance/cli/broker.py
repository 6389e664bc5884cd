"""``durable-ws broker``: run a RabbitMQ with Web-STOMP in the foreground."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from conformance.cli.options import BrokerOption, ImageOption
from conformance.report.console import make_console
from conformance.world.broker.choose import choose_broker

__all__ = ["broker"]


def broker(
    broker: BrokerOption = "auto",
    image: ImageOption = None,
    conf: Annotated[Path | None, typer.Option(metavar="FILE", help="A rabbitmq.conf to merge in.")] = None,
    definitions: Annotated[Path | None, typer.Option(metavar="FILE", help="Definitions to import.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")] = False,
) -> int:
    """Run a broker until Ctrl-C (or SIGTERM), and print its addresses; nothing of it is left afterwards."""
    progress = make_console(stderr=True)
    running = choose_broker(
        broker,
        image=image,
        conf=conf,
        definitions=definitions,
        on_progress=lambda text: progress.print(text, style="dim"),
    )
    try:
        running.start()
        addresses = running.addresses
        told = {
            "provider": running.provider,
            "version": running.version,
            "amqp": addresses.amqp,
            "web_stomp": addresses.web_stomp,
            "management": addresses.management,
        }
        if as_json:
            sys.stdout.write(json.dumps(told) + "\n")
        else:
            sys.stdout.write("".join(f"{name:<11} {value}\n" for name, value in told.items()))
            progress.print("Press Ctrl-C to end it.", style="dim")
        sys.stdout.flush()
        threading.Event().wait()  # until a signal
    except KeyboardInterrupt:
        progress.print("Ending the broker.", style="dim")
    finally:
        running.stop()
    return 0
