"""Pulling an image: with progress, with a deadline, from a real daemon and a registry of the test's own."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import docker
import pytest

from conformance.errors import BrokerUnavailable
from conformance.world.broker.docker_daemon import fetch_image
from tests.images import images, why_not

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]


class Registry:
    """A registry with one image of one layer, as https://distribution.github.io/distribution/spec/api/ describes.

    Attributes:
        go_on: the layer's second half is sent once this is set.
    """

    def __init__(self) -> None:
        # What does not compress, so that the daemon tells its progress, and is new each time, so that it is fetched.
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as tar:
            data = os.urandom(3_000_000)
            info = tarfile.TarInfo("data")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        layer = gzip.compress(plain.getvalue(), 1)
        config = json.dumps(
            {
                "architecture": "amd64", "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": [_digest(plain.getvalue())]},
            }
        ).encode()  # fmt: skip
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "size": len(config), "digest": _digest(config),
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "size": len(layer), "digest": _digest(layer),
                    }
                ],
            }
        ).encode()  # fmt: skip
        self.kind = kind
        self.blobs = {_digest(config): config, _digest(layer): layer}
        self.large = _digest(layer)
        self.go_on = threading.Event()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _serving(registry: Registry) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            last = self.path.rpartition("/")[2]
            data, kind = registry.blobs.get(last, b"{}"), "application/octet-stream"
            if "/manifests/" in self.path:
                data, kind = registry.manifest, registry.kind
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Docker-Content-Digest", _digest(data))
            self.end_headers()
            if not body:
                return
            with contextlib.suppress(OSError):
                half = len(data) // 2
                self.wfile.write(data[:half])
                if last == registry.large:
                    registry.go_on.wait(60)
                self.wfile.write(data[half:])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        registry.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    """A client of the daemon; left out where there is none."""
    reason = why_not(images()[-1])
    if reason is not None:
        pytest.skip(reason)
    with contextlib.closing(docker.from_env()) as client:
        yield client


def test_a_pull_tells_how_far_it_is(client: docker.DockerClient) -> None:
    """Megabytes of megabytes; in the end the image is there, and is not pulled again."""
    registry = Registry()
    told: list[str] = []

    def note(text: str) -> None:
        told.append(text)
        if " of " in text:
            registry.go_on.set()

    with _serving(registry) as port:
        image = f"127.0.0.1:{port}/test/image:1"
        fetch_image(client, image, note)
        try:
            assert client.images.get(image)
            assert any(text.endswith(" of 3 MB") for text in told)
            told.clear()
            fetch_image(client, image, note)
            assert not told
        finally:
            client.images.remove(image)


def test_a_pull_that_is_stuck_ends_at_its_deadline(client: docker.DockerClient) -> None:
    """The registry goes silent in the middle of the layer."""
    registry = Registry()
    with _serving(registry) as port, pytest.raises(BrokerUnavailable, match="was not pulled within 2 s"):
        fetch_image(client, f"127.0.0.1:{port}/test/image:1", lambda _: None, deadline_s=2.0)


def test_a_registry_that_does_not_know_it(client: docker.DockerClient) -> None:
    """Nothing listens there: the image is named, and the daemon's reason."""
    with pytest.raises(BrokerUnavailable, match=r"'127\.0\.0\.1:1/none:1' is not there and can't be pulled"):
        fetch_image(client, "127.0.0.1:1/none:1", lambda _: None)
