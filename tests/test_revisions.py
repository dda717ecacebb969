"""No code of a built-in component changes without a higher REVISION, or a mark that its numbers stay.

`tests/revisions.json` has, for each component, its REVISION and a digest of its code: of its class, of what that refers
to in its file, and of the files of equistudy that these import. A change of either is recorded by

    python -m tests.test_revisions "why the numbers are as before, or what they are now" [COMPONENT ...]

which refuses a change of code under the same REVISION without a reason. The reasons stay in the file.
"""

import ast
import hashlib
import importlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import equistudy
from equistudy.code_digest import _collect_definitions, _dump, _list_names, _read_source
from equistudy.spec import Spec

PACKAGE = Path(equistudy.__file__).parent
RECORD = Path(__file__).with_name("revisions.json")
PACKAGES = ("augmentations", "datasets", "groups", "measures", "models", "tasks")


def list_components() -> dict[str, type[Spec]]:
    """Every built-in spec that makes numbers, by the path of its class."""
    for package in PACKAGES:
        for file in sorted((PACKAGE / package).rglob("*.py")):
            name = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
            importlib.import_module(name.removesuffix(".__init__"))
    importlib.import_module("equistudy.recipe")
    waiting, found = [Spec], dict[str, type[Spec]]()
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            if kind.__module__.startswith("equistudy.") and kind.__module__ != "equistudy.study.trial":
                found[f"{kind.__module__.removeprefix('equistudy.')}.{kind.__name__}"] = kind
    return dict(sorted(found.items()))


def compute_digest(kind: type[Spec]) -> str:
    """Of the normalised code of a class, of its own module's definitions behind it, and of the files it imports."""
    file = PACKAGE.parent / Path(*kind.__module__.split(".")).with_suffix(".py")
    source = _read_source(file)
    definitions = _collect_definitions(source, kind.__name__)
    names = {name for statement in definitions for name in _list_names(statement)}
    inside = [node for statement in definitions for node in ast.walk(statement) if isinstance(node, ast.ImportFrom)]
    above = [node for node in ast.walk(source.tree) if isinstance(node, ast.ImportFrom)]
    used = [*inside, *(node for node in above if names & {alias.asname or alias.name for alias in node.names})]
    files = sorted({found for node in used if (found := locate(node)) is not None})
    texts = [*map(_dump, definitions), *(_dump(_read_source(found).tree) for found in files)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def locate(node: ast.ImportFrom) -> Path | None:
    """The file of equistudy that an import reads, other than the base of all specs."""
    if not (node.module or "").startswith("equistudy.") or node.module in ("equistudy.spec", "equistudy.code_digest"):
        return None
    file = PACKAGE.parent / Path(*str(node.module).split(".")).with_suffix(".py")
    return file if file.is_file() else None


@pytest.mark.slow
def test_code_and_revision_change_together_or_with_a_reason() -> None:
    recorded, components = json.loads(RECORD.read_text()), list_components()
    changed = [
        name
        for name, kind in components.items()
        if recorded.get(name, {}).get("digest") != compute_digest(kind) or recorded[name]["revision"] != kind.REVISION
    ]
    assert not changed, (
        f"The code of {', '.join(changed)} is not the recorded one. Raise REVISION where numbers change, list that in "
        'CHANGELOG.md, and record it: python -m tests.test_revisions "why"'
    )
    assert recorded.keys() == components.keys()


@pytest.mark.slow
def test_a_digest_follows_the_code_and_not_its_comments(tmp_path: Path) -> None:
    kinds = list_components()
    digests = {name: compute_digest(kind) for name, kind in kinds.items()}
    assert len(digests) > 80
    assert compute_digest(kinds["models.resnet.ResNet"]) == digests["models.resnet.ResNet"]
    assert digests["measures.correlation.WithinCorrelation"] != digests["measures.correlation.BetweenCorrelation"]


def record(reason: str, chosen: list[str]) -> None:
    """Writes the digests of all components, or of the chosen ones, with the reason beside those that changed."""
    known = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    updated = {}
    for name, kind in list_components().items():
        now, before = {"revision": kind.REVISION, "digest": compute_digest(kind)}, known.get(name, {})
        same = all(before.get(key) == value for key, value in now.items())
        if same or (chosen and name not in chosen and before):
            updated[name] = before
            continue
        updated[name] = {**now, "why": reason, "on": f"{datetime.now(UTC):%Y-%m-%d}"}
    RECORD.write_text(json.dumps(updated, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not sys.argv[1].strip():
        raise SystemExit('Say why: python -m tests.test_revisions "why the numbers are as before" [COMPONENT ...]')
    record(sys.argv[1], sys.argv[2:])
