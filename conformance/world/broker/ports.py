"""Free TCP ports for a node that must keep them over restarts."""

from __future__ import annotations

import random
import socket

from conformance.errors import HarnessError

__all__ = ["free_ports"]

_FIRST, _LAST = 20_000, 32_000
"""Below the range from which systems draw the ports of outgoing connections (32768 on Linux): while a node is down,
no connection can take its port by chance."""


def free_ports(count: int) -> list[int]:
    """``count`` different ports that are free on 127.0.0.1 now.

    Raises:
        HarnessError: there are not so many.
    """
    held: list[socket.socket] = []
    try:
        for port in random.SystemRandom().sample(range(_FIRST, _LAST), _LAST - _FIRST):
            candidate = socket.socket()
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                candidate.close()
                continue
            held.append(candidate)
            if len(held) == count:
                return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
    raise HarnessError(f"no {count} free ports between {_FIRST} and {_LAST} on 127.0.0.1")
