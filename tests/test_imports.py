"""Imports point one way, heavy packages stay in their rooms, and what only looks imports none of them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "equistudy"

# lowest first; a module imports from rows above its own in this list, or from its own room
ROWS = (
    {"spec", "float32"},
    {"groups", "datasets", "recipe"},
    {"augmentations", "models", "tasks"},
    {"exactness", "measures"},
    {"study"},
    {"training", "results"},
    {"execution", "analysis"},
    {"report"},
    {"cli"},
    {"__main__"},
)
ROW = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
HOMES = {
    "ray": {"execution"},
    "altair": {"report"},
    "vl_convert": {"report"},
    "polars": {"results", "analysis", "report"},
    "timm": {"models"},
    "torchvision": {"models"},
    "click": {"cli"},
    "rich": {"cli"},
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, wherever in the file, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield str(node.module), node.lineno


def test_imports_point_one_way() -> None:
    wrong = []
    for path in MODULES:
        room = room_of(path)
        for module, line in imported(path):
            package, _, rest = module.partition(".")
            other = rest.partition(".")[0]
            # the package itself holds the words of a study, from every room
            if package == PACKAGE.name and other != room and not (rest and ROW[other] < ROW[room]):
                wrong.append(f"{path}:{line}: {room} must not import {module}")
    assert wrong == []


def test_packages_stay_in_their_rooms() -> None:
    wrong = [
        f"{path}:{line}: {module} belongs in {', '.join(sorted(HOMES[first]))}"
        for path in MODULES
        for module, line in imported(path)
        if (first := module.partition(".")[0]) in HOMES and room_of(path) not in HOMES[first]
    ]
    assert wrong == []


def test_every_room_has_its_row() -> None:
    assert {room_of(path) for path in MODULES} <= ROW.keys()


LOOKING = """
import sys
from pathlib import Path
from click.testing import CliRunner
from equistudy.cli.commands import cli

study, folder = sys.argv[1:]
for arguments in (["--help"], ["plan", study, "--results", folder], ["plan", study, "--results", folder, "--json"],
                  ["status", study, "--results", folder], ["results", folder], ["results", folder, "--csv"]):
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    heavy = {"torch", "ray", "timm", "torchvision", "altair", "scipy", "sklearn"} & sys.modules.keys()
    assert not heavy, (arguments, heavy)
    if arguments == ["--help"]:
        light = {"polars", "pyarrow", "numpy", "rich"} & sys.modules.keys()
        assert not light, light
"""


def test_looking_imports_nothing_heavy(tmp_path: Path) -> None:
    """In one process, one after the other: what the last has not imported, none has."""
    from equistudy.results.schema import TrialRow
    from equistudy.results.store import Store

    store = Store.open(tmp_path / "results")
    store.write_trial(TrialRow("t_1", 0, "smoke", "done", 0, '{"width": 2}', "{}", seconds=1.0))
    study = PACKAGE.parent / "studies" / "smoke.py"
    command = [sys.executable, "-c", LOOKING, str(study), store.url]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert done.returncode == 0, done.stderr
