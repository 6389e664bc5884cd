"""``durable-ws tail``: be a tab: print what arrives, ack it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote, urlsplit

import typer

from conformance.cli.interrupts import INTERRUPTS
from conformance.cli.options import ClientOption, ContractArgument, whole_option
from conformance.contract.loader import load_contract
from conformance.contract.naming import Naming
from conformance.errors import UsageError
from conformance.history.events import Event, TabAcked, TabDisconnected, TabRefused, TabSubscribed
from conformance.report.plain import plain
from conformance.world.tab.base import TabBehaviour, TabSettings
from conformance.world.tab.clients import TAB_CLIENTS
from conformance.world.tab.message import TabMessage

__all__ = ["tail"]

E = TypeVar("E", bound=Event)


def tail(
    contract: ContractArgument = None,
    url: Annotated[str, typer.Option(metavar="ws://…", help="Web-STOMP.")] = "ws://127.0.0.1:15674/ws",
    key: Annotated[str | None, typer.Option("--key", "-k", metavar="KEY", help="The binding.")] = None,
    exchange: Annotated[str | None, typer.Option(metavar="NAME", help="A key of [exchanges].")] = None,
    tab: Annotated[str | None, typer.Option(metavar="ID", help="The tab's id; give it again to come back.")] = None,
    vhost: Annotated[str, typer.Option(help="The vhost.")] = "/",
    count: Annotated[
        str, typer.Option("--count", "-n", metavar="NUMBER", help="End after so many messages; 0: never.")
    ] = "0",
    client: ClientOption = "websocket-client",
    as_json: Annotated[bool, typer.Option("--json", help="Print messages as JSON lines.")] = False,
) -> int:
    """Be a tab: subscribe as the contract says, print what arrives, ack it after printing. Ctrl-C leaves.

    The queue stays at the broker, as a closed laptop's would, until its x-expires.
    """
    most = whole_option("--count", count, least=0)
    resolved = load_contract(contract)
    name = exchange or resolved.tab.exchange
    if name not in resolved.exchanges:
        raise UsageError(
            "--exchange", f"{name!r} is none of the contract's", f"Take one of: {', '.join(resolved.exchanges)}."
        )
    if urlsplit(url).scheme not in ("ws", "wss"):
        raise UsageError("--url", f"{url!r} is no WebSocket URL", "Write it like ws://127.0.0.1:15674/ws.")
    tab_id = tab or secrets.token_hex(4)
    naming = Naming(resolved)
    binding = resolved.tab.routing_keys[0] if key is None else key
    settings = TabSettings(
        tab=tab_id,
        url=url,
        login=resolved.tab.login,
        passcode=resolved.tab.passcode,
        vhost=unquote(vhost),
        destination=naming.destination(tab_id, name, binding),
        subscribe_headers=naming.subscribe_headers(tab_id),
        ack=resolved.tab.ack,
        heart_beat_s=resolved.tab.heart_beat,
        queue=naming.queue(tab_id),
        exchange=naming.exchange(name),
        exchange_type=resolved.exchanges[name].type,
        binding_key=naming.routing_key(name, binding),
        reconnect_first_s=0.5,
        reconnect_most_s=15.0,
    )
    printer = _Printer(most, as_json=as_json, acks=resolved.tab.ack != "auto")
    played = TAB_CLIENTS[client](settings, _Teller(tab_id, printer), on_handled=printer.take)
    # After the last one nothing more is taken: what is neither printed nor acked waits in the queue.
    printer.on_last = lambda: played.behave(TabBehaviour(withhold_handling=True))
    try:
        with INTERRUPTS.held():  # a page can only be left whole
            played.open()
        if INTERRUPTS.number is not None:
            raise KeyboardInterrupt
        printer.enough.wait()
    except KeyboardInterrupt:
        sys.stderr.write("leaving\n")
    finally:
        played.leave()
    return 0


class _Printer:
    """Prints messages; sets ``enough`` once the last that was asked for is acked."""

    def __init__(self, count: int, *, as_json: bool, acks: bool) -> None:
        self.enough = threading.Event()
        self.on_last: Callable[[], None] = lambda: None
        self._left = count or None
        self._as_json = as_json
        self._acks = acks

    def take(self, message: TabMessage) -> None:
        try:
            self._print(message)
        except BrokenPipeError:
            # Who reads has gone. Neither this message nor what follows may be acked: they come again to the next tab.
            os._exit(128 + signal.SIGPIPE)
        if self._left is None:
            return
        self._left -= 1
        if self._left <= 0:
            self.on_last()
            if not self._acks:
                self.enough.set()

    def settle(self) -> None:
        """The last message that was printed is acked, or never will be."""
        if self._left is not None and self._left <= 0:
            self.enough.set()

    def _print(self, message: TabMessage) -> None:
        body = message.body.decode("utf-8", errors="backslashreplace")
        if self._as_json:
            told = {
                "message_id": message.message_id,
                "routing_key": message.routing_key,
                "redelivered": message.redelivered,
                "body": body,
            }
            sys.stdout.write(json.dumps(told) + "\n")
        else:
            again = "  (redelivered)" if message.redelivered else ""
            sys.stdout.write(f"{plain(message.routing_key or '')}  {plain(body)}{again}\n")
        sys.stdout.flush()


class _Teller:
    """A recorder that says on standard error when the tab comes and goes."""

    def __init__(self, tab_id: str, printer: _Printer) -> None:
        self._tab_id = tab_id
        self._printer = printer
        self._index = 0
        self._lock = threading.Lock()

    def record(self, event_type: type[E], /, **fields: Any) -> E:
        with self._lock:
            self._index += 1
            event = event_type(index=self._index, time_ns=0, **fields)
        if isinstance(event, TabSubscribed):
            sys.stderr.write(
                f"subscribed to {plain(event.destination)} as {self._tab_id}, queue {plain(event.queue)}\n"
            )
        elif isinstance(event, TabRefused | TabDisconnected):
            reason = event.detail if isinstance(event, TabRefused) else event.reason
            sys.stderr.write(f"disconnected: {plain(reason)}\n")
        if isinstance(event, TabAcked | TabDisconnected):
            self._printer.settle()
        return event
