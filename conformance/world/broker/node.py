"""A RabbitMQ node of the suite's own: on 127.0.0.1, in a folder of its own, under a supervisor."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import resource
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conformance.errors import BrokerUnavailable, HarnessError, UsageError
from conformance.world.broker import supervisor
from conformance.world.broker.base import Addresses, Capability, Wish
from conformance.world.broker.conf import merged_conf, needed_settings
from conformance.world.broker.faketime import SETTINGS, MovedClock, environment, offset_text, time_by_http
from conformance.world.broker.hardened import Hardened, make_certificate, tls_listener
from conformance.world.broker.open_files import limit_for
from conformance.world.broker.ports import ReservedPorts
from conformance.world.broker.reached import Reached
from conformance.world.broker.ready import await_handshakes

__all__ = ["NodeBroker", "Program", "sweep"]

_CTL_S = 60.0
_SMALL_DISK_BYTES = 64 * 1024 * 1024
_TRY_S = 10.0
_PLUGINS = "[rabbitmq_web_stomp,rabbitmq_management]."


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An unpacked or installed RabbitMQ: its server script, epmd, and what its environment needs besides.

    ``faketime`` is the library that moves its clock; None: there is none.
    """

    server: Path
    epmd: Path
    environment: dict[str, str] = field(default_factory=dict)
    faketime: Path | None = None


