"""The documentation: pages in Markdown, and the reference from the docstrings of the public words."""

import ast
from collections import defaultdict
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import equistudy

project = "equistudy"
author = "the equistudy developers"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "equistudy"
html_static_path: list[str] = []
exclude_patterns = ["_build"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
myst_heading_anchors = 3  # as on GitHub, where FINDINGS.md links to its own headings

HERE = Path(__file__).parent
TITLES = {
    "study": "Studies and designs",
    "session": "From Python",
    "results": "Results",
    "analysis": "Claims",
    "report": "Figures",
    "measures": "Measures",
    "measuring": "Measures: the base",
    "groups": "Groups",
    "exactness": "Audit and repair",
    "models": "Models",
    "networks": "Choices of models",
    "datasets": "Datasets",
    "tasks": "Tasks",
    "augmentations": "Augmentations and learned invariance",
    "recipe": "Training",
}


def write_reference() -> None:
    """One page for each package, from the stub that lists the public words."""
    words: dict[str, list[str]] = defaultdict(list)
    stub = ast.parse((Path(equistudy.__file__).parent / "__init__.pyi").read_text())
    for statement in stub.body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            words[statement.module.split(".")[1]] += [alias.name for alias in statement.names]
    assert set(words) == set(TITLES), "Every package with public words has a title."
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    for package, title in TITLES.items():
        lines = [title, "=" * len(title), ""]
        for name in sorted(words[package], key=str.lower):
            lines += _list_word(name)
        _write(folder / f"{package}.rst", "\n".join(lines))
    _write(
        folder / "index.rst",
        dedent(
            """
        Reference
        =========

        Everything that a study names is a word of ``equistudy``, grouped here by what it is about.

        .. toctree::

        """
        ).lstrip()
        + "".join(f"   {package}\n" for package in TITLES),
    )


def _list_word(name: str) -> list[str]:
    word = getattr(equistudy, name)
    if isinstance(word, type):
        return [f".. autoclass:: equistudy.{name}", "   :members:", ""]
    if callable(word):
        return [f".. autofunction:: equistudy.{name}", ""]
    return [f".. py:data:: equistudy.{name}", "", *indent(_format_code(str(word)), "   ").splitlines(), ""]


def _write(path: Path, text: str) -> None:
    """Writes what has changed, so that the next build reads no more than that."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def to_restructured_text(lines: list[str]) -> list[str]:
    """A docstring of ours, plain text with `code`, indented formulas and fenced code, as reStructuredText."""
    found: list[str] = []
    for place, part in enumerate(dedent("\n".join(lines)).split("```")):
        if place % 2:
            found.append(_format_code(part.removeprefix("python")))
            continue
        for block in part.strip("\n").split("\n\n"):
            text = block.strip("\n")
            if text.lstrip().startswith(">>>"):
                found.append(dedent(text))
            elif any(line.startswith("    ") for line in text.splitlines()):
                found.append(_format_code(text))
            elif text.strip():
                found.append(_escape(text))
    return [*"\n\n".join(found).splitlines(), ""]


def _format_code(text: str) -> str:
    return ".. code-block:: text\n\n" + indent(dedent(text.strip("\n")), "   ")


def _escape(block: str) -> str:
    """A paragraph whose `code` is literal and whose other marks are characters."""
    parts = block.split("`")
    for place in range(0, len(parts), 2):
        for mark in "\\*_|":
            parts[place] = parts[place].replace(mark, f"\\{mark}")
    return "".join(part if place % 2 == 0 else f"``{part}``\\ " for place, part in enumerate(parts))


def _process_docstring(app: Any, what: str, name: str, word: Any, options: Any, lines: list[str]) -> None:
    lines[:] = to_restructured_text(lines)


def setup(app: Any) -> None:
    """Writes the reference before the pages are read."""
    write_reference()
    app.connect("autodoc-process-docstring", _process_docstring)
