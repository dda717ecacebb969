"""A digest of the code of a user's own component, independent of formatting and comments.

It covers the class or function, every definition of its module that it refers to, and every module of the user's own
that these import, transitively. It ignores comments, docstrings and formatting. It also ignores installed packages,
whose versions each row records, and files that the code reads: a row's `network_digest` says what was built.
"""

import ast
import hashlib
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

__all__ = ["CurrentSourceLoader", "compute_code_digest", "compute_file_code_digest", "is_own_code", "list_own_imports"]

DIGEST_LENGTH = 16
PLAIN_TYPES = (bool, int, float, str, bytes, tuple, frozenset)
STANDARD_ATTRIBUTES = {"__doc__", "__module__", "__qualname__", "__dict__", "__weakref__", "__firstlineno__"}


class CurrentSourceLoader(SourceFileLoader):
    """Loads a file from its text as it is, so that the code that runs is the code that is digested.

    Python keeps bytecode and runs it as long as the file has the same size and was changed in the same second.
    """

    def path_stats(self, path: Any) -> Any:
        """Not known, which Python takes to mean that there is no bytecode to read or to write."""
        raise OSError(f"No bytecode is kept of {path}.")


def is_own_code(file: Path) -> bool:
    """Whether a file is the user's own: neither Python's, nor an installed package's, nor equistudy's."""
    return not any(file.is_relative_to(folder) for folder in _list_installed_folders())


def compute_code_digest(owner: type | Callable[..., Any]) -> str:
    """The digest of a class or function, from its source; without one, as in a notebook, from its bytecode.

    A digest from bytecode is specific to a Python version.
    """
    module: Any = sys.modules.get(owner.__module__)
    file = getattr(module, "__file__", None)
    name = owner.__qualname__.partition(".")[0]
    if file is not None and Path(file).suffix == ".py" and Path(file).is_file():
        source = _read_source(Path(file).resolve())
        if name in source.definitions:
            return _digest([_dump(node) for node in _collect_definitions(source, name)], source.imported_from(name))
    return _finish("\n".join(_describe_object(owner, set())))


def compute_file_code_digest(file: Path) -> str:
    """The digest of everything in a Python file and in the user's own modules that it imports.

    Raises SyntaxError, UnicodeDecodeError or OSError for a file that cannot be read as Python.
    """
    source = _read_source(file.resolve())
    return _digest([_dump(source.tree)], source.imports)


def list_own_imports(file: Path) -> tuple[Path, ...]:
    """The user's own files that a Python file imports, directly or through others."""
    waiting, known = [file.resolve()], set[Path]()
    while waiting:
        for imported in _read_source(waiting.pop()).imports:
            if imported not in known:
                known.add(imported)
                waiting.append(imported)
    return tuple(sorted(known))


class _Source(NamedTuple):
    """A file's syntax tree, its top-level statements by the names that they define, and the own files it imports."""

    tree: ast.Module
    definitions: dict[str, list[ast.stmt]]
    imports: tuple[Path, ...]
    imported_names: dict[str, tuple[Path, ...]]

    def imported_from(self, name: str) -> tuple[Path, ...]:
        """The user's own files behind a definition and behind everything in the file that it refers to."""
        used = {each for node in _collect_definitions(self, name) for each in _list_names(node)}
        inside = {
            file
            for node in _collect_definitions(self, name)
            for statement in ast.walk(node)
            if isinstance(statement, (ast.Import, ast.ImportFrom))
            for file in self.imported_names.get(ast.unparse(statement), ())
        }
        return tuple(sorted(inside | {file for each in used for file in self.imported_names.get(each, ())}))


@cache
def _list_installed_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parent)}
    return tuple(Path(folder).resolve() for folder in folders)


def _read_source(file: Path) -> _Source:
    stat = file.stat()
    return _parse_source(file, stat.st_mtime_ns, stat.st_size)


