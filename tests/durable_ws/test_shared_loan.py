"""A shared loan by itself, on a pair of sockets: the peer is played, and so is the I/O thread."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pamqp import commands, frame
from pamqp.heartbeat import Heartbeat

import durable_ws.loan
from durable_ws import Receipt
from durable_ws.job import Job
from durable_ws.loan import CAN_LEND, HERE, Burden, Loan
from durable_ws.outcome import Call
from durable_ws.shared_loan import SharedLoan
from tests.durable_ws.played_loan import (
    CHANNEL,
    TAG,
    LateError,
    Strike,
    Struck,
    ack,
    call_of,
    frames_of,
    make_job,
    received_by,
    returned,
)

pytestmark = pytest.mark.skipif(not CAN_LEND, reason="this system has no poll")

WAIT_S = 20.0
BY_THE_IO_THREAD = Receipt("m", True, 2, 0.5)
"""What the played I/O thread tells a call."""


class Desk:
    """A loan with its peer, and what was given back; the I/O thread takes it as soon as it is given back, and can be.

    What it then finds under way it tells to be confirmed.
    """

    def __init__(self, *, window: int = 100, pair: tuple[socket.socket, socket.socket] | None = None) -> None:
        self.handle, self.peer = pair or socket.socketpair()
        self.handle.setblocking(False)
        self.given_back: list[Loan] = []
        self.burden: Burden | None = None
        self.wants = True  # what is given back
        self.loan = SharedLoan(
            self.handle,
            channel=CHANNEL,
            tag=TAG,
            exchanges=frozenset(("x",)),
            frame_max=4096,
            window=window,
            give_back=self._take_back,
        )
        self.waits: list[Call] = []  # those whose threads are past the write
        self._wait, self.loan._wait = self.loan._wait, self._note  # type: ignore[method-assign]
        self._lock = threading.RLock()

    def _note(self, call: Call, lane: Hashable, timeout_s: float) -> None:
        self.waits.append(call)
        self._wait(call, lane, timeout_s)

    def _take_back(self, loan: Loan) -> None:
        self.given_back.append(loan)
        if self.wants:
            self.end()

    def end(self) -> bool:
        """As the I/O thread does it; whether it could."""
        with self._lock:
            if self.burden is None and self.loan.take():
                self.go_on(self.loan.surrender())
        return self.burden is not None

    def go_on(self, burden: Burden) -> None:
        """The I/O thread has these now, and they are confirmed."""
        self.burden = burden
        for job in burden.jobs:
            if not call_of(job).done():
                call_of(job).set_result(BY_THE_IO_THREAD)

    def publish(self, job: Job, lane: object = "lane") -> Receipt | None:
        """As a thread does it."""
        return self.loan.publish(job.message, job.began, job.deadline - job.began, lane, job.require_route)

    def begin(self, message_id: str, **properties: Any) -> Background:
        """Publish in a thread, and go on here once that waits."""
        thread = Background(self, make_job(message_id, message_id=message_id, **properties))
        until(lambda: thread.waits, f"{message_id} waits")
        return thread

    def close(self) -> None:
        """Both ends."""
        self.handle.close()
        self.peer.close()


class Background(threading.Thread):
    """A thread that publishes one message."""

    def __init__(self, desk: Desk, job: Job) -> None:
        super().__init__(daemon=True)
        self._desk = desk
        self.job = job
        self.outcome: Receipt | BaseException | None = None
        self.start()

    def run(self) -> None:
        """Publish it."""
        try:
            self.outcome = self._desk.publish(self.job, threading.get_ident())
        except BaseException as exc:  # noqa: BLE001 - it is looked at in the test
            self.outcome = exc

    @property
    def waits(self) -> bool:
        """Whether it is past the write, and somebody reads."""
        job = self._desk.loan._by_id.get(self.job.message.message_id)
        return job is not None and job.future in self._desk.waits and not self._desk.loan._reads

    def result(self) -> Receipt | BaseException | None:
        """What came of it."""
        self.join(WAIT_S)
        assert not self.is_alive(), "it hangs"
        return self.outcome


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for it."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.001)


def by_the_loan(outcome: object, message_id: str) -> bool:
    """Whether it is a receipt of the loan's own."""
    return isinstance(outcome, Receipt) and outcome[:3] == (message_id, True, 1)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a confirm is there in time."""
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 20_000)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """On a pair of sockets of this system's own kind."""
    with contextlib.closing(Desk()) as desk:
        yield desk


# --- as expected ----------------------------------------------------------------------------------


def test_one_thread(desk: Desk) -> None:
    """Its messages are written as ever, and it reads the confirms by itself."""
    for number in range(3):
        job = make_job()
        desk.peer.sendall(ack(TAG + number))
        receipt = desk.publish(job)
        assert receipt is not None
        assert (receipt.message_id, receipt.routed, receipt.attempts) == ("m", True, 1)
        assert 0 <= receipt.latency_s <= time.monotonic() - job.began
        assert received_by(desk.peer) == frames_of(job)
    loan = desk.loan
    assert (loan.tag, loan.uses, loan.under_way) == (TAG + 3, 3, 0)
    assert (loan.unsent, loan.received, loan.broken, loan.ended, loan.wanted) == (b"", b"", None, False, False)
    assert not desk.given_back
    assert not loan.is_held_by_me()
    assert loan.take()
    assert loan.surrender() == Burden([], [])


