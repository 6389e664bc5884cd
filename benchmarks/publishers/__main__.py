"""Publishers side by side, interleaved, on one broker: ``python -m benchmarks.publishers [--rounds N] [--only PEER]``.

Work: 200-byte persistent mandatory confirmed messages into a durable queue, (a) one at a time, (b) pipelined with 1000
unconfirmed, (c) 8 callers each waiting. Each peer is a process of its own that stays connected, and has a short turn in
each round, in an order that is drawn: what a busy machine does for a second or two meets all peers of a round, and the
share of the C client's rate, which is taken in each round, moves less by it. A first round is not counted.
One of the peers is no client: the same bytes again and again on a bare socket, for what can be had from Python at all.
Prints min, median and max of the rates, the median and the middle half of the shares, and the CPU seconds of client and
broker for 100,000 messages. Peers that are not installed are told and left out.

A RabbitMQ is started for the run; of one that is named (``--broker URL``), the CPU is not known. Exit status: 0 each
peer that is here had all its turns, 1 one had not, 2 bad arguments, 3 no broker is to be had.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import pika
from pika.adapters.blocking_connection import BlockingChannel

from benchmarks.publishers.beam import beam, cpu_s
from benchmarks.publishers.found import Peer, found
from benchmarks.publishers.player import PeerError, Player, playing
from benchmarks.publishers.table import Played, table
from conformance.errors import ConformanceError, UsageError
from conformance.world.broker.choose import choose_broker
from conformance.world.broker.handshake import amqp_answers

QUEUE = "durable-ws-benchmark"
WORKS = {"a": "one at a time", "b": "1000 unconfirmed", "c": "8 callers, each waiting"}


@contextlib.contextmanager
def broker(spec: str) -> Iterator[tuple[str, int | None]]:
    """A broker's URL and, if it was started here, the id of its process.

    Raises:
        UsageError, BrokerUnavailable: there is none.
    """
    chosen = choose_broker(spec)
    if "://" in spec:
        amqp_answers(spec)
        yield spec, None
        return
    chosen.start()
    try:
        yield chosen.addresses.amqp, beam(urlsplit(chosen.addresses.amqp).port)
    finally:
        chosen.stop()


@contextlib.contextmanager
def queue(url: str) -> Iterator[BlockingChannel]:
    """A channel with the queue declared, which is deleted at the end."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0  # nobody would answer them during the turns
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        try:
            yield channel
        finally:
            channel.queue_delete(QUEUE)


def failed(peer: Peer, work: str, why: PeerError) -> None:
    """Tell that a peer has no (more) turns in a work."""
    print(f"({work}) {peer.name} failed: {why}", file=sys.stderr)  # noqa: T201


def play(
    peers: list[Peer], work: str, url: str, pid: int | None, rounds: int, seconds: float
) -> tuple[dict[str, list[Played]], bool]:
    """All rounds of a work: the turns by the peer's name, and whether every one went well."""
    played: dict[str, list[Played]] = {peer.name: [] for peer in peers}
    players: list[Player] = []
    well = True
    order = random.Random(work)
    with queue(url) as channel, contextlib.ExitStack() as stack:
        for peer in peers:
            player = stack.enter_context(playing(peer, url, QUEUE, work))
            try:
                player.connect()
            except PeerError as why:
                failed(peer, work, why)
                well = False
            else:
                players.append(player)
        for number in range(rounds + 1):
            for player in order.sample(players, len(players)):
                channel.queue_purge(QUEUE)
                before = cpu_s(pid)
                try:
                    turn = player.turn(seconds)
                except PeerError as why:
                    failed(player.peer, work, why)
                    players.remove(player)
                    well = False
                    continue
                after = cpu_s(pid)
                if number:
                    cpu = None if before is None or after is None else after - before
                    played[player.peer.name].append(Played(number, turn, cpu))
    return {name: turns for name, turns in played.items() if turns}, well


def main(words: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    try:
        return _run(_arguments(words))
    except ConformanceError as exc:
        sys.stderr.write(f"Error: {exc}\n")
        return exc.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publishers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help="turns of each peer in each work [30]")
    parser.add_argument("--seconds", type=float, default=0.4, help="of each turn [0.4]")
    parser.add_argument("--only", action="append", help="a peer's name, or a part of it; repeatable")
    parser.add_argument("--work", action="append", choices=list(WORKS), help="a, b or c; repeatable")
    parser.add_argument(
        "--broker",
        default="auto",
        help="auto, docker, local, provisioned, or the URL of one that runs (a queue is made and deleted) [auto]",
    )
    given = parser.parse_args(words)
    if not 1 <= given.rounds <= 10_000:
        parser.error(f"--rounds: {given.rounds} is not from 1 to 10,000")
    if not 0.01 <= given.seconds <= 10:
        parser.error(f"--seconds: {given.seconds:g} is not from 0.01 to 10")
    return given


def _run(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        peers, missing = found(folder)
        here = [peer.name for peer in peers]
        if given.only:
            peers = [peer for peer in peers if any(one.lower() in peer.name.lower() for one in given.only)]
        if not peers:
            raise UsageError(
                "--only",
                f"no peer that is here is called {' or '.join(given.only)}",
                f"Take a part of {', '.join(here)}.",
            )
        with broker(given.broker) as (url, pid):
            for name, why in missing.items():
                print(f"left out: {name}: {why}")  # noqa: T201
            print(  # noqa: T201
                f"{given.rounds} rounds of {given.seconds:g} s, Python {platform.python_version()}, "
                f"{os.cpu_count()} CPUs, load before {os.getloadavg()[0]:.1f}; CPU in seconds for 100,000 messages",
                flush=True,
            )
            well = True
            for work in given.work or WORKS:
                able = [peer for peer in peers if work in peer.works]
                played, went_well = play(able, work, url, pid, given.rounds, given.seconds)
                well = well and went_well
                print(f"\n({work}) {WORKS[work]}\n", *table(played), sep="\n", flush=True)  # noqa: T201
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
