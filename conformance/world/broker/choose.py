"""Which broker a run uses: the first that works, or the one that was asked for."""

from __future__ import annotations

import contextlib
import difflib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from conformance.contract.model import BrokerSection
from conformance.errors import BrokerUnavailable, UsageError
from conformance.world.broker.base import Broker, Wish
from conformance.world.broker.cache import cache_folder
from conformance.world.broker.external import ExternalBroker
from conformance.world.broker.faketime_library import faketime_library
from conformance.world.broker.hardened import Hardened
from conformance.world.broker.local import local_program
from conformance.world.broker.node import NodeBroker, Program
from conformance.world.broker.provisioned import provisioned_program

__all__ = ["MakeBroker", "broker_maker", "choose_broker"]

MakeBroker = Callable[[frozenset[Wish]], Broker]
"""Makes (does not start) a broker that can do what is wished, as far as its kind can."""

_WAYS = ("auto", "docker", "local", "provisioned")
_REMEDIES = {
    "docker": "start Docker, and pull the image or build one and name it (--image)",
    "local": "install it (apt-get install rabbitmq-server, brew install rabbitmq)",
    "provisioned": "run on Debian or Ubuntu with its package sources in reach",
}


def choose_broker(
    spec: str,
    *,
    image: str | None = None,
    conf: Path | None = None,
    definitions: Path | None = None,
    hardened: Hardened | None = None,
    web_stomp: str | None = None,
    management: str | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
    wishes: frozenset[Wish] = frozenset(),
) -> Broker:
    """One broker, not started yet; takes what :func:`broker_maker` takes, and raises what it and its maker raise."""
    return broker_maker(
        spec,
        image=image,
        conf=conf,
        definitions=definitions,
        hardened=hardened,
        web_stomp=web_stomp,
        management=management,
        on_progress=on_progress,
    )(wishes)


def broker_maker(
    spec: str,
    *,
    image: str | None = None,
    conf: Path | None = None,
    definitions: Path | None = None,
    hardened: Hardened | None = None,
    web_stomp: str | None = None,
    management: str | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> MakeBroker:
    """What makes the brokers of one run: the way is found at the first call and is the same for all. Safe for threads.

    Args:
        spec: ``auto`` (the first of docker, local and provisioned that is to be had), ``docker``, ``local``,
            ``provisioned``, or an AMQP URL of a broker that runs.
        image: the container image; with ``auto`` it means ``docker``. None: ``rabbitmq:4-management``.
        conf: a ``rabbitmq.conf`` of the user's; for brokers that are started here.
        definitions: definitions to import; for brokers that are started here.
        hardened: what brokers that are started here get besides, for a hostile page.
        web_stomp, management: addresses of an external broker's plugins, if not at their usual ports.
        on_progress: told which broker it is, and what takes time.

    Raises:
        UsageError: the spec is none of these, or an option does not go with it.

    The maker raises BrokerUnavailable where no way works; it lists each with the reason and the remedy.
    """
    if "://" in spec:
        _refuse_for_external(image, conf, definitions)

        def external(_: frozenset[Wish] = frozenset()) -> Broker:
            return ExternalBroker(spec, web_stomp_url=web_stomp, management_url=management)

        external()  # says at once what is wrong with the URLs
        on_progress("using the broker that was named")
        return external
    if spec not in _WAYS:
        close = difflib.get_close_matches(spec, _WAYS, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Take one of {', '.join(_WAYS)}, or an amqp:// URL."
        raise UsageError("--broker", f"{spec!r} is no way to get a broker", hint)
    for option, value in (("--web-stomp", web_stomp), ("--management", management)):
        if value is not None:
            raise UsageError(
                option, "goes with an amqp:// broker only", "Leave it out: the suite knows its own broker."
            )
    if image is not None and spec not in ("auto", "docker"):
        raise UsageError(
            "--image", f"{image!r} does not go with --broker {spec}", "Use --broker docker, or leave it out."
        )
    ways = (spec,) if spec != "auto" else ("docker",) if image is not None else _WAYS[1:]
    return _Maker(ways, image or BrokerSection().image, conf, definitions, hardened, on_progress)


class _Maker:
    """Finds the way once, and makes brokers by it."""

    def __init__(
        self,
        ways: tuple[str, ...],
        image: str,
        conf: Path | None,
        definitions: Path | None,
        hardened: Hardened | None,
        on_progress: Callable[[str], None],
    ) -> None:
        self._ways = ways
        self._image = image
        self._conf = conf
        self._definitions = definitions
        self._hardened = hardened
        self._on_progress = on_progress
        self._make: MakeBroker | None = None
        self._finding = threading.Lock()

    def __call__(self, wishes: frozenset[Wish]) -> Broker:
        with self._finding:
            if self._make is None:
                self._make = self._find(cache_folder())
        return self._make(wishes)

    def _find(self, cache: Path) -> MakeBroker:
        failed = []
        for way in self._ways:
            try:
                return self._by_image(cache) if way == "docker" else self._by_program(way, cache)
            except BrokerUnavailable as exc:
                failed.append((way, exc))
        tried = "\n".join(f"  {way}: {exc}\n    to make it work: {_REMEDIES[way]}" for way, exc in failed)
        raise BrokerUnavailable(
            f"no broker is to be had. Tried:\n{tried}\n"
            "  external: name one that runs: --broker amqp://user:password@host:5672/%2F"
        )

    def _by_image(self, cache: Path) -> MakeBroker:
        # Docker's client takes a while to import: only where it is asked for.
        from conformance.world.broker.container import ContainerBroker
        from conformance.world.broker.docker_daemon import fetch_image, reach_docker

        with contextlib.closing(reach_docker()) as client:
            fetch_image(client, self._image, self._on_progress)
        self._on_progress(f"using the image {self._image} in Docker")
        faketime = faketime_library(cache, self._on_progress)
        return lambda wishes: ContainerBroker(
            self._image,
            cache / "containers",
            faketime=faketime,
            conf=self._conf,
            definitions=self._definitions,
            hardened=self._hardened,
            wishes=wishes,
            on_progress=self._on_progress,
        )

    def _by_program(self, way: str, cache: Path) -> MakeBroker:
        program = _program(way, cache, self._on_progress)
        self._on_progress(f"using the {way} broker {program.server}")
        return lambda wishes: NodeBroker(
            way,
            program,
            cache / "nodes",
            conf=self._conf,
            definitions=self._definitions,
            hardened=self._hardened,
            wishes=wishes,
        )


def _refuse_for_external(image: str | None, conf: Path | None, definitions: Path | None) -> None:
    for field, value in (("--image", image), ("broker.conf", conf), ("broker.definitions", definitions)):
        if value is not None:
            raise UsageError(
                field,
                f"{str(value)!r} can't be applied to a broker that runs already",
                "Leave it out, or use --broker auto.",
            )


def _program(way: str, cache: Path, on_progress: Callable[[str], None]) -> Program:
    program = local_program() if way == "local" else provisioned_program(cache, on_progress)
    return replace(program, faketime=faketime_library(cache, on_progress))
