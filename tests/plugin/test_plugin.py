"""The pytest plugin, used as a user uses it: the README's own test, and one that must fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.broker

_README = Path(__file__).parents[2] / "README.md"


def _run(pytester: pytest.Pytester, source: str, broker_spec: list[str]) -> pytest.RunResult:
    pytester.makepyfile(source)
    pytester.makeini("[pytest]\n")
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *broker_spec)


@pytest.fixture
def broker_spec(broker: object) -> list[str]:
    """Options that name the broker of this run."""
    addresses = broker.addresses  # type: ignore[attr-defined]
    return [
        f"--durable-ws-broker={addresses.amqp}",
        f"--durable-ws-web-stomp={addresses.web_stomp}",
        f"--durable-ws-management={addresses.management}",
    ]


def test_the_readmes_test_passes(pytester: pytest.Pytester, broker_spec: list[str]) -> None:
    """The very text of the README, at most 15 lines of it code."""
    source = re.findall(r"```python\n(import pytest\n.*?)```", _README.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len([line for line in source.splitlines() if line.strip()]) <= 15
    _run(pytester, source, broker_spec).assert_outcomes(passed=1)


def test_a_contract_that_does_not_hold_fails_the_test(
    pytester: pytest.Pytester, broker_spec: list[str], tmp_path: Path
) -> None:
    """The assertion tells cause and story, and the history is kept."""
    source = """
        import contextlib

        import durable_ws
        import pytest

        HEADERS = {"durable": "true", "auto-delete": "true", "exclusive": "false", "x-expires": "60000"}

        @pytest.mark.durable_ws(contract={"tab": {"headers": HEADERS}})
        def test_it(tab, publisher, network, history):
            ticks = tab("ticks")
            with network.fault(ticks, "rst"):
                for body in ("one", "two", "three"):  # the queue may go while one is on its way: it is nacked then
                    with contextlib.suppress(durable_ws.Nacked):
                        publisher.publish(body, routing_key="ticks")
            history.assert_contract_holds()
    """
    result = _run(pytester, source, [*broker_spec, f"--durable-ws-history={tmp_path}"])
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*lost (auto-delete-queue)*"])
    assert list(tmp_path.glob("*.jsonl"))


def test_an_unused_plugin_loads_nothing_heavy(pytester: pytest.Pytester) -> None:
    """A run that uses no fixture imports neither the engine nor Hypothesis."""
    source = """
        import sys

        def test_it():
            heavy = [name for name in sys.modules if name.startswith(("conformance.", "hypothesis", "stomp"))]
            assert heavy == ["conformance.plugin"]
    """
    pytester.makepyfile(source)
    pytester.makeini("[pytest]\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)
