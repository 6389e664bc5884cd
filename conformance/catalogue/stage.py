"""Brokers, threads and the network that sessions make their checks on.

Plays wait far more than they work, so they run side by side: all that leave the broker's node alone share one
broker; those that disturb the whole node have others to themselves, one after the other. Which broker a check is made
on is its *place*.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Self

from conformance.catalogue.result import CheckResult
from conformance.errors import BrokerUnavailable
from conformance.world.broker.base import Broker, Capability, Wish
from conformance.world.broker.choose import MakeBroker
from conformance.world.network.proxy import Network

__all__ = ["Lane", "Place", "Stage", "place_of"]

_SIDE_BY_SIDE = 8

Place = Literal["shared", "alone", "clock", "disturbed"]
"""``shared`` by all; ``alone``, to be taken down; ``clock``, where time can be moved; ``disturbed`` in other ways, such
as by filling its small disk."""

_PLACES: dict[Place, tuple[int, str, frozenset[Wish]]] = {
    "shared": (_SIDE_BY_SIDE, "broker", frozenset()),
    "alone": (1, "broker that is taken down", frozenset()),
    "clock": (1, "broker whose clock is moved", frozenset({"clock"})),
    "disturbed": (1, "broker that is disturbed", frozenset({"small-disk"})),
}


def place_of(needs: Iterable[Capability]) -> Place:
    """Where something is played that takes these capabilities: what disturbs the whole node has one to itself."""
    wanted = set(needs)
    if "clock" in wanted:
        return "clock"
    disturbing = wanted - {"management", "attack", "tls"}
    if not disturbing:
        return "shared"
    return "disturbed" if disturbing - {"restart", "kill"} else "alone"


class Stage:
    """Use it as a context manager: leaving it ends the brokers and all else.

    Args:
        make_broker: called once for each place that is used.
        logs: the folder for the brokers' logs; None: they are not kept.

    Attributes:
        timings: what the stage spent its time on, in seconds, by name.
        stopping: set once the stage is closing; plays look at it.
    """

    def __init__(self, make_broker: MakeBroker, *, logs: Path | None = None) -> None:
        self.timings: dict[str, float] = {}
        self.stopping = threading.Event()
        self.network = Network()
        self.lanes: dict[Place, Lane] = {
            place: Lane(
                lambda wishes=wishes: make_broker(wishes),  # type: ignore[misc]
                threads,
                name,
                self.timings,
                log=None if logs is None else logs / f"{place}.log",
            )
            for place, (threads, name, wishes) in _PLACES.items()
        }

    @property
    def shared(self) -> Lane:
        """The lane of all checks that leave the node alone."""
        return self.lanes["shared"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop what has not begun, wait for what has, end the brokers. Idempotent."""
        self.stopping.set()
        began = time.monotonic()
        for lane in self.lanes.values():
            lane.close()
        self.network.close()
        self.timings.setdefault("clean-up", round(time.monotonic() - began, 1))


class Lane:
    """A broker that is started when first asked for, and the threads that use it."""

    def __init__(
        self,
        make: Callable[[], Broker],
        threads: int,
        name: str,
        timings: dict[str, float],
        *,
        log: Path | None = None,
    ) -> None:
        self._log = log
        self._make = make
        self._name = name
        self._timings = timings
        self._broker: Broker | None = None
        self._failed: BrokerUnavailable | None = None
        self._starting = threading.Lock()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name.replace(" ", "-"))

    def submit(self, function: Callable[..., CheckResult], *args: object) -> Future[CheckResult]:
        """Have ``function`` called in one of the lane's threads."""
        return self._pool.submit(function, *args)

    def broker(self) -> Broker:
        """The lane's broker, started.

        Raises:
            BrokerUnavailable: it could not be started or reached, now or at the first time of asking.
        """
        with self._starting:
            if self._failed is not None:
                raise self._failed
            if self._broker is None:
                began = time.monotonic()
                broker = self._make()
                try:
                    broker.start()
                except BaseException as exc:
                    broker.stop()
                    if isinstance(exc, BrokerUnavailable):
                        self._failed = exc
                    raise
                self._broker = broker
                self._timings[f"start of the {self._name}"] = round(time.monotonic() - began, 1)
            return self._broker

    def close(self) -> None:
        """Wait for what has begun, then end the broker. Idempotent."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._broker is not None:
            self._keep_log(self._broker)
            self._broker.stop()
            self._broker = None

    def _keep_log(self, broker: Broker) -> None:
        told = "" if self._log is None else broker.log()
        if self._log is not None and told:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            self._log.write_text(told, encoding="utf-8")
