"""What a program under test writes on its standard error: kept for the report, its last lines for error messages."""

from __future__ import annotations

import os
import tempfile
import threading

__all__ = ["MOST_KEPT_BYTES", "Stderr"]

MOST_KEPT_BYTES = 1024 * 1024
"""So much is kept of it: of more the first half and the last half."""
_TAIL_BYTES = 4096
_TAIL_LINES = 3
_MOST_TOLD = 300  # characters of the last lines in an error message


class Stderr:
    """A file without a name that programs write to directly: nothing is lost where one dies, nobody has to read along.

    Programs that follow one another may share it. Call :meth:`close` at the end.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the publisher
        self._kept: bytes | None = None
        self._lock = threading.RLock()

    def fileno(self) -> int:
        """The descriptor to hand to a program."""
        return self._file.fileno()

    def tail(self) -> str:
        """The last lines in one, shortened; empty where nothing was written."""
        lines = [line.strip() for line in self._read(_TAIL_BYTES).decode(errors="replace").splitlines()]
        text = " / ".join([line for line in lines if line][-_TAIL_LINES:])
        return text if len(text) <= _MOST_TOLD else "…" + text[-_MOST_TOLD:]

    def text(self) -> bytes:
        """All that was written, or the first and the last half of :data:`MOST_KEPT_BYTES`; also after the close."""
        with self._lock:
            if self._kept is not None:
                return self._kept
            size = os.fstat(self._file.fileno()).st_size
            if size <= MOST_KEPT_BYTES:
                return self._read(size)
            half = MOST_KEPT_BYTES // 2
            cut = f"\n[… {size - 2 * half} bytes are left out …]\n".encode()
            return os.pread(self._file.fileno(), half, 0) + cut + self._read(half)

    def close(self) -> None:
        """Let go of the file; :meth:`text` stays. Idempotent."""
        with self._lock:
            if self._kept is None:
                self._kept = self.text()
                self._file.close()

    def _read(self, last_bytes: int) -> bytes:
        with self._lock:
            if self._kept is not None:
                return self._kept[-last_bytes:] if last_bytes else b""
            size = os.fstat(self._file.fileno()).st_size
            # pread: the programs share the file's position, which must not move under them.
            return os.pread(self._file.fileno(), last_bytes, max(0, size - last_bytes))
