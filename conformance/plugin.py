"""The pytest plugin: fixtures for a user's own tests against a real RabbitMQ.

Loaded by pytest in every run in this environment, so it imports the suite only where a fixture is used.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.contract.model import Contract
    from conformance.engine.bench import Bench, BenchHistory, BenchNetwork, BenchPublisher, BenchTab
    from conformance.world.broker.base import Broker

__all__: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options, also as ini settings without the dashes."""
    group = parser.getgroup("durable-ws", "RabbitMQ to browser tabs, nothing lost")
    for name, metavar, text in (
        ("broker", "SPEC", "which RabbitMQ: auto (default), docker, local, provisioned or amqp://…"),
        ("image", "IMAGE", "the container image; means docker"),
        ("web-stomp", "URL", "Web-STOMP of an amqp:// broker, if not at HOST:15674/ws"),
        ("management", "URL", "management of an amqp:// broker, if not at HOST:15672"),
        ("contract", "FILE", "the contract; default: the built-in one"),
        ("publisher", "MODULE:FACTORY", "the publisher under test; default: the contract's"),
        ("history", "DIR", "keep each test's history here"),
    ):
        group.addoption(f"--durable-ws-{name}", metavar=metavar, default=None, help=text)
        parser.addini(f"durable_ws_{name.replace('-', '_')}", text, default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "durable_ws(contract=FILE or dict, client=NAME): this test's own contract (a file, or keys on top of the "
        "built-in one) or the client that plays its tabs",
    )


def _setting(config: pytest.Config, name: str) -> str | None:
    given = config.getoption(f"--durable-ws-{name}")
    return given or config.getini(f"durable_ws_{name.replace('-', '_')}") or None


def _contract(request: pytest.FixtureRequest, marked: dict[str, Any]) -> Contract:
    from conformance.contract.loader import contract_from_dict, load_contract

    own = marked.get("contract")
    if isinstance(own, dict):
        return contract_from_dict(own)
    path = own or _setting(request.config, "contract")
    return load_contract(request.config.rootpath / path if path else None)


@pytest.fixture(scope="session")
def durable_ws_broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A started RabbitMQ with Web-STOMP (:class:`conformance.world.broker.base.Broker`), shared by the session."""
    from conformance.world.broker.choose import choose_broker

    broker = choose_broker(
        _setting(request.config, "broker") or "auto",
        image=_setting(request.config, "image"),
        web_stomp=_setting(request.config, "web-stomp"),
        management=_setting(request.config, "management"),
    )
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def durable_ws_bench(request: pytest.FixtureRequest, durable_ws_broker: Broker) -> Iterator[Bench]:
    """The test's own world: names of its own at the broker, proxies on every link, a history."""
    from conformance.engine.bench import Bench
    from conformance.engine.world import World
    from conformance.world.publisher.choose import chosen_publisher

    marker = request.node.get_closest_marker("durable_ws")
    marked = dict(marker.kwargs) if marker is not None else {}
    contract = _contract(request, marked)
    name, make_publisher = chosen_publisher(contract, _setting(request.config, "publisher"), None)
    world = World(
        broker=durable_ws_broker,
        contract=contract,
        make_publisher=make_publisher,
        publisher_name=name,
        client=marked.get("client", "websocket-client"),
    )
    with Bench(
        world,
        name=request.node.nodeid,
        namespace="n" + secrets.token_hex(3),
        path=_history_path(request),
    ) as bench:
        yield bench


def _history_path(request: pytest.FixtureRequest) -> Path | None:
    folder = _setting(request.config, "history")
    if folder is None:
        return None
    path = Path(folder) / (re.sub(r"[^\w.-]+", "-", request.node.nodeid) + ".jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def tab(durable_ws_bench: Bench) -> Callable[..., BenchTab]:
    """Opens tabs: ``tab("news.*")`` is subscribed when it returns."""
    return durable_ws_bench.tab


@pytest.fixture
def publisher(durable_ws_bench: Bench) -> BenchPublisher:
    """The publisher under test, recorded, on a link that can be cut."""
    return durable_ws_bench.publisher


@pytest.fixture
def network(durable_ws_bench: Bench) -> BenchNetwork:
    """Faults: ``with network.fault(a_tab, "rst"): …``."""
    return durable_ws_bench.network


@pytest.fixture
def history(durable_ws_bench: Bench) -> BenchHistory:
    """What was recorded; ``history.assert_contract_holds()`` at the end of a test."""
    return durable_ws_bench.history
