"""A broker that runs elsewhere: it is reached and used, and what the suite can't do to it is said."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from conformance.errors import BrokerUnavailable, UsageError
from conformance.world.broker.base import Broker
from conformance.world.broker.external import ExternalBroker

PASSWORD = "a/b:c@d %#ü"


@pytest.fixture
def user(broker: Broker) -> Iterator[str]:
    """A user of the shared broker with a password that has to be percent-encoded."""
    name = f"user {secrets.token_hex(3)}"
    there = f"/users/{quote(name)}"
    broker.ask("PUT", there, {"password": PASSWORD, "tags": "administrator"})
    broker.ask("PUT", f"/permissions/%2F/{quote(name)}", {"configure": ".*", "write": ".*", "read": ".*"})
    yield name
    broker.ask("DELETE", there)


@pytest.fixture
def reach(broker: Broker) -> Iterator[Callable[..., ExternalBroker]]:
    """Reach the shared broker as an external one; it is left at the end."""
    reached: list[ExternalBroker] = []

    def reach(user: str = "guest:guest", *, management: bool = True, start: bool = True) -> ExternalBroker:
        addresses = broker.addresses
        assert addresses.management is not None
        external = ExternalBroker(
            addresses.amqp.replace("guest:guest", user),
            web_stomp_url=addresses.web_stomp,
            management_url=addresses.management.replace("guest:guest", user) if management else None,
        )
        reached.append(external)
        if start:
            external.start()
        return external

    yield reach
    for external in reached:
        external.stop()


@pytest.mark.broker
def test_it_is_used_and_left_as_it_is(reach: Callable[..., ExternalBroker], broker: Broker) -> None:
    """Its version and queues can be asked for; after `stop` it runs on."""
    external = reach()
    assert external.version == broker.version
    assert external.capabilities == {"management"}
    told = external.describe()
    assert told["provider"] == "external"
    assert "guest:guest" not in str(told)
    assert external.queue_facts("no such queue").exists is False
    external.stop()
    external.stop()
    assert broker.ready_count("no such queue") is None


@pytest.mark.broker
@pytest.mark.parametrize("what", ["restart", "kill", "terminate", "revive", "pause", "resume", "ctl"])
def test_what_it_can_not_do(what: str, reach: Callable[..., ExternalBroker]) -> None:
    """Nothing takes a broker down that the suite did not start; the error names the way out."""
    with pytest.raises(UsageError, match=r"did not start it.*--broker auto"):
        getattr(reach(), what)()


@pytest.mark.broker
def test_without_management(reach: Callable[..., ExternalBroker], broker: Broker, namespace: str) -> None:
    """Where nothing answers at the usual port, counts come from AMQP and settings are unknown."""
    external = reach(management=False)
    if external.addresses.management is not None:
        pytest.skip("something answers at 127.0.0.1:15672")
    assert external.capabilities == frozenset()
    broker.ask("PUT", f"/queues/%2F/{namespace}", {"durable": True})
    try:
        facts = external.queue_facts(namespace)
        assert (facts.exists, facts.ready, facts.consumers, facts.durable) == (True, 0, 0, None)
    finally:
        broker.delete(queues=[namespace], exchanges=[])


@pytest.mark.broker
def test_credentials_are_percent_encoded(reach: Callable[..., ExternalBroker], user: str) -> None:
    """One user and password, encoded in the URL, open AMQP, STOMP and management."""
    external = reach(f"{quote(user)}:{quote(PASSWORD, safe='')}")
    assert "management" in external.capabilities
    told = str(external.describe())
    assert PASSWORD not in told
    assert quote(PASSWORD, safe="") not in told


@pytest.mark.broker
def test_wrong_credentials(reach: Callable[..., ExternalBroker], broker: Broker) -> None:
    """AMQP's refusal is told without the password; management's too, if its address was given."""
    with pytest.raises(BrokerUnavailable, match=r"guest:\*\*\*@.*refuses user or password"):
        reach("guest:secret")
    addresses = broker.addresses
    external = ExternalBroker(
        addresses.amqp,
        web_stomp_url=addresses.web_stomp,
        management_url=(addresses.management or "").replace("guest:guest", "guest:secret"),
    )
    with pytest.raises(UsageError, match=r"--management: .*guest:\*\*\*@.*refuses the user"):
        external.start()


@pytest.mark.parametrize(
    ("url", "amqp", "web_stomp", "management"),
    [
        ("amqp://amqp", "amqp://amqp:5672", "ws://amqp:15674/ws", "http://guest:guest@amqp:15672"),
        ("amqp://u:p@h:/v", "amqp://u:p@h:5672/v", "ws://h:15674/ws", "http://u:p@h:15672"),
        ("amqp://u:p@[::1]/", "amqp://u:p@[::1]:5672/", "ws://[::1]:15674/ws", "http://u:p@[::1]:15672"),
        ("amqp://u:a%2Fb@h:1/%2F", "amqp://u:a%2Fb@h:1/%2F", "ws://h:15674/ws", "http://u:a%2Fb@h:15672"),
    ],
)
def test_addresses_that_are_left_out(url: str, amqp: str, web_stomp: str, management: str) -> None:
    """Ports that are left out are the usual ones; credentials stay encoded; an IPv6 address keeps its brackets."""
    external = ExternalBroker(url)
    assert external._amqp_url == amqp
    assert external._web_stomp == web_stomp
    assert external._management_url == management
