"""A RabbitMQ in a container: started, settled, disturbed, and gone without a trace."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pika
import pytest
from docker.errors import APIError
from docker.models.containers import Container

from conformance.errors import BrokerUnavailable, HarnessError, UsageError
from conformance.world.broker.cache import cache_folder
from conformance.world.broker.choose import choose_broker
from conformance.world.broker.container import ContainerBroker
from conformance.world.broker.handshake import amqp_answers, web_stomp_answers
from tests.images import images, why_not

if TYPE_CHECKING:
    from tests.world.broker.conftest import Wait

pytestmark = [pytest.mark.broker, pytest.mark.docker, pytest.mark.timeout(240)]

IMAGE = images()[-1]


def _need(image: str) -> None:
    reason = why_not(image)
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module", params=images())
def container(request: pytest.FixtureRequest) -> Iterator[ContainerBroker]:
    """A broker in a container of each image, which the tests may take down and leave up."""
    _need(request.param)
    broker = ContainerBroker(request.param, cache_folder() / "containers")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    """A client of the daemon."""
    _need(IMAGE)
    with contextlib.closing(docker.from_env()) as client:
        yield client


def _declare(url: str, queue: str) -> None:
    """A durable queue."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    connection.channel().queue_declare(queue, durable=True)
    connection.close()


def _publish(url: str, queue: str, body: bytes) -> None:
    """One persistent message in a durable queue, confirmed."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(queue, durable=True)
    channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
    connection.close()


def _take(url: str, queue: str) -> bytes | None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    _, _, body = channel.basic_get(queue, auto_ack=True)
    connection.close()
    return body


def test_it_is_described(container: ContainerBroker) -> None:
    """Provider, the broker's own version, image and its id."""
    told = container.describe()
    assert told["provider"] == "docker"
    assert told["version"] == container.version
    assert told["version"].split(".")[0] in ("3", "4")
    assert told["image_id"].startswith("sha256:")


def test_its_ports_are_on_loopback_alone(container: ContainerBroker, client: docker.DockerClient) -> None:
    """No other machine reaches what a test runs."""
    ports = client.containers.get(container._name).ports
    hosts = {binding["HostIp"] for bindings in ports.values() if bindings for binding in bindings}
    assert hosts == {"127.0.0.1"}


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_it_goes_down_and_comes_back(container: ContainerBroker, how: str, namespace: str) -> None:
    """The same addresses, and what is durable and persistent is still there."""
    before = container.addresses
    if how == "kill":
        # What is declared last before a SIGKILL may be gone on 3.10.8 (README, the table of what survives): what is
        # tested here is the queue's content.
        _declare(before.amqp, namespace)
        container.restart()
    _publish(before.amqp, namespace, b"kept")
    getattr(container, how)()
    with pytest.raises(BrokerUnavailable):
        amqp_answers(before.amqp)
    container.revive()
    assert container.addresses == before
    web_stomp_answers(before.web_stomp, "guest", "guest", "/")
    assert _take(before.amqp, namespace) == b"kept"
    container.delete(queues=[namespace], exchanges=[])


