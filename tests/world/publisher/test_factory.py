"""The publisher that a Python factory makes: what is no publisher is refused, what hangs hangs nobody."""

# ruff: noqa: ARG001, ARG002 - the signatures are the protocol's

from __future__ import annotations

import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from conformance.errors import HarnessError, UsageError
from conformance.world.publisher.factory import FactoryPublisher, load_factory
from durable_ws import Nacked, OutcomeUnknown

URL = "amqp://guest:guest@127.0.0.1:1/%2F"


class Sound:
    """A publisher that keeps what it is given."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.published: list[tuple[bytes, str, str, str]] = []
        self.threads: list[int] = []
        self.closed = 0

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> object:
        """Keep it; the receipt says how many attempts it took."""
        self.published.append((body, exchange, routing_key, message_id))
        self.threads.append(threading.get_ident())
        return SimpleNamespace(attempts=2)

    def close(self) -> None:
        """Count it."""
        self.closed += 1


def publish(publisher: FactoryPublisher, message_id: str = "m1") -> object:
    """Publish one message."""
    return publisher.publish(b"body", exchange="ex", routing_key="key", message_id=message_id)


def callers() -> list[threading.Thread]:
    """The threads that make calls."""
    return [thread for thread in threading.enumerate() if thread.name == "publisher-factory"]


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No thread is left by any test, once what hung in it goes on."""
    yield
    for thread in callers():
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module into the working directory and gives its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    names: list[str] = []

    def write(source: str) -> str:
        names.append(f"made_by_test_{tmp_path.name}_{len(names)}")
        (tmp_path / f"{names[-1]}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return names[-1]

    yield write
    for name in names:
        sys.modules.pop(name, None)


# --- the specification ---------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["", "module", ":factory", "module:", ":", "made by test"])
def test_a_wrong_spec(spec: str) -> None:
    """It is told with an example of a right one."""
    with pytest.raises(UsageError) as refused:
        load_factory(spec, field="publisher.python")
    assert refused.value.field == "publisher.python"
    assert refused.value.problem == f"{spec!r} is no MODULE:FACTORY"
    assert "myapp.messaging:make_publisher" in refused.value.way_out


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("def make(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('usage: …')", "SystemExit: usage: …"),
    ],
)
def test_a_module_that_can_not_be_imported(module: Callable[[str], str], source: str, reason: str) -> None:
    """Whatever goes wrong in it is told as its reason, even where it would end the process."""
    name = module(source)
    with pytest.raises(UsageError) as refused:
        load_factory(f"{name}:make")
    assert refused.value.field == "--publisher"
    assert f"the module {name!r} can't be imported ({reason}" in refused.value.problem


def test_a_module_that_is_not_there() -> None:
    """It is told where it must be."""
    with pytest.raises(UsageError, match=r"no_such_module_anywhere.*Run the command where the module can be found"):
        load_factory("no_such_module_anywhere:make")


@pytest.mark.parametrize("attribute", ["nothing", "Made.nothing", "made", "table"])
def test_what_is_no_callable(module: Callable[[str], str], attribute: str) -> None:
    """An attribute that is not there, or can't be called."""
    name = module("class Made: pass\nmade = 3\ntable = {}\n")
    with pytest.raises(UsageError) as refused:
        load_factory(f"{name}:{attribute}")
    assert attribute in refused.value.problem
    assert ("has no" in refused.value.problem) == ("nothing" in attribute)


def test_a_factory_is_found_in_the_working_directory(module: Callable[[str], str]) -> None:
    """A function, a class, or a method of either."""
    name = module("""
        class Made:
            def __init__(self, url): self.url = url
            @classmethod
            def make(cls, url): return cls(url + "!")
        def make(url): return Made(url)
    """)
    for attribute, url in (("make", URL), ("Made", URL), ("Made.make", URL + "!")):
        made = load_factory(f"{name}:{attribute}")(URL)
        assert made.url == url  # type: ignore[attr-defined]


# --- what it makes -------------------------------------------------------------------------------


def test_a_sound_publisher_is_passed_through() -> None:
    """Its arguments, its receipt and its end."""
    sound = Sound("")
    publisher = FactoryPublisher(lambda url: setattr(sound, "url", url) or sound, URL, name="m:f")
    receipt = publish(publisher)
    assert receipt.attempts == 2  # type: ignore[attr-defined]
    publisher.close()
    assert sound.url == URL
    assert sound.published == [(b"body", "ex", "key", "m1")]
    assert sound.closed == 1


@pytest.mark.parametrize(
    "error", [Nacked("m1", "full"), ValueError("no"), TimeoutError("its own deadline"), KeyError(1)]
)
def test_what_it_raises_is_raised(error: Exception) -> None:
    """The publisher's own error, itself: the lane judges it by its class."""

    class Raising(Sound):
        def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> object:
            raise error

    publisher = FactoryPublisher(Raising, URL, name="m:f")
    with pytest.raises(type(error)) as caught:
        publish(publisher)
    assert caught.value is error
    publisher.close()