@pytest.mark.parametrize("data", [ack(TAG) + ack(TAG + 1) + ack(TAG + 2), ack(TAG + 2, multiple=True)])
def test_several_at_once(desk: Desk, data: bytes) -> None:
    """Whoever reads tells all; each message was written once, in the order of the tags."""
    threads = [desk.begin(name) for name in "abc"]
    assert desk.loan.under_way == 3
    assert desk.loan.tag == TAG + 3
    assert received_by(desk.peer) == b"".join(frames_of(thread.job) for thread in threads)
    desk.peer.sendall(data)
    for thread in threads:
        assert by_the_loan(thread.result(), thread.job.message.message_id)
    assert (desk.loan.under_way, desk.given_back) == (0, [])
    assert desk.loan._reads, "the next one may read"
    assert desk.loan.take()


def test_one_after_the_other(desk: Desk) -> None:
    """Who has its own confirm goes, and another one goes on reading."""
    threads = [desk.begin(name) for name in "abcd"]
    for number in (0, 2, 1, 3):
        desk.peer.sendall(ack(TAG + number))
        assert by_the_loan(threads[number].result(), "abcd"[number])
        left = [thread.is_alive() for thread in threads].count(True)
        until(lambda left=left: desk.loan.under_way == left, "it is off the books")  # type: ignore[misc]
    assert not desk.given_back


def test_one_that_comes_while_another_reads(desk: Desk) -> None:
    """It is written at once."""
    first = desk.begin("a")
    assert received_by(desk.peer) == frames_of(first.job)
    second = desk.begin("b")
    assert received_by(desk.peer) == frames_of(second.job)
    desk.peer.sendall(ack(TAG + 1))
    assert by_the_loan(second.result(), "b")
    assert first.is_alive()
    desk.peer.sendall(ack(TAG))
    assert by_the_loan(first.result(), "a")


@pytest.mark.parametrize("size", [1, 11, 20, 22, 41])
def test_confirms_in_pieces(desk: Desk, size: int) -> None:
    """However the stream is cut, nothing of it is lost."""
    threads = [desk.begin(name) for name in "abc"]
    data = ack(TAG) + ack(TAG + 2) + ack(TAG + 1)
    for place in range(0, len(data), size):
        desk.peer.sendall(data[place : place + size])
        until(lambda: not unread(desk.handle), "it is received")
    for thread, name in zip(threads, "abc", strict=True):
        assert by_the_loan(thread.result(), name)
    assert desk.loan.received == b""
    assert not desk.given_back


def unread(handle: socket.socket) -> bytes:
    """What lies there."""
    with contextlib.suppress(BlockingIOError):
        return handle.recv(100, socket.MSG_PEEK)
    return b""


def test_while_one_writes_the_others_do_not(desk: Desk) -> None:
    """What came meanwhile is written by the same thread, all of it with one call."""
    loan, send = desk.loan, desk.loan._send
    writes: list[bytes] = []
    others: list[Background] = []

    def slow(data: bytes) -> int:
        if data:  # there may be nothing left for who comes a moment later
            writes.append(data)
        if not others:
            for name in "bc":
                others.append(Background(desk, make_job(name, message_id=name)))
                until(lambda name=name: name in loan._by_id and len(loan._outbox) == len(others), name)  # type: ignore[misc]
        return send(data)

    loan._send = slow
    first = desk.begin("a")
    until(lambda: len(writes) == 2, "all are written")
    assert writes == [frames_of(first.job), b"".join(frames_of(one.job) for one in others)]
    assert loan.uses == 3
    desk.peer.sendall(ack(TAG + 2, multiple=True))
    assert [by_the_loan(one.result(), name) for one, name in zip([first, *others], "abc", strict=True)] == [True] * 3


def test_the_window() -> None:
    """No more are unconfirmed; what waits for room is written as confirms come, in its order."""
    with contextlib.closing(Desk(window=2)) as desk:
        writes: list[int] = []
        send = desk.loan._send
        desk.loan._send = lambda data: (send(data), writes.append(len(data)))[0]
        threads = [desk.begin(name) for name in "abcd"]
        assert received_by(desk.peer) == frames_of(threads[0].job) + frames_of(threads[1].job)
        assert list(desk.loan._outbox) == [desk.loan._by_id["c"], desk.loan._by_id["d"]]
        desk.peer.sendall(ack(TAG + 1))
        assert by_the_loan(threads[1].result(), "b")
        until(lambda: len(writes) == 3, "the next one is written")
        assert received_by(desk.peer) == frames_of(threads[2].job)
        desk.peer.sendall(ack(TAG + 2, multiple=True))
        until(lambda: TAG + 3 in desk.loan._written, "the last one is written")
        desk.peer.sendall(ack(TAG + 3))
        assert [by_the_loan(one.result(), name) for one, name in zip(threads, "abcd", strict=True)] == [True] * 4
        assert not desk.given_back
        assert writes == [len(frames_of(thread.job)) for thread in threads]


@pytest.mark.usefixtures("hasty")
def test_many_threads(desk: Desk) -> None:
    """Each receipt is of a message that was written, once, and each thread's order is kept."""
    heard: list[bytes] = []

    def answer() -> None:
        data, tag = b"", TAG
        while more := desk.peer.recv(65536):
            data += more
            before = tag
            while len(data) >= 7 and len(data) >= 8 + (size := int.from_bytes(data[3:7])):
                if data[0] == 3:  # a body
                    heard.append(data[7 : 7 + size])
                    tag += 1
                data = data[8 + size :]
            if tag > before + 1:
                desk.peer.sendall(ack(tag - 1, multiple=True))
            elif tag > before:
                desk.peer.sendall(ack(before))

    peer = threading.Thread(target=answer, daemon=True)
    peer.start()

    def work(name: int) -> int:
        for number in range(200):
            text = f"{name} {number}"
            receipt = desk.publish(make_job(text, message_id=text), name)
            assert by_the_loan(receipt, text), (receipt, desk.loan.received)
        return name

    with ThreadPoolExecutor(6) as executor:
        assert sorted(executor.map(work, range(6))) == list(range(6))
    assert len(heard) == len(set(heard)) == 1200
    for name in range(6):
        own = [one for one in heard if one.startswith(b"%d " % name)]
        assert own == [b"%d %d" % (name, number) for number in range(200)]
    assert (desk.loan.under_way, desk.loan.uses, desk.given_back) == (0, 1200, [])
    desk.handle.shutdown(socket.SHUT_RDWR)
    peer.join(WAIT_S)


