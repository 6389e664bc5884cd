"""The contract file: what is taken, what is refused, and in which words."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from conformance.contract.loader import contract_from_dict, contract_to_dict, contract_to_toml, load_contract
from conformance.contract.model import Contract
from conformance.errors import UsageError

GEM_HEADERS = {"durable": "true", "auto-delete": "false", "x-expires": "86400000", "x-max-priority": "10"}


def load(folder: Path, text: str | bytes) -> Contract:
    """The contract of a file with this text."""
    path = folder / "contract.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_contract(path)


def refusal(folder: Path, text: str | bytes) -> UsageError:
    """What the file is refused with."""
    with pytest.raises(UsageError) as caught:
        load(folder, text)
    return caught.value


def test_none_is_the_built_in_contract() -> None:
    """Without a file the recommended recipe holds."""
    contract = load_contract(None)
    assert contract == Contract()
    assert contract.tab.headers["exclusive"] == "false"


def test_an_empty_file_is_the_built_in_contract(tmp_path: Path) -> None:
    """Every key is optional."""
    assert load(tmp_path, "") == Contract()


def test_the_design_documents_own_example(tmp_path: Path) -> None:
    """A contract that writes out every section is read, with its files found beside it."""
    (tmp_path / "rabbitmq.conf").write_text("heartbeat = 10\n")
    (tmp_path / "definitions.json").write_text("{}")
    contract = load(
        tmp_path,
        """
        schema = 1
        [broker]
        image = "rabbitmq:4-management"
        conf = "rabbitmq.conf"
        definitions = "definitions.json"
        [exchanges.pubsub]
        name = "durable-websocket-pubsub"
        type = "topic"
        durable = true
        [tab]
        exchange = "pubsub"
        routing_keys = ["ticks", "news.sport"]
        destination = "/exchange/{exchange}/{routing_key}"
        queue = "web-client-{tab}"
        ack = "client-individual"
        heart_beat = "10s"
        prefetch = 50
        login = "guest"
        passcode = "guest"
        [tab.headers]
        durable = "true"
        auto-delete = "false"
        exclusive = "false"
        x-expires = "86400000"
        [publisher]
        command = ["ruby", "publisher.rb"]
        [promise]
        longest_outage = "1h"
        survives = ["cut", "reload", "ghost", "flapping", "broker-restart", "broker-kill"]
        recovery = "60s"
        order = false
        isolation = true
        hostile_tab = false
        abandoned_queues_expire = "never"
        """,
    )
    assert contract.broker.conf == str(tmp_path / "rabbitmq.conf")
    assert contract.promise.abandoned_queues_expire is None
    assert contract.promise.longest_outage == 3600
    assert contract.publisher.command == ["ruby", "publisher.rb"]
    assert load(tmp_path, contract_to_toml(contract)) == contract


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[promise]\nabandoned_queues_expire = "never"\nsurvives = []',
        '[exchanges.a]\nname = "amq.topic"\n[tab]\nexchange = "a"\ndestination = "/topic/{routing_key}"',
        '[exchanges.f]\ntype = "fanout"\n[tab]\nexchange = "f"\ndestination = "/exchange/{exchange}"',
        '[exchanges."žluť"]\nname = "kůň/☃ 50%"\n[tab]\nexchange = "žluť"\nrouting_keys = ["漢字.#", "*"]',
        '[publisher]\npython = "my.module:Factory.make"',
    ],
)
def test_the_resolved_contract_can_be_loaded_again(tmp_path: Path, text: str) -> None:
    """What is printed as resolved, as TOML or as JSON data, says the same as the file."""
    contract = load(tmp_path, text)
    assert contract_from_dict(tomllib.loads(contract_to_toml(contract))) == contract
    assert contract_from_dict(contract_to_dict(contract)) == contract


def test_header_values_may_be_toml_booleans_and_integers(tmp_path: Path) -> None:
    """STOMP knows text alone; a file may say true and 86400000 all the same."""
    contract = load(tmp_path, "[tab.headers]\ndurable = true\nexclusive = false\nx-expires = 86400000\nnote = 'é'")
    assert contract.tab.headers == {"durable": "true", "exclusive": "false", "x-expires": "86400000", "note": "é"}


def test_headers_replace_the_built_in_ones(tmp_path: Path) -> None:
    """Headers are sent as they are: the gem's own recipe is not mended on the quiet."""
    lines = "\n".join(f'{name} = "{value}"' for name, value in GEM_HEADERS.items())
    assert load(tmp_path, f"[tab.headers]\n{lines}").tab.headers == GEM_HEADERS


