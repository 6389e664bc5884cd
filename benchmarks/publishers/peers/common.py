"""What every Python peer shares: its arguments, the message, the clock, and how it tells what it did.

A peer is a program: ``PROGRAM URL QUEUE WORK SECONDS``. It connects, publishes for a short while to warm up, then
publishes for so many seconds, waits for the last confirm, and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable

BODY = b"x" * 200
WINDOW = 1000
CALLERS = 8
WARM_UP_S = 0.3

URL, QUEUE, WORK, SECONDS = (*sys.argv[1:4], float(sys.argv[4])) if len(sys.argv) == 5 else ("", "", "", 0.0)


def new_id() -> str:
    """A message id, made cheaply: it is the clients that are compared."""
    return os.urandom(16).hex()


class Clock:
    """Counts confirmed messages and measures from the end of the warm-up to the last confirm."""

    def __init__(self) -> None:
        self._began = self._cpu = 0.0
        self._count = 0
        self._warm_until = time.monotonic() + WARM_UP_S
        self._until = self._warm_until + SECONDS
        self._lock = threading.Lock()

    def goes_on(self, confirmed: int) -> bool:
        """Whether to publish more; ``confirmed``: how many are, since the beginning."""
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
        print(json.dumps({"seconds": seconds, "messages": confirmed - self._count, "cpu_s": cpu_s}))  # noqa: T201


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def one_at_a_time(publish: Callable[[], object]) -> None:
    """Work (a), for a publish that returns once it is confirmed."""
    clock, count = Clock(), 0
    while clock.goes_on(count):
        publish()
        count += 1
    clock.tell(count)


def callers(make_publish: Callable[[], Callable[[], object]]) -> None:
    """Work (c), in threads: each has a publish of its own, which returns once it is confirmed."""
    publishes = [make_publish() for _ in range(CALLERS)]
    clock, counts = Clock(), [0] * CALLERS

    def call(place: int) -> None:
        publish = publishes[place]
        while clock.goes_on(sum(counts)):
            publish()
            counts[place] += 1

    threads = [threading.Thread(target=call, args=(place,)) for place in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.tell(sum(counts))
