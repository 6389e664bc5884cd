"""The broker's URL made into an address, without I/O. What is refused is in test_bad_input.py."""

from __future__ import annotations

import os
import ssl

import pytest

from durable_ws.address import parameters_from, url_from


@pytest.mark.parametrize(
    ("url", "host", "port", "vhost", "user", "password"),
    [
        ("amqp://localhost", "localhost", 5672, "/", "guest", "guest"),
        ("AMQP://localhost:1234/", "localhost", 1234, "/", "guest", "guest"),
        ("amqp://me:secret@host/%2F", "host", 5672, "/", "me", "secret"),
        ("amqp://me:secret@host/my%2Fvhost", "host", 5672, "my/vhost", "me", "secret"),
        ("amqp://me:secret@host/v@w", "host", 5672, "v@w", "me", "secret"),
        ("amqp://m%40e:s%2Fe%3Ac%40r%23e%3Ft@host/v", "host", 5672, "v", "m@e", "s/e:c@r#e?t"),
        ("amqp://me:@host", "host", 5672, "/", "me", ""),
        ("amqp://[::1]:5673/v", "::1", 5673, "v", "guest", "guest"),
        ("amqp://höst.example/v", "höst.example", 5672, "v", "guest", "guest"),
        ("amqps://host", "host", 5671, "/", "guest", "guest"),
    ],
)
def test_urls(url: str, host: str, port: int, vhost: str, user: str, password: str) -> None:  # noqa: PLR0913, RUF100
    """Each part is taken as the specification of AMQP URLs says."""
    made = parameters_from(url, "url", heartbeat_s=5, connect_timeout_s=10.0)
    assert (made.host, made.port, made.virtual_host) == (host, port, vhost)
    assert (made.credentials.username, made.credentials.password) == (user, password)


def test_arguments_hold_unless_the_url_says_otherwise() -> None:
    """Heart-beat and timeouts come from the arguments, and the URL's own win."""
    made = parameters_from("amqp://host", "url", heartbeat_s=7, connect_timeout_s=3.0)
    assert (made.heartbeat, made.stack_timeout, made.socket_timeout) == (7, 3.0, 3.0)
    made = parameters_from(
        "amqp://host?heartbeat=0&stack_timeout=2&socket_timeout=1", "url", heartbeat_s=7, connect_timeout_s=3.0
    )
    assert (made.heartbeat, made.stack_timeout, made.socket_timeout) == (0, 2, 1)
    made = parameters_from("amqp://host?stack_timeout=2", "url", heartbeat_s=7, connect_timeout_s=3.0)
    assert (made.stack_timeout, made.socket_timeout) == (2, 2)


def test_the_connection_has_a_name() -> None:
    """The broker's lists tell whose connection it is; a name in the URL wins, and other properties stay."""
    made = parameters_from("amqp://host", "url", heartbeat_s=5, connect_timeout_s=10.0)
    assert made.client_properties == {}
    assert made.offer().client_properties == {"connection_name": f"durable_ws of process {os.getpid()}"}
    query = "client_properties={'connection_name':'mine','product':'shop'}"
    made = parameters_from(f"amqp://host?{query}", "url", heartbeat_s=5, connect_timeout_s=10.0)
    assert made.client_properties == {"connection_name": "mine", "product": "shop"}


def test_tls_is_verified() -> None:
    """``amqps`` checks certificate and host name; ``amqp`` has no TLS."""
    options = parameters_from("amqps://host", "url", heartbeat_s=5, connect_timeout_s=10.0).ssl_options
    assert options.context.verify_mode is ssl.CERT_REQUIRED
    assert options.context.check_hostname
    assert options.server_hostname in (None, "host"), "pika takes the URL's host for None"
    assert parameters_from("amqp://host", "url", heartbeat_s=5, connect_timeout_s=10.0).ssl_options is None


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each is called by its name in errors."""
    monkeypatch.setenv("RABBITMQ_URL", "amqp://of-the-environment")
    assert url_from("amqp://given") == ("amqp://given", "url")
    assert url_from(None) == ("amqp://of-the-environment", "RABBITMQ_URL")


def test_nothing_that_prints_itself_tells_the_password() -> None:
    """A repr in a log or a traceback shows no password."""
    assert "hunter2" not in repr(
        parameters_from("amqp://user:hunter2@host", "url", heartbeat_s=5, connect_timeout_s=1.0)
    )
