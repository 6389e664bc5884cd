"""Publishers side by side, interleaved, on one broker: ``python -m benchmarks.publishers [--rounds N] [--only PEER]``.

Work: 200-byte persistent mandatory confirmed messages into a durable queue, (a) one at a time, (b) pipelined with 1000
unconfirmed, (c) 8 callers each waiting. Each round runs every peer once, in another order, in a process of its own.
One of the peers is no client: the same bytes again and again on a bare socket, for what can be had from Python at all.
Prints min, median and max of the rates, the median of the ratios to the C client of the same round, and the CPU
seconds of client and broker for 100,000 messages. Peers that are not installed are told and left out.

Without ``--url`` a RabbitMQ is started for the run; only then the broker's CPU is known.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from urllib.parse import unquote, urlsplit

import pika

from conformance.world.broker.choose import choose_broker

PEERS = Path(__file__).parent / "peers"
QUEUE = "durable-ws-benchmark"
WORKS = {"a": "one at a time", "b": "1000 unconfirmed", "c": "8 callers, each waiting"}
YARDSTICK = "C librabbitmq"
CEILING = "Python, a bare socket"
OURS = ("durable_ws Publisher", "durable_ws AsyncPublisher")


@dataclass(frozen=True)
class Run:
    """What one peer did in one round."""

    rate: float
    client_cpu_s: float
    broker_cpu_s: float | None


@dataclass(frozen=True)
class Peer:
    """A program that publishes."""

    name: str
    command: list[str]
    works: str = "abc"


def compiled(folder: str) -> list[str] | str:
    """The C client's command, or why there is none."""
    program = str(Path(folder) / "librabbitmq")
    if shutil.which("gcc") is None:
        return "there is no gcc"
    source = str(PEERS / "librabbitmq.c")
    done = subprocess.run(  # noqa: S603
        ["gcc", "-O2", "-o", program, source, "-lrabbitmq", "-lpthread"],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [program] if done.returncode == 0 else "librabbitmq's headers are not installed (librabbitmq-dev)"


def found(folder: str) -> tuple[list[Peer], dict[str, str]]:
    """The peers that are here, and why the others are not."""
    peers, missing = [], {}
    c = compiled(folder)
    if isinstance(c, str):
        missing[YARDSTICK] = c
    else:
        peers.append(Peer(YARDSTICK, c))
    python = {
        OURS[0]: ("durable_ws", "durable_ws_sync.py"),
        OURS[1]: ("durable_ws", "durable_ws_async.py"),
        "py-amqp": ("amqp", "py_amqp.py"),
        "pika": ("pika", "pika_blocking.py"),
        "aio-pika": ("aio_pika", "aio_pika.py"),
    }
    for name, (module, program) in python.items():
        if find_spec(module) is None:
            missing[name] = f"pip install {name}"
        else:
            peers.append(Peer(name, [sys.executable, str(PEERS / program)]))
    peers.append(Peer(CEILING, [sys.executable, str(PEERS / "bare_socket.py")], works="ac"))
    ruby = shutil.which("ruby")
    if ruby and subprocess.run([ruby, "-e", "require 'bunny'"], capture_output=True, check=False).returncode == 0:  # noqa: S603
        peers.append(Peer("bunny", [ruby, str(PEERS / "bunny.rb")]))
    else:
        missing["bunny"] = "the gem is not installed (ruby-bunny)"
    return peers, missing


@contextlib.contextmanager
def broker(url: str | None) -> Iterator[tuple[str, int | None]]:
    """A broker's URL and, if it was started here, the id of its process."""
    if url:
        yield url, None
        return
    started = choose_broker("auto")
    started.start()
    try:
        yield started.addresses.amqp, beam(urlsplit(started.addresses.amqp).port)
    finally:
        started.stop()


def beam(port: int | None) -> int | None:
    """The process that listens on the port."""
    wanted = f":{port:04X} "
    inodes = {
        line.split()[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and wanted in line.split()[1] + " "
    }
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                if descriptor.readlink().name.removeprefix("socket:[").removesuffix("]") in inodes:
                    return int(folder.name)
    return None


def cpu_s(pid: int | None) -> float | None:
    """The CPU time that a process has used."""
    if pid is None:
        return None
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(peer: Peer, url: str, work: str, seconds: float, pid: int | None) -> Run | str:
    """One peer's turn, or what went wrong."""
    parts = urlsplit(url)
    arguments = [url, QUEUE, work, str(seconds)]
    if peer.name == YARDSTICK:
        vhost = unquote(parts.path[1:]) or "/"
        told = [parts.hostname or "", str(parts.port or 5672), parts.username or "guest", parts.password or "guest"]
        arguments = [*told, vhost, QUEUE, work, str(seconds)]
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        channel.queue_purge(QUEUE)
    before = cpu_s(pid)
    try:
        done = subprocess.run(  # noqa: S603
            [*peer.command, *arguments], capture_output=True, text=True, check=False, timeout=seconds * 10 + 30
        )
    except subprocess.TimeoutExpired:
        return "hung"
    after = cpu_s(pid)
    if done.returncode or not done.stdout.strip():
        return (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    told_ = json.loads(done.stdout.splitlines()[-1])
    if not told_["messages"]:
        return "not one message in the time"
    each = 100_000 / told_["messages"]
    # The broker's part is that of the whole turn, warm-up and connecting with it: a little more than its due.
    share = told_["seconds"] / (told_["seconds"] + 0.3)
    broker_cpu = None if before is None or after is None else (after - before) * share * each
    return Run(told_["messages"] / told_["seconds"], told_["cpu_s"] * each, broker_cpu)


def table(results: dict[tuple[str, str], list[Run]], names: list[str], works: list[str]) -> str:
    """The results as a Markdown table for each work."""
    lines = []
    for work in works:
        lines += [
            "", f"({work}) {WORKS[work]}", "",
            "| client | min/s | median/s | max/s | share of C | client CPU | broker CPU |",
            "|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        yardstick = results.get((YARDSTICK, work), [])
        for name in names:
            runs = results.get((name, work), [])
            if not runs:
                continue
            rates = sorted(one.rate for one in runs)
            pairs = zip(runs, yardstick, strict=False) if len(runs) == len(yardstick) else []
            shares = [one.rate / other.rate for one, other in pairs]
            share = f"{median(shares):.2f} ({min(shares):.2f}–{max(shares):.2f})" if shares else "–"
            told = [one.broker_cpu_s for one in runs if one.broker_cpu_s is not None]
            brokers = f"{median(told):.1f} s" if told else "–"
            client = median(one.client_cpu_s for one in runs)
            lines.append(
                f"| {name} | {rates[0]:,.0f} | {median(rates):,.0f} | {rates[-1]:,.0f} | {share} "
                f"| {client:.1f} s | {brokers} |"
            )
    return "\n".join(lines)


def main() -> int:
    """Run it; the exit status is 0 if every turn went well."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publishers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer in each work [5]")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn [2]")
    parser.add_argument("--only", action="append", help="a peer's name, or a part of it; repeatable")
    parser.add_argument("--work", action="append", choices=list(WORKS), help="a, b or c; repeatable")
    parser.add_argument("--url", help="a broker that runs already (a queue is made there, and deleted)")
    given = parser.parse_args()
    if given.rounds < 1 or not 0 < given.seconds <= 60:
        parser.error("--rounds is at least 1, --seconds above 0 and at most 60")
    works = given.work or list(WORKS)
    results: dict[tuple[str, str], list[Run]] = {}
    failed = 0
    with tempfile.TemporaryDirectory() as folder, broker(given.url) as (url, pid):
        peers, missing = found(folder)
        for name, why in missing.items():
            print(f"left out: {name}: {why}")  # noqa: T201
        if given.only:
            peers = [peer for peer in peers if any(one.lower() in peer.name.lower() for one in given.only)]
        if not peers:
            parser.error("no peer of that name is here")
        before = os.getloadavg()[0]
        for number in range(given.rounds):
            for work in works:
                for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:
                    if work not in peer.works:
                        continue
                    done = run(peer, url, work, given.seconds, pid)
                    if isinstance(done, str):
                        failed += 1
                        print(f"round {number + 1} ({work}) {peer.name} failed: {done}", file=sys.stderr)  # noqa: T201
                    else:
                        results.setdefault((peer.name, work), []).append(done)
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            connection.channel().queue_delete(QUEUE)
    print(  # noqa: T201
        f"{given.rounds} rounds of {given.seconds:g} s, Python {platform.python_version()}, {os.cpu_count()} CPUs, "
        f"load before {before:.1f}; CPU in seconds for 100,000 messages"
    )
    print(table(results, [peer.name for peer in peers], works))  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
