"""The publisher that is a program: whatever it does, each message gets its outcome, and no process is left."""

from __future__ import annotations

import os
import signal
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conformance.errors import HarnessError, UsageError
from conformance.history.events import Misbehaviour
from conformance.world.publisher import command as command_module
from conformance.world.publisher import program as program_module
from conformance.world.publisher.answers import Breach
from conformance.world.publisher.command import CommandPublisher
from conformance.world.publisher.stderr import MOST_KEPT_BYTES
from durable_ws import Nacked, NotSent, OutcomeUnknown, PublishError, Unroutable

PATIENCE_S = 30.0
URL = "amqp://guest:guest@127.0.0.1:1/%2F"

HEAD = """
import json, os, sys, time

def read():
    line = sys.stdin.readline()
    return json.loads(line) if line else None

def say(*lines):
    for line in lines:
        print(line if isinstance(line, str) else json.dumps(line), flush=True)

def answer(request, outcome="confirmed", **more):
    say({"id": request["id"], "outcome": outcome, **more})
"""

ANSWERS_ALL = """
while (request := read()) and request["op"] == "publish":
    answer(request)
"""

Start = Callable[..., CommandPublisher]


def publish(publisher: CommandPublisher, message_id: str = "m1", body: bytes = b"body", key: str = "key") -> None:
    """Publish one message."""
    publisher.publish(body, exchange="ex", routing_key=key, message_id=message_id)


def threads() -> list[str]:
    """The names of the wrappers' threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("publisher-command")]


def is_there(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what another process does; fails where it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program of some lines of Python; at the end it is closed, and neither process nor thread is left."""
    publishers: list[CommandPublisher] = []

    def start(lines: str, **options: float) -> CommandPublisher:
        program = tmp_path / "program.py"
        program.write_text(HEAD + textwrap.dedent(lines), encoding="utf-8")
        options = {"timeout_s": PATIENCE_S, "close_timeout_s": PATIENCE_S, **options}
        publishers.append(CommandPublisher([sys.executable, str(program)], URL, **options))  # type: ignore[arg-type]
        return publishers[-1]

    yield start
    for publisher in publishers:
        pid = publisher._program.process.pid
        publisher.close()
        publisher.close()
        assert publisher._program.process.returncode is not None
        assert not Path(f"/proc/{pid}").exists()
    wait_until(lambda: threads() == [], "the threads end")


# --- as it should be -----------------------------------------------------------------------------


def test_the_program_gets_what_design_says(start: Start, tmp_path: Path) -> None:
    """One JSON line for each message, the URL in its environment, close and the end of its input at the end."""
    told = tmp_path / "told"
    publisher = start(f"""
        with open({str(told)!r}, "w", encoding="ascii") as file:
            for line in sys.stdin:
                file.write(line)
                request = json.loads(line)
                if request["op"] == "publish":
                    answer(request)
            file.write(os.environ["RABBITMQ_URL"])
    """)
    publish(publisher, "m1", "ü ✓\n\x00".encode(), "a.b")
    publisher.close()
    assert told.read_text(encoding="ascii").splitlines() == [
        r'{"op": "publish", "id": "m1", "exchange": "ex", "routing_key": "a.b", "body": "\u00fc \u2713\n\u0000"}',
        '{"op": "close"}',
        URL,
    ]
    assert publisher._program.process.returncode == 0


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        ("confirmed", None),
        ("returned", Unroutable),
        ("nacked", Nacked),
        ("failed", NotSent),
        ("unknown", OutcomeUnknown),
    ],
)
def test_each_outcome(start: Start, outcome: str, error: type[PublishError] | None) -> None:
    """What the program answers is what publish does; the detail is passed on, or one of ours stands for it."""
    publisher = start(f"""
        answer(read(), {outcome!r}, detail="the program's own words")
        answer(read(), {outcome!r})
        answer(read(), {outcome!r}, detail=None)
    """)
    details = []
    for number in range(3):
        if error is None:
            publish(publisher, f"m{number}")
            continue
        with pytest.raises(error) as caught:
            publish(publisher, f"m{number}")
        assert type(caught.value) is error
        assert caught.value.message_id == f"m{number}"
        details.append(caught.value.detail)
    if error is not None:
        assert details[0] == "the program's own words"
        assert details[1].startswith("the program says")
        assert details[1] == details[2]


