"""What the tests of both public faces share: their names and the examples in their docstrings."""

import doctest
import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

from engine.errors import EngineError


def examples(name: str, value: Any) -> list[doctest.DocTest]:
    """The examples in the docstring of a public name."""
    found = doctest.DocTestParser().get_doctest(value.__doc__ or "", {}, name, None, None)
    return [found] if found.examples else []


def run_examples(tests: list[doctest.DocTest]) -> None:
    """Every example gives what its docstring says."""
    for test in tests:
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        runner.run(test, out=said.append)
        assert runner.failures == 0, "".join(said)


def submodules(package: ModuleType) -> set[str]:
    """Names of the modules directly in a package."""
    return {one.name for one in pkgutil.iter_modules(package.__path__)}


def refusal(call: Callable[[], Any]) -> str:
    """The one line by which a call is refused with an error of ours."""
    try:
        call()
    except EngineError as error:
        line = str(error)
        assert line
        assert "\n" not in line
        return line
    raise AssertionError("nothing was refused")


def public(package: str) -> dict[str, Any]:
    """Every public name of a package and what it stands for."""
    module = importlib.import_module(package)
    return {name: getattr(module, name) for name in module.__all__}
