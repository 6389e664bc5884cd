"""What a publisher asks of its pool, which is played: no connection and no thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import durable_ws.async_publisher
import durable_ws.publisher
from durable_ws import (
    AsyncPublisher,
    BatchError,
    ConfigError,
    Exchange,
    Health,
    InvalidState,
    NotSent,
    Observer,
    OutcomeUnknown,
    Publisher,
    Receipt,
)
from durable_ws.message import Message
from durable_ws.observe import MessageTaken
from durable_ws.options import options_from
from tests.durable_ws.observers import Notebook

URL = "amqp://h:5672"
EXCHANGES = {"pubsub": Exchange("x"), "other": Exchange("y")}
TOLD: dict[str, Any] = {
    "max_connections": 2, "timeout": 3.0, "window": 4, "require_route": True, "max_size": 5, "heartbeat_s": 6,
    "connect_timeout_s": 7.0, "reconnect_first_s": 8.0, "reconnect_most_s": 9.0, "close_timeout_s": 10.0,
    "observer": None,
}  # fmt: skip
RECEIPT = Receipt("m", True, 1, 0.5)
HEALTH = Health(connections=2, most_connections=2, blocked=None, trouble=None, under_way=1, closed=False)


def warns_that_it_was_not_closed(publisher: Publisher | AsyncPublisher, file: str) -> None:
    """When it is forgotten, naming itself, in that file."""
    with pytest.warns(ResourceWarning) as caught:
        publisher.__del__()
    (warning,) = caught
    assert str(warning.message) == f"{publisher!r} was not closed"
    assert warning.source is publisher
    assert warning.filename == file


class PlayedPool:
    """Notes what is asked of it."""

    def __init__(self, settings: object, *, max_connections: int, window: int) -> None:
        self.made = (settings, max_connections, window)
        self.asked: list[Any] = []
        self.puts: list[tuple[str, Message, dict[str, Any]]] = []

    def call(self, message: Message, **options: Any) -> Receipt:
        """See Pool."""
        self.puts.append(("call", message, options))
        return RECEIPT

    def submit(self, message: Message, **options: Any) -> Future[Receipt]:
        """See Pool."""
        self.puts.append(("submit", message, options))
        future: Future[Receipt] = Future()
        future.set_result(RECEIPT)
        return future

    def health(self, *, closed: bool) -> tuple[str, bool]:
        """See Pool."""
        return ("health", closed)

    def close(self, timeout_s: float) -> None:
        """See Pool."""
        self.asked.append(("close", timeout_s))

    def stop_soon(self) -> None:
        """See Pool."""
        self.asked.append("stop")


class AsyncPlayedPool(PlayedPool):
    """The same, on a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: object, *, max_connections: int, window: int) -> None:
        super().__init__(settings, max_connections=max_connections, window=window)
        self.loop = loop
        self.pending: list[Any] = []
        self.has_room = True
        self.takes_alone = False

    def publish_alone(self, message: Message, timeout_s: float, require_route: bool) -> Any:
        """See AsyncPool."""
        if not self.takes_alone:
            return None
        self.puts.append(("alone", message, {"timeout_s": timeout_s, "require_route": require_route}))
        return self.pending.pop() if self.pending else done(RECEIPT)

    def call(self, message: Message, **options: Any) -> Any:
        """See AsyncPool; nothing is put yet."""
        return self.pending.pop() if self.pending else done(RECEIPT), (message, options)

    submit = call

    def enter(self, job: Any) -> bool:
        """See AsyncPool."""
        if self.has_room:
            self.puts.append(("enter", *job))
        return self.has_room

    async def enter_later(self, job: Any) -> None:
        """See AsyncPool."""
        assert not self.has_room
        self.puts.append(("enter later", *job))

    async def close(self, timeout_s: float) -> None:  # type: ignore[override]
        """See AsyncPool."""
        self.asked.append(("close", timeout_s))


def done(outcome: Receipt | Exception) -> asyncio.Future[Receipt]:
    """A future of the running loop that has it."""
    future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
        future.exception()  # or asyncio says that nobody looked
    else:
        future.set_result(outcome)
    return future


