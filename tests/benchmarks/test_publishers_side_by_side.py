"""The benchmark: what it makes of the turns, what it says of peers that fail, and one short round of what is here."""

from __future__ import annotations

import sys

import pytest

import benchmarks.publishers.player
from benchmarks.publishers.__main__ import main
from benchmarks.publishers.found import CEILING, OURS, YARDSTICK, Peer
from benchmarks.publishers.player import PeerError, Turn, playing
from benchmarks.publishers.table import Played, table
from conformance.world.broker.base import Broker

URL = "amqp://guest:guest@127.0.0.1:5672/"


def turns(*rates: float, rounds: range | None = None, broker_cpu_s: float | None = None) -> list[Played]:
    """Turns of half a second with these rates."""
    numbers = rounds or range(1, len(rates) + 1)
    return [
        Played(number, Turn(0.5, round(rate / 2), 0.01), broker_cpu_s)
        for number, rate in zip(numbers, rates, strict=True)
    ]


def test_shares_are_taken_in_each_round() -> None:
    """A machine that was slow in one round was so for both."""
    lines = table({YARDSTICK: turns(1000, 100, 2000, 1000, 1000), "pika": turns(500, 90, 1000, 500, 250)})
    assert lines[2] == "| C librabbitmq | 100 | 1,000 | 2,000 | 1.00 | 1.00–1.00 | 2.0 s | – |"
    assert lines[3].startswith("| pika | 90 | 500 | 1,000 | 0.50 | 0.50–0.50 |")


def test_a_round_without_the_yardstick_has_no_share() -> None:
    """A peer that has failed on its way is not held against the rounds of another."""
    lines = table({YARDSTICK: turns(1000, 1000), "pika": turns(500, 700, 900, rounds=range(2, 5))})
    assert "| 0.50 | – |" in lines[3]
    assert "| – | – |" in table({"pika": turns(500, 700)})[2]


def test_a_turn_without_a_message() -> None:
    """On a busy machine there may be one: it counts as the rate that it is, and nothing is a share of it."""
    lines = table({YARDSTICK: turns(1000, 0, 1000), "pika": turns(500, 700, 0)})
    assert "| 0 | 1,000 | 1,000 | 1.00 |" in lines[2]
    assert "| 0 | 500 | 700 | 0.25 |" in lines[3]
    assert "| 0 | 0 | 0 | – | – | 0.0 s | 0.0 s |" in table({"pika": turns(0, broker_cpu_s=0.6)})[2]


def test_cpu_is_for_a_hundred_thousand_messages() -> None:
    """Client and broker; of the broker's, the warm-up's part is left out by time."""
    (line,) = table({"pika": turns(2000, 2000, broker_cpu_s=0.6)})[2:]
    assert line.endswith("| 1.0 s | 50.0 s |")


def peer(program: str) -> Peer:
    """A peer that is a line of Python."""
    return Peer("played", [sys.executable, "-c", program])


def test_a_turn() -> None:
    """It is asked for in a line, and told in one."""
    program = (
        "import sys, json; print('ready', flush=True)\n"
        "for line in sys.stdin:\n"
        "    warm_up, seconds = map(float, line.split())\n"
        "    print(json.dumps({'seconds': seconds, 'messages': int(warm_up * 1000), 'cpu_s': 0.5}), flush=True)"
    )
    with playing(peer(program), URL, "q", "a") as player:
        player.connect()
        assert [player.turn(0.25), player.turn(0.5)] == [Turn(0.25, 100, 0.5), Turn(0.5, 100, 0.5)]


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit('no connection')", "no connection"),
        ("print('hello')", "did not say that it is ready"),
        ("pass", "it hung, or said nothing"),
    ],
)
def test_a_peer_that_can_not_connect(program: str, why: str) -> None:
    """What it said last is the reason."""
    with playing(peer(program), URL, "q", "a") as player, pytest.raises(PeerError, match=why):
        player.connect()


def test_a_peer_that_says_nothing_and_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for without end."""
    monkeypatch.setattr(benchmarks.publishers.player, "_END_S", 0.1)
    program = "import os; os.close(1); input()"
    with playing(peer(program), URL, "q", "a") as player, pytest.raises(PeerError, match="hung, or said nothing"):
        player.connect()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("input(); raise SystemExit('connection lost')", "connection lost"),
        ("input(); print('Segmentation fault')", "it said 'Segmentation fault', which tells no turn"),
        ("", "it hung, or said nothing"),
    ],
)
def test_a_peer_that_fails_in_a_turn(program: str, why: str) -> None:
    """It is told why, and it is not waited for."""
    with playing(peer(f"print('ready', flush=True); {program}"), URL, "q", "a") as player:
        player.connect()
        with pytest.raises(PeerError, match=why):
            player.turn(0.01)


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--only", "nobody"], 2, "--only: no peer that is here is called nobody. Take a part of"),
        (["--broker", "podman"], 2, "--broker: 'podman' is no way to get a broker"),
        (["--broker", "amqp://user:secret@127.0.0.1:1/"], 3, "amqp://user:***@127.0.0.1:1/: no AMQP connection"),
    ],
)
def test_bad_arguments(words: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are named, with the way out, and no password is."""
    assert main(words) == status
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--seconds", "0"], ["--seconds", "nan"], ["--work", "d"]])
def test_numbers_out_of_range(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The limits are told."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.broker
@pytest.mark.timeout(400)
def test_a_short_round(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours, pika and the bare socket in all works, on a broker that runs."""
    only = [word for name in (*OURS, "pika", CEILING) for word in ("--only", name)]
    assert main(["--broker", broker.addresses.amqp, "--rounds", "1", "--seconds", "0.1", *only]) == 0
    told = capsys.readouterr().out
    for name, count in {OURS[0]: 3, OURS[1]: 3, "pika": 3, CEILING: 2}.items():
        assert told.count(f"| {name} |") == count
