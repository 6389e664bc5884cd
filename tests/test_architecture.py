"""Who may import whom, held against the code."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import conformance
import durable_ws

_ROOT = Path(__file__).parents[1]


def test_the_arrows_point_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import rules of pyproject.toml hold."""
    monkeypatch.chdir(_ROOT)
    assert lint_imports(config_filename=str(_ROOT / "pyproject.toml"), no_cache=True) == 0


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
