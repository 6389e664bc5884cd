"""Reaching for what is not the tab's: exchanges, queues, routing keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import quote

from conformance.contract.topic import binding_matches
from conformance.errors import NotFound
from conformance.world.attacker.page import KEY, Page, Tried, Tries, judged

__all__ = [
    "declare",
    "foreign_queue",
    "guessed_queue",
    "known_queue",
    "learn_names",
    "other_keys",
    "publish",
    "send_to_queue",
]

_SYSTEM_EXCHANGES = ("amq.rabbitmq.trace", "amq.rabbitmq.event", "amq.rabbitmq.log")
"""Where RabbitMQ tells of everyone's messages, of queues that were made, and its log
(https://www.rabbitmq.com/docs/firehose, https://www.rabbitmq.com/docs/event-exchange)."""
_BY_ITS_NAME = "the tabs share one user, so all that protects a tab's queue is that its name can't be guessed or learnt"


def publish(page: Page) -> Tries:
    """SEND to each of the contract's exchanges; a queue of the suite's own shows whether anything came."""
    for name in page.naming.contract.exchanges:
        exchange = page.naming.exchange(name)
        tap, body = page.tap(exchange), page.forged()
        tried = page.tries(
            f"publish to the exchange {exchange}",
            "SEND",
            {"destination": f"/exchange/{_encoded(exchange)}/{KEY}"},
            body,
        )
        yield _seen(page, tried, tap, body, "the message arrived")


def send_to_queue(page: Page) -> Tries:
    """SEND to another tab's and another application's queue by each kind of destination there is."""
    own = page.subscription("", id=None, ack=None, destination=None, x_queue_name=None, prefetch_count=None)
    plain = {"durable": "true", "auto-delete": "false", "exclusive": "false"}
    for whose, queue, declared in (
        ("another tab", page.other_tab(), own),
        ("another application", page.other_application(), plain),
    ):
        for kind in ("/amq/queue/", "/queue/", "/reply-queue/"):
            # /queue/ declares it: as it is, so that nothing but a permission can be in the way.
            headers = {"destination": f"{kind}{_encoded(queue)}", **(declared if kind == "/queue/" else {})}
            body = page.forged()
            tried = page.tries(f"send to {kind}… of {whose}", "SEND", headers, body)
            yield _seen(page, tried, queue, body, "the message is in the queue")
    exchange = page.naming.exchange(page.naming.contract.tab.exchange)
    destination = {"destination": "/temp-queue/durable-ws"}
    yield page.tries("send to /temp-queue/…", "SEND", destination, page.forged(), no="is not a valid destination")
    yield page.tries(
        "have a /temp-queue/ declared for replies",
        "SEND",
        {"destination": f"/exchange/{_encoded(exchange)}/{KEY}", "reply-to": "/temp-queue/durable-ws"},
        page.forged(),
    )


def foreign_queue(page: Page) -> Tries:
    """Read, bind, consume and delete the queue of another application whose name it knows."""
    queue = page.other_application()
    yield page.tries(
        "read the queue of another application",
        "SUBSCRIBE",
        {"id": "0", "destination": f"/amq/queue/{_encoded(queue)}", "ack": "client"},
    )
    yield page.tries(
        "bind the queue of another application",
        "SUBSCRIBE",
        # As it was declared, so that nothing but a permission can be in the way.
        page.subscription(
            queue, plain=True, durable="true", auto_delete="false", exclusive="false", prefetch_count="1"
        ),
    )
    yield _delete(page, queue, "delete the queue of another application")


def known_queue(page: Page) -> Tries:
    """The same with another tab's queue; RabbitMQ can't refuse what the tab may do with its own, but for deleting."""
    queue = page.other_tab()
    by_name = {"id": "0", "destination": f"/amq/queue/{_encoded(queue)}", "ack": "client"}
    for what, headers in (("read", by_name), ("bind", page.subscription(queue))):
        what = f"{what} another tab's queue if it knows its name"
        yield _tolerated(page.tries(what, "SUBSCRIBE", headers), _BY_ITS_NAME)
    tried = _delete(page, queue, "delete another tab's queue")
    by_topic = page.naming.contract.exchanges[page.naming.contract.tab.exchange].name == "amq.topic"
    yield _tolerated(tried, _BY_ITS_NAME) if by_topic else tried


def guessed_queue(page: Page) -> Tries:
    """Read the queue whose name is the same for all; with an id in its name, there is nothing to try."""
    pattern = page.naming.contract.tab.queue
    if "{tab}" in pattern:
        yield Tried(
            what=f"guess the id in {pattern}",
            outcome="tolerated",
            effect="the contract does not say how a page comes by its id: that it is long and random "
            "(crypto.randomUUID()) is the page's own to see to, and was not tried",
        )
        return
    guess = page.naming.queue("")
    yield page.tries(
        f"read the queue {guess}, whose name it guessed",
        "SUBSCRIBE",
        {"id": "0", "destination": f"/amq/queue/{_encoded(guess)}", "ack": "client", "prefetch-count": "1"},
    )


def learn_names(page: Page) -> Tries:
    """Listen where RabbitMQ tells of queues and messages; of what is not there yet the read permission decides."""
    vhost = quote(page.vhost, safe="")
    for exchange in _SYSTEM_EXCHANGES:
        what = f"listen to {exchange}, which names everyone's queues"
        try:
            page.broker.ask("GET", f"/exchanges/{vhost}/{exchange}")
        except NotFound:
            yield _by_read_permission(page, what, exchange)
            continue
        headers = page.subscription(page.own_queue(), destination=f"/exchange/{exchange}/#")
        yield page.tries(what, "SUBSCRIBE", headers)


def _by_read_permission(page: Page, what: str, exchange: str) -> Tried:
    """Nobody can be refused an exchange that is not there, nor can an administrator declare one of RabbitMQ's own."""
    vhost, user = quote(page.vhost, safe=""), quote(page.naming.contract.tab.login, safe="")
    pattern = str(page.broker.ask("GET", f"/permissions/{vhost}/{user}")["read"])
    try:
        matches = re.search(pattern, exchange) is not None
    except re.error:
        return Tried(what=what, outcome="unmade", words=f"there is no {exchange}, and {pattern!r} can't be read")
    effect = f"there is none now; by settings: the read permission {pattern} {'matches' if matches else 'keeps it out'}"
    return Tried(what=what, outcome="allowed" if matches else "refused", effect=effect)


def other_keys(page: Page) -> Tries:
    """Bind its own queue to keys that the contract does not give it."""
    naming, contract = page.naming, page.naming.contract
    name = contract.tab.exchange
    with _same_topic_permissions(page, contract.exchanges[name].name, naming.exchange(name)):
        with page.wire() as wire:
            honest = wire.ask("SUBSCRIBE", page.subscription(page.own_queue()))
        if not honest.accepted:
            yield Tried(what="bind to its own key", outcome="unmade", words=honest.words)
            return
        own = contract.tab.routing_keys
        keys = ["#", "*.#", "durable-ws-secret", *(f"{key}.#" for key in own), *(f"{key}-secret" for key in own)]
        for key in keys:
            if key in own or ("#" not in key and any(binding_matches("topic", binding, key) for binding in own)):
                continue
            yield page.tries(
                f"bind its queue to the key {key}",
                "SUBSCRIBE",
                page.subscription(page.own_queue(), destination=naming.destination("hostile", name, key)),
            )


def declare(page: Page) -> Tries:
    """Declare queues whose names are no tab's."""
    for way, destination in (("by /queue/", "/queue/{}"), ("by x-queue-name", None)):
        name = page.foreign_name("declared")
        headers = (
            page.subscription("", destination=destination.format(name), x_queue_name=None)
            if destination
            else page.subscription(name)
        )
        tried = page.tries(f"declare a queue outside the pattern {way}", "SUBSCRIBE", headers)
        if page.broker.queue_exists(name):  # declared, though consuming it may have been refused
            tried = replace(tried, outcome="allowed", effect=f"the queue {name} is there")
        yield tried
    yield page.tries(
        "declare a queue of a name that RabbitMQ makes up",
        "SUBSCRIBE",
        page.subscription("", plain=True, x_queue_name=None, durable=None, auto_delete="true", exclusive="true"),
    )


def _delete(page: Page, queue: str, what: str) -> Tried:
    """UNSUBSCRIBE from a durable topic subscription deletes the queue that its own headers name.

    Source: https://www.rabbitmq.com/docs/stomp#d.ts
    """
    ways = []
    for destination in ("/topic/durable-ws-attempt", page.subscription("")["destination"]):
        with page.wire() as wire:
            way = judged(what, wire.ask("SUBSCRIBE", page.subscription(page.own_queue(), destination=destination)))
            if way.outcome == "allowed":  # to subscribe: now the queue decides, whatever is said
                headers = {"id": "0", "destination": destination, "durable": "true", "x-queue-name": queue}
                reply = wire.ask("UNSUBSCRIBE", headers)
                way = Tried(what=what, outcome="refused" if reply.answered else "unmade", words=reply.words)
        if not page.broker.queue_exists(queue):
            return replace(way, outcome="allowed", effect="the queue is gone")
        ways.append(way)
    words, unmade = "; ".join(way.words for way in ways), any(way.outcome == "unmade" for way in ways)
    return Tried(what=what, outcome="unmade" if unmade else "refused", words=words, effect="the queue is still there")


@contextmanager
def _same_topic_permissions(page: Page, of: str, exchange: str) -> Iterator[None]:
    """Have the play's own exchange under the topic permissions of the contract's, for a while."""
    if of == exchange:
        yield
        return
    user, vhost = quote(page.naming.contract.tab.login, safe=""), quote(page.vhost, safe="")
    try:
        told = page.broker.ask("GET", f"/topic-permissions/{vhost}/{user}") or ()
    except NotFound:
        told = ()  # there are none
    copied = [permission for permission in told if permission.get("exchange") == of]
    for permission in copied:
        page.broker.ask(
            "PUT",
            f"/topic-permissions/{vhost}/{user}",
            {"exchange": exchange, "write": permission["write"], "read": permission["read"]},
        )
    try:
        yield
    finally:
        if copied:  # the API would take all of the user's away
            page.broker.ctl("clear_topic_permissions", "-p", page.vhost, page.naming.contract.tab.login, exchange)


def _seen(page: Page, tried: Tried, queue: str, body: bytes, effect: str) -> Tried:
    """Whether the forged message is in the queue decides, whatever the broker said."""
    return replace(tried, outcome="allowed", effect=effect) if body.decode() in page.bodies(queue) else tried


def _tolerated(tried: Tried, why: str) -> Tried:
    return replace(tried, outcome="tolerated", effect=why) if tried.outcome == "allowed" else tried


def _encoded(name: str) -> str:
    """As RabbitMQ's STOMP plugin decodes the parts of a destination."""
    return name.replace("/", "%2F")
