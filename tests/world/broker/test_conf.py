"""A node's `rabbitmq.conf`: the user's settings stay, the run's own win."""

from __future__ import annotations

from conformance.world.broker.conf import merged_conf, needed_settings

NEEDED = {"listeners.tcp.default": "127.0.0.1:1", "management.tcp.port": "2"}
LAST = "listeners.tcp.default = 127.0.0.1:1\nmanagement.tcp.port = 2\n"


def test_the_users_settings_stay() -> None:
    """As they are written, comments and order included."""
    own = "# mine\nheartbeat = 60\n\nvm_memory_high_watermark.relative = 0.3\n"
    assert merged_conf(own, NEEDED) == own + LAST


def test_addresses_are_the_runs_own() -> None:
    """Every listener of the user's goes, however it is written: a port that is taken would end the node."""
    own = (
        "listeners.tcp.1 = 0.0.0.0:5672\n  listeners.ssl.default=5671\nstomp.listeners.tcp.2 = 61613\n"
        "web_stomp.tcp.port = 15674\nmanagement.tcp.ip = 0.0.0.0\n"
        "management.ssl.port = 15671\nweb_stomp.ssl.port = 15673\nheartbeat = 60\n"
    )
    assert merged_conf(own, NEEDED) == "heartbeat = 60\n" + LAST


def test_nothing_is_listened_to_beyond_loopback() -> None:
    """What a run needs names 127.0.0.1 for each listener."""
    settings = needed_settings(amqp=1, stomp=2, web_stomp=3, management=4)
    addresses = [value for key, value in settings.items() if key.endswith((".ip", ".default", "tcp.1"))]
    assert len(addresses) == 4
    assert all(address.startswith("127.0.0.1") for address in addresses)


def test_an_empty_file() -> None:
    """No file, or nothing in it."""
    assert merged_conf("", NEEDED) == LAST
