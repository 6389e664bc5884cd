"""The suite's cache folder: all that it ever writes outside its working directory."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from conformance.errors import UsageError

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """``DURABLE_WS_CACHE``, else ``durable-ws`` in the user's cache folder; made if it is not there.

    Raises:
        UsageError: it can't be made or written.
    """
    folder = Path(os.environ.get("DURABLE_WS_CACHE") or platformdirs.user_cache_path("durable-ws"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as exc:
        raise UsageError(
            "DURABLE_WS_CACHE",
            f"the cache folder {str(folder)!r} can't be written ({exc.strerror})",
            "Set DURABLE_WS_CACHE to a folder that is yours.",
        ) from exc
    return folder