class NodeBroker(Reached):
    """Implements :class:`conformance.world.broker.base.Broker` for a node that runs under our supervisor.

    Args:
        provider: ``provisioned`` or ``local``.
        program: what to run.
        nodes: the folder below which each node has its own; removed with the node.
        conf: a ``rabbitmq.conf`` of the user's to merge in.
        definitions: a definitions file to import once the node is up.
        wishes: what it is started for.
        hardened: what it gets besides, for a hostile page.
    """

    def __init__(
        self,
        provider: str,
        program: Program,
        nodes: Path,
        *,
        conf: Path | None = None,
        definitions: Path | None = None,
        wishes: frozenset[Wish] = frozenset(),
        hardened: Hardened | None = None,
    ) -> None:
        super().__init__()
        self.provider = provider
        self._program = program
        self._nodes = nodes
        self._conf = conf
        self._definitions = definitions
        self._wishes = wishes
        self._hardened = hardened or Hardened()
        self._name = f"durable-ws-{secrets.token_hex(4)}"
        self._folder = nodes / self._name
        self._ports: ReservedPorts | None = None
        self._supervisor: subprocess.Popen[str] | None = None
        self._environment_of_node: dict[str, str] = {}
        self._clock = MovedClock(self._put_offset, lambda: time_by_http(self.addresses.management or ""))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything: it is ours."""
        can = {"restart", "kill", "management", "admin", "ctl", "pause", "attack"}
        if self._hardened.tls:
            can.add("tls")
        if hasattr(resource, "prlimit"):
            can.add("file-limit")
        if _small_disk_can_be_had():
            can.add("small-disk")
        if self._program.faketime is not None:
            can.add("clock")
        return frozenset(can)

    def describe(self) -> dict[str, Any]:
        """See :meth:`Broker.describe`."""
        return {
            "provider": self.provider,
            "version": self.version,
            "program": str(self._program.server),
            "node": f"{self._name}@localhost",
            "settings": {
                "conf": str(self._conf) if self._conf else None,
                "definitions": str(self._definitions) if self._definitions else self._hardened.said,
            },
        }

    def start(self) -> None:
        """See :meth:`Broker.start`."""
        sweep(self._nodes)
        self._ports = ReservedPorts(7)
        amqp, stomp, web_stomp, management, distribution, epmd, secure = self._ports.numbers
        settings = needed_settings(amqp=amqp, stomp=stomp, web_stomp=web_stomp, management=management)
        settings |= self._hardened.administrator_settings
        if self._hardened.tls:
            settings |= tls_listener(str(self._folder), ip="127.0.0.1", port=secure)
        small_disk = "small-disk" in self._wishes and _small_disk_can_be_had()
        if small_disk:
            settings["disk_free_limit.absolute"] = "0"  # the disk is to be full, not nearly full
        if self._has_clock:
            settings |= SETTINGS
        try:
            self._nodes.mkdir(parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700)  # keys, and the passcode of the suite's user
            (self._folder / "home").mkdir()
            self._data.mkdir()
            own = self._conf.read_text(encoding="utf-8") if self._conf else ""
            conf = merged_conf(own, settings, self._hardened.settings)
            (self._folder / "rabbitmq.conf").write_text(conf, encoding="utf-8")
            if self._hardened.advanced:
                (self._folder / "advanced.config").write_text(self._hardened.advanced, encoding="ascii")
            if self._hardened.tls:
                make_certificate().write(self._folder)
            (self._folder / "enabled_plugins").write_text(_PLUGINS + "\n", encoding="ascii")
        except OSError as exc:
            self._ports.close()
            raise UsageError(
                "DURABLE_WS_CACHE",
                f"the cache folder {str(self._nodes)!r} can't be written ({exc.strerror})",
                "Set DURABLE_WS_CACHE to a folder that is yours.",
            ) from exc
        self._environment_of_node = self._environment(distribution=distribution, epmd=epmd)
        orders = supervisor.Orders(
            node=[*self._lives_by_a_clock_of_its_own(), str(self._program.server)],
            epmd=[str(self._program.epmd)],
            environment=self._environment_of_node,
            folder=str(self._folder),
            pid_file=str(self._folder / "pid"),
            small_disk=str(self._data) if small_disk else "",
            small_disk_bytes=_SMALL_DISK_BYTES,
        )
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", str(Path(supervisor.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._tell(json.dumps(dataclasses.asdict(orders)))
        who = ":".join(self._hardened.administrator)
        self._reach(
            Addresses(
                amqp=f"amqp://{who}@127.0.0.1:{amqp}/%2F",
                web_stomp=f"ws://127.0.0.1:{web_stomp}/ws",
                management=f"http://{who}@127.0.0.1:{management}",
                secure_web_stomp=f"wss://127.0.0.1:{secure}/ws" if self._hardened.tls else None,
            )
        )
        try:
            self.revive()
            self._import_definitions()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """See :meth:`Broker.stop`."""
        self._leave()
        running, self._supervisor = self._supervisor, None
        if running is not None and running.stdin is not None and running.stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                running.stdin.close()
            running.wait()
            running.stdout.close()
        if self._ports is not None:
            self._ports.close()
        shutil.rmtree(
            self._folder, ignore_errors=True
        )  # the supervisor's to do, but where it never began or was killed

    def terminate(self) -> None:
        """See :meth:`Broker.terminate`."""
        self._command("terminate")

    def kill(self) -> None:
        """See :meth:`Broker.kill`."""
        self._command("kill")

    def revive(self) -> None:
        """See :meth:`Broker.revive`."""
        (self._folder / "pid").unlink(missing_ok=True)
        self._command("start")
        await_handshakes(
            self.addresses, has_given_up=self._has_given_up, last_words=self._last_words, listens=self._listens
        )

    def pause(self) -> None:
        """See :meth:`Broker.pause`."""
        self._command("pause")

    def resume(self) -> None:
        """See :meth:`Broker.resume`."""
        self._command("resume")

    def ctl(self, *words: str, program: str = "rabbitmqctl") -> str:
        """See :meth:`Broker.ctl`."""
        try:
            done = subprocess.run(
                [str(self._program.server.with_name(program)), *words],
                env=self._environment_of_node,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_CTL_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise HarnessError(f"{program} {words[0]}: {exc}") from exc
        if done.returncode != 0:
            raise HarnessError(f"{program} {words[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout

    def limit_open_files(self, most: int | None) -> int:
        """See :meth:`Broker.limit_open_files`; by prlimit(2)."""
        pid = int(self._command("pid"))
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        numbers = (int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
        limit = hard if most is None else limit_for(numbers, most)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
        return limit

    def fill_disk(self, *, leave_bytes: int) -> None:
        """See :meth:`Broker.fill_disk`."""
        if "small-disk" not in self._wishes & self.capabilities:
            self._refuse()
        self._command(f"fill {leave_bytes}")

    def free_disk(self) -> None:
        """See :meth:`Broker.free_disk`."""
        if "small-disk" not in self._wishes & self.capabilities:
            self._refuse()
        self._command("free")

    def advance_clock(self, seconds: float) -> None:
        """See :meth:`Broker.advance_clock`."""
        if not self._has_clock:
            self._refuse()
        self._clock.advance(seconds)

    def log(self) -> str:
        """See :meth:`Broker.log`: the log file and the console, which holds what came before it."""
        told = [self._console()]
        for path in sorted((self._folder / "log").glob("*.log")):
            with contextlib.suppress(OSError):
                told.append(path.read_text(encoding="utf-8", errors="replace"))
        return "\n".join(filter(None, told))

    # --- the parts -------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        """Where the node keeps what must not be lost; the logs lie elsewhere."""
        return self._folder / "mnesia"

    @property
    def _has_clock(self) -> bool:
        """Whether it is started with a clock of its own."""
        return "clock" in self._wishes and self._program.faketime is not None

    def _lives_by_a_clock_of_its_own(self) -> list[str]:
        """What stands before the server's script; not in the environment, which the command-line tools share."""
        if not self._has_clock:
            return []
        self._put_offset(offset_text(0))
        needed = environment(str(self._program.faketime), str(self._offset_file))
        return ["/usr/bin/env", *(f"{name}={value}" for name, value in needed.items())]

    @property
    def _offset_file(self) -> Path:
        return self._folder / "clock"

    def _put_offset(self, text: str) -> None:
        beside = self._offset_file.with_name("clock.new")
        beside.write_text(text, encoding="ascii")
        beside.replace(self._offset_file)

    def _environment(self, *, distribution: int, epmd: int) -> dict[str, str]:
        """The node's whole environment; nothing of the user's but PATH, locale and temporary folder.

        Source: https://www.rabbitmq.com/docs/configure#supported-environment-variables
        """
        folder = self._folder
        inherited = {key: os.environ[key] for key in ("LANG", "LC_ALL", "TMPDIR") if key in os.environ}
        path = f"{self._program.epmd.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}"
        return {
            **inherited,
            "PATH": path,
            "HOME": str(folder / "home"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
            "RABBITMQ_NODENAME": f"{self._name}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(self._data),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # Has the script become the Erlang machine (exec) and not its parent: one process to signal and to watch.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Idle schedulers sleep at once instead of spinning: several nodes share a small machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            **self._program.environment,
        }

    def _tell(self, line: str) -> None:
        if self._supervisor is None or self._supervisor.stdin is None:
            raise HarnessError("the broker has not been started")
        self._supervisor.stdin.write(line + "\n")
        self._supervisor.stdin.flush()

    def _command(self, command: str) -> str:
        try:
            self._tell(command)
            answer = self._supervisor.stdout.readline() if self._supervisor and self._supervisor.stdout else ""
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise BrokerUnavailable(f"the broker's supervisor has ended\n{self._last_words()}")
        if answer.startswith("failed: "):
            raise HarnessError(f"the broker's supervisor can't {command}: {answer[8:].strip()}")
        return answer.strip()

    def _listens(self) -> bool:
        """Whether this very node has the ports at which something answers."""
        try:
            if self.ask("GET", "/overview").get("node") != f"{self._name}@localhost":
                return False
            for address in (self.addresses.amqp, self.addresses.web_stomp):
                # Fails where it does not listen there. The overview tells it too, but not without statistics.
                self.ask("GET", f"/health/checks/port-listener/{urlsplit(address).port}")
        except HarnessError:
            return False
        return True

    def _has_given_up(self) -> bool:
        """Whether the node says that its boot has failed, or has ended."""
        console = self._console()
        return "BOOT FAILED" in console or "init terminating" in console or self._command("look") == "ended"

    def _console(self) -> str:
        with contextlib.suppress(OSError):
            return (self._folder / "console.log").read_text(encoding="utf-8", errors="replace")
        return ""

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._console().splitlines() if line.strip()]
        return "The node's last words:\n" + "\n".join(f"  {line[:200]}" for line in lines[-12:])

    def _import_definitions(self) -> None:
        if self._management is not None:
            self._management.import_all(self._hardened.definitions, self._definitions)


@functools.cache
def _small_disk_can_be_had() -> bool:
    """Whether this system lets the supervisor mount one: tried once, in a process of its own."""
    command = [sys.executable, "-I", str(Path(supervisor.__file__)), "try-small-disk"]
    try:
        return subprocess.run(command, capture_output=True, timeout=_TRY_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def sweep(nodes: Path) -> None:
    """Remove the folders of nodes whose supervisor was killed before it could."""
    for folder in nodes.glob("durable-ws-*"):
        lock = folder / supervisor.LOCK
        try:
            with lock.open("r+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # it lives, or is only just being made
