"""What the attempts try and what decides: settings that are read, effects that are looked for, keys of others."""

from __future__ import annotations

import contextlib
import http.server
import struct
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self

import pytest

from conformance.contract.loader import contract_from_dict
from conformance.contract.naming import Naming
from conformance.errors import HarnessError
from conformance.world.attacker import doors, fill, noise, reach
from conformance.world.attacker.page import Page, Tried
from conformance.world.attacker.wire import Reply
from conformance.world.broker.base import Broker
from conformance.world.broker.exchanges import declare_exchanges
from tests.world.attacker.test_page import PlayedBroker, page

# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ([{"value": {"max-connections": 1000}}], "refused"),
        ([{"value": {"max-connections": 999}}], "refused"),
        ([{"value": {"max-connections": 1001}}], "allowed"),
        ([{"value": {"max-connections": -1}}], "allowed"),  # RabbitMQ: no limit
        ([{"value": {"max-queues": 5}}], "allowed"),
        ([{"value": []}], "allowed"),  # RabbitMQ 3.10: no limits at all
        ([], "allowed"),
        (None, "allowed"),
    ],
)
def test_a_limit_too_high_to_be_tried_out_is_read(told: Any, outcome: str) -> None:
    """No limit, and a higher one than the contract's, are as good as none."""
    limits = {"connections": 1000}
    [tried] = fill.connections(page(PlayedBroker({"/user-limits/guest": told}), limits=limits))
    assert tried.outcome == outcome
    assert tried.effect.startswith("by settings: max-connections is ")


class PlayedWire:
    """Of these, so many are let in."""

    left = 0

    def __init__(self, *_: object) -> None:
        """None needs a broker."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, *_: object) -> Reply:
        """As long as there are places."""
        PlayedWire.left -= 1
        if PlayedWire.left < 0:
            return Reply(accepted=False, words="ERROR: Bad CONNECT: user's connection limit (9) is reached")
        return Reply(accepted=True, words="CONNECTED")


@pytest.mark.parametrize(
    ("lets_in", "of_user", "of_vhost", "outcome"),
    [
        (0, 8, -1, "unmade"),
        (8, 8, -1, "refused"),
        (10, 8, -1, "refused"),  # RabbitMQ counts connections a little after it has let them in
        (10, -1, 8, "refused"),
        (10, 10, -1, "allowed"),
        (10, 10, 20, "allowed"),
        (100, -1, -1, "allowed"),
    ],
)
def test_connections_that_are_counted_late(
    monkeypatch: pytest.MonkeyPatch, lets_in: int, of_user: int, of_vhost: int, outcome: str
) -> None:
    """Some more than the limit may be let in where the broker's limit is none too high."""
    monkeypatch.setattr(fill, "Wire", PlayedWire)
    monkeypatch.setattr(PlayedWire, "left", lets_in)
    answers = {
        "/user-limits/guest": [{"value": {"max-connections": of_user}}],
        "/vhost-limits/%2F": [{"value": {"max-connections": of_vhost}}],
    }
    [tried] = fill.connections(page(PlayedBroker(answers), limits={"connections": 8}))
    assert tried.outcome == outcome


def test_a_limit_of_queues_is_read_of_the_vhost() -> None:
    """By its own name."""
    answers = {"/vhost-limits/%2F": [{"value": {"max-queues": 4000, "max-connections": 1}}]}
    [tried] = fill.queues(page(PlayedBroker(answers), limits={"queues": 5000}))
    assert (tried.outcome, tried.effect) == ("refused", "by settings: max-queues is 4000")


@pytest.mark.parametrize("attempt", [fill.connections, fill.queues])
def test_a_limit_that_the_contract_does_not_name_is_not_tried(attempt: Any) -> None:
    """It would be a trial of nothing."""
    with pytest.raises(HarnessError, match="the contract names no limits"):
        next(attempt(page()))


def _facts(**policies: Any) -> SimpleNamespace:
    return SimpleNamespace(**({"effective_policy": {}, "operator_definition": {}} | policies))


