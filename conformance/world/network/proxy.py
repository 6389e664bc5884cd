"""The fault proxy: a TCP proxy of its own in front of every connection, in process, with faults to switch on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Literal, Self, TypeVar

from conformance.errors import HarnessError
from conformance.faults.base import Acting, LinkFault
from conformance.faults.noop import Noop
from conformance.history.events import Event
from conformance.world.network.amqp_tap import AmqpTap
from conformance.world.network.connection import ProxiedConnection
from conformance.world.network.http_tap import HttpTap
from conformance.world.network.taps import Tap
from conformance.world.network.web_stomp_tap import WebStompTap

__all__ = ["ActiveFault", "LinkProxy", "Network", "Observer", "Protocol"]

Observer = Callable[..., object]
"""Called with an event class of the history and its fields, as :meth:`Recorder.record` is."""

Protocol = Literal["web-stomp", "amqp", "http"]
T = TypeVar("T")

_TAPS: dict[Protocol, Callable[[int], Tap]] = {
    "web-stomp": lambda _: WebStompTap(),
    "amqp": AmqpTap,
    "http": HttpTap,
}
_CALL_S = 30.0


class Network:
    """The loop, in a thread of its own, that all proxies made by it run on. Safe for threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self._proxies: set[LinkProxy] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def proxy(
        self,
        *,
        name: str,
        target: tuple[str, int],
        protocol: Protocol,
        observer: Observer | None = None,
        seed: int = 0,
    ) -> LinkProxy:
        """A started proxy.

        Args:
            name: of the link, for messages.
            target: the broker's host and port.
            protocol: which tap reads it.
            observer: takes wire events of a publisher's links, in order, in the network's thread.
            seed: of the link's own randomness.
        """
        proxy = LinkProxy(self, name=name, target=target, protocol=protocol, observer=observer, seed=seed)
        proxy.start()
        self._proxies.add(proxy)
        return proxy

    def forget(self, proxy: LinkProxy) -> None:
        """The proxy is closed: a network outlives many of them."""
        self._proxies.discard(proxy)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it.

        Raises:
            HarnessError: the network is closed, or stuck.
        """
        if self.closed:
            work.close()
            raise HarnessError("the network is closed")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_S)
        except TimeoutError as exc:
            raise HarnessError("the network did not answer") from exc

    @property
    def closed(self) -> bool:
        """Whether it has been closed, and every proxy with it."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """Close every proxy and end the thread. Idempotent."""
        if self.closed:
            return
        for proxy in [*self._proxies]:
            proxy.close()
        self.call(self._loop.shutdown_default_executor())  # it looks up the names of hosts
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class ActiveFault:
    """A fault that is on at a link; ``on_fired`` is called once, in the network's thread, as it is seen to happen."""

    def __init__(self, fault: LinkFault, acting: Acting, on_fired: Callable[[], object] = lambda: None) -> None:
        self.fault = fault
        self.acting = acting
        self._on_fired = on_fired
        self.released = asyncio.Event()
        self._fired = threading.Event()

    @property
    def fired(self) -> bool:
        """Whether it was seen to happen."""
        return self.acting.fired

    @property
    def counts(self) -> dict[str, int]:
        """What it did so far."""
        return dict(self.acting.counts)

    def wait_fired(self, timeout_s: float) -> bool:
        """Wait until it was seen to happen; False after the timeout."""
        return self._fired.wait(timeout_s)

    def look(self) -> None:
        """Wake those that wait, if it has fired."""
        if self.acting.fired and not self._fired.is_set():
            self._on_fired()
            self._fired.set()


class LinkProxy:
    """One link: listens on 127.0.0.1, passes on to the target, and has at most one fault on at a time."""

    def __init__(
        self,
        network: Network,
        *,
        name: str,
        target: tuple[str, int],
        protocol: Protocol,
        observer: Observer | None,
        seed: int,
    ) -> None:
        self.name = name
        self._network = network
        self._target = target
        self._protocol = protocol
        self._observer = observer
        self._rng = random.Random(f"{seed}/{name}")
        self._numbers = itertools.count(1)
        self._open: dict[int, ProxiedConnection] = {}
        self._server: asyncio.Server | None = None
        self.active = self._quiet = ActiveFault(Noop(), Acting())
        """The fault that is on; one that does nothing where none is."""

    def start(self) -> None:
        """Listen."""
        self._network.call(self._start())

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        if self._server is None:
            raise HarnessError(f"the proxy of {self.name} is closed")
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    @property
    def connections(self) -> int:
        """How many connections are open, ghosts included."""
        return len(self._open)

    @property
    def carried(self) -> int:
        """How many connections have not been cut: where there is none, who seems connected is not any more."""
        return sum(not connection.ended for connection in list(self._open.values()))

    def begin(self, fault: LinkFault, on_fired: Callable[[], object] = lambda: None) -> ActiveFault:
        """Switch a fault on.

        Args:
            fault: which.
            on_fired: called once it has been seen to happen, in the network's thread.

        Raises:
            HarnessError: one is on already.
        """
        return self._network.call(self._begin(fault, on_fired))

    def end(self, active: ActiveFault) -> None:
        """Heal: what was held passes on, new connections are let in. Idempotent."""
        if not self._network.closed:
            self._network.call(self._end(active))

    def close(self) -> None:
        """Stop listening and end every connection. Idempotent."""
        if not self._network.closed:
            self._network.call(self._close())
        self._network.forget(self)

    def record(self, event_type: type[Event], fields: dict[str, Any]) -> None:
        """Pass a wire event on to the observer."""
        if self._observer is not None:
            self._observer(event_type, **fields)

    # --- on the loop -----------------------------------------------------------------------------

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        tap = _TAPS[self._protocol](number)
        connection = ProxiedConnection(self, number, reader, writer, tap)
        self._open[number] = connection
        try:
            welcome = self.active.acting.connect(connection)
            self.active.look()
            if welcome:
                await connection.run(self._target)
            else:
                connection.cut(reset=True)
        except asyncio.CancelledError:
            connection.cut(reset=True)
        finally:
            del self._open[number]

    async def _begin(self, fault: LinkFault, on_fired: Callable[[], object]) -> ActiveFault:
        if self.active is not self._quiet:
            raise HarnessError(f"a fault is on at {self.name} already: {self.active.fault.name}")
        active = ActiveFault(fault, fault.acting(self._rng), on_fired)
        self.active = active
        active.acting.begin([connection for connection in self._open.values() if not connection.ended])
        active.look()
        return active

    async def _end(self, active: ActiveFault) -> None:
        if self.active is active:
            self.active = self._quiet
        active.released.set()

    async def _close(self) -> None:
        server, self._server = self._server, None
        await self._end(self.active)
        if server is not None:
            server.close()
        self._cut()
        while self._open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(next(iter(self._open.values())).over.wait(), 1.0)
            await asyncio.sleep(0)

    def _cut(self) -> None:
        for connection in list(self._open.values()):
            connection.cut(reset=True)
            connection.abort()
