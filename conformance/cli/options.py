"""Options that several commands share."""

from __future__ import annotations

import math
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer

from conformance.contract.duration import parse_duration
from conformance.contract.loader import load_contract
from conformance.contract.model import Contract
from conformance.contract.recommended import RECOMMENDED, recommended_contract
from conformance.errors import UsageError
from conformance.world.tab.clients import TAB_CLIENTS

__all__ = [
    "BrokerOption",
    "ClientOption",
    "ContractArgument",
    "ImageOption",
    "ManagementOption",
    "WebStompOption",
    "contract_for",
    "definitions_file",
    "duration_option",
    "image_of",
]


def _known_client(value: str) -> str:
    if value not in TAB_CLIENTS:
        raise UsageError(
            "--client", f"{value!r} is no client that plays tabs", f"Take one of: {', '.join(TAB_CLIENTS)}."
        )
    return value


ContractArgument = Annotated[
    Path | None, typer.Argument(metavar="CONTRACT.toml", help="The contract; none: the built-in, recommended recipe.")
]
BrokerOption = Annotated[
    str,
    typer.Option(metavar="auto|docker|local|provisioned|amqp://…", help="Which RabbitMQ to use.", show_default=True),
]
ImageOption = Annotated[str | None, typer.Option(metavar="IMAGE", help="The container image; means --broker docker.")]
WebStompOption = Annotated[
    str | None, typer.Option(metavar="ws://…", help="Web-STOMP of an amqp:// broker, if not at HOST:15674/ws.")
]
ManagementOption = Annotated[
    str | None, typer.Option(metavar="http://…", help="Management of an amqp:// broker, if not at HOST:15672.")
]
ClientOption = Annotated[
    str,
    typer.Option(metavar="|".join(TAB_CLIENTS), help="Which STOMP client plays the tabs.", callback=_known_client),
]


_EXTERNAL_NOTE = (
    "the built-in contract without its security: definitions can't be imported into a broker that runs already; see "
    "`durable-ws recommend`, and name a contract with promise.hostile_tab to have it asked for"
)


def contract_for(path: Path | None, broker: str) -> tuple[Contract, str]:
    """The contract to certify, and what there is to be said of it (empty: nothing).

    Without a file it is the recommended set on a broker that the suite starts. Into one that runs already no
    definitions can be imported, so there it is the recipe alone.

    Raises:
        UsageError: the file is wrong, or asks for the recommended definitions on a broker that runs already.
    """
    external = "://" in broker
    if path is None:
        return (Contract(), _EXTERNAL_NOTE) if external else (recommended_contract(secrets.token_hex(12)), "")
    contract = load_contract(path)
    if external and contract.broker.definitions == RECOMMENDED:
        raise UsageError(
            "broker.definitions",
            f"{RECOMMENDED!r} can't be applied to a broker that runs already",
            "Import what `durable-ws recommend` writes there, and leave the key out; or use --broker auto.",
        )
    return contract, ""


def definitions_file(contract: Contract, folder: Path) -> Path | None:
    """The definitions that the contract names as a file; None: none, or the recommended ones."""
    name = contract.broker.definitions
    return None if name is None or name == RECOMMENDED else folder / name


def duration_option(option: str, text: str) -> float:
    """A time given on the command line, in seconds.

    Raises:
        UsageError: it is no duration.
    """
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise UsageError(option, f"{text!r} is no time", "Write it like 30s, 5m or 1h.") from exc


def image_of(contract: Contract, broker: str) -> str | None:
    """The image that the contract asks for by name, where the way to get a broker leaves it open; None: any will do."""
    asked = "image" in contract.broker.model_fields_set and broker in ("auto", "docker")
    return contract.broker.image if asked else None


def number_option(option: str, text: str, *, least: float | None = None, most: float | None = None) -> float:
    """A number given on the command line.

    Raises:
        UsageError: it is none, or out of range.
    """
    try:
        value = float(text)
    except ValueError:
        raise UsageError(option, f"{text!r} is no number", f"Write {_range(least, most)}.") from None
    if not math.isfinite(value) or (least is not None and value < least) or (most is not None and value > most):
        raise UsageError(option, f"{text!r} is out of range", f"Write {_range(least, most)}.")
    return value


def whole_option(option: str, text: str, *, least: int | None = None, most: int | None = None) -> int:
    """A whole number given on the command line.

    Raises:
        UsageError: it is none, or out of range.
    """
    if not re.fullmatch(r"[-+]?[0-9]{1,20}", text):
        raise UsageError(option, f"{text!r} is no whole number", f"Write {_range(least, most)}.")
    number_option(option, text, least=least, most=most)
    return int(text)


def _range(least: float | None, most: float | None) -> str:
    if most is not None:
        return f"a number from {least} to {most}"
    return "a number like 42" if least is None else f"a number from {least} up"
