"""Which publisher a command was asked to put under test."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence

from conformance.contract.model import Contract, Exchange, Offer
from conformance.errors import UsageError
from conformance.world.publisher.base import Factory, MakePublisher, PublisherUnderTest
from conformance.world.publisher.command import CommandPublisher
from conformance.world.publisher.durable import AsyncDurableWs, DurableWs
from conformance.world.publisher.factory import FactoryPublisher, load_factory
from conformance.world.publisher.offers import DURABLE_WS_OFFERS, offers_of
from durable_ws import AsyncPublisher, Publisher

__all__ = ["chosen_publisher", "with_offers", "with_publisher"]

_HANG_S = 5.0
"""How much longer a call in Python may take: a publisher keeps its own deadline, which may be as long as ours."""


def chosen_publisher(contract: Contract, factory: str | None, command: str | None) -> tuple[str, MakePublisher]:
    """The publisher under test: from the options, else from the contract, else ``durable_ws``.

    Args:
        contract: its ``[publisher]`` counts where neither option is given.
        factory: ``module:factory``; also ``durable_ws:Publisher`` and ``durable_ws:AsyncPublisher``.
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
        loaded = load_factory(factory, field=factory_field)
        if (ours := _ours(loaded)) is not None:
            return factory, _durable_ws(ours, timeout_s)
        return factory, _factory(loaded, factory, factory_field, timeout_s, contract.publisher.offers or ())
    if words is not None:
        return shlex.join(words), _command(words, command_field, timeout_s)
    return "durable_ws", _durable_ws(DurableWs, timeout_s)


def with_offers(contract: Contract, factory: str | None, command: str | None) -> Contract:
    """The contract with ``publisher.offers`` filled in: what the publisher under test is asked for.

    What the contract says counts. Of a Python factory it is otherwise seen from the names of arguments; a program
    offers nothing unless the contract says so.

    Args:
        contract, factory, command: as for :func:`chosen_publisher`.

    Raises:
        UsageError: the factory can't be loaded, or the contract has ``durable_ws`` offer what it does not.
    """
    section = contract.publisher
    if factory is not None and command is not None:
        return contract  # which chosen_publisher refuses
    if factory is None and command is None:
        factory, command = section.python, None if section.command is None else section.command[0]
    loaded = None
    if factory is not None:
        loaded = load_factory(factory, field="--publisher" if section.python is None else "publisher.python")
    ours = command is None and (loaded is None or _ours(loaded) is not None)
    if section.offers is not None:
        if ours and (more := [offer for offer in section.offers if offer not in DURABLE_WS_OFFERS]):
            raise UsageError(
                "publisher.offers",
                f"{more[0]!r} is nothing that durable_ws offers",
                "Leave the key out: what durable_ws offers is known.",
            )
        return contract
    offers: Sequence[Offer] = DURABLE_WS_OFFERS if ours else ()
    if loaded is not None and not ours:
        offers = offers_of(loaded)
    return contract.model_copy(update={"publisher": section.model_copy(update={"offers": list(offers)})})


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


def _ours(factory: object) -> type[DurableWs | AsyncDurableWs] | None:
    """What stands for one of the project's own publishers, if that is what the factory is."""
    if factory is Publisher:
        return DurableWs
    return AsyncDurableWs if factory is AsyncPublisher else None


def _factory(factory: Factory, spec: str, field: str, timeout_s: float, offers: Sequence[Offer]) -> MakePublisher:
    def make(url: str, _: list[Exchange], /, *, failover: Sequence[str] = ()) -> PublisherUnderTest:
        return FactoryPublisher(
            factory, url, name=spec, timeout_s=timeout_s + _HANG_S, field=field, failover=failover, offers=offers
        )

    return make


def _command(words: list[str], field: str, timeout_s: float) -> MakePublisher:
    if shutil.which(words[0]) is None:
        raise UsageError(
            field,
            f"{words[0]!r} is no program that can be run",
            "Name a program that is installed, with its full path if it is not on PATH.",
        )

    def make(url: str, _: list[Exchange], /, *, failover: Sequence[str] = ()) -> PublisherUnderTest:
        return CommandPublisher(words, url, timeout_s=timeout_s, field=field, failover=failover)

    return make


def _durable_ws(kind: type[DurableWs | AsyncDurableWs], timeout_s: float) -> MakePublisher:
    def make(url: str, exchanges: list[Exchange], /, *, failover: Sequence[str] = ()) -> PublisherUnderTest:
        return kind(url, exchanges=exchanges, failover=failover, timeout_s=timeout_s)

    return make


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