def test_an_exchange_fills_in_what_it_leaves_out(tmp_path: Path) -> None:
    """A known key keeps its built-in name and type, another's name is its key."""
    contract = load(tmp_path, "[exchanges.pubsub]\ndurable = false\n[exchanges.broadcast]\n[exchanges.mine]")
    assert contract.exchanges["pubsub"].name == "durable-websocket-pubsub"
    assert not contract.exchanges["pubsub"].durable
    assert contract.exchanges["broadcast"].type == "fanout"
    assert contract.exchanges["mine"].name == "mine"


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        # names
        ("[tabb]", "tabb", 'Did you mean "tab"?'),
        ("[tab]\nprefech = 1", "tab.prefech", 'Did you mean "prefetch"?'),
        ("[exchanges.pubsub]\nkind = 'topic'", "exchanges.pubsub.kind", "Known are: name, type, durable, passive."),
        ("[promise]\norderd = true", "promise.orderd", 'Did you mean "order"?'),
        ("schema = 2", "schema", "Write 1."),
        # types
        ("tab = 3", "tab", "an integer (3), not a table"),
        ("[exchanges]\npubsub = 'x'", "exchanges.pubsub", "text ('x'), not a table"),
        ("[exchanges]", "exchanges", "is empty"),
        ("[tab]\nprefetch = '50'", "tab.prefetch", "text ('50'), not an integer"),
        ("[tab]\nprefetch = -1", "tab.prefetch", "-1"),
        ("[tab]\nprefetch = 65536", "tab.prefetch", "65536"),
        ("[tab]\nlogin = 1", "tab.login", "an integer (1), not text"),
        ("[tab]\nrouting_keys = 'ticks'", "tab.routing_keys", "not a list"),
        ("[tab]\nrouting_keys = []", "tab.routing_keys", "is empty"),
        ("[tab]\nrouting_keys = ['a', 1]", "tab.routing_keys[1]", "an integer (1), not text"),
        ("[tab]\nack = 'clinet'", "tab.ack", 'Did you mean "client"?'),
        ("[tab]\nheart_beat = 10", "tab.heart_beat", 'Write "10s" if seconds are meant'),
        ("[tab]\nheart_beat = 'soon'", "tab.heart_beat", '"250ms", "10s"'),
        ("[tab.headers]\nx = 1.5", "tab.headers.x", "a number (1.5), not text"),
        ("[promise]\norder = 'no'", "promise.order", "text ('no'), not true or false"),
        ("[promise]\nsurvives = 'cut'", "promise.survives", "not a list"),
        ("[promise]\nsurvives = ['cuts']", "promise.survives[0]", 'Did you mean "cut"?'),
        ("[promise]\nlongest_outage = 'never'", "promise.longest_outage", "no duration"),
        ("[promise]\nrecovery = '0s'", "promise.recovery", "no time"),
        (
            "[exchanges.pubsub]\ntype = 'headers'",
            "exchanges.pubsub.type",
            "which a tab's STOMP destination can't ask for",
        ),
        # exchanges
        ("[tab]\nexchange = 'pubsb'", "tab.exchange", 'Did you mean "pubsub"?'),
        ("[exchanges.pubsub]\nname = ''", "exchanges.pubsub.name", "is empty"),
        ("[exchanges.pubsub]\nname = 'amq.mine'", "exchanges.pubsub.name", "keeps for its own"),
        ("[exchanges.pubsub]\nname = 'amq.direct'", "exchanges.pubsub.type", 'type = "direct"'),
        ("[exchanges.pubsub]\nname = 'amq.topic'\ndurable = false", "exchanges.pubsub.durable", "is durable"),
        ("[exchanges.pubsub]\nname = 'amq.fanout'\ntype = 'fanout'", "exchanges.pubsub.name", "tabs of every other"),
        ("[exchanges.pubsub]\npassive = true\ntype = 'fanout'", "exchanges.pubsub.name", "is there already"),
        (f"[exchanges.pubsub]\nname = '{'é' * 125}'", "exchanges.pubsub.name", "AMQP allows 255"),
        ("[exchanges.pubsub]\nname = 'a%2Fb'", "exchanges.pubsub.name", "%2F"),
        (
            "[exchanges.pubsub]\n[exchanges.two]\nname = 'durable-websocket-pubsub'",
            "exchanges.two.name",
            "exchanges.pubsub",
        ),
        # destination
        ("[tab]\ndestination = '/exchange/{exchange}'", "tab.destination", "has no {routing_key}"),
        ("[tab]\ndestination = '/exchange/ticks/{routing_key}'", "tab.destination", "has no {exchange}"),
        ("[tab]\ndestination = '/exchange/{exchange}/ticks'", "tab.destination", "has no {routing_key}"),
        ("[tab]\ndestination = '/exchange/{exchange}/{key}'", "tab.destination", "{key}"),
        ("[tab]\ndestination = '/queue/{tab}'", "tab.destination", "{tab}"),
        ("[tab]\ndestination = '/queue/mine'", "tab.destination", "names a queue"),
        ("[tab]\ndestination = 'ticks'", "tab.destination", "/exchange/{exchange}/{routing_key}"),
        ("[tab]\ndestination = '/topic/{routing_key}'", "tab.destination", "subscribes to amq.topic"),
        ("[tab]\nrouting_keys = ['a%2Fb']", "tab.routing_keys", "%2F"),
        (f"[tab]\nrouting_keys = ['{'k' * 256}']", "tab.routing_keys", "AMQP allows 255"),
        # the rest of the tab
        ("[tab]\nqueue = ''", "tab.queue", "is empty"),
        ("[tab]\nqueue = 'web-{id}'", "tab.queue", '"{tab}"'),
        ("[tab]\nqueue = 'amq.gen-{tab}'", "tab.queue", "keeps for itself"),
        (f"[tab]\nqueue = '{'q' * 250}{{tab}}'", "tab.queue", "AMQP allows 255"),
        ("[tab]\nheart_beat = '0.5ms'", "tab.heart_beat", "less than a millisecond"),
        ('[tab]\nrouting_keys = ["a\\u0000"]', "tab.routing_keys[0]", "U+0000"),
        ('[tab]\nqueue = "a\\nb"', "tab.queue", "U+000A"),
        ('[tab.headers]\nnote = "a\\u0000b"', "tab.headers.note", "U+0000"),
        ('[tab.headers]\n"no\\nte" = "x"', "tab.headers.no\nte", "U+000A"),
        ("[tab.headers]\nack = 'auto'", "tab.headers.ack", "Set tab.ack."),
        ("[tab.headers]\nx-queue-name = 'q'", "tab.headers.x-queue-name", "Set tab.queue."),
        ("[tab.headers]\nprefetch-count = 3", "tab.headers.prefetch-count", "Set tab.prefetch."),
        ("[tab.headers]\ndestination = '/queue/x'", "tab.headers.destination", "Set tab.destination."),
        ("[tab.headers]\nid = '0'", "tab.headers.id", "numbers the subscription"),
        ("[tab.headers]\nreceipt = 'r'", "tab.headers.receipt", "receipt of its own"),
        ("[tab.headers]\ndurable = 'True'", "tab.headers.durable", "without a word"),
        ("[tab.headers]\nx-expires = 'soon'", "tab.headers.x-expires", "milliseconds"),
        ("[tab.headers]\nx-expires = 0", "tab.headers.x-expires", "at least 1"),
        ("[tab.headers]\nx-expires = true", "tab.headers.x-expires", "'true'"),
        ("[tab.headers]\nx-max-length = '-1'", "tab.headers.x-max-length", "at least 0"),
        # publisher
        ("[publisher]\npython = 'a:b'\ncommand = ['x']", "publisher.command", "only one publishes"),
        ("[publisher]\npython = 'mymodule'", "publisher.python", "module:factory"),
        ("[publisher]\ntimeout = '0s'", "publisher.timeout", "'0s' is no time that a publish can be given"),
        ("[publisher]\ntimeout = '11m'", "publisher.timeout", 'Write from "1s" to "10m"'),
        ("[publisher]\ntimeout = 30", "publisher.timeout", "has no unit"),
        ("[publisher]\nvia = 'management'", "publisher.via", "is not the way of durable_ws"),
        ("[publisher]\nvia = 'http'\ncommand = ['x']", "publisher.via", "'http'"),
        ("[publisher]\ncommand = []", "publisher.command", "is empty"),
        ("[publisher]\ncommand = ['']", "publisher.command", "name is empty"),
        ("[publisher]\ncommand = 'ruby publisher.rb'", "publisher.command", "not a list"),
        # files
        ("[broker]\nconf = 'none.conf'", "broker.conf", "the contract's own folder"),
        ("[broker]\ndefinitions = '.'", "broker.definitions", "can't be read"),
        ("[broker]\ndefinitions = 'contract.toml'", "broker.definitions", "can't be used"),
    ],
)
def test_refuses(tmp_path: Path, text: str, field: str, says: str) -> None:
    """One clear message with the key's path, the value and the way out."""
    error = refusal(tmp_path, text)
    assert error.field == field
    assert says in str(error)
    assert "Also wrong" not in str(error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tab\n", "line 1"),
        ("schema = 1\n\n[tab]\nprefetch = \n", "line 4"),
        (b"[tab]\nqueue = '\xff'", "byte 15 is not UTF-8"),
        ("x = " + "[" * 100_000, "no TOML"),
        ("# " + "x" * 1_000_000, "larger than 1000000 bytes"),
    ],
)
def test_refuses_files_that_are_no_toml(tmp_path: Path, text: str | bytes, says: str) -> None:
    """The file is named, and the line where there is one."""
    error = refusal(tmp_path, text)
    assert error.field == str(tmp_path / "contract.toml")
    assert says in error.problem


