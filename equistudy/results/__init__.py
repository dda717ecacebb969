"""The Parquet tables: schema, atomic writes, lazy scans, compaction."""

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """Makes `equistudy.results("folder")` read results.

    The package and the word share the name `equistudy.results`: importing any file of the package puts the package
    there, so the package itself must be what a study calls.
    """

    def __call__(self, place: Any) -> Any:
        from equistudy.results.results import results

        return results(place)


sys.modules[__name__].__class__ = _CallableModule
