"""One run of a program under test: its process group, its pipes, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from conformance.errors import HarnessError, UsageError

__all__ = ["Program"]

_MOST_LINE_BYTES = 1024 * 1024
_EXITED_S = 10.0
"""How long after the end of its output a program has to end, to be told with its status."""
_JOIN_S = 5.0


class Program:
    """A program that is running, in a process group of its own: Ctrl-C is the suite's to handle, and what the program
    has started is ended with it.

    Args:
        command: program and arguments.
        environment: variables that are handed over beside the suite's own: ``RABBITMQ_URL`` …
        stderr: the descriptor of the file that its standard error goes to.
        on_line: takes each line of its output, in a thread of its own.
        on_end: called in that thread once no more lines can come.
        field: what the error calls the command.

    Attributes:
        exited: set once the process has ended.
        status: its exit status by then; minus the signal that ended it.
        killed: the suite has killed it.

    Raises:
        UsageError: it can't be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stderr: int,
        on_line: Callable[[bytes], None],
        on_end: Callable[[Program], None],
        field: str,
    ) -> None:
        self.exited = threading.Event()
        self.status: int | None = None
        self.killed = False
        self._on_line = on_line
        self._on_end = on_end
        try:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc
            raise UsageError(
                field,
                f"{command[0]!r} can't be started ({reason})",
                "Name a program that is installed, with its full path if it is not on PATH.",
            ) from exc
        self._threads = [
            threading.Thread(target=work, name=f"publisher-command {name}", daemon=True)
            for name, work in (("reader", self._read), ("watcher", self._watch))
        ]
        for thread in self._threads:
            thread.start()

    def write(self, line: bytes) -> None:
        """Write to its standard input; blocks while it does not read. Raises OSError where it reads no more."""
        stdin = self.process.stdin
        assert stdin is not None  # noqa: S101 - it was asked for
        stdin.write(line)
        stdin.flush()

    def close_input(self) -> None:
        """Tell it that nothing more comes."""
        stdin = self.process.stdin
        assert stdin is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(OSError):
            stdin.close()

    def stop(self) -> None:
        """Stop it where it stands (SIGSTOP) and wait until it was seen to stand still.

        Raises:
            HarnessError: it has ended.
        """
        self._signal(signal.SIGSTOP)
        with contextlib.suppress(ChildProcessError):
            seen = os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if seen is not None and seen.si_code == os.CLD_STOPPED:
                return
        raise HarnessError("the publisher's program had ended before it could be stopped")

    def resume(self) -> None:
        """Have it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it (SIGKILL), with what it has started, and wait until every line that it wrote was taken."""
        self.killed = True
        self.end()

    def end(self) -> None:
        """End it by force if it is still there, take its last lines, reap it. Idempotent."""
        self._signal(signal.SIGKILL)
        self.exited.wait()
        # It is reaped only now: until then nobody else can have the id of its group.
        self.process.wait()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _signal(self, number: int) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def _read(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None  # noqa: S101 - it was asked for
        with stdout:
            while line := stdout.readline(_MOST_LINE_BYTES):
                self._on_line(line)
        self.exited.wait(_EXITED_S)
        self._on_end(self)

    def _watch(self) -> None:
        """Wait for the program's end without reaping it."""
        with contextlib.suppress(ChildProcessError):
            end = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
            if end is not None:
                self.status = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
        self.exited.set()
