"""A network defined in the user's own Python file."""

import contextlib
import dataclasses
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equistudy.code_digest import CurrentSourceLoader, compute_file_code_digest, list_own_imports
from equistudy.datasets.dataset import Dataset
from equistudy.models.model import Model, Module
from equistudy.spec import location_field

__all__ = ["Custom"]

MAX_LISTED_NAMES = 8  # functions named in a message


@dataclass(frozen=True)
class Custom(Model):
    """The `nn.Module` returned by `function` in the Python file `file`, called without arguments.

    The network must accept images of the size at which it is measured; it chooses its own number of outputs. A digest
    of the file's code, and of the modules beside it that it imports, is part of a trial's identity; comments and
    docstrings are not. `paths` names the submodules to measure; by default these are the children of the network, and
    for containers such as `nn.Sequential` their children. The last stage, `output`, is what the network returns.
    """

    function: str
    file: str | None = location_field(None)
    paths: tuple[str, ...] = ()

    def check(self, dataset: Dataset) -> None:
        """Accepts every dataset: inputs and outputs are up to the function."""

    def validate(self) -> None:
        """Raises ValueError if the file has no such function."""
        self._load_function()

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """The network that the function returns, initialised from torch's current random state."""
        from torch import nn

        function = self._load_function()
        try:
            with _importable_folder(Path(str(self.file)).absolute().parent):
                network = function()
        except Exception as error:
            raise ValueError(
                f"{self.function}() in {self.file} must build the network when called without arguments, but it raised "
                f"{type(error).__name__}: {error}. Fix the function, or give its parameters defaults."
            ) from error
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"{self.function}() in {self.file} must return a torch.nn.Module, got {type(network).__name__}. "
                "Name a function without parameters that returns the network."
            )
        return network

    def stages(self, network: Module) -> Mapping[str, str]:
        """The named submodules or the children, and `output`."""
        paths = self.paths or tuple(_child_paths(network, ""))
        known = dict(network.named_modules(remove_duplicate=False))
        unknown = [path for path in paths if path not in known]
        if unknown:
            raise ValueError(
                f"paths must name submodules of the network, got {', '.join(unknown)}. "
                f"Submodules: {', '.join(path for path in known if path and path.count('.') < 2)}."
            )
        return {**{path: path for path in paths}, "output": ""}

    def fingerprint(self) -> str:
        """The digest of the file's code and of the user's own modules that it imports."""
        if self.obstacle():
            return "no file"
        try:
            return compute_file_code_digest(Path(str(self.file)))
        except (SyntaxError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{self.file} must be importable Python, got {type(error).__name__}: {error}. Correct the file."
            ) from error

    def obstacle(self) -> str | None:
        """The text "no file" if the file does not exist, or None."""
        return None if self.file is not None and Path(self.file).is_file() else "no file"

    def with_absolute_paths(self) -> "Custom":
        """The same model with an absolute path."""
        return self if self.file is None else dataclasses.replace(self, file=str(Path(self.file).absolute()))

    def _load_function(self) -> Any:
        if self.obstacle():
            raise ValueError(f"Custom needs an existing Python file, got file={self.file!r}. Check the path.")
        path = Path(str(self.file)).absolute()
        module = _import_module(path)
        found = getattr(module, self.function, None)
        if not callable(found):
            names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            listed = f"Its functions: {', '.join(names[:MAX_LISTED_NAMES])}." if names else "It has no functions."
            raise ValueError(
                f"{path.name} must define the function that builds the network, got {self.function!r}. {listed}"
            )
        return found


def _import_module(path: Path) -> Any:
    """The module of a file, imported again only if it or a module beside it that it imports has changed."""
    try:
        digest = compute_file_code_digest(path)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path.name} must be importable Python, got {type(error).__name__}: {error}. Correct the file."
        ) from error
    name = f"equistudy_custom_{digest}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ValueError(f"The file of a network must be Python, got {path}. Use FILE.py:FUNCTION.")
        spec.loader = CurrentSourceLoader(name, str(spec.origin))
        module = importlib.util.module_from_spec(spec)
        _forget_changed_modules(path)
        sys.modules[name] = module  # classes defined in the file are looked up by this name
        try:
            with _importable_folder(path.parent):
                spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise ValueError(
                f"{path.name} must be importable Python, got {type(error).__name__}: {error}. Correct the file."
            ) from error
    return sys.modules[name]


_imported: dict[str, tuple[Path, str]] = {}  # the file and the digest of each module beside a network's file, as loaded


def _forget_changed_modules(path: Path) -> None:
    """Unloads changed modules beside the file. Raises ValueError for two modules of one name in different folders."""
    for file in list_own_imports(path):
        name, digest = file.stem, compute_file_code_digest(file)
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded is not None and Path(loaded).resolve() != file:
            if file.parent != path.resolve().parent:
                continue
            raise ValueError(
                f"{path.name} must import the module {name} beside it, but {loaded} was imported under that name "
                f"before. Rename {file}, or measure the two networks in separate commands."
            )
        if _imported.get(name, (file, digest)) != (file, digest):
            sys.modules.pop(name, None)
        _imported[name] = file, digest


@contextlib.contextmanager
def _importable_folder(folder: Path) -> Iterator[None]:
    """Makes the modules of a folder importable, as for a script in it."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _child_paths(network: Any, prefix: str) -> Iterator[str]:
    """The paths of the children; containers without a forward pass of their own are replaced by their children."""
    from torch import nn

    for name, child in network.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            yield from _child_paths(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
