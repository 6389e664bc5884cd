"""The name of this system's release: its packages fit its C library and no other's."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

__all__ = ["release"]


def release() -> str:
    """Such as ``debian-12-x86_64``."""
    told = {"ID": "unknown", "VERSION_ID": "rolling"}
    with contextlib.suppress(OSError):
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            told[key] = value.strip('"')
    return re.sub(r"[^\w.-]", "-", f"{told['ID']}-{told['VERSION_ID']}-{os.uname().machine}")