@pytest.mark.parametrize("name", ["missing.toml", ".", "nul\0.toml"])
def test_refuses_what_is_no_file(tmp_path: Path, name: str) -> None:
    """A missing file, a folder, and a name that can't be."""
    with pytest.raises(UsageError, match="can't be read"):
        load_contract(tmp_path / name)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    """Some editors write one."""
    assert load(tmp_path, "schema = 1".encode("utf-8-sig")) == Contract()


def test_tells_everything_at_once(tmp_path: Path) -> None:
    """Wrong types, unknown keys and impossible combinations are all listed in one go, the first in front."""
    error = refusal(
        tmp_path,
        """
        [tab]
        prefetch = "50"
        exchange = "pubsb"
        hearbeat = "10s"
        [tab.headers]
        ack = "auto"
        [publisher]
        python = "a:b"
        command = ["x"]
        [promise]
        survives = ["cuts"]
        """,
    )
    first, *others = str(error).splitlines()
    assert error.field == "tab.prefetch"
    assert first.startswith("tab.prefetch: ")
    assert others[0] == "Also wrong:"
    assert [line.split(":")[0].strip() for line in others[1:]] == [
        "tab.hearbeat",
        "promise.survives[0]",
        "tab.exchange",
        "tab.headers.ack",
        "publisher.command",
    ]


