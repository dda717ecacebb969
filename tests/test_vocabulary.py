"""The package's language: one class per name, verbs for functions, and no phrases that read as translated."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "equistudy").rglob("*.py"))
TEXTS = [
    *MODULES,
    *sorted((ROOT / "studies").glob("*.py")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "cluster/README.md")),
]
# Each is followed by what a native speaker of the field writes instead.
PHRASES = {
    r"(is|are) taken to": "counts as, is assumed to",
    r"taken for dead": "counts as dead",
    r"\bso many\b": "this many, or the number itself",
    r"by heart\b": "memorises",
    r"sign of life": "heartbeat",
    r"lookout": "monitor",
    r"goes on where it was": "resumes",
    r"\bone row an? ": "one row per",
    r"a beginning that no other": "is ambiguous",
    r"must let files": "Cannot write",
    r"in vain": "cannot be satisfied",
    r"no whole number": "not a whole number",
    r"\bis no (folder|file|directory)\b": "is not a",
    r"what came of": "the result of",
    r"whose .{1,40} is that of whose": "split the sentence",
    r"the same command goes on": "run the same command to resume",
    r"\btime of change\b": "modification time",
    r"Smaller sets begin larger ones": "A smaller set is the start of a larger one",
}
# Participles that once named functions: a function says what it does.
PARTICIPLES = {"told", "noted", "planned", "made", "asked", "kept", "given", "shown", "gone", "sent", "stood", "known"}
COINED_MODULES = {"sign_of_life", "lookout", "breaker", "answers", "notes", "marks", "keeping", "asked", "standing"}


@pytest.mark.parametrize("phrase", PHRASES)
def test_phrases_that_read_as_translated_are_nowhere(phrase: str) -> None:
    pattern = re.compile(phrase, re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"write {PHRASES[phrase]!r} instead:\n" + "\n".join(found)


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert len(places) > 200
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


def test_functions_are_no_bare_participles() -> None:
    names = {
        (path.name, node.name)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.strip("_") in PARTICIPLES
    }
    assert not names


def test_modules_have_the_names_of_the_field() -> None:
    assert not {path.stem for path in MODULES} & COINED_MODULES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_module_and_public_definition_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not tree.body
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            assert first.endswith((".", ":", "?")), f"{path.name}: {node.name}"
