"""A program under soak, seen from outside: its process, its commands, and a thread that reads what it tells."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO, Literal, Self

from benchmarks.soak_publishers.records import Record, decode

__all__ = ["Child", "Kind"]

Kind = Literal["threads", "tasks"]

_END_S = 10.0


class Child:
    """Runs in the ``with``; is killed at its end, if it has not ended by itself.

    Args:
        kind: of the publisher.
        url: where it publishes.
        seed: of its callers.
        callers: how many.
        one_by_one: whether they wait for each message, without pauses, instead of publishing in all ways.
        heartbeat_s: of its connections.
        take: gets each record, in the order in which they were told, in the reader's thread.
    """

    def __init__(
        self,
        kind: Kind,
        url: str,
        *,
        seed: int,
        callers: int,
        one_by_one: bool,
        heartbeat_s: int,
        take: Callable[[Record], None],
    ) -> None:
        self.kind = kind
        module = "benchmarks.soak_publishers.program"
        ways = "one-by-one" if one_by_one else "all-ways"
        self._command = [sys.executable, "-m", module, kind, url, str(seed), str(callers), ways, str(heartbeat_s)]
        self._take = take
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._read, name=f"reader of {kind}", daemon=True)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is the soak's
        )
        self._reader.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()
        self._reader.join()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._errors.close()

    def command(self, *words: object) -> None:
        """Give a command; one that has ended does not hear it."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
                self._process.stdin.flush()

    def show_stacks(self) -> None:
        """Have it say on its standard error where each of its threads stands."""
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR1)

    @property
    def ended(self) -> bool:
        """Whether the process is over and all that it told was taken."""
        return not self._reader.is_alive()

    def wait(self) -> int | None:
        """Wait a little for its end; its exit status, None: it goes on."""
        if self._process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
            self._reader.join(_END_S)
        return self._process.returncode

    def last_words(self) -> str:
        """What it has said on its standard error, the end of it."""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace").strip()[-4000:]

    def _read(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            for line in self._process.stdout:
                self._take(decode(line))
