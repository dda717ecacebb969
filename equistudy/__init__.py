"""The public names; `__init__.pyi` lists them with the modules that define them.

Each module is imported when one of its names is first used, so that `equistudy --help` does not pay for all of them.
"""

import ast
import difflib
import importlib
from pathlib import Path
from typing import Any

from equistudy.results import results  # noqa: F401 -- first, or the package would take the name when it is imported

_MODULES = {
    alias.name: statement.module
    for statement in ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body
    if isinstance(statement, ast.ImportFrom) and statement.module
    for alias in statement.names
}

__all__ = sorted(_MODULES)  # noqa: PLE0605 -- the names of the stub


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        near = {known.lower(): known for known in __all__}
        close = [near[known] for known in difflib.get_close_matches(name.lower(), near, n=3)]
        way_out = f"Did you mean {' or '.join(close)}?" if close else f"It has: {', '.join(__all__)}."
        raise AttributeError(f"equistudy has no {name!r}. {way_out}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