# --- not as expected ------------------------------------------------------------------------------


OTHER = {
    "return": (b"", returned() + ack(TAG + 1)),
    "nack": (b"", frame.marshal(commands.Basic.Nack(TAG), CHANNEL)),
    "another tag": (b"", ack(TAG + 2)),
    "tag 0 for all": (b"", ack(0, multiple=True)),
    "another channel": (b"", ack(channel=CHANNEL + 1)),
    "a flag that is none": (b"", ack()[:-2] + b"\x02" + ack()[-1:]),
    "no frame end": (b"", ack()[:-1] + b"\x00"),
    "heart-beat": (b"", frame.marshal(Heartbeat(), 0) + ack()),
    "connection.close": (b"", frame.marshal(commands.Connection.Close(320, "x", 0, 0), 0)),
    "after a confirm": (ack(), frame.marshal(commands.Connection.Blocked("low on memory"), 0)),
}


@pytest.mark.parametrize(("confirm", "data"), OTHER.values(), ids=OTHER)
def test_something_else_comes(desk: Desk, confirm: bytes, data: bytes) -> None:
    """All of that is the I/O thread's, with the messages; but those whose confirm came before."""
    threads = [desk.begin(name) for name in "ab"]
    received_by(desk.peer)
    desk.peer.sendall(confirm + data)
    outcomes = [thread.result() for thread in threads]
    assert by_the_loan(outcomes[0], "a") is bool(confirm)
    assert outcomes[1] is BY_THE_IO_THREAD
    loan = desk.loan
    assert (loan._writer, loan._reader) == (None, None)
    assert (loan.received, loan.unsent, loan.broken, loan.ended) == (data, b"", None, True)
    assert desk.burden is not None
    assert [(tag, job.message.message_id) for tag, job in desk.burden.written] == [(TAG, "a"), (TAG + 1, "b")][
        bool(confirm) :
    ]
    assert not desk.burden.unwritten
    assert desk.publish(make_job()) is None, "it has ended for good"
    assert received_by(desk.peer) == b""
    assert loan.under_way == 0


@pytest.mark.parametrize("who", ["reads", "waits"])
def test_nothing_comes(desk: Desk, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    """After 20 ms who reads, and who waits, give it back."""
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 20)
    if who == "waits":
        desk.loan._reads.clear()
    desk.wants = False
    before = time.monotonic()
    thread = Background(desk, make_job())
    until(lambda: desk.given_back, "it gives it back")
    assert time.monotonic() - before >= 0.02
    assert desk.loan.ended is (who == "reads")
    assert desk.end()
    assert thread.result() is BY_THE_IO_THREAD
    assert desk.loan.broken is None


def test_no_longer_than_its_deadline(desk: Desk) -> None:
    """Who has less time waits less, though the confirm may take longer."""
    thread = Background(desk, make_job(timeout_s=0.01))
    assert thread.result() is BY_THE_IO_THREAD
    assert desk.given_back


def test_the_peer_hangs_up(desk: Desk) -> None:
    """The I/O thread will hear it from the socket itself; nobody looks at it again and again."""
    looks: list[int] = []
    poll = desk.loan._poll
    desk.loan._poll = lambda timeout_ms: (looks.append(timeout_ms), poll(timeout_ms))[1]
    threads = [desk.begin(name) for name in "ab"]
    desk.peer.shutdown(socket.SHUT_WR)
    assert [thread.result() for thread in threads] == [BY_THE_IO_THREAD] * 2
    assert len(looks) == 1
    assert (desk.loan.received, desk.loan.broken) == (b"", None)


@pytest.mark.parametrize("when", ["before", "while it waits"])
def test_the_connection_is_reset(when: str) -> None:
    """It is of no use any more, and why is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    with contextlib.closing(Desk(pair=(ours, peer))) as desk:
        thread = None if when == "before" else desk.begin("a")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        thread = thread or Background(desk, make_job())
        assert thread.result() is BY_THE_IO_THREAD
        assert desk.loan.broken is not None
        assert "Errno" in desk.loan.broken
        assert desk.loan.unsent == b""


def test_the_socket_takes_a_part(desk: Desk) -> None:
    """The rest is the I/O thread's, to the byte; what came meanwhile is not written behind half a message."""
    desk.handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    desk.wants = False
    first = Background(desk, make_job(bytes(range(256)) * 240, message_id="a"))
    until(lambda: desk.loan.ended, "it has ended")
    second = Background(desk, make_job(message_id="b"))
    until(lambda: desk.loan._outbox, "the second is here")
    assert desk.end()
    assert [first.result(), second.result()] == [BY_THE_IO_THREAD] * 2
    loan = desk.loan
    assert 0 < len(loan.unsent) < len(frames_of(first.job))
    assert received_by(desk.peer) + loan.unsent == frames_of(first.job)
    assert desk.burden is not None
    assert [(tag, job.message.message_id) for tag, job in desk.burden.written] == [(TAG, "a")]
    assert [job.message.message_id for job in desk.burden.unwritten] == ["b"]
    assert (loan.tag, loan.broken) == (TAG + 1, None)


