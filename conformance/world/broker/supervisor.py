"""The small process that a node runs under: it ends the node when its parent ends, however that ends.

Run as a script of its own (standard library alone) in a session of its own, so that Ctrl-C in the terminal does not
reach the node. It reads one JSON object (:class:`Orders`) and then commands, a line each, from standard input:
``start``, ``look``, ``pid``, ``pause``, ``resume``, ``fill``, ``free``, ``terminate`` and ``kill``, and answers each
with a line. The end of its standard input or of its parent, for whatever reason, a SIGKILL included, makes it kill what
it started and remove the node's folder. Should it be killed itself, Linux kills node and epmd with it, and the next run
removes the folder (``sweep``).

Where the node is to have a small disk, the supervisor enters a mount namespace of its own and mounts a tmpfs there:
nothing outside sees it, and it goes with the last process in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LOCK", "Orders", "lines_of_parent", "stands_still"]

LOCK = "supervisor.lock"
"""A file in the node's folder that stays locked for as long as its supervisor lives."""

_LEFT_BY_FAKETIME = ("faketime_shm_{}", "sem.faketime_sem_{}")
"""Of a node that lives by a clock of its own; the library names them after the process and can't remove them."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_REC_PRIVATE = 0x4000 | 0x40000
_MNT_DETACH = 2
_TERMINATE_S = 60.0
_EPMD_S = 10.0
_STOP_S = 30.0
_BALLAST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Orders:
    """What to run: the node's and epmd's command lines, their environment, the node's folder and its pid file.

    ``small_disk``: a folder to mount a tmpfs of ``small_disk_bytes`` on (empty: none).
    """

    node: list[str]
    epmd: list[str]
    environment: dict[str, str]
    folder: str
    pid_file: str
    small_disk: str = ""
    small_disk_bytes: int = 0


class _Supervisor:
    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._folder = Path(orders.folder)
        self._log = (self._folder / "console.log").open("ab")
        self._epmd = self._run(orders.epmd)
        self._await_epmd()
        self._node: subprocess.Popen[bytes] | None = None

    def _await_epmd(self) -> None:
        """Wait until epmd answers: a node that finds none starts one itself, and loses that race at times."""
        port = int(self._orders.environment["ERL_EPMD_PORT"])
        deadline = time.monotonic() + _EPMD_S
        while self._epmd.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            except OSError:
                time.sleep(0.01)
            else:
                return

    def start(self) -> str:
        self._reap_node()
        self._node = self._run(self._orders.node)
        return "started"

    def look(self) -> str:
        return "runs" if self._node is not None and self._node.poll() is None else "ended"

    def pid(self) -> str:
        """The Erlang machine's own."""
        return str(self._node_pid())

    def pause(self) -> str:
        """Stop the node, and wait until each of its threads was seen to stand still.

        The kernel leaves the stop to whichever thread takes the signal: until that one gets the processor, the others
        go on, and on a busy machine they answered a whole handshake.
        """
        told = self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + _STOP_S
        while told == "signalled" and not stands_still(self._node_pid()):
            if time.monotonic() > deadline:
                return f"failed: the node's threads did not all stop within {_STOP_S:g} s"
            time.sleep(0.002)
        return told

    def resume(self) -> str:
        return self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> str:
        if self._node is None:
            return "ended"
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._node_pid(), number)
        return "signalled"

    def fill(self, leave_bytes: str) -> str:
        """Write a ballast file until no more than so many bytes are free on the small disk."""
        try:
            with self._ballast.open("ab") as ballast:
                while (surplus := self._free_bytes() - int(leave_bytes)) > 0:
                    end = ballast.seek(0, os.SEEK_END)
                    os.posix_fallocate(ballast.fileno(), end, min(surplus, _BALLAST_BYTES))
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                return f"failed: {exc}"
        return str(self._free_bytes())

    def free(self) -> str:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)
        return str(self._free_bytes())

    @property
    def _ballast(self) -> Path:
        return Path(self._orders.small_disk) / "ballast"

    def _free_bytes(self) -> int:
        disk = os.statvfs(self._orders.small_disk)
        return disk.f_bavail * disk.f_frsize

    def terminate(self) -> str:
        """SIGTERM to the Erlang machine itself: the script around it would take a slower way."""
        if self._node is None:
            return "ended"
        pid = self._node_pid()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._node.wait(_TERMINATE_S)
        return self.kill()

    def kill(self) -> str:
        if self._node is not None:
            with contextlib.suppress(ProcessLookupError, OSError, ValueError):
                os.kill(self._node_pid(), signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._node.pid, signal.SIGKILL)
            self._node.wait()
            for name in _LEFT_BY_FAKETIME:
                Path("/dev/shm", name.format(self._node.pid)).unlink(missing_ok=True)  # noqa: S108
            self._node = None
        self._reap_node()
        return "ended"

    def end(self) -> None:
        self.kill()
        self._epmd.kill()
        self._epmd.wait()
        self._kill_children(keep=set())
        self._log.close()
        if self._orders.small_disk:
            _LIBC.umount2(self._orders.small_disk.encode(), _MNT_DETACH)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self._orders.environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        )

    def _node_pid(self) -> int:
        """The machine's own: that of the script, which becomes the machine, until it has written its file."""
        with contextlib.suppress(OSError, ValueError):
            return int(Path(self._orders.pid_file).read_text(encoding="ascii"))
        if self._node is None:
            raise ProcessLookupError
        return self._node.pid

    def _reap_node(self) -> None:
        """Helpers of a node that has ended (its port programs) are our children now: end them as well."""
        self._kill_children(keep={self._epmd.pid})

    def _kill_children(self, keep: set[int]) -> None:
        deadline = time.monotonic() + 5.0
        while children := _children() - keep:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            if time.monotonic() >= deadline:  # not before the first round: nothing else would end them
                break


