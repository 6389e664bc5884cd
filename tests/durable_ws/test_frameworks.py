"""The examples for FastAPI, Django and Celery, run as their users run them, before a real broker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from conformance.world.broker.base import Broker
from conformance.world.broker.ports import free_ports
from durable_ws import Exchange
from durable_ws.exchanges import DEFAULT_EXCHANGES

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Queues

pytestmark = pytest.mark.broker

EXAMPLES = Path(__file__).parents[2] / "examples" / "web"
PATIENCE_S = 60.0
Start = Callable[..., "subprocess.Popen[str]"]


def until(condition: Callable[[], object], program: subprocess.Popen[str], what: str) -> None:
    """Wait for what a program does; fails with what it printed if it ends first."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if program.poll() is not None or time.monotonic() > deadline:
            program.kill()
            pytest.fail(f"waited in vain: {what}; it printed: {program.communicate()[0]}")
        time.sleep(0.05)


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    """Start a program of Python's environment, in the examples' folder; it is ended by SIGTERM, and must end by it."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **environment: str) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=EXAMPLES,
            env={**os.environ, "RABBITMQ_URL": url, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(program)
        return program

    yield start
    for program in started:
        program.send_signal(signal.SIGTERM)
        try:
            program.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.communicate()
            pytest.fail("it did not end by SIGTERM")


@pytest.fixture
def default_queue(queues: Queues, namespace: str) -> str:
    """A queue that gets what is published to the default exchange with the test's own key; the exchange stays."""
    name = queues.make(None)
    default: Exchange = DEFAULT_EXCHANGES["pubsub"]
    with queues.channel as channel:
        channel.exchange_declare(default.name, default.type, durable=True)
        channel.queue_bind(name, default.name, namespace)
    return name


def answers(url: str) -> bool:
    """Whether something does."""
    try:
        httpx.get(url, timeout=PATIENCE_S)
    except httpx.TransportError:
        return False
    return True


def publishing_processes(broker: Broker) -> set[str]:
    """Those whose publishers have a connection to the broker now."""
    return set(
        re.findall(r"durable_ws of process (\d+)", broker.ctl("list_connections", "--silent", "client_properties"))
    )


def until_both_publish(broker: Broker, send: Callable[[], None], program: subprocess.Popen[str]) -> None:
    """Send until two more processes than before have published: which worker takes what is the framework's choice."""
    if "ctl" not in broker.capabilities:
        pytest.skip("the broker that was named can't be asked what connections it has (rabbitmqctl)")
    before = publishing_processes(broker)

    def both() -> bool:
        send()
        return len(publishing_processes(broker) - before) >= 2

    until(both, program, "both workers publish")


def test_every_example_is_tested() -> None:
    """None is left out."""
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == ["celery_app.py", "django_app.py", "fastapi_app.py"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_fastapi(  # noqa: PLR0913, RUF100
    start: Start, broker: Broker, queues: Queues, default_queue: str, namespace: str, loop: str
) -> None:
    """Two workers, each with a loop and a publisher of its own; many requests at once."""
    (port,) = free_ports(1)
    base = f"http://127.0.0.1:{port}"
    program = start("uvicorn", "fastapi_app:app", "--workers", "2", "--port", str(port), "--loop", loop)
    until(lambda: answers(base), program, "it serves")
    told: dict[str, float] = {}

    def post(price: int) -> None:
        answer = httpx.post(f"{base}/ticks/{namespace}", params={"price": price}, timeout=PATIENCE_S).json()
        assert answer["routed"]
        told[answer["message_id"]] = price

    with ThreadPoolExecutor(8) as threads:
        until_both_publish(broker, lambda: list(threads.map(post, range(20))), program)
    got = {one.properties.message_id: json.loads(one.body) for one in queues.take(default_queue)}
    assert got == {message_id: {"symbol": namespace, "price": float(price)} for message_id, price in told.items()}


def test_fastapi_says_what_is_known(start: Start, url: str) -> None:
    """Where the broker refuses the login: 503 with the error's name."""
    (port,) = free_ports(1)
    base = f"http://127.0.0.1:{port}"
    wrong = url.replace("guest:guest", "guest:wrong")
    program = start("uvicorn", "fastapi_app:app", "--port", str(port), RABBITMQ_URL=wrong)
    until(lambda: answers(base), program, "it serves")
    answer = httpx.post(f"{base}/ticks/a", params={"price": 1}, timeout=PATIENCE_S)
    assert (answer.status_code, answer.json()["error"]) == (503, "Refused")


def test_django(start: Start, broker: Broker, queues: Queues, default_queue: str, namespace: str) -> None:
    """Sync and async views in two workers, forked after the publisher was made."""
    (port,) = free_ports(1)
    base = f"http://127.0.0.1:{port}"
    program = start("gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", "django_app:application")
    until(lambda: answers(base), program, "it serves")
    told: dict[str, str] = {}

    def ask(number: int) -> None:
        view = ("ticks", "async-ticks")[number % 2]
        answer = httpx.get(f"{base}/{view}/{namespace}", params={"price": number}, timeout=PATIENCE_S).json()
        assert answer["routed"]
        told[answer["message_id"]] = str(number)

    with ThreadPoolExecutor(8) as threads:
        until_both_publish(broker, lambda: list(threads.map(ask, range(20))), program)
    got = {one.properties.message_id: json.loads(one.body)["price"] for one in queues.take(default_queue)}
    assert got == told


def test_celery(  # noqa: PLR0913, RUF100
    start: Start, broker: Broker, url: str, queues: Queues, default_queue: str, namespace: str
) -> None:
    """Two prefork worker processes publish what their tasks say."""
    tasks = f"{namespace}-tasks"
    program = start(
        "celery", "--app", "celery_app", "worker", "--pool", "prefork", "--concurrency", "2", "--without-gossip",
        "--without-mingle", "--without-heartbeat", TASK_QUEUE=tasks,
    )  # fmt: skip
    send = (
        "import celery_app\n"
        f"for n in range(10): celery_app.tick.delay({namespace!r}, n)\n"
        "celery_app.publisher.close()\n"
    )
    sent: list[int] = []
    arrived: list[int] = []

    def call_tasks() -> None:
        subprocess.run(
            [sys.executable, "-c", send],
            cwd=EXAMPLES,
            env={**os.environ, "RABBITMQ_URL": url, "TASK_QUEUE": tasks, "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
            timeout=PATIENCE_S,
        )
        sent.extend(range(10))

    def all_there() -> bool:
        arrived.extend(json.loads(got.body)["price"] for got in queues.take(default_queue))
        return len(arrived) >= len(sent)

    until_both_publish(broker, call_tasks, program)
    until(all_there, program, "its tasks have published")
    assert sorted(arrived) == sorted(sent)
    with queues.channel as channel:
        channel.queue_delete(tasks)
