"""A network that leaves nothing behind, and links over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from conformance.world.network.proxy import Network
from tests.world.network.wire import Link


@pytest.fixture
def network() -> Iterator[Network]:
    """A network; its thread is gone at the end."""
    before = set(threading.enumerate())
    with Network() as network:
        yield network
    assert [thread.name for thread in threading.enumerate() if thread not in before and thread.is_alive()] == []


@pytest.fixture
def make_link(network: Network) -> Iterator[Callable[..., Link]]:
    """Makes links; each is closed at the end, and its proxy has no connection left then."""
    links: list[Link] = []

    def make(protocol: str = "web-stomp", **options: str) -> Link:
        links.append(Link(network, protocol, **options))  # type: ignore[arg-type]
        return links[-1]

    yield make
    for link in links:
        link.close()
        assert link.proxy.connections == 0


@pytest.fixture
def link(make_link: Callable[..., Link]) -> Link:
    """A tab's link."""
    return make_link()


@pytest.fixture
def amqp_link(make_link: Callable[..., Link]) -> Link:
    """A publisher's link."""
    return make_link("amqp")
