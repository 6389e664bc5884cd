"""Silence and floods, against a broker that is played: what is looked at, and when."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conformance.contract.loader import contract_from_dict
from conformance.errors import HarnessError
from conformance.world.attacker import noise
from conformance.world.attacker.page import Page
from conformance.world.attacker.wire import Reply


@dataclass
class Clock:
    """Goes on where somebody waits."""

    now: float = 0.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


@dataclass
class PlayedWire:
    """A connection that is ended at a time of the clock; a flood is taken until there is none more."""

    clock: Clock
    ends_at: float
    asked: Reply = field(default_factory=lambda: Reply(accepted=True, words="RECEIPT"))

    def raw(self, data: bytes) -> None:
        """All is taken."""

    def ask(self, *_: object) -> Reply:
        """As it was set."""
        return self.asked

    def ended(self, within_s: float) -> Reply:
        """Time goes by."""
        self.clock.now += within_s
        gone = self.clock.now >= self.ends_at
        return Reply(accepted=not gone, words="closed" if gone else "", answered=gone)


class PlayedPage:
    """A page at a broker that ends silent connections after so many seconds, and lets in only so many pages."""

    def __init__(self, clock: Clock, address: str, *, ends_after_s: float = 1e9, lets_in: int = 10) -> None:
        limits = {"promise": {"hostile_tab": True}, "tab": {"heart_beat": "1s"}, "limits": {"silence": "30s"}}
        self.naming = SimpleNamespace(contract=contract_from_dict(limits))
        self.broker = SimpleNamespace(version="4.3.6", addresses=SimpleNamespace(web_stomp=address))
        self._clock, self._ends_after_s, self._left = clock, ends_after_s, lets_in

    @contextlib.contextmanager
    def silent_wire(self) -> Iterator[PlayedWire]:
        """Always to be had."""
        yield PlayedWire(self._clock, self._clock.now + self._ends_after_s)

    @contextlib.contextmanager
    def wire(self) -> Iterator[PlayedWire]:
        """Let in as long as there are places."""
        self._left -= 1
        if self._left < 0:
            raise HarnessError("not let in: no answer")
        with self.silent_wire() as wire:
            yield wire

    def subscription(self, *_: object) -> dict[str, str]:
        """Any."""
        return {}

    def own_queue(self) -> str:
        """Any."""
        return "q"


@pytest.fixture
def listener() -> Iterator[str]:
    """Something that takes a TCP connection and ends it after a while: later than the others in the clock's time."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                taken = server.accept()[0]
                threading.Event().wait(0.5)
                taken.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"ws://127.0.0.1:{server.getsockname()[1]}/ws"
        thread.join()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The module's."""
    made = Clock()
    monkeypatch.setattr(noise, "time", made)
    return made


def outcomes(tries: Any) -> dict[str, str]:
    """By the first words of what was tried."""
    return {" ".join(tried.what.split()[:4]): tried.outcome for tried in tries}


@pytest.mark.parametrize(("ends_after_s", "outcome"), [(4.0, "refused"), (49.9, "refused"), (1e9, "allowed")])
def test_each_silent_connection_is_looked_at(clock: Clock, listener: str, ends_after_s: float, outcome: str) -> None:
    """Also where the limit is shorter than the byte by byte CONNECT takes."""
    page = cast("Page", PlayedPage(clock, listener, ends_after_s=ends_after_s))
    told = outcomes(noise.silence(page))
    assert told["say nothing before CONNECT"] == outcome
    assert told["say nothing after CONNECT"] == outcome
    if outcome == "refused" and ends_after_s < 5:
        assert told["keep a connection with"] == "refused"


@pytest.mark.parametrize(("lets_in", "outcome"), [(3, "refused"), (2, "allowed")])
def test_a_flood_that_keeps_others_out(clock: Clock, lets_in: int, outcome: str) -> None:
    """One page before, the flood, and one meanwhile, which is let in or not."""
    page = cast("Page", PlayedPage(clock, "ws://127.0.0.1:1/ws", lets_in=lets_in))
    assert [tried.outcome for tried in noise.heart_beats(page)] == [outcome]
