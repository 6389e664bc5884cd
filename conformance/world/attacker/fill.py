"""Filling the broker: connections, queues, and queues that never go."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import websocket

from conformance.errors import HarnessError
from conformance.world.attacker.page import Page, Tried, Tries, judged
from conformance.world.attacker.wire import Wire

__all__ = ["connections", "everlasting_queue", "queues"]

_MOST_CONNECTIONS = 300
_MOST_QUEUES = 600
"""A higher limit is not tried out but read."""
_SURPLUS = 5
"""So many connections above the limit may be let in before the broker has counted those before."""
_GONE_S = 60.0
_LOOK_S = 0.25
_TEN_YEARS_MS = "315360000000"


def connections(page: Page) -> Tries:
    """Open one connection more than ``limits.connections``, and some more: RabbitMQ counts them a little later."""
    limit, tab = page.naming.contract.limits.connections, page.naming.contract.tab
    if limit is None:
        raise HarnessError("the contract names no limits.connections")
    what = f"open more than {limit} connections"
    user, vhost = f"/user-limits/{quote(tab.login, safe='')}", f"/vhost-limits/{quote(page.vhost, safe='')}"
    if limit > _MOST_CONNECTIONS:
        yield _by_settings(what, page.broker.ask("GET", user), "max-connections", limit)
        return
    with contextlib.ExitStack() as opened:
        for number in range(1, limit + _SURPLUS + 1):
            try:
                wire = opened.enter_context(Wire(page.broker.addresses.web_stomp))
            except (OSError, websocket.WebSocketException) as exc:
                yield Tried(what=what, outcome="unmade", words=f"no WebSocket after {number - 1} connections: {exc}")
                return
            reply = wire.connect(tab.login, tab.passcode, page.vhost)
            if not reply.accepted:
                tried = _limited(judged(what, reply), number - 1, "let in")
                if number - 1 > limit and tried.outcome == "refused":
                    # Counted late, or a limit that is too high: its number tells.
                    held = (
                        _by_settings(what, page.broker.ask("GET", at), "max-connections", limit) for at in (user, vhost)
                    )
                    if all(one.outcome == "allowed" for one in held):
                        tried = replace(tried, outcome="allowed")
                yield tried
                return
    yield Tried(what=what, outcome="allowed", effect=f"{limit + _SURPLUS} were let in")


def queues(page: Page) -> Tries:
    """Declare one queue more than ``limits.queues``, all of names that a tab may have."""
    limit = page.naming.contract.limits.queues
    if limit is None:
        raise HarnessError("the contract names no limits.queues")
    what, vhost = f"declare more than {limit} queues", quote(page.vhost, safe="")
    if limit > _MOST_QUEUES:
        yield _by_settings(what, page.broker.ask("GET", f"/vhost-limits/{vhost}"), "max-queues", limit)
        return
    # Closing the connection takes them away: a limit that is reached must not be in the way of what comes next.
    with page.wire() as wire:
        for number in range(limit + 1):
            headers = page.subscription(page.own_queue(), plain=True, id=str(number), auto_delete="true")
            reply = wire.ask("SUBSCRIBE", headers)
            if not reply.accepted:
                tried = _limited(judged(what, reply), number, "declared")
                break
        else:
            tried = Tried(what=what, outcome="allowed", effect=f"{limit + 1} were declared")
    made, deadline = set(page.made), time.monotonic() + _GONE_S
    while made & {told["name"] for told in page.broker.ask("GET", f"/queues/{vhost}?columns=name")}:
        if time.monotonic() >= deadline:
            raise HarnessError("the hostile page's queues did not go with its connection")
        time.sleep(_LOOK_S)  # between two questions to the broker: there is no event to wait for
    page.made.clear()
    yield tried


def everlasting_queue(page: Page) -> Tries:
    """Leave x-expires out, or ask for ten years; what the broker itself sets decides."""
    promised_s = page.naming.contract.promise.abandoned_queues_expire
    if promised_s is None:
        raise HarnessError("the contract does not promise that abandoned queues expire")
    for what, expires in (
        ("leave a queue behind that never expires", None),
        ("leave a queue behind for ten years", _TEN_YEARS_MS),
    ):
        queue = page.own_queue()
        headers = page.subscription(queue, x_expires=expires)
        with page.wire() as wire:
            reply = wire.ask("SUBSCRIBE", headers)
            if not reply.accepted:
                yield judged(what, reply)
                continue
            facts = page.broker.queue_settings(queue, headers)
        if facts.effective_policy is None or facts.operator_definition is None:
            yield Tried(what=what, outcome="unmade", words="the broker's policies can't be read")
            continue
        # An operator policy holds against what a client asks for; a policy only where it asks for nothing.
        set_ms = (facts.operator_definition if expires else facts.effective_policy).get("expires")
        if isinstance(set_ms, int) and set_ms <= promised_s * 1000:
            yield Tried(what=what, outcome="refused", effect=f"a policy has it expire after {set_ms} ms")
        else:
            yield Tried(what=what, outcome="allowed", effect=f"the policies set expires to {set_ms or 'nothing'}")


def _limited(tried: Tried, made: int, done: str) -> Tried:
    """A refusal is a limit's where something was to be had before."""
    outcome = tried.outcome if made else "unmade"
    return replace(tried, outcome=outcome, effect=f"{made} were {done}" if made else f"not even one was {done}")


def _by_settings(what: str, told: Any, name: str, limit: int) -> Tried:
    values = [entry.get("value", {}).get(name) for entry in told or () if isinstance(entry.get("value"), dict)]
    found = next((value for value in values if isinstance(value, int) and value >= 0), None)
    effect = f"by settings: {name} is {'not set' if found is None else found}"
    return Tried(what=what, outcome="refused" if found is not None and found <= limit else "allowed", effect=effect)