def test_the_socket_takes_nothing(desk: Desk) -> None:
    """All of it is the I/O thread's."""
    with contextlib.suppress(BlockingIOError):
        while True:
            desk.handle.send(b"x" * 4096)
    thread = Background(desk, make_job())
    assert thread.result() is BY_THE_IO_THREAD
    assert desk.loan.unsent == frames_of(thread.job)
    assert desk.burden is not None
    assert [tag for tag, _ in desk.burden.written] == [TAG]


def test_a_socket_that_seemed_ready(desk: Desk) -> None:
    """As poll may be mistaken: nothing is broken."""
    looks: list[int] = []

    def seems_ready(timeout_ms: int) -> list[tuple[int, int]]:
        looks.append(timeout_ms)
        return [(0, 1)]

    desk.loan._poll = seems_ready
    assert Background(desk, make_job()).result() is BY_THE_IO_THREAD
    assert (desk.loan.received, desk.loan.broken) == (b"", None)
    assert len(looks) == 1, "it does not try for ever"


NOT_THIS_WAY: dict[str, Callable[[], Job]] = {
    "exchange": lambda: make_job(exchange="y"),
    "body": lambda: make_job(b"x" * (64 * 1024 + 1)),
    "properties": lambda: make_job(headers={"h": "x" * 5000}),
    "the same id": lambda: make_job(message_id="a"),
}


@pytest.mark.parametrize("make", NOT_THIS_WAY.values(), ids=NOT_THIS_WAY)
def test_what_can_not_go_this_way(desk: Desk, make: Callable[[], Job]) -> None:
    """Nothing was done, and others can; to the I/O thread this is told, too, and it leaves nothing behind."""
    first = desk.begin("a")
    received_by(desk.peer)
    job = make()
    assert desk.publish(job) is None
    other = make_job(message_id="other")
    assert not desk.loan.take_in([other, job])
    loan = desk.loan
    assert (loan.under_way, loan.tag, loan.uses, loan.ended, loan.wanted) == (1, TAG + 1, 1, False, False)
    assert not loan._outbox
    assert received_by(desk.peer) == b""
    assert not call_of(job).done()
    desk.peer.sendall(ack())
    assert by_the_loan(first.result(), "a")
    desk.peer.sendall(ack(TAG + 1))
    assert by_the_loan(desk.publish(make_job(message_id="a")), "a"), "the id is free again"


# --- what the I/O thread has to publish -----------------------------------------------------------


def test_what_the_io_thread_takes_in(desk: Desk) -> None:
    """It is written, and whoever waits for it reads, as if they had come here themselves."""
    jobs = [make_job(name, message_id=name) for name in "abc"]
    with ThreadPoolExecutor(3) as executor:
        results = [executor.submit(call_of(job).wait) for job in jobs]
        assert desk.loan.take_in(jobs)
        assert desk.loan.under_way == 3
        until(lambda: not desk.loan._reads, "one of them reads")
        own = desk.begin("d")
        assert received_by(desk.peer) == b"".join(frames_of(job) for job in [*jobs, own.job])
        desk.peer.sendall(ack(TAG + 1) + ack(TAG + 3, multiple=True))
        assert [by_the_loan(result.result(WAIT_S), name) for result, name in zip(results, "abc", strict=True)] == [
            True
        ] * 3
        assert by_the_loan(own.result(), "d")
    assert not desk.given_back


def test_one_that_was_told_before_it_waits(desk: Desk) -> None:
    """It does not read any more, nor wait."""
    job = make_job("a", message_id="a")
    assert desk.loan.take_in([job])
    assert call_of(job).then is not None
    other = desk.begin("b")
    desk.peer.sendall(ack() + ack(TAG + 1))
    assert by_the_loan(other.result(), "b")
    assert by_the_loan(call_of(job).wait(), "a")
    assert desk.loan._reads, "the next one may read"


def test_the_heir_has_not_begun_to_wait(desk: Desk) -> None:
    """Who was made to read before it looked, reads once it does."""
    job = make_job("a", message_id="a")
    other = desk.begin("b")
    assert desk.loan.take_in([job])
    desk.peer.sendall(ack())
    assert by_the_loan(other.result(), "b")
    assert desk.loan._heir is job.future
    with ThreadPoolExecutor(1) as executor:
        result = executor.submit(call_of(job).wait)
        desk.peer.sendall(ack(TAG + 1))
        assert by_the_loan(result.result(WAIT_S), "a")


def test_what_it_waits_for_has_its_deadline(desk: Desk) -> None:
    """Which is told to who wants to read for it, and no more than is left of it; one that has passed is no error."""
    limits: list[int] = []
    desk.loan._poll = lambda timeout_ms: limits.append(timeout_ms) or []
    for timeout_s in (0.05, -1.0):
        own = Desk()
        own.loan._poll = desk.loan._poll
        with contextlib.closing(own):
            job = make_job(timeout_s=timeout_s)
            assert own.loan.take_in([job])
            assert call_of(job).wait() is BY_THE_IO_THREAD
    assert 0 <= limits[0] <= 50
    assert limits[1:] == [0]


