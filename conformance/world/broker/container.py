"""A RabbitMQ in a container of the suite's own, through testcontainers.

Testcontainers' generic container is used, not its RabbitMQ module: readiness here is a handshake of each protocol, the
host's ports must stay the same over a restart and lie on 127.0.0.1, and any image that holds a RabbitMQ will do.
Settings are copied into the container before it starts, which a daemon elsewhere can do as well as one here.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import re
import secrets
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.errors import BrokerUnavailable, HarnessError, UsageError
from conformance.world.broker.base import Addresses, Capability, Wish
from conformance.world.broker.conf import container_settings, merged_conf
from conformance.world.broker.container_disk import SmallDisk
from conformance.world.broker.container_exec import run_in
from conformance.world.broker.docker_daemon import ACT_S, fetch_image, reach_docker
from conformance.world.broker.faketime import SETTINGS, MovedClock, environment, offset_text, time_by_http
from conformance.world.broker.hardened import GUEST, Hardened, make_certificate, tls_listener
from conformance.world.broker.open_files import limit_for
from conformance.world.broker.ports import ReservedPorts
from conformance.world.broker.reached import Reached
from conformance.world.broker.ready import await_handshakes

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

__all__ = ["ContainerBroker", "sweep_containers"]

_LABEL = "durable-ws.lock"
_STOP_S = 60
_FREEZE_S, _FREEZE_AGAIN_S = 30.0, 0.1
_NOT_FROZEN = "unable to freeze"
_PLUGINS = ("rabbitmq_web_stomp", "rabbitmq_management")
_ENABLED_PLUGINS = "/etc/rabbitmq/enabled_plugins"
_CONF = "/etc/rabbitmq/rabbitmq.conf"
_OUR_CONF = "/etc/rabbitmq/conf.d/99-durable-ws.conf"
_AMQP, _WEB_STOMP, _MANAGEMENT, _SECURE_WEB_STOMP = 5672, 15674, 15672, 15673
_HARDENED = "/durable-ws"
_DATA = "/var/lib/rabbitmq"
_SMALL_DISK_BYTES = 64 * 1024 * 1024
_MACHINE = "grep -ls '^beam.smp$' /proc/[0-9]*/comm | tr -dc '0-9\\n' | sort -n"
"""Prints the pids of Erlang machines, the node's first: the tools' come later."""
_FAKETIME = "/durable-ws/libfaketimeMT.so.1"
_OFFSET = "/durable-ws/clock"


class ContainerBroker(Reached):
    """Implements :class:`conformance.world.broker.base.Broker` for an image with a RabbitMQ.

    Args:
        image: ``rabbitmq:4-management`` or any other that runs ``rabbitmq-server``.
        locks: the folder for the lock files of the containers' watchers.
        conf: a ``rabbitmq.conf`` of the user's; takes the place of the image's own.
        definitions: a definitions file to import once the node is up.
        wishes: what it is started for.
        faketime: the library that moves its clock; None: there is none.
        on_progress: told what takes time.
        hardened: what it gets besides, for a hostile page.
    """

    provider = "docker"

    def __init__(
        self,
        image: str,
        locks: Path,
        *,
        conf: Path | None = None,
        definitions: Path | None = None,
        wishes: frozenset[Wish] = frozenset(),
        faketime: Path | None = None,
        on_progress: Callable[[str], None] = lambda _: None,
        hardened: Hardened | None = None,
    ) -> None:
        super().__init__()
        self._image = image
        self._conf = conf
        self._definitions = definitions
        self._wishes = wishes
        self._faketime = faketime
        self._hardened = hardened or Hardened()
        self._on_progress = on_progress
        self._name = f"durable-ws-{secrets.token_hex(4)}"
        self._lock = locks / f"{self._name}.lock"
        self._watcher: subprocess.Popen[str] | None = None
        self._container: DockerContainer | None = None
        self._image_id = ""
        self._kept_log = ""
        self._ports: ReservedPorts | None = None
        self._disk: SmallDisk | None = None
        self._clock = MovedClock(self._put_offset, lambda: time_by_http(self.addresses.management or ""))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything: it is ours."""
        can = {"restart", "kill", "management", "admin", "ctl", "pause", "file-limit", "small-disk", "attack"}
        if self._hardened.tls:
            can.add("tls")
        return frozenset(can | ({"clock"} if self._faketime is not None else set()))

    def describe(self) -> dict[str, Any]:
        """See :meth:`Broker.describe`."""
        return {
            "provider": self.provider,
            "version": self.version,
            "image": self._image,
            "image_id": self._image_id,
            "settings": {
                "conf": str(self._conf) if self._conf else "the image's own",
                "definitions": str(self._definitions) if self._definitions else self._hardened.said,
            },
        }

    # --- its life --------------------------------------------------------------------------------

    def start(self) -> None:
        """See :meth:`Broker.start`."""
        with contextlib.closing(reach_docker()) as client:
            sweep_containers(client)
            fetch_image(client, self._image, self._on_progress)
            self._image_id = str(client.images.get(self._image).id)
            enabled = _enabled_plugins(client, self._image)
        who = ":".join(self._hardened.administrator)
        self._watch()
        try:
            self._ports = ReservedPorts(4)
            amqp, web_stomp, management, secure = self._ports.numbers
            ports = {_AMQP: amqp, _WEB_STOMP: web_stomp, _MANAGEMENT: management}
            if self._hardened.tls:
                ports[_SECURE_WEB_STOMP] = secure
            self._run(ports, enabled)
            self._reach(
                Addresses(
                    amqp=f"amqp://{who}@127.0.0.1:{amqp}/%2F",
                    web_stomp=f"ws://127.0.0.1:{web_stomp}/ws",
                    management=f"http://{who}@127.0.0.1:{management}",
                    secure_web_stomp=f"wss://127.0.0.1:{secure}/ws" if self._hardened.tls else None,
                )
            )
            self._await()
            self._import_definitions()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """See :meth:`Broker.stop`; the watcher removes the container."""
        self._kept_log = self.log()
        self._leave()
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(Exception):  # whatever the daemon says, the watcher removes it
                container.stop()
        disk, self._disk = self._disk, None
        if disk is not None:
            disk.remove()
        watcher, self._watcher = self._watcher, None
        if watcher is not None and watcher.stdin is not None and watcher.stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                watcher.stdin.close()
            watcher.wait()
            watcher.stdout.close()
        if self._ports is not None:
            self._ports.close()

    def terminate(self) -> None:
        """See :meth:`Broker.terminate`."""
        self._do("stop", lambda container: container.stop(timeout=_STOP_S))

    def kill(self) -> None:
        """See :meth:`Broker.kill`: SIGKILL to the container's first process ends all in it."""

        def kill(container: Any) -> None:
            container.kill("SIGKILL")
            container.wait(timeout=_STOP_S)

        self._do("kill", kill)

    def revive(self) -> None:
        """See :meth:`Broker.revive`."""
        self._do("start", lambda container: container.start())
        self._await()

    def pause(self) -> None:
        """See :meth:`Broker.pause`: the daemon freezes every process of the container.

        Under cgroup v1 that is a game of chances: a process that forks at that moment may escape the freezer, the
        daemon gives up after a fraction of a second and thaws all again, and whoever asked is to ask again
        (opencontainers/runc, pull requests 2791 and 4388).
        """
        until = time.monotonic() + _FREEZE_S

        def pause(container: Any) -> None:
            from docker.errors import APIError

            while True:
                try:
                    container.pause()
                    return
                except APIError as exc:
                    if _NOT_FROZEN not in str(exc) or time.monotonic() > until:
                        raise
                time.sleep(_FREEZE_AGAIN_S)

        self._do("pause", pause)

    def resume(self) -> None:
        """See :meth:`Broker.resume`."""

        def resume(container: Any) -> None:
            container.reload()
            if container.status == "paused":
                container.unpause()

        self._do("unpause", resume)

    def ctl(self, *words: str, program: str = "rabbitmqctl") -> str:
        """See :meth:`Broker.ctl`."""
        return self._exec([program, *words])

    def limit_open_files(self, most: int | None) -> int:
        """See :meth:`Broker.limit_open_files`; by prlimit(1) in the container."""
        pid = self._exec(["sh", "-c", _MACHINE]).split()[0]  # not by asking the node: it may be out of files
        # As the node's own user: root in a container may not touch other users' limits.
        owner = self._exec(["stat", "-c", "%u", f"/proc/{pid}"]).strip()
        told = self._exec(["prlimit", "--pid", pid, "--nofile", "--output", "HARD", "--noheadings"], user=owner)
        limit = hard = int(told.split()[0])
        if most is not None:
            limit = limit_for(map(int, self._exec(["ls", f"/proc/{pid}/fd"], user=owner).split()), most)
        self._exec(["prlimit", "--pid", pid, f"--nofile={limit}:{hard}"], user=owner)
        return limit

    def fill_disk(self, *, leave_bytes: int) -> None:
        """See :meth:`Broker.fill_disk`."""
        if self._disk is None:
            self._refuse()
        self._disk.fill(leave_bytes)

    def free_disk(self) -> None:
        """See :meth:`Broker.free_disk`."""
        if self._disk is None:
            self._refuse()
        self._disk.free()

    def advance_clock(self, seconds: float) -> None:
        """See :meth:`Broker.advance_clock`."""
        if not self._has_clock:
            self._refuse()
        self._clock.advance(seconds)

    def log(self) -> str:
        """See :meth:`Broker.log`: what the container printed."""
        if self._container is None:
            return self._kept_log
        with contextlib.suppress(Exception):  # a log that can't be had spoils nothing
            return b"".join(self._container.get_logs()).decode(errors="replace")
        return ""

    # --- the parts -------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Start the watcher before there is a container to leave behind."""
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise UsageError(
                "DURABLE_WS_CACHE",
                f"the cache folder {str(self._lock.parent)!r} can't be written ({exc.strerror})",
                "Set DURABLE_WS_CACHE to a folder that is yours.",
            ) from exc
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-m", "conformance.world.broker.container_watch", self._name, str(self._lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self._watcher.stdout is None or not self._watcher.stdout.readline():
            raise HarnessError("the container's watcher did not start")

    def _run(self, ports: dict[int, int], enabled: set[str]) -> None:
        from docker.errors import DockerException
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        testcontainers_config.ryuk_disabled = True  # the watcher does its work, without an image of its own
        container = DockerContainer(self._image, docker_client_kw={"timeout": ACT_S}).with_name(self._name)
        container.with_kwargs(labels={_LABEL: str(self._lock)}, hostname=self._name)
        for inside, outside in ports.items():
            container.ports[f"{inside}/tcp"] = ("127.0.0.1", outside)  # type: ignore[assignment] # docker-py takes pairs
        # Idle schedulers sleep at once instead of spinning: several nodes share a small machine.
        container.with_env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+sbwt none +sbwtdcpu none +sbwtdio none")
        plugins = ",".join(sorted(enabled | set(_PLUGINS)))
        container.with_copy_into_container(f"[{plugins}].\n".encode(), _ENABLED_PLUGINS, 0o666)
        guest = self._hardened.administrator == GUEST
        settings = container_settings(amqp=_AMQP, web_stomp=_WEB_STOMP, management=_MANAGEMENT, guest=guest)
        settings |= self._hardened.administrator_settings
        if self._hardened.tls:
            settings |= tls_listener(_HARDENED, ip="0.0.0.0", port=_SECURE_WEB_STOMP)  # noqa: S104 - of the container
            for name, content in make_certificate().files().items():
                container.with_copy_into_container(content, f"{_HARDENED}/{name}", 0o644)
        if self._has_clock:
            settings |= SETTINGS
        if self._hardened.advanced:
            container.with_copy_into_container(self._hardened.advanced.encode(), f"{_HARDENED}/advanced.config", 0o644)
            container.with_env("RABBITMQ_ADVANCED_CONFIG_FILE", f"{_HARDENED}/advanced.config")
        recommended = self._hardened.settings
        container.with_copy_into_container(
            merged_conf("", settings, {} if self._conf is not None else recommended).encode(), _OUR_CONF
        )
        if self._conf is not None:
            own = self._conf.read_text(encoding="utf-8")
            container.with_copy_into_container(merged_conf(own, settings, recommended).encode(), _CONF)
        if "small-disk" in self._wishes:
            self._disk = SmallDisk(self._name, self._image, _DATA, _SMALL_DISK_BYTES, {_LABEL: str(self._lock)})
            container.with_volume_mapping(self._disk.volume, _DATA, "rw")
        if self._has_clock and self._faketime is not None:
            container.with_copy_into_container(self._faketime, _FAKETIME, 0o755)
            container.with_copy_into_container(offset_text(0).encode(), _OFFSET)
            container.with_envs(**environment(_FAKETIME, _OFFSET))
        self._container = container
        try:
            container.start()
        except (DockerException, OSError) as exc:
            words = str(getattr(exc, "explanation", None) or exc)
            raise BrokerUnavailable(f"the image {self._image!r} could not be started ({words[:300]})") from exc

    @property
    def _has_clock(self) -> bool:
        return "clock" in self._wishes and self._faketime is not None

    def _put_offset(self, text: str) -> None:
        """Put beside and renamed: the node may read it at any moment."""
        if self._container is None:
            raise HarnessError("the broker has not been started")
        self._container.copy_into_container(text.encode(), f"{_OFFSET}.new")
        self._exec(["mv", f"{_OFFSET}.new", _OFFSET], user="0")

    def _await(self) -> None:
        await_handshakes(self.addresses, has_given_up=self._has_ended, last_words=self._last_words)

    def _has_ended(self) -> bool:
        container = self._wrapped()
        container.reload()
        return bool(container.status == "exited")

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log().splitlines() if line.strip()]
        return "The container's last words:\n" + "\n".join(f"  {line[:200]}" for line in lines[-12:])

    def _wrapped(self) -> Any:
        if self._container is None:
            raise HarnessError("the broker has not been started")
        return self._container.get_wrapped_container()

    def _do(self, what: str, act: Callable[[Any], object]) -> None:
        from docker.errors import DockerException

        try:
            act(self._wrapped())
        except (DockerException, OSError) as exc:
            raise HarnessError(f"the container can't be asked to {what}: {exc}") from exc

    def _exec(self, words: list[str], *, user: str = "") -> str:
        from docker.errors import DockerException

        try:
            # What moves the node's clock is not for the tools.
            code, told = run_in(self._wrapped(), words, user=user, environment={"LD_PRELOAD": ""})
        except (DockerException, OSError) as exc:
            raise HarnessError(f"{words[0]}: {exc}") from exc
        if code:
            raise HarnessError(f"{' '.join(words[:2])} failed: {told.strip()[-500:]}")
        return told

    def _import_definitions(self) -> None:
        if self._management is not None:
            self._management.import_all(self._hardened.definitions, self._definitions)


