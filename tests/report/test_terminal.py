"""The end of a run in the terminal, in full, at 80 columns without colour."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from rich.console import Console

from conformance.catalogue.result import CheckResult
from conformance.checker.verdict import Tally
from conformance.report.terminal import print_check, print_report, print_verdict

Make = Callable[..., CheckResult]
Certify = Callable[..., dict[str, Any]]

RULE = "─" * 80


@pytest.fixture
def out() -> io.StringIO:
    """What is printed."""
    return io.StringIO()


@pytest.fixture
def console(out: io.StringIO) -> Console:
    """80 columns, no terminal, as :func:`conformance.report.console.make_console` makes them."""
    return Console(file=out, width=80, markup=False, emoji=False, highlight=False)


def lines(out: io.StringIO) -> list[str]:
    """What was printed, without the spaces that fill a table's cells."""
    return [line.rstrip() for line in out.getvalue().splitlines()]


def expected(text: str) -> list[str]:
    """The lines of an indented text; ``----`` is a rule across."""
    return [RULE if line == "----" else line for line in dedent(text).strip("\n").splitlines()]


def test_a_certified_run(out: io.StringIO, console: Console, certify: Certify, certified: Make, drawn: Make) -> None:
    """The checks by area, the run's facts and times, the verdict, the report."""
    results = [certified(), certified("delivery/burst"), certified("cut/fin/between-delivery-and-ack"), drawn()]
    print_report(certify(results), results, report=Path("out"), console=console)
    assert lines(out) == expected(
        """
        Certified                          confirmed delivered lost   time
          delivery/steady                         20        21    0 412 ms
          delivery/burst                          20        21    0 412 ms

          cut/fin/between-delivery-and-ack        20        21    0 412 ms

          generated/links (118 scenarios)                           58.2 s
        ----
        RabbitMQ 3.10.8 (provisioned), publisher durable_ws, client websocket-client,
        seed 42
        Time: 68.3 s in all (start of the broker 6.10 s, checks 61.0 s, clean-up 1.20 s)
        CERTIFIED: all 4 checks held; 60 confirmed messages, none lost, and 118 drawn
        scenarios held.
        Report: out/report.html
        """
    )


def test_a_violated_run(
    out: io.StringIO, console: Console, certify: Certify, certified: Make, violated: Make, not_checked: CheckResult
) -> None:
    """What is not certified comes first; the story, the cause, the change, the scenario, the command, the paths."""
    folder = Path("out/evidence/cut-rst-while-away")
    results = [
        certified(),
        violated(
            violations=13,
            scenario_path=folder / "scenario.json",
            history=folder / "history.jsonl",
            evidence={"replays": 5, "replays_violated": 4, "steps_at_first": 22},
        ),
        not_checked,
    ]
    command = ["durable-ws", "certify", "--broker", "amqp://u:s3cret@h"]
    print_report(certify(results, command=command), results, report=Path("out"), console=console)
    assert lines(out) == expected(
        """
        Not certified
          VIOLATED     cut/rst/while-away
                       0 confirmed, 0 delivered, 13 lost; 31.6 s
                       13 of 13 owed lost (auto-delete-queue)
          not checked  broker/kill-while-away
                       Not checked: this broker can't be asked to: kill.

        Certified         confirmed delivered lost   time
          delivery/steady        20        21    0 412 ms
        ----
        cut/rst/while-away  VIOLATED
        What is published while a tab is away waits for it.
        13 of 13 owed lost (auto-delete-queue)
        Counts: attempted 13, confirmed 0, returned 13, delivered 0, handled 0,
        obligations 13, lost 13

        lost: message m-1, returned at 1.512 s, was never handled by tab n1-t1: its
        queue was auto-delete.
        What happened (times count from the line at 0):
          -1.38 s  tab n1-t1 (session 1) subscribed to /exchange/x/ticks, queue
                   web-client-n1-t1
          -1.35 s  the broker said after the subscription of queue web-client-n1-t1:
                   ready 0, durable true, exclusive false, auto-delete true, type
                   classic, arguments {'x-expires': 86400000}
          -1.30 s  fault rst began on tab:n1-t1 where=now
          -1.30 s  tab n1-t1 (session 1) was disconnected: connection reset
                0  published m-1 to exchange 'x' with routing key 'ticks' (64 bytes,
                   body 00ff)
           +12 ms  the publisher said of it: returned as unroutable
          +30.0 s  the run came to rest after 30.0 s
        Cause: auto-delete-queue
        What to change: Set tab.headers.auto-delete = "false" and clean up by x-expires
        alone.
        See: https://www.rabbitmq.com/docs/queues#temporary-queues
        Also lost (auto-delete-queue): m-2, tab n1-t1
        Also lost (auto-delete-queue): m-3, tab n1-t1
        Also lost (auto-delete-queue): m-4, tab n1-t1
        Also lost (auto-delete-queue): m-5, tab n1-t1
        Also lost (auto-delete-queue): m-6, tab n1-t1
        Also lost (auto-delete-queue): m-7, tab n1-t1
        Also lost (auto-delete-queue): m-8, tab n1-t1
        Also lost (auto-delete-queue): m-9, tab n1-t1
        Also lost (auto-delete-queue): m-10, tab n1-t1
        Also lost (auto-delete-queue): m-11, tab n1-t1
        And 2 more.

        Note: queue web-client-n1-t1 is not as asked for.
        Source of the rule: https://www.rabbitmq.com/docs/queues#durability
        What was played (failed again in 4 of 5 replays: an intermittent failure; shrunk
        from 22 steps to 4):
          1. open tab t1 on pubsub "ticks"
          2. begin rst on the link of t1
          3. publish 1 message to pubsub "ticks"
          4. heal the link of t1
        Replay: durable-ws replay out/evidence/cut-rst-while-away/scenario.json --broker 'amqp://u:***@h'
        History: out/evidence/cut-rst-while-away/history.jsonl
        ----
        RabbitMQ 3.10.8 (provisioned), publisher durable_ws, client websocket-client,
        seed 42
        Time: 68.3 s in all (start of the broker 6.10 s, checks 61.0 s, clean-up 1.20 s)
        VIOLATED: 1 of 3 checks broke the promise (auto-delete-queue).
        Report: out/report.html
        """
    )