@cache
def _parse_source(file: Path, changed: int, size: int) -> _Source:
    """The source of a file; the time of its change and its size tell whether it has been read already."""
    tree = ast.parse(file.read_bytes(), filename=str(file))
    definitions: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _list_defined_names(statement):
            definitions.setdefault(name, []).append(statement)
    every: set[Path] = set()
    imported: dict[str, tuple[Path, ...]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found = tuple(path for path in _find_imported_files(node, file) if path != file and is_own_code(path))
            every.update(found)
            for name in (*_list_imported_names(node), ast.unparse(node)):
                imported[name] = (*imported.get(name, ()), *found)
    return _Source(tree, definitions, tuple(sorted(every)), imported)


def _collect_definitions(source: _Source, name: str) -> list[ast.stmt]:
    """The statements of the file that define a name and, transitively, the names that these refer to."""
    waiting, seen, found = [name], {name}, []
    while waiting:
        for statement in source.definitions.get(waiting.pop(), []):
            if statement in found:
                continue
            found.append(statement)
            more = {other for other in _list_names(statement) if other in source.definitions} - seen
            seen |= more
            waiting.extend(sorted(more))
    return sorted(found, key=lambda statement: statement.lineno)


def _list_names(node: ast.AST) -> set[str]:
    """Every name that a statement reads."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _list_defined_names(statement: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement defines or changes, also inside if, try, with and for."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            yield from _list_names(node)


def _list_imported_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.asname or alias.name.partition(".")[0] for alias in node.names]


def _find_imported_files(node: ast.Import | ast.ImportFrom, file: Path) -> Iterator[Path]:
    """The files that an import reads, as far as they are already loaded or lie beside the importing file."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif node.level:
        base = file.parents[node.level - 1]
        parts = [*([node.module] if node.module else [])]
        for alias in node.names:
            yield from _find_in_folder(".".join([*parts, alias.name]), base)
        return
    else:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            loaded = getattr(sys.modules.get(".".join(parts[:length])), "__file__", None)
            if loaded and loaded.endswith(".py"):
                yield Path(loaded).resolve()
        yield from _find_in_folder(name, file.parent)


def _find_in_folder(name: str, folder: Path) -> Iterator[Path]:
    """The files of a dotted name below a folder: packages on the way, and the module unless it is an attribute."""
    for part in name.split("."):
        for candidate in (folder / f"{part}.py", folder / part / "__init__.py"):
            if candidate.is_file():
                yield candidate.resolve()
        folder = folder / part


def _digest(texts: list[str], imports: tuple[Path, ...]) -> str:
    """Of these texts and of everything in the imported files and in what they import in turn."""
    files = {*imports, *(other for file in imports for other in list_own_imports(file))}
    return _finish("\n".join([*texts, *(f"{file.name}\n{_dump(_read_source(file).tree)}" for file in sorted(files))]))


def _finish(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def _dump(node: Any) -> str:
    """The tree as text: without places, docstrings and empty fields, which differ between Python versions."""
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            fields.append(f"body={_dump(_strip_texts(value))}")
        elif value not in (None, []) and name not in ("type_comment", "kind", "type_ignores"):
            fields.append(f"{name}={_dump(value)}")
    return f"{type(node).__name__}({','.join(fields)})"


def _strip_texts(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements without docstrings and other unused string literals."""
    return [
        each
        for each in body
        if not (
            isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and isinstance(each.value.value, str)
        )
    ]


def _describe_object(value: Any, seen: set[int]) -> Iterator[str]:
    """What a class, a function or a constant does, from its bytecode and from what it refers to in its module."""
    if isinstance(value, property):
        for part in (value.fget, value.fset):
            yield from _describe_object(part, seen)
        return
    value = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
    if value is None or isinstance(value, PLAIN_TYPES):
        yield repr(value)
    elif isinstance(value, (type, FunctionType)) and id(value) not in seen:
        seen.add(id(value))
        yield value.__qualname__
        yield from _describe_class(value, seen) if isinstance(value, type) else _describe_function(value, seen)


def _describe_class(value: type, seen: set[int]) -> Iterator[str]:
    if value.__module__.partition(".")[0] in ("equistudy", "builtins", "torch"):
        return
    written = [each for name, each in sorted(vars(value).items()) if _is_written(name, each)]
    for part in (*value.__bases__, *written):
        yield from _describe_object(part, seen)


def _describe_function(value: FunctionType, seen: set[int]) -> Iterator[str]:
    yield from _describe_code(value.__code__)
    yield repr(value.__defaults__)
    for name in value.__code__.co_names:
        used = value.__globals__.get(name)
        if getattr(used, "__module__", None) == value.__module__ or isinstance(used, PLAIN_TYPES):
            yield name
            yield from _describe_object(used, seen)


def _is_written(name: str, value: Any) -> bool:
    """Whether a class attribute was written by the user rather than generated by `dataclass`."""
    made = isinstance(value, FunctionType) and value.__code__.co_filename == "<string>"
    return name not in STANDARD_ATTRIBUTES and not name.startswith("__dataclass") and not made


def _describe_code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames))
    for constant in code.co_consts[1:] if code.co_consts and isinstance(code.co_consts[0], str) else code.co_consts:
        if isinstance(constant, CodeType):
            yield from _describe_code(constant)
        else:
            yield repr(constant)