def test_a_handler_of_one_that_reads_for_the_io_thread(desk: Desk) -> None:
    """Its message has to go another way, as its thread can't read for it."""
    job, outcomes = make_job(), []
    in_place_of(desk, "_poll", lambda: outcomes.append(desk.publish(make_job(message_id="handler"), job.lane)))
    assert desk.loan.take_in([job])
    desk.peer.sendall(ack())
    assert by_the_loan(call_of(job).wait(), "m")
    assert outcomes == [None]
    assert desk.loan.wanted


@pytest.mark.parametrize("why", ["wanted", "ended", "no call"])
def test_what_the_io_thread_can_not_have_taken_in(desk: Desk, why: str) -> None:
    """Then it ends the loan, and has to do it by itself."""
    job = make_job()
    if why == "no call":
        job.future = object()  # type: ignore[assignment]
    else:
        setattr(desk.loan, why, True)
    assert not desk.loan.take_in([job])
    assert desk.loan.under_way == 0
    assert received_by(desk.peer) == b""


def test_who_reads_has_a_deadline_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others are confirmed meanwhile."""
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 50)
    poll = desk.loan._poll
    tag = [TAG]

    def confirm_another(timeout_ms: int) -> Any:
        tag[0] += 1
        assert desk.loan.take_in([make_job(message_id=f"other {tag[0]}")])
        desk.peer.sendall(ack(tag[0]))
        received_by(desk.peer)  # or the socket would be full one day, which ends it, too
        return poll(timeout_ms)

    desk.loan._poll = confirm_another
    before = time.monotonic()
    assert Background(desk, make_job()).result() is BY_THE_IO_THREAD
    assert 0.05 <= time.monotonic() - before < WAIT_S
    assert tag[0] > TAG + 1


def test_one_that_was_told_by_who_was_struck(desk: Desk) -> None:
    """Its caller is roused, and nobody publishes it again."""
    thread = desk.begin("a")
    call = call_of(desk.loan._by_id["a"])
    call._outcome = Receipt("a", True, 1, 0.1)  # and the error struck before its thread was roused
    assert desk.end()
    assert desk.burden == Burden([], [])
    assert not call._lock.locked()
    desk.peer.sendall(b"x")  # or it would wait for the socket as long as this test lets it
    assert by_the_loan(thread.result(), "a")


# --- who has it -----------------------------------------------------------------------------------


def test_taken_while_all_wait(desk: Desk) -> None:
    """The I/O thread has it at once, with the messages; what comes on the socket is not the threads' any more."""
    threads = [desk.begin(name) for name in "ab"]
    assert desk.end()
    desk.peer.sendall(ack(TAG + 1, multiple=True))
    assert [thread.result() for thread in threads] == [BY_THE_IO_THREAD] * 2
    assert desk.handle.recv(100) == ack(TAG + 1, multiple=True), "it is left to the I/O thread"
    assert desk.burden == Burden([(TAG, desk.burden.jobs[0]), (TAG + 1, desk.burden.jobs[1])], [])
    assert not desk.given_back
    assert desk.loan.take(), "it stays taken"
    assert desk.loan.surrender() == Burden([], [])


def test_taken_from_who_reads(desk: Desk) -> None:
    """It leaves to the I/O thread what comes, also before that has told anybody."""
    thread = desk.begin("a")
    assert desk.loan.take()
    desk.peer.sendall(ack())
    until(lambda: desk.loan._reader is None, "it has left")
    assert HERE not in desk.loan._waiting
    assert desk.handle.recv(100) == ack()
    desk.go_on(desk.loan.surrender())
    assert thread.result() is BY_THE_IO_THREAD


def in_place_of(desk: Desk, name: str, call: Callable[[], object]) -> None:
    """Do that before the system's call of that name, the first time."""
    original = getattr(desk.loan, name)
    done: list[None] = []

    def both(argument: Any) -> Any:
        if not done:
            done.append(None)
            call()
        return original(argument)

    setattr(desk.loan, name, both)


@pytest.mark.parametrize("work", ["_send", "_recv"])
def test_wanted_while_a_thread_is_at_work(desk: Desk, work: str) -> None:
    """It is not taken from the thread; that gives it back as soon as it is done."""
    taken: list[bool] = []
    in_place_of(desk, work, lambda: taken.append(desk.loan.take()))
    desk.peer.sendall(ack())
    outcome = Background(desk, make_job()).result()
    assert taken == [False]
    assert desk.loan.wanted
    assert desk.loan in desk.given_back
    assert desk.burden is not None
    assert by_the_loan(outcome, "m") is (work == "_recv")
    assert outcome is BY_THE_IO_THREAD or work == "_recv"
    assert desk.publish(make_job()) is None


def test_what_is_wanted_is_handed_to_nobody(desk: Desk) -> None:
    """Nobody reads from there on: the others wait for the I/O thread."""
    desk.wants = False
    first, second = desk.begin("a"), desk.begin("b")
    in_place_of(desk, "_recv", lambda: setattr(desk.loan, "wanted", True))
    desk.peer.sendall(ack())
    assert by_the_loan(first.result(), "a")
    assert desk.given_back == [desk.loan]
    assert (desk.loan._heir, desk.loan._reader) == (None, None)
    assert desk.end()
    assert second.result() is BY_THE_IO_THREAD


def test_it_ends_just_as_a_message_comes(desk: Desk) -> None:
    """Then that goes another way, or the I/O thread has it: one of the two."""
    for taken in (False, True):
        with contextlib.closing(Desk()) as own:

            class Outbox(dict[Job, bytes]):
                """The I/O thread ends the loan before or after the message is there."""

                def __setitem__(self, job: Job, frames: bytes) -> None:
                    if not taken:  # noqa: B023
                        assert own.end()
                    super().__setitem__(job, frames)
                    if taken:  # noqa: B023
                        assert own.end()

            own.loan._outbox = Outbox()
            outcome = Background(own, make_job()).result()
            assert outcome is (BY_THE_IO_THREAD if taken else None)
            assert own.burden is not None
            assert len(own.burden.unwritten) == taken
            assert own.loan.under_way == 0
            assert received_by(own.peer) == b""
    assert not desk.given_back


