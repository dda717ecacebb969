"""The files that travel to a cluster: the code of a working tree, without its data and results."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

__all__ = ["WorkingTree", "find_working_tree"]

MAX_MEGABYTES = 100.0  # Ray refuses packages above 500; what is larger than this is data
EXCLUDED_TOP_FOLDERS = {".git", "results", "data"}  # at the top: a package may have a folder of that name
EXCLUDED_FOLDERS = {"__pycache__", "venv", "node_modules"}
MAX_LISTED_FILES = 3  # how many of the largest files a message names
# what is never code, and might be a secret; git ignores most of them already
SECRET_FILE_ENDINGS = (".env", ".pem", ".key", "id_rsa", "id_ed25519", "credentials", ".netrc")


class WorkingTree(NamedTuple):
    """Files below a root, by their paths relative to it."""

    root: Path
    files: tuple[Path, ...]
    megabytes: float

    def __str__(self) -> str:
        return f"{len(self.files)} files of {self.root}, {self.megabytes:.1f} MB"

    def copy_to(self, target: Path) -> Path:
        """Writes the files below `target`, which is what a job gets."""
        for name in self.files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.root / name, target / name)
        return target

    def locate(self, path: Path) -> Path:
        """Where a file of this machine lies in the tree. Raises ValueError if it does not travel."""
        inside = path.resolve()
        if not inside.is_relative_to(self.root) or inside.relative_to(self.root) not in self.files:
            raise ValueError(
                f"What a job needs must be in the working tree that travels with it, got {path}, which is not among "
                f"{self}. Move it below {self.root}; git must not ignore it."
            )
        return inside.relative_to(self.root)


def find_working_tree(study: Path) -> WorkingTree:
    """The tree around a study: its git repository (what git tracks or does not ignore), or the current folder.

    Raises ValueError for a tree that is too large to be code.
    """
    if not study.is_file():
        raise ValueError(f"A study is a Python file, got {study}, which does not exist. Check the path.")
    root, names = _list_git_files(study) or _list_folder_files(study)
    kept = sorted(name for name in names if _is_code_file(root, name))
    sizes = {name: (root / name).stat().st_size for name in kept}
    megabytes = sum(sizes.values()) / 1e6
    if megabytes > MAX_MEGABYTES:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:MAX_LISTED_FILES]
        listed = ", ".join(f"{name} ({sizes[name] / 1e6:.0f} MB)" for name in largest)
        raise ValueError(
            f"Only code is sent with a job, not data: at most {MAX_MEGABYTES:g} MB, got {megabytes:.0f} MB in {root}; "
            f"the largest: {listed}. Move data into the folder data/, or add it to .gitignore."
        )
    return WorkingTree(root, tuple(kept), megabytes)


def _list_git_files(study: Path) -> tuple[Path, list[Path]] | None:
    """The repository and its files, or None outside of one."""
    try:
        top = subprocess.run(
            ["git", "-C", str(study.resolve().parent), "rev-parse", "--show-toplevel"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        listed = subprocess.run(
            ["git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return Path(top), [Path(name) for name in listed.split("\0") if name]


def _list_folder_files(study: Path) -> tuple[Path, list[Path]]:
    """The current folder if the study is in it, else the study's own, with all files."""
    here = Path.cwd()
    root = here if study.resolve().is_relative_to(here) else study.resolve().parent
    found: list[Path] = []
    for folder, inner, names in os.walk(root):
        left_out = EXCLUDED_FOLDERS | EXCLUDED_TOP_FOLDERS if Path(folder) == root else EXCLUDED_FOLDERS
        inner[:] = [name for name in inner if name not in left_out and not name.startswith(".")]
        found += [(Path(folder) / name).relative_to(root) for name in names]
    return root, found


def _is_code_file(root: Path, name: Path) -> bool:
    """Whether a file is there and is code: a link that leads out of the tree could bring anything along."""
    if name.parts[0] in EXCLUDED_TOP_FOLDERS or name.name.endswith(SECRET_FILE_ENDINGS):
        return False
    path = root / name
    return path.is_file() and path.resolve().is_relative_to(root.resolve())
