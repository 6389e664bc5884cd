"""A broker that is only played: it speaks AMQP by pamqp on a real socket, notes all that it hears, and does as told.

For what a real broker can't be made to do at will, and for looking at each frame.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from pamqp import base, body, commands, frame, header
from pamqp.heartbeat import Heartbeat

Frame = base.Frame | header.ContentHeader | header.ProtocolHeader | body.ContentBody | Heartbeat
WAIT_S = float(os.environ.get("DURABLE_WS_TEST_WAIT_S", "30"))
"""A mutation run sets less: there, most that is waited for in vain never comes."""


class Talk:
    """One connection: what was heard on it, and a way to say something."""

    def __init__(self, broker: FakeBroker, peer: socket.socket) -> None:
        self._broker = broker
        self._peer = peer
        self._tag = 0
        self._confirming = False  # a message that is to be acked is being heard
        self._due = 0  # bytes of its body, yet to come
        self.heard: list[tuple[int, Frame]] = []
        self.sizes: list[int] = []
        """Of each frame that was heard, in bytes."""
        self.ended = threading.Event()

    def say(self, channel: int, *frames: Frame) -> None:
        """Send these, in one piece."""
        self._peer.sendall(b"".join(frame.marshal(one, channel) for one in frames))

    def say_bytes(self, data: bytes) -> None:
        """Send these, whatever they are."""
        self._peer.sendall(data)

    def hang_up(self) -> None:
        """End the connection without a word."""
        self._peer.shutdown(socket.SHUT_RDWR)

    def of(self, kind: type[Any]) -> list[Any]:
        """What was heard of a kind of frame."""
        return [one for _, one in list(self.heard) if isinstance(one, kind)]

    def run(self) -> None:
        """Hear and answer until the end."""
        waiting = b""
        with contextlib.suppress(OSError), self._peer:
            while data := self._peer.recv(65536):
                waiting += data
                while (size := _whole(waiting)) is not None:
                    _, channel, one = frame.unmarshal(waiting[:size])
                    waiting = waiting[size:]
                    self.sizes.append(size)
                    confirms = self._broker.confirms  # before a test sees the frame, and may have it otherwise
                    self.heard.append((channel, one))
                    if not self._broker.answer(self, channel, one):
                        self._answer(channel, one, confirms=confirms)
                    with self._broker.news:
                        self._broker.news.notify_all()
        self.ended.set()
        with self._broker.news:
            self._broker.news.notify_all()

    def _answer(self, channel: int, one: Frame, *, confirms: bool) -> None:  # noqa: C901 - one case for each frame
        """As a broker does that has nothing against anything."""
        broker = self._broker
        match one:
            case header.ProtocolHeader():
                self.say(0, commands.Connection.Start(0, 9, {"product": "played"}, broker.mechanisms, "en_US"))
            case commands.Connection.StartOk():
                self.say(0, commands.Connection.Tune(broker.channel_max, broker.frame_max, 60))
            case commands.Connection.Open():
                self.say(0, commands.Connection.OpenOk())
            case commands.Connection.Close():
                self.say(0, commands.Connection.CloseOk())
            case commands.Channel.Open():
                self._tag = 0 if channel == 1 else self._tag
                self.say(channel, commands.Channel.OpenOk())
            case commands.Channel.Close():
                self.say(channel, commands.Channel.CloseOk())
            case commands.Confirm.Select():
                self.say(channel, commands.Confirm.SelectOk())
            case commands.Exchange.Declare():
                self.say(channel, commands.Exchange.DeclareOk())
            case commands.Basic.Publish():
                self._tag += 1
                self._confirming = confirms
            case header.ContentHeader():
                self._due = one.body_size
                self._confirm(channel)
            case body.ContentBody():
                self._due -= len(one.value)
                self._confirm(channel)

    def _confirm(self, channel: int) -> None:
        """Ack the message once all of it was heard, so that who has the confirm finds it in ``heard``."""
        if self._confirming and self._due <= 0:
            self._confirming = False
            self.say(channel, commands.Basic.Ack(self._tag))


def _whole(data: bytes) -> int | None:
    """The size of the first frame, if all of it is there."""
    if data.startswith(b"AMQP"):
        return 8 if len(data) >= 8 else None
    if len(data) < 7:
        return None
    size = int.from_bytes(data[3:7], "big") + 8
    return size if len(data) >= size else None


class FakeBroker:
    """Listens on a port of its own in the ``with``.

    Args:
        answer: asked first for each frame; whether it has dealt with it.
        tls: the server's side of TLS, if it speaks that.
        confirms: whether it acks each message that begins, as soon as all of it has come.
        frame_max, channel_max, mechanisms: what it offers.
    """

    def __init__(  # noqa: PLR0913, RUF100
        self,
        answer: Callable[[Talk, int, Frame], bool] = lambda *_: False,
        *,
        tls: ssl.SSLContext | None = None,
        confirms: bool = True,
        frame_max: int = 131072,
        channel_max: int = 2047,
        mechanisms: str = "PLAIN AMQPLAIN",
    ) -> None:
        self.answer = answer
        self.confirms = confirms
        self.frame_max = frame_max
        self.channel_max = channel_max
        self.mechanisms = mechanisms
        self.talks: list[Talk] = []
        self.news = threading.Condition()
        self._tls = tls
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._ended = False

    @property
    def port(self) -> int:
        """On which it listens."""
        port: int = self._server.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where it is."""
        return f"amqp{'s' if self._tls else ''}://guest:guest@localhost:{self.port}/%2F"

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something was heard that makes it true."""
        with self.news:
            assert self.news.wait_for(condition, WAIT_S), f"waited in vain: {what}"

    def of(self, kind: type[Any]) -> list[Any]:
        """What was heard of a kind of frame, on all connections."""
        return [one for talk in list(self.talks) for one in talk.of(kind)]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._threads[0].join()  # which accepts: no talk begins any more
        for talk in self.talks:
            with contextlib.suppress(OSError):
                talk._peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _start(self, target: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=target, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while not self._ended:
            peer, _ = self._server.accept()
            if self._ended:
                peer.close()
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each answer waits 40 ms for the last one
            if self._tls is not None:
                try:
                    peer = self._tls.wrap_socket(peer, server_side=True)
                except OSError:
                    peer.close()
                    continue
            talk = Talk(self, peer)
            self.talks.append(talk)
            self._start(talk.run)