def test_each_caller_keeps_its_thread() -> None:
    """A publisher with a connection for each thread sees one thread for each of the suite's."""
    sound = Sound("")
    publisher = FactoryPublisher(lambda _: sound, URL, name="m:f")

    def some() -> None:
        for _ in range(5):
            publish(publisher)

    threads = [threading.Thread(target=some) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    publisher.close()
    assert len(sound.published) == 15
    assert sorted(sound.threads.count(ident) for ident in set(sound.threads)) == [5, 5, 5]


class WithoutPublish:
    """Has no publish."""

    def close(self) -> None:
        """Nothing."""


class WithoutClose:
    """Has no close."""

    def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> None:
        """Nothing."""


class OtherArguments(WithoutPublish):
    """Takes other arguments than are given."""

    def publish(self, body: bytes, topic: str) -> None:
        """Nothing."""


class NotCallable(WithoutPublish):
    """Its publish is no method."""

    publish = "later"


class Asynchronous(WithoutPublish):
    """Is for asyncio."""

    async def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> None:
        """Nothing."""


class CloseTakesMore(WithoutClose):
    """Its close needs an argument."""

    def close(self, timeout: float) -> None:
        """Nothing."""


async def asynchronous_factory(url: str) -> Sound:
    """Is for asyncio."""
    return Sound(url)


@pytest.mark.parametrize(
    ("factory", "problem"),
    [
        (lambda _: None, "returned a NoneType, which has no publish()"),
        (lambda _: {}, "returned a dict, which has no publish()"),
        (lambda _: WithoutPublish(), "returned a WithoutPublish, which has no publish()"),
        (lambda _: WithoutClose(), "returned a WithoutClose, which has no close()"),
        (lambda _: NotCallable(), "returned a NotCallable, which has no publish()"),
        (lambda _: OtherArguments(), "whose publish(body: 'bytes', topic: 'str') -> 'None' can't be called as it must"),
        (lambda _: CloseTakesMore(), "whose close(timeout: 'float') -> 'None' can't be called as it must"),
        (lambda _: Asynchronous(), "whose publish() is asynchronous"),
        (asynchronous_factory, "returned a coroutine: it is asynchronous"),
    ],
)
def test_what_is_no_publisher(factory: Callable[[str], object], problem: str) -> None:
    """Refused before anything is published, with what it must have."""
    with pytest.raises(UsageError) as refused:
        FactoryPublisher(factory, URL, name="m:f", field="publisher.python")  # type: ignore[arg-type]
    assert refused.value.field == "publisher.python"
    assert refused.value.problem.startswith("'m:f' returned a ")
    assert problem in refused.value.problem
    assert "publish(body, *, exchange, routing_key, message_id)" in refused.value.way_out


def test_an_awaitable_is_no_confirm() -> None:
    """A publish that hides its coroutine has published nothing: the outcome is unknown."""

    async def later() -> None:
        """Nothing."""

    class Hiding(Sound):
        def publish(self, body: bytes, **_: str) -> object:
            return later()

    publisher = FactoryPublisher(Hiding, URL, name="m:f")
    with pytest.raises(OutcomeUnknown, match="publish\\(\\) of what 'm:f' made returned an awaitable"):
        publish(publisher)
    publisher.close()


@pytest.mark.parametrize("error", [RuntimeError("no broker there"), TimeoutError("no broker there")])
def test_a_raising_factory(error: Exception) -> None:
    """Its error is told with the factory's name."""

    def factory(url: str) -> Sound:
        raise error

    with pytest.raises(HarnessError) as caught:
        FactoryPublisher(factory, URL, name="m:f")
    assert str(caught.value) == f"the factory 'm:f' raised {type(error).__name__}: no broker there"
    assert caught.value.__cause__ is error


# --- what hangs ----------------------------------------------------------------------------------


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What a hanging call waits for; set at the end."""
    event = threading.Event()
    yield event
    event.set()


def test_a_factory_that_hangs(released: threading.Event) -> None:
    """It is given up after the time."""

    def factory(url: str) -> Sound:
        released.wait()
        return Sound(url)

    began = time.monotonic()
    with pytest.raises(HarnessError, match=r"^the factory 'm:f' did not return within 0\.1 s$"):
        FactoryPublisher(factory, URL, name="m:f", timeout_s=0.1)
    assert time.monotonic() - began < 10.0


def test_a_publish_that_hangs(released: threading.Event) -> None:
    """Its message's outcome is unknown after the time, the next one is published, and close is not held up."""

    class Hanging(Sound):
        def publish(self, body: bytes, *, exchange: str, routing_key: str, message_id: str) -> object:
            if message_id == "m1":
                released.wait()
            return super().publish(body, exchange=exchange, routing_key=routing_key, message_id=message_id)

    publisher = FactoryPublisher(Hanging, URL, name="m:f", timeout_s=10.0)
    publisher._timeout_s = 0.2
    with pytest.raises(OutcomeUnknown, match=r"unknown: publish\(\) of what 'm:f' made did not return"):
        publish(publisher, "m1")
    publisher._timeout_s = 10.0
    publish(publisher, "m2")
    publisher.close()


def test_a_close_that_hangs(released: threading.Event) -> None:
    """It is given up after the time, and told."""

    class Hanging(Sound):
        def close(self) -> None:
            released.wait()

    publisher = FactoryPublisher(Hanging, URL, name="m:f", timeout_s=10.0)
    publish(publisher)
    publisher._timeout_s = 0.1
    with pytest.raises(HarnessError, match=r"^close\(\) of what 'm:f' made did not return within 0\.1 s$"):
        publisher.close()