@pytest.fixture(autouse=True)
def pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All publishers have played pools, and none of them is looked after when the interpreter forks or ends."""
    made: set[Publisher] = set()
    monkeypatch.setattr(durable_ws.publisher, "Pool", PlayedPool)
    monkeypatch.setattr(durable_ws.async_publisher, "AsyncPool", AsyncPlayedPool)
    monkeypatch.setattr(durable_ws.publisher, "_publishers", made)
    monkeypatch.setattr(durable_ws.publisher, "_inherited", [])
    monkeypatch.setattr(durable_ws.async_publisher, "_publishers", set[AsyncPublisher]())
    yield
    for publisher in made:
        publisher._closed = True


def pool_of(publisher: Publisher | AsyncPublisher) -> Any:
    """Its pool."""
    assert publisher._pool is not None
    return publisher._pool


def message_of(put: tuple[str, Message, dict[str, Any]]) -> tuple[Any, ...]:
    """What was put, by what was said."""
    way, message, options = put
    return (way, message.exchange, message.routing_key, message.body, message.properties, options)


# --- how it is made -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Publisher, AsyncPublisher])
def test_what_it_is_told(kind: Any) -> None:
    """Each argument has its effect, and its default where it is not given."""
    publisher = kind(URL, EXCHANGES, **TOLD)
    assert publisher._options == options_from(kind.__name__, URL, EXCHANGES, **TOLD)
    usual: dict[str, Any] = {
        "max_connections": None, "timeout": 30.0, "window": 1000, "require_route": False, "max_size": 16 * 1024**2,
        "heartbeat_s": 5, "connect_timeout_s": 10.0, "reconnect_first_s": 0.1, "reconnect_most_s": 5.0,
        "close_timeout_s": None, "observer": None,
    }  # fmt: skip
    assert kind(URL)._options == options_from(kind.__name__, URL, None, **usual)
    notes = Notebook()
    watching = kind(URL, observer=notes)._options.observer
    assert watching is not None
    watching.connected("a fact")
    assert notes.facts == ["a fact"]
    assert publisher._pool is None
    assert publisher._closed is False


@pytest.mark.parametrize("kind", [Publisher, AsyncPublisher])
def test_without_a_url(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to call, by the name of the class."""
    monkeypatch.delenv("RABBITMQ_URL", raising=False)
    mine = type("Mine", (kind,), {})
    with pytest.raises(ConfigError, match=r"or call Mine\(url\)"):
        mine()
    mine.__del__(mine.__new__(mine))  # of one that was never made


# --- publishing with threads ----------------------------------------------------------------------


OPTIONS: dict[str, Any] = {"message_id": "m", "require_route": False, "timeout": 2, "priority": 3}


def test_publish_and_submit() -> None:
    """The message, its deadline, its thread for a lane, and whether a route is required; else as the publisher says."""
    publisher = Publisher(URL, EXCHANGES, **TOLD)
    assert publisher.publish("a", "other", "k", **OPTIONS) is RECEIPT
    assert publisher.submit("a", "other", "k", **OPTIONS).result(0) is RECEIPT
    pool = pool_of(publisher)
    assert pool.made == (publisher._options.link, 2, 4)
    lane = threading.get_ident()
    properties = {"content_type": "text/plain", "delivery_mode": 2, "message_id": "m", "priority": 3}
    options = {"timeout_s": 2.0, "lane": lane, "require_route": False}
    for way, put in zip(("call", "submit"), pool.puts, strict=True):
        assert message_of(put) == (way, "y", "k", b"a", properties, options)
    pool.puts.clear()
    publisher.publish("a")
    publisher.submit("a")
    usual = {"timeout_s": 3.0, "lane": lane, "require_route": True}
    for way, put in zip(("call", "submit"), pool.puts, strict=True):
        assert message_of(put)[:4] == (way, "x", "", b"a")
        assert put[2] == usual
    assert pool_of(publisher) is pool


