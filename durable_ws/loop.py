"""The asyncio loop of the I/O thread."""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 - names are looked up with it: not to be imported by a thread, see tests of forks
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

__all__ = ["Loop", "tell"]


class Loop(asyncio.SelectorEventLoop):
    """Resolves host names in daemon threads.

    The default executor's threads are joined when the interpreter exits, and a name server that does not answer would
    hold it up.
    """

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As :meth:`asyncio.loop.getaddrinfo`."""
        found: Future[list[Any]] = Future()
        found.set_running_or_notify_cancel()

        def resolve() -> None:
            try:
                found.set_result(socket.getaddrinfo(host, port, family, type, proto, flags))
            except (OSError, UnicodeError) as exc:
                found.set_exception(exc)

        try:
            threading.Thread(target=resolve, name="durable_ws resolver", daemon=True).start()
        except RuntimeError:
            resolve()  # an interpreter that ends starts no thread (3.12), and what is under way still has to go out
        return await asyncio.wrap_future(found, loop=self)


def tell(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Have the loop's thread call it, if the loop still goes on; from any thread."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():
            raise  # it is of a signal handler