def sweep_containers(client: Any) -> None:
    """Remove containers of earlier runs whose watcher was killed before it could."""
    from docker.errors import DockerException

    for container in client.containers.list(all=True, filters={"label": _LABEL}, ignore_removed=True):
        lock = Path(container.labels[_LABEL])
        try:
            with lock.open("r+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            if not lock.parent.is_dir():
                continue  # another machine's, or another user's cache: not ours to judge
        except OSError:
            continue  # it is watched
        with contextlib.suppress(DockerException, OSError):
            container.remove(v=True, force=True)
        lock.unlink(missing_ok=True)


def _enabled_plugins(client: Any, image: str) -> set[str]:
    """The plugins that the image itself enables; read from a container that is never started."""
    from docker.errors import DockerException, NotFound

    try:
        container = client.containers.create(image)
    except (DockerException, OSError) as exc:
        raise BrokerUnavailable(f"no container can be made of the image {image!r} ({exc})") from exc
    try:
        chunks, _ = container.get_archive(_ENABLED_PLUGINS)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            text = file.read().decode() if file is not None else ""
    except NotFound:
        return set()
    except (DockerException, OSError) as exc:
        raise BrokerUnavailable(f"the plugins of the image {image!r} can't be read ({exc})") from exc
    finally:
        with contextlib.suppress(DockerException, OSError):
            container.remove(v=True)
    return set(re.findall(r"\w+", text))