def test_many_and_a_batch() -> None:
    """Each is submitted in the lane of its batch."""
    publisher = Publisher(URL, EXCHANGES, **TOLD)
    assert publisher.publish_many(["a", "b"], "other", "k", **OPTIONS) == [RECEIPT] * 2
    assert publisher.publish_many(["c"]) == [RECEIPT]
    batch = publisher.batch()
    batch.publish("d", "other", "k", **OPTIONS)
    puts = pool_of(publisher).puts
    assert [(put[0], put[1].body, put[1].exchange, put[1].routing_key) for put in puts] == [
        ("submit", b"a", "y", "k"), ("submit", b"b", "y", "k"), ("submit", b"c", "x", ""), ("submit", b"d", "y", "k"),
    ]  # fmt: skip
    assert puts[0][2] == puts[1][2]
    assert puts[3][2] == {"timeout_s": 2.0, "lane": batch, "require_route": False}
    assert puts[2][2]["lane"] is not puts[0][2]["lane"]


@pytest.mark.parametrize("field", ["timeout", "require_route"])
@pytest.mark.parametrize("kind", [Publisher, AsyncPublisher])
def test_what_a_call_can_not_be_told(kind: Any, field: str) -> None:
    """The error names the argument, and nothing was begun."""
    publisher = kind(URL, EXCHANGES)

    async def submit() -> None:
        submitted = publisher.submit("a", **{field: "x"})
        if kind is AsyncPublisher:
            await submitted

    with pytest.raises(ConfigError) as caught:
        asyncio.run(submit())
    assert caught.value.field == field
    assert publisher._pool is None


class Adding(Observer):
    """Adds a header."""

    def taken(self, fact: MessageTaken, /) -> dict[str, str]:  # noqa: ARG002
        """Added."""
        return {"trace": "t"}


@pytest.mark.parametrize("kind", [Publisher, AsyncPublisher])
def test_the_observer_comes_before_the_pool(kind: Any) -> None:
    """What it adds is in the message that is put; a publisher that is closed takes nothing."""
    notes = Notebook()

    async def submit(publisher: Any) -> None:
        if kind is AsyncPublisher:
            await publisher.submit("a")
        else:
            publisher.submit("a")

    adding, noting = kind(URL, EXCHANGES, observer=Adding()), kind(URL, EXCHANGES, observer=notes)
    asyncio.run(submit(adding))
    (put,) = pool_of(adding).puts
    assert put[1].properties["headers"] == {"trace": "t"}
    asyncio.run(submit(noting))
    assert pool_of(noting).puts[0][1].taken is notes.facts[0]
    noting._closed = True
    with pytest.raises(InvalidState, match=r"^the publisher is closed: make a new one$"):
        asyncio.run(submit(noting))
    assert len(notes.facts) == 1
    adding._closed = True  # or it warns


def test_a_signal_handler_that_publishes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool that was made beside its one is ended, and both use the same."""
    publisher = Publisher(URL, EXCHANGES)
    made: list[PlayedPool] = []

    def interrupted(*arguments: Any, **options: Any) -> PlayedPool:
        made.append(PlayedPool(*arguments, **options))
        monkeypatch.setattr(durable_ws.publisher, "Pool", PlayedPool)
        publisher.submit("by the handler")
        return made[-1]

    class Interrupted(PlayedPool):
        def __new__(cls, *arguments: Any, **options: Any) -> Any:
            return interrupted(*arguments, **options)

    monkeypatch.setattr(durable_ws.publisher, "Pool", Interrupted)
    publisher._running_pool().submit(None)  # type: ignore[arg-type, call-arg]
    assert made[0].asked == ["stop"]
    assert pool_of(publisher) is not made[0]
    assert len(pool_of(publisher).puts) == 2
    assert pool_of(publisher).asked == []


# --- the end, with threads ------------------------------------------------------------------------


def test_close_and_health() -> None:
    """Closing waits as long as it was told; the health is the pool's, or that of one that did nothing."""
    publisher = Publisher(URL, EXCHANGES, **TOLD)
    nothing = Health(connections=0, most_connections=2, blocked=None, trouble=None, under_way=0, closed=False)
    assert publisher.health() == nothing
    with publisher as entered:
        assert entered is publisher
        publisher.publish("a")
        assert publisher.health() == ("health", False)
    assert pool_of(publisher).asked == [("close", 10.0)]
    assert publisher.health() == ("health", True)
    never = Publisher(URL, EXCHANGES, **TOLD)
    never.close()
    assert never.health() == Health(
        connections=0, most_connections=2, blocked=None, trouble=None, under_way=0, closed=True
    )


