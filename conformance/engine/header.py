"""The first line of a played history: who played what, with which versions."""

from __future__ import annotations

import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version

from conformance.contract.loader import contract_to_dict
from conformance.engine.world import World
from conformance.history.file import HistoryHeader
from conformance.scenario.steps import Scenario

__all__ = ["make_header", "versions"]

_PACKAGES = ("durable-ws", "pika", "stomp.py", "websocket-client", "hypothesis")


def versions() -> dict[str, str]:
    """Program name to version: Python and the packages that a verdict may depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def make_header(scenario: Scenario, world: World, *, case: str, namespace: str) -> HistoryHeader:
    """The header for one play of ``scenario`` in ``world``."""
    return HistoryHeader(
        seed=scenario.seed,
        command=shlex.join(sys.argv),
        versions=versions() | {"rabbitmq": world.broker.version},
        case=case,
        namespace=namespace,
        contract=contract_to_dict(world.contract),
        broker=world.broker.describe() | {"publisher": world.publisher_name, "client": world.client},
        scenario=scenario.model_dump(mode="json", by_alias=True),
    )
