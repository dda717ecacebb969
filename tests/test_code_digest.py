"""The digest of a user's own code changes with what the code does, wherever that is written, and with nothing else."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import equistudy.spec
from equistudy.code_digest import compute_code_digest, compute_file_code_digest, is_own_code, list_own_imports
from equistudy.spec import Spec, to_plain_data

PARTS = '''
"""A model."""
from dataclasses import dataclass
from helper import WIDTH
from equistudy.spec import Spec

KERNEL = 3
UNUSED = 1

def make(width):
    return [width, KERNEL]

@dataclass(frozen=True)
class Tiny(Spec):
    """Three by three."""

    depth: int = 2

    def build(self):
        return make(WIDTH)  # small

    def late(self):
        import deep
        return deep.DEEP

class Other:
    pass
'''
FILES = {
    "parts.py": PARTS,
    "helper.py": "from constants import FOUR\nWIDTH = FOUR\n",
    "constants.py": "FOUR = 4\n",
    "deep.py": "DEEP = 1\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def load(folder: Path) -> Any:
    """The class as a fresh process would import it."""
    for name in ("parts", *(Path(file).stem for file in FILES)):
        sys.modules.pop(name, None)
    spec = importlib.util.spec_from_file_location("parts", folder / "parts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["parts"] = module
    exec(compile((folder / "parts.py").read_text(), str(folder / "parts.py"), "exec"), module.__dict__)
    return module.Tiny


def edit(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    "change",
    [
        edit("parts.py", "KERNEL = 3", "KERNEL = 5"),
        edit("parts.py", "[width, KERNEL]", "[KERNEL, width]"),
        edit("parts.py", "make(WIDTH)", "make(WIDTH + 1)"),
        edit("parts.py", "depth: int = 2", "depth: int = 3"),
        edit("parts.py", "UNUSED = 1", "UNUSED = 1\nif UNUSED:\n    KERNEL += 2"),
        edit("parts.py", "class Other:", "Tiny.build = lambda self: None\n\nclass Other:"),
        edit("helper.py", "WIDTH = FOUR", "WIDTH = 64"),
        edit("constants.py", "4", "5"),
        edit("deep.py", "1", "2"),
    ],
)
def test_what_the_code_does_is_in_the_digest(change: Callable[[Path], None], folder: Path) -> None:
    before = compute_code_digest(load(folder)), compute_file_code_digest(folder / "parts.py")
    change(folder)
    after = compute_code_digest(load(folder)), compute_file_code_digest(folder / "parts.py")
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize(
    "change",
    [
        edit("parts.py", "# small", "# tiny, and said at length"),
        edit("parts.py", "Three by three.", "Two comments."),
        edit("parts.py", "\nKERNEL = 3", "\n\n\nKERNEL   =   3"),
        edit("helper.py", "WIDTH = FOUR", '"""The width."""\n# of the first layer\nWIDTH = FOUR'),
        edit("parts.py", "UNUSED = 1", "UNUSED = 2"),
        edit("parts.py", "class Other:\n    pass", "class Other:\n    more = 1"),
    ],
)
def test_how_it_is_written_is_not(change: Callable[[Path], None], folder: Path) -> None:
    before = compute_code_digest(load(folder))
    change(folder)
    assert compute_code_digest(load(folder)) == before


def test_classes_without_a_file_are_told_by_their_bytecode() -> None:
    def define(kernel: int, comment: str = "") -> Any:
        space: dict[str, Any] = {"__name__": "nowhere"}
        exec(
            f"SIZE = {kernel}\ndef helper():\n    {comment!r}\n    return SIZE\n"
            f"class Tiny:\n    'text {comment}'\n    @property\n    def size(self): return helper()\n",
            space,
        )
        return space["Tiny"]

    assert compute_code_digest(define(3)) == compute_code_digest(define(3, "said"))
    assert compute_code_digest(define(3)) != compute_code_digest(define(5))


def test_own_specs_carry_the_digest_and_built_in_ones_do_not(folder: Path) -> None:
    spec = load(folder)()
    assert to_plain_data(spec) == {
        "spec": "parts.Tiny",
        "revision": 1,
        "code": compute_code_digest(type(spec)),
        "depth": 2,
    }
    assert "code" not in to_plain_data(Spec())


def test_only_the_user_s_files_count(folder: Path) -> None:
    assert {file.name for file in list_own_imports(folder / "parts.py")} == {"helper.py", "constants.py", "deep.py"}
    assert not is_own_code(Path(importlib.util.__file__).resolve())
    assert not is_own_code(Path(equistudy.spec.__file__).resolve())
    assert is_own_code(folder / "parts.py")
