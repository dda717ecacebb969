"""The files that travel to a cluster: what git tracks, what the study imports, and what the user names. No secrets."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from equistudy.code_digest import list_own_imports

__all__ = ["WorkingTree", "find_working_tree"]

MAX_MEGABYTES = 100.0  # Ray refuses packages above 500; what is larger than this is data
EXCLUDED_TOP_FOLDERS = {".git", "results", "data"}  # at the top: a package may have a folder of that name
MAX_LISTED_FILES = 3  # how many of the largest files a message names
SCANNED_BYTES = 2**20  # of each file, for the header of a private key
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----|^PuTTY-User-Key-File", re.MULTILINE)

# what is never code, whether git tracks it or not; names in lower case
SECRET_FOLDERS = {".ssh", ".aws", ".azure", ".config", ".docker", ".gnupg", ".kube", ".gcloud"}
SECRET_NAMES = re.compile(
    r"""
    \.env(\..*)?|.*\.env|\.envrc                                       # environments
    |.*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|gpg|asc|ovpn)          # keys and stores of keys
    |id_(rsa|dsa|ecdsa|ed25519)(_sk)?                                  # of ssh
    |.*credentials?(\.(json|ya?ml|toml|ini|csv|txt|cfg))?|client_secrets?.*\.json|.*service[-_]?account.*\.json
    |.*secrets?\.(json|ya?ml|toml|ini|env|txt)
    |\.(npmrc|pypirc|netrc|pgpass|my\.cnf|dockercfg|git-credentials|htpasswd|boto|s3cfg|rclone\.conf)|_netrc|rclone\.conf
    |kube-?config.*|.*\.tfstate(\..*)?|.*\.tfvars(\.json)?|.*token(\.(txt|json))?
    """,
    re.VERBOSE,
)


class WorkingTree(NamedTuple):
    """Files below a root, by their paths relative to it, and those that stay: untracked ones, and secrets."""

    root: Path
    files: tuple[Path, ...]
    megabytes: float
    untracked: tuple[Path, ...] = ()
    secrets: tuple[Path, ...] = ()

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
                f"{self}. Move it below {self.root} and name it with --include."
            )
        return inside.relative_to(self.root)


def find_working_tree(study: Path, include: Iterable[Path] = ()) -> WorkingTree:
    """What travels with a study: what its git repository tracks, the modules that it imports, and what is named.

    Outside of a repository there is only the latter two, and the root is the current folder or the study's own. A named
    folder stands for everything in it. Files that look like secrets by their names or as private keys stay, also where
    git tracks them. Raises ValueError for a tree that is too large to be code, and for a named file that is a secret or
    outside.
    """
    if not study.is_file():
        raise ValueError(f"A study is a Python file, got {study}, which does not exist. Check the path.")
    listed = _list_git_files(study)
    here, own = Path.cwd().resolve(), study.resolve()
    root = listed[0] if listed else here if own.is_relative_to(here) else own.parent
    tracked, untracked = (listed[1], listed[2]) if listed else ([], _list_files(root))
    named = [_require_inside(root, file) for path in include for file in _expand(path)]
    needed = [file.relative_to(root) for file in (own, *list_own_imports(own)) if file.is_relative_to(root)]
    wanted = {name for name in (*tracked, *needed, *named) if _is_inside(root, name)}
    secrets = sorted(name for name in wanted if _looks_secret(root, name))
    for name in named:
        if name in secrets:
            raise ValueError(
                f"Only code is sent with a job, got --include {name}, which looks like a secret. Give credentials to "
                "the cluster itself, through its provider or its file."
            )
    kept = sorted(wanted - set(secrets))
    _check_size(root, kept)
    megabytes = sum((root / name).stat().st_size for name in kept) / 1e6
    left = [name for name in untracked if name not in wanted and _is_inside(root, name)]
    hidden = [name for name in left if _looks_secret(root, name)]
    return WorkingTree(root, tuple(kept), megabytes, tuple(sorted(set(left) - set(hidden))), (*secrets, *hidden))


def _check_size(root: Path, names: list[Path]) -> None:
    sizes = {name: (root / name).stat().st_size for name in names}
    megabytes = sum(sizes.values()) / 1e6
    if megabytes > MAX_MEGABYTES:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:MAX_LISTED_FILES]
        listed = ", ".join(f"{name} ({sizes[name] / 1e6:.0f} MB)" for name in largest)
        raise ValueError(
            f"Only code is sent with a job, not data: at most {MAX_MEGABYTES:g} MB, got {megabytes:.0f} MB in {root}; "
            f"the largest: {listed}. Move data into the folder data/, or let git ignore it."
        )


def _list_git_files(study: Path) -> tuple[Path, list[Path], list[Path]] | None:
    """The repository, the files that git tracks and those that it neither tracks nor ignores; None outside of one."""

    def ask(folder: Path, *words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        top = Path(ask(study.resolve().parent, "rev-parse", "--show-toplevel").strip()).resolve()
        tracked = ask(top, "ls-files", "-z", "--cached")
        untracked = ask(top, "ls-files", "-z", "--others", "--exclude-standard")
    except (OSError, subprocess.CalledProcessError):
        return None
    both = [[Path(name) for name in listed.split("\0") if name] for listed in (tracked, untracked)]
    return top, both[0], both[1]


def _list_files(root: Path) -> list[Path]:
    """The files directly in a folder that is no repository: what its subfolders hold is not looked at."""
    return [path.relative_to(root) for path in sorted(root.iterdir()) if path.is_file()]


def _expand(path: Path) -> list[Path]:
    """A file as it is, and everything in a folder. Raises ValueError for what is not there."""
    if path.is_dir():
        return [file for file in sorted(path.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    if not path.is_file():
        raise ValueError(f"--include names files and folders, got {path}, which does not exist. Check the path.")
    return [path]


def _require_inside(root: Path, path: Path) -> Path:
    inside = path.resolve()
    if not inside.is_relative_to(root):
        raise ValueError(f"Files sent with a job must be inside {root}, got --include {path}. Copy it there.")
    return inside.relative_to(root)


def _is_inside(root: Path, name: Path) -> bool:
    """Whether a file is there and may be code: a link that leads out of the tree could bring anything along."""
    if name.parts[0] in EXCLUDED_TOP_FOLDERS:
        return False
    path = root / name
    return path.is_file() and path.resolve().is_relative_to(root.resolve())


def _looks_secret(root: Path, name: Path) -> bool:
    """Whether a file is a secret by its name, by a folder on its way, or because a private key is in it."""
    folders = {part.lower() for part in name.parts[:-1]}
    if folders & SECRET_FOLDERS or SECRET_NAMES.fullmatch(name.name.lower()):
        return True
    with (root / name).open("rb") as file:
        return PRIVATE_KEY.search(file.read(SCANNED_BYTES)) is not None