@pytest.mark.parametrize(
    ("facts", "outcomes"),
    [
        (_facts(), ["allowed", "allowed"]),
        (_facts(effective_policy={"expires": 1000}), ["refused", "allowed"]),
        (_facts(effective_policy={"expires": 1000}, operator_definition={"expires": 1000}), ["refused", "refused"]),
        (_facts(effective_policy={"expires": 10**12}, operator_definition={"expires": 10**12}), ["allowed", "allowed"]),
        (_facts(effective_policy=None), ["unmade", "unmade"]),
        (_facts(operator_definition=None), ["unmade", "unmade"]),
    ],
)
def test_who_sets_an_expiry(facts: Any, outcomes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy where the page asks for none; against ten years that it asks for, an operator policy alone."""
    broker = PlayedBroker({})
    monkeypatch.setattr(broker, "queue_settings", lambda *_: facts, raising=False)
    answering(monkeypatch, Reply(accepted=True, words="RECEIPT"))
    assert [tried.outcome for tried in fill.everlasting_queue(page(broker))] == outcomes


def answering(monkeypatch: pytest.MonkeyPatch, reply: Reply) -> list[tuple[str, dict[str, str]]]:
    """Every page's connections answer everything so; what was asked."""
    asked: list[tuple[str, dict[str, str]]] = []

    def ask(command: str, headers: dict[str, str], _: bytes = b"") -> Reply:
        asked.append((command, headers))
        return reply

    @contextlib.contextmanager
    def wire(_: Page) -> Iterator[Any]:
        yield SimpleNamespace(ask=ask)

    monkeypatch.setattr(Page, "wire", wire)
    return asked


# --- keys, queues, messages ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "tried"),
    [
        (["ticks"], ["#", "*.#", "durable-ws-secret", "ticks.#", "ticks-secret"]),
        (["news.*"], ["#", "*.#", "durable-ws-secret", "news.*.#"]),
    ],
)
def test_only_keys_that_are_not_its_own_are_tried(
    own: list[str], tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tab's own binding gives it anyway is no opening; a pattern that is wider is."""
    asked = answering(monkeypatch, Reply(accepted=False, words="ERROR: access_refused"))
    hostile = page(exchanges={"pubsub": {"name": "amq.topic"}}, tab={"routing_keys": own})
    monkeypatch.setattr(reach, "_same_topic_permissions", lambda *_: contextlib.nullcontext())
    assert next(reach.other_keys(hostile)).outcome == "unmade", "an honest tab is refused as well: nothing is shown"
    asked.clear()
    told = iter([Reply(accepted=True, words="RECEIPT")])
    refusing = Reply(accepted=False, words="ERROR: access_refused")
    monkeypatch.setattr(Page, "wire", lambda _: contextlib.nullcontext(_Asked(asked, told, refusing)))
    outcomes = [one.outcome for one in reach.other_keys(hostile)]
    prefix = hostile.naming.destination("hostile", "pubsub", "")
    assert [headers["destination"].removeprefix(f"{prefix}.") for _, headers in asked][1:] == tried
    assert outcomes == ["refused"] * len(tried)


class _Asked:
    """Answers the first so, and all others otherwise."""

    def __init__(self, asked: list[tuple[str, dict[str, str]]], first: Iterator[Reply], others: Reply) -> None:
        self._asked, self._first, self._others = asked, first, others

    def ask(self, command: str, headers: dict[str, str], _: bytes = b"") -> Reply:
        """Remembered."""
        self._asked.append((command, headers))
        return next(self._first, self._others)


@pytest.mark.parametrize(("bodies", "outcome"), [(["x", "forged"], "allowed"), (["x"], "refused"), ([], "refused")])
def test_whether_it_arrived_decides(bodies: list[str], outcome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the broker said."""
    monkeypatch.setattr(Page, "bodies", lambda *_: bodies)
    tried = Tried(what="send", outcome="refused", words="ERROR: access_refused")
    assert reach._seen(page(), tried, "q", b"forged", "it is there").outcome == outcome


# --- other doors ---------------------------------------------------------------------------------


@pytest.fixture
def management() -> Iterator[str]:
    """An API that answers each page with another status."""
    statuses = {"whoami": 200, "overview": 401, "queues": 403, "users": 404, "definitions": 500}

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """By the last part of the path."""
            self.send_response(statuses[self.path.rpartition("/")[2]])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silently."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_the_management_api_answers(management: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let in, refused, or neither: an API that is broken refuses nobody."""
    broker = PlayedBroker({})
    monkeypatch.setattr(broker, "addresses", SimpleNamespace(management=management), raising=False)
    assert [tried.outcome for tried in doors.management(page(broker))] == [
        "allowed", "refused", "refused", "unmade", "unmade",
    ]  # fmt: skip


@pytest.mark.parametrize("minor", [1, 2])
def test_a_client_hello_says_how_long_it_is(minor: int) -> None:
    """Record, handshake, suites and extensions (RFC 4346, 7.4.1.2): a server that reads it to its end finds all."""
    hello = doors._client_hello(minor)
    assert hello[:3] == b"\x16\x03\x01"
    assert struct.unpack("!H", hello[3:5])[0] == len(hello) - 5
    assert hello[5] == 1
    assert int.from_bytes(hello[6:9], "big") == len(hello) - 9
    assert hello[9:11] == bytes([3, minor])
    rest = hello[11 + 32 + 1 :]
    suites = struct.unpack("!H", rest[:2])[0]
    assert rest[2 + suites : 4 + suites] == b"\x01\x00"
    assert struct.unpack("!H", rest[4 + suites : 6 + suites])[0] == len(rest[6 + suites :])


# --- on a real broker ----------------------------------------------------------------------------


@pytest.fixture
def hostile(broker: Broker, namespace: str) -> Iterator[Page]:
    """A page with guest's credentials, who may do everything, beside the contract's exchanges."""
    naming = Naming(contract_from_dict({}), namespace)
    exchanges = naming.contract.exchanges
    declare_exchanges(
        broker.addresses.amqp,
        [one.model_copy(update={"name": naming.exchange(name)}) for name, one in exchanges.items()],
    )
    made = Page(broker, naming)
    yield made
    made.clean_up()
    broker.delete(queues=[], exchanges=[naming.exchange(name) for name in exchanges])


@pytest.mark.broker
def test_what_a_mighty_page_does_is_seen(hostile: Page) -> None:
    """It publishes to each exchange, and the message is seen to arrive; nothing of it stays."""
    tries = [*reach.publish(hostile)]
    assert [(tried.outcome, tried.effect) for tried in tries] == [("allowed", "the message arrived")] * 2
    made = [*hostile.made]
    assert made
    hostile.clean_up()
    assert not any(hostile.broker.queue_exists(queue) for queue in made)


@pytest.mark.broker
def test_it_takes_what_is_anothers(hostile: Page) -> None:
    """The queue of another application is read, bound and deleted; that it is gone is looked up."""
    tries = {tried.what.partition(" the queue")[0]: tried for tried in reach.foreign_queue(hostile)}
    assert {what: tried.outcome for what, tried in tries.items()} == dict.fromkeys(
        ("read", "bind", "delete"), "allowed"
    )
    assert tries["delete"].effect == "the queue is gone"


@pytest.mark.broker
def test_what_is_no_frame_is_refused(hostile: Page) -> None:
    """By an ERROR or the end, whoever says it."""
    assert {tried.outcome for tried in noise.malformed(hostile)} == {"refused"}
