"""Fixtures that many tests share."""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from conformance.world.broker.base import Broker
from conformance.world.broker.choose import choose_broker
from conformance.world.network.proxy import Network

# No example has to be quick: beside other work a fifth of a second is soon gone.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# For mutation runs: the same examples each time, and a failure is enough, however long its example is.
settings.register_profile(
    "mutation", derandomize=True, database=None, deadline=None, phases=(Phase.explicit, Phase.generate)
)


def pytest_configure(config: pytest.Config) -> None:
    """In a mutation run nothing is deleted by the collector: mutmut notes the calls in a context variable, and a
    ``__del__`` that is called in the midst of setting it sets it, too, which ends CPython 3.11."""
    if config.getoption("hypothesis_profile") == "mutation":
        gc.disable()
        gc.freeze()  # or each mutant spends most of its time in the collections at the end of a run of pytest


LONG_S = 400
"""A test that may take so long comes early."""


INTERPRETED = ("durable_ws", "engine")
"""Folders of tests whose outcome may depend on the version of Python also where a broker is needed."""


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark what each Python has to run; then, once -m and -k have chosen, order it.

    What takes minutes comes first, lest a worker be alone with it at the end; not with containers: there the tests of
    one fixture must stay together. In a mutation run what talks over sockets comes last: there a fault may show as a
    wait.
    """
    here = Path(__file__).parent
    for item in items:
        if not item.get_closest_marker("broker") or item.path.relative_to(here).parts[0] in INTERPRETED:
            item.add_marker("every_python")
    yield
    if config.getoption("hypothesis_profile") == "mutation":
        items.sort(key=lambda item: item.path.name == "test_conversation.py")
        return
    items.sort(key=lambda item: 0.0 if item.get_closest_marker("docker") else -_long_s(item))


def _long_s(item: pytest.Item) -> float:
    """How long a test may take, in seconds, if that is long; else 0."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark and mark.args[0] >= LONG_S else 0.0


@pytest.fixture
def namespace() -> str:
    """A short random word that keeps one test's names at the broker apart from another's."""
    return "n" + secrets.token_hex(3)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """One network for the file."""
    with Network() as network:
        yield network


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A real RabbitMQ that all tests share: none of them may take it down.

    ``DURABLE_WS_TEST_BROKER`` names one that runs already: ``AMQP_URL|WEB_STOMP_URL|MANAGEMENT_URL``;
    ``DURABLE_WS_TEST_IMAGE`` an image to run in a container.
    """
    given = os.environ.get("DURABLE_WS_TEST_BROKER")
    if given:
        amqp, web_stomp, management = given.split("|")
        broker = choose_broker(amqp, web_stomp=web_stomp, management=management)
    else:
        broker = choose_broker("auto", image=os.environ.get("DURABLE_WS_TEST_IMAGE"))
    broker.start()
    yield broker
    broker.stop()