def test_closed_between_two_looks() -> None:
    """Whoever waits for the lock while another thread closes makes no pool."""
    publisher = Publisher(URL, EXCHANGES)

    class Closing:
        def __enter__(self) -> None:
            publisher._closed = True

        def __exit__(self, *_: object) -> None:
            pass

    publisher._lock = Closing()  # type: ignore[assignment]
    with pytest.raises(InvalidState, match=r"^the publisher is closed: make a new one$"):
        publisher.publish("a")
    assert publisher._pool is None


def test_a_forgotten_publisher() -> None:
    """It warns, naming itself, and ends its thread; one that was closed or did nothing does neither."""
    publisher = Publisher(URL, EXCHANGES)
    publisher.__del__()
    publisher.publish("a")
    warns_that_it_was_not_closed(publisher, durable_ws.publisher.__file__)
    assert pool_of(publisher).asked == ["stop"]
    publisher.close()
    publisher.__del__()
    assert pool_of(publisher).asked == ["stop", ("close", 30.0)]


def test_after_a_fork() -> None:
    """The child keeps the parent's pool, unused, and makes one of its own; its lock is nobody's."""
    publisher, idle = Publisher(URL, EXCHANGES), Publisher(URL, EXCHANGES)
    publisher.publish("a")
    pool = pool_of(publisher)
    for one in (publisher, idle):
        one._lock.acquire()
    durable_ws.publisher._after_fork_in_child()
    assert durable_ws.publisher._inherited == [pool]
    assert publisher._pool is None
    assert idle._pool is None
    taken: list[bool] = []
    for one in (publisher, idle):
        thread = threading.Thread(target=lambda one=one: taken.append(one._lock.acquire(blocking=False)))  # type: ignore[misc]
        thread.start()
        thread.join()
        assert isinstance(one._lock, type(threading.RLock()))
    assert taken == [True, True]


def test_when_the_interpreter_ends() -> None:
    """Every publisher is closed, and none of them for long."""
    publishers = [Publisher(URL, EXCHANGES, close_timeout_s=limit_s) for limit_s in (2.0, 1000.0)]
    for publisher in publishers:
        publisher.publish("a")
    durable_ws.publisher._at_exit()
    assert [pool_of(publisher).asked for publisher in publishers] == [[("close", 2.0)], [("close", 5.0)]]
    assert [publisher._closed for publisher in publishers] == [True, True]


# --- the one for asyncio --------------------------------------------------------------------------


def test_publish_and_submit_on_a_loop() -> None:
    """The same, with the task for a lane."""

    async def main() -> None:
        publisher = AsyncPublisher(URL, EXCHANGES, **TOLD)
        lane = asyncio.current_task()
        assert await publisher.publish("a", "other", "k", **OPTIONS) is RECEIPT
        assert await (await publisher.submit("a", "other", "k", **OPTIONS)) is RECEIPT
        pool = pool_of(publisher)
        assert pool.made == (publisher._options.link, 2, 4)
        assert pool.loop is asyncio.get_running_loop()
        properties = {"content_type": "text/plain", "delivery_mode": 2, "message_id": "m", "priority": 3}
        options = {"timeout_s": 2.0, "lane": lane, "require_route": False}
        assert [message_of(put) for put in pool.puts] == [("enter", "y", "k", b"a", properties, options)] * 2
        pool.puts.clear()
        await publisher.publish("a")
        await publisher.submit("a")
        for put in pool.puts:
            assert message_of(put)[:4] == ("enter", "x", "", b"a")
            assert put[2] == {"timeout_s": 3.0, "lane": lane, "require_route": True}
        pool.puts.clear()
        assert await publisher.publish_many(["a", "b"], "other", "k", **OPTIONS) == [RECEIPT] * 2
        assert await publisher.publish_many(["c"]) == [RECEIPT]
        batch = publisher.batch()
        await batch.publish("d")
        assert [(put[1].body, put[1].exchange, put[1].routing_key) for put in pool.puts] == [
            (b"a", "y", "k"), (b"b", "y", "k"), (b"c", "x", ""), (b"d", "x", ""),
        ]  # fmt: skip
        assert pool.puts[0][2] == {**options, "lane": pool.puts[1][2]["lane"]}
        assert pool.puts[3][2]["lane"] is batch
        assert pool_of(publisher) is pool
        await publisher.close()

    asyncio.run(main())


