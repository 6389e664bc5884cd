"""Which publisher is put under test: an option goes before the contract, the contract before durable_ws."""

# ruff: noqa: ARG002 - the signatures are the protocol's

from __future__ import annotations

import sys

import pytest

from conformance.contract.loader import contract_from_dict
from conformance.contract.model import Contract, Exchange
from conformance.errors import UsageError
from conformance.world.publisher.choose import chosen_publisher, with_offers, with_publisher
from conformance.world.publisher.command import CommandPublisher
from conformance.world.publisher.durable import AsyncDurableWs, DurableWs
from conformance.world.publisher.factory import FactoryPublisher

URL = "amqp://guest:guest@127.0.0.1:1/%2F"
EXCHANGES = [Exchange(name="ex")]
SPEC = "tests.world.publisher.test_choose:Made"
PROGRAM = f"{sys.executable} -c 'import sys; sys.stdin.read()'"


class Made:
    """A publisher of this test's."""

    def __init__(self, url: str) -> None:
        self.url = url

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> str:
        """Where it would go."""
        return self.url

    def close(self) -> None:
        """Nothing."""


def contract(**publisher: object) -> Contract:
    """A contract with this publisher section."""
    return contract_from_dict({"publisher": publisher})


IN_PYTHON = {"python": SPEC}
OURS, OUR_ASYNC = "durable_ws:Publisher", "durable_ws:AsyncPublisher"
AS_COMMAND = {"command": [sys.executable, "-c", "import sys; sys.stdin.read()"]}


@pytest.mark.parametrize(
    ("section", "factory", "command", "kind"),
    [
        ({}, None, None, DurableWs),
        (IN_PYTHON, None, None, FactoryPublisher),
        (AS_COMMAND, None, None, CommandPublisher),
        ({}, SPEC, None, FactoryPublisher),
        ({}, None, PROGRAM, CommandPublisher),
        (IN_PYTHON, None, PROGRAM, CommandPublisher),
        (AS_COMMAND, SPEC, None, FactoryPublisher),
        (AS_COMMAND, OURS, None, DurableWs),
        ({"python": OUR_ASYNC}, None, None, AsyncDurableWs),
        ({}, OUR_ASYNC, None, AsyncDurableWs),
    ],
)
def test_who_goes_before_whom(
    section: dict[str, object], factory: str | None, command: str | None, kind: type[object]
) -> None:
    """The kind of publisher, and its name for the certificate."""
    name, make = chosen_publisher(contract(**section), factory, command)
    publisher = make(URL, EXCHANGES)
    publisher.close()
    assert type(publisher) is kind
    names = {FactoryPublisher: SPEC, CommandPublisher: PROGRAM, AsyncDurableWs: OUR_ASYNC}
    assert name == names.get(kind, factory or "durable_ws")


@pytest.mark.parametrize("section", [{}, {"python": OUR_ASYNC}, IN_PYTHON, AS_COMMAND])
def test_the_deadline_is_the_contracts(section: dict[str, object]) -> None:
    """``publisher.timeout`` holds for each of them; a call in Python has a little longer, as it keeps its own."""
    publisher = chosen_publisher(contract(**section, timeout="7s"), None, None)[1](URL, EXCHANGES)
    publisher.close()
    if isinstance(publisher, DurableWs | AsyncDurableWs):
        assert publisher._publisher._options.timeout == 7.0
    else:
        assert publisher._timeout_s == (7.0 if isinstance(publisher, CommandPublisher) else 12.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("factory", [None, OURS, OUR_ASYNC])
def test_what_ours_offer_is_known(factory: str | None) -> None:
    """Whichever of the two it is; more than that can't be asked of it."""
    assert with_offers(Contract(), factory, None).publisher.offers == ["properties", "timeout", "failover"]


def test_the_one_for_asyncio_ends_its_loop() -> None:
    """With its thread; closing again does nothing, as with the other."""
    publisher = chosen_publisher(Contract(), OUR_ASYNC, None)[1](URL, EXCHANGES)
    assert isinstance(publisher, AsyncDurableWs)
    thread = publisher._thread
    publisher.close()
    publisher.close()
    assert not thread.is_alive()
    assert publisher._loop.is_closed()


def test_the_contract_tells_who_is_under_test() -> None:
    """What the options name stands in the contract as resolved, in place of its own."""
    own = contract(**IN_PYTHON, timeout="7s")
    assert with_publisher(own, None, None) is own
    told = with_publisher(own, None, "ruby 'my publisher.rb'").publisher
    assert (told.python, told.command, told.timeout) == (None, ["ruby", "my publisher.rb"], 7.0)
    assert with_publisher(contract(**AS_COMMAND), SPEC, None).publisher.python == SPEC


def test_the_url_is_handed_over() -> None:
    """The one through the fault proxy."""
    publisher = chosen_publisher(Contract(), SPEC, None)[1](URL, EXCHANGES)
    assert publisher.publish(b"", exchange="ex", routing_key="", message_id="m1") == URL
    publisher.close()


def test_a_command_line_is_split_as_a_shell_does() -> None:
    """With quotes; no shell runs it."""
    name, make = chosen_publisher(Contract(), None, f'{sys.executable} "-c" "import sys; sys.stdin.read()" "a  $b"')
    publisher = make(URL, EXCHANGES)
    assert isinstance(publisher, CommandPublisher)
    assert publisher._command[2:] == ["import sys; sys.stdin.read()", "a  $b"]
    assert name.endswith("'a  $b'")
    publisher.close()


@pytest.mark.parametrize(
    ("section", "factory", "command", "field", "problem"),
    [
        ({}, SPEC, PROGRAM, "--publisher", "stands beside --publisher-command"),
        ({}, SPEC, "", "--publisher", "stands beside --publisher-command"),
        ({}, "", None, "--publisher", "'' is no MODULE:FACTORY"),
        ({}, "module", None, "--publisher", "'module' is no MODULE:FACTORY"),
        ({"python": "no_such_module:make"}, None, None, "publisher.python", "'no_such_module' can't be imported"),
        ({}, None, "", "--publisher-command", "is empty"),
        ({}, None, "  ", "--publisher-command", "is empty"),
        ({}, None, "program 'unclosed", "--publisher-command", "can't be split into words (No closing quotation)"),
        ({}, None, "no-such-program --now", "--publisher-command", "'no-such-program' is no program"),
        ({"command": ["/no/such/program"]}, None, None, "publisher.command", "'/no/such/program' is no program"),
    ],
)
def test_what_can_not_be_chosen(
    section: dict[str, object], factory: str | None, command: str | None, field: str, problem: str
) -> None:
    """Refused before anything is started, by the name that the user wrote it under."""
    with pytest.raises(UsageError) as refused:
        chosen_publisher(contract(**section), factory, command)
    assert refused.value.field == field
    assert problem in refused.value.problem
    assert refused.value.way_out
