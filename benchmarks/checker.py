"""How fast the checker is, and that it is linear: histories of 10,000, 100,000 and 1,000,000 events.

Run ``python benchmarks/checker.py [EVENTS ...]``. Each size is written to a file as a run would write it, then read
from the file and checked in a process of its own, so that the peak memory is that size's own. Prints a table to
standard output; ends with 1 if a million events took 10 s or 1 GB or more.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.checker import check
from conformance.contract.model import Contract
from conformance.history import events as e
from conformance.history.file import HistoryHeader, HistoryWriter, read_history

MOST_SECONDS = 10.0
MOST_BYTES = 1_000_000_000
TABS = 8
KEYS = ("ticks", "news.sport", "news.politics", "weather.#", "*.sport")
ARGUMENTS = {"x-expires": 86400000}


def story(total: int, seed: int = 1) -> Iterator[tuple[type[e.Event], dict[str, Any]]]:
    """Yield about ``total`` events of a sane run: some cuts, some duplicates, each message seen on the wire as well."""
    rng = random.Random(seed)
    sessions = dict.fromkeys((f"bench-t{n}" for n in range(TABS)), 1)
    key_of = {tab: KEYS[n % len(KEYS)] for n, tab in enumerate(sessions)}
    told = 0
    for tab in sessions:
        yield e.TabOpened, {"tab": tab, "client": "websocket-client"}
        yield from subscription(tab, 1, key_of[tab])
    number = faults = 0
    while told < total - 12:
        number += 1
        digest, message_id = f"{number:016x}", f"{rng.getrandbits(128):032x}"
        key = rng.choice(("ticks", "news.sport", "weather.today", "nobody"))
        for event in publish(message_id, digest, key):
            told += 1
            yield event
        for tab, pattern in key_of.items():
            if pattern == key or (pattern, key) in {("*.sport", "news.sport"), ("weather.#", "weather.today")}:
                ids = {"tab": tab, "message_id": message_id, "body_digest": digest}
                again = rng.random() < 0.01
                for session in (sessions[tab], sessions[tab] + 1)[: 2 if again else 1]:
                    if session != sessions[tab]:
                        faults += 1
                        fault = {"fault_id": faults, "fault": "rst", "target": f"tab:{tab}"}
                        yield e.FaultBegan, fault
                        yield e.TabDisconnected, {"tab": tab, "session": session - 1, "reason": "reset"}
                        yield e.FaultEnded, {**fault, "fired": True, "counts": {"cut": 1}}
                        yield from subscription(tab, session, pattern)
                        told += 5
                    sessions[tab] = session
                    yield e.TabDelivered, {**ids, "session": session, "ack_id": f"T_{number}", "redelivered": again}
                    yield e.TabHandled, {**ids, "session": session}
                    yield e.TabAcked, {**ids, "session": session, "ack_id": f"T_{number}"}
                    told += 3
    yield e.Quiesced, {"reached": True, "waited_s": 0.1}
    for tab in sessions:
        yield (
            e.QueueObserved,
            {"when": "end", "tab": tab, "queue": f"web-client-{tab}", "exists": True, "ready": 0, "unacked": 0},
        )


def subscription(tab: str, session: int, key: str) -> Iterator[tuple[type[e.Event], dict[str, Any]]]:
    """Yield a session's beginning."""
    yield e.TabConnected, {"tab": tab, "session": session, "heart_beat_ms": (10000, 10000)}
    yield (
        e.TabSubscribed,
        {
            "tab": tab,
            "session": session,
            "queue": f"web-client-{tab}",
            "exchange": "pubsub.bench",
            "exchange_type": "topic",
            "binding_key": key,
            "destination": f"/exchange/pubsub.bench/{key}",
            "headers": {"ack": "client-individual", "durable": "true", "x-expires": "86400000"},
        },
    )


def publish(message_id: str, digest: str, key: str) -> Iterator[tuple[type[e.Event], dict[str, Any]]]:
    """Yield a publish, its way over the wire, and its outcome."""
    route = {"exchange": "pubsub.bench", "routing_key": key}
    by = {"publisher": "p", "message_id": message_id}
    link = {"connection": 1, "channel": 1}
    seen = {"delivery_tag": int(digest, 16), "mandatory": True, "delivery_mode": 2}
    yield e.PublishInvoked, {**by, **route, "body_digest": digest, "size_bytes": 64}
    yield e.PublishSeen, {**link, **route, **seen, "message_id": message_id, "body_digest": digest}
    if key == "nobody":
        yield e.ReturnSeen, {**link, "message_id": message_id, "body_digest": digest, "reply_text": "NO_ROUTE"}
    yield e.ConfirmSeen, {**link, "kind": "ack", "body_digests": (digest,)}
    yield (e.PublishReturned if key == "nobody" else e.PublishConfirmed), by


def write(path: Path, total: int) -> int:
    """Write a history of about ``total`` events. Returns how many there are."""
    header = HistoryHeader(
        seed=1, command="benchmark", versions={}, case="benchmark", namespace="bench", contract={}, broker={}
    )
    count = 0
    with HistoryWriter(path, header) as writer:
        for event_type, fields in story(total):
            writer.record(event_type, **fields)
            count += 1
    return count


def measure(path: Path) -> dict[str, Any]:
    """Read and check the file here. Returns seconds of CPU, wall seconds, bytes at the peak, and the verdict."""
    began, cpu = time.perf_counter(), time.process_time()
    verdict = check(iter(read_history(path)), Contract())
    return {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "verdict": verdict.verdict,
        "summary": verdict.summary,
    }


def main(sizes: list[int]) -> int:
    """Measure each size and print the table. Returns the exit status."""
    print(f"{'events':>10} {'file MB':>8} {'wall s':>7} {'CPU s':>7} {'events/s':>10} {'peak MB':>8}  verdict")  # noqa: T201
    bad = False
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = Path(folder, f"{size}.jsonl")
            count = write(path, size)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                m = pool.apply(measure, (path,))
            bad |= m["wall_s"] >= MOST_SECONDS or m["peak_bytes"] >= MOST_BYTES or m["verdict"] != "certified"
            print(  # noqa: T201
                f"{count:>10,} {path.stat().st_size / 1e6:>8.1f} {m['wall_s']:>7.2f} {m['cpu_s']:>7.2f} "
                f"{count / m['wall_s']:>10,.0f} {m['peak_bytes'] / 1e6:>8.0f}  {m['verdict']}: {m['summary']}"
            )
            path.unlink()
    return int(bad)


if __name__ == "__main__":
    sys.exit(main([int(size) for size in sys.argv[1:]] or [10_000, 100_000, 1_000_000]))