def test_many_threads_at_once_answered_in_any_order(start: Start) -> None:
    """Twenty messages under way, answered backwards, each by its own outcome."""
    publisher = start("""
        requests = [read() for _ in range(20)]
        for request in reversed(requests):
            answer(request, "confirmed" if int(request["id"]) % 2 else "nacked", detail=request["body"])
    """)

    def outcome(number: int) -> str:
        try:
            publish(publisher, str(number), f"body {number}".encode())
        except Nacked as error:
            return error.detail
        return "confirmed"

    with ThreadPoolExecutor(20) as callers:
        outcomes = list(callers.map(outcome, range(20)))
    assert outcomes == ["confirmed" if number % 2 else f"body {number}" for number in range(20)]


def test_large_bodies_both_ways(start: Start) -> None:
    """Far more than a pipe holds, in requests and in answers, and in both at once."""
    publisher = start("""
        while (request := read()) and request["op"] == "publish":
            answer(request, "nacked", detail=request["body"][:500_000])
    """)

    def outcome(number: int) -> str:
        with pytest.raises(Nacked) as caught:
            publish(publisher, str(number), str(number).encode() * 700_000)
        return caught.value.detail

    with ThreadPoolExecutor(5) as callers:
        assert list(callers.map(outcome, range(5))) == [str(number) * 500_000 for number in range(5)]


def test_a_body_that_is_no_text(start: Start) -> None:
    """It is certainly not sent, the program does not see it, and the next one is published."""
    publisher = start(ANSWERS_ALL)
    with pytest.raises(NotSent, match="not UTF-8"):
        publish(publisher, "m1", b"\xff\xfe")
    publish(publisher, "m2")


# --- what it says besides ------------------------------------------------------------------------


