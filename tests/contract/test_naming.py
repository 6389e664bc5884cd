"""Names at the broker: namespace, encoding, and what can't be kept apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract
from conformance.contract.naming import Naming, subscribable
from conformance.contract.topic import topic_matches
from conformance.errors import UsageError

AMQ_TOPIC = contract_from_dict(
    {"exchanges": {"t": {"name": "amq.topic"}}, "tab": {"exchange": "t", "destination": "/topic/{routing_key}"}}
)


def test_the_built_in_contract() -> None:
    """Exchanges get the namespace as a suffix, ids as a prefix, keys stay."""
    naming = Naming(Contract(), "k3x9")
    assert naming.exchange("pubsub") == "durable-websocket-pubsub.k3x9"
    assert naming.routing_key("pubsub", "news.sport") == "news.sport"
    assert naming.tab_id("t1") == "k3x9-t1"
    assert naming.queue("t1") == "web-client-k3x9-t1"
    assert naming.destination("t1", "pubsub", "news.*") == "/exchange/durable-websocket-pubsub.k3x9/news.*"
    assert naming.destination("t1", "broadcast", "") == "/exchange/durable-websocket-broadcast.k3x9/"
    assert naming.subscribe_headers("t1") == {
        "ack": "client-individual",
        "x-queue-name": "web-client-k3x9-t1",
        "prefetch-count": "50",
        "durable": "true",
        "auto-delete": "false",
        "exclusive": "false",
        "x-expires": "86400000",
    }


def test_without_a_namespace_names_stand_as_they_are() -> None:
    """``durable-ws tail`` and the like use the contract's own names."""
    naming = Naming(Contract())
    assert naming.exchange("pubsub") == "durable-websocket-pubsub"
    assert naming.queue("t1") == "web-client-t1"


def test_an_exchange_that_is_there_gives_its_keys_the_namespace() -> None:
    """``amq.topic`` can't be renamed: keys begin with the case's word."""
    naming = Naming(AMQ_TOPIC, "k3x9")
    assert naming.exchange("t") == "amq.topic"
    assert naming.routing_key("t", "news.#") == "k3x9.news.#"
    assert naming.destination("t1", "t", "a/b") == "/topic/k3x9.a%2Fb"


def test_a_passive_exchange_is_not_renamed() -> None:
    """It was created beforehand, under its own name."""
    contract = contract_from_dict({"exchanges": {"pubsub": {"passive": True}}})
    assert Naming(contract, "k3x9").exchange("pubsub") == "durable-websocket-pubsub"
    assert Naming(contract, "k3x9").routing_key("pubsub", "ticks") == "k3x9.ticks"


@given(
    st.lists(st.sampled_from(["a", "b", "*", "#", ""]), max_size=4),
    st.lists(st.sampled_from(["a", "b", ""]), max_size=4),
)
def test_the_namespace_in_front_changes_no_match(pattern: list[str], key: list[str]) -> None:
    """A binding matches a key with the namespace if and only if it does without; other namespaces never."""
    binding, concrete = ".".join(pattern), ".".join(key)
    mine, other = Naming(AMQ_TOPIC, "mine"), Naming(AMQ_TOPIC, "other")
    here = mine.routing_key("t", binding)
    assert topic_matches(here, mine.routing_key("t", concrete)) == topic_matches(binding, concrete)
    assert not topic_matches(here, other.routing_key("t", concrete))


def test_a_queue_without_the_tabs_id_is_the_same_for_all_tabs() -> None:
    """A broken world, which is still kept apart from other cases."""
    naming = Naming(contract_from_dict({"tab": {"queue": "shared"}}), "k3x9")
    assert naming.queue("t1") == naming.queue("t2") == "shared.k3x9"


def test_prefetch_nought_is_no_header() -> None:
    """No limit is what the broker does without being asked."""
    assert "prefetch-count" not in Naming(contract_from_dict({"tab": {"prefetch": 0}})).subscribe_headers("t1")


def test_subscribable() -> None:
    """Which exchanges a tab can be opened on depends on the destination."""
    both = {"t": {"name": "amq.topic"}, "mine": {}, "all": {"type": "fanout"}}
    of = {
        destination: subscribable(
            contract_from_dict({"exchanges": both, "tab": {"exchange": exchange, "destination": destination}})
        )
        for destination, exchange in {
            "/exchange/{exchange}/{routing_key}": "t",
            "/topic/{routing_key}": "t",
            "/exchange/{exchange}": "all",
        }.items()
    }
    assert list(of.values()) == [["t", "mine", "all"], ["t"], ["all"]]


def test_refuses_an_exchange_that_the_destination_cannot_name() -> None:
    """``/topic/…`` is amq.topic and nothing else."""
    contract = AMQ_TOPIC.model_copy(update={"exchanges": AMQ_TOPIC.exchanges | Contract().exchanges})
    with pytest.raises(UsageError, match="can't name the exchange 'pubsub'"):
        Naming(contract).destination("t1", "pubsub", "ticks")


def test_refuses_a_fanout_that_is_there() -> None:
    """Its messages would reach every case's tabs."""
    contract = Contract.model_validate({"exchanges": {"f": {"name": "amq.fanout", "type": "fanout"}}})
    assert Naming(contract).exchange("f") == "amq.fanout"
    with pytest.raises(UsageError, match="tabs of every other"):
        Naming(contract, "k3x9").exchange("f")


def test_refuses_unknown_exchanges_and_long_names() -> None:
    """The error names the key and what there is."""
    naming = Naming(Contract(), "k3x9")
    with pytest.raises(UsageError, match="It has pubsub, broadcast"):
        naming.exchange("other")
    with pytest.raises(UsageError, match="AMQP allows 255"):
        naming.queue("t" * 250)
    with pytest.raises(UsageError, match="%2F"):
        naming.destination("t1", "pubsub", "a%2Fb")
