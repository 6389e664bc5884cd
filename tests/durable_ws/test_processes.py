"""Forks and the end of the interpreter, each in a program of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, Queues, RunScript, Wait

pytestmark = pytest.mark.broker


def test_fork(run_script: RunScript, queues: Queues, queue: str) -> None:
    """The child publishes over a connection of its own, the parent goes on over its own, and neither hangs."""
    done = run_script("""
with Publisher(exchanges=EXCHANGES) as publisher:
    publisher.publish("parent before")
    first = publisher._pool
    children = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            assert publisher._pool is None
            assert publisher.publish(f"child {number}").attempts == 1
            publisher.close()
            sys.exit(0)
        children.append(pid)
    receipts = publisher.publish_many(f"parent {n}" for n in range(50))
    assert {receipt.attempts for receipt in receipts} == {1}
    print([os.waitpid(pid, 0)[1] for pid in children])
    assert publisher.publish("parent after").attempts == 1
    assert publisher._pool is first
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 0, 0]\n", "")
    bodies = [got.body.decode() for got in queues.take(queue)]
    own = [body for body in bodies if body.startswith("parent")]
    assert own == ["parent before", *(f"parent {n}" for n in range(50)), "parent after"]
    assert sorted(body for body in bodies if body.startswith("child")) == ["child 0", "child 1", "child 2"]


def test_fork_with_messages_under_way(run_script: RunScript, link: Link, queues: Queues, queue: str) -> None:
    """They are the parent's alone: the child neither publishes nor waits for them, and its batch says whose it is."""
    done = run_script(
        """
publisher = Publisher(exchanges=EXCHANGES)
publisher.publish("first")
batch = publisher.batch()
for n in range(200):
    batch.publish({"n": n})
pid = os.fork()
if pid == 0:
    try:
        batch.wait()
    except InvalidState as exc:
        print(exc, flush=True)
    publisher.publish("child")
    publisher.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert [outcome.attempts for outcome in batch.outcomes] == [1] * 200
publisher.close()
""",
        RABBITMQ_URL=link.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("this batch was begun before a fork")
    bodies = [got.body for got in queues.take(queue)]
    assert len(bodies) == len(set(bodies)) == 202


def test_fork_while_other_threads_publish(run_script: RunScript, queues: Queues, queue: str) -> None:
    """Whatever locks the parent's threads hold at the moment of the fork, the child can publish."""
    done = run_script(
        """
publisher = Publisher(exchanges=EXCHANGES)
stop = threading.Event()
def work():
    while not stop.is_set():
        publisher.publish("parent")
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
statuses = []
for _ in range(15):
    pid = os.fork()
    if pid == 0:
        publisher.publish("child", timeout=10)
        publisher.close()
        os._exit(0)
    statuses.append(os.waitpid(pid, 0)[1])
stop.set()
for thread in threads:
    thread.join()
publisher.close()
assert statuses == [0] * 15, statuses
""",
        timeout_s=120.0,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [got.body for got in queues.take(queue)].count(b"child") == 15


def test_nothing_is_imported_while_it_publishes(run_script: RunScript, url: str) -> None:
    """A child that is forked while another thread imports a module waits for that module's lock for ever."""
    done = run_script(
        """
publisher = Publisher(exchanges=EXCHANGES)
before = set(sys.modules)
publisher.publish("a")
publisher.publish_many(["b", "c"])
publisher.close()
print(sorted(set(sys.modules) - before))
""",
        RABBITMQ_URL=url.replace("127.0.0.1", "localhost"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_multiprocessing(run_script: RunScript, queues: Queues, queue: str) -> None:
    """Workers of a forking pool publish, and their errors come back by pickle with all that is known."""
    done = run_script("""
import multiprocessing
publisher = Publisher(exchanges=EXCHANGES)
def work(n):
    return publisher.publish({"n": n}, require_route=True, routing_key="k").routed
def fail(n):
    publisher.publish({"n": n}, to="nowhere")
publisher.publish("parent")
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert all(pool.map(work, range(20)))
    try:
        pool.map(fail, [1])
    except ConfigError as exc:
        print(exc.field)
publisher.close()
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "to\n", "")
    assert len(queues.take(queue)) == 21


def test_a_fork_of_a_closed_publisher(run_script: RunScript) -> None:
    """Is closed as well."""
    done = run_script("""
publisher = Publisher(exchanges=EXCHANGES)
publisher.publish("a")
publisher.close()
pid = os.fork()
if pid == 0:
    try:
        publisher.publish("b")
    except InvalidState:
        os._exit(7)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")


def test_an_interpreter_that_ends_without_close(run_script: RunScript, queues: Queues, queue: str) -> None:
    """What was submitted is confirmed before the end; nothing is printed, and it does not hang."""
    done = run_script("""
import durable_ws.publisher
durable_ws.publisher._AT_EXIT_S = 30.0
publisher = Publisher(exchanges=EXCHANGES)
for n in range(100):
    publisher.submit({"n": n})
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(queues.take(queue)) == 100


def test_an_interpreter_that_ends_by_an_error(run_script: RunScript, queues: Queues, queue: str) -> None:
    """The error is shown, and what was submitted is not lost for it."""
    done = run_script("""
import durable_ws.publisher
durable_ws.publisher._AT_EXIT_S = 30.0
publisher = Publisher(exchanges=EXCHANGES)
publisher.submit("a")
raise LookupError("mine")
""")
    assert done.returncode == 1
    assert done.stderr.endswith("LookupError: mine\n")
    assert done.stderr.count("Traceback") == 1
    assert len(queues.take(queue)) == 1


@pytest.mark.parametrize("timeout_s", [0.5, 60])
def test_an_interpreter_that_ends_while_the_broker_is_away(run_script: RunScript, timeout_s: float) -> None:
    """It waits as long as close would, and no longer than a few seconds."""
    before = time.monotonic()
    done = run_script(
        f"""
import durable_ws.publisher
durable_ws.publisher._AT_EXIT_S = 1.0
publisher = Publisher(exchanges=EXCHANGES, close_timeout_s={timeout_s})
publisher.submit("a")
""",
        RABBITMQ_URL="amqp://127.0.0.1:1",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - before < 30.0


def test_ctrl_c_ends_a_program(run_script: RunScript, queues: Queues, queue: str) -> None:
    """A program that is interrupted while it waits for a confirm ends by KeyboardInterrupt, soon."""
    done = run_script(
        """
signal.signal(signal.SIGINT, signal.default_int_handler)
publisher = Publisher(exchanges=EXCHANGES, close_timeout_s=0.5)
threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
publisher.publish("a")
""",
        RABBITMQ_URL="amqp://127.0.0.1:1",
    )
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert done.stderr.count("Traceback") == 1
    assert queues.take(queue) == []


def test_a_cut_prints_nothing(run_script: RunScript, link: Link, wait: Wait) -> None:
    """Where logging is not set up, a program whose connection is cut prints nothing."""
    with link.fault("cut_before_confirm", down=False) as active:
        done = run_script(
            """
with Publisher(exchanges=EXCHANGES) as publisher:
    print(publisher.publish("a").attempts)
""",
            RABBITMQ_URL=link.url,
        )
        assert active.fired
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    wait(lambda: not link.proxy.connections, "the connection is gone")