def _children() -> set[int]:
    """The pids of this process's children; none where there is no /proc."""
    me = os.getpid()
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat") if Path("/proc/self/stat").exists() else ():
        with contextlib.suppress(OSError, ValueError, IndexError):
            # pid (name, which may hold anything) state ppid …
            if int(entry.read_text(errors="replace").rpartition(")")[2].split()[1]) == me:
                found.add(int(entry.parent.name))
    return found


def stands_still(pid: int) -> bool:
    """Whether no thread of a process runs: each is stopped or at its end. True where there is no /proc, or no process.

    Source: proc_pid_stat(5), state.
    """
    for thread in Path(f"/proc/{pid}/task").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):  # it has ended meanwhile
            if thread.read_text(errors="replace").rpartition(")")[2].split()[0] not in "TtZXx":
                return False
    return True


_LIBC = ctypes.CDLL(None, use_errno=True)


def mount_small_disk(folder: str, size_bytes: int) -> None:
    """Enter a mount namespace of this process's own and mount a tmpfs on the folder, which nobody outside sees.

    An ordinary user needs a user namespace for that (user_namespaces(7)), which some systems do not allow.

    Raises:
        OSError: it can't be done here.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        _call("unshare", _CLONE_NEWNS)
    except OSError:
        _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    _call("mount", None, b"/", None, _MS_REC_PRIVATE, None)  # what is mounted from now on spreads nowhere
    _call("mount", b"tmpfs", folder.encode(), b"tmpfs", 0, f"size={size_bytes},mode=0700".encode())


def _call(name: str, *arguments: object) -> None:
    """A system call of the C library's that says what went wrong by errno."""
    function = getattr(_LIBC, name, None)
    if function is None:
        raise OSError(errno.ENOSYS, f"this system has no {name}")
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(option: int, value: int) -> None:
    """Linux's prctl(2); elsewhere pipe and process group must do."""
    with contextlib.suppress(AttributeError):
        _LIBC.prctl(option, value, 0, 0, 0)


def lines_of_parent(parent: int) -> Iterator[str]:
    """Lines from standard input until it ends or the parent does: what the parent forked may hold the pipe open."""
    standard_input = 0
    with selectors.DefaultSelector() as selector:
        selector.register(standard_input, selectors.EVENT_READ)
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):  # an old kernel; or the parent has ended, which the next look shows
                selector.register(os.pidfd_open(parent), selectors.EVENT_READ)
        rest = b""
        while os.getppid() == parent and {key.fd for key, _ in selector.select()} == {standard_input}:
            chunk = os.read(standard_input, 65536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode() for line in lines)


def main() -> None:
    """Take the orders, obey commands, end everything at the end of standard input or of the parent."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the node fall to this process
    lines = lines_of_parent(os.getppid())
    first = next(lines, None)
    if first is None:
        return
    orders = Orders(**json.loads(first))
    if orders.small_disk:
        mount_small_disk(orders.small_disk, orders.small_disk_bytes)
    lock_file = Path(orders.folder) / LOCK
    beside = lock_file.with_name(f"{LOCK}.new")
    with beside.open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        beside.replace(lock_file)  # only now, locked: another run's sweep would take the node for a dead one
        supervisor = _Supervisor(orders)
        commands: dict[str, Callable[..., str]] = {
            "start": supervisor.start,
            "look": supervisor.look,
            "pid": supervisor.pid,
            "pause": supervisor.pause,
            "resume": supervisor.resume,
            "fill": supervisor.fill,
            "free": supervisor.free,
            "terminate": supervisor.terminate,
            "kill": supervisor.kill,
        }
        try:
            for line in lines:
                command, *arguments = line.split()
                os.write(1, commands[command](*arguments).encode() + b"\n")
        except BrokenPipeError:
            pass  # the parent has ended meanwhile
        finally:
            supervisor.end()


def try_small_disk() -> None:
    """Mount one for a moment. Raises OSError where that can't be done here."""
    with tempfile.TemporaryDirectory() as folder:
        mount_small_disk(folder, 65536)
        _call("umount2", folder.encode(), _MNT_DETACH)


if __name__ == "__main__":
    if "try-small-disk" in sys.argv:
        try_small_disk()
    else:
        main()
