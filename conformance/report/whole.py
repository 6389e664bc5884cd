"""Files that are there whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

from conformance.errors import UsageError

__all__ = ["write_whole"]


def write_whole(path: Path, text: str) -> None:
    """Write a UTF-8 file in one step (write beside it, then rename): a reader never sees half of it.

    Raises:
        UsageError: the folder is not there or can't be written to.
    """
    beside: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            beside = Path(file.name)
            file.write(text)
        beside.chmod(0o644)
        beside.replace(path)
    except OSError as exc:
        if beside is not None:
            beside.unlink(missing_ok=True)
        raise UsageError(
            "--report", f"{str(path)!r} can't be written ({exc.strerror})", "Name a folder that is yours."
        ) from exc
