"""A recorder in memory, and a broker that does what a test tells it, however wrong."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import wsproto
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Request, TextMessage

from conformance.history.events import Event
from conformance.stomp.frames import Frame
from conformance.stomp.parser import HeartBeat, Parser
from conformance.world.tab import played
from conformance.world.tab.base import TabSettings
from conformance.world.tab.clients import TAB_CLIENTS
from conformance.world.tab.played import PlayedTab

E = TypeVar("E", bound=Event)
PATIENCE_S = 30.0  # for what must happen


class MemoryRecorder:
    """Keeps events in a list and lets a test wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def record(self, event_type: type[E], /, **fields: Any) -> E:
        """See :class:`conformance.history.recorder.Recorder`."""
        with self._changed:
            event = event_type(index=len(self.events), time_ns=time.monotonic_ns(), **fields)
            self.events.append(event)
            self._changed.notify_all()
            return event

    def of(self, event_type: type[E], **fields: Any) -> list[E]:
        """The events of this type with these fields so far."""
        return [
            event
            for event in list(self.events)
            if isinstance(event, event_type) and all(getattr(event, name) == value for name, value in fields.items())
        ]

    def wait(self, event_type: type[E], count: int = 1, **fields: Any) -> list[E]:
        """Wait for ``count`` events of this type with these fields; fails with all events where they don't come."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.of(event_type, **fields)) >= count, PATIENCE_S)
            assert came, f"no {count} {event_type.__name__} with {fields} in:\n" + "\n".join(map(str, self.events))
            return self.of(event_type, **fields)

    def appears(self, event_type: type[Event], within_s: float) -> bool:
        """Whether an event of this type comes within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self.of(event_type)), within_s)


class Peer:
    """The fake broker's end of one connection. Raises EOFError where the tab has gone."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        self.socket = connection
        self.frames: list[Frame] = []
        """Every frame that the tab sent."""
        self.heart_beats = 0
        self._ws = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self._parser = Parser()
        self._unread: list[Frame] = []
        self._accepted = False

    # --- WebSocket -------------------------------------------------------------------------------

    def accept(self) -> None:
        """Do the WebSocket handshake."""
        while not self._accepted:
            self.read()

    def send(self, data: bytes, *, opcode: int = 1, fin: bool = True) -> None:
        """Send a WebSocket message; as text whatever the bytes, as RabbitMQ does."""
        size = len(data)
        if size < 126:
            length = bytes([size])
        else:
            length = b"\x7e" + struct.pack("!H", size) if size < 65536 else b"\x7f" + struct.pack("!Q", size)
        self.send_raw(bytes([(0x80 if fin else 0) | opcode]) + length + data)

    def send_raw(self, data: bytes) -> None:
        """Send bytes below the WebSocket."""
        try:
            self.socket.sendall(data)
        except OSError as exc:
            raise EOFError from exc

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def read(self) -> None:
        """Take some of what the tab sent."""
        try:
            data = self.socket.recv(65536)
        except OSError as exc:
            raise EOFError from exc
        if not data:
            raise EOFError
        self._ws.receive_data(data)
        for event in self._ws.events():
            if isinstance(event, Request):
                assert "v12.stomp" in event.subprotocols
                self.send_raw(self._ws.send(AcceptConnection(subprotocol="v12.stomp")))
                self._accepted = True
            elif isinstance(event, TextMessage | BytesMessage):
                self._parser.receive_data(event.data.encode() if isinstance(event.data, str) else bytes(event.data))
            elif isinstance(event, CloseConnection):
                raise EOFError
        assert self._parser.error is None, self._parser.error
        for found in self._parser.events():
            if isinstance(found, HeartBeat):
                self.heart_beats += 1
            else:
                self.frames.append(found)
                self._unread.append(found)

    # --- STOMP -----------------------------------------------------------------------------------

    def receive(self, command: str) -> Frame:
        """The next frame, which must be this one."""
        while not self._unread:
            self.read()
        frame = self._unread.pop(0)
        assert frame.command == command, frame
        return frame

    def connect(self, heart_beat: str = "0,0") -> None:
        """Do the handshake and answer CONNECT."""
        self.accept()
        self.receive("CONNECT")
        self.send(Frame("CONNECTED", (("version", "1.2"), ("heart-beat", heart_beat))).serialize())

    def subscribe(self, heart_beat: str = "0,0") -> None:
        """Do the handshake and answer CONNECT and SUBSCRIBE."""
        self.connect(heart_beat)
        self.receipt(self.receive("SUBSCRIBE"))

    def receipt(self, frame: Frame) -> None:
        """Answer a frame's receipt header."""
        self.send(Frame("RECEIPT", (("receipt-id", frame.get("receipt", "")),)).serialize() + b"\n")

    def message(self, body: bytes, *, ack: str = "", message_id: str = "m", **headers: str) -> None:
        """Send a MESSAGE."""
        self.send(self.message_frame(body, ack=ack, message_id=message_id, **headers))

    @staticmethod
    def message_frame(body: bytes, *, ack: str = "", message_id: str = "m", **headers: str) -> bytes:
        """A MESSAGE as RabbitMQ sends it."""
        pairs = [("destination", "/exchange/ex/a.b"), ("amqp-message-id", message_id), *headers.items()]
        if ack:
            pairs.append(("ack", ack))
        return Frame("MESSAGE", tuple(pairs), body).serialize() + b"\n"

    def until_gone(self) -> None:
        """Read until the tab goes; answers DISCONNECT."""
        with contextlib.suppress(EOFError):
            while True:
                while self._unread:
                    frame = self._unread.pop(0)
                    if frame.command == "DISCONNECT":
                        self.receipt(frame)
                self.read()


