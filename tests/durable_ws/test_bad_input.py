"""What can't be published, connected to or declared: each error names the field, the problem and the way out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from durable_ws import ConfigError, Exchange, Publisher

URL = "amqp://guest:guest@127.0.0.1:1/%2F"
LOOP: list[Any] = []
LOOP.append(LOOP)
try:
    json.dumps(10**5000)
except ValueError as exc:
    TOO_MANY_DIGITS = str(exc)  # Python's words


def url(url: Any) -> Callable[[], object]:
    """Make a publisher with this URL."""
    return lambda: Publisher(url)


def option(**options: Any) -> Callable[[], object]:
    """Make a publisher with these options."""
    return lambda: Publisher(URL, **options)


def exchanges(exchanges: Any) -> Callable[[], object]:
    """Make a publisher with these exchanges."""
    return lambda: Publisher(URL, exchanges)


def publish(payload: Any = "text", **options: Any) -> Callable[[], object]:
    """Publish this; nothing listens at the URL, so only a check before sending can tell."""

    def call() -> object:
        with Publisher(URL, timeout=0.01) as publisher:
            return publisher.publish(payload, **options)

    return call


TABLE: dict[str, tuple[Callable[[], object], str, str, str]] = {
    # what: (the call, the field, words of the problem, words of the way out)
    "url of the wrong type": (url(5672), "url", "is a int, not text", "amqp://user:password@host"),
    "url without a scheme": (url("localhost"), "url", "has no scheme", "amqp://user:password@host"),
    "url empty": (url(""), "url", "has no scheme", "amqp://user:password@host"),
    "url of http": (url("http://localhost"), "url", "the scheme is 'http'", "amqp://user:password@host"),
    "url with a space": (url("amqp://a b"), "url", "holds a space", "%20"),
    "url with a newline": (url("amqp://host\n"), "url", "line break", "Percent-encode"),
    "url without a host": (url("amqp://user:pw@/v"), "url", "there is no host", "amqp://user:password@host"),
    "url without anything": (url("amqp://"), "url", "there is no host", "amqp://user:password@host"),
    "url without a password": (url("amqp://me@host"), "url", "the user 'me' has no password", "user:password@"),
    "url with a port of letters": (url("amqp://u:p@host:amqp"), "url", "the port 'amqp' is not", "host:5672"),
    "url with a port too high": (url("amqp://u:p@host:70000"), "url", "the port '70000' is not", "host:5672"),
    "url with port 0": (url("amqp://host:0"), "url", "the port is 0", "host:5672"),
    "url with a slash in the vhost": (url("amqp://host/a/b"), "url", "the vhost 'a/b' has a bare slash", "%2F"),
    "url with a long vhost": (url("amqp://host/" + "v" * 256), "url", "more than 255 bytes", "vhost"),
    "url with a fragment": (url("amqp://host/a#b"), "url", "a bare #, and what follows it", "amqp://user:"),
    "url with half an IPv6 address": (url("amqp://[::1/"), "url", "the host is not", "amqp://user:password@host"),
    "url with a label too long": (url(f"amqp://{'a' * 64}.org"), "url", "the host is not", "host:5672"),
    "url with an unknown parameter": (
        url("amqp://host?heartbaet=5"), "url?heartbaet", "no parameter", "Did you mean 'heartbeat'?"
    ),
    "url with a parameter twice": (url("amqp://h?heartbeat=5&heartbeat=6"), "url?heartbeat", "one value", "leave it"),
    "url with an empty parameter": (url("amqp://h?heartbeat="), "url?heartbeat", "one value", "Give it one"),
    "url with a wrong value": (url("amqp://h?heartbeat=often"), "url", "'heartbeat' can't be used", "amqp://user"),
    "url with a heart-beat too long": (url("amqp://h?heartbeat=65536"), "url?heartbeat", "65536 s is more", "Give"),
    "url with one channel": (url("amqp://h?channel_max=1"), "url?channel_max", "1 is too few", "Leave it out"),
    "timeout 0": (option(timeout=0), "timeout", "0 is not a number of seconds above 0", "such as 30"),
    "timeout negative": (option(timeout=-1), "timeout", "-1 is not", "such as 30"),
    "timeout nan": (option(timeout=float("nan")), "timeout", "nan is not", "such as 30"),
    "timeout infinite": (option(timeout=float("inf")), "timeout", "inf is not", "such as 30"),
    "timeout of text": (option(timeout="30"), "timeout", "'30' is not", "such as 30"),
    "timeout True": (option(timeout=True), "timeout", "True is not", "such as 30"),
    "window 0": (option(window=0), "window", "0 is not a whole number of at least 1", "Give one"),
    "window of a half": (option(window=1.5), "window", "1.5 is not a whole number", "Give one"),
    "max_connections 0": (option(max_connections=0), "max_connections", "0 is not", "Give one"),
    "max_size negative": (option(max_size=-1), "max_size", "-1 is not", "Give one"),
    "heartbeat_s negative": (option(heartbeat_s=-1), "heartbeat_s", "-1 is not a whole number of 0–65535", "Give"),
    "heartbeat_s too long": (option(heartbeat_s=65536), "heartbeat_s", "65536 is not", "Give one"),
    "connect_timeout_s 0": (option(connect_timeout_s=0), "connect_timeout_s", "0 is not", "such as 30"),
    "reconnect_first_s None": (option(reconnect_first_s=None), "reconnect_first_s", "None is not", "such as 30"),
    "reconnect_most_s 0": (option(reconnect_most_s=0), "reconnect_most_s", "0 is not", "such as 30"),
    "close_timeout_s 0": (option(close_timeout_s=0), "close_timeout_s", "0 is not", "such as 30"),
    "require_route of text": (option(require_route="no"), "require_route", "'no' is not a bool", "True or False"),
    "exchanges empty": (exchanges({}), "exchanges", "{} is not a mapping", "leave it out for the default two"),
    "exchanges a list": (exchanges(["news"]), "exchanges", "['news'] is not a mapping", 'Exchange("news"'),
    "exchanges of texts": (exchanges({"news": "topic"}), "exchanges['news']", "'topic' is not an Exchange", "passive"),
    "exchanges by number": (exchanges({1: {"name": "n"}}), "exchanges[1]", "the name is a int", "by a text"),
    "exchange with an unknown field": (
        exchanges({"a": {"durabel": True}}), "exchanges['a']", "'durabel' is no field", "Did you mean 'durable'?"
    ),
    "exchange of an unknown type": (
        exchanges({"a": {"type": "topics"}}), "exchanges['a'].type", "'topics' is no type", "Did you mean 'topic'?"
    ),
    "exchange with a type of no text": (exchanges({"a": {"type": None}}), "exchanges['a'].type", "None", "'topic'"),
    "exchange with a long name": (exchanges({"a": {"name": "é" * 128}}), "exchanges['a'].name", "255 bytes", "name"),
    "exchange with a name of no text": (exchanges({"a": {"name": 5}}), "exchanges['a'].name", "5 is not", "name"),
    "exchange with a name of half a pair": (
        exchanges({"a": {"name": "\ud800"}}), "exchanges['a'].name", "'\\ud800' is not", "name"
    ),
    "exchange durable in words": (exchanges({"a": {"durable": "no"}}), "exchanges['a'].durable", "'no' is not", "True"),
    "exchange passive by number": (exchanges({"a": {"passive": 1}}), "exchanges['a'].passive", "1 is not", "True"),
    "exchange with arguments of a list": (
        exchanges({"a": {"arguments": [1]}}), "exchanges['a'].arguments", "[1] is not a mapping", '{"key": "value"}'
    ),
    "exchange with a float argument": (
        exchanges({"a": {"arguments": {"x": 1.5}}}), "exchanges['a'].arguments['x']", "the float 1.5", "as text"
    ),
    "exchange twice, differently": (
        exchanges({"a": Exchange("x"), "b": Exchange("x", "fanout")}),
        "exchanges['b']", "declares 'x' otherwise than exchanges['a']", "different names",
    ),
    "Exchange by itself": (lambda: Exchange("x", "topics"), "exchange.type", "'topics' is no type", "'topic'"),
    "to an unknown exchange": (publish(to="pubsbu"), "to", "'pubsbu' is no exchange", "Did you mean 'pubsub'?"),
    "to no text": (publish(to=["pubsub"]), "to", "['pubsub'] is no exchange", "Known: 'pubsub', 'broadcast'."),
    "payload of a set": (publish({1}), "payload", "{1} of type set is not JSON-able", "Give str, bytes"),
    "payload with an object inside": (
        publish({"items": [1, object()]}), "payload['items'][1]", "of type object is not JSON-able", "what JSON knows"
    ),
    "payload nan": (publish([float("nan")]), "payload[0]", "is nan, which JSON does not know", "Give str"),
    "payload infinite": (publish({"p": float("-inf")}), "payload['p']", "is -inf", "Give str"),
    "payload with a tuple as a key": (publish({(1, 2): 3}), "payload", "has the key (1, 2) of type tuple", "Give str"),
    "payload that holds itself": (publish(LOOP), "payload[0]", "holds itself", "Give str"),
    "payload with half a pair": (publish("\ud800"), "payload", "a lone surrogate ('\\ud800')", "Publish bytes"),
    "payload with half a pair inside": (publish(["\udfff"]), "payload", "a lone surrogate", "Publish bytes"),
    "payload too large": (
        publish(b"x" * (16 * 1024 * 1024 + 1)), "payload", "16,777,217 bytes, the largest allowed is 16,777,216", "max_"
    ),
    "routing key too long": (publish(routing_key="é" * 128), "routing_key", "has 256 bytes, AMQP allows 255", "Short"),
    "routing key of no text": (publish(routing_key=None), "routing_key", "None is not text", "Give a str"),
    "routing key of half a pair": (publish(routing_key="\ud800"), "routing_key", "'\\ud800' is not text", "Give a str"),
    "message id empty": (publish(message_id=""), "message_id", "is empty", "Leave it out"),
    "message id of a number": (publish(message_id=7), "message_id", "7 is not text", "Give a str"),
    "message id too long": (publish(message_id="m" * 256), "message_id", "has 256 bytes", "Shorten it"),
    "timeout of one publish": (publish(timeout=0), "timeout", "0 is not", "such as 30"),
    "require_route of one publish": (publish(require_route=1), "require_route", "1 is not a bool", "True or False"),
    "unknown property": (publish(priorty=1), "priorty", "is no property", "Did you mean 'priority'?"),
    "property of another library": (publish(persistent=True), "persistent", "is no property", "'delivery_mode'?"),
    "property mandatory": (publish(mandatory=True), "mandatory", "is no property", "Did you mean 'require_route'?"),
    "property lane": (publish(lane="fast"), "lane", "is no property", "Known: "),
    "priority too high": (publish(priority=256), "priority", "256 is not an integer of 0–255", "in that range"),
    "priority of text": (publish(priority="1"), "priority", "'1' is not an integer", "in that range"),
    "priority True": (publish(priority=True), "priority", "True is not an integer", "in that range"),
    "delivery mode 3": (publish(delivery_mode=3), "delivery_mode", "3 is not an integer of 1–2", "in that range"),
    "expiration in words": (publish(expiration="1h"), "expiration", "'1h' is not an integer", "in that range"),
    "expiration negative": (publish(expiration=timedelta(-1)), "expiration", "-86400000 is not", "in that range"),
    "expiration too long": (publish(expiration=2**32), "expiration", "4294967296 is not", "in that range"),
    "expiration of many digits": (publish(expiration="9" * 5000), "expiration", "is not an integer", "in that range"),
    "timestamp without a zone": (publish(timestamp=datetime(2030, 1, 1)), "timestamp", "no time zone", "utc"),  # noqa: DTZ001, RUF100
    "timestamp of text": (publish(timestamp="now"), "timestamp", "'now' is not an integer", "in that range"),
    "content type of a number": (publish(content_type=1), "content_type", "1 is not text", "Give a str"),
    "headers of a list": (publish(headers=[1]), "headers", "[1] is not a mapping", '{"key": "value"}'),
    "headers by number": (publish(headers={1: 2}), "headers", "has the key 1 of type int", "Values are text"),
    "headers by number, inside": (publish(headers={"a": {1: 2}}), "headers['a']", "has the key 1", "Values are text"),
    "header with a long name": (publish(headers={"k" * 256: 1}), "headers", "of 256 bytes, AMQP allows 255", "Short"),
    "header with a name of half a pair": (publish(headers={"\ud800": 1}), "headers", "which UTF-8 can't say", "Give"),
    "header of an object": (publish(headers={"a": [1, object]}), "headers['a'][1]", "of type type is nothing", "Val"),
    "header of a float": (publish(headers={"a": 1.5}), "headers['a']", "the float 1.5", "Send it as text"),
    "header of 70 bits": (publish(headers={"a": 2**70}), "headers['a']", "1180591620717411303424", "int of 64 bits"),
    "header of half a pair": (publish(headers={"a": "\ud800"}), "headers['a']", "'\\ud800' of type str", "Values"),
    "headers that hold themselves": (publish(headers={"a": LOOP}), "headers", "nested too deep", "Values are text"),
    "headers too large": (publish(headers={"a": "x" * 100_001}), "headers", "at most 100,000 fit", "into the payload"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "field", "problem", "way_out"), TABLE.values(), ids=list(TABLE))
def test_an_error_names_field_problem_and_way_out(
    call: Callable[[], object], field: str, problem: str, way_out: str
) -> None:
    """Nobody has to guess what to mend; and whoever catches ValueError catches it."""
    with pytest.raises(ConfigError) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    assert caught.value.field == field
    assert problem in caught.value.problem
    assert way_out in caught.value.way_out
    assert re.fullmatch("[A-Z].*[.?]", caught.value.way_out), "no sentence"
    assert str(caught.value) == f"{field}: {caught.value.problem}. {caught.value.way_out}"
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def nested(levels: int) -> list[Any]:
    """Lists in a list."""
    outermost: list[Any] = []
    for _ in range(levels):
        outermost = [outermost]
    return outermost


WHOLE: dict[str, tuple[Callable[[], object], str]] = {
    "message id empty": (publish(message_id=""), "message_id: is empty. Leave it out to get a new one."),
    "unknown property": (
        publish(mandatory=True),
        (
            "mandatory: is no property of a message. Did you mean 'require_route'? Known: 'content_type', "
            "'content_encoding', 'correlation_id', 'reply_to', 'type', 'user_id', 'app_id', 'cluster_id', 'headers', "
            "'delivery_mode', 'priority', 'expiration', 'timestamp'."
        ),
    ),
    "payload that holds itself": (
        publish(LOOP),
        "payload[0]: holds itself. Give str, bytes, or what JSON knows: dict, list, str, int, float, bool, None.",
    ),
    "payload nested too deep": (
        lambda: publish(nested(20_000))(),
        (
            f"payload{'[0]' * 201}: is nested too deep. "
            "Give str, bytes, or what JSON knows: dict, list, str, int, float, bool, None."
        ),
    ),
    "payload of too many digits": (
        publish([10**5000]),
        f"payload: {TOO_MANY_DIGITS}. Give str, bytes, or what JSON knows: dict, list, str, int, float, bool, None.",
    ),
    "headers that hold themselves": (
        publish(headers={"a": LOOP}),
        (
            "headers: is nested too deep, or holds itself. "
            "Values are text, bytes, bool, int of 64 bits, datetime, None, and lists and dicts of them."
        ),
    ),
    "long key": (
        publish(routing_key="k" * 256),
        f"routing_key: '{'k' * 40}'… has 256 bytes, AMQP allows 255. Shorten it.",
    ),
    "long name of a header": (
        publish(headers={"k" * 256: 1}),
        f"headers: has the key '{'k' * 40}'… of 256 bytes, AMQP allows 255. Shorten it.",
    ),
}


@pytest.mark.parametrize(("call", "said"), WHOLE.values(), ids=list(WHOLE))
def test_the_whole_text(call: Callable[[], object], said: str) -> None:
    """From the first to the last word."""
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "url",
    [
        "amqp://user:hunter2@host:port/%2F",
        "amqp://user:hunter2@host:99999",
        "amqp://user:hunter2@host/a/b",
        "amqp://user:hunter2@host#x",
        "amqp://user:hunter2@[::1",
        "amqp://user:hunter2@host?hunter=2",
        "amqp://user:hunter2@host?heartbeat=x",
        "amqp://user:hunter2@host?channel_max=1",
        "amqp://user:hunter2@" + "h" * 300,
        "amqp://user:hunter2@host/" + "v" * 300,
        "amqp://user:hunter2@",
        "amqp://user:hun ter2@host",
        "amqp://user:hunter2/more@host",
        "amqp://user:12/hunter2/more@host",
        "amqp://user:12/hunter2" + "2" * 300 + "@host",
        "amqp://user:12?hunter2@host",
        "amqp://user:12?hunter2=1@host",
        "amqp://user:12#hunter2@host",
        "amqp://user:hunter2#more@host",
        "amqp://user:hunter2?more@host",
        "amqp://user:hun@ter2:hunter2/x@host",
        "amqp://user:hunter2",
        "user:hunter2@host",
        "user:hunter2://host",
        "http://user:hunter2@host",
    ],
)
def test_no_error_tells_the_password(url: str) -> None:
    """However the URL is broken, also where the password itself breaks it (a bare ``/``, ``?``, ``#`` or ``@``)."""
    with pytest.raises(ConfigError) as caught:
        Publisher(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error} {error!r} {error.args}"
        assert "ter2" not in str(error)
        error = error.__cause__


@pytest.mark.parametrize("text", ["0", "-1", "five", "1.5", "٥", "9" * 5000])
def test_max_threads_that_is_no_number(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The environment's ``MAX_THREADS`` is named, as the caller has not given it."""
    monkeypatch.setenv("MAX_THREADS", text)
    with pytest.raises(ConfigError, match=r"^MAX_THREADS: .* is not a whole number of at least 1\. Set it to one"):
        Publisher(URL)
    Publisher(URL, max_connections=1)


def test_no_url_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says both ways to give one; an empty variable is none."""
    for value in (None, ""):
        monkeypatch.delenv("RABBITMQ_URL", raising=False)
        if value is not None:
            monkeypatch.setenv("RABBITMQ_URL", value)
        with pytest.raises(ConfigError) as caught:
            Publisher()
        assert caught.value.field == "RABBITMQ_URL"
        assert "Set RABBITMQ_URL, or call Publisher(url)" in caught.value.way_out
        assert "amqp://user:password@host:5672/vhost" in caught.value.way_out


def test_a_broken_url_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error calls it by the variable's name."""
    monkeypatch.setenv("RABBITMQ_URL", "amqp://host:x")
    with pytest.raises(ConfigError, match=r"^RABBITMQ_URL: the port"):
        Publisher()


def test_a_failed_publisher_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be made needs no close and warns of nothing."""
    monkeypatch.delenv("RABBITMQ_URL", raising=False)
    with pytest.raises(ConfigError):
        Publisher()
    with pytest.raises(ConfigError):
        Publisher(URL, {"x": 1})  # type: ignore[dict-item]
