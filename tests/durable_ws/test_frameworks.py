"""The examples for FastAPI, Django and Celery, run as their users run them, before a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

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


def test_every_example_is_tested() -> None:
    """None is left out."""
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == ["celery_app.py", "django_app.py", "fastapi_app.py"]


def test_fastapi(start: Start, queues: Queues, default_queue: str, namespace: str) -> None:
    """Two workers, each with a loop and a publisher of its own; many requests at once."""
    (port,) = free_ports(1)
    base = f"http://127.0.0.1:{port}"
    program = start("uvicorn", "fastapi_app:app", "--workers", "2", "--port", str(port))
    until(lambda: answers(base), program, "it serves")
    with httpx.Client(base_url=base, timeout=PATIENCE_S) as client:
        told = [client.post(f"/ticks/{namespace}", params={"price": n}).json() for n in range(20)]
    assert all(one["routed"] for one in told)
    got = queues.take(default_queue)
    assert [one.properties.message_id for one in got] == [one["message_id"] for one in told]
    assert json.loads(got[3].body) == {"symbol": namespace, "price": 3.0}


def test_fastapi_says_what_is_known(start: Start, url: str) -> None:
    """Where the broker refuses the login: 503 with the error's name."""
    (port,) = free_ports(1)
    base = f"http://127.0.0.1:{port}"
    wrong = url.replace("guest:guest", "guest:wrong")
    program = start("uvicorn", "fastapi_app:app", "--port", str(port), RABBITMQ_URL=wrong)
    until(lambda: answers(base), program, "it serves")
    answer = httpx.post(f"{base}/ticks/a", params={"price": 1}, timeout=PATIENCE_S)
    assert (answer.status_code, answer.json()["error"]) == (503, "Refused")


def test_django(start: Start, queues: Queues, default_queue: str, namespace: str) -> None:
    """Sync and async views in two workers, forked after the publisher was made."""
    (port,) = free_ports(1)
    base = f"http://127.0.0.1:{port}"
    program = start("gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", "django_app:application")
    until(lambda: answers(base), program, "it serves")
    told = [
        httpx.get(f"{base}/{view}/{namespace}", params={"price": n}, timeout=PATIENCE_S).json()
        for n in range(10)
        for view in ("ticks", "async-ticks")
    ]
    assert all(one["routed"] for one in told)
    assert {one.properties.message_id for one in queues.take(default_queue)} == {one["message_id"] for one in told}


def test_celery(start: Start, url: str, queues: Queues, default_queue: str, namespace: str) -> None:
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
    subprocess.run(
        [sys.executable, "-c", send],
        cwd=EXAMPLES,
        env={**os.environ, "RABBITMQ_URL": url, "TASK_QUEUE": tasks, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=PATIENCE_S,
    )
    arrived: list[float] = []

    def all_there() -> bool:
        arrived.extend(json.loads(got.body)["price"] for got in queues.take(default_queue))
        return len(arrived) >= 10

    until(all_there, program, "its tasks have published")
    assert sorted(arrived) == list(range(10))
    with queues.channel as channel:
        channel.queue_delete(tasks)
