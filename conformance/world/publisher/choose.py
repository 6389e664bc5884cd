"""Which publisher a command was asked to put under test."""

from __future__ import annotations

import shlex
import shutil

from conformance.contract.model import Contract
from conformance.errors import UsageError
from conformance.world.publisher.base import MakePublisher
from conformance.world.publisher.command import CommandPublisher
from conformance.world.publisher.durable import DurableWs
from conformance.world.publisher.factory import FactoryPublisher, load_factory

__all__ = ["chosen_publisher", "with_publisher"]

_HANG_S = 5.0
"""How much longer a call in Python may take: a publisher keeps its own deadline, which may be as long as ours."""


def chosen_publisher(contract: Contract, factory: str | None, command: str | None) -> tuple[str, MakePublisher]:
    """The publisher under test: from the options, else from the contract, else ``durable_ws``.

    Args:
        contract: its ``[publisher]`` counts where neither option is given.
        factory: ``module:factory``.
        command: a command line.

    ``publisher.timeout`` is the deadline of each publish, whichever it is.

    Returns:
        Its name for the certificate, and what makes one.

    Raises:
        UsageError: both are given, the factory can't be loaded, the command line can't be split, or there is no such
            program.
    """
    if factory is not None and command is not None:
        raise UsageError("--publisher", "stands beside --publisher-command", "Give one of the two.")
    factory_field, command_field, words = "--publisher", "--publisher-command", None
    if factory is None and command is None:
        factory, words = contract.publisher.python, contract.publisher.command
        factory_field, command_field = "publisher.python", "publisher.command"
    elif command is not None:
        words = _split(command)
    timeout_s = contract.publisher.timeout
    if factory is not None:
        return factory, _factory(factory, factory_field, timeout_s)
    if words is not None:
        return shlex.join(words), _command(words, command_field, timeout_s)
    return "durable_ws", lambda url, exchanges: DurableWs(url, exchanges=exchanges, timeout_s=timeout_s)


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as exc:
        raise UsageError(
            "--publisher-command", f"{command!r} can't be split into words ({exc})", "Close the quotation."
        ) from exc
    if not words:
        raise UsageError("--publisher-command", "is empty", "Name a program.")
    return words


def _factory(spec: str, field: str, timeout_s: float) -> MakePublisher:
    make = load_factory(spec, field=field)
    return lambda url, _: FactoryPublisher(make, url, name=spec, timeout_s=timeout_s + _HANG_S, field=field)


def _command(words: list[str], field: str, timeout_s: float) -> MakePublisher:
    if shutil.which(words[0]) is None:
        raise UsageError(
            field,
            f"{words[0]!r} is no program that can be run",
            "Name a program that is installed, with its full path if it is not on PATH.",
        )
    return lambda url, _: CommandPublisher(words, url, timeout_s=timeout_s, field=field)


def with_publisher(contract: Contract, factory: str | None, command: str | None) -> Contract:
    """The contract with the publisher that the options name, if they name one, in place of its own.

    Raises:
        UsageError: the command line can't be split.
    """
    if factory is None and command is None:
        return contract
    words = None if command is None else _split(command)
    section = contract.publisher.model_copy(update={"python": factory, "command": words})
    return contract.model_copy(update={"publisher": section})