def test_a_full_window_on_a_loop() -> None:
    """What is not let in at once is let in later, once, and waited for."""

    async def main() -> None:
        publisher = AsyncPublisher(URL, EXCHANGES, **TOLD)
        await publisher.publish("first")
        pool = pool_of(publisher)
        pool.puts.clear()
        pool.has_room = False
        assert await publisher.publish("a") is RECEIPT
        assert await (await publisher.submit("b")) is RECEIPT
        assert await publisher.publish_many(["c"]) == [RECEIPT]
        assert [message_of(put)[:4] for put in pool.puts] == [
            ("enter later", "x", "", b"a"), ("enter later", "x", "", b"b"), ("enter later", "x", "", b"c"),
        ]  # fmt: skip
        await publisher.close()

    asyncio.run(main())


def test_a_task_that_publishes_alone() -> None:
    """The pool is asked first, and needs no more than the message, the time, and whether it must find a queue."""

    async def main() -> None:
        publisher = AsyncPublisher(URL, EXCHANGES, timeout=12.0)
        await publisher.submit("first")
        pool = pool_of(publisher)
        pool.puts.clear()
        pool.takes_alone = True
        assert await publisher.publish("a") is RECEIPT
        assert await publisher.publish("b", timeout=3.0, require_route=True) is RECEIPT
        await publisher.submit("c")
        assert [(way, message.body, options) for way, message, options in pool.puts[:2]] == [
            ("alone", b"a", {"timeout_s": 12.0, "require_route": False}),
            ("alone", b"b", {"timeout_s": 3.0, "require_route": True}),
        ]
        assert pool.puts[2][0] == "enter"
        pool.pending.append(PlayedPending(None, RECEIPT))
        with pytest.raises(asyncio.CancelledError) as caught:
            await publisher.publish("d")
        assert caught.value.__notes__ == ["message m: confirmed: the call was cancelled"]
        await publisher.close()

    asyncio.run(main())


class PlayedPending:
    """A message whose caller is cancelled while it waits."""

    def __init__(self, fate: str | None, outcome: Receipt | Exception | None) -> None:
        self.message_id = "m"
        self.fate = fate
        self.outcome = outcome

    def __await__(self) -> Any:
        raise asyncio.CancelledError
        yield

    def done(self) -> bool:
        """As a future says it."""
        return self.fate is not None or self.outcome is not None

    def exception(self) -> Exception | None:
        """As a future says it."""
        return self.outcome if isinstance(self.outcome, Exception) else None

    def result(self) -> Any:
        """As a future says it."""
        return self.outcome


@pytest.mark.parametrize(
    ("fate", "outcome", "notes"),
    [
        ("not sent", None, ["message m: not sent: the call was cancelled"]),
        (None, RECEIPT, ["message m: confirmed: the call was cancelled"]),
        (
            None,
            Receipt("m", False, 1, 0.5),
            ["message m: confirmed, but no queue is bound for it: the call was cancelled"],
        ),
        (
            None,
            OutcomeUnknown("m", "too late", attempts=1),
            [f"message m: {OutcomeUnknown('m', 'too late', attempts=1)}: the call was cancelled"],
        ),
        (None, None, None),
    ],
    ids=["fate", "confirmed", "returned", "failed", "nothing"],
)
def test_a_call_that_is_cancelled(fate: str | None, outcome: Any, notes: list[str] | None) -> None:
    """The error has a note of what became of the message, where that is known."""

    async def main() -> None:
        publisher = AsyncPublisher(URL, EXCHANGES)
        await publisher.submit("first")
        pool_of(publisher).pending.append(PlayedPending(fate, outcome))
        with pytest.raises(asyncio.CancelledError) as caught:
            await publisher.publish("a")
        assert getattr(caught.value, "__notes__", None) == notes
        await publisher.close()

    asyncio.run(main())