def test_it_prints_to_standard_error(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    """That is kept for the report, whole, and is no answer."""
    publisher = start("""
        sys.stderr.write("warning: " + "x" * 100_000 + "\\n")
        answer(read())
    """)
    publish(publisher)
    publisher.close()
    assert publisher.stderr() == b"warning: " + b"x" * 100_000 + b"\n"
    assert capfd.readouterr().err == ""


def test_of_much_that_it_prints_the_middle_goes(start: Start) -> None:
    """The first and the last half stay, and how much is left out is said."""
    publisher = start("""
        sys.stderr.write("first\\n" + "x" * 3_000_000 + "\\nlast")
        answer(read())
    """)
    publish(publisher)
    publisher.close()
    kept = publisher.stderr()
    assert kept.startswith(b"first\n")
    assert kept.endswith(b"\nlast")
    assert f"[… {3_000_011 - MOST_KEPT_BYTES} bytes are left out …]".encode() in kept
    assert len(kept) < MOST_KEPT_BYTES + 100


def test_it_talks_nonsense_and_answers(start: Start) -> None:
    """Banners, numbers, lists, objects without an id or with a strange one, bytes that are no text: passed over."""
    publisher = start("""
        request = read()
        say("Ready!", "", "42", "[1, 2]", '"text"', "null", "{", '{"id": null}', '{"outcome": "confirmed"}')
        say('{"id": ["m1"], "outcome": "confirmed"}', '{"id": {"m1": 1}, "outcome": "confirmed"}')
        say('{"id": 1, "outcome": "confirmed"}', "[" * 100_000, '{"id": "m1", "outcome": "confirmed"' + " " * 2_000_000)
        sys.stdout.buffer.write(b"\\xff\\xfe\\x00\\n")
        sys.stdout.flush()
        answer(request, "nacked", detail="after all that")
    """)
    with pytest.raises(Nacked, match="after all that"):
        publish(publisher)


def test_it_talks_nonsense_alone(start: Start) -> None:
    """The outcome is unknown after the time, and the last line that it wrote is told, shortened."""
    publisher = start('say("first", "Published! " + "x" * 10_000); read(); read()', timeout_s=0.2)
    wait_until(lambda: "Published!" in publisher._answers.chatter, "it has talked")
    with pytest.raises(OutcomeUnknown) as caught:
        publish(publisher)
    assert caught.value.message_id == "m1"
    assert caught.value.detail.startswith("the program gave no answer within 0.2 s; it wrote, besides: 'Published! xxx")
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize("outcome", ['"ok"', "null", "true", "[]", "{}"])
def test_an_outcome_that_there_is_not(start: Start, outcome: str) -> None:
    """It is told at once, without waiting for the time; the next message is published."""
    publisher = start(f"""
        request = read()
        say('{{"id": "m1", "outcome": {outcome}}}')
        answer(read())
    """)
    with pytest.raises(OutcomeUnknown, match="the program answered what is no outcome: ") as caught:
        publish(publisher)
    assert outcome in caught.value.detail
    publish(publisher, "m2")


def breaches(publisher: CommandPublisher) -> list[Breach]:
    """What it did against the protocol, from now on and before."""
    told: list[Breach] = []
    publisher.listen(told.append)
    return told


def kinds(told: list[Breach]) -> list[Misbehaviour]:
    """Of what kinds."""
    return [breach.what for breach in told]


def test_it_answers_twice(start: Start) -> None:
    """The first answer counts; that there was a second is told, and whether it says the same."""
    publisher = start("""
        while (request := read()) and request["op"] == "publish":
            answer(request, "confirmed")
            answer(request, "confirmed" if request["id"] == "m0" else "nacked")
    """)
    told = breaches(publisher)
    for number in range(3):
        publish(publisher, f"m{number}")
    wait_until(lambda: len(told) == 3, "all second answers have come")
    assert [(breach.what, breach.detail) for breach in told] == [
        ("repeated", "it answered message m0 (confirmed) twice"),
        ("contradicted", "it answered message m1 twice: first confirmed, which counts, then nacked"),
        ("contradicted", "it answered message m2 twice: first confirmed, which counts, then nacked"),
    ]


def test_it_answers_for_an_unknown_id(start: Start) -> None:
    """That settles nothing: the outcome is unknown after the time, and both are told."""
    publisher = start("""answer({"id": "M1"}); say('{"id": 7, "outcome": "nacked"}'); read(); read()""", timeout_s=0.2)
    told = breaches(publisher)
    wait_until(lambda: len(told) == 2, "it has answered")
    with pytest.raises(OutcomeUnknown, match=r'besides: .*"id": 7'):
        publish(publisher)
    assert kinds(told) == ["unknown_id", "unknown_id", "silent"]
    assert told[0].detail == """it answered for an id that it was not given: '{"id": "M1", "outcome": "confirmed"}'"""
    assert told[2].detail == "it gave no answer for message m1 within 0.2 s"


def test_it_answers_too_late(start: Start) -> None:
    """An answer after the time is nobody's, does not pass for that of the next message, and is told."""
    publisher = start(
        """
        first = read()
        second = read()
        answer(first)
        answer(second, "nacked")
        """,
        timeout_s=0.2,
    )
    told = breaches(publisher)
    with pytest.raises(OutcomeUnknown):
        publish(publisher, "m1")
    publisher._timeout_s = PATIENCE_S
    with pytest.raises(Nacked):
        publish(publisher, "m2")
    assert kinds(told)[:2] == ["silent", "late"]
    assert told[1].detail == "it answered message m1 (confirmed) once nobody waited for it any more"


def test_two_messages_of_one_id_under_way(start: Start) -> None:
    """Each gets an answer, in the order of asking: no breach."""
    publisher = start("""
        first, second = read(), read()
        answer(first, "nacked", detail=first["body"])
        answer(second, "nacked", detail=second["body"])
        read()
    """)
    told = breaches(publisher)

    def outcome(body: str) -> str:
        with pytest.raises(Nacked) as caught:
            publish(publisher, "m1", body.encode())
        return caught.value.detail

    with ThreadPoolExecutor(2) as callers:
        assert sorted(callers.map(outcome, ("one", "two"))) == ["one", "two"]
    assert told == []


def test_a_message_that_is_published_again(start: Start) -> None:
    """One id, asked for twice, one after the other: two answers are as it should be."""
    publisher = start(ANSWERS_ALL)
    told = breaches(publisher)
    publish(publisher)
    publish(publisher)
    publisher.close()
    assert told == []


def test_many_breaches_are_told_a_while(start: Start) -> None:
    """A program that chats without end does not fill the history."""
    publisher = start("""
        request = read()
        say(*["chatter"] * 1000)
        answer(request)
        read()
    """)
    told = breaches(publisher)
    publish(publisher)
    assert kinds(told) == ["chatter"] * 20
    assert told[0].detail == "it writes lines on its standard output that are no answers: 'chatter'"


# --- the end that it takes -----------------------------------------------------------------------


def test_it_dies_at_once(start: Start) -> None:
    """Told with its status, long before the time; what is published after that is certainly not sent."""
    publisher = start("raise SystemExit(3)", timeout_s=300.0)
    with pytest.raises((OutcomeUnknown, NotSent), match="ended with status 3"):
        publish(publisher)
    wait_until(lambda: publisher._over != "", "the end is noticed")
    with pytest.raises(NotSent, match=r"^message m2: not sent: the program '.*' ended with status 3$"):
        publish(publisher, "m2")
    assert kinds(breaches(publisher)) == ["died"]


def test_its_last_words_are_told(start: Start) -> None:
    """The end of its standard error stands in the outcome and in the breach."""
    publisher = start(
        """
        read()
        raise ConnectionError("no broker at that address")
        """,
        timeout_s=300.0,
    )
    with pytest.raises(OutcomeUnknown) as caught:
        publish(publisher)
    (told,) = breaches(publisher)
    for said in (caught.value.detail, told.detail):
        assert "ended with status 1" in said
        assert said.endswith("ConnectionError: no broker at that address'")
        assert len(said) < 700
    assert " with 1 publish under way; " in told.detail


def test_it_dies_in_the_middle(start: Start) -> None:
    """Of three under way, the one that was answered is confirmed, the others unknown, told with the signal."""
    publisher = start(
        """
        requests = [read() for _ in range(3)]
        answer(next(request for request in requests if request["id"] == "0"))
        say("about to die")
        os.kill(os.getpid(), 9)
        """,
        timeout_s=300.0,
    )

    def outcome(number: int) -> str:
        try:
            publish(publisher, str(number))
        except OutcomeUnknown as error:
            return error.detail
        return "confirmed"

    with ThreadPoolExecutor(3) as callers:
        outcomes = list(callers.map(outcome, range(3)))
    assert outcomes[0] == "confirmed"
    assert outcomes[1] == outcomes[2]
    assert outcomes[1].endswith("ended with status -9 before it answered; it wrote, besides: 'about to die'")


def test_it_closes_its_output(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an output no answer can come: told so, long before the time."""
    monkeypatch.setattr(program_module, "_EXITED_S", 0.1)
    publisher = start(
        """
        read()
        os.close(1)
        sys.stdin.read()
        os._exit(0)
        """,
        timeout_s=300.0,
    )
    with pytest.raises(OutcomeUnknown, match="closed its standard output before it answered"):
        publish(publisher)


def test_it_reads_no_more(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be written to it has an unknown outcome, told at once."""
    monkeypatch.setattr(command_module, "_EXITED_S", 0.1)
    publisher = start(
        """
        answer(read())
        os.close(0)
        say("closed")
        time.sleep(600)
        """,
        timeout_s=300.0,
        close_timeout_s=0.1,
    )
    publish(publisher, "m1")
    wait_until(lambda: "closed" in publisher._answers.chatter, "its input is closed")
    with pytest.raises(OutcomeUnknown, match="reads no more"):
        publish(publisher, "m2")


def test_it_never_reads(start: Start) -> None:
    """Requests that fill the pipe hold up nobody for longer than the time, nor the close."""
    publisher = start("time.sleep(600)", timeout_s=0.5, close_timeout_s=0.1)
    began = time.monotonic()
    with ThreadPoolExecutor(3) as callers:
        futures = [callers.submit(publish, publisher, str(number), b"x" * 1_000_000) for number in range(3)]
        for future in futures:
            with pytest.raises(OutcomeUnknown, match=r"gave no answer within 0\.5 s$"):
                future.result()
    publisher.close()
    assert time.monotonic() - began < PATIENCE_S
    assert publisher._program.process.returncode == -signal.SIGKILL


def test_it_never_answers(start: Start) -> None:
    """The outcome is unknown after the time, and close ends the program by force."""
    publisher = start("while True: time.sleep(600)", timeout_s=0.2, close_timeout_s=0.1)
    with pytest.raises(OutcomeUnknown, match=r"outcome unknown: the program gave no answer within 0\.2 s$"):
        publish(publisher)
    publisher.close()
    assert publisher._program.process.returncode == -signal.SIGKILL


def test_it_closes_late(start: Start) -> None:
    """Close waits for what is in flight: the answer that comes after ``close`` still counts."""
    publisher = start("""
        request = read()
        say("got it")
        closing = read()
        answer(request, "nacked" if closing == {"op": "close"} and sys.stdin.read() == "" else "confirmed")
    """)
    with ThreadPoolExecutor(1) as callers:
        future = callers.submit(publish, publisher)
        wait_until(lambda: "got it" in publisher._answers.chatter, "the message is in flight")
        publisher.close()
        with pytest.raises(Nacked):
            future.result()
    assert publisher._program.process.returncode == 0


def test_what_is_in_flight_when_it_is_ended_by_force(start: Start) -> None:
    """Whoever still waits is told at once, not after the time."""
    publisher = start("read(); say('got it'); time.sleep(600)", timeout_s=300.0, close_timeout_s=0.1)
    with ThreadPoolExecutor(1) as callers:
        future = callers.submit(publish, publisher)
        wait_until(lambda: "got it" in publisher._answers.chatter, "the message is in flight")
        publisher.close()
        with pytest.raises(OutcomeUnknown, match="ended with status -9 before it answered"):
            future.result()


def test_after_close_nothing_is_sent(start: Start) -> None:
    """And closing again is nothing."""
    publisher = start(ANSWERS_ALL)
    publish(publisher)
    publisher.close()
    publisher.close()
    with pytest.raises(NotSent):
        publish(publisher, "m2")


def test_what_it_has_started_is_ended_with_it(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that holds its input and output, and outlives it, is not left behind, nor does close wait for it."""
    monkeypatch.setattr(program_module, "_JOIN_S", 60.0)
    pid_file = tmp_path / "pid"
    lines = f"""
        import subprocess
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open({str(pid_file)!r}, "w") as file:
            file.write(str(child.pid))
        answer(read())
        os._exit(0)
    """
    publisher = start(lines, close_timeout_s=60.0)
    publish(publisher)
    child = int(pid_file.read_text(encoding="ascii"))
    assert is_there(child)
    began = time.monotonic()
    publisher.close()
    assert time.monotonic() - began < 30.0
    wait_until(lambda: not is_there(child), "the child is gone")


def test_the_end_of_the_suite_is_the_end_of_its_input(start: Start) -> None:
    """No other process holds the program's input: the second program started would keep the first from its end."""
    first, second = start(ANSWERS_ALL), start(ANSWERS_ALL)
    publish(first)
    publish(second)
    first.close()
    assert first._program.process.returncode == 0
    publish(second, "m2")


# --- what a fault does to it ---------------------------------------------------------------------


def test_killed_and_started_again(start: Start) -> None:
    """What it had answered by then counts, what was under way is unknown, what comes next is the new run's."""
    publisher = start("""
        while (request := read()) and request["op"] == "publish":
            if request["id"] != "lost":
                answer(request, "nacked", detail=str(os.getpid()))
    """)
    told, killed = breaches(publisher), []

    def kill() -> None:
        if publisher._answers.waiting()[0].message_id == "lost":
            killed.append(publisher.kill())

    with pytest.raises(Nacked) as first:
        publish(publisher, "first")
    publisher.on_handed(kill)
    with pytest.raises(OutcomeUnknown, match="the suite killed the program before it answered"):
        publish(publisher, "lost")
    publisher.on_handed(None)
    with pytest.raises(Nacked) as second:
        publish(publisher, "second")
    assert killed == [1]
    assert first.value.detail != second.value.detail
    assert not is_there(int(first.value.detail))
    assert told == []


def test_its_last_lines_count_though_it_was_killed(start: Start) -> None:
    """An answer that was written before the kill is an answer."""
    publisher = start("""
        request = read()
        answer(request, "nacked", detail="x" * 50_000)
        say("written")
        time.sleep(600)
    """)
    under_way = []

    def kill() -> None:
        wait_until(lambda: "written" in publisher._answers.chatter, "it has answered")
        under_way.append(publisher.kill())

    publisher.on_handed(kill)
    with pytest.raises(Nacked):
        publish(publisher)
    wait_until(lambda: under_way != [], "it was killed")
    assert under_way == [0]
    publisher.on_handed(None)


def test_stopped_and_continued(start: Start) -> None:
    """It stands still, gives no answer, and gives it once it goes on."""
    publisher = start(ANSWERS_ALL)
    publish(publisher)
    publisher.stop()
    state = (
        Path(f"/proc/{publisher._program.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    )
    assert state == "T"
    publisher._timeout_s = 0.2
    with pytest.raises(OutcomeUnknown, match="gave no answer"):
        publish(publisher, "m2")
    publisher._timeout_s = PATIENCE_S
    publisher.resume()
    publish(publisher, "m3")


def test_one_that_ended_can_not_be_stopped(start: Start) -> None:
    """It is told: a fault that did not happen must not count."""
    publisher = start("raise SystemExit(0)")
    wait_until(publisher._program.exited.is_set, "its end")
    with pytest.raises(HarnessError, match="had ended"):
        publisher.stop()


def test_a_stopped_one_is_closed(start: Start) -> None:
    """Close does not wait for ever for a program that stands still."""
    publisher = start(ANSWERS_ALL, close_timeout_s=0.1)
    publish(publisher)
    publisher.stop()
    publisher.close()
    assert publisher._program.process.returncode == -signal.SIGKILL


# --- what can't be started -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [["/no/such/program"], ["no-such-program-anywhere"], ["/"], ["/etc/hostname"], ["bad\0name"]],
    ids=["path", "name", "folder", "no program", "nul"],
)
def test_a_program_that_can_not_be_started(command: list[str]) -> None:
    """Named, with the reason and the way out; nothing is left."""
    with pytest.raises(UsageError) as refused:
        CommandPublisher(command, URL, field="--publisher-command")
    assert refused.value.field == "--publisher-command"
    assert repr(command[0]) in refused.value.problem
    assert "Name a program that is installed" in refused.value.way_out
    assert threads() == []


def test_the_program_speaks_through_the_url_it_was_given(tmp_path: Path) -> None:
    """RABBITMQ_URL of the suite's own environment does not reach it: the program would go round the fault proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}/%2F"
        program = tmp_path / "program.py"
        program.write_text(HEAD + "request = read()\nanswer(request, 'nacked', detail=os.environ['RABBITMQ_URL'])\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(os.environ, "RABBITMQ_URL", "amqp://elsewhere")
            publisher = CommandPublisher([sys.executable, str(program)], url)
        try:
            with pytest.raises(Nacked) as caught:
                publish(publisher)
        finally:
            publisher.close()
        assert caught.value.detail == url
