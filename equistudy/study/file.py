"""Reads a study from its Python file, and tells what its code raises with file and line."""

import contextlib
import importlib.util
import linecache
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from equistudy.code_digest import CurrentSourceLoader
from equistudy.study.study import Study, is_file_name

__all__ = ["LoadedStudy", "StudyFileError", "check_name", "load_study"]


class StudyFileError(ValueError):
    """A study file that cannot be read as a study, or whose code raises."""


class LoadedStudy(NamedTuple):
    """A study with its name (the file's), its file and its module."""

    study: Study
    name: str
    path: Path
    module: ModuleType

    @contextlib.contextmanager
    def blame_study_code(self) -> Iterator[None]:
        """While code of the study runs, such as its trial function: errors are reported with file and line."""
        with _blame_errors(self.path, str(self.module.__file__)):
            yield


MAX_LISTED_FILES = 8

_loaded_modules: dict[str, ModuleType] = {}  # what this process has read so far


def load_study(path: Path) -> LoadedStudy:
    """Executes the file and takes its `study`. Errors in the file are reported with file and line."""
    if not path.is_file():
        raise StudyFileError(f"A study is a Python file, got {path}, {_describe_alternatives(path)}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise StudyFileError(f"A study is a Python file, got {path}. Give it a name that ends in .py.")
    check_name(path)
    spec.loader = CurrentSourceLoader(spec.name, str(spec.origin))
    module = importlib.util.module_from_spec(spec)
    # specs that the file defines are looked up by their module's name, by dataclasses among others
    sys.modules[path.stem] = _loaded_modules[path.stem] = module
    linecache.checkcache(str(module.__file__))
    try:
        with _blame_errors(path, str(module.__file__)):
            spec.loader.exec_module(module)
        return LoadedStudy(_get_study(module, path), path.stem, path, module)
    except BaseException:
        del sys.modules[path.stem]
        raise


def _describe_alternatives(path: Path) -> str:
    """What is there in place of a file, and which studies are near."""
    folder = path if path.is_dir() else path.parent
    near = sorted(str(file) for file in folder.glob("*.py")) if folder.is_dir() else []
    if not folder.is_dir():
        return f"but the folder {folder} does not exist"
    what = (
        "which is a folder. Its Python files" if path.is_dir() else "which does not exist. Python files in its folder"
    )
    more = f" and {len(near) - MAX_LISTED_FILES} more" if len(near) > MAX_LISTED_FILES else ""
    return f"{what}: {', '.join(near[:MAX_LISTED_FILES]) or 'none'}{more}"


def check_name(path: Path) -> None:
    """Refuses a study whose file, a module of its name, would stand in front of one that something else imports."""
    if not is_file_name(path.stem):
        raise StudyFileError(
            f"The name of a study becomes that of its report's folder: letters, digits, spaces and _.+-, "
            f"got {path.name!r}. Rename the file."
        )
    if not path.stem.isidentifier() or (
        path.stem in _loaded_modules and sys.modules.get(path.stem) is _loaded_modules[path.stem]
    ):
        return
    try:
        other = importlib.util.find_spec(path.stem)
    except ValueError:  # a module that has no spec, such as __main__
        taken = "a module of Python"
    else:
        if other is None or (other.origin and Path(other.origin).resolve() == path.resolve()):
            return
        taken = f"the module {other.origin or other.name}"
    raise StudyFileError(
        f"A study file must not have the name of another module, got {path}, which would hide {taken}. Rename it, "
        f"for example to {path.stem}_study.py."
    )


def _get_study(module: ModuleType, path: Path) -> Study:
    """What the file calls `study`."""
    study = getattr(module, "study", None)
    if isinstance(study, Study):
        return study
    others = [name for name, value in vars(module).items() if isinstance(value, Study)]
    if others:
        found, way_out = f"a Study named {others[0]!r}", f"Rename {others[0]} to study."
    else:
        found = "nothing of that name" if study is None else f"a value of type {type(study).__name__}"
        way_out = "Add: study = Study(question=...)"
    raise StudyFileError(f"A study file assigns a Study to the name 'study', got {found} in {path}. {way_out}")


@contextlib.contextmanager
def _blame_errors(path: Path, file: str) -> Iterator[None]:
    """Turns what the code in `file` raises into a StudyFileError; other errors pass. What it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the data of the command
            yield
    except StudyFileError:
        raise
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        text = f"\n    {error.text.strip()}" if error.text else ""
        raise StudyFileError(f"{error.filename or path}{line}: {error.msg}{text}") from error
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        if not lines:
            raise
        # the messages of these two were written to be read alone
        kind = "" if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: "
        raise StudyFileError(f"{path}:{lines[-1]}: {kind}{error}") from error
