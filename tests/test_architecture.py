"""Who may import whom, held against the code."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import conformance
import durable_ws

_ROOT = Path(__file__).parents[1]


def test_the_arrows_point_down() -> None:
    """The import rules of pyproject.toml hold. (In a process of its own: import-linter disables all loggers.)"""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name",
    [
        module.name
        for package in (conformance, durable_ws)
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        if not module.ispkg and not module.name.rpartition(".")[2].startswith(("_", "test_"))
    ],
)
def test_public_modules_say_what_is_public(name: str) -> None:
    """Each public module has an __all__ whose names it has."""
    module = importlib.import_module(name)
    assert all(hasattr(module, public) for public in module.__all__)
