"""A link without a socket: its loop and its connections are played, and what it tells is noted."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

import durable_ws.link
from durable_ws import Exchange
from durable_ws.address import Address
from durable_ws.amqp.events import Opened, Selected
from durable_ws.job import Job
from durable_ws.ledger import Fate, Settled
from durable_ws.link import Link, LinkSettings
from durable_ws.message import build
from durable_ws.session import End
from durable_ws.telling import guarded
from tests.durable_ws.observers import Notebook
from tests.durable_ws.played_loop import PlayedLoop

__all__ = ["FOREVER", "HOST", "LinkAlone", "PlayedSession", "play_sessions", "publish_alone"]

HOST = ("h", 5672)
EXCHANGES = {
    "x": Exchange("x"),
    "y": Exchange("y", "direct", durable=False, arguments={"alternate-exchange": "x"}),
    "p": Exchange("p", "fanout", passive=True),
    "": Exchange("", "direct"),
}
FOREVER = 10_000.0


class PlayedSession:
    """Notes what it is asked to say; the test says what it hears."""

    def __init__(self, loop: object, address: Address, host: str, port: int, **calls: Callable[..., None]) -> None:
        self.loop = loop
        self.address = address
        self.at = (host, port)
        self.on_events = calls.pop("on_events")
        self.on_end = calls.pop("on_end")
        self.on_writable = calls.pop("on_writable")
        self.on_expected = calls.pop("on_expected")
        self.on_heard = calls.pop("on_heard")
        self.expected: object = None
        self.as_expected = False
        self.between = True
        assert not calls
        self.is_open = False
        self.writable = True
        self.said: list[tuple[Any, ...]] = []
        self.fits = True
        self.connection = self
        self.frame_max = 4096
        self.handle: socket.socket | None = None

    def open_channel(self, number: int) -> None:
        """Noted."""
        self.said.append(("open", number))

    def select_confirms(self, number: int) -> None:
        """Noted."""
        self.said.append(("select", number))

    def declare(self, number: int, name: str, type_: str, *, passive: bool, durable: bool, arguments: Any) -> None:
        """Noted."""
        self.said.append(("declare", number, name, type_, passive, durable, arguments))

    def publish(self, number: int, address: bytes, header: bytes, body: bytes) -> bool:
        """Noted, if it fits."""
        if self.fits:
            self.said.append(("publish", number, address, header, body))
        return self.fits

    def message(self, number: int, address: bytes, header: bytes, body: bytes) -> tuple[Any, ...] | None:
        """In place of its bytes, if it fits."""
        return ("publish", number, address, header, body) if self.fits else None

    def send(self, data: tuple[Any, ...]) -> None:
        """Noted, as if it had been said and flushed."""
        self.said += [data, ("flush",)]

    def is_between(self, number: int) -> bool:
        """As the test says."""
        assert number == 1
        return self.between

    def confirm_of(self, number: int, tag: int) -> object:
        """What the test may look for."""
        return ("confirm", number, tag)

    def expect(self, data: object) -> None:
        """Kept."""
        self.expected = data

    def flush(self) -> None:
        """Noted."""
        self.said.append(("flush",))

    def lend(self) -> socket.socket | None:
        """The handle that the test gives, if it does."""
        self.said.append(("lend",))
        return self.handle

    def take_back(self, unsent: bytes, received: bytes) -> None:
        """Noted."""
        self.said.append(("take back", unsent, received))

    def close(self) -> None:
        """Noted."""
        self.said.append(("close",))

    def abort(self, reason: str) -> None:
        """Noted."""
        self.said.append(("abort", reason))

    def taken(self) -> list[tuple[Any, ...]]:
        """What was said since the last look; of a message its body alone."""
        said, self.said = self.said, []
        return [(one[0], one[1], one[4]) if one[0] == "publish" else one for one in said]


def publish_alone(link: Link, job: Job) -> None:
    """Have it published as one that comes while nothing else is done."""
    if link.write_alone(job.message):
        link.expect(job)
    else:
        link.publish(job)
        link.pump()


def play_sessions(monkeypatch: pytest.MonkeyPatch) -> list[PlayedSession]:
    """From here on links have played connections; the list of those that were made."""
    sessions: list[PlayedSession] = []

    def session(*arguments: Any, **calls: Any) -> PlayedSession:
        sessions.append(PlayedSession(*arguments, **calls))
        return sessions[-1]

    monkeypatch.setattr(durable_ws.link, "Session", session)
    return sessions


class LinkAlone:
    """A link with its loop, its connections and what it tells."""

    def __init__(self, sessions: list[PlayedSession], *hosts: tuple[str, int], **options: Any) -> None:
        self.loop = PlayedLoop()
        self.sessions = sessions
        self.notes = Notebook()
        self.settled: list[Settled[Job]] = []
        self.joined: list[Job] = []
        address = Address(hosts=hosts or (HOST,), heartbeat=6, socket_timeout=20.0, stack_timeout=10.0)
        settings = LinkSettings(
            **{
                "address": address,
                "exchanges": EXCHANGES,
                "window": 100,
                "reconnect_first_s": 1.0,
                "reconnect_most_s": 5.0,
                "observer": guarded(self.notes),
                **options,
            }
        )
        self.link = Link(
            self.loop,  # type: ignore[arg-type]
            settings,
            on_settled=self.settled.extend,
            on_confirmed=lambda job: self.settled.append(Settled(job, Fate.CONFIRMED, 1, "")),
            on_joined=self.joined.append,
        )

    @property
    def session(self) -> PlayedSession:
        """The latest."""
        return self.sessions[-1]

    def publish(self, *bodies: str, to: str = "x", timeout_s: float = FOREVER, pump: bool = True) -> list[Job]:
        """Jobs of these, taken in."""
        jobs = [self.job(body, to, timeout_s) for body in bodies]
        for job in jobs:
            self.link.publish(job)
        if pump:
            self.link.pump()
        return jobs

    def job(self, body: str, to: str, timeout_s: float) -> Job:
        """One that nobody has yet; its id is its text."""
        message = build(body, exchange=to, message_id=body)
        return Job(message, self.loop.now, self.loop.now + timeout_s, None, False, Future())

    def hear(self, *events: Any) -> None:
        """These come from the broker, at once."""
        self.session.on_events(list(events))

    def open(self) -> None:
        """The connection is open, and so is its channel."""
        self.session.is_open = True
        self.hear(Opened())
        self.hear(Selected(1))

    def end(self, reason: str, **how: Any) -> None:
        """The connection ends."""
        self.session.is_open = False
        self.session.on_end(End(reason, **{"opened": True, **how}))

    def fates(self) -> list[tuple[str, Fate, str]]:
        """What was settled since the last look."""
        told = [(one.key.message.message_id, one.fate, one.reason) for one in self.settled]
        self.settled.clear()
        return told