def test_a_wrong_value_is_told_once(tmp_path: Path) -> None:
    """What follows from a value that was refused already is not held against it again."""
    assert "Also wrong" not in str(refusal(tmp_path, "[tab]\nexchange = 3"))


def test_data_without_a_folder_leaves_the_files_alone() -> None:
    """A contract from a history is read where the broker's files no longer are."""
    assert contract_from_dict({"broker": {"conf": "/gone/rabbitmq.conf"}}).broker.conf == "/gone/rabbitmq.conf"
    with pytest.raises(UsageError, match=r"promise\.recovery"):
        contract_from_dict({"promise": {"recovery": 60}})


@pytest.mark.parametrize(
    "text",
    [
        "[tab.headers]\nauto-delete = true",
        "[tab.headers]\nx-expires = 100\n[promise]\nlongest_outage = '48h'",
        "[tab]\nack = 'auto'",
        "[tab]\nqueue = 'one-for-all'",
        "[tab]\nheart_beat = '0s'",
        "[tab.headers]\nx-queue-type = 'quorum'\nx-max-priority = 10",
        "[promise]\norder = true\nhostile_tab = true",
        "[exchanges.pubsub]\ntype = 'direct'\n[tab]\nrouting_keys = ['#', '*.b']",
        "[exchanges.pubsub]\ndurable = false",
    ],
)
def test_broken_worlds_are_no_nonsense(tmp_path: Path, text: str) -> None:
    """What RabbitMQ takes and then loses messages with is for the run to show."""
    load(tmp_path, text)