@pytest.mark.parametrize("work", ["_send", "_recv"])
def test_a_thread_is_held_up(desk: Desk, work: str) -> None:
    """All that is under way goes on without it. When it is back it gives the loan back; nothing is lost."""
    held, go_on = threading.Event(), threading.Event()

    original = getattr(desk.loan, work)

    def hold(argument: Any) -> Any:
        setattr(desk.loan, work, original)
        held.set()
        assert go_on.wait(WAIT_S)
        return len(argument) if work == "_send" else original(argument)

    desk.wants = False
    first = desk.begin("a")
    setattr(desk.loan, work, hold)
    if work == "_recv":
        desk.peer.sendall(ack())
    second = Background(desk, make_job(message_id="b"))
    assert held.wait(WAIT_S)
    third = Background(desk, make_job(message_id="c"))
    until(lambda: third.waits and (second.waits or work == "_send"), "all are here")
    assert not desk.end()
    burden = desk.loan.rescue()
    assert sorted(job.message.message_id for job in burden.jobs) == ["a", "b", "c"]
    assert [job.message.message_id for job in burden.unwritten] == (["c"] if work == "_send" else [])
    assert desk.loan.rescue() == Burden([], [])
    desk.go_on(burden)
    desk.burden = None
    assert third.result() is BY_THE_IO_THREAD
    assert not desk.loan.take(), "its handle is in use"
    desk.handle.shutdown(socket.SHUT_RDWR)
    go_on.set()
    for thread in (first, second):
        assert isinstance(thread.result(), Receipt)
    assert desk.end()
    assert desk.burden == Burden([], [])
    assert desk.publish(make_job()) is None


@pytest.mark.parametrize("moment", ["before the first", "after the first"])
def test_held_up_amid_the_outbox(desk: Desk, moment: str) -> None:
    """A message that the I/O thread has rescued meanwhile is not written, nor lost."""
    jobs = [make_job(name, message_id=name) for name in "ab"]
    rescued: list[Burden] = []

    class Outbox(dict[Job, bytes]):
        """The I/O thread comes while the first is moved."""

        def pop(self, job: Job, *default: Any) -> Any:
            if moment == "before the first":
                self.rescue()
            frames = super().pop(job, *default)
            self.rescue()
            return frames

        def rescue(self) -> None:
            if not rescued:
                rescued.append(Burden([], []))
                rescued[0] = desk.loan.rescue()

    desk.loan._outbox = Outbox()
    assert desk.loan.take_in(jobs)
    if moment == "before the first":
        assert rescued == [Burden([], jobs)]
    else:
        assert rescued == [Burden([(TAG, jobs[0])], jobs[1:])]
    assert received_by(desk.peer) == b""
    assert desk.loan.ended
    assert desk.loan.take()
    assert desk.loan.surrender() == Burden([], [])


def test_the_outbox_changes_as_it_is_taken_over(desk: Desk) -> None:
    """A message that its thread takes back is that thread's alone; one that comes in is taken over, too."""
    first, back, late = (make_job(name, message_id=name) for name in ("first", "back", "late"))

    class Outbox(dict[Job, bytes]):
        """Others are at it while the first is taken."""

        def pop(self, job: Job, *default: Any) -> Any:
            if job is first and super().pop(back, None) is not None:
                self[late] = frames_of(late)
            return super().pop(job, *default)

    desk.loan._outbox = Outbox({first: frames_of(first), back: frames_of(back)})
    assert desk.loan.surrender() == Burden([], [first, late])


def test_a_confirm_is_told_as_the_loan_is_taken_over(desk: Desk) -> None:
    """By a thread that was held up: what was written after it is taken over all the same."""
    told, other = (make_job(name, message_id=name) for name in ("told", "other"))

    class Written(dict[int, Job]):
        """The thread goes on just now."""

        def get(self, tag: int, *default: Any) -> Any:
            self.pop(TAG, None)
            return super().get(tag, *default)

    desk.loan._written = Written({TAG: told, TAG + 1: other})
    assert desk.loan.surrender() == Burden([(TAG + 1, other)], [])


def handle_signal(call: Callable[[], object]) -> Callable[[], None]:
    """Have this thread interrupted by a signal, whose handler does that."""
    before = signal.signal(signal.SIGUSR1, lambda *_: call())

    def strike() -> None:
        signal.raise_signal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)

    return strike


@pytest.mark.parametrize("work", ["_send", "_poll", "_recv"])
def test_a_signal_handler_that_publishes(desk: Desk, work: str) -> None:
    """Where its thread writes or reads, it has to go another way, and the loan is wanted for that."""
    lane, held, outcomes = threading.get_ident(), [], []

    def publish() -> None:
        held.append(desk.loan.is_held_by_me())
        outcomes.append(desk.publish(make_job(message_id="handler"), lane))

    in_place_of(desk, work, handle_signal(publish))
    desk.peer.sendall(ack())
    receipt = desk.publish(make_job(), lane)
    assert (held, outcomes) == ([work != "_poll"], [None])
    assert desk.loan.wanted
    assert desk.burden is not None, "it was given back"
    assert by_the_loan(receipt, "m") or (receipt is BY_THE_IO_THREAD and work == "_send")
    assert [job.message.message_id for job in desk.burden.jobs] == (["m"] if work == "_send" else [])


