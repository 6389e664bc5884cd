"""The ``durable-ws`` program: its commands, and how errors become messages and exit statuses."""

from __future__ import annotations

import functools
import importlib.metadata
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.text import Text

from conformance.cli.broker import broker
from conformance.cli.cases import cases
from conformance.cli.certify import certify
from conformance.cli.check import check
from conformance.cli.diff import diff
from conformance.cli.interrupts import INTERRUPTS
from conformance.cli.matrix import matrix
from conformance.cli.publish import publish
from conformance.cli.recommend import recommend
from conformance.cli.replay import replay
from conformance.cli.schema import schema
from conformance.cli.selftest import selftest
from conformance.cli.tail import tail
from conformance.errors import ConformanceError
from conformance.report.console import forget_output, make_console
from conformance.report.plain import plain
from durable_ws import DurableWsError

__all__ = ["app", "main"]

app = typer.Typer(
    name="durable-ws",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"durable-ws {importlib.metadata.version('durable-ws')}\n")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Prove that what is published to RabbitMQ reaches every browser tab."""


def _ending_well(command: Callable[..., int]) -> Callable[..., int]:
    """The command, ended as other programs are by a signal, or where who reads its output (``| head -1``) has gone.

    typer has ways of its own for both, and they differ from release to release.
    """

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> int:
        try:
            status = command(*arguments, **options)
            sys.stdout.flush()
        except BrokenPipeError:
            forget_output()
            return 128 + signal.SIGPIPE
        except KeyboardInterrupt:
            _say("Interrupted.", "")
            return INTERRUPTS.exit_status
        return status

    return run


for _command in (
    certify,
    recommend,
    matrix,
    replay,
    check,
    cases,
    diff,
    schema,
    selftest,
    publish,
    tail,
    broker,
):
    app.command()(_ending_well(_command))

_WrongCommandLine: Any = typer.BadParameter.__base__
"""What typer raises for any wrong command line; it has no public name, but every such error derives from it."""


def main() -> None:
    """Run the program; every error that has a name becomes one message and an exit status, never a traceback."""
    INTERRUPTS.take()
    status = _run(sys.argv[1:])
    INTERRUPTS.hold()
    sys.exit(status)


def _run(words: list[str]) -> int:
    try:
        if not words:
            app(["--help"], standalone_mode=False)
            return 2
        status = app(words, standalone_mode=False)
        return status if isinstance(status, int) else 0
    except _WrongCommandLine as exc:
        exc.show()
        return 2
    except typer.Exit as exc:
        return exc.exit_code
    except (typer.Abort, KeyboardInterrupt):
        _say("Interrupted.", "")
        return INTERRUPTS.exit_status
    except ConformanceError as exc:
        _say(str(exc))
        return exc.exit_status
    except DurableWsError as exc:
        _say(str(exc))
        return 2 if isinstance(exc, ValueError) else 3
    except Exception:  # noqa: BLE001 - 1, as Python would end with, means violated
        traceback.print_exc()
        _say("this is a bug of durable-ws, and says nothing about your setup. Please report it with what stands above.")
        return 3


def _say(message: str, kind: str = "Error: ") -> None:
    """Say it on standard error; what it quotes may come from anywhere, so control characters and passwords don't."""
    shown = "\n".join(map(plain, message.split("\n")))
    make_console(stderr=True).print(Text.assemble((kind, "bold red"), shown), soft_wrap=True)
