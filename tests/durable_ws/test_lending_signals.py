"""Signal handlers that strike at any moment of a loop that publishes one message after the other, by a loan mostly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durable_ws.loan import CAN_LEND

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Queues, RunScript

pytestmark = [pytest.mark.broker, pytest.mark.skipif(not CAN_LEND, reason="this system has no poll")]

BEGIN = """
import time
publisher = Publisher(exchanges=EXCHANGES, timeout=30.0, reconnect_first_s=0.02, reconnect_most_s=0.1)
slowest, uses = 0.0, 0

def publish(text):
    global slowest, uses
    loan = publisher._pool and publisher._pool._lender.loan
    before = loan.uses if loan else 0
    began = time.monotonic()
    try:
        return publisher.publish(text)
    finally:
        slowest = max(slowest, time.monotonic() - began)
        uses += loan.uses - before if loan else 0

for n in range(20):
    publish("begin")
"""
END = """
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
for n in range(20):
    assert publisher.publish(f"after {n}").attempts >= 1
assert publisher.health().under_way == 0, publisher.health()
assert slowest < 5.0, slowest
assert uses > 10, uses
publisher.close()
"""


COMPANY = """
import threading
over, others = threading.Event(), []
def accompany(name):
    n = 0
    while not over.is_set():
        text = f"other {name} {n}"
        assert publisher.publish(text).routed
        others.append(text)
        n += 1
threads = [threading.Thread(target=accompany, args=(name,)) for name in range(3)]
for thread in threads:
    thread.start()
"""
PART = """
over.set()
for thread in threads:
    thread.join()
assert len(others) > 100
"""
ALONE_OR_NOT = pytest.mark.parametrize("company", [False, True], ids=["alone", "in company"])


@ALONE_OR_NOT
@pytest.mark.parametrize("every_ms", [1, 3])
def test_a_handler_that_publishes(
    run_script: RunScript, queues: Queues, queue: str, every_ms: int, company: bool
) -> None:
    """Every message of both is in the queue, and no call takes long; nor are those of other threads lost."""
    done = run_script(
        BEGIN
        + COMPANY * company
        + f"""
told, busy = [], []
def publish_more(*_):
    if not busy:  # of what interrupts the handler itself, nothing is to come
        busy.append(True)
        text = f"handler {{len(told)}}"
        assert publish(text).routed
        told.append(text)
        busy.clear()
signal.signal(signal.SIGALRM, publish_more)
signal.setitimer(signal.ITIMER_REAL, 0.001, {every_ms / 1000})
until, n = time.monotonic() + 3.0, 0
while time.monotonic() < until or n < 100 or uses <= 10:
    assert publish(f"main {{n}}").routed
    n += 1
"""
        + PART.replace("over.set()", "signal.setitimer(signal.ITIMER_REAL, 0); over.set()") * company
        + END
        + "print(n, len(told))\nprint(*others, sep='\\n')\n".replace("others", "others" if company else "''"),
        timeout_s=120.0,
    )
    assert (done.returncode, done.stderr) == (0, "")
    counts, *others = done.stdout.splitlines()
    own, handlers = map(int, counts.split())
    assert handlers > 20
    bodies = {got.body.decode() for got in queues.take(queue)}
    expected = {f"main {n}" for n in range(own)} | {f"handler {n}" for n in range(handlers)}
    assert expected | {f"after {n}" for n in range(20)} | set(filter(None, others)) <= bodies


@ALONE_OR_NOT
@pytest.mark.parametrize("error", ["KeyboardInterrupt", "TimeoutError"])
def test_a_handler_that_raises(run_script: RunScript, queues: Queues, queue: str, error: str, company: bool) -> None:
    """What was told to be confirmed is in the queue; no call takes long, and the publisher goes on."""
    done = run_script(
        BEGIN
        + COMPANY * company
        + f"""
class Struck({error}): pass
def strike(*_):
    raise Struck
signal.signal(signal.SIGALRM, strike)
until, n, struck = time.monotonic() + 3.0, 0, 0
told = []
while time.monotonic() < until or struck < 50 or len(told) <= 100:
    n += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001 + n % 40 * 0.00005)
        try:
            for k in range(30):
                text = f"main {{n}} {{k}}"
                publish(text)
                told.append(text)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Struck:
        struck += 1
"""
        + PART * company
        + END.replace("assert publisher.health().under_way == 0, publisher.health()\n", "")
        + "print(*told, *others, sep='\\n')\n".replace("*others, ", "*others, " * company),
        timeout_s=120.0,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout.splitlines()
    bodies = {got.body.decode() for got in queues.take(queue)}
    assert len(told) > 100
    assert set(told) <= bodies
    assert {f"after {n}" for n in range(20)} <= bodies