def test_a_signal_handler_of_one_that_writes_for_another() -> None:
    """Who has its confirm and writes what the window had no room for, is at work with the loan all the same."""
    with contextlib.closing(Desk(window=1)) as desk:
        outcomes: list[Receipt | None] = []
        other, job = make_job(message_id="other"), make_job()

        def full() -> None:
            assert desk.loan.take_in([other])
            in_place_of(desk, "_send", lambda: outcomes.append(desk.publish(make_job(message_id="handler"), job.lane)))
            desk.peer.sendall(ack())

        in_place_of(desk, "_poll", full)
        assert by_the_loan(desk.publish(job, job.lane), "m")
        assert outcomes == [None]
        assert desk.loan.wanted
        assert received_by(desk.peer) == frames_of(job) + frames_of(other)


def test_a_signal_handler_of_one_that_waits(desk: Desk) -> None:
    """Where another thread reads, its message goes the same way."""
    reader = desk.begin("reader")
    lane, outcomes = threading.get_ident(), []

    def publish() -> None:
        outcomes.append(desk.publish(make_job(message_id="handler"), lane))

    strike = handle_signal(publish)
    sleep = Call.sleep
    slept: list[None] = []

    def interrupted(call: Call, timeout_s: float) -> bool:
        slept.append(None)
        if len(slept) == 2:  # the handler's own
            desk.peer.sendall(ack(TAG + 2))
        elif len(slept) == 1:
            strike()
            desk.peer.sendall(ack(TAG + 1, multiple=True))
        return sleep(call, timeout_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "sleep", interrupted)
        assert by_the_loan(desk.publish(make_job(), lane), "m")
    assert by_the_loan(outcomes[0], "handler")
    assert by_the_loan(reader.result(), "reader")


class Reads(dict[str, bool]):
    """The token of who reads: another message comes as it is put down; a thread may take it."""

    def __init__(self, desk: Desk, job: Job, *, taken: bool) -> None:
        super().__init__()
        self._desk = desk
        self._job = job
        self._taken = taken

    def __setitem__(self, key: str, value: bool) -> None:
        if not self._taken:
            super().__setitem__(key, value)
        self._desk.loan._by_id[self._job.message.message_id] = self._job


@pytest.mark.parametrize("taken", [False, True])
def test_one_that_comes_as_the_last_one_goes(desk: Desk, taken: bool) -> None:
    """It reads, or another one has begun to; not both."""
    job = make_job()
    desk.loan._reads = Reads(desk, job, taken=taken)
    desk.loan._hand_over()
    assert desk.loan._heir is (None if taken else job.future)
    assert call_of(job)._lock.locked() is taken, "it is roused"
    assert not desk.loan._reads


def test_who_is_told_does_not_read(desk: Desk) -> None:
    """Though it may be on the books for another instant."""
    told, other = (make_job(name, message_id=name) for name in ("told", "other"))
    call_of(told).set_result(BY_THE_IO_THREAD)
    desk.loan._by_id = {"told": told}
    assert desk.loan._next_call() is None
    desk.loan._by_id["other"] = other
    assert desk.loan._next_call() is other.future


def test_rescued_as_it_is_told(desk: Desk) -> None:
    """The I/O thread has cleared the books meanwhile: the one who tells does not mind."""
    thread = desk.begin("a")
    desk.loan._by_id.clear()
    desk.peer.sendall(ack())
    assert by_the_loan(thread.result(), "a")


def test_taken_and_not_surrendered_yet(desk: Desk) -> None:
    """From the first moment on, whoever comes goes another way."""
    assert desk.loan.take()
    assert Background(desk, make_job()).result() is None
    assert desk.loan.under_way == 0


# --- interrupted ----------------------------------------------------------------------------------


def strike() -> None:
    """As the handler of a signal does it."""
    raise Struck


@pytest.mark.parametrize("work", ["_send", "_recv"])
def test_interrupted_at_work(desk: Desk, work: str) -> None:
    """Nobody knows what of it was done: the connection is given up, and the message goes on without its caller."""
    in_place_of(desk, work, strike)
    desk.peer.sendall(ack())
    job = make_job()
    job.require_route = True
    with pytest.raises(Struck):
        desk.publish(job, "its lane")
    loan = desk.loan
    assert (loan.ended, loan.broken) == (True, "a publish was interrupted")
    assert desk.given_back == [loan]
    assert desk.burden is not None, "its tokens are there"
    ((tag, goes_on),) = desk.burden.written
    assert (tag, desk.burden.unwritten) == (TAG, [])
    assert (goes_on.message, goes_on.lane, goes_on.require_route) == (job.message, "its lane", True)
    assert (goes_on.began, goes_on.deadline) == (job.began, job.deadline)
    assert not call_of(job).done()
    assert desk.publish(make_job()) is None


def test_interrupted_at_work_on_a_broken_connection(desk: Desk) -> None:
    """The first reason is kept."""
    desk.loan.broken = "Connection reset by peer"
    in_place_of(desk, "_send", strike)
    with pytest.raises(Struck):
        desk.publish(make_job())
    assert desk.loan.broken == "Connection reset by peer"


