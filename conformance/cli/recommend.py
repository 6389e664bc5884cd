"""``durable-ws recommend``: definitions, settings and headers that keep the promise, a reason for each line."""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
import sys
import tempfile
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import tomli_w
import typer

from conformance.cli.options import ContractArgument, whole_option
from conformance.contract.loader import contract_from_dict, contract_to_dict, load_contract
from conformance.contract.model import Contract
from conformance.contract.naming import stays
from conformance.contract.recommended import (
    RECOMMENDED,
    TAB_LOGIN,
    Line,
    definitions,
    hashed,
    headers,
    recommended_contract,
    settings,
    tls_settings,
    why,
)
from conformance.errors import UsageError

__all__ = ["recommend"]

_OLDEST = (3, 10)
_TLS = "For wss:// without a proxy in front, besides web_stomp.ssl.port, .cacertfile, .certfile and .keyfile:"
_IN_ANOTHER_VHOST = (
    "These definitions are for the vhost {!r}. On a broker that `durable-ws certify` starts itself tabs are played in "
    "the vhost /, where the tabs' user has no permission: certify the same without --vhost, or a broker that runs "
    "already, whose --broker amqp://… names the vhost."
)
_WIDTH = 100


def recommend(
    contract: ContractArgument = None,
    rabbitmq: Annotated[
        str | None, typer.Option(metavar="VERSION", help="For this RabbitMQ, like 4.0; none: any since 3.10.")
    ] = None,
    connections: Annotated[str | None, typer.Option(metavar="NUMBER", help="At most so many tabs at a time.")] = None,
    queues: Annotated[str | None, typer.Option(metavar="NUMBER", help="At most so many queues in the vhost.")] = None,
    vhost: Annotated[str, typer.Option(metavar="NAME", help="The tabs' vhost.")] = "/",
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask for the passcode of the tabs' user; else one is generated.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the files there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON.")] = False,
) -> int:
    """Write definitions, rabbitmq.conf and SUBSCRIBE's headers that keep the promise, with a reason for each line.

    DIR gets definitions.json, rabbitmq.conf, headers.txt, reasons.txt, and a contract.toml to certify them with.
    """
    version = None if rabbitmq is None else _version(rabbitmq)
    passcode = getpass.getpass("Passcode of the tabs' user: ") if ask else secrets.token_urlsafe(18)
    if not passcode:
        raise UsageError("--ask", "the passcode is empty", "Type one, or leave the option out to have one generated.")
    if not vhost:
        raise UsageError("--vhost", "'' is no name of a vhost", "Name one, or leave it out for /.")
    limits = {
        name: whole_option(f"--{name}", text, least=1)
        for name, text in (("connections", connections), ("queues", queues))
        if text is not None
    }
    resolved = _hardened(contract, passcode, limits, ask=ask)
    made = hashed(definitions(resolved, vhost=vhost), secrets.token_bytes(4))
    conf, reasons = settings(resolved, version=version), list(why(resolved, vhost=vhost))
    notes = [] if vhost == "/" else [_IN_ANOTHER_VHOST.format(vhost)]
    if as_json:
        told = {
            "definitions": {"content": made, "reasons": [asdict(line) for line in reasons]},
            "rabbitmq.conf": [asdict(line) for line in conf],
            "tls": [asdict(line) for line in tls_settings()],
            "headers": [asdict(line) for line in headers(resolved)],
            "notes": notes,
            "tab": {"login": resolved.tab.login, "passcode": resolved.tab.passcode},
        }
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    files = {
        "definitions.json": json.dumps(made, indent=2, ensure_ascii=False) + "\n",
        "reasons.txt": _text(reasons, ": "),
        "rabbitmq.conf": _text(conf, " = ") + "\n" + _commented(_TLS) + _text(tls_settings(), " = ", commented=True),
        "headers.txt": _text(headers(resolved), ": "),
        "contract.toml": "".join(map(_commented, notes)) + tomli_w.dumps(_of_files(resolved)),
    }
    if out is not None:
        _write(out, files)
        if not as_json:
            sys.stdout.write("".join(f"{out / name}\n" for name in files))
            sys.stderr.write("".join(f"{note}\n" for note in notes))
    elif not as_json:
        sys.stdout.write("\n".join(f"--- {name}\n\n{text}" for name, text in files.items()))
    return 0


def _hardened(path: Path | None, passcode: str, limits: dict[str, int], *, ask: bool) -> Contract:
    """The file's contract with what the recommended set adds where the file says nothing."""
    recommended = recommended_contract(passcode)
    if path is None:
        own: dict[str, Any] = contract_to_dict(recommended)
    else:
        given = load_contract(path)
        own = contract_to_dict(given)
        own["broker"]["definitions"] = RECOMMENDED
        own["broker"].pop("conf", None)
        own["promise"]["hostile_tab"] = True
        heart_beat, exchange = given.tab.heart_beat, given.exchanges[given.tab.exchange]
        ready = contract_to_dict(recommended)["limits"] | {"silence": f"{max(30.0, 3 * heart_beat):g}s"}
        ready["topic_permissions"] = exchange.type == "topic" and not stays(exchange)
        own["limits"] = ready | {
            key: own["limits"][key] for key in given.limits.model_fields_set & own["limits"].keys()
        }
        if given.tab.login == "guest":
            own["tab"] |= {"login": TAB_LOGIN, "passcode": passcode}
        elif ask:
            own["tab"]["passcode"] = passcode
    own["limits"] |= limits
    return contract_from_dict(own)


def _of_files(contract: Contract) -> dict[str, Any]:
    """The contract that names the files beside it; whatever broker there is will do."""
    return contract_to_dict(contract) | {"broker": {"definitions": "definitions.json", "conf": "rabbitmq.conf"}}


def _version(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})(\.[0-9A-Za-z.-]{1,20})?", text)
    if found is None:
        raise UsageError("--rabbitmq", f"{text!r} is no version of RabbitMQ", "Write it like 3.13 or 4.0.")
    version = int(found[1]), int(found[2])
    if version < _OLDEST:
        raise UsageError("--rabbitmq", f"{text!r} is older than anything that was tried", "Write 3.10 or later.")
    return version


def _text(lines: Iterable[Line], between: str, *, commented: bool = False) -> str:
    """Each line under its reason, as a comment."""
    mark = "# " if commented else ""
    return "\n".join(f"{_commented(line.reason)}{mark}{line.key}{between}{line.value}\n" for line in lines)


def _commented(text: str) -> str:
    return textwrap.indent(textwrap.fill(text, _WIDTH), "# ") + "\n"


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            # A new file for its owner alone, whatever the old one lets others do, or is a link to.
            handle, beside = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                Path(beside).replace(folder / name)
            except BaseException:
                Path(beside).unlink(missing_ok=True)
                raise
    except OSError as exc:
        raise UsageError(
            "--out", f"{str(folder)!r} can't be written ({exc.strerror})", "Name a folder that is yours."
        ) from exc
