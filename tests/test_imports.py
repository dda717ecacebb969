"""Imports point one way and in no circle, heavy packages stay where they belong, and looking imports none of them."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "equistudy"

# lowest first; a module imports from rows above its own in this list, or from its own package
ROWS = (
    {"code_digest", "field_values"},
    {"spec", "float32"},
    {"groups", "recipe"},
    {"datasets", "networks", "measuring"},
    {"augmentations", "models", "tasks", "measures"},
    {"exactness"},
    {"study"},
    {"results"},
    {"training"},
    {"running", "analysis"},
    {"execution", "report"},
    {"watch"},
    {"session"},
    {"launch"},
    {"fetching"},
    {"cli"},
    {"__main__"},
)
ROW = {package: row for row, packages in enumerate(ROWS) for package in packages}
HOMES = {
    "ray": {"execution", "launch"},
    "altair": {"report"},
    "vl_convert": {"report"},
    "polars": {"results", "analysis", "report"},
    "aiohttp": {"watch"},
    "timm": {"networks"},
    "torchvision": {"networks"},
    "pooch": {"fetching"},
    "filelock": {"fetching"},
    "click": {"cli"},
    "rich": {"cli"},
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


class Import(NamedTuple):
    """A module, or a name of one, that a file imports: where, at the top or inside, and whether it ever runs."""

    module: str
    line: int
    top: bool
    runs: bool


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import of a file, wherever it stands; one for the type checker alone never runs."""
    tree = ast.parse(path.read_text())
    top = {inner for node in tree.body for inner in (ast.walk(node) if isinstance(node, ast.Try) else (node,))}
    checked = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in node.body
        for inner in ast.walk(part)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found += [Import(name, node.lineno, node in top, node not in checked) for name in names]
    return tuple(found)


def test_imports_point_one_way() -> None:
    wrong = []
    for path in MODULES:
        own = package_of(path)
        for module, line, _, _ in imports_of(path):
            package, _, rest = module.partition(".")
            other = rest.partition(".")[0]
            # the package itself holds the words of a study, from every package
            if package == PACKAGE.name and other != own and not (rest and ROW[other] < ROW[own]):
                wrong.append(f"{path}:{line}: {own} must not import {module}")
    assert wrong == []


def test_heavy_packages_stay_where_they_belong() -> None:
    wrong = [
        f"{path}:{line}: {module} belongs in {', '.join(sorted(HOMES[first]))}"
        for path in MODULES
        for module, line, _, _ in imports_of(path)
        if (first := module.partition(".")[0]) in HOMES and package_of(path) not in HOMES[first]
    ]
    assert wrong == []


def test_every_package_has_its_row() -> None:
    assert {package_of(path) for path in MODULES} <= ROW.keys()


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


HEAVY = {
    "torch",
    "ray",
    "timm",
    "torchvision",
    "altair",
    "vl_convert",
    "scipy",
    "sklearn",
    "numpy",
    "polars",
    "pyarrow",
}


@cache
def graph() -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[str]]]:
    """Of each module: the own modules it imports anywhere, those at its top, and the heavy packages at its top."""
    names = {path.with_suffix("").relative_to(PACKAGE.parent).as_posix().replace("/", "."): path for path in MODULES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    anywhere, above, heavy = ({name: set[str]() for name in names} for _ in range(3))
    for name, path in names.items():
        for module, _, top, runs in imports_of(path):
            if not runs:
                continue
            if module in names and module != name:
                anywhere[name].add(module)
                if top:
                    above[name].add(module)
            elif top and module.partition(".")[0] in HEAVY:
                heavy[name].add(module.partition(".")[0])
    return anywhere, above, heavy


def test_no_module_imports_itself_by_way_of_others() -> None:
    anywhere, _, _ = graph()
    left = dict(anywhere)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}, f"these modules import each other in circles: {sorted(left)}"


def test_an_import_inside_a_function_keeps_something_heavy_out() -> None:
    """The one reason that is allowed: a plan must not load what the imported module loads.

    The command line is left out: each command imports what it needs when it is called, so that `--help` needs nothing.
    """
    anywhere, above, heavy = graph()

    def loads(name: str, seen: set[str]) -> set[str]:
        if name in seen:
            return set()
        seen.add(name)
        return heavy[name].union(*(loads(other, seen) for other in above[name]))

    wrong = [
        f"{name} imports {other} inside a function, which may stand at the top"
        for name, others in anywhere.items()
        for other in sorted(others - above[name])
        if ".cli." not in name
        if not loads(other, set()) - loads(name, set())
    ]
    assert wrong == []