Script = Callable[[Peer], None]


class FakeBroker:
    """Plays ``scripts`` to the connections in turn, the last one again and again; each in a thread of its own."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.peers: list[Peer] = []
        self.failures: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop, self._stopped = socket.socketpair()
        self._threads = [threading.Thread(target=self._serve, name="fake broker")]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self._listener.getsockname()[1]}/ws"

    def _serve(self) -> None:
        while self._stopped not in select.select([self._listener, self._stopped], [], [])[0]:
            connection, _ = self._listener.accept()
            peer = Peer(connection)
            script = self.scripts[min(len(self.peers), len(self.scripts) - 1)]
            self.peers.append(peer)
            self._threads.append(threading.Thread(target=self._play, args=(script, peer), name="fake broker's peer"))
            self._threads[-1].start()

    def _play(self, script: Script, peer: Peer) -> None:
        try:
            script(peer)
        except EOFError:
            pass
        except BaseException as exc:  # noqa: BLE001 - shown by close()
            self.failures.append(exc)
        finally:
            peer.socket.close()

    def close(self) -> None:
        """End every connection; raises what went wrong in a script."""
        self._stop.close()
        self._threads[0].join()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        self._listener.close()
        self._stopped.close()
        if self.failures:
            raise self.failures[0]


MakeTab = Callable[..., PlayedTab]


def settings_for(url: str, **changes: Any) -> TabSettings:
    """Settings of a tab for tests: short waits, no heart-beats."""
    given: dict[str, Any] = {
        "tab": "t1",
        "url": url,
        "login": "guest",
        "passcode": "guest",
        "vhost": "/",
        "destination": "/exchange/ex/a.#",
        "subscribe_headers": {"ack": changes.get("ack", "client-individual"), "x-queue-name": "q"},
        "ack": "client-individual",
        "heart_beat_s": 0.0,
        "queue": "q",
        "exchange": "ex",
        "exchange_type": "topic",
        "binding_key": "a.#",
        "reconnect_first_s": 0.02,
        "reconnect_most_s": 0.2,
        "connect_timeout_s": PATIENCE_S,
    }
    return TabSettings(**(given | changes))


MakeRecorder = Callable[[], MemoryRecorder]
MakeSettings = Callable[..., TabSettings]


@pytest.fixture(autouse=True)
def leaves_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tab that leaves waits for the receipt however late it comes: its peer has read the DISCONNECT then."""
    monkeypatch.setattr(played, "_LEAVE_S", PATIENCE_S)


@pytest.fixture
def make_recorder() -> MakeRecorder:
    """For tests with several tabs."""
    return MemoryRecorder


@pytest.fixture
def make_settings() -> MakeSettings:
    """See :func:`settings_for`."""
    return settings_for


@pytest.fixture
def recorder() -> MemoryRecorder:
    """What the tab of the test records into."""
    return MemoryRecorder()


@pytest.fixture
def fake() -> Iterator[FakeBroker]:
    """A broker without scripts yet."""
    broker = FakeBroker()
    yield broker
    broker.close()


@pytest.fixture(params=list(TAB_CLIENTS))
def client(request: pytest.FixtureRequest) -> str:
    """Each client in turn."""
    return str(request.param)


@pytest.fixture
def make_tab(fake: FakeBroker, client: str, recorder: MemoryRecorder) -> Iterator[MakeTab]:
    """Makes tabs of the client, to the fake broker unless told otherwise; no thread of theirs is left at the end."""
    tabs: list[PlayedTab] = []

    def make(**changes: Any) -> PlayedTab:
        tab = TAB_CLIENTS[client](settings_for(changes.pop("url", fake.url), **changes), recorder)
        tabs.append(tab)
        return tab

    yield make
    for tab in tabs:
        tab.close()
    assert tab_threads() == []


def tab_threads() -> list[str]:
    """The names of the threads that belong to tabs."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("tab ", "StompHeartbeat"))]


@pytest.fixture(name="tab_threads")
def tab_threads_fixture() -> Callable[[], list[str]]:
    """See :func:`tab_threads`."""
    return tab_threads
