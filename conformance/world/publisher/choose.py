"""Which publisher a command was asked to put under test."""

from __future__ import annotations

import shlex
import shutil

from conformance.contract.model import Contract, Exchange
from conformance.errors import UsageError
from conformance.world.publisher.base import MakePublisher, PublisherUnderTest
from conformance.world.publisher.command import CommandPublisher
from conformance.world.publisher.durable import DurableWs
from conformance.world.publisher.factory import FactoryPublisher, load_factory

__all__ = ["chosen_publisher"]

_PUBLISH_TIMEOUT_S = 30.0
_HANG_S = 35.0
"""For a publisher that keeps its own deadline, which may be as long as ours."""


def chosen_publisher(contract: Contract, factory: str | None, command: str | None) -> tuple[str, MakePublisher]:
    """The publisher under test: from the options, else from the contract, else ``durable_ws``.

    Args:
        contract: its ``[publisher]`` counts where neither option is given.
        factory: ``module:factory``.
        command: a command line.

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
    if factory is not None:
        return factory, _factory(factory, factory_field)
    if words is not None:
        return shlex.join(words), _command(words, command_field)
    return "durable_ws", _durable_ws


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


def _factory(spec: str, field: str) -> MakePublisher:
    make = load_factory(spec, field=field)
    return lambda url, _: FactoryPublisher(make, url, name=spec, timeout_s=_HANG_S, field=field)


def _command(words: list[str], field: str) -> MakePublisher:
    if shutil.which(words[0]) is None:
        raise UsageError(
            field,
            f"{words[0]!r} is no program that can be run",
            "Name a program that is installed, with its full path if it is not on PATH.",
        )
    return lambda url, _: CommandPublisher(words, url, timeout_s=_PUBLISH_TIMEOUT_S, field=field)


def _durable_ws(url: str, exchanges: list[Exchange]) -> PublisherUnderTest:
    return DurableWs(url, exchanges=exchanges, timeout_s=_PUBLISH_TIMEOUT_S)
