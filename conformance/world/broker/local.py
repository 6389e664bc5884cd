"""An installed ``rabbitmq-server``: the same program, at its usual places."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from conformance.errors import BrokerUnavailable, UsageError
from conformance.world.broker.node import Program

__all__ = ["local_program"]

_VARIABLE = "DURABLE_WS_RABBITMQ_SERVER"
_SERVERS = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",  # Debian, Ubuntu, Fedora
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",  # Homebrew on Apple silicon
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",  # Homebrew on Intel
    "/opt/rabbitmq/sbin/rabbitmq-server",  # the official container image, generic binary packages
)
_EPMDS = (
    "/usr/lib/erlang/bin/epmd",
    "/usr/lib64/erlang/bin/epmd",
    "/opt/homebrew/bin/epmd",
    "/usr/local/bin/epmd",
    "/opt/erlang/bin/epmd",
)


def local_program() -> Program:
    """The installed program. Not the ``rabbitmq-server`` on PATH of Debian: that script wants to be root.

    Raises:
        UsageError: ``DURABLE_WS_RABBITMQ_SERVER`` names no program.
        BrokerUnavailable: none is installed at a known place.
    """
    given = os.environ.get(_VARIABLE)
    if given and not (Path(given).is_file() and os.access(given, os.X_OK)):
        raise UsageError(
            _VARIABLE, f"{given!r} is no program", "Name the script sbin/rabbitmq-server of an installation."
        )
    server = Path(given).absolute() if given else _installed()
    if server is None:
        raise BrokerUnavailable(
            f"no installed rabbitmq-server (looked at {', '.join(_SERVERS)}; {_VARIABLE} names another)"
        )
    epmd = shutil.which("epmd") or next((path for path in _EPMDS if os.access(path, os.X_OK)), None)
    if epmd is None:
        raise BrokerUnavailable(f"there is a rabbitmq-server ({server}), but no Erlang: no epmd on PATH")
    return Program(server=server, epmd=Path(epmd))


def _installed() -> Path | None:
    """The newest server at the first place that has one."""
    for pattern in _SERVERS:
        found = [path for path in Path("/").glob(pattern[1:]) if os.access(path, os.X_OK)]
        if found:
            return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])
    return None
