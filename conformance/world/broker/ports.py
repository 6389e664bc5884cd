"""Free TCP ports for a node that must keep them over restarts."""

from __future__ import annotations

import random
import socket
from typing import Self

from conformance.errors import HarnessError

__all__ = ["ReservedPorts", "free_ports"]

_FIRST, _LAST = 20_000, 32_000
"""Below the range from which systems draw the ports of outgoing connections (32768 on Linux): while a node is down,
no connection can take its port by chance."""


class ReservedPorts:
    """Different TCP ports that are free on 127.0.0.1, and that no other run of the suite takes until they are closed.

    A node does not listen yet while it starts, nor while it is down. The sign that its ports are taken is the UDP
    socket of the same number, which is held here: RabbitMQ has no use for it, every user on the machine sees it, and it
    goes with the process.

    Args:
        count: how many.

    Raises:
        HarnessError: there are not so many.
    """

    def __init__(self, count: int) -> None:
        self._signs: list[socket.socket] = []
        for port in random.SystemRandom().sample(range(_FIRST, _LAST), _LAST - _FIRST):
            if len(self._signs) == count:
                break
            self._take(port)
        if len(self._signs) < count:
            self.close()
            raise HarnessError(f"no {count} free ports between {_FIRST} and {_LAST} on 127.0.0.1")

    @property
    def numbers(self) -> list[int]:
        """The ports."""
        return [sign.getsockname()[1] for sign in self._signs]

    def close(self) -> None:
        """Leave them to others. Idempotent."""
        for sign in self._signs:
            sign.close()
        self._signs = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, port: int) -> None:
        sign = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sign.bind(("127.0.0.1", port))
            with socket.socket() as candidate:
                candidate.bind(("127.0.0.1", port))
        except OSError:
            sign.close()
        else:
            self._signs.append(sign)


def free_ports(count: int) -> list[int]:
    """``count`` different ports that are free on 127.0.0.1 now, for what listens at once.

    Raises:
        HarnessError: there are not so many.
    """
    with ReservedPorts(count) as found:
        return found.numbers
