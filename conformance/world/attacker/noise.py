"""Noise: frames that are too large, that are none, silence, and heart-beats without end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace
from typing import Self
from urllib.parse import urlsplit

from conformance.errors import HarnessError
from conformance.world.attacker.page import KEY, Page, Tried, Tries
from conformance.world.attacker.wire import Reply, Wire, WireClosed

__all__ = ["heart_beats", "malformed", "oversize", "silence"]

_SURPLUS = 8192
"""RabbitMQ 4.3 takes 4096 bytes above its limit."""
_PIECE = 2048
_ENDLESS_BYTES = 8 * 1024 * 1024
_LOOK_S = 0.25
_ENDED_S = 5.0
_ENDLESS_S, _ENDLESS_PATIENT_S = 1.0, 30.0
_TRICKLE_S, _TRICKLE_PATIENT_S = 15.0, 30.0
"""RabbitMQ 4.3 gives a client ten seconds to log in. The longer times are for a broker that has just shown that it has
limits: there they end with the event."""
_BEATS, _BEATS_IN_A_FRAME = 100_000, 2000
_LIMITS_PIECES = (4, 3)
_SINCE_4_3 = "only RabbitMQ 4.3 and later refuse it; what is in front of the broker (a proxy, a load balancer) can"
_MALFORMED = {
    "an unknown command": b"NONSENSE\n\n\0",
    "a header without a value": b"SEND\nnocolon\n\n\0",
    "an undefined escape": b"SEND\ndestination:/a\\q\n\n\0",
    "bytes that are no UTF-8": b"\xff\xfe\xfd\0",
    "a subscription to nothing": b"SUBSCRIBE\n\n\0",
    "an ACK of nothing": b"ACK\nid:nothing\n\n\0",
    "a negative content-length": b"SEND\ndestination:/exchange/x/y\ncontent-length:-5\n\nabc\0",
    "a content-length that is no number": b"SEND\ndestination:/exchange/x/y\ncontent-length:many\n\nabc\0",
}


def oversize(page: Page) -> Tries:
    """A WebSocket frame above ``limits.frame_bytes``, and a STOMP frame in pieces that never ends."""
    limit = page.naming.contract.limits.frame_bytes
    if limit is None:
        raise HarnessError("the contract names no limits.frame_bytes")
    with page.wire(explained=False) as wire:  # that a frame was too large stands in no log
        reply = _said(wire, b"\n" * (limit + _SURPLUS))  # heart-beats: nothing but the size is wrong
        if reply is None:
            reply = wire.ask("SUBSCRIBE", page.subscription(page.own_queue()))
        whole = _held(f"send a WebSocket frame of more than {limit} bytes", reply)
        yield whole
    patience_s = _ENDLESS_PATIENT_S if whole.outcome == "refused" and _limits_pieces(page) else _ENDLESS_S
    what = f"send a STOMP frame of {_ENDLESS_BYTES} bytes in pieces"
    with page.wire() as wire:
        head = f"SEND\ndestination:/exchange/durable-ws/{KEY}\ncontent-length:{10 * _ENDLESS_BYTES}\n\n".encode()
        piece = b"x" * min(_PIECE, limit)
        pieces = (head, *(piece for _ in range(_ENDLESS_BYTES // len(piece))))
        reply = next(filter(None, (_said(wire, part) for part in pieces)), None) or wire.ended(patience_s)
    yield _since_4_3(page, _held(what, reply))


def malformed(page: Page) -> Tries:
    """What is no STOMP frame: each is answered by ERROR or the end of the connection."""
    for name, data in _MALFORMED.items():
        with page.wire() as wire:
            reply = _said(wire, data) or wire.ended(_ENDED_S)
        yield _held(f"send {name} and go on", reply)


def silence(page: Page) -> Tries:
    """Connections that say nothing before or after CONNECT, or only half a handshake, or CONNECT byte by byte."""
    limit_s = page.naming.contract.limits.silence
    if limit_s is None:
        raise HarnessError("the contract names no limits.silence")
    patience_s = 1.5 * limit_s + 5
    address = urlsplit(page.broker.addresses.web_stomp)
    with contextlib.ExitStack() as opened:
        half = opened.enter_context(socket.create_connection((address.hostname, address.port), _ENDED_S))
        half.sendall(b"GET /ws HTTP/1.1\r\nHost: ")
        waiting = {
            f"say nothing before CONNECT for more than {limit_s:g} s": opened.enter_context(page.silent_wire()),
            f"say nothing after CONNECT for more than {limit_s:g} s": opened.enter_context(page.wire()),
        }
        began, last_look, patient = time.monotonic(), False, False
        while waiting and not last_look:
            last_look = time.monotonic() - began >= patience_s
            for what, wire in list(waiting.items()):
                reply = wire.ended(_LOOK_S)
                if not reply.accepted:
                    patient = _limits_pieces(page)
                    del waiting[what]
                    after = f"after {time.monotonic() - began:.0f} s"
                    yield Tried(what=what, outcome="refused", words=reply.words, effect=after)
        for what in waiting:
            yield Tried(what=what, outcome="allowed", effect=f"still there after {patience_s:g} s")
        half.settimeout(max(_LOOK_S, patience_s - (time.monotonic() - began)))  # it has as long as the others had
        try:
            ended = half.recv(200)
        except TimeoutError:
            yield Tried(what="keep a connection with half an HTTP request", outcome="allowed")
        except OSError as exc:
            yield Tried(what="keep a connection with half an HTTP request", outcome="refused", words=str(exc))
        else:
            words = ended.partition(b"\r\n")[0].decode(errors="replace")
            yield Tried(what="keep a connection with half an HTTP request", outcome="refused", words=words)
    with page.silent_wire() as slow:
        yield _trickled(page, slow, _TRICKLE_PATIENT_S if patient else _TRICKLE_S)


def heart_beats(page: Page) -> Tries:
    """A flood of heart-beats; another page is let in and served all the while."""
    what = "keep others from being served by heart-beats without end"
    before = _served(page)
    if not before.accepted:
        yield Tried(what=what, outcome="unmade", words=f"nobody is served before either: {before.words}")
        return
    with page.wire() as wire, _Flood(wire) as flood:
        flood.rises.wait()
        began = time.monotonic()
        try:
            served = _served(page)
        except HarnessError as exc:  # which it was let in for a moment ago
            served = Reply(accepted=False, words=str(exc))
        took, sent = time.monotonic() - began, flood.sent
        ended = "" if flood.reply is None else flood.reply.words
    if not served.accepted:
        yield Tried(what=what, outcome="allowed", words=served.words, effect=f"{sent} heart-beats were sent")
    elif sent:
        effect = f"another was served after {took:.2f} s, {sent} heart-beats were sent"
        yield Tried(what=what, outcome="refused", words=ended, effect=effect)
    else:
        yield Tried(what=what, outcome="unmade", words=f"not one heart-beat could be sent: {ended}")


class _Flood:
    """Sends heart-beats from a thread until the block ends, or the connection does.

    Attributes:
        rises: is set once there are many, or there will be no more.
        sent: so many.
        reply: how the broker ended it; None: it did not.
    """

    def __init__(self, wire: Wire) -> None:
        self.rises = threading.Event()
        self.sent = 0
        self.reply: Reply | None = None
        self._wire = wire
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hostile-flood", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._over.is_set() and self.reply is None:
                self.reply = _said(self._wire, b"\n" * _BEATS_IN_A_FRAME)
                if self.reply is None:
                    self.sent += _BEATS_IN_A_FRAME
                if self.sent >= _BEATS:
                    self.rises.set()
        finally:
            self.rises.set()


def _served(page: Page) -> Reply:
    """Whether a page is let in and subscribed."""
    with page.wire() as wire:
        return wire.ask("SUBSCRIBE", page.subscription(page.own_queue()))


def _trickled(page: Page, wire: Wire, patience_s: float) -> Tried:
    """CONNECT, a byte now and then."""
    what, began = "keep a connection by saying CONNECT byte by byte", time.monotonic()
    for byte in b"CONNECT\naccept-version:1.2\nhost:durable-ws\nlogin:" + b"x" * 1000:
        reply = _said(wire, bytes([byte])) or wire.ended(_LOOK_S)
        if not reply.accepted or time.monotonic() - began > patience_s:
            break
    return _since_4_3(page, _held(what, reply))


def _held(what: str, reply: Reply) -> Tried:
    """Whether the page's own connection was ended, in whatever words; a broker that just hangs shows nothing."""
    if reply.accepted:
        return Tried(what=what, outcome="allowed", words=reply.words)
    if not reply.answered:
        return Tried(what=what, outcome="unmade", words="the broker gave no answer")
    return Tried(what=what, outcome="refused", words=reply.words)


def _since_4_3(page: Page, tried: Tried) -> Tried:
    """What an earlier RabbitMQ allows can't be held against its settings."""
    if tried.outcome != "allowed" or _limits_pieces(page):
        return tried
    return replace(tried, outcome="tolerated", effect=_SINCE_4_3)


def _said(wire: Wire, data: bytes) -> Reply | None:
    """Say it; None where it could be written, else how the connection ended."""
    try:
        wire.raw(data)
    except WireClosed as exc:
        return Reply(accepted=False, words=str(exc))
    except TimeoutError:
        return Reply(accepted=False, words="", answered=False)
    return None


def _limits_pieces(page: Page) -> bool:
    """Whether the broker's version can end what comes in pieces."""
    major, minor = (int(part) for part in page.broker.version.split(".")[:2])
    return (major, minor) >= _LIMITS_PIECES
