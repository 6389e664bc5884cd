"""What the package shows to the outside: names, types, imports."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from importlib.resources import files

import pytest

import durable_ws

MODULES = ["durable_ws", *(module.name for module in pkgutil.walk_packages(durable_ws.__path__, "durable_ws."))]


def public_names(name: str) -> set[str]:
    """The names without an underscore that the module's own text defines at its top level."""
    module = importlib.import_module(name)
    defined = set()
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                defined.add(node.name)
            case ast.Assign():
                defined.update(target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=target)):
                defined.add(target)
    return {name for name in defined if not name.startswith("_")} - {"logger"}


@pytest.mark.parametrize("name", MODULES)
def test_all_tells_the_truth(name: str) -> None:
    """``__all__`` is sorted, all its names are there, and no public name of the module is missing from it."""
    module = importlib.import_module(name)
    assert len(module.__all__) == len(set(module.__all__))
    assert all(hasattr(module, exported) for exported in module.__all__)
    if name == "durable_ws":
        assert not public_names(name)
    else:
        assert public_names(name) == set(module.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_everything_says_what_it_is(name: str) -> None:
    """Each module, public class, function and method has a docstring of its own."""
    module = importlib.import_module(name)
    assert module.__doc__
    for exported in module.__all__:
        value = getattr(module, exported)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        assert value.__doc__, exported
        methods = vars(value).items() if inspect.isclass(value) else ()
        for method, function in methods:
            if inspect.isfunction(function) and not method.startswith("_"):
                assert function.__doc__, f"{exported}.{method}"


def test_typed() -> None:
    """The package tells type checkers to read its annotations, and each public function is annotated in full."""
    assert files("durable_ws").joinpath("py.typed").is_file()
    for name in durable_ws.__all__:
        value = getattr(durable_ws, name)
        for method, function in inspect.getmembers(value, inspect.isfunction):
            if method.startswith("_") and method != "__init__":
                continue
            signature = inspect.signature(function)
            assert signature.return_annotation is not inspect.Signature.empty, f"{name}.{method}"
            for parameter in list(signature.parameters.values())[1:]:
                assert parameter.annotation is not inspect.Parameter.empty, f"{name}.{method}: {parameter}"


def test_every_error_is_exported() -> None:
    """Whatever the package raises on purpose can be caught by a name of the package itself."""
    errors = {
        name
        for name, value in vars(importlib.import_module("durable_ws.exceptions")).items()
        if inspect.isclass(value) and issubclass(value, durable_ws.DurableWsError)
    }
    assert errors <= set(durable_ws.__all__)


def test_importing_does_nothing() -> None:
    """No thread is started, nothing is printed, and neither the suite nor any other package is dragged in."""
    program = (
        "import sys, threading, durable_ws\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert not [name for name in sys.modules if name.startswith('conformance')]\n"
        "assert not {'pika', 'pamqp'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
