"""The words a study is written in; `__init__.pyi` lists them with the modules that define them.

Each module is imported when one of its words is first used, so that `equistudy --help` does not pay for all of them.
"""

import ast
import importlib
from pathlib import Path
from typing import Any

_MODULES = {
    alias.name: statement.module
    for statement in ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body
    if isinstance(statement, ast.ImportFrom) and statement.module
    for alias in statement.names
}
_MODULES["results"] = "equistudy.results"  # the package itself is what a study calls

__all__ = sorted(_MODULES)  # noqa: PLE0605 -- the names of the stub


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"equistudy has no {name!r}. It has: {', '.join(__all__)}.")
    module = importlib.import_module(_MODULES[name])
    value = module if name == "results" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
