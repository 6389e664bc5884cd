"""The hostile page, as far as it can be tried without a broker: its headers, names, doors and wire."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest
import websocket

from conformance.contract.loader import contract_from_dict
from conformance.contract.naming import Naming
from conformance.errors import HarnessError, NotFound
from conformance.scenario.steps import AttemptKind
from conformance.world.attacker import all as attempts
from conformance.world.attacker import doors, reach
from conformance.world.attacker.page import Page, Tried
from conformance.world.attacker.wire import Reply, Wire


class PlayedBroker:
    """Says what it is told to; what it has no answer for is not found."""

    version = "3.10.8"
    addresses = SimpleNamespace(amqp="amqp://suite:p@127.0.0.1:1/%2F", web_stomp="ws://127.0.0.1:1/ws")

    def __init__(self, answers: dict[str, Any], *, loopback: str = "", conf: str | None = None) -> None:
        self._answers, self._loopback, self._conf = answers, loopback, conf

    def ask(self, _: str, path: str, __: object = None) -> Any:
        """By the path alone."""
        if path not in self._answers:
            raise NotFound(path)
        return self._answers[path]

    def ctl(self, *_: str) -> str:
        """What ``eval`` prints."""
        return self._loopback

    def describe(self) -> dict[str, Any]:
        """Where the user's own settings are."""
        return {"settings": {"conf": self._conf}}


def page(broker: PlayedBroker | None = None, **sections: Any) -> Page:
    """A page under a contract."""
    return Page(cast("Any", broker or PlayedBroker({})), Naming(contract_from_dict(sections), "n0a1b2c"))


def test_a_plain_queue_has_none_of_the_contracts_arguments() -> None:
    """A quorum queue can't be auto-delete or exclusive, and RabbitMQ says so before it looks at a permission."""
    headers = {"durable": "true", "x-queue-type": "quorum", "x-expires": "100000"}
    plain = page(tab={"headers": headers}).subscription("q", plain=True, auto_delete="true")
    assert [name for name in plain if name.startswith("x-")] == ["x-queue-name"]
    assert (plain["auto-delete"], plain["durable"]) == ("true", "true")


def test_a_foreign_name_is_no_tabs() -> None:
    """Where the contract's pattern matches it, nothing can be shown with it."""
    assert page().foreign_name("other").startswith("durable-ws-other.n0a1b2c.")
    with pytest.raises(HarnessError, match=r"tab\.queue 'durable-ws-\{tab\}' matches it"):
        page(tab={"queue": "durable-ws-{tab}"}).foreign_name("other")


def test_no_body_is_like_another() -> None:
    """What one way brought is not taken for the next one's."""
    hostile = page()
    assert hostile.forged() != hostile.forged()


@pytest.mark.parametrize(
    ("read", "outcome"),
    [("^web-client-.+$|^(pubsub)$", "refused"), (".*", "allowed"), ("^amq[.]", "allowed"), ("(", "unmade")],
)
def test_an_exchange_that_is_not_there(read: str, outcome: str) -> None:
    """Nobody is refused what is not there: the read permission tells."""
    broker = PlayedBroker({"/permissions/%2F/guest": {"read": read}})
    assert [tried.outcome for tried in reach.learn_names(page(broker))] == [outcome] * 3


def test_an_id_is_not_guessed() -> None:
    """With one in the queue's name there is nothing to try, and that is told."""
    [tried] = reach.guessed_queue(page())
    assert tried.outcome == "tolerated"
    assert "was not tried" in tried.effect


