"""The links of the network's own tests."""

from tests.world.network.conftest import amqp_link, link, make_link, network

__all__ = ["amqp_link", "link", "make_link", "network"]
