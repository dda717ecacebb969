"""The public words: each is what its module defines, and the stub is the list of them."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import equistudy as eq

STUB = ast.parse((Path(eq.__file__).parent / "__init__.pyi").read_text())
WORDS = [
    (node.module, alias.name, alias.asname)
    for node in STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
]


@pytest.mark.parametrize(("module", "name", "exported"), WORDS, ids=[name for _, name, _ in WORDS])
def test_a_public_word_is_what_its_module_defines(module, name, exported):
    assert exported == name, "The stub exports a word under its own name."
    assert getattr(eq, name) is getattr(import_module(module), name)


def test_results_is_the_function_also_after_its_package_was_imported():
    code = "import equistudy as eq; import equistudy.results.reader, inspect; print(inspect.isfunction(eq.results))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


def test_words_are_unique_and_listed():
    names = [name for _, name, _ in WORDS]
    assert len(set(names)) == len(names)
    assert set(names) <= set(dir(eq))
