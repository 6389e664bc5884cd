"""A loan by itself, on a pair of sockets: the peer is played, and so is the I/O thread that it is given back to."""

from __future__ import annotations

import contextlib
import linecache
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from pamqp import commands, frame
from pamqp.heartbeat import Heartbeat

import durable_ws.loan
from durable_ws import OutcomeUnknown, Receipt
from durable_ws.job import Job
from durable_ws.loan import CAN_LEND, Loan, suits
from durable_ws.outcome import Call
from tests.durable_ws.played_loan import (
    CHANNEL,
    LONG_S,
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

T = TypeVar("T")

WAIT_S = 20.0
BY_THE_IO_THREAD = Receipt("m", True, 2, 0.5)
"""What the played I/O thread tells a call."""


def publish(loan: Loan, job: Job) -> Receipt | None:
    """Publish the job's message, as it would be."""
    return loan.publish(job.message, job.began, job.deadline - job.began, job.lane, job.require_route)


def is_of(made: Job | None, job: Job) -> bool:
    """Whether the loan has made this job: the same but for where its outcome is told."""
    parts = ("message", "began", "lane", "require_route")
    return (
        made is not None
        and all(getattr(made, part) == getattr(job, part) for part in parts)
        and made.deadline == pytest.approx(job.deadline)
    )


class Desk:
    """A loan with its peer, and what was given back; the I/O thread tells a call once its loan was given back."""

    def __init__(self, pair: tuple[socket.socket, socket.socket]) -> None:
        handle, self.peer = pair
        handle.setblocking(False)
        self.given_back: list[Loan] = []
        self.taken = False  # by the I/O thread, with its message
        self.job = make_job()
        self.outcome: Receipt | OutcomeUnknown = BY_THE_IO_THREAD
        self.loan = Loan(
            handle, channel=CHANNEL, tag=TAG, exchanges=frozenset(("x",)), frame_max=4096, give_back=self._take_back
        )
        self.handle = handle

    def _take_back(self, loan: Loan) -> None:
        self.given_back.append(loan)
        if loan.job is not None and len(self.given_back) == 1:  # an interrupted thread may say it twice
            self.tell(loan.job)

    def tell(self, job: Job) -> None:
        """Its outcome."""
        if isinstance(self.outcome, Receipt):
            call_of(job).set_result(self.outcome)
        else:
            call_of(job).set_exception(self.outcome)

    def publish(self, job: Job | None = None) -> Receipt | None:
        """Publish that job, else the desk's own."""
        self.job = job or self.job
        return publish(self.loan, self.job)

    @property
    def left(self) -> Job | None:
        """The job that the loan has: this desk's own stands for one that is of the same message and call."""
        job = self.loan.job
        return self.job if is_of(job, self.job) else job

    def close(self) -> None:
        """Both ends."""
        self.handle.close()
        self.peer.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    """On a pair of sockets of this system's own kind."""
    desk = Desk(socket.socketpair())
    yield desk
    desk.close()


@pytest.fixture
def tcp() -> Iterator[Desk]:
    """On a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        handle = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    desk = Desk((handle, peer))
    yield desk
    desk.close()


class Polled:
    """In place of the loan's poll: does what it is told while the thread waits."""

    def __init__(self, meanwhile: Callable[[], object], *, came: bool) -> None:
        self._meanwhile = meanwhile
        self._came = came
        self.waits_ms: list[int] = []

    def __call__(self, timeout_ms: int) -> list[tuple[int, int]]:
        """See :meth:`select.poll.poll`."""
        self.waits_ms.append(timeout_ms)
        self._meanwhile()
        return [(0, select.POLLIN)] if self._came else []


def meanwhile(desk: Desk, call: Callable[[], object], *, came: bool = False) -> Polled:
    """Do that while the thread waits for the confirm."""
    polled = Polled(call, came=came)
    desk.loan._poll = polled
    return polled


def at_work(desk: Desk, call: Callable[[], object]) -> None:
    """Do that before the thread sends, and before it receives."""
    send, recv = desk.loan._send, desk.loan._recv

    def call_and_send(data: bytes) -> int:
        call()
        return send(data)

    def call_and_receive(size: int) -> bytes:
        call()
        return recv(size)

    desk.loan._send, desk.loan._recv = call_and_send, call_and_receive


# --- as expected ----------------------------------------------------------------------------------


def test_it_is_confirmed(desk: Desk) -> None:
    """A receipt of one attempt; the message is written as ever, nothing is left of it, and the loan goes on."""
    for number in range(3):
        job = make_job()
        desk.peer.sendall(ack(TAG + number))
        before = time.monotonic()
        receipt = desk.publish(job)
        assert receipt is not None
        assert (receipt.message_id, receipt.routed, receipt.attempts) == ("m", True, 1)
        assert 0 <= receipt.latency_s <= time.monotonic() - job.began
        assert time.monotonic() - before < WAIT_S
        assert received_by(desk.peer) == frames_of(job)
        assert (desk.loan.job, desk.loan.tag, desk.loan.uses) == (None, TAG + number + 1, number + 1)
        assert not call_of(job).done()
    loan = desk.loan
    assert (loan.unsent, loan.received, loan.broken, loan.ended, loan.wanted) == (b"", b"", None, False, False)
    assert not desk.given_back
    assert loan.take()


def test_a_peer_that_answers_when_it_has_heard(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The confirm comes while the thread waits for it."""

    def answer() -> None:
        for number in range(20):
            left = len(frames_of(desk.job))
            while left:
                left -= len(desk.peer.recv(left))
            desk.peer.sendall(ack(TAG + number))

    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 10_000)  # however busy the machine is
    desk.job = job = make_job()
    peer = threading.Thread(target=answer, daemon=True)
    peer.start()
    receipts = [desk.publish(job) for _ in range(20)]
    peer.join(WAIT_S)
    assert [receipt is not None and receipt.attempts for receipt in receipts] == [1] * 20
    assert not desk.given_back


def test_when_the_job_is_there(desk: Desk) -> None:
    """Whatever happens from the write on, the tag is taken; who ends the loan while the thread waits finds the job."""
    seen: list[tuple[Job | None, int]] = []

    def noting(call: Callable[[Any], T]) -> Callable[[Any], T]:
        def note(argument: object) -> T:
            seen.append((desk.left, desk.loan.tag))
            return call(argument)

        return note

    loan = desk.loan
    loan._send, loan._poll, loan._recv = noting(loan._send), noting(loan._poll), noting(loan._recv)
    desk.peer.sendall(ack())
    assert desk.publish() is not None
    assert seen == [(None, TAG + 1), (desk.job, TAG + 1), (desk.job, TAG + 1)]
    assert desk.loan.job is None


# --- not as expected ------------------------------------------------------------------------------


OTHER = {
    "return and ack": returned() + ack(),
    "nack": frame.marshal(commands.Basic.Nack(TAG), CHANNEL),
    "ack multiple": ack(multiple=True),
    "another tag": ack(TAG + 1),
    "another channel": ack(channel=CHANNEL + 1),
    "two frames": ack() + frame.marshal(commands.Connection.Unblocked(), 0),
    "half a frame": ack()[:10],
    "all but the end": ack()[:-1],
    "heart-beat and confirm": frame.marshal(Heartbeat(), 0) + ack(),
    "heart-beat": frame.marshal(Heartbeat(), 0),
    "channel.close": frame.marshal(commands.Channel.Close(404, "x", 60, 40), CHANNEL),
    "connection.close": frame.marshal(commands.Connection.Close(320, "x", 0, 0), 0),
    "blocked": frame.marshal(commands.Connection.Blocked("low on memory"), 0),
}


@pytest.mark.parametrize("data", OTHER.values(), ids=OTHER)
def test_something_else_comes(desk: Desk, data: bytes) -> None:
    """All of it is the I/O thread's, with the message; the outcome is what that says."""
    desk.peer.sendall(data)
    assert desk.publish() is BY_THE_IO_THREAD
    loan = desk.loan
    assert (loan.received, loan.unsent, loan.broken) == (data[:64], b"", None)
    assert received_by(desk.handle) == data[64:]
    assert (desk.left, loan.tag, loan.ended) == (desk.job, TAG + 1, True)
    assert desk.given_back == [loan]
    assert loan.take()
    assert received_by(desk.peer) == frames_of(desk.job)
    assert desk.publish(make_job()) is None, "it has ended for good"
    assert received_by(desk.peer) == b""


def test_nothing_comes(desk: Desk) -> None:
    """After 20 ms it is handed over, and what the I/O thread says of it is raised."""
    desk.outcome = OutcomeUnknown("m", "no confirm", attempts=1)
    before = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        desk.publish()
    assert time.monotonic() - before >= 0.02
    assert (desk.loan.received, desk.loan.broken, desk.left) == (b"", None, desk.job)
    assert desk.given_back == [desk.loan]
    assert desk.loan.take()


@pytest.mark.parametrize(("timeout_s", "most_ms"), [(LONG_S, 20), (0.0201, 20), (0.0085, 8), (0.0005, 0)])
def test_how_long_it_waits(desk: Desk, timeout_s: float, most_ms: int) -> None:
    """20 ms, or to the deadline, whichever is shorter."""
    job = make_job()
    job.deadline = job.began + timeout_s
    polled = meanwhile(desk, lambda: None)
    assert desk.publish(job) is BY_THE_IO_THREAD
    assert polled.waits_ms in ([most_ms], [most_ms - 1])  # by rounding
    assert desk.left is job


def test_the_peer_hangs_up(desk: Desk) -> None:
    """The I/O thread will hear it from the socket itself."""
    desk.peer.shutdown(socket.SHUT_WR)
    assert desk.publish() is BY_THE_IO_THREAD
    assert (desk.loan.received, desk.loan.broken, desk.left) == (b"", None, desk.job)
    assert desk.given_back == [desk.loan]


def reset(peer: socket.socket) -> None:
    """End the TCP connection by RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@pytest.mark.parametrize("when", ["before", "while it waits"])
def test_the_connection_is_reset(tcp: Desk, when: str) -> None:
    """It is of no use any more, and why is told."""
    if when == "before":
        reset(tcp.peer)
    else:
        meanwhile(tcp, lambda: reset(tcp.peer), came=True)
    assert tcp.publish() is BY_THE_IO_THREAD
    assert tcp.loan.broken is not None
    assert "Errno" in tcp.loan.broken
    assert (tcp.loan.received, tcp.loan.unsent, tcp.left) == (b"", b"", tcp.job)
    assert tcp.given_back == [tcp.loan]


def test_the_socket_takes_a_part(desk: Desk) -> None:
    """The rest is the I/O thread's, to the byte, and nobody waits for a confirm of half a message."""
    desk.handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    polled = meanwhile(desk, lambda: None)
    job = make_job(bytes(range(256)) * 240)
    assert desk.publish(job) is BY_THE_IO_THREAD
    assert not polled.waits_ms
    assert 0 < len(desk.loan.unsent) < len(frames_of(job))
    assert received_by(desk.peer) + desk.loan.unsent == frames_of(job)
    assert (desk.left, desk.loan.tag, desk.loan.broken) == (job, TAG + 1, None)
    assert desk.given_back == [desk.loan]


def test_the_socket_takes_nothing(desk: Desk) -> None:
    """The same with all of it."""
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += desk.handle.send(b"f" * 4096)
    assert desk.publish() is BY_THE_IO_THREAD
    assert desk.loan.unsent == frames_of(desk.job)
    assert received_by(desk.peer) == b"f" * filled
    assert (desk.left, desk.loan.tag, desk.loan.broken) == (desk.job, TAG + 1, None)
    assert desk.given_back == [desk.loan]


def test_a_socket_that_seemed_ready(desk: Desk) -> None:
    """As poll may be mistaken: nothing is broken."""
    meanwhile(desk, lambda: None, came=True)
    assert desk.publish() is BY_THE_IO_THREAD
    assert (desk.loan.received, desk.loan.broken, desk.left) == (b"", None, desk.job)
    assert desk.given_back == [desk.loan]


NOT_THIS_WAY: dict[str, Callable[[], Job]] = {
    "exchange": lambda: make_job(exchange="y"),
    "body": lambda: make_job(b"x" * (64 * 1024 + 1)),
    "properties": lambda: make_job(headers={"h": "x" * 5000}),
}


@pytest.mark.parametrize("make", NOT_THIS_WAY.values(), ids=NOT_THIS_WAY)
def test_what_can_not_go_this_way(desk: Desk, make: Callable[[], Job]) -> None:
    """Nothing was done, and the next one can."""
    job = make()
    assert desk.publish(job) is None
    loan = desk.loan
    assert (loan.job, loan.tag, loan.uses, loan.ended) == (None, TAG, 0, False)
    assert not call_of(job).done()
    assert not desk.given_back
    assert received_by(desk.peer) == b""
    desk.peer.sendall(ack())
    assert desk.publish(make_job()) is not None
    assert loan.take()


def test_the_largest_body(desk: Desk) -> None:
    """64 KiB may go this way."""
    job = make_job(b"x" * 64 * 1024)
    assert suits(job.message)
    assert not suits(make_job(b"x" * (64 * 1024 + 1)).message)
    desk.handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    desk.peer.sendall(ack())
    receipt = desk.publish(job)
    assert receipt is not None
    assert receipt.attempts == 1
    assert received_by(desk.peer) == frames_of(job)


# --- who has it -----------------------------------------------------------------------------------


def test_taken_while_it_waits(desk: Desk) -> None:
    """The I/O thread has it at once, with the message; whatever comes on the socket is not the thread's any more."""
    taken: list[bool] = []

    def take() -> None:
        taken.append(desk.loan.take())
        assert desk.loan.job is not None
        desk.tell(desk.loan.job)

    meanwhile(desk, take, came=True)
    desk.peer.sendall(ack())
    assert desk.publish() is BY_THE_IO_THREAD
    assert taken == [True]
    assert (desk.left, desk.loan.tag, desk.loan.wanted, desk.loan.ended) == (desk.job, TAG + 1, False, False)
    assert not desk.given_back
    assert desk.handle.recv(100) == ack(), "it is left to the I/O thread"
    assert not desk.loan.take(), "it can be taken once"
    assert desk.publish(make_job()) is None


@pytest.mark.parametrize("answer", [ack(), ack(multiple=True)], ids=["confirmed", "not as expected"])
def test_wanted_while_a_thread_is_at_work(desk: Desk, answer: bytes) -> None:
    """It is not taken from the thread; that gives it back as soon as it is done, once."""
    wanted: list[bool] = []

    at_work(desk, lambda: wanted.append(desk.loan.take()))
    desk.peer.sendall(answer)
    as_expected = answer == ack()
    receipt = desk.publish()
    assert receipt is not None
    assert (receipt is BY_THE_IO_THREAD) is not as_expected
    assert wanted == [False, False]
    assert desk.given_back == [desk.loan]
    assert desk.left is (None if as_expected else desk.job)
    assert desk.loan.take()
    assert desk.publish(make_job()) is None


@pytest.mark.parametrize("what", ["put down", "waits", "ended"])
def test_wanted_while_a_thread_gives_it_back(desk: Desk, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The thread may have looked just before the I/O thread says that it wants it: that looks again."""
    loan = desk.loan
    free = loan._free.copy()
    loan._free.clear()
    take = durable_ws.loan._take
    moments: list[None] = []

    def then_give_back(tokens: Any) -> bool:
        taken = take(tokens)
        if tokens is loan._waiting and not moments:
            moments.append(None)
            if what == "put down":
                loan._free.update(free)
            elif what == "waits":
                loan._waiting.update(free)
            else:
                loan.ended = True
        return taken

    monkeypatch.setattr(durable_ws.loan, "_take", then_give_back)
    assert loan.take()
    assert not desk.given_back


def test_a_second_thread(desk: Desk) -> None:
    """While one has the loan, at work or waiting, another goes the other way; so does a signal handler of the first."""
    others: list[object] = []

    def other() -> None:
        thread = threading.Thread(target=lambda: others.append(publish(desk.loan, make_job())))
        thread.start()
        thread.join(WAIT_S)
        others.append(publish(desk.loan, make_job()))

    at_work(desk, other)
    meanwhile(desk, other, came=True)
    desk.peer.sendall(ack())
    receipt = desk.publish()
    assert receipt is not None
    assert receipt.attempts == 1
    assert others == [None] * 6
    assert received_by(desk.peer) == frames_of(desk.job)
    assert not desk.given_back


@pytest.mark.usefixtures("hasty")
def test_threads_by_turns(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many threads at once: each receipt is of a message that was written, in the order of the tags, and none twice."""
    monkeypatch.setattr(durable_ws.loan, "_PATIENCE_MS", 10_000)
    size = len(frames_of(make_job()))
    acked: list[int] = []
    stop = threading.Event()

    def answer() -> None:
        heard, tag = b"", TAG
        while data := desk.peer.recv(4096):
            heard += data
            while len(heard) >= size:
                heard = heard[size:]
                desk.peer.sendall(ack(tag))
                tag += 1
        acked.append(tag - TAG)

    peer = threading.Thread(target=answer, daemon=True)
    peer.start()
    counts: Counter[str] = Counter()

    def work() -> None:
        while not stop.is_set():
            receipt = publish(desk.loan, make_job())
            counts["elsewhere" if receipt is None else "here"] += 1
            if counts["here"] >= 500:
                stop.set()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    stop.set()
    desk.handle.shutdown(socket.SHUT_RDWR)
    peer.join(WAIT_S)
    assert acked == [desk.loan.tag - TAG] == [desk.loan.uses]
    assert counts["here"] >= 500
    assert not desk.given_back


# --- its end --------------------------------------------------------------------------------------


def test_it_closes_its_handle(desk: Desk) -> None:
    """Once, or again."""
    desk.loan.close()
    assert desk.handle.fileno() == -1
    desk.loan.close()
    assert desk.peer.recv(1) == b""


# --- interrupted at any moment --------------------------------------------------------------------


TAKE = durable_ws.loan._take.__code__
CODES = {Loan.publish.__code__, Loan._receive.__code__, Loan._bear.__code__,
         Loan._end.__code__, TAKE}  # fmt: skip
MOST_STUCK = 20
"""So many instructions of CPython, at most, in which an error leaves the loan with nobody. A signal handler may run at
a tenth of these."""


def taken_meanwhile(desk: Desk) -> None:
    """The I/O thread ends the loan while the thread waits, and goes on with the message."""

    def take() -> None:
        assert desk.loan.take()
        job, desk.loan.job = desk.loan.job, None
        assert job is not None
        desk.tell(job)
        desk.taken = True

    meanwhile(desk, take)


def confirmed(desk: Desk) -> None:
    """As expected."""
    desk.peer.sendall(ack())


def confirmed_and_wanted(desk: Desk) -> None:
    """The same, and the I/O thread wants the loan."""
    desk.peer.sendall(ack())
    desk.loan.wanted = True


def hung_up(desk: Desk) -> None:
    """An error of the system."""
    desk.peer.close()


WAYS: dict[str, Callable[[Desk], object]] = {
    "confirmed": confirmed,
    "confirmed and wanted": confirmed_and_wanted,
    "something else": lambda desk: desk.peer.sendall(ack(multiple=True)),
    "nothing": lambda desk: meanwhile(desk, lambda: None),
    "taken": taken_meanwhile,
    "seemed ready": lambda desk: meanwhile(desk, lambda: None, came=True),
    "takes a part": lambda desk: desk.handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096),
    "hung up": hung_up,
}


def struck(desk: Desk, job: Job, strike: Strike) -> tuple[Receipt | None, BaseException | None]:
    """Publish a message while the error strikes; the receipt, or that error if it comes out."""
    with strike:
        try:
            return desk.publish(job), None
        except BaseException as exc:
            if exc is not strike.error:
                raise
            return None, exc


def strike_everywhere(
    way: Callable[[Desk], object], error: type[BaseException], look: Callable[[Desk, tuple[str, int | None]], None]
) -> set[str]:
    """Publish with a loan of its own for each instruction at which the error strikes; the functions that it hit.

    Args:
        way: what the peer and the I/O thread do.
        error: its class.
        look: told of each, with where it struck.
    """
    size = 16_000 if way is WAYS["takes a part"] else 1
    hit: set[str] = set()
    for number in range(100_000):
        with contextlib.closing(Desk(socket.socketpair())) as desk:
            way(desk)
            strike = Strike(number, error(), CODES)
            # A thread of its own: an error that strikes in an ``except`` at an instruction at which no signal handler
            # would be called stays for ever what its thread is dealing with, and in the context of each that follows.
            with ThreadPoolExecutor(1) as executor:
                receipt, caught = executor.submit(struck, desk, make_job(b"x" * size), strike).result(WAIT_S)
            if strike.where is not None:
                assert caught is not None, f"it was swallowed: {strike.where}"
                assert receipt is None
                hit.add(strike.where[0])
                look(desk, strike.where)
            elif number:
                return hit
    raise AssertionError("it never ends")


def check_why_broken(desk: Desk, way: Callable[[Desk], object], where: tuple[str, int | None]) -> None:
    """The first reason stays, and there is none for a connection whose loan had ended before the error struck."""
    function, line = where
    if way is hung_up and function == "_end":
        assert desk.loan.broken is not None
        assert "Errno" in desk.loan.broken
    elif line is not None and "_give_back" in linecache.getline(durable_ws.loan.__file__, line):
        assert desk.loan.broken is None


@pytest.mark.unmutated
@pytest.mark.parametrize("error", [Struck, LateError])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_interrupted_anywhere(way: Callable[[Desk], object], error: type[BaseException]) -> None:
    """The error comes out, and the I/O thread gets the loan with all that it must know to go on.

    There are moments when nobody has the loan for good, just after a token was taken or before it is put down: then the
    I/O thread gives the connection up (test_lending.py).
    """
    stuck: list[tuple[str, int | None]] = []

    def look(desk: Desk, where: tuple[str, int | None]) -> None:
        loan, by_io = desk.loan, desk.taken
        assert len(desk.given_back) <= 2
        if not (loan.take() or by_io or desk.given_back):
            stuck.append(where)
            return
        written, frames = received_by(desk.peer) if way is not hung_up else b"", frames_of(desk.job)
        left = received_by(desk.handle) if way is not hung_up else b""
        if loan.tag == TAG:  # it never began
            assert (loan.job, written, loan.unsent) == (None, b"", b"")
            return
        check_why_broken(desk, way, where)
        if loan.broken is not None:  # the message goes on, if there is still one, on another connection
            assert desk.left in (None, desk.job)
            if loan.job is None and written:
                assert by_io or left == b"", "it was confirmed"
            assert desk.given_back or loan.ended
            return
        assert loan.tag == TAG + 1
        assert by_io or way is hung_up or written + loan.unsent == frames
        if way in (confirmed, confirmed_and_wanted):
            assert loan.received + left == (b"" if loan.job is None else ack())
        elif by_io:
            assert loan.job is None
        else:
            assert desk.left is desk.job, "it is handed over"
            if way is WAYS["something else"]:
                assert loan.received + left == ack(multiple=True)

    hit = strike_everywhere(way, error, look)
    assert "publish" in hit
    assert len(stuck) <= MOST_STUCK, stuck
    assert {function for function, _ in stuck} <= {"_take", "publish", "_end"}


@pytest.mark.unmutated
@pytest.mark.parametrize("way", [WAYS["nothing"], WAYS["something else"]], ids=["nothing", "something else"])
def test_no_message_is_left_behind(way: Callable[[Desk], object]) -> None:
    """Once it may have been written, the I/O thread gets it, wherever an error strikes but for a few instructions."""
    left_behind: list[tuple[str, int | None]] = []

    def look(desk: Desk, where: tuple[str, int | None]) -> None:
        had_back = desk.loan.take() or desk.given_back
        if received_by(desk.peer) and not (had_back and desk.left is desk.job):
            left_behind.append(where)

    strike_everywhere(way, Struck, look)
    assert len(left_behind) <= 5, left_behind


@pytest.mark.unmutated
def test_the_loan_is_hardly_ever_lost() -> None:
    """An error that strikes before the message is written costs the connection in a few instructions only."""
    lost: list[tuple[str, int | None]] = []

    def look(desk: Desk, where: tuple[str, int | None]) -> None:
        if not (desk.loan.take() or desk.given_back):
            lost.append(where)

    strike_everywhere(confirmed, Struck, look)
    assert len(lost) <= 12, lost


@pytest.mark.unmutated
def test_an_index_error_of_a_signal_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes out like any other, and does not leave its thread to wait for an outcome that nobody tells."""
    monkeypatch.setattr(Call, "wait", lambda _: BY_THE_IO_THREAD)  # else it hangs
    strike_everywhere(confirmed, IndexError, lambda *_: None)