@pytest.mark.parametrize("first", [True, False])
def test_interrupted_while_it_waits(desk: Desk, first: bool) -> None:
    """The loan ends, as nobody reads now; the connection is as it was, whatever has been read before."""
    other, job = make_job(message_id="other"), make_job()
    assert desk.loan.take_in([other])
    received_by(desk.peer)
    if first:
        in_place_of(desk, "_poll", strike)
    else:
        in_place_of(desk, "_recv", lambda: in_place_of(desk, "_poll", strike))
        desk.peer.sendall(ack())
    with pytest.raises(Struck):
        desk.publish(job)
    loan = desk.loan
    assert (loan.ended, loan.broken, loan.received, loan.unsent) == (True, None, b"", b"")
    assert desk.given_back == [loan]
    assert desk.burden is not None
    messages = [(tag, one.message) for tag, one in desk.burden.written]
    assert messages == [*([(TAG, other.message)] if first else []), (TAG + 1, job.message)]
    assert received_by(desk.peer) == frames_of(job)


def test_interrupted_while_it_waits_for_what_was_taken(desk: Desk) -> None:
    """Then nothing is left to do."""

    def taken() -> None:
        assert desk.loan.take()
        strike()

    in_place_of(desk, "_poll", taken)
    with pytest.raises(Struck):
        desk.publish(make_job())
    assert not desk.given_back
    assert [tag for tag, _ in desk.loan.surrender().written] == [TAG]


# --- interrupted at any moment --------------------------------------------------------------------


CODES = {function.__code__ for function in vars(SharedLoan).values() if hasattr(function, "__code__")} - {
    SharedLoan.__init__.__code__, SharedLoan.take.__code__, SharedLoan.surrender.__code__, SharedLoan.rescue.__code__,
    SharedLoan._take_both.__code__,
} | {Call.rouse.__code__, Call.sleep.__code__, Loan._bear.__code__}  # fmt: skip


ANSWERS = {
    "confirmed": ack(TAG + 1),
    "wanted": ack(TAG + 1),
    "all confirmed": ack(TAG + 1, multiple=True),
    "something else": ack(0),
}
"""What the peer says."""
MOST_STUCK = 40
"""So many instructions of CPython, at most, in which an error leaves the loan with nobody."""

WAYS: dict[str, Callable[[Desk], object]] = {
    "confirmed": lambda _: None,
    "all confirmed": lambda _: None,
    "something else": lambda _: None,
    "wanted": lambda desk: setattr(desk.loan, "wanted", True),
    "nothing": lambda desk: setattr(desk.loan, "_poll", lambda _: []),
    "seemed ready": lambda desk: setattr(desk.loan, "_poll", lambda _: [(0, 1)]),
    "takes a part": lambda desk: desk.handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096),
    "hung up": lambda desk: desk.peer.close(),
}


def published_while_struck(desk: Desk, job: Job, strike: Strike) -> tuple[Receipt | None, BaseException | None]:
    """Publish a message while the error strikes; the receipt, or that error if it comes out."""
    with strike:
        try:
            return desk.publish(job, "struck"), None
        except BaseException as exc:
            if exc is not strike.error:
                raise
            return None, exc


def look_after(desk: Desk, before: Job, job: Job, way: str, where: object) -> bool:
    """Nothing is lost, and what goes on is whole; whether the I/O thread could end the loan without giving it up."""
    loan = desk.loan
    taken = loan.take()
    burden = desk.burden or (loan.surrender() if taken else loan.rescue())
    left = {one.message.message_id: tag for tag, one in burden.written}
    left |= {one.message.message_id: 0 for one in burden.unwritten}
    assert len(left) == len(burden.jobs), "each once"
    assert left.get("before") == TAG or (call_of(before).done() and way == "all confirmed"), where
    if way == "hung up":
        return taken
    written, answers = received_by(desk.peer), loan.received + received_by(desk.handle)
    if not taken or loan.broken is not None:  # the connection is given up
        assert "struck" in left or not written or answers in (b"", ANSWERS.get(way)), where
        return taken
    sent = written + loan.unsent  # the stream goes on: what it holds is to the byte what is told of it
    assert sent == (frames_of(job) if loan.tag == TAG + 2 else b""), where
    if sent and way in ("confirmed", "wanted", "all confirmed"):
        assert answers == (ANSWERS[way] if "struck" in left else b""), where
    elif sent:
        assert left.get("struck") == TAG + 1, where
        assert answers == ANSWERS.get(way, b""), where
    return taken


@pytest.mark.unmutated
@pytest.mark.parametrize("error", [Struck, LateError])
@pytest.mark.parametrize("way", WAYS)
def test_interrupted_anywhere(way: str, error: type[BaseException]) -> None:
    """The error comes out, and the I/O thread gets all that it must know to go on: no message is lost, none made up.

    There are moments when nobody has a token for good, just after it was taken or before it is put down: then the I/O
    thread gives the connection up, and the messages go on all the same.
    """
    stuck: list[object] = []
    hit: set[str] = set()
    for number in range(100_000):
        with contextlib.closing(Desk()) as desk:
            before = make_job(message_id="before")
            assert desk.loan.take_in([before])
            received_by(desk.peer)
            desk.peer.sendall(ANSWERS.get(way, b""))
            WAYS[way](desk)
            job = make_job(b"x" * (16_000 if way == "takes a part" else 1), message_id="struck")
            strike = Strike(number, error(), CODES)
            with ThreadPoolExecutor(1) as executor:  # see test_loan.py
                receipt, caught = executor.submit(published_while_struck, desk, job, strike).result(WAIT_S)
            if strike.where is not None:
                assert caught is not None, f"it was swallowed: {strike.where}"
                hit.add(strike.where[0])
                if not look_after(desk, before, job, way, strike.where):
                    stuck.append(strike.where)
            elif number:
                assert receipt is not None
                break
    assert "publish" in hit
    assert len(stuck) <= MOST_STUCK, stuck