def test_an_inconclusive_check_says_what_is_missing(out: io.StringIO, console: Console, certified: Make) -> None:
    """The reasons stand under the counts."""
    check = certified(verdict="inconclusive", summary="nothing was published", scenario=None)
    assert check.detail is not None
    detail = replace(check.detail, inconclusive_reasons=("nothing was published", "fault rst never fired"))
    print_check(replace(check, detail=detail), console=console)
    assert lines(out)[1:3] == ["delivery/steady  inconclusive", "What is published to a subscribed tab arrives."]
    assert lines(out)[-2:] == [
        "Missing evidence: nothing was published.",
        "Missing evidence: fault rst never fired.",
    ]


def test_a_second_cause_has_its_own_advice(out: io.StringIO, console: Console, violated: Make) -> None:
    """A further violation is told in a line, unless it has a cause that was not told yet."""
    detail = violated(violations=3).detail
    assert detail is not None
    first, second, third = detail.violations
    other = replace(third, cause="ack-auto", advice="Ack later.", summary="message m-3 was never handled")
    tally = (*detail.tally, Tally(kind="lost", cause="ack-auto", count=1))
    print_verdict("history", replace(detail, violations=(first, second, other), tally=tally), console=console)
    assert "Also lost (auto-delete-queue): m-2, tab n1-t1" in lines(out)
    at = lines(out).index("Also lost: message m-3 was never handled.")
    assert lines(out)[at + 1 : at + 3] == ["Cause: ack-auto", "What to change: Ack later."]


def test_only_three_violated_checks_are_told_in_full(
    out: io.StringIO, console: Console, certify: Certify, violated: Make
) -> None:
    """The others are named; where nothing else names them, with their summaries."""
    results = [violated(f"cut/{number}") for number in range(5)]
    print_report(certify(results), results, report=Path("out"), console=console)
    assert sum("What happened" in line for line in lines(out)) == 3
    assert "And 2 more violated, told in out/report.html." in lines(out)
    out.seek(0)
    out.truncate()
    print_report(certify(results), results, quiet=True, console=console)
    at = lines(out).index("And 2 more violated:")
    assert lines(out)[at + 1 :] == [
        "  cut/3: 1 of 1 owed lost (auto-delete-queue)",
        "  cut/4: 1 of 1 owed lost (auto-delete-queue)",
        RULE,
        "VIOLATED: 5 of 5 checks broke the promise (auto-delete-queue).",
    ]


def test_quiet_is_the_verdict_alone(out: io.StringIO, console: Console, certify: Certify, certified: Make) -> None:
    """A certified run with --quiet is one line."""
    results = [certified()]
    print_report(certify(results), results, report=Path("out"), quiet=True, console=console)
    assert lines(out) == ["CERTIFIED: the one check held; 20 confirmed messages, none lost."]


def test_no_color_is_honoured_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, out: io.StringIO, certify: Certify, violated: Make
) -> None:
    """Colours on a terminal, none of them with NO_COLOR."""
    results = [violated()]
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9]")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    print_report(certify(results), results, console=Console(file=out, width=80, force_terminal=True))
    assert colour.search(out.getvalue())
    out.seek(0)
    out.truncate()
    monkeypatch.setenv("NO_COLOR", "1")
    print_report(certify(results), results, console=Console(file=out, width=80, force_terminal=True))
    assert out.getvalue()
    assert not colour.search(out.getvalue())


def test_hostile_text_stays_text(out: io.StringIO, console: Console, certify: Certify, violated: Make) -> None:
    """No field of a check can act on the terminal, forge a line, or be taken for markup."""
    hostile = "[red]x[/red] :boom: \x1b[31m\x9b\r\nCERTIFIED: forged \u202e"
    check = violated(f"cut/{hostile}", summary=hostile, rule=hostile, source=hostile)
    detail = check.detail
    assert detail is not None
    violation = detail.violations[0]
    violation = replace(
        violation, summary=hostile, cause=hostile, advice=hostile, source=hostile, message_id=hostile, tab=hostile,
        story=tuple(replace(line, text=hostile) for line in violation.story),
    )  # fmt: skip
    check = replace(check, detail=replace(detail, violations=(violation, violation), notes=(hostile,)))
    results = [check]
    certificate = certify(results, broker={"version": hostile, "provider": hostile}, publisher=hostile, client=hostile)
    print_report(certificate, results, report=Path("out"), console=console)
    printed = out.getvalue()
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert not [line for line in lines(out) if line.startswith("CERTIFIED")]
    assert printed.count("[red]x[/red]") > 10
    assert ":boom:" in printed
