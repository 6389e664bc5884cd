"""What every Python peer shares: its arguments, the message, the clock of a turn, and how it tells what it did.

A peer is a program: ``PROGRAM URL QUEUE WORK``. It connects and prints ``ready``. Then it has a turn for each line on
its standard input, which is two numbers of seconds: it publishes for the first to warm up, then for the second, waits
for the last confirm, and prints one line of JSON. It ends with its standard input.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator

BODY = b"x" * 200
WINDOW = 1000
CALLERS = 8

URL, QUEUE, WORK = sys.argv[1:4] if len(sys.argv) == 4 else ("", "", "")


def new_id() -> str:
    """A message id, made cheaply: it is the clients that are compared."""
    return os.urandom(16).hex()


class Clock:
    """Of one turn: measures from the end of the warm-up to the last confirm, and counts what is confirmed in it."""

    def __init__(self, warm_up_s: float, seconds: float) -> None:
        self._began = self._cpu = 0.0
        self._count = 0
        self._warm_until = time.monotonic() + warm_up_s
        self._until = self._warm_until + seconds
        self._lock = threading.Lock()

    def goes_on(self, confirmed: int) -> bool:
        """Whether to publish more; ``confirmed``: how many are, since the turn began."""
        now = time.monotonic()
        if not self._began and now >= self._warm_until:
            with self._lock:
                if not self._began:
                    self._count, self._cpu, self._began = confirmed, _cpu_s(), now
        return now < self._until

    def tell(self, confirmed: int) -> None:
        """Print the result."""
        seconds = time.monotonic() - self._began
        cpu_s = _cpu_s() - self._cpu
        print(json.dumps({"seconds": seconds, "messages": confirmed - self._count, "cpu_s": cpu_s}), flush=True)  # noqa: T201


def turns() -> Iterator[Clock]:
    """The clock of each turn, as it is asked for."""
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        warm_up_s, seconds = map(float, line.split())
        yield Clock(warm_up_s, seconds)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def one_at_a_time(publish: Callable[[], object]) -> None:
    """Work (a), for a publish that returns once it is confirmed."""
    for clock in turns():
        count = 0
        while clock.goes_on(count):
            publish()
            count += 1
        clock.tell(count)


def callers(make_publish: Callable[[], Callable[[], object]]) -> None:
    """Work (c), in threads: each has a publish of its own, which returns once it is confirmed."""
    publishes = [make_publish() for _ in range(CALLERS)]

    def call(place: int, clock: Clock, counts: list[int]) -> None:
        publish = publishes[place]
        while clock.goes_on(sum(counts)):
            publish()
            counts[place] += 1

    for clock in turns():
        counts = [0] * CALLERS
        threads = [threading.Thread(target=call, args=(place, clock, counts)) for place in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clock.tell(sum(counts))