def test_it_stands_still_and_goes_on(container: ContainerBroker) -> None:
    """Paused: the port takes connections and nothing answers. Resuming twice is fine."""
    container.pause()
    port = int(container.addresses.amqp.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection:
        connection.settimeout(0.5)
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    container.resume()
    container.resume()
    amqp_answers(container.addresses.amqp)


def test_what_escapes_the_freezer_is_frozen_at_last(
    container: ContainerBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon's "unable to freeze" is asked again; any other refusal is told at once."""
    refusals = ["OCI runtime pause failed: unable to freeze: unknown"] * 3
    pause = Container.pause

    def reluctant(self: Container) -> None:
        if refusals:
            raise APIError("500 Server Error", explanation=refusals.pop())
        pause(self)

    monkeypatch.setattr(Container, "pause", reluctant)
    container.pause()
    assert refusals == []
    refusals.append("Container is already paused")
    with pytest.raises(HarnessError, match=r"asked to pause.*already paused"):
        container.pause()
    container.resume()
    amqp_answers(container.addresses.amqp)


def test_its_tools_can_be_run(container: ContainerBroker) -> None:
    """rabbitmqctl and its siblings; what fails says so."""
    assert container.ctl("eval", "1 + 2.").strip() == "3"
    assert "rabbitmq_web_stomp" in container.ctl("list", "--enabled", "--minimal", program="rabbitmq-plugins")
    with pytest.raises(HarnessError, match="no_such_command"):
        container.ctl("no_such_command")


def test_its_open_files_can_be_limited(container: ContainerBroker) -> None:
    """The new limit is in force, and gone again."""

    def soft() -> int:
        pid = container.ctl("eval", "os:getpid().").strip().strip('"')
        return int(
            container._exec(["prlimit", "--pid", pid, "--nofile", "--output", "SOFT", "--noheadings"]).split()[0]
        )

    before = soft()
    limit = container.limit_open_files(5)
    assert soft() == limit < before
    container.limit_open_files(None)
    assert soft() >= before


def test_its_log_is_kept(container: ContainerBroker, wait: Wait) -> None:
    """What the node logged; it shakes hands before it says that it is complete."""
    wait(lambda: "Server startup complete" in container.log(), "the node's own words")


def test_conf_and_definitions_are_applied(tmp_path: Path) -> None:
    """The user's settings hold, but for what belongs to the run; users and policies are imported."""
    _need(IMAGE)
    conf, definitions = tmp_path / "rabbitmq.conf", tmp_path / "definitions.json"
    conf.write_text("max_message_size = 1234567\nlisteners.tcp.default = 7777\n")
    policy = {
        "vhost": "/", "name": "p", "pattern": "^web", "apply-to": "queues", "priority": 0,
        "definition": {"max-length": 7},
    }  # fmt: skip
    definitions.write_text(json.dumps({"policies": [policy]}))
    broker = choose_broker("docker", image=IMAGE, conf=conf, definitions=definitions)
    try:
        broker.start()
        assert broker.ctl("eval", "application:get_env(rabbit, max_message_size).").strip() == "{ok,1234567}"
        assert [told["name"] for told in broker.ask("GET", "/policies")] == ["p"]
    finally:
        broker.stop()
    assert broker.log(), "the log outlives the container"


def test_refused_definitions_are_told(tmp_path: Path) -> None:
    """The file is named, and nothing is left running."""
    _need(IMAGE)
    definitions = tmp_path / "definitions.json"
    definitions.write_text('{"users": 7}')
    broker = choose_broker("docker", image=IMAGE, definitions=definitions)
    with pytest.raises(UsageError, match=r"definitions\.json"):
        broker.start()


def test_an_image_without_the_plugins_gets_them(container: ContainerBroker) -> None:
    """The images of this test enable none themselves."""
    enabled = container.ctl("list", "--enabled", "--minimal", program="rabbitmq-plugins").split()
    assert {"rabbitmq_web_stomp", "rabbitmq_management"} <= set(enabled)


def test_an_images_own_plugins_stay(client: docker.DockerClient) -> None:
    """What the image itself enables is enabled beside what the run needs."""
    made = client.containers.create(IMAGE, ["true"], user="root")
    tag = "durable-ws-test-plugins:own"
    try:
        _put(made, "/etc/rabbitmq/enabled_plugins", b"[rabbitmq_shovel].\n")
        repository, _, version = tag.partition(":")
        made.commit(repository, version, changes=['CMD ["/usr/lib/rabbitmq/bin/rabbitmq-server"]', "USER rabbitmq"])
    finally:
        made.remove()
    broker = choose_broker("docker", image=tag)
    try:
        broker.start()
        enabled = broker.ctl("list", "--enabled", "--minimal", program="rabbitmq-plugins").split()
        assert {"rabbitmq_shovel", "rabbitmq_web_stomp", "rabbitmq_management"} <= set(enabled)
    finally:
        broker.stop()
        client.images.remove(tag)


def _put(container: Any, path: str, data: bytes) -> None:
    from testcontainers.core.transferable import build_transfer_tar

    assert container.put_archive("/", build_transfer_tar(data, path))


def test_an_image_without_rabbitmq_is_told(client: docker.DockerClient) -> None:
    """It ends at once: the message names the image's last words, and no container is left."""
    made = client.containers.create(IMAGE, ["true"])
    made.commit("durable-ws-test-empty", "none", changes=['CMD ["sh", "-c", "echo I am no broker"]'])
    made.remove()
    broker = choose_broker("docker", image="durable-ws-test-empty:none")
    try:
        with pytest.raises(BrokerUnavailable, match="I am no broker"):
            broker.start()
        assert not client.containers.list(all=True, filters={"name": broker._name}, ignore_removed=True)  # type: ignore[attr-defined]
    finally:
        client.images.remove("durable-ws-test-empty:none")


def test_an_image_that_is_nowhere_is_told() -> None:
    """It is neither here nor to be pulled; the message names it and the ways out."""
    _need(IMAGE)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1/no-such-image:1"):
        choose_broker("docker", image="127.0.0.1:1/no-such-image:1")


def test_no_docker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon that DOCKER_HOST names does not answer."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(BrokerUnavailable, match="no Docker daemon answers"):
        choose_broker("docker", image=IMAGE)


SUITE = """
import json, signal, sys, time
from conformance.world.broker.choose import choose_broker
signal.signal(signal.SIGINT, signal.default_int_handler)
broker = choose_broker("docker", image=sys.argv[1])
try:
    broker.start()
    print(json.dumps({"name": broker._name, "watcher": broker._watcher.pid}), flush=True)
    while True:  # not signal.pause(): a signal that comes just before it would be waited for in vain
        time.sleep(0.2)
finally:
    broker.stop()
"""


@contextlib.contextmanager
def _suite() -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A process that runs a container, as the suite does: the process, the container's name, its watcher's pid."""
    with subprocess.Popen([sys.executable, "-c", SUITE, IMAGE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        try:
            yield process, told["name"], told["watcher"]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_is_left_however_the_suite_ends(
    number: signal.Signals, client: docker.DockerClient, wait: Wait
) -> None:
    """Ctrl-C, SIGTERM without a handler, SIGKILL: the container goes, and so do its watcher and lock."""
    with _suite() as (process, name, _):
        assert client.containers.list(filters={"name": name}, ignore_removed=True)
        process.send_signal(number)
        process.wait()
        wait(
            lambda: not client.containers.list(all=True, filters={"name": name}, ignore_removed=True),
            "the container goes",
        )
        lock = cache_folder() / "containers" / f"{name}.lock"
        wait(lambda: not lock.exists(), "the watcher goes")


@contextlib.contextmanager
def _next_to_lock(path: Path, wait: Wait) -> Iterator[None]:
    """Be the next to have the lock, before any other run's sweep, and keep it until the end of the block."""
    with path.open("r+") as handle:
        waiting = threading.Thread(target=fcntl.flock, args=(handle, fcntl.LOCK_EX), daemon=True)
        waiting.start()
        me = re.compile(rf"-> FLOCK .* {os.getpid()} ")
        wait(lambda: me.search(Path("/proc/locks").read_text()) is not None, "the lock is waited for")
        yield
        waiting.join()


def test_suite_and_watcher_are_killed(client: docker.DockerClient, wait: Wait) -> None:
    """SIGKILL of both leaves the container, until the next run sweeps."""
    with _suite() as (process, name, watcher), _next_to_lock(cache_folder() / "containers" / f"{name}.lock", wait):
        os.kill(watcher, signal.SIGKILL)
        process.kill()
        process.wait()
        assert client.containers.list(filters={"name": name}, ignore_removed=True)
    with _suite() as (_, another, _):
        wait(  # it may be another run that sweeps it away at this moment
            lambda: not client.containers.list(all=True, filters={"name": name}, ignore_removed=True),
            "the container is swept away",
        )
        assert client.containers.list(filters={"name": another}, ignore_removed=True)
