"""Every example in a docstring runs, and the words that a user meets first have one."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import equistudy as eq

ROOT = Path(__file__).parents[1]
MODULES = [path for path in sorted((ROOT / "equistudy").rglob("*.py")) if ">>> " in path.read_text()]
# Bases, enums and results are met through the classes that have an example.
PACKAGES = ("groups", "augmentations", "datasets", "models", "tasks")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(path.parts[-2:]))
def test_examples_run_as_they_stand(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed


def test_most_words_of_a_study_have_an_example() -> None:
    words = {
        name: getattr(eq, name)
        for name in eq.__all__
        if inspect.isclass(getattr(eq, name)) and getattr(eq, name).__module__.split(".")[1] in PACKAGES
    }
    with_example = {name for name, word in words.items() if ">>> import" in (word.__doc__ or "")}
    assert len(words) > 60
    assert len(with_example) >= 0.5 * len(words), sorted(words.keys() - with_example)
