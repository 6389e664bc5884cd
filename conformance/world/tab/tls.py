"""A TLS socket that one thread may read from while others write to it."""

from __future__ import annotations

import select
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from typing_extensions import Buffer

__all__ = ["SharedTlsSocket"]

T = TypeVar("T")


class SharedTlsSocket(ssl.SSLSocket):
    """An ``SSLSocket`` that locks OpenSSL, and never while it waits. For ``SSLContext.sslsocket_class``.

    OpenSSL's connection is not for two threads at once (https://docs.openssl.org/3.0/man7/openssl-threads/), and
    CPython's ``SSLSocket`` does not see to it: where one thread reads and another writes, a read now and then returns
    an end that never was. So the socket itself never blocks; who has to wait for the peer waits outside the lock.
    """

    _lock: threading.Lock
    _timeout_s: float | None = None

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """As the base class, which is never initialized by its users."""
        made = super().__new__(cls, *args, **options)
        made._lock = threading.Lock()
        return made

    def settimeout(self, value: float | None, /) -> None:
        """How long reads and writes wait, in seconds; None: for ever."""
        super().settimeout(0.0)
        self._timeout_s = value

    def gettimeout(self) -> float | None:
        """What :meth:`settimeout` was given."""
        return self._timeout_s

    def do_handshake(self, block: bool = False) -> None:
        """See ``ssl.SSLSocket``; raises TimeoutError, too."""
        self._patiently(lambda: ssl.SSLSocket.do_handshake(self, block))

    def read(self, len: int = 1024, buffer: Buffer | None = None) -> bytes:  # noqa: A002 - the base class's
        """See ``ssl.SSLSocket``; raises TimeoutError, too."""
        return self._patiently(lambda: ssl.SSLSocket.read(self, len, buffer))

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """See ``ssl.SSLSocket``; raises TimeoutError, too."""
        return self._patiently(lambda: ssl.SSLSocket.send(self, data, flags))

    def _patiently(self, call: Callable[[], T]) -> T:
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while True:
            try:
                with self._lock:
                    return call()
            except ssl.SSLWantReadError:
                awaited = select.POLLIN
            except ssl.SSLWantWriteError:
                awaited = select.POLLOUT
            ready = select.poll()
            ready.register(self, awaited)
            left_s = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not ready.poll(None if left_s is None else left_s * 1000):
                raise TimeoutError("timed out")