def test_many_whose_caller_is_cancelled() -> None:
    """What was begun is cancelled with it; another error of the iterable is the cause, with the fates so far."""

    async def main() -> None:
        publisher = AsyncPublisher(URL, EXCHANGES)
        await publisher.submit("first")
        under_way: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        pool_of(publisher).pending.append(under_way)

        def payloads(error: BaseException) -> Any:
            yield "a"
            raise error

        with pytest.raises(asyncio.CancelledError):
            await publisher.publish_many(payloads(asyncio.CancelledError()))
        assert under_way.cancelled()
        pool_of(publisher).pending.append(done(NotSent("m", "too late", attempts=0)))
        with pytest.raises(BatchError) as caught:
            await publisher.publish_many(payloads(LookupError("no more")))
        assert isinstance(caught.value.__cause__, LookupError)
        assert [type(outcome) for outcome in caught.value.outcomes] == [NotSent]
        await publisher.close()

    asyncio.run(main())


def test_the_life_on_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close, health and the warning, as with threads; and a child has nothing of it."""
    nothing = Health(connections=0, most_connections=2, blocked=None, trouble=None, under_way=0, closed=False)
    closed = Health(connections=0, most_connections=2, blocked=None, trouble=None, under_way=0, closed=True)

    async def main() -> None:
        publisher = AsyncPublisher(URL, EXCHANGES, **TOLD)
        assert publisher.health() == nothing
        publisher.__del__()
        async with publisher as entered:
            assert entered is publisher
            await publisher.publish("a")
            assert publisher.health() == ("health", False)
            warns_that_it_was_not_closed(publisher, durable_ws.async_publisher.__file__)
            with monkeypatch.context() as child:
                child.setattr(publisher, "_inherited", True)
                publisher.__del__()
                assert publisher.health() == closed
                said = r"^this publisher is the parent's of before a fork: make one in this process$"
                with pytest.raises(InvalidState, match=said):
                    await publisher.publish("a")
                unused = AsyncPublisher(URL, EXCHANGES, **TOLD)
                assert unused.health() == nothing
        assert pool_of(publisher).asked == [("close", 10.0)]
        assert publisher.health() == ("health", True)
        publisher.__del__()
        assert unused.health() == nothing, "made in a child, it is the parent's no less"
        await unused.close()
        assert unused.health() == closed

    asyncio.run(main())


def test_what_a_fork_does() -> None:
    """One that has connected belongs to its process; one that is only made, to the process that publishes first."""

    async def main() -> None:
        used, unused = AsyncPublisher(URL, EXCHANGES), AsyncPublisher(URL, EXCHANGES)
        await used.publish("a")
        durable_ws.async_publisher._after_fork_in_child()
        assert (used._inherited, unused._inherited) == (True, False)
        assert await unused.publish("a") is RECEIPT
        assert unused.health() == ("health", False)
        await unused.close()
        used._inherited = False
        await used.close()

    asyncio.run(main())


def test_another_loop() -> None:
    """Neither publishing nor closing is for it."""
    publisher = AsyncPublisher(URL, EXCHANGES)
    said = r"^this publisher belongs to another event loop: make one for each loop$"
    with asyncio.Runner() as runner:
        runner.run(publisher.publish("a"))
        with pytest.raises(InvalidState, match=said):
            asyncio.run(publisher.publish("b"))
        with pytest.raises(InvalidState, match=said):
            asyncio.run(publisher.close())
        assert len(pool_of(publisher).puts) == 1
        assert pool_of(publisher).asked == []