@pytest.mark.parametrize(
    ("let_in", "loopback", "conf", "outcome", "effect"),
    [
        (True, '[<<"guest">>]', "", "refused", "the host itself alone"),
        (True, "[]", "", "allowed", "anywhere"),
        (True, '[<<"guest2">>]', "", "allowed", "anywhere"),
        (False, '[<<"guest">>]', "", "refused", "without guest"),
        (False, "[]", "", "refused", "without guest"),
        (False, "[]", "loopback_users = none", "allowed", "your rabbitmq.conf"),
    ],
)
def test_guest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, let_in: bool, loopback: str, conf: str, outcome: str, effect: str
) -> None:
    """A broker of the suite's own may have no guest: then the user's own settings tell."""
    file = tmp_path / "rabbitmq.conf"
    file.write_text(conf)
    words = "CONNECTED" if let_in else "ERROR: Bad CONNECT Access refused for user 'guest'"
    monkeypatch.setattr(Page, "silent_wire", lambda _: _Entered(Reply(accepted=let_in, words=words)))
    broker = PlayedBroker({"/users/guest": {}} if let_in else {}, loopback=loopback, conf=str(file))
    [tried] = doors.guest(page(broker))
    assert (tried.outcome, effect in tried.effect) == (outcome, True)


class _Entered:
    """A connection on which CONNECT is answered so."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, *_: str) -> Reply:
        """The answer."""
        return self._reply


def test_an_attempt_that_tries_nothing_is_unmade(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is left early ends at once: what it has open is closed before it is cleaned up."""
    ended = []

    def two(_: Page) -> Iterator[Tried]:
        try:
            yield Tried(what="one", outcome="refused")
            yield Tried(what="two", outcome="refused")
        finally:
            ended.append("closed")

    kind: AttemptKind = "publish"
    monkeypatch.setitem(attempts.ATTEMPTS, kind, lambda _: (_ for _ in ()))
    assert [tried.outcome for tried in attempts.tries_of(kind, page())] == ["unmade"]
    monkeypatch.setitem(attempts.ATTEMPTS, kind, cast("Any", two))
    tries = attempts.tries_of(kind, page())
    assert next(tries).what == "one"
    tries.close()
    assert ended == ["closed"]


class _Socket:
    """Takes nothing, or answers with frames, or just ends."""

    sock = None

    def __init__(self, *frames: bytes, takes: bool = True) -> None:
        self._frames, self._takes = list(frames), takes
        self.timeouts: list[float] = []

    def settimeout(self, timeout_s: float) -> None:
        """Remembered."""
        self.timeouts.append(timeout_s)

    def send(self, *_: object) -> None:
        """As it was made to."""
        if not self._takes:
            raise websocket.WebSocketTimeoutException("timed out")

    def recv_data(self) -> tuple[int, bytes]:
        """The next, then the end."""
        if self._frames:
            return websocket.ABNF.OPCODE_TEXT, self._frames.pop(0)
        return websocket.ABNF.OPCODE_CLOSE, b"\x03\xe8STOMP died"


def wire(monkeypatch: pytest.MonkeyPatch, socket: _Socket) -> Wire:
    """A wire on it; the log says LOGGED."""
    monkeypatch.setattr(websocket, "create_connection", lambda *_, **__: socket)
    return Wire("ws://127.0.0.1:1/ws", timeout_s=5.0, explain=lambda _: "LOGGED")


def test_what_can_not_be_sent_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for it is not what the last look left of it."""
    socket = _Socket(takes=False)
    made = wire(monkeypatch, socket)
    assert not made.ask("SEND", {}).answered
    assert socket.timeouts == [5.0]
    with pytest.raises(TimeoutError):
        made.raw(b"x")


def test_how_a_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the broker's words where it has any; else the log's are asked for."""
    error = b"ERROR\nmessage:access_refused\n\nACCESS_REFUSED - access to queue\0"
    assert "access_refused ACCESS_REFUSED" in wire(monkeypatch, _Socket(error)).ended(1.0).words
    assert wire(monkeypatch, _Socket(error)).ask("SEND", {}).words.startswith("ERROR: access_refused")
    assert wire(monkeypatch, _Socket()).ask("SEND", {}).words == "closed the WebSocket (1000 STOMP died) LOGGED"
