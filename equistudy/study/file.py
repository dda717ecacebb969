"""Reads a study from its Python file."""

import importlib.util
import linecache
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from equistudy.study.study import Study

__all__ = ["LoadedStudy", "StudyFileError", "load_study"]


class StudyFileError(ValueError):
    """A study file that cannot be read as a study."""


class LoadedStudy(NamedTuple):
    """A study with its name (the file's), its file and its module."""

    study: Study
    name: str
    path: Path
    module: ModuleType


def load_study(path: Path) -> LoadedStudy:
    """Executes the file and takes its `study`. An error inside it is told with file and line."""
    if not path.is_file():
        beside = sorted(str(file) for file in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise StudyFileError(
            f"A study is a Python file, got {path}, which does not exist. "
            f"Beside it: {', '.join(beside) or 'no Python file'}."
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise StudyFileError(f"A study is a Python file, got {path}. Give it a name that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    # specs that the file defines are looked up by their module's name, by dataclasses among others
    sys.modules[path.stem] = module
    linecache.checkcache(str(path))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise StudyFileError(
            f"{error.filename}:{error.lineno}: {error.msg}\n    {(error.text or '').strip()}"
        ) from error
    except Exception as error:
        raise StudyFileError(f"{_place(error, path)}: {error}") from error
    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        found = "no such name" if study is None else f"a {type(study).__name__}"
        raise StudyFileError(
            f"A study file assigns a Study to the name 'study', got {found} in {path}. Add: study = Study(question=...)"
        )
    return LoadedStudy(study, path.stem, path, module)


def _place(error: Exception, path: Path) -> str:
    """File and line of the innermost frame inside the study file, and the kind of error where the text needs it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f"{path}:{lines[-1]}" if lines else str(path)
    return where if isinstance(error, (ValueError, TypeError)) else f"{where}: {type(error).__name__}"
