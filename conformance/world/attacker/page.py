"""The hostile page: whose credentials it has, what it knows, and what its tries come to."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import websocket

from conformance.contract.naming import Naming
from conformance.contract.recommended import queue_pattern
from conformance.errors import HarnessError
from conformance.world.attacker.logged import channel_errors, reason_for
from conformance.world.attacker.wire import Reply, Wire
from conformance.world.broker.base import Broker
from conformance.world.broker.reached import vhost_of

__all__ = ["KEY", "Outcome", "Page", "Tried", "Tries", "judged"]

Outcome = Literal["refused", "allowed", "tolerated", "unmade"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One try; see :class:`conformance.history.events.Attempted` for the fields."""

    what: str
    outcome: Outcome
    words: str = ""
    effect: str = ""


Tries = Generator[Tried, None, None]
"""What an attempt's function returns: one after the other, as they are made; close it where not all are wanted."""


@dataclass(slots=True, eq=False)
class Page:
    """A page with the tab's credentials at a broker of the suite's own. Use it as long as one attempt lasts.

    Attributes:
        broker: where; the suite's administrator looks there for effects.
        naming: the play's names.
        made: queues to remove at the end.
    """

    broker: Broker
    naming: Naming
    made: list[str] = field(default_factory=list)
    _logged: frozenset[tuple[str, str]] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def vhost(self) -> str:
        """The tabs' vhost."""
        return vhost_of(self.broker.addresses.amqp)

    @contextmanager
    def wire(self, *, explained: bool = True) -> Iterator[Wire]:
        """A connection that is logged in as the tab.

        Args:
            explained: whether the broker's log is to say why it ended, where the broker does not.

        Raises:
            HarnessError: it is not let in: then nothing can be tried.
        """
        tab = self.naming.contract.tab
        with self.silent_wire(explained=explained) as wire:
            reply = wire.connect(tab.login, tab.passcode, self.vhost)
            if not reply.accepted:
                raise HarnessError(f"the hostile page is not even let in: {reply.words}")
            yield wire

    @contextmanager
    def silent_wire(self, *, explained: bool = True) -> Iterator[Wire]:
        """A WebSocket on which nothing has been said yet.

        Raises:
            HarnessError: there is none to be had.
        """
        try:
            if self._logged is None:
                self._logged = frozenset(channel_errors(self.broker.log()))
            explain = self._explained if explained else lambda _: ""
            wire = Wire(self.broker.addresses.web_stomp, explain=explain)
        except (OSError, websocket.WebSocketException) as exc:
            raise HarnessError(f"the hostile page gets no WebSocket: {exc}") from exc
        with wire:
            yield wire

    def _explained(self, port: int) -> str:
        """What the broker has logged since of the connection from this port; it may take a moment to."""
        deadline = time.monotonic() + _LOGGED_S
        while True:
            told = [error for error in channel_errors(self.broker.log()) if error not in (self._logged or ())]
            reasons = reason_for(told, port=port, login=self.naming.contract.tab.login)
            if reasons or time.monotonic() >= deadline:
                break
            time.sleep(_LOOK_S)  # between two looks at the log: there is no event to wait for
        self._logged = frozenset((*(self._logged or ()), *told))
        denied = [reason for reason in reasons if _DENIED.search(reason)]
        # With several it is not known which is this one's: then all must be refusals.
        shown = (denied if len(denied) == len(reasons) else [one for one in reasons if one not in denied])[:1]
        return "".join(f"and logged: {reason}" for reason in shown)

    def tries(self, what: str, command: str, headers: Mapping[str, str], body: bytes = b"", *, no: str = "") -> Tried:
        """Send one frame on a connection of its own; the broker's answer decides (``no``: as :func:`judged` has it)."""
        with self.wire() as wire:
            return judged(what, wire.ask(command, dict(headers), body), no=no)

    def subscription(self, queue: str, *, plain: bool = False, **changes: str | None) -> dict[str, str]:
        """SUBSCRIBE's headers as an honest tab would have them for this queue, with changes (``_`` for ``-``).

        ``plain``: without the contract's arguments, which not every kind of queue takes.
        """
        contract = self.naming.contract
        own = self.naming.subscribe_headers("hostile")
        headers: dict[str, str | None] = {
            "id": "0",
            "destination": self.naming.destination("hostile", contract.tab.exchange, contract.tab.routing_keys[0]),
            **{name: value for name, value in own.items() if not (plain and name.startswith("x-"))},
            "ack": "client-individual",
            "x-queue-name": queue,
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return {name: value for name, value in headers.items() if value is not None}

    def own_queue(self) -> str:
        """A new name for a queue that a tab may have; removed at the end."""
        queue = self.naming.queue(f"hostile{next(self._numbers)}")
        self.made.append(queue)
        return queue

    def other_tab(self) -> str:
        """The queue of another tab, which is away; its name."""
        queue = self.own_queue()
        with self.wire() as wire:
            reply = wire.ask("SUBSCRIBE", self.subscription(queue))
        if not reply.accepted:
            raise HarnessError(f"an honest tab can't have a queue: {reply.words}")
        return queue

    def other_application(self) -> str:
        """A queue of another application, with one message in it; its name."""
        queue = self.foreign_name("other")
        vhost = quote(self.vhost, safe="")
        self.broker.ask("PUT", f"/queues/{vhost}/{queue}", {"durable": True})
        self.broker.ask(
            "POST",
            f"/exchanges/{vhost}/amq.default/publish",
            {"properties": {}, "routing_key": queue, "payload": "private", "payload_encoding": "string"},
        )
        return queue

    def foreign_name(self, word: str) -> str:
        """A new name for a queue that is no tab's; removed at the end.

        Raises:
            HarnessError: the contract's pattern matches it, so that a tab may well have it.
        """
        name, pattern = (
            f"durable-ws-{word}.{self.naming.namespace}.{next(self._numbers)}",
            self.naming.contract.tab.queue,
        )
        if re.search(queue_pattern(self.naming.contract), name):
            raise HarnessError(f"{name!r} was to be no tab's queue, but tab.queue {pattern!r} matches it")
        self.made.append(name)
        return name

    def forged(self) -> bytes:
        """A body that nothing else has."""
        return b"forged by a hostile page %d" % next(self._numbers)

    def tap(self, exchange: str) -> str:
        """A queue that gets all that is published to the exchange; its name."""
        queue = f"durable-ws-tap.{self.naming.namespace}.{next(self._numbers)}"
        self.made.append(queue)
        vhost = quote(self.vhost, safe="")
        self.broker.ask("PUT", f"/queues/{vhost}/{queue}", {"durable": True})
        for key in ("#", KEY):  # whatever the exchange's type
            self.broker.ask(
                "POST",
                f"/bindings/{vhost}/e/{quote(exchange, safe='')}/q/{queue}",
                {"routing_key": key, "arguments": {}},
            )
        return queue

    def bodies(self, queue: str) -> list[str]:
        """What is ready in the queue, and stays there."""
        asked = {"count": _MOST_BODIES, "ackmode": "ack_requeue_true", "encoding": "auto"}
        told = self.broker.ask("POST", f"/queues/{quote(self.vhost, safe='')}/{quote(queue, safe='')}/get", asked)
        return [message["payload"] for message in told]

    def user_tags(self) -> tuple[str, ...] | None:
        """The tags of the tabs' user; None where they can't be had."""
        try:
            told: Any = self.broker.ask("GET", f"/users/{quote(self.naming.contract.tab.login, safe='')}")["tags"]
        except HarnessError:
            return None
        return tuple(filter(None, told.split(","))) if isinstance(told, str) else tuple(told)

    def clean_up(self) -> None:
        """Remove what it made."""
        self.broker.delete(queues=self.made, exchanges=[])
        self.made.clear()


_MOST_BODIES = 1000
_LOGGED_S, _LOOK_S = 15.0, 0.05
KEY = "durable-ws-attempt"
"""The routing key of what it publishes: no tab's."""


def judged(what: str, reply: Reply, *, no: str = "") -> Tried:
    """The broker's answer as an outcome.

    Refused is what the broker says it does not permit, or has reached a limit for. Whatever else is wrong (a queue of
    other settings, a thing that is not there, a connection that just ends) says nothing of permissions.

    Args:
        what: was tried.
        reply: came.
        no: other words that mean a refusal here.
    """
    if not reply.answered:
        return Tried(what=what, outcome="unmade", words="the broker gave no answer")
    if reply.accepted:
        return Tried(what=what, outcome="allowed", words=reply.words)
    refused = _DENIED.search(reply.words) or (no and no.lower() in reply.words.lower())
    return Tried(what=what, outcome="refused" if refused else "unmade", words=reply.words)


_DENIED = re.compile(
    r"access[ _-]refused|access denied|not[ _]allowed|limit\b.*\breached|reached\b.*\blimit|\blimit \(\d+\)",
    re.IGNORECASE,
)
"""RabbitMQ's words: rabbit_stomp_processor and the AMQP error names (https://www.rabbitmq.com/docs/channels#error-handling)."""
